"""Every mutant still changes what is there, and names tests that exist; ``tests/mutants/run.py`` runs them."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "mutants"))
import listed
import run

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


@pytest.mark.nightly
@pytest.mark.slow
def test_killed_is_what_a_test_noticed_and_nothing_else(tmp_path):
    files = {
        "pyproject.toml": "[tool.pytest.ini_options]\n",
        "README.md": "",
        "edgeprof/__init__.py": "",
        "edgeprof/sums.py": "def add(a, b):\n    return a + b\n\n\ndef unused(a):\n    return a\n",
        "tests/test_sums.py": "def test_add():\n    from edgeprof.sums import add\n    assert add(1, 2) == 3\n",
    }
    for name in ("data", "docs", "notebooks"):
        (tmp_path / name).mkdir()
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    def judged(old: str, new: str, test: str = "tests/test_sums.py") -> str:
        mutant = listed.Mutant("a", "edgeprof/sums.py", old, new, "None.", (test,))
        return run.judge(mutant, tmp_path)[1]

    assert judged("a + b", "a - b").startswith("failed: test_add: assert -1 == 3")
    assert judged("    return a\n", "    return 7\n") == "passed"
    assert judged("def add", "def plus").startswith("not a program: ImportError")
    assert judged("a + b", "a + c").startswith("not a program: NameError")
    assert "occurs 2 times" in judged("return", "yield")
    assert judged("a + b", "a - b", "tests/test_absent.py").startswith("pytest ended with 4")
    assert run.unmutated([listed.Mutant("a", "", "", "", "", ("tests/test_sums.py",))], tmp_path) == []
