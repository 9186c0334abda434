"""The session that writes the lock files which the container is installed from: versions and hashes, no address."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nox

from ci.steps import CONSTRAINTS, PROJECT, REQUIRED, ROOT

LOCKS = {
    "ci/requirements.lock": (),
    "ci/requirements-testing.lock": ("test", "firmware"),
    "ci/requirements-build.lock": None,
}
"""Each file, and the dependency groups that it has beside edgeprof's own; none is what builds edgeprof."""

BUILDERS = ("hatchling>=1.27", "nox>=2025.10.14", "setuptools>=80", "uv", "wheel")
FLAGS = (
    "--quiet",
    "--universal",
    "--upgrade",
    "--generate-hashes",
    "--no-annotate",
    "--no-header",
    "--no-emit-index-url",
    "--no-emit-find-links",
)


def wanted(groups: tuple[str, ...] | None) -> list[str]:
    """Return the requirements that a lock file is made for."""
    if groups is None:
        return list(BUILDERS)
    extra = nox.project.dependency_groups(PROJECT, *groups) if groups else ()
    return [*PROJECT["project"]["dependencies"], *extra]


@nox.session
def lock(session: nox.Session) -> None:
    """Write the container's lock files anew, in the versions that the notebooks are compared under."""
    session.install("uv")
    for name, groups in LOCKS.items():
        with tempfile.TemporaryDirectory() as folder:
            asked, made = Path(folder, "in.txt"), Path(folder, "out.txt")
            asked.write_text("\n".join(wanted(groups)) + "\n", encoding="utf-8")
            pins = ("--constraint", CONSTRAINTS)
            version = f"--python-version={REQUIRED[0]}"
            session.run("uv", "pip", "compile", *FLAGS, version, *pins, f"--output-file={made}", str(asked))
            head = "# Versions and hashes of what the container is made of. Made by: nox -s lock\n"
            (ROOT / name).write_text(head + made.read_text(encoding="utf-8"), encoding="utf-8")
