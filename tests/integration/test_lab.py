"""``edgeprof lab``: JupyterLab as a process, on copies of the notebooks, with a kernel that is this Python."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
from jupyter_client.blocking import BlockingKernelClient

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "data" / "reference"
COMMAND = [sys.executable, "-m", "edgeprof", "lab", "--no-browser"]

pytestmark = [pytest.mark.once, pytest.mark.slow]


@contextlib.contextmanager
def lab(
    folder: Path, *options: str, env: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """Start JupyterLab; yield its process and what asks its REST API."""
    output = folder / "output.txt"
    environment = os.environ | {"HOME": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")} | (env or {})
    with output.open("wb") as out:
        process = subprocess.Popen([*COMMAND, *options], stdout=out, stderr=out, cwd=folder, env=environment)
    try:
        until = time.monotonic() + 90
        while not (found := re.search(r"http://127\.0\.0\.1\S+token=\w+", output.read_text(encoding="utf-8"))):
            assert process.poll() is None and time.monotonic() < until, output.read_text(encoding="utf-8")
            time.sleep(0.1)
        at = urlsplit(found[0])
        while True:  # it says its address a moment before it listens
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", at.port or 0)).close()
                break
            assert time.monotonic() < until
            time.sleep(0.1)
        headers = {"Authorization": "token " + parse_qs(at.query)["token"][0]}

        def ask(path: str, method: str = "GET", body: dict[str, Any] | None = None) -> tuple[int, str]:
            connection = http.client.HTTPConnection("127.0.0.1", at.port, timeout=60)
            try:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            finally:
                connection.close()

        yield process, ask
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def bogus_kernel(jupyter: Path) -> None:
    """Write the classic fault: a kernel spec ``python3`` in the user's home, of a Python that is gone."""
    spec = jupyter / "kernels" / "python3"
    spec.mkdir(parents=True)
    text = json.dumps({"argv": ["/nowhere/python", "-m", "ipykernel"], "display_name": "Old", "language": "python"})
    (spec / "kernel.json").write_text(text, encoding="utf-8")


def executed(folder: Path, notebook: Path) -> list[str]:
    """Run a notebook's code on the one kernel that a server has running; return the errors."""
    (connection,) = (folder / "runtime").glob("kernel-*.json")
    client = BlockingKernelClient(connection_file=str(connection))
    client.load_connection_file()
    client.start_channels()
    errors: list[str] = []
    try:
        until = time.monotonic() + 60
        while True:
            try:
                client.wait_for_ready(timeout=60)
                break
            except RuntimeError:  # one heartbeat late, as on a busy machine, is not a dead kernel
                assert time.monotonic() < until
        for cell in nbformat.read(notebook, 4).cells:
            if cell.cell_type == "code":
                reply = client.execute_interactive(cell.source, timeout=120, output_hook=lambda _: None)["content"]
                errors += [reply["evalue"]] if reply["status"] == "error" else []
    finally:
        client.stop_channels()
    return errors


def test_a_notebook_runs_although_another_kernel_has_its_name(tmp_path):
    """Nothing but the notebook's own kernel name, JupyterLab's own way to start it, and the data that were named."""
    bogus_kernel(tmp_path / ".local" / "share" / "jupyter")
    with lab(tmp_path, "--port", "0", "--data", str(REFERENCE)) as (process, ask):
        status, page = ask("/lab")
        assert status == 200
        settings = json.loads(
            re.search(r'<script id="jupyter-config-data"[^>]*>\s*({.*?})\s*</script>', page, re.DOTALL)[1]
        )
        assert settings["news"] == {"disabled": True}
        assert "@jupyterlab/apputils-extension:announcements" in settings["disabledExtensions"]
        model = json.loads(ask("/api/contents/00_quickstart.ipynb")[1])
        name = model["content"]["metadata"]["kernelspec"]["name"]
        status, _ = ask(
            "/api/sessions",
            "POST",
            {"path": "00_quickstart.ipynb", "type": "notebook", "name": "", "kernel": {"name": name}},
        )
        assert status == 201
        copy = tmp_path / "edgeprof-notebooks" / "00_quickstart.ipynb"
        assert executed(tmp_path, copy) == []
        injected = [c for c in nbformat.read(copy, 4).cells if "injected-parameters" in c.metadata.get("tags", [])]
        assert len(injected) == 1 and str(REFERENCE) in injected[0].source
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    text = (tmp_path / "output.txt").read_text(encoding="utf-8")
    assert "JupyterLab has ended" in text and "Traceback" not in text


def test_what_was_changed_is_kept(tmp_path):
    mine = tmp_path / "mine" / "00_quickstart.ipynb"
    mine.parent.mkdir()
    mine.write_text("changed", encoding="utf-8")
    with lab(tmp_path, "--port", "0", "--out", "mine"):
        assert (tmp_path / "mine" / "02_inspect_run.ipynb").read_bytes() == (
            ROOT / "notebooks" / "02_inspect_run.ipynb"
        ).read_bytes()
    assert mine.read_text(encoding="utf-8") == "changed"
    said = (tmp_path / "output.txt").read_text(encoding="utf-8")
    assert "kept    mine/00_quickstart.ipynb (it was there)" in said
    assert "90_explore.ipynb is the explorer" in said


def test_copies_that_begin_with_other_data_are_named(tmp_path, capsys):
    from edgeprof.cli.notebooks import copy

    for folder in ("one", "other", "one"):
        capsys.readouterr()
        copy(tmp_path / "mine", tmp_path / folder)
        said = capsys.readouterr().out
        assert ("does not begin with" in said) == (folder == "other")


def test_what_it_refuses(tmp_path):
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for words, code, said in (
            (["--port", str(taken.getsockname()[1])], 3, "address already in use"),
            (["--port", "70000"], 3, "65,535"),
            (["--out", "file"], 5, "file cannot be written"),
            (["--data", "nowhere"], 5, "no data set at nowhere"),
        ):
            done = subprocess.run(
                [*COMMAND, *words], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
            )
            assert (done.returncode, said in done.stderr) == (code, True), (words, done.stderr)
            assert "Traceback" not in done.stderr
