"""Open JupyterLab on a copy of edgeprof's notebooks, with a kernel that has edgeprof.

  edgeprof lab
  edgeprof lab --data data --out notebooks --port 8888 --no-browser

A notebook that is in the folder already is kept as it is. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

FIRST_PORT = 8888
LOCAL = "127.0.0.1"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--out", type=Path, default=Path("edgeprof-notebooks"), metavar="DIR",
        help="where the notebooks are, or are copied to (default edgeprof-notebooks)",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="DIR", help="the data set that the copies begin with")
    parser.add_argument(
        "--port", type=int, metavar="N", help=f"this one only (default: a free one from {FIRST_PORT} on)"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address instead of opening it")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import tempfile

    from edgeprof.cli.notebooks import copy
    from edgeprof.errors import UsageError
    from edgeprof.server import place
    from edgeprof.server.first import put_first

    if args.port is not None:
        if not 0 <= args.port <= 65535:
            raise UsageError(f"--port must be from 0 to 65,535, not {args.port:,}.")
        place.check_address(LOCAL, args.port)
    copy(args.out, None if args.data is None else place.folder_of(args.data))
    with tempfile.TemporaryDirectory(prefix="edgeprof-lab-", ignore_cleanup_errors=True) as name:
        put_first(Path(name))
        _lab(args)
    print("edgeprof: JupyterLab has ended.")
    return 0


def _lab(args: argparse.Namespace) -> None:
    """Run JupyterLab until a signal comes."""
    from jupyterlab.labapp import LabApp

    from edgeprof.errors import UsageError

    options = [
        f"--ServerApp.root_dir={args.out.absolute()}",
        f"--ServerApp.ip={LOCAL}",
        f"--ServerApp.port={FIRST_PORT if args.port is None else args.port}",
        "--ServerApp.allow_root=True",
        "--ServerApp.answer_yes=True",  # Ctrl-C ends without a question
        "--KernelManager.shutdown_wait_time=1",
        "--Application.log_level=WARN",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    options += [] if args.port is None else ["--ServerApp.port_retries=0"]
    options += ["--no-browser"] if args.no_browser else []
    try:
        server = LabApp.initialize_server(argv=options)
        print(f"edgeprof: JupyterLab on {args.out}. Begin with 00_quickstart.ipynb; 90_explore.ipynb is the explorer.")
        server.start()
    except SystemExit as end:
        if end.code:
            raise UsageError("JupyterLab did not start; the lines above say why.") from end
