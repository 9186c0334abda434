"""Many reports from one file: which sets of parameters it names, each checked before the first one runs.

Every value is read as text, as on the command line: what type it is the notebook's parameters cell says, so a
quantization named ``no`` is not taken for a truth value.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprof.errors import StorageError, UsageError, unknown_name
from edgeprof.layout import slug
from edgeprof.parameters import checked, find_notebook

__all__ = ["MAX_SETS", "Planned", "load_matrix"]

MAX_SETS = 1000
_KEYS = ("notebook", "data", "parameters", "matrix", "include")


@dataclass(frozen=True, slots=True)
class Planned:
    """One report that is to be made: its folder's name, its notebook, and its checked parameters."""

    slug: str
    notebook: Path
    parameters: dict[str, Any]


def load_matrix(path: Path) -> list[Planned]:
    """Return the reports that a YAML file asks for, in its order.

    Paths in it (data sets, notebooks that end in ``.ipynb``) are relative to it.

    Raises
    ------
    UsageError
        The file is no such YAML, a notebook, parameter or type is wrong in any of the sets, or two sets are the same.
    StorageError
        The file cannot be read, or a data set is not there.
    """
    plan = _read(path)
    common = _mapping(path, "parameters", plan.get("parameters") or {})
    given = {key: plan[key] for key in ("notebook", "data") if plan.get(key)}
    made: dict[str, Planned] = {}
    for own in _sets(path, plan):
        wanted = {**given, **common, **own}
        try:
            planned = _planned(path, wanted, own)
        except UsageError as error:
            raise UsageError(f"{path.name}, the set {_words(own)}: {error}") from error
        if planned.slug in made:
            raise UsageError(f"{path.name} names the set {_words(own)} twice: take one of them out.")
        made[planned.slug] = planned
    return list(made.values())


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        plan = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # nosec B506  # noqa: S506 (makes text only)
    except OSError as error:
        raise StorageError(f"The matrix {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"The matrix {path} is not YAML: {error}. docs/reports.md has an example.") from error
    plan = _mapping(path, "whole file", plan)
    for key in plan:
        if key not in _KEYS:
            raise unknown_name(f"key of the matrix {path.name}", key, _KEYS)
    if not plan.get("matrix") and not plan.get("include"):
        raise UsageError(f"The matrix {path} asks for nothing: it needs `matrix:` or `include:`. See docs/reports.md.")
    return plan


def _mapping(path: Path, what: str, found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise UsageError(f"The {what} of the matrix {path.name} is not of the form `name: value`: {found!r}.")
    return found


def _sets(path: Path, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what each set names of its own: all combinations of ``matrix``, then what is in ``include``."""
    axes = _mapping(path, "part `matrix`", plan.get("matrix") or {})
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            raise UsageError(f"matrix: {name} in {path.name} is not a list of values: {values!r}. Write [a, b].")
    include = plan.get("include") or []
    if not isinstance(include, list):
        raise UsageError(f"include: in {path.name} is not a list of sets: {include!r}.")
    count = len(include)
    if axes:
        product = 1
        for values in axes.values():
            product *= len(values)
        count += product
    if count > MAX_SETS:
        raise UsageError(f"{path.name} asks for {count:,} reports; {MAX_SETS:,} is the most. Split it.")
    combined = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
    return combined + [dict(_mapping(path, "list `include`", own)) for own in include]


def _planned(path: Path, wanted: Mapping[str, Any], own: Mapping[str, Any]) -> Planned:
    name = wanted.get("notebook")
    if not isinstance(name, str) or not name:
        raise UsageError("Which notebook? Name it as `notebook:`, for all or in the set.")
    notebook = find_notebook(str(path.parent / name) if name.endswith(".ipynb") else name)
    given = {key: value for key, value in wanted.items() if key != "notebook"}
    data = given.get("data")
    if isinstance(data, str) and data and "://" not in data:
        given["data"] = str(path.parent / data)
        if not Path(given["data"]).is_dir():
            raise StorageError(f"{path.name}: there is no data set at {given['data']}: the folder does not exist.")
    if "output_dir" in given:
        raise UsageError("The parameter 'output_dir' is the report's own folder: choose it with --out.")
    # The digest is of all that the set itself says, so that a name stays when other sets come or go.
    said = json.dumps([notebook.stem, sorted(own.items())])
    return Planned(slug(_words(own) or notebook.stem, of=said), notebook, checked(notebook, given))


def _words(own: Mapping[str, Any]) -> str:
    return " ".join(",".join(map(str, v)) if isinstance(v, list) else str(v) for v in own.values())
