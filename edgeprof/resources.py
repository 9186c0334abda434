"""The files that come with edgeprof: notebooks, models, sample data.

An installed wheel has them below ``edgeprof/_data``, a clone in its own folders.
"""

from __future__ import annotations

from pathlib import Path

from edgeprof.errors import StorageError

__all__ = ["path"]

_PACKAGE = Path(__file__).parent


def path(name: str) -> Path:
    """Return where a file or folder is that comes with edgeprof, for instance ``data/models``.

    Raises
    ------
    StorageError
        It is not there: an incomplete install, or a sample that only a clone has.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        if (root / name).exists():
            return root / name
    if name.startswith("data/samples"):
        raise StorageError(f"{name} is in a clone of the repository only: say which data set to look at instead.")
    raise StorageError(f"{name} did not come with this install of edgeprof. `pip install --force-reinstall edgeprof`.")
