"""Copy edgeprof's notebooks into a folder, to change and run in JupyterLab.

They find the sample data that came with edgeprof by themselves. A file that is there already is left alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("dir", type=Path, metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    copy(args.dir)
    print(f"next: jupyter lab {args.dir}")
    return 0


def copy(folder: Path, data: Path | None = None) -> None:
    """Copy the notebooks, and say what became of each; with ``data`` the copies begin with that data set."""
    import shutil

    from edgeprof.errors import StorageError
    from edgeprof.parameters import list_notebooks, parameters_of

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in list_notebooks().values():
            target = folder / source.name
            if target.exists():
                takes = data if "data" in parameters_of(source) else None
                print(f"kept    {target} (it was there{_other(target, takes)})")
                continue
            if data is not None and "data" in parameters_of(source):
                from edgeprof.server.place import write_prepared

                write_prepared(source, data, target)
            else:
                shutil.copyfile(source, target)
            print(f"copied  {target}")
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{folder} cannot be written: {error.strerror}.") from error


def _other(target: Path, data: Path | None) -> str:
    """Return what to say of a notebook that is kept, if it does not begin with the data set that was asked for."""
    if data is None or str(data) in target.read_text(encoding="utf-8"):
        return ""
    return f", and does not begin with {data}: --out elsewhere copies it anew"
