"""Our semgrep rules find what they are for, and leave alone what is fine: by the annotations in tests/ci/semgrep/.

``# ruleid: a, b`` stands above a line in which a and b find something, ``# ok: a`` above one in which a must not.
No rule may find anything on another line.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.tools
ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "tests" / "ci" / "semgrep").glob("*.py"))
RULES = [
    rule["id"]
    for file in sorted((ROOT / ".semgrep").glob("*.yml"))
    for rule in yaml.safe_load(file.read_text(encoding="utf-8"))["rules"]
]
NOTE = re.compile(r"^\s*# (ruleid|ok): (.+)$")


def annotated(kind: str) -> set[tuple[str, int, str]]:
    """Return file, line below and rule of every annotation of a kind."""
    return {
        (file.name, number + 1, rule.strip())
        for file in EXAMPLES
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if (note := NOTE.match(line)) and note[1] == kind
        for rule in note[2].split(",")
    }


@functools.cache
def found() -> frozenset[tuple[str, int, str]]:
    """Return file, line and rule of what semgrep finds in the examples."""
    semgrep = os.environ.get("SEMGREP") or shutil.which("semgrep")
    if not semgrep:
        pytest.skip("needs semgrep: nox -s ci-lint installs it")
    command = [semgrep, "scan", "--metrics=off", "--disable-version-check", "--quiet", "--json", "--config=.semgrep"]
    ended = subprocess.run(
        [*command, *map(str, EXAMPLES)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    told = json.loads(ended.stdout)
    assert told["errors"] == []
    return frozenset((Path(r["path"]).name, r["start"]["line"], r["check_id"].split(".")[-1]) for r in told["results"])


def test_every_rule_finds_what_is_annotated_and_nothing_else():
    assert sorted(found() - annotated("ruleid")) == [], "not annotated, but found"
    assert sorted(annotated("ruleid") - found()) == [], "annotated, but not found"


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_an_example_of_both(rule):
    assert rule in {name for *_, name in annotated("ruleid")}
    assert rule in {name for *_, name in annotated("ok")}


def test_annotations_name_rules():
    assert {name for kind in ("ruleid", "ok") for *_, name in annotated(kind)} == set(RULES)
    assert len(RULES) == len(set(RULES)) >= 10
