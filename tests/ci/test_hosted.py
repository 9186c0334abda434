"""What is asked of GitHub: with a `gh` that answers as it is told, and writes down what it was asked."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ci import workflow_rules

pytestmark = pytest.mark.tools
ROOT = workflow_rules.ROOT
GH = """#!{python}
import json, os, sys
with open(os.environ["ASKED"], "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
answers = json.loads(os.environ["ANSWERS"])
answer = answers.get(" ".join(sys.argv[1:3])) or answers.get(sys.argv[1], "")
print(answer)
"""
OPEN = {"isCrossRepository": False, "isDraft": False, "state": "OPEN"}


class Asked:
    """A machine with that `gh`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        program = folder / "bin" / "gh"
        program.write_text(GH.format(python=sys.executable), encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def run(self, session: str, answers: dict[str, str], **env: str) -> tuple[int, str, list[list[str]]]:
        """Run a session; return its code, what it said and what `gh` was asked."""
        asked = self.folder / "asked"
        asked.write_text("", encoding="utf-8")
        ended = subprocess.run(
            [sys.executable, "-m", "nox", "-f", str(ROOT / "noxfile.py"), "-s", session],
            env=os.environ
            | {
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "ASKED": str(asked),
                "ANSWERS": json.dumps(answers),
            }
            | env,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = asked.read_text(encoding="utf-8").splitlines()
        return ended.returncode, ended.stdout + ended.stderr, [json.loads(line) for line in lines]


@pytest.fixture
def github(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


MERGE = {"PULL_REQUEST": "https://example.invalid/pull/1", "LABELLED_BY": "ada", "GITHUB_REPOSITORY": "g/edgeprof"}


def test_who_may_write_has_a_pull_request_merged_when_github_allows_it(github: Asked) -> None:
    code, said, asked = github.run("auto-merge", {"api": "write", "pr view": json.dumps(OPEN)}, **MERGE)
    assert code == 0, said
    assert asked[-1] == ["pr", "merge", "--auto", "--squash", MERGE["PULL_REQUEST"]]


@pytest.mark.parametrize(
    ("role", "seen", "reason"),
    [
        ("read", OPEN, "ada may not ask for a merge: the role is read"),
        ("triage", OPEN, "the role is triage"),
        ("", OPEN, "the role is none"),
        ("admin", OPEN | {"isCrossRepository": True}, "comes from a fork"),
        ("admin", OPEN | {"isDraft": True}, "is a draft"),
        ("admin", OPEN | {"state": "CLOSED"}, "is closed"),
    ],
    ids=["read", "triage", "nobody", "fork", "draft", "closed"],
)
def test_nothing_else_is_merged(github: Asked, role: str, seen: dict[str, object], reason: str) -> None:
    code, said, asked = github.run("auto-merge", {"api": role, "pr view": json.dumps(seen)}, **MERGE)
    assert code != 0 and reason in said
    assert not [call for call in asked if call[:2] == ["pr", "merge"]]


@pytest.mark.parametrize(("said", "passed"), [("success", True), ("failure", False), ("", False), ("skipped", False)])
def test_only_what_the_gate_has_passed_is_released(github: Asked, said: str, passed: bool) -> None:
    code, words, asked = github.run("gate-passed", {"api": said}, COMMIT="abc", GITHUB_REPOSITORY="g/edgeprof")
    assert (code == 0) == passed, words
    assert "commits/abc/check-runs?check_name=Quality%20Gate" in asked[0][1]


def test_a_draft_of_a_release_has_its_part_of_the_changelog(github: Asked) -> None:
    code, said, asked = github.run("release-draft", {}, GITHUB_REF_NAME="v99.0.0")
    assert code != 0 and "no part ## [99.0.0]" in said and asked == []
    name = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[1]
    code, said, asked = github.run("release-draft", {}, GITHUB_REF_NAME=name)
    assert code == 0, said
    assert asked[0][:5] == ["release", "create", name, "--draft", "--verify-tag"]


def test_the_ruleset_asks_for_what_the_workflow_gives() -> None:
    ruleset = json.loads((ROOT / ".github" / "rulesets" / "protected.json").read_text(encoding="utf-8"))
    rules = {rule["type"]: rule.get("parameters", {}) for rule in ruleset["rules"]}
    assert ruleset["enforcement"] == "active" and ruleset["bypass_actors"] == []  # nobody is above it
    assert ruleset["conditions"]["ref_name"]["include"] == ["refs/heads/main", "refs/heads/develop"]
    reviews = rules["pull_request"]
    assert reviews["required_approving_review_count"] == 2
    assert reviews["dismiss_stale_reviews_on_push"] is reviews["require_code_owner_review"] is True
    required = [check["context"] for check in rules["required_status_checks"]["required_status_checks"]]
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert required == [workflow_rules.GATE] and workflow_rules.GATE in {job["name"] for job in jobs.values()}


def test_the_table_of_jobs_names_every_session() -> None:
    """docs/ci.md says of each job where it really ran, so that nobody believes more than was shown."""
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    sessions = workflow_rules.sessions()["s"]
    plain = {name for name in sessions if not re.search(r"-3\.\d+$", name)}
    assert {name for name in plain if f"| `{name}` |" not in text} == set()
