# docker build --target production -t edgeprof .
# docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:8866:8866 -v "$PWD/data:/data:ro" \
#     -v "$PWD/token:/run/secrets/token:ro" -e EDGEPROF_TOKEN_FILE=/run/secrets/token edgeprof      (docs/serve.md)
# docker run --rm -v "$PWD/out:/data" edgeprof edgeprof demo --out /data/demo-out
# The base is an argument, so that a pipeline can pin it by digest.
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# ---- the tests: docker build --target testing -t edgeprof-testing . && docker run --rm edgeprof-testing ----
FROM ${PYTHON_IMAGE} AS testing
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python -m pip install --no-cache-dir nox==2026.10.20 uv==0.13.9 \
    && useradd --uid 10001 --create-home edgeprof
WORKDIR /src
COPY --chown=10001:10001 . .
RUN chown 10001:10001 /src
USER 10001
CMD ["nox", "-s", "unit"]

# ---- what is shipped: the wheel and nothing of the clone but the pins ----
FROM ${PYTHON_IMAGE} AS production
LABEL org.opencontainers.image.title="edgeprof" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PYTHONUNBUFFERED=1
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    --mount=type=bind,source=notebooks/constraints.txt,target=/constraints.txt \
    python -m pip install --no-cache-dir --constraint /constraints.txt /wheels/*.whl \
    && useradd --uid 10001 --create-home edgeprof \
    && install --directory --owner 10001 --group 10001 /data
USER 10001
WORKDIR /data
EXPOSE 8866
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8866/health', timeout=4)"]
CMD ["edgeprof", "serve", "--data", "/data", "--host", "0.0.0.0", "--port", "8866"]
