"""Sessions that deploy an image, and report what was deployed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

from ci.base import commit
from ci.steps import ROOT, evidence, install, own_version


@nox.session(venv_backend="none")
def deploy(session: nox.Session) -> None:
    """Deploy $IMAGE, by its digest, to an environment: ``-- staging``. docs/container.md lists what it reads."""
    image = os.environ.get("IMAGE", "").lower()  # an owner's name may have capitals, an image's must not
    if len(session.posargs) != 1 or not image:
        session.error("Which environment (nox -s deploy -- staging), and which image (IMAGE=NAME@sha256:…)?")
    (environment,) = session.posargs
    with_key(session)
    url = os.environ.get("EDGEPROF_URL", "")
    session.run(
        "ci/deploy", environment, image, *((f"--url={url}",) if url else ()), f"--evidence={evidence('deploy')}",
        f"--version={own_version()}", f"--commit={commit(ROOT, 'HEAD')}",
        f"--state={Path(os.environ.get('EDGEPROF_STATE', ROOT / 'ci' / 'deployed'))}", external=True,
    )  # fmt: skip


def with_key(session: nox.Session) -> None:
    """Let ssh, by which compose reaches a host, use the key of the environment and know the host by its key."""
    key, hosts = os.environ.get("DEPLOY_SSH_KEY", ""), os.environ.get("DEPLOY_KNOWN_HOSTS", "")
    if not key:
        return
    folder = Path.home() / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, text in (("id_deploy", key), ("known_hosts_deploy", hosts)):
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(text.rstrip() + "\n", encoding="utf-8")
    config, wanted = folder / "config", "IdentityFile ~/.ssh/id_deploy\nUserKnownHostsFile ~/.ssh/known_hosts_deploy\n"
    there = config.read_text(encoding="utf-8") if config.exists() else ""
    if wanted not in there:
        config.write_text(wanted + there, encoding="utf-8")
    session.log("ssh uses the environment's key.")


@nox.session(name="deployment-report")
def deployment_report(session: nox.Session) -> None:
    """Report what was deployed, from what ci/deploy and the staging tests left in reports/."""
    install(session)
    found = evidence("deployed")  # hosted, each job's evidence is in a folder of its own
    for path in sorted(ROOT.glob("reports/**/*")):
        wanted = path.match("deploy/*.json") or path.match("junit/staging*.xml")
        if wanted and found not in path.parents:
            target = found / path.parent.name
            target.mkdir(exist_ok=True)
            shutil.copy2(path, target / path.name)
    session.run(
        "python", "-m", "edgeprof", "report", "deployment_report", str(found), f"--out={evidence('deployment')}"
    )
