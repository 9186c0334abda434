"""``edgeprof serve`` as a process, with the explorer or a small notebook in its place, and HTTP to it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "data" / "reference"
EXPLORER = "/voila/render/90_explore.ipynb"
START_SECONDS = 60

SMALL = """\
import ipywidgets
import edgeprof

ds = edgeprof.open(data)
table = ipywidgets.Dropdown(options=["runs", "captures"], description="table")
seen = ipywidgets.Label()

def show(*_):
    seen.value = f"{len(ds.table(table.value))} {table.value}"

table.observe(show, "value")
show()
ipywidgets.VBox([table, seen])"""


def tree(folder: Path, code: str = SMALL) -> Path:
    """Make a clone in which the explorer is a small notebook; return what PYTHONPATH must name."""
    (folder / "notebooks").mkdir(parents=True)
    for name in ("edgeprof", "data"):
        (folder / name).symlink_to(ROOT / name)
    for path in (ROOT / "notebooks").glob("0*.ipynb"):
        (folder / "notebooks" / path.name).symlink_to(path)
    parameters = nbformat.v4.new_code_cell('data: str = ""  # the data set')
    parameters.metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_markdown_cell("# Explore"), parameters, nbformat.v4.new_code_cell(code)]
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}),
        folder / "notebooks" / "90_explore.ipynb",
    )
    return folder


def token_file(folder: Path, token: str) -> Path:
    """Write a token as it should be kept."""
    path = folder / "token"
    path.write_text(token + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


@dataclass
class Answer:
    """What a server answered."""

    status: int
    headers: http.client.HTTPMessage
    body: str

    def cookies(self) -> str:
        """The cookies that were set, to send them back."""
        return "; ".join(c.split(";")[0] for c in self.headers.get_all("Set-Cookie") or [])


@dataclass
class Serving:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    output: Path
    bearer: dict[str, str] = field(default_factory=dict)

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: str | None = None,
        seconds: float = 60,
    ) -> Answer:  # fmt: skip
        """Make one request as it stands: no redirect is followed, no cookie kept."""
        at = urlsplit(self.url)
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=seconds)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode("utf-8", "replace"))
        finally:
            connection.close()

    def said(self) -> str:
        """Everything it wrote so far."""
        return self.output.read_text(encoding="utf-8")

    def kernel(self) -> str:
        """Open the explorer; return its kernel's id."""
        page = self.ask(EXPLORER, headers=self.bearer)
        assert page.status == 200, page.body
        return re.search(r'"?kernelId"?: ?"([0-9a-f-]{36})"', page.body)[1]

    def kernels(self) -> list[int]:
        """The process ids of its kernels."""
        here = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii").split()
        return [int(p) for p in here if b"ipykernel_launcher" in Path(f"/proc/{p}/cmdline").read_bytes()]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; return the exit code, and how many seconds it took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(30)
        return code, time.monotonic() - begun


@contextlib.contextmanager
def serving(
    folder: Path, *options: str, at: Path = ROOT, data: Path = REFERENCE, env: Mapping[str, str] | None = None,
    token: str = "", start: Sequence[str] = ("-m", "edgeprof"), **more: Any,
) -> Iterator[Serving]:  # fmt: skip
    """Start a server on a free port, and wait until it says its address."""
    token = token or secrets.token_urlsafe(24)
    output = folder / "output.txt"
    command = [sys.executable, *start, "serve", "--data", str(data), "--port", "0", *options]
    if env is None or not any(name.startswith("EDGEPROF_TOKEN") for name in env):
        command += ["--token-file", str(token_file(folder, token))]
    environment = os.environ | {"PYTHONPATH": str(at)} | dict(env or {})
    with output.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=folder, **more)
    try:
        until = time.monotonic() + START_SECONDS
        while not (found := re.search(r"at (http://\S+)", output.read_text(encoding="utf-8"))):
            assert process.poll() is None and time.monotonic() < until, output.read_text(encoding="utf-8")
            time.sleep(0.05)
        yield Serving(process, found[1], token, output, {"Authorization": f"Bearer {token}"})
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
