"""The container's files agree with each other and with pyproject.toml, and name no machine."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from ci.container_checks import expect, forbidden, row
from ci.images import default_base

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements.lock", "requirements-testing.lock", "requirements-build.lock"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = PROJECT["dependency-groups"]
WANTED = {
    "requirements.lock": PROJECT["project"]["dependencies"],
    "requirements-testing.lock": PROJECT["project"]["dependencies"] + GROUPS["test"] + GROUPS["firmware"],
    "requirements-build.lock": [*PROJECT["build-system"]["requires"], "nox", "uv", "setuptools"],
}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def locked(name: str) -> dict[str, str]:
    """Each requirement of a lock file with what follows it."""
    found = re.split(r"^(?=[A-Za-z0-9])", text(f"ci/{name}"), flags=re.MULTILINE)[1:]
    return {f"{plain(entry.split('==')[0])} {entry.splitlines()[0].partition(';')[2]}": entry for entry in found}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_covers_what_is_asked_for(name):
    names = {entry.split(" ")[0] for entry in locked(name)}
    wanted = {plain(re.match(r"[\w.-]+", requirement)[0]) for requirement in WANTED[name]}
    assert wanted - names == set()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_has_a_version_and_hashes_for_each_and_no_address(name):
    entries = locked(name)
    assert len(entries) > 10
    assert [key for key, entry in entries.items() if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert not re.search(r"://|^--(?!hash)|find-links|index|file:", text(f"ci/{name}"), re.MULTILINE)


def test_the_lock_files_hold_the_notebooks_versions():
    pins = {
        plain(line.split("==")[0]) + "==" + line.split("==")[1].split(";")[0].strip()
        for line in text("notebooks/constraints.txt").splitlines()
        if "==" in line and not line.startswith("#")
    }
    here = re.findall(r"^([\w.-]+)==([^\s;]+)", text("ci/requirements.lock"), re.MULTILINE)
    assert {f"{plain(name)}=={version}" for name, version in here} - pins == set()


def test_production_is_installed_from_hashes_and_runs_as_nobody_in_particular():
    dockerfile = text("Dockerfile")
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)$(.*?)(?=^FROM|\Z)", dockerfile, re.MULTILINE | re.DOTALL))
    assert set(stages) == {"build", "testing", "production"}
    assert "--require-hashes" in stages["build"] and "ci/requirements.lock" in stages["build"]
    for name in ("testing", "production"):
        assert re.findall(r"^USER (\S+)$", stages[name], re.MULTILINE) == ["10001"]
    assert "apt-get" not in stages["production"] and "pip" not in stages["production"]
    assert default_base(ROOT / "Dockerfile").startswith("docker.io/library/python:")


def test_the_base_must_be_named(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    with pytest.raises(ValueError, match="ARG PYTHON_IMAGE"):
        default_base(tmp_path / "Dockerfile")


def test_compose_deploys_what_the_dockerfile_makes():
    service = yaml.safe_load(text("ci/compose.yml"))["services"]["edgeprof"]
    health = json.loads(re.search(r"HEALTHCHECK .*\\\n\s+CMD (\[.*\])", text("Dockerfile"))[1])
    assert service["healthcheck"]["test"] == ["CMD", *health]
    assert service["user"] == "10001:10001" and service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["volumes"][0].endswith(":/data:ro")
    assert service["image"].startswith("${EDGEPROF_IMAGE:?")
    assert not any(
        "TOKEN" in str(value) for key, value in service["environment"].items() if key != "EDGEPROF_TOKEN_FILE"
    )


def test_what_must_not_be_in_an_image_is_found(monkeypatch):
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    config = (
        "global.index-url='https://me:secret@pypi.example/packages'\n"
        "global.extra-index-url='file:///srv/index https://other.example:8080/x'\n"
        "global.find-links='/srv/wheels'\n:env:.timeout='180'\nglobal.cert='/etc/ssl/certs/ca-certificates.crt'\n"
        "install.index-url='https://pypi.org/packages'"
    )
    assert forbidden(config) == [b"/srv/index", b"/srv/wheels", b"other.example", b"pypi.example"]
    monkeypatch.setenv("UV_INDEX", "https://third.example/packages")
    assert b"third.example" in forbidden("")


def test_a_check_that_fails_is_a_row_and_ends_nothing():
    rows = []
    row(rows, "good", lambda: "seen")
    row(rows, "bad", lambda: expect(False, "not so") or "")
    row(rows, "broken", lambda: {}["nothing"])
    assert [(r["name"], r["passed"], r["detail"]) for r in rows] == [
        ("good", True, "seen"),
        ("bad", False, "AssertionError: not so"),
        ("broken", False, "KeyError: 'nothing'"),
    ]


def test_the_page_gives_the_record_s_figures():
    record = json.loads(text("docs/results/container.json"))
    page = text("docs/container.md")
    failed = [check["name"] for check in record["checks"] if not check["passed"]]
    assert [name for name in failed if f"`{name}` | **failed**" not in page] == []
    assert page.count("**failed**") == len(failed)
    for target in ("production", "testing"):
        assert f"{target} {record['built'][target]['bytes'] / 1e6:,.0f} MB" in page
    details = {check["name"]: check["detail"] for check in record["checks"]}
    for name, figure in {
        "server: health from outside": r"200 after ([\d.]+) s",
        "server: SIGTERM": r"after ([\d.]+) s",
        "ci/deploy: podman-compose, production comes up": r"200 after ([\d.]+) s",
        "ci/deploy: an image that does not come up is rolled back": r"^([\d.]+) s in all",
    }.items():
        seconds = float(re.search(figure, details[name])[1])
        assert f"{seconds:.1f} s" in page, name
    assert record["base"].startswith("debootstrap") == ("not the image of Docker\nHub" in page)
