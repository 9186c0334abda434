"""The session ``sbom``: what edgeprof is made of, as CycloneDX."""

from __future__ import annotations

import sys
from pathlib import Path

import nox

from ci import tools
from ci.steps import ROOT, evidence, install

INSTALLED = (
    "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}, indent=1))"
)


@nox.session(tags=["ci"])
def sbom(session: nox.Session) -> None:
    """List what edgeprof needs to run into reports/sbom/edgeprof.cdx.json, and validate it strictly."""
    # The versions that the image is locked to, and nothing else: the tool that reads this environment has its own.
    install(session, constraints=True)
    folder = evidence("sbom")
    bill, installed, validation = (folder / name for name in ("edgeprof.cdx.json", "installed.json", "validation.json"))
    for old in (bill, installed, validation):
        old.unlink(missing_ok=True)
    python = Path(session.bin) / ("python.exe" if sys.platform == "win32" else "python")
    installed.write_text(str(session.run("python", "-c", INSTALLED, silent=True, log=False)), encoding="utf-8")
    tool = tools.environment(session, "sbom")
    session.run(
        str(tool / "cyclonedx-py"), "environment", "--of", "JSON", "--sv", "1.6", "--output-reproducible",
        "--pyproject", "pyproject.toml", "--output-file", str(bill), str(python), external=True,
    )  # fmt: skip
    session.run(
        str(tool / "python"), "-m", "ci.bill", str(bill), f"--installed={installed}", f"--validation={validation}",
        f"--audit={ROOT / 'reports' / 'security' / 'pip-audit.json'}", external=True,
    )  # fmt: skip
