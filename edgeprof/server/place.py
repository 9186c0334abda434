"""Folders of its own for a server: what it writes is temporary, and nobody's Jupyter configuration reaches it."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from edgeprof.errors import StorageError, UsageError
from edgeprof.server.first import without_news, write_kernel

__all__ = ["EXPLORER", "SERVED", "check_address", "folder_of", "own_folders", "write_prepared"]

EXPLORER = "90_explore.ipynb"
"""The notebook that is served."""
SERVED = "EDGEPROF_SERVED"
"""An environment variable of kernels whose visitors reach no file that is written: the explorer offers none."""


def own_folders(folder: Path) -> None:
    """Let this process and its children have their Jupyter, IPython and matplotlib folders below one folder.

    It becomes the working folder, too: Voilà executes a ``voila.py`` that lies there.
    """
    # With JUPYTER_NO_CONFIG Jupyter (in the kernels, too) makes a temporary folder and leaves it: in this one.
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    os.environ["JUPYTER_NO_CONFIG"] = "1"
    for name in ("data", "runtime"):
        (folder / name).mkdir()
        os.environ[f"JUPYTER_{name.upper()}_DIR"] = str(folder / name)
    os.environ["IPYTHONDIR"] = str(folder / "ipython")
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH", "JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE"):
        os.environ.pop(name, None)
    if paths := os.environ.get("PYTHONPATH"):
        os.environ["PYTHONPATH"] = os.pathsep.join(str(Path(path).absolute()) for path in paths.split(os.pathsep))
    from jupyter_core.paths import jupyter_config_dir

    write_kernel(folder / "data")
    without_news(Path(jupyter_config_dir()))
    os.chdir(folder)


def write_prepared(notebook: Path, data: Path, target: Path) -> None:
    """Write a notebook with its parameter ``data`` set, as papermill does it, and without the outputs of other data.

    One that reads evidence of a build, not a data set, has no such parameter and begins with its own.

    Raises
    ------
    ReportError, UsageError
        It is no notebook, or has no parameter for what it reads.
    """
    import nbformat
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    from edgeprof.parameters import checked, parameters_of, source_of

    given = {"data": str(data)} if source_of(parameters_of(notebook)) == "data" else {}
    node = parameterize_notebook(load_notebook_node(str(notebook)), checked(notebook, given))
    for cell in node.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(node, target)  # type: ignore[no-untyped-call]


def check_address(host: str, port: int) -> None:
    """Find out whether a server can listen at an address.

    Raises
    ------
    UsageError
        The port is taken or not for this user, or the host is none of this machine's.
    """
    from tornado.netutil import bind_sockets

    try:
        for one in bind_sockets(port, host):
            one.close()
    except (OSError, UnicodeError) as error:
        if isinstance(error, (socket.gaierror, UnicodeError)):
            reason = f"there is no host {host!r}: 127.0.0.1 is this machine for itself, 0.0.0.0 for all others, too"
        else:
            reason = f"{(os.strerror(error.errno or 0)).lower()}; another --port may be free, and 0 takes any that is"
        raise UsageError(f"Nothing can be served at {host}, port {port}: {reason}.") from error


def folder_of(data: Path) -> Path:
    """Return a data set's folder, if it can be read.

    Raises
    ------
    StorageError
        It is not there, no folder, or damaged.
    """
    from edgeprof.server.state import read_state

    folder = data.absolute()
    if not folder.is_dir():
        raise StorageError(f"There is no data set at {data}: it is no folder. `edgeprof demo` makes one.")
    read_state(folder)
    return folder
