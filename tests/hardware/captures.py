"""Captures of a device by the command line, as its user would make them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hardware.devices import Device

import edgeprof
from edgeprof.store import Dataset

PROMPTS = (("one", "ab"), ("two", "cd"), ("again", "ab"))
N_TOKENS = 5
LIMIT_SECONDS = 120


@dataclass(frozen=True)
class Measured:
    """A data set, and what the commands said that made it."""

    data: Dataset
    folder: Path
    said: subprocess.CompletedProcess[str]


def edgeprof_says(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of edgeprof to its end."""
    command = [sys.executable, "-m", "edgeprof", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)


def capture_words(url: str, out: Path, prompts: list[tuple[str, str]], *options: str) -> list[str]:
    """Return the command that captures prompts; they are written beside the data set's folder."""
    listed = out.with_suffix(".toml")
    listed.write_text("".join(f'[[prompt]]\nid = "{name}"\ntext = "{text}"\n' for name, text in prompts))
    return ["capture", url, "--out", str(out), "--prompts", str(listed), f"--tokens={N_TOKENS}", *options]


def measure(device: Device, folder: Path, *options: str, url: str = "") -> Measured:
    """Capture the prompts from a device, or from where a bridge takes what it says."""
    folder.mkdir(exist_ok=True)
    out = folder / "data"
    settings = () if url else device.options
    said = edgeprof_says(*capture_words(url or device.url, out, list(PROMPTS), "--idle=30", *settings, *options))
    assert said.returncode == 0, said.stderr
    return Measured(edgeprof.open(out), out, said)
