"""Tests in a process of their own, on a copy of the package; this module must not import the package."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PRELOADED = [
    "isolated", "pytest", "numpy", "pandas", "pyarrow.parquet", "pyarrow.dataset", "scipy.stats", "scipy.signal",
    "scipy.optimize", "gguf", "matplotlib.pyplot",
]  # fmt: skip
"""What takes long to import and is the same for every copy."""

NOTEBOOK = "notebook "
ANOTHER_PACKAGE = 70
"""The exit code where something else than the copy was tested: neither of pytest's own nor of an exception."""


def run_tests(folder: Path, tests: list[str], report: Path) -> None:
    """Run tests in a copy, or compare notebooks as ``nox -s notebooks`` does; end with pytest's exit code."""
    import pytest

    os.chdir(folder)
    path = [str(folder), str(folder / "tests")]
    sys.path[:0] = path
    sys.dont_write_bytecode = True
    # Threads of libraries would only fight with the other jobs.
    os.environ |= {"PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    out = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    early = "edgeprof" in sys.modules
    code = int(pytest.main([*arguments(folder, tests), f"--junitxml={report}"]))
    package = sys.modules.get("edgeprof")
    if early or (package is not None and not Path(str(package.__file__)).is_relative_to(folder)):
        print(f"Not the copy was tested, but {package}.")
        code = ANOTHER_PACKAGE
    sys.stdout.flush()
    os._exit(code)  # threads that a test left behind are nobody's concern here


def arguments(folder: Path, tests: list[str]) -> list[str]:
    """Return what pytest is told."""
    usual = ["-x", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}"]
    if not tests[0].startswith(NOTEBOOK):
        # What nbval imports takes longer than most of these tests.
        return [*usual, "-p", "no:nbval", "--hypothesis-seed=0", *tests]
    sanitize = folder / "tests" / "notebooks" / "sanitize.cfg"
    also = [f"--nbval-sanitize-with={sanitize}"] if sanitize.exists() else []
    found = [p for n in tests for p in sorted((folder / "notebooks").glob(f"{n.removeprefix(NOTEBOOK)}_*.ipynb"))]
    return [*usual, "--nbval", "--nbval-current-env", *also, *map(str, found)]
