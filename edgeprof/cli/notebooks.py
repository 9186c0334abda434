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
    import shutil

    from edgeprof import resources
    from edgeprof.errors import StorageError

    try:
        args.dir.mkdir(parents=True, exist_ok=True)
        for source in sorted(resources.path("notebooks").glob("*.ipynb")):
            target = args.dir / source.name
            if target.exists():
                print(f"kept    {target} (it was there)")
            else:
                shutil.copyfile(source, target)
                print(f"copied  {target}")
    except OSError as error:
        raise StorageError(f"{args.dir} cannot be written: {error.strerror}.") from error
    print(f"next: jupyter lab {args.dir}")
    return 0
