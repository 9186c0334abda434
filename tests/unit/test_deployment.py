"""What the deployment report says of evidence: the last deployment, the tests since then, and what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgeprof import deployment, resources
from edgeprof.errors import StorageError, UsageError

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "sha256:" + "a" * 64


def deploy(folder: Path, name: str = "a", **more: object) -> None:
    content = {
        "environment": "staging", "image": f"r.example/edgeprof@{DIGEST}", "begun": "2026-01-01T10:00:00Z",
        "result": "deployed", "previous": "", "seconds": 3.0, "rollback_attempts": [],
        "attempts": [{"after_seconds": 0.0, "answer": 503}, {"after_seconds": 0.5, "answer": 200}],
    } | more  # fmt: skip
    path = folder / "deploy" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def junit(folder: Path, at: str, cases: str, environment: str = "staging") -> None:
    path = folder / "junit" / "staging.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    told = f'<properties><property name="environment" value="{environment}"/></properties>' if environment else ""
    path.write_text(f'<testsuites><testsuite timestamp="{at}">{told}{cases}</testsuite></testsuites>', encoding="utf-8")


GOOD = '<testcase name="one" time="0.5"/>'
BAD = '<testcase name="two" time="0.25"><failure message="no"/></testcase>'
SKIPPED = '<testcase name="three" time="0"><skipped/></testcase>'


def fact(folder: Path, name: str, environment: str = "staging") -> str:
    table = deployment.current_table(deployment.read_evidence(folder)).set_index("fact")
    return table.loc[name, environment]


@pytest.mark.parametrize(
    ("at", "cases", "of", "verdict"),
    [
        ("2026-01-01T10:01:00+00:00", GOOD, "staging", "deployed and tested"),
        ("2026-01-01T10:01:00", GOOD, "staging", "deployed and tested"),
        ("2026-01-01T12:01:00+02:00", GOOD, "staging", "deployed and tested"),
        ("2026-01-01T10:01:00+02:00", GOOD, "staging", "deployed, not tested"),
        ("2026-01-01T09:59:59+00:00", GOOD, "staging", "deployed, not tested"),
        ("2026-01-01T10:01:00+00:00", GOOD + BAD, "staging", "deployed, 1 test(s) failed"),
        ("2026-01-01T10:01:00+00:00", SKIPPED, "staging", "deployed, not tested"),
        ("2026-01-01T10:01:00+00:00", "", "staging", "deployed, not tested"),
        ("2026-01-01T10:01:00+00:00", GOOD, "production", "deployed, not tested"),
        ("2026-01-01T10:01:00+00:00", GOOD, "", "deployed, not tested"),
    ],
)
def test_only_tests_that_ran_since_the_deployment_count(tmp_path, at, cases, of, verdict):
    deploy(tmp_path)
    junit(tmp_path, at, cases, of)
    assert fact(tmp_path, "verdict") == verdict


def test_the_last_deployment_is_the_one_that_began_last(tmp_path):
    deploy(tmp_path, "z", begun="2026-01-01T10:00:00Z", version="1")
    deploy(tmp_path, "a", begun="2026-01-02T10:00:00Z", version="2", result="rolled back", why="ill")
    assert (fact(tmp_path, "version"), fact(tmp_path, "verdict"), fact(tmp_path, "why")) == ("2", "rolled back", "ill")
    history = deployment.history_table(deployment.read_evidence(tmp_path))
    assert list(history["version"]) == ["2", "1"]


def test_an_image_keeps_its_digest_and_health_its_attempts(tmp_path):
    deploy(tmp_path)
    assert fact(tmp_path, "digest") == DIGEST
    assert fact(tmp_path, "/health") == "200 after 0.5 s, 2 attempts"
    assert fact(tmp_path, "commit") == "not known"
    deploy(tmp_path, attempts=[])
    assert fact(tmp_path, "/health") == "never asked"


def test_what_was_put_back_is_shown_with_its_own_attempts(tmp_path):
    back = "r.example/edgeprof@sha256:" + "b" * 64
    deploy(tmp_path, previous=back, rollback_attempts=[{"after_seconds": 1.0, "answer": 200}])
    table = deployment.attempts_table(deployment.read_evidence(tmp_path))
    assert list(table["image"]) == ["sha256:" + c * 12 for c in "aab"]
    assert list(table["answer"]) == ["503", "200", "200"]


def test_what_did_not_pass_stands_first(tmp_path):
    deploy(tmp_path)
    junit(tmp_path, "2026-01-01T11:00:00+00:00", GOOD + BAD)
    table = deployment.tests_table(deployment.read_evidence(tmp_path))
    assert list(table["test"]) == ["two", "one"]
    assert list(table["outcome"]) == ["failure", "passed"]


def test_merged_artifacts_are_found_below_their_folders(tmp_path):
    deploy(tmp_path / "artifact-1")
    junit(tmp_path / "artifact-2", "2026-01-01T11:00:00+00:00", GOOD)
    assert fact(tmp_path, "verdict") == "deployed and tested"
    listed = deployment.files_table(deployment.read_evidence(tmp_path))
    assert list(listed["file"]) == ["artifact-1/deploy/a.json", "artifact-2/junit/staging.xml"]


def test_one_environment_can_be_chosen(tmp_path):
    deploy(tmp_path)
    deploy(tmp_path, "b", environment="production")
    assert len(deployment.read_evidence(tmp_path, "production").deployments) == 1
    with pytest.raises(UsageError, match="Did you mean 'production'"):
        deployment.read_evidence(tmp_path, "prodution")


def test_no_evidence_is_an_error(tmp_path):
    with pytest.raises(StorageError, match="There is no deployment in"):
        deployment.read_evidence(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"begun": "yesterday"}', '{"begun": "2026-01-01T10:00:00Z"}'])
def test_a_damaged_record_is_an_error(tmp_path, text):
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(StorageError, match="is not a record of ci/deploy"):
        deployment.read_evidence(tmp_path)


def test_a_damaged_junit_file_is_an_error(tmp_path):
    deploy(tmp_path)
    junit(tmp_path, "2026-01-01T11:00:00+00:00", "<testcase")
    with pytest.raises(StorageError, match="is not a JUnit file"):
        deployment.read_evidence(tmp_path)


def test_the_sample_is_what_its_generator_makes(tmp_path):
    sample = resources.path("data/deployment")
    script = ROOT / "data" / "deployment" / "make_sample.py"
    if not script.exists():
        pytest.skip("only on a clone of the repository")
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=60)
    made = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    there = {p.relative_to(sample): p.read_bytes() for p in sample.glob("*/*") if p.is_file()}
    assert made == there and len(made) > 4
    assert len(deployment.read_evidence().deployments) == 4
