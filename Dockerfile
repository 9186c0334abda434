# docs/container.md says how to build, run and deploy this; `nox -s container` builds both targets and tries them.
# The base is an argument, so that a pipeline can pin it by digest. It is Debian 12, whose compilers rebuild the
# firmware byte for byte.
# A build that needs a configuration of pip gives it as a secret, which no layer keeps: --secret id=pip,src=/etc/pip.conf
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

# ---- the environment: what the lock file lists, and edgeprof's wheel; no pip ----
FROM ${PYTHON_IMAGE} AS build
# cobs has no wheel for Linux: it is compiled here.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY ci/requirements.lock ci/requirements-build.lock ci/
# Wheels first, of verified hashes only; then an environment of them.
RUN --mount=type=secret,id=pip \
    export PIP_CONFIG_FILE=/run/secrets/pip \
    && python3 -m venv /opt/build \
    && /opt/build/bin/python -m pip install --no-cache-dir --progress-bar off --require-hashes \
        --requirement ci/requirements-build.lock \
    && /opt/build/bin/python -m pip wheel --no-cache-dir --progress-bar off --require-hashes --no-deps \
        --no-build-isolation --wheel-dir /wheels --requirement ci/requirements.lock \
    && python3 -m venv --without-pip /opt/edgeprof \
    && /opt/build/bin/python -m pip --python /opt/edgeprof install --no-index --no-deps /wheels/*.whl
COPY . .
RUN /opt/build/bin/python -m pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /own . \
    && /opt/build/bin/python -m pip --python /opt/edgeprof install --no-index --no-deps /own/*.whl

# ---- the tests: compilers, emulators, the clone, and environments in which sessions run offline ----
FROM ${PYTHON_IMAGE} AS testing
RUN useradd --uid 10001 --create-home edgeprof \
    && install --directory --owner 10001 --group 10001 /src /data /opt/nox
COPY .ci/install /usr/local/sbin/install-tools
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-dev \
    && bash /usr/local/sbin/install-tools \
    && rm -rf /var/lib/apt/lists/*
USER 10001
WORKDIR /src
# Sessions install what the lock file names; UV_CONSTRAINT makes uv hold its versions and verify its hashes.
ENV PATH=/opt/nox/bin:$PATH \
    UV_CONSTRAINT=/src/ci/requirements-testing.lock \
    UV_BUILD_CONSTRAINT=/src/ci/requirements-build.lock \
    UV_LINK_MODE=hardlink \
    UV_NO_PROGRESS=1
COPY --chown=10001:10001 ci/requirements-build.lock ci/
RUN --mount=type=secret,id=pip,uid=10001 \
    export PIP_CONFIG_FILE=/run/secrets/pip \
    && python3 -m venv /opt/nox \
    && /opt/nox/bin/python -m pip install --no-cache-dir --progress-bar off --require-hashes \
        --requirement ci/requirements-build.lock
COPY --chown=10001:10001 . .
RUN --mount=type=secret,id=pip,uid=10001 \
    PIP_CONFIG_FILE=/run/secrets/pip nox --install-only --session unit tests \
    && uv cache clean
CMD ["nox", "-R", "-s", "unit"]

# ---- what is shipped: the environment and nothing of the clone ----
FROM ${PYTHON_IMAGE} AS production
# Everything that is written is in /tmp, which may be a tmpfs, or in /data: the rest may be read-only.
ENV PATH=/opt/edgeprof/bin:$PATH \
    HOME=/tmp \
    IPYTHONDIR=/tmp/ipython \
    JUPYTER_CONFIG_DIR=/tmp/jupyter/config \
    JUPYTER_DATA_DIR=/tmp/jupyter/data \
    JUPYTER_RUNTIME_DIR=/tmp/jupyter/runtime \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin edgeprof \
    && install --directory --owner 10001 --group 10001 /data
COPY --from=build /opt/edgeprof /opt/edgeprof
ARG VERSION=""
ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
ENV EDGEPROF_REVISION=$REVISION
LABEL org.opencontainers.image.title="edgeprof" \
      org.opencontainers.image.description="Profile tiny quantized language models on microcontrollers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8866
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8866/health', timeout=4)"]
CMD ["edgeprof", "serve", "--data", "/data", "--host", "0.0.0.0", "--port", "8866"]
