"""JupyterLab and Voilà as a user has them: a real server, a real kernel, and Chromium in front of them.

::

    with lab.server(folder) as server, lab.tab(started, server) as tab:
        notebook = lab.Notebook.open(tab, server, "00_quickstart.ipynb")
        notebook.run_all()
        assert notebook.errors() == []

No request leaves the machine: what asks for another host is refused, and is in ``tab.refused``.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Notebook", "Server", "screenshot", "server", "tab", "voila"]

START_SECONDS = 60
RUN_SECONDS = 180
SIZE = {"width": 1400, "height": 1000}
_SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/apputils-extension/notification.doNotDisturb": {"doNotDisturbMode": True},
    # Every cell and output is in the page, whether it is looked at or not.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


@dataclass(frozen=True)
class Server:
    """A server that runs: its address, its token, the folder that it serves, and what it says."""

    url: str
    token: str
    folder: Path
    log: Path

    def address(self, path: str) -> str:
        return f"{self.url}/{path}?token={self.token}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(own: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which nothing of the user's Jupyter is found or changed."""
    mine = {
        "JUPYTER_CONFIG_DIR": own / "config", "JUPYTER_DATA_DIR": own / "data", "JUPYTER_RUNTIME_DIR": own / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": own / "settings", "JUPYTERLAB_WORKSPACES_DIR": own / "workspaces",
        "IPYTHONDIR": own / "ipython", "JUPYTER_NO_CONFIG": "1", "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_PLATFORM_DIRS": "1",
    }  # fmt: skip
    return os.environ | {name: str(value) for name, value in mine.items()} | dict(more)


@contextlib.contextmanager
def _running(
    module: str, options: list[str], ready: str, folder: Path, own: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Start a server on a port of its own, wait until it answers, and end it with all its kernels."""
    own.mkdir(parents=True, exist_ok=True)
    port, token, log = _free_port(), secrets.token_hex(16), own / "server.log"
    command = [sys.executable, "-m", module, f"--port={port}", *(o.replace("TOKEN", token) for o in options)]
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=_environment(own, environment), stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        try:
            found = Server(f"http://127.0.0.1:{port}", token, folder, log)
            _wait(process, found, ready)
            yield found
        finally:
            process.terminate()  # ends its kernels, too
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], server: Server, ready: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(server.address(ready), timeout=5):
                return
        except urllib.error.HTTPError:
            return  # it answers
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"The server did not start:\n{server.log.read_text(encoding='utf-8')[-3000:]}")


@contextlib.contextmanager
def server(folder: Path, own: Path, **environment: str) -> Iterator[Server]:
    """Start JupyterLab on a folder; ``own`` is for its settings and log, ``environment`` for its kernels."""
    pytest.importorskip("jupyterlab", reason="needs JupyterLab: pip install jupyterlab")
    for name, values in _SETTINGS.items():
        path = own / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    options = [
        "--no-browser", "--ServerApp.port_retries=0", "--IdentityProvider.token=TOKEN",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None", "--ServerApp.allow_root=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    with _running("jupyterlab", options, "api/status", folder, own, environment) as found:
        yield found


@contextlib.contextmanager
def voila(notebook: Path, own: Path, **environment: str) -> Iterator[Server]:
    """Start Voilà on a notebook: a page of its outputs without its code."""
    pytest.importorskip("voila", reason="needs Voilà: pip install voila")
    options = ["--no-browser", "--token=TOKEN", "--show_tracebacks=True", str(notebook)]
    with _running("voila", options, "voila/static/none", notebook.parent, own, environment) as found:
        yield found


@contextlib.contextmanager
def tab(started: Any, where: Server, scheme: str = "light") -> Iterator[Any]:
    """Open a tab that reaches the server and nothing else; refused addresses are in ``tab.refused``."""
    context = started.new_context(color_scheme=scheme, viewport=SIZE)
    refused: list[str] = []

    def judge(route: Any) -> None:
        if route.request.url.startswith((f"{where.url}/", "data:", "blob:")):
            route.continue_()
        else:
            refused.append(route.request.url)
            route.abort()

    context.route("**/*", judge)
    page = context.new_page()
    page.refused = refused
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    try:
        yield page
    finally:
        context.close()


def screenshot(page: Any, name: str, folder: Path) -> Path:
    """Keep a picture of what can be seen: in the folder EDGEPROF_SCREENSHOTS if that is set, else in ``folder``."""
    target = Path(os.environ.get("EDGEPROF_SCREENSHOTS") or folder) / f"{name}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(target))
    return target


@dataclass
class Notebook:
    """A notebook that is open in JupyterLab."""

    page: Any

    @classmethod
    def open(cls, page: Any, where: Server, name: str) -> Notebook:
        """Open a notebook by its path below the server's folder, alone in the window, and wait for its kernel."""
        page.goto(where.address(f"doc/tree/{name}") + "&reset")
        page.wait_for_function(
            """name => {
                const panel = window.jupyterapp?.shell.currentWidget;
                return panel?.context?.path === name && panel.context.isReady
                    && panel.sessionContext.session?.kernel?.status === 'idle';
            }""",
            arg=name, timeout=1000 * START_SECONDS,
        )  # fmt: skip
        return cls(page)

    def run_all(self, seconds: float = RUN_SECONDS) -> None:
        """Click *Run All Cells*, and wait until the kernel is idle and every cell has run or one has failed."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        self.wait(seconds)

    def wait(self, seconds: float = RUN_SECONDS) -> None:
        """Wait until no cell runs or waits any more."""
        try:
            self.page.wait_for_function(
                """() => {
                    const panel = window.jupyterapp.shell.currentWidget;
                    const code = panel.content.model.sharedModel.toJSON().cells.filter(c => c.cell_type === 'code');
                    const failed = code.some(c => c.outputs.some(o => o.output_type === 'error'));
                    const running = [...panel.content.widgets].some(w => w.model.executionState === 'running');
                    return panel.sessionContext.session.kernel.status === 'idle' && !running
                        && (failed || code.every(c => c.execution_count || !String(c.source).trim()));
                }""",
                timeout=1000 * seconds,
            )
        except Exception as error:
            raise AssertionError(f"The notebook did not end: {self.counts()}") from error

    def cells(self) -> list[dict[str, Any]]:
        """Return the code cells as JupyterLab holds them, outputs included."""
        whole = self.page.evaluate("window.jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON()")
        return [cell for cell in whole["cells"] if cell["cell_type"] == "code"]

    def counts(self) -> list[int | None]:
        """Return the execution count of each code cell."""
        return [cell["execution_count"] for cell in self.cells()]

    def errors(self) -> list[str]:
        """Return what went wrong: errors of cells, what they wrote to stderr, and widgets that could not be shown."""
        found = []
        for cell in self.cells():
            for output in cell["outputs"]:
                if output["output_type"] == "error":
                    found.append(f"[{cell['execution_count']}] {output['ename']}: {output['evalue']}")
                elif output.get("name") == "stderr":
                    found.append(f"[{cell['execution_count']}] stderr: {''.join(output['text'])}")
        shown = self.page.locator(".jp-OutputArea").all_inner_texts()
        found += [text for text in shown if "Error displaying widget" in text or "model not found" in text]
        return found + list(self.page.complaints)

    def cell(self, number: int) -> Any:
        """Return the output area of a code cell, the first being 0, as a locator."""
        return self.page.locator(".jp-CodeCell").nth(number).locator(".jp-Cell-outputArea")

    def run_code(self, source: str, seconds: float = RUN_SECONDS) -> str:
        """Run code in the notebook's kernel, unseen, and return what it printed; an error in it is raised here."""
        done = self.page.evaluate(
            """async ([code, timeout]) => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const future = kernel.requestExecute({code, store_history: false});
                let text = '';
                future.onIOPub = message => { if (message.header.msg_type === 'stream') text += message.content.text; };
                const late = new Promise((_, no) => setTimeout(() => no(new Error('too slow')), timeout));
                const reply = await Promise.race([future.done, late]);
                return [reply.content, text];
            }""",
            [source, 1000 * seconds],
        )
        reply, text = done
        assert reply["status"] == "ok", f"{reply.get('ename')}: {reply.get('evalue')}"
        return str(text)

    def close(self) -> None:
        """End its kernel."""
        self.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")


def copies(folder: Path, notebooks: Mapping[str, Path]) -> list[str]:
    """Copy notebooks without their outputs into a folder; return their names there."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for path in notebooks.values():
        target = folder / path.name
        shutil.copyfile(path, target)
        whole = json.loads(target.read_text(encoding="utf-8"))
        for cell in whole["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
        target.write_text(json.dumps(whole), encoding="utf-8")
        names.append(target.name)
    return names
