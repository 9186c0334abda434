"""The end of a process that has read tables: at once, when all is said and written.

When Python takes itself apart, threads of pyarrow's may still let go of what they have read, and then it and they wait
for each other: the process has written everything and never ends (apache/arrow, issues 33975, 39862 and 50482). A
command that ended so was seen once, on a busy machine; that this was its cause is likely and not proven. So nothing is
taken apart; the system takes it all.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import NoReturn

__all__ = ["leave"]


def leave(code: int) -> NoReturn:
    """End this process with an exit code, after its threads, what is registered with :mod:`atexit`, and its output."""
    threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing ends its processes: pools stop here, too
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # whoever read it is gone, or it is closed
            stream.flush()
    os._exit(code)
