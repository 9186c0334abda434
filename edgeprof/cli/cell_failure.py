"""A failing cell in five lines on standard error, and as an annotation where GitHub runs it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgeprof.display import terminal_text
from edgeprof.errors import CellError
from edgeprof.workflow_commands import annotation, wanted

__all__ = ["annotate", "lines", "tell"]

LONGEST = 2000


def lines(error: CellError) -> list[str]:
    """Return what failed in five lines: notebook, cell, parameters, error, and where to look."""
    first = next((line.strip() for line in error.source.splitlines() if line.strip()), "")
    given = {name: value for name, value in error.parameters.items() if name != "output_dir"}
    said = {
        "notebook": error.notebook,
        "cell": f"[{error.cell or '?'}] {first}".rstrip(),
        "parameters": json.dumps(given, default=str, ensure_ascii=False),
        "error": f"{error.ename}: {' '.join(error.evalue.split())}".rstrip(": "),
        "executed notebook": error.executed,
    }
    return [f"{name + ':':<19}{terminal_text(text, LONGEST)}" for name, text in said.items()]


def tell(error: CellError) -> int:
    """Print what failed; return the exit code."""
    print(*lines(error), sep="\n", file=sys.stderr)
    annotate(error)
    return error.exit_code


def annotate(error: CellError) -> None:
    """Print an annotation where GitHub reads it, and nothing elsewhere."""
    if wanted():
        title = f"{error.notebook.name} failed in cell [{error.cell or '?'}]"
        print(annotation("error", "\n".join(lines(error)[1:]), file=_from_here(error.notebook), title=title))


def _from_here(path: Path) -> str:
    """Return a path as GitHub names it: from the checkout, which is where steps run."""
    here = Path.cwd()
    whole = path.absolute()
    return whole.relative_to(here).as_posix() if whole.is_relative_to(here) else path.as_posix()
