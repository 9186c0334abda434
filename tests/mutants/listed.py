"""The mutants: small wrong changes of the package, each with what it would do to a user and the tests that notice it.

They are in the TOML files beside this one, one for each module::

    file = "edgeprof/fronts.py"             # what is changed
    kill_with = ["tests/unit/test_fronts.py"]   # which tests must fail then; files, tests, or "notebook 03"

    [[mutant]]
    name = "higher is never better"
    old = 'what occurs exactly once in the file'
    new = 'what is there instead'
    harm = "What it would do to a user."
    kill_with = []                          # where it is other tests
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from isolated import NOTEBOOK

__all__ = ["NOTEBOOK", "ROOT", "Mutant", "load", "mutated", "targets"]

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of one file that tests must notice; ``file`` is relative to the repository."""

    name: str
    file: str
    old: str
    new: str
    harm: str
    kill_with: tuple[str, ...]


def load(folder: Path = HERE) -> list[Mutant]:
    """Return all mutants, in order."""
    found = []
    for path in sorted(folder.glob("*.toml")):
        said = tomllib.loads(path.read_text(encoding="utf-8"))
        for entry in said["mutant"]:
            usual = {"file": said["file"], "kill_with": said["kill_with"]} | entry
            kill_with = usual.pop("kill_with")
            tests = (kill_with,) if isinstance(kill_with, str) else tuple(kill_with)
            name = f"{path.stem}: {usual.pop('name')}"
            found.append(Mutant(name=name, kill_with=tests, **usual))
    return found


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """Return the changed file, which is a module still.

    Raises
    ------
    ValueError
        What is to be changed does not occur exactly once, or what comes out is no Python.
    """
    source = (root / mutant.file).read_text(encoding="utf-8")
    count = source.count(mutant.old)
    if count != 1:
        raise ValueError(
            f"{mutant.name}: what it changes occurs {count} times in {mutant.file}; change the mutant, too"
        )
    changed = source.replace(mutant.old, mutant.new)
    try:
        compile(changed, mutant.file, "exec")
    except SyntaxError as error:
        raise ValueError(f"{mutant.name}: {mutant.file} is no Python any more ({error})") from error
    return changed


def targets(mutant: Mutant, root: Path = ROOT) -> list[Path]:
    """Return the files of tests and notebooks that must notice a mutant."""
    found = []
    for test in mutant.kill_with:
        if test.startswith(NOTEBOOK):
            found += sorted((root / "notebooks").glob(f"{test.removeprefix(NOTEBOOK)}_*.ipynb")) or [root / test]
        else:
            found.append(root / test.partition("::")[0])
    return found
