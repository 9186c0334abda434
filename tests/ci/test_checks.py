"""The list of checks: hooks, sessions and the list are one; a planted key is found before the commit and after it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ci import checks

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
HOOKS = {hook["id"]: hook for repo in CONFIG["repos"] for hook in repo["hooks"]}
TOOLS = pytest.mark.tools


def test_the_hooks_are_those_of_the_list() -> None:
    assert list(HOOKS) == list(checks.CHECKS)
    assert (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8") == checks.hooks(), (
        "python -m ci.checks --hooks > .pre-commit-config.yaml"
    )


def test_nothing_is_cloned_for_a_hook() -> None:
    assert {repo["repo"] for repo in CONFIG["repos"]} == {"local"}
    assert {hook["language"] for hook in HOOKS.values()} == {"system"}
    assert {hook["entry"] for hook in HOOKS.values()} == {f"python -m ci.checks {name}" for name in checks.CHECKS}


def test_every_file_that_a_check_reads_is_there() -> None:
    asked = {arg for check in checks.CHECKS.values() for command in check.commands() for arg in command[1:]}
    named = {arg for arg in asked if arg.endswith((".yml", ".py", "Dockerfile")) and not Path(arg).is_absolute()}
    assert {".github/workflows/ci.yml", "Dockerfile", ".github/dependabot.yml"} <= named
    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert {".ci/run", ".ci/install"} <= set(checks.scripts())


@pytest.mark.parametrize("name", ["no-such-check", "ruf"])
def test_a_check_that_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        checks.main([name])
    assert ended.value.code == 2


def test_a_tool_that_is_missing_is_a_failure(monkeypatch, capsys) -> None:
    gone = checks.Check("", checks.always(["edgeprof-no-such-tool"]))
    monkeypatch.setitem(checks.CHECKS, "codespell", gone)
    assert checks.main(["codespell"]) == 1
    assert "edgeprof-no-such-tool is not here" in capsys.readouterr().out


def test_one_that_finds_something_does_not_keep_others_from_running(monkeypatch, capfd) -> None:
    bad = checks.Check("", checks.always(checks.python("-c", "raise SystemExit(3)"), checks.python("-c", "print(42)")))
    good = checks.Check("", checks.always(checks.python("-c", "print(43)")))
    monkeypatch.setattr(checks, "CHECKS", {"bad": bad, "good": good})
    assert checks.main([]) == 1
    said = capfd.readouterr()
    assert "42" in said.out and "43" in said.out and "ok     good" in said.out
    assert "Failed: bad." in said.err
    assert checks.main(["--without=bad"]) == 0


WAITS = """\
import pathlib, sys, time
own, other = map(pathlib.Path, sys.argv[1:])
own.touch()
print("begins", flush=True)
end = time.monotonic() + 30
while not other.exists():
    assert time.monotonic() < end
    time.sleep(0.01)
print("ends")
"""


def test_they_run_beside_each_other_and_speak_one_after_the_other(tmp_path, monkeypatch, capfd) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    first = checks.Check("", checks.always(checks.python("-c", WAITS, one, two)))
    second = checks.Check("", checks.always(checks.python("-c", WAITS, two, one)))
    monkeypatch.setattr(checks, "CHECKS", {"one": first, "two": second})
    monkeypatch.setattr(checks.os, "cpu_count", lambda: 2)
    assert checks.main([]) == 0
    said = [line.split(" (")[0] for line in capfd.readouterr().out.splitlines()]
    assert said == ["begins", "ends", "ok     one", "begins", "ends", "ok     two"]


# ---- a planted key ----


def planted() -> str:
    """Return a line with what looks like a key. It is made here, so that the repository holds none."""
    return "aws_access_key_id = " + "AKIA" + "QYLPMN5HFIQR7XYA"[:16] + "\n"


def run(folder: Path, *command: str, fine: bool = True) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "PRE_COMMIT", "PYTHONPATH"))}
    env |= {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")]),
        "PRE_COMMIT_HOME": str(folder.parent / "pre-commit"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "a test", "GIT_AUTHOR_EMAIL": "test@example.invalid",
        "GIT_COMMITTER_NAME": "a test", "GIT_COMMITTER_EMAIL": "test@example.invalid",
    }  # fmt: skip
    ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert not fine or ended.returncode == 0, ended.stdout + ended.stderr
    return ended


HELD = (
    "ci", ".ci", ".github", "tests/ci", ".pre-commit-config.yaml", ".secrets.baseline", ".gitignore", "pyproject.toml",
    "edgeprof/mqtt_address.py",
)  # fmt: skip


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository of one commit with what the hooks read that a commit of text starts."""
    pytest.importorskip("detect_secrets", reason="needs detect-secrets: nox -s ci-lint installs it")
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in HELD:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    run(folder, "git", "init", "--quiet", "--initial-branch=main")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message=Begin")
    return folder


@TOOLS
def test_a_commit_with_a_planted_key_is_refused(clone: Path) -> None:
    pytest.importorskip("pre_commit", reason="needs pre-commit: nox -s ci-lint installs it")
    run(clone, sys.executable, "-m", "pre_commit", "install")
    notes = clone / "notes.md"
    notes.write_text("Nothing that nobody may know.\n", encoding="utf-8")
    run(clone, "git", "add", "notes.md")
    first = run(clone, "git", "commit", "--message=Add notes")
    assert "(nothing that nobody else may know, by detect-secrets)" in first.stderr + first.stdout
    notes.write_text(planted(), encoding="utf-8")
    run(clone, "git", "add", "notes.md")
    second = run(clone, "git", "commit", "--message=Add a key", fine=False)
    assert second.returncode == 1
    said = second.stdout + second.stderr
    assert "notes.md:1: AWS Access Key" in said
    assert [line for line in said.splitlines() if line.startswith("- hook id: ")] == ["- hook id: secrets"]
    assert planted().split()[-1] not in said
    assert run(clone, "git", "log", "--format=%s").stdout.split("\n")[0] == "Add notes"


@TOOLS
def test_the_check_of_lint_finds_a_planted_key(clone: Path) -> None:
    report = clone.parent / "secrets.json"
    lint = (sys.executable, "-m", "ci.checks", "secrets")
    assert run(clone, *lint).returncode == 0
    nested = clone / "edgeprof" / "planted.py"
    nested.write_text(f'"""A module."""\n\nKEY = "{planted()[20:].strip()}"\n', encoding="utf-8")
    assert run(clone, *lint).returncode == 0, "what git does not track is no business of a commit"
    run(clone, "git", "add", "--all")
    assert "edgeprof/planted.py:3: AWS Access Key" in run(clone, *lint, fine=False).stdout
    ended = run(clone, sys.executable, "-m", "ci.secrets", f"--report={report}", fine=False)
    assert ended.returncode == 1
    told = json.loads(report.read_text(encoding="utf-8"))
    assert {(one["file"], one["line"]) for one in told["new"]} == {("edgeprof/planted.py", 3)}
    assert told["checked_files"] > 5
    # Clean files are remembered, this one must not be: again, then without it.
    assert run(clone, *lint, fine=False).returncode == 1
    nested.write_text('"""A module."""\n', encoding="utf-8")
    assert run(clone, *lint).returncode == 0


@TOOLS
def test_a_known_one_may_move_but_not_into_another_file(clone: Path) -> None:
    file = clone / "edgeprof" / "mqtt_address.py"
    text = file.read_text(encoding="utf-8")
    file.write_text("# A line more.\n" + text, encoding="utf-8")
    assert run(clone, sys.executable, "-m", "ci.secrets").returncode == 0
    (clone / "edgeprof" / "other.py").write_text(text, encoding="utf-8")
    run(clone, "git", "add", "--all")
    assert "edgeprof/other.py:" in run(clone, sys.executable, "-m", "ci.secrets", fine=False).stdout


def test_the_baseline_says_nothing_of_a_machine() -> None:
    text = (ROOT / ".secrets.baseline").read_text(encoding="utf-8")
    told = json.loads(text)
    assert "generated_at" not in told and "://" not in text
    assert [name for name in told["results"] if Path(name).is_absolute() or not (ROOT / name).is_file()] == []
    assert "is_ignored_due_to_verification_policies" not in text, "it would send keys to services"
