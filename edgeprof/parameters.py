"""A notebook's parameters: what its tagged cell declares, and given values checked against that.

papermill only warns of an unknown parameter and checks no types; here both are errors.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprof.errors import ReportError, UsageError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SOURCES",
    "Parameter",
    "checked",
    "find_notebook",
    "list_notebooks",
    "literal",
    "parameter_table",
    "parameters_of",
    "short_name",
    "source_of",
]

SOURCES = ("data", "reports")
"""The parameters that say what a notebook reads: a data set, or a folder of evidence that a build left."""

_CASTS = {"str": str, "int": int, "float": float, "bool": bool}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A notebook's parameter, as its parameters cell declares it."""

    name: str
    type: str
    default: str
    help: str


def list_notebooks() -> dict[str, Path]:
    """Return the notebooks that come with edgeprof, by name."""
    from edgeprof import resources

    return {path.stem: path for path in sorted(resources.path("notebooks").glob("*.ipynb"))}


def short_name(stem: str) -> str:
    """Return a notebook's name without the number that orders it.

    Examples
    --------
    >>> short_name("02_inspect_run"), short_name("quality_report")
    ('inspect_run', 'quality_report')
    """
    return re.sub(r"^\d+_", "", stem)


def source_of(declared: Iterable[str]) -> str:
    """Return the parameter that says what a notebook reads; ``data`` if it has none, which is then an error."""
    names = set(declared)
    return next((source for source in SOURCES if source in names), SOURCES[0])


def find_notebook(name: str) -> Path:
    """Return a notebook by path or by name; a unique part of the name will do.

    Raises
    ------
    UsageError
        There is none; the message names the closest.
    """
    if name.endswith(".ipynb"):
        if Path(name).exists():
            return Path(name)
        raise UsageError(f"There is no notebook {name}. `edgeprof report --list` names those that come with edgeprof.")
    known = list_notebooks()
    matches = [path for stem, path in known.items() if name in (stem, short_name(stem))]
    if len(matches) == 1:
        return matches[0]
    raise unknown_name("notebook", name, known, "A path to an .ipynb works too.")


def parameters_of(notebook: Path) -> dict[str, Parameter]:
    """Return what a notebook's parameters cell declares.

    Raises
    ------
    ReportError
        The file is no notebook, or has no cell tagged ``parameters``.
    """
    import papermill

    try:
        content = json.loads(notebook.read_text(encoding="utf-8"))
        cells = [c for c in content["cells"] if "parameters" in c.get("metadata", {}).get("tags", [])]
        if "kernelspec" not in content.get("metadata", {}):
            raise ReportError(
                f"{notebook} does not say its kernel (metadata, kernelspec). Save it once in JupyterLab with a "
                "Python 3 kernel."
            )
        found = papermill.inspect_notebook(str(notebook)) if cells else {}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ReportError(f"{notebook} is not a notebook that can be read: {error!r}.") from error
    if not cells:
        raise ReportError(
            f"{notebook} has no parameters cell. Tag the cell with its settings `parameters` (in JupyterLab: the gear "
            "on the right, Common Tools, Cell Tags)."
        )
    return {name: Parameter(name, _type_of(p), p["default"], p["help"] or "") for name, p in found.items()}


def _type_of(declared: Mapping[str, Any]) -> str:
    """Return the type that a parameter is annotated with, or else that of its default."""
    if declared["inferred_type_name"] != "None":
        return str(declared["inferred_type_name"])
    try:
        return type(ast.literal_eval(declared["default"])).__name__
    except (ValueError, SyntaxError):
        return "any"


def checked(notebook: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given parameters as the types that the notebook declares.

    Raises
    ------
    UsageError
        A name that the notebook does not have (with the closest), or a value of another type.
    """
    declared = parameters_of(notebook)
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in declared:
            raise unknown_name(f"parameter of {notebook.stem}", name, declared)
        values[name] = _cast(name, value, declared[name].type)
    return values


def _cast(name: str, value: Any, kind: str) -> Any:
    def wrong() -> UsageError:
        return UsageError(f"Parameter {name!r} is of type {kind}; {value!r} is not. Give it as -p {name}=VALUE.")

    inner = re.fullmatch(r"list\[(\w+)\]", kind)
    if inner:
        items = [i.strip() for i in value.split(",") if i.strip()] if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise wrong()
        return [_cast(name, item, inner[1]) for item in items]
    if kind not in _CASTS:
        return literal(value)
    if kind == "bool":
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise wrong()
    if kind == "str":
        return str(value)
    number = literal(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise wrong()
    if kind == "int" and isinstance(number, float) and not number.is_integer():
        raise wrong()
    return _CASTS[kind](number)


def literal(value: Any) -> Any:
    """Return what a text says in Python's own spelling, or the text itself."""
    try:
        return ast.literal_eval(value.strip()) if isinstance(value, str) else value
    except (ValueError, SyntaxError):
        return value


def parameter_table(notebooks: Iterable[Path]) -> pd.DataFrame:
    """Return what notebooks can be told: ``notebook``, ``parameter``, ``type``, ``default`` and ``help``, all text.

    The report's own folder is left out: ``--out`` chooses it.

    Raises
    ------
    ReportError
        One of them cannot be read, or has no parameters cell.
    """
    import pandas as pd

    rows = [
        {"notebook": path.stem, "parameter": p.name, "type": p.type, "default": p.default, "help": p.help}
        for path in notebooks
        for p in parameters_of(path).values()
        if p.name != "output_dir"
    ]
    return pd.DataFrame(rows, columns=["notebook", "parameter", "type", "default", "help"])
