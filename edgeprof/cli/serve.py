"""Serve the explorer of a data set to browsers, behind a token, until Ctrl-C or SIGTERM.

  (umask 077; openssl rand -hex 32 > token)
  edgeprof serve --data data --token-file token
  EDGEPROF_TOKEN_FILE=token edgeprof serve --data data --host 0.0.0.0

The token is read from a file, or from EDGEPROF_TOKEN: never from the command line. /health answers without it,
/metrics (Prometheus) with it. docs/serve.md says what a visitor can do.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.allow_abbrev = False  # --token is not short for --token-file
    parser.add_argument("--token", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the data set")
    parser.add_argument(
        "--host", default="127.0.0.1", help="where to listen: 0.0.0.0 is everywhere (default 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=8866, metavar="N", help="0 takes any that is free (default 8866)")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="a file with the token and nothing else")
    parser.add_argument(
        "--lab", action="store_true", help="JupyterLab, too: who has the token can then run anything as this user"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import contextlib
    import os
    import signal
    import tempfile
    import threading

    from edgeprof.errors import UsageError
    from edgeprof.parameters import find_notebook, list_notebooks
    from edgeprof.server import place
    from edgeprof.server.secret import VARIABLE, read_token
    from edgeprof.server.state import read_state

    if not 0 <= args.port <= 65535:
        raise UsageError(f"--port must be from 0 to 65,535, not {args.port:,}.")
    if args.token is not None:
        raise UsageError(
            "A token on a command line can be read by every user of this machine: that one is spent. Put "
            f"another into a file (--token-file FILE), or into {VARIABLE}."
        )
    token = read_token(args.token_file)
    data = place.folder_of(args.data)
    if not read_state(data).captures:
        print(f"edgeprof: there is no capture in {args.data} yet; when there is, load the page again.", flush=True)
    place.check_address(args.host, args.port)
    # A signal that comes while the server is being set up ends it, too, and as it is meant to end. What it raises may
    # be lost in somebody's clean-up: then the server ends as soon as it has begun.
    ended = threading.Event()

    def end(*_: object) -> None:
        ended.set()
        raise KeyboardInterrupt

    def started(port: int) -> None:
        if ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            _announce(args, port)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with (
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory(prefix="edgeprof-serve-", ignore_cleanup_errors=True) as name,
    ):
        temporary = Path(name)
        place.own_folders(temporary)
        if not args.lab:
            os.environ[place.SERVED] = "1"
        # Jupyter reads the environment when it is imported.
        from edgeprof.server.app import configuration, serve

        notebooks = temporary / "notebooks"
        notebooks.mkdir()
        stems = list_notebooks() if args.lab else [Path(place.EXPLORER).stem]
        for stem in stems:
            source = find_notebook(stem)
            place.write_prepared(source, data, notebooks / source.name)
        config = configuration(
            token=token, data=data, notebooks=notebooks, host=args.host, port=args.port, everything=args.lab
        )
        serve(config, everything=args.lab, temporary=temporary, started=started)
    print("edgeprof: the server has ended.", flush=True)
    # On a machine under load Python takes seconds to collect what Jupyter leaves, and nothing is left to do.
    os._exit(0)


def _announce(args: argparse.Namespace, port: int) -> None:
    host = f"[{args.host}]" if ":" in args.host else args.host
    what = "the explorer and JupyterLab" if args.lab else "the explorer"
    print(f"edgeprof: {what} of {args.data} at http://{host}:{port}/ (asks for the token); Ctrl-C ends", flush=True)
