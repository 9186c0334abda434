"""What security tools report is judged: a package that was not looked up is never a clean one."""

from __future__ import annotations

from typing import Any

import pytest

from ci import audits, sarif


def clean(name: str) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": []}


def skipped(name: str) -> dict[str, Any]:
    return {"name": name, "skip_reason": f"Dependency not found on PyPI and could not be audited: {name} (1.0)"}


def faulty(name: str, *ids: str) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": [{"id": i, "fix_versions": ["1.1"], "aliases": []} for i in ids]}


OWN = {"name": "edgeprof", "skip_reason": "distribution marked as editable"}


@pytest.mark.parametrize(
    ("dependencies", "verdict"),
    [
        ([clean("numpy"), clean("pandas")], "clean"),
        ([clean("numpy"), OWN], "clean"),
        ([skipped("numpy"), skipped("pandas")], "not run"),
        ([OWN], "not run"),
        ([], "not run"),
        ([clean("numpy"), skipped("pandas")], "incomplete"),
        ([faulty("jinja2", "PYSEC-1", "GHSA-2"), clean("numpy")], "faulty"),
        ([faulty("jinja2", "PYSEC-1"), skipped("numpy")], "faulty"),
    ],
    ids=["all", "all-but-ours", "all-skipped", "ours-alone", "nothing", "some-skipped", "faults", "faults-and-skipped"],
)
def test_the_verdict_of_an_audit(dependencies, verdict):
    assert audits.judge({"dependencies": dependencies, "fixes": []}).verdict == verdict


def test_an_audit_says_what_it_found_and_what_it_did_not_look_at():
    judged = audits.judge({"dependencies": [faulty("jinja2", "PYSEC-1", "GHSA-2"), skipped("numpy"), OWN]})
    assert judged.audited == 1
    assert judged.faulty == {"jinja2 1.0": ["PYSEC-1", "GHSA-2"]}
    assert list(judged.unknown) == ["numpy"] and "could not be audited" in judged.unknown["numpy"]
    assert str(judged) == "faulty: 1 of 2 packages audited, 1 with known faults; jinja2 1.0: PYSEC-1, GHSA-2"


def result(**more: Any) -> dict[str, Any]:
    place = {"artifactLocation": {"uri": "edgeprof/a.py"}, "region": {"startLine": 3}}
    return {"ruleId": "B602", "message": {"text": "a\nshell"}, "locations": [{"physicalLocation": place}], **more}


def test_what_sarif_says_was_found():
    told = {"runs": [{"results": [result(), result(suppressions=[{"kind": "inSource"}])]}, {"results": []}, {}]}
    assert sarif.findings(told) == ["edgeprof/a.py:3: B602: a shell"]
    assert sarif.findings({"runs": [{"results": [{"message": {"text": "x"}}]}]}) == ["?:?: ?: x"]
