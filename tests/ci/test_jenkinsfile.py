"""The Jenkinsfile has the structure that Jenkins asks for, and what people break is found."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

from ci import jenkins_rules, workflow_rules

pytestmark = pytest.mark.tools
TEXT = (workflow_rules.ROOT / "Jenkinsfile").read_text(encoding="utf-8")
SIMULATION = "            steps {\n                sh '.venv/bin/nox -s hardware-simulation'\n            }"
PARALLEL = "            parallel {"
BROKEN = {
    "a section that there is not": ("    environment {", "    bogus {", "`bogus` does not belong into `pipeline`"),
    "a step that there is not": ("junit testResults", "publishTestResults results", "`publishTestResults` does not"),
    "a file cut short": ("    post {", "", "a brace closes that none opened"),
    "a brace too few": ("        cron('H 6 * * *')\n    }", "        cron('H 6 * * *')", "not closed"),
    "no agent": ("    agent { label 'debian' }\n", "", "the pipeline has no `agent`"),
    "a session that there is not": ("nox -s docs", "nox -s doc", "noxfile.py has no 'doc'"),
    "a Python that is not tested": ("values '3.11'", "values '3.9'", "noxfile.py has no 'tests-3.9'"),
    "work that belongs to a session": ("'.venv/bin/nox -s lint'", "'make lint && echo ok'", "something else than one"),
    "what Groovy fills in": ("'.venv/bin/nox -s lint'", '".venv/bin/nox -s lint"', "double quotes"),
    "a stage with nothing to do": (SIMULATION, "", "has nothing to do"),
    "a stage that does two kinds of things": (PARALLEL, "steps { echo '' }" + PARALLEL, "parallel and steps"),
    "steps without a name": ("steps {\n                dir('reports') {", "{ sh 'x'", "opens after nothing"),
    "a condition that there is not": ("branch 'main'", "branches 'main'", "`branches` does not belong into `when`"),
    "a value without an equals sign": ("CI = 'true'", "CI 'true'", "CI is not assigned"),
}  # fmt: skip


@functools.cache
def known() -> dict[str, set[str]]:
    return workflow_rules.sessions()


def test_what_is_committed_has_the_structure() -> None:
    assert jenkins_rules.judged(TEXT, known()) == []


@pytest.mark.parametrize("name", list(BROKEN))
def test_what_is_broken_is_found(name: str) -> None:
    old, new, reason = BROKEN[name]
    assert old in TEXT
    assert any(reason in what for what in jenkins_rules.judged(TEXT.replace(old, new, 1), known()))


def test_every_session_of_the_ci_tier_is_in_every_pipeline() -> None:
    """What `make test` runs is run by GitLab and by Jenkins, too, and by GitHub."""
    import nox.registry

    known()  # loads the sessions
    wanted = {name for name, session in nox.registry.get().items() if "ci" in session.tags} - {"gitlab-lint"}
    assert wanted >= {"lint", "tests", "firmware"}
    root: Path = workflow_rules.ROOT
    for file in (root / ".gitlab-ci.yml", root / "Jenkinsfile", root / ".github" / "workflows" / "ci.yml"):
        text = file.read_text(encoding="utf-8")
        missing = {name for name in wanted if not re.search(rf"[\[\s\"']{name}(-3\.\d+|-\$\w*)?[^\w-]", text)}
        assert missing == set(), file.name


@pytest.mark.parametrize("broken", ["", "cut short", "a quote"])
def test_groovy_is_linted(tmp_path: Path, broken: str) -> None:
    program = os.environ.get("NPM_GROOVY_LINT")
    if not program:
        pytest.skip("needs npm-groovy-lint: nox -s ci-lint installs it")
    text = {"": TEXT, "cut short": TEXT[: len(TEXT) // 2], "a quote": TEXT.replace("'debian'", "'debian\"")}[broken]
    (tmp_path / "Jenkinsfile").write_text(text, encoding="utf-8")
    env = os.environ | {"PATH": f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"}  # its Node.js
    command = [program, "--noserver", "--failon", "error", "Jenkinsfile"]
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
    assert (ended.returncode == 0) == (not broken)
