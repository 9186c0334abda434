"""The house rules: what the repository says in two places is the same in both, and it names nobody's machine."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

if not (ROOT / "noxfile.py").exists():
    pytest.skip("only on a clone of the repository", allow_module_level=True)


def tracked() -> list[Path]:
    """Return the files that are, or are about to be, in the repository."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        names = done.stdout.split("\0") if done.returncode == 0 else []
    except FileNotFoundError:
        names = []
    made = {".git", ".nox", ".venv", "build", "dist", "demo-out", "__pycache__"}
    files = [ROOT / n for n in names if n] or [p for p in ROOT.rglob("*") if made.isdisjoint(p.relative_to(ROOT).parts)]
    return [path for path in files if path.is_file() and "_cache" not in str(path.relative_to(ROOT))]


def split(requirement: str) -> tuple[str, str]:
    """Return a requirement's name and its version specifiers, in order."""
    name, specifiers = re.fullmatch(r"([A-Za-z0-9._-]+)\s*(.*)", requirement).groups()
    return name.lower().replace("_", "-"), ",".join(sorted(s.strip() for s in specifiers.split(",")))


def sessions() -> tuple[set[str], set[str]]:
    """Return the names and the tags of nox's sessions, read without running any."""
    names, tags = set(), set()
    files = [ROOT / "noxfile.py", *sorted((ROOT / "ci").glob("*.py"))]
    for node in [node for path in files for node in ast.parse(path.read_text(encoding="utf-8")).body]:
        for decorator in getattr(node, "decorator_list", ()):
            if not ast.unparse(decorator).startswith("nox.session"):
                continue
            options = {k.arg: k.value for k in getattr(decorator, "keywords", ())}
            name = ast.literal_eval(options["name"]) if "name" in options else node.name
            names.add(name)
            if "python" in options:
                names |= {f"{name}-{version}" for version in matrix()}
            words = ast.walk(options["tags"]) if "tags" in options else ()
            tags |= {word.value for word in words if isinstance(word, ast.Constant)}
    return names, tags


def matrix() -> list[str]:
    """Return the Pythons that nox's sessions test."""
    found = re.search(r"^MATRIX = (\(.*\))$", (ROOT / "ci" / "steps.py").read_text(encoding="utf-8"), re.MULTILINE)
    return list(ast.literal_eval(found[1]))


def workflows() -> list[Path]:
    return sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(path: Path) -> list[tuple[dict[str, object], dict[str, str]]]:
    """Return (job, step) for each step of a workflow."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [(job, step) for job in jobs for step in job.get("steps", ())]


def test_environment_yml_says_the_same_as_pyproject():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    by_pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    there = dict(split(r) for r in [*(e for e in listed if isinstance(e, str)), *by_pip] if not r.startswith("--"))
    assert there.pop("python") == PROJECT["project"]["requires-python"]
    there.pop("pip")
    assert there == dict(split(requirement) for requirement in PROJECT["project"]["dependencies"])


def test_every_dependency_has_a_floor():
    assert [r for r in PROJECT["project"]["dependencies"] if ">=" not in r] == []


def test_the_constraints_pin_every_dependency_and_name_no_host():
    text = (ROOT / "notebooks" / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(line.split(";")[0].split("==") for line in text.splitlines() if line and not line.startswith("#"))
    wanted = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["test"]
    assert [r for r in wanted if split(r)[0] not in pinned] == []
    assert not re.search(r"://|--", text.replace("--constraint", ""))


def test_the_firmware_s_compiler_is_pinned_once():
    from edgeprof.firmware.build import ZIGLANG

    assert PROJECT["dependency-groups"]["firmware"] == [f"ziglang=={ZIGLANG}"]


def test_the_classifiers_are_the_matrix():
    listed = [c.rsplit(" ", 1)[1] for c in PROJECT["project"]["classifiers"] if "Python :: 3." in c]
    assert listed == matrix()
    assert PROJECT["project"]["requires-python"] == f">={matrix()[0]}"


NAMING = [
    "Makefile",
    ".ci/run",
    "CONTRIBUTING.md",
    "README.md",
    "Dockerfile",
    "docs",
    ".github/workflows",
    "pyproject.toml",
]


@pytest.mark.parametrize("place", NAMING)
def test_every_session_that_is_named_exists(place):
    at = ROOT / place
    texts = [
        path.read_text(encoding="utf-8") for path in ([at] if at.is_file() else [*at.rglob("*.md"), *at.rglob("*.yml")])
    ]
    names, tags = sessions()
    for text in texts:
        plain = re.sub(r"[\"\[\],]", " ", text.replace("$(NOX)", "nox").replace("${{ matrix.python }}", "3.11"))
        for option, name in re.findall(r"\bnox\s+(-[st])\s+([\w.-]*\w)", plain):
            assert name in (tags if option == "-t" else names | {"NAME"}), f"{place} says: nox {option} {name}"


def test_the_makefile_s_targets_are_there():
    defined = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = "".join((ROOT / f).read_text(encoding="utf-8") for f in ("CONTRIBUTING.md", ".ci/run", "docs/support.md"))
    assert set(re.findall(r"(?:`|exec )make ([a-z-]+)", text)) <= defined


def test_workflows_test_the_matrix():
    found = []
    for path in workflows():
        for job, step in steps(path):
            if str(step.get("run", "")).startswith("nox -s tests-"):
                found += job["strategy"]["matrix"]["python"]
            elif str(step.get("run", "")).endswith("nox -s ${{ matrix.job }}"):
                found += [j.removeprefix("tests-") for j in job["strategy"]["matrix"]["job"] if j.startswith("tests-")]
    assert sorted(found) == sorted(matrix())


@pytest.mark.slow
def test_no_file_names_a_machine():
    # Put together here, so that this file does not name one either.
    homes = "|".join(("root", "work", r"home/(?!you\b)\w+", r"Users/(?!you\b)\w+", "opt/(?:pypi|wheels)"))
    index = r"https?://[^\s/]+/(?:[\w/-]+/)?simple\b"
    machine = re.compile(rf"(?<![\w.$}}*-])/(?:{homes})/|{index}".encode())
    found = {
        f"{path.relative_to(ROOT)}: {hit[0].decode(errors='replace')}"
        for path in tracked()
        for hit in machine.finditer(path.read_bytes())
    }
    assert found == set()


@pytest.mark.slow
def test_files_are_small_enough_to_be_committed():
    assert [str(p.relative_to(ROOT)) for p in tracked() if p.stat().st_size > 5_000_000] == []
