"""Make the sample evidence of the deployment report: what ci/deploy and `nox -s staging` write, with invented values.

Nothing of it happened: the registry, the digests and the times are made up.

  python data/deployment/make_sample.py data/deployment
"""

import hashlib
import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

GUARDED = ("/", "/voila/render/90_explore.ipynb", "/metrics", "/api/contents", "/api/kernels", "/lab")
TESTS = (
    ("test_it_is_healthy", 0.01),
    *((f"test_it_refuses_who_has_no_token[{path}]", 0.02) for path in GUARDED),
    ("test_its_metrics_are_prometheus_s", 0.03),
    ("test_it_is_the_version_that_was_deployed", 0.01),
    ("test_the_explorer_s_page_answers", 3.4),
)


def image(version: str) -> str:
    """Return an image's name with a digest that stands for a version."""
    return f"registry.example/edgeprof@sha256:{hashlib.sha256(f'sample {version}'.encode()).hexdigest()}"


def attempts(*answers: tuple[float, int | str]) -> list[dict[str, object]]:
    """Return attempts at /health as ci/deploy records them."""
    return [{"after_seconds": seconds, "answer": answer} for seconds, answer in answers]


def deployment(environment: str, version: str, begun: str, **more: object) -> dict[str, object]:
    """Return one record of ci/deploy."""
    return {
        "environment": environment,
        "image": image(version),
        "version": version,
        "commit": hashlib.sha256(version.encode()).hexdigest()[:40],
        "compose": "docker compose",
        "begun": begun,
        "previous": "",
        "attempts": attempts((0.0, "ConnectionRefusedError"), (0.5, "ConnectionRefusedError"), (1.5, 503), (2.1, 200)),
        "rollback_attempts": [],
        "result": "deployed",
        "why": "",
        "seconds": 9.4,
    } | more


DEPLOYMENTS = (
    deployment("staging", "0.1.0", "2026-01-05T09:00:00Z"),
    deployment("production", "0.1.0", "2026-01-05T10:00:00Z", attempts=attempts((1.6, 503), (2.2, 200)), seconds=8.8),
    deployment(
        "staging",
        "0.2.0",
        "2026-01-12T09:00:00Z",
        previous=image("0.1.0"),
        attempts=attempts(*((float(second), 503) for second in range(0, 61, 20))),
        rollback_attempts=attempts((0.0, "ConnectionRefusedError"), (2.0, 200)),
        result="rolled back",
        why="http://127.0.0.1:8866/health: 503 after 60.0 s",
        seconds=74.3,
    ),
    deployment("staging", "0.2.1", "2026-01-13T09:00:00Z", previous=image("0.1.0"), seconds=10.2),
)


def junit(at: str) -> str:
    """Return a JUnit file as pytest writes it."""
    suite = ET.Element("testsuite", name="pytest", tests=str(len(TESTS)), timestamp=at)
    properties = ET.SubElement(suite, "properties")
    ET.SubElement(properties, "property", name="environment", value="staging")
    for name, seconds in TESTS:
        ET.SubElement(suite, "testcase", classname="tests.staging.test_staging", name=name, time=f"{seconds:.3f}")
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def main(out: Path) -> None:
    """Write the sample."""
    for folder in ("deploy", "junit"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for content in DEPLOYMENTS:
        at = str(content["begun"]).replace("-", "").replace(":", "")
        path = out / "deploy" / f"{content['environment']}-{at}.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (out / "junit" / "staging.xml").write_text(junit("2026-01-13T09:00:30+00:00"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
