"""Every mutant still changes what is there, and names tests that exist; ``tests/mutants/run.py`` runs them."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "mutants"))
import listed

MUTANTS = listed.load()


def test_there_are_enough_and_each_has_a_name():
    assert len(MUTANTS) >= 40
    assert [name for name, count in Counter(m.name for m in MUTANTS).items() if count > 1] == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_mutant_changes_what_is_there(mutant):
    changed = listed.mutated(mutant)
    was = (listed.ROOT / mutant.file).read_text(encoding="utf-8")
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(was))
    assert mutant.harm.endswith(".")
    assert mutant.kill_with and [path for path in listed.targets(mutant) if not path.is_file()] == []


def test_a_mutant_that_no_longer_applies_is_told():
    one = listed.Mutant("a", "edgeprof/fronts.py", "import", "export", "None.", ())
    with pytest.raises(ValueError, match=r"a: what it changes occurs \d+ times in edgeprof/fronts.py"):
        listed.mutated(one)
    with pytest.raises(ValueError, match="is no Python any more"):
        listed.mutated(listed.Mutant("a", "edgeprof/fronts.py", "def directions(", "def (", "None.", ()))
