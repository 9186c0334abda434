"""Which commit a change is compared with, in clones of several kinds."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git (apt-get install git)")

ROOT = Path(__file__).parents[2]
NOBODY = {f"GIT_{who}_{what}": "nobody@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def module() -> ModuleType:
    """Return ci/base.py, which stands beside the noxfile and belongs to no package."""
    spec = importlib.util.spec_from_file_location("ci_base", ROOT / "ci" / "base.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


base = module()


def git(folder: Path, *words: str) -> str:
    environment = os.environ | NOBODY | {"GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "commit", "--allow-empty", "--quiet", "--message", "x")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    return tmp_path


def test_a_branch_is_compared_with_where_it_left_main(clone):
    left = commit(clone)
    git(clone, "checkout", "--quiet", "-b", "work")
    commit(clone)
    commit(clone)
    assert base.base_of(clone, [], {}) == left
    assert base.base_of(clone, ["HEAD~1"], {}) == git(clone, "rev-parse", "HEAD~1")


def test_a_pull_request_is_compared_with_the_branch_that_it_goes_to(clone):
    commit(clone)
    git(clone, "checkout", "--quiet", "-b", "develop")
    left = commit(clone)
    git(clone, "checkout", "--quiet", "-b", "work")
    commit(clone)
    assert base.base_of(clone, [], {"GITHUB_BASE_REF": "develop"}) == left


def test_main_is_compared_with_the_commit_before(clone):
    before = commit(clone)
    commit(clone)
    assert base.base_of(clone, [], {}) == before


def test_there_may_be_no_base(clone, tmp_path_factory):
    assert base.base_of(clone, [], {}) == ""
    commit(clone)
    assert base.base_of(clone, [], {}) == ""
    assert base.base_of(clone, ["nothing"], {}) == ""
    assert base.base_of(tmp_path_factory.mktemp("no-clone"), [], {}) == ""
