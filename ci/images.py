"""The container's images: their base, how both targets are built, and where their layers lie."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from ci.engine import ask, buildah, podman

TARGETS = ("testing", "production")
PULL_SECONDS = 120
STAND_IN = "localhost/edgeprof-base:bookworm"
SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_CONFIG = Path("/etc/pip.conf")
"""What the build machine may need to reach a package index. Both are mounted while building, and are in no layer."""


def default_base(dockerfile: Path) -> str:
    """Return the base image that the Dockerfile names."""
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise ValueError(f"{dockerfile} has no line ARG PYTHON_IMAGE=…")
    return found[1]


def find_base(storage: Path, wanted: str) -> tuple[str, str]:
    """Return the image to build on, and what it is: the one that is wanted, else one made from Debian's archive."""
    try:
        pulled = podman(storage, "pull", "--quiet", wanted, seconds=PULL_SECONDS)
    except subprocess.TimeoutExpired:
        pulled = None
    if pulled and pulled.returncode == 0:
        digest = ask(storage, "image", "inspect", "--format", "{{.Digest}}", wanted)
        return wanted, f"{wanted}@{digest}"
    if podman(storage, "image", "exists", STAND_IN).returncode:
        _make_stand_in(storage)
    python = ask(storage, "image", "inspect", "--format", '{{index .Labels "python"}}', STAND_IN)
    return STAND_IN, f"debootstrap {SUITE} ({python}), not the Docker Hub image"


def _make_stand_in(storage: Path) -> None:
    if not shutil.which("debootstrap"):
        raise FileNotFoundError("The base image cannot be pulled, and debootstrap is not here: ci/install-containers")
    with tempfile.TemporaryDirectory() as folder:
        root, packed = Path(folder, "root"), Path(folder, "base.tar")
        include = f"--include={','.join(PACKAGES)}"
        subprocess.run(
            ["debootstrap", "--variant=minbase", include, SUITE, str(root)], check=True, stdout=subprocess.DEVNULL
        )
        version = subprocess.run(
            ["chroot", str(root), "python3", "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()
        # What debootstrap takes over from this machine has no place in an image.
        for name in ("etc/hostname", "etc/resolv.conf"):
            (root / name).unlink(missing_ok=True)
        subprocess.run(["tar", "-C", str(root), "-cf", str(packed), "."], check=True)
        ask(
            storage,
            "import",
            "--change",
            'CMD ["python3"]',
            "--change",
            f"LABEL python={json.dumps(version)}",
            str(packed),
            STAND_IN,
        )


def build(storage: Path, source: Path, base: str, target: str, facts: dict[str, str]) -> dict[str, Any]:
    """Build one target; return its name, what it took and how large it is."""
    tag = f"localhost/edgeprof:{target}"
    mounts = [f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"] if CERTIFICATES.is_file() else []
    mounts += [f"--secret=id=pip,src={PIP_CONFIG}"] if PIP_CONFIG.is_file() else []
    given = [f"--build-arg={name}={value}" for name, value in {"PYTHON_IMAGE": base, **facts}.items()]
    # The format is Docker's: OCI's has no health check.
    how = ("--isolation=chroot", "--network=host", "--layers", "--format=docker", "--pull=never")
    begun = time.monotonic()
    buildah(storage, "build", *how, *mounts, *given, f"--target={target}", f"--tag={tag}", str(source))
    seconds = time.monotonic() - begun
    size = int(ask(storage, "image", "inspect", "--format", "{{.Size}}", tag))
    return {"image": tag, "seconds": round(seconds, 1), "bytes": size}


def layers(storage: Path, image: str) -> list[Path]:
    """Return the folders that an image's layers lie in, the newest first."""
    data = json.loads(ask(storage, "image", "inspect", "--format", "{{json .GraphDriver.Data}}", image))
    return [Path(path) for key in ("UpperDir", "LowerDir") for path in data.get(key, "").split(":") if path]
