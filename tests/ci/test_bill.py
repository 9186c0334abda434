"""The bill of materials: valid or refused, the same as what is installed, silent on the machine, joined with faults."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

pytest.importorskip("cyclonedx", reason="needs cyclonedx-bom: nox -s ci-lint installs it")
from ci import bill

pytestmark = pytest.mark.tools

INSTALLED = {"edgeprof": "0.1.0", "Jinja2": "2.10", "typing_extensions": "4.12"}
BILL: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "metadata": {
        "component": {
            "bom-ref": "root-component",
            "type": "application",
            "name": "edgeprof",
            "externalReferences": [{"type": "distribution", "url": "file:///home/you/edgeprof"}],
        }
    },
    "components": [
        {
            "bom-ref": "Jinja2==2.10",
            "type": "library",
            "name": "Jinja2",
            "version": "2.10",
            "description": "Reads templates from /usr/share, or anywhere.",
            "externalReferences": [
                {"type": "website", "url": "https://palletsprojects.com/p/jinja/"},
                {"type": "distribution", "url": "https://mirror.example/wheels/jinja2/"},
                {"type": "distribution", "url": "https://pypi.org/project/Jinja2/"},
            ],
        },
        {
            "bom-ref": "typing_extensions==4.12",
            "type": "library",
            "name": "typing_extensions",
            "version": "4.12",
            "properties": [{"name": "cdx:python:path", "value": "/tmp/env/lib"}],
        },
    ],
}
AUDIT = {
    "dependencies": [
        {
            "name": "jinja2",
            "version": "2.10",
            "vulns": [
                {
                    "id": "PYSEC-2019-217",
                    "fix_versions": ["2.10.1"],
                    "aliases": ["CVE-2019-10906", "GHSA-462w-v97r-4m45"],
                    "description": "A sandbox escape.",
                },
                {"id": "GHSA-h5c8-rqwp-cp95", "fix_versions": [], "aliases": [], "description": ""},
            ],
        },
        {"name": "typing-extensions", "skip_reason": "could not be audited"},
        {"name": "not-in-the-bill", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": [], "aliases": []}]},
    ]
}


@pytest.fixture
def good() -> dict[str, Any]:
    return bill.with_version(bill.anonymous(BILL), INSTALLED)


def test_a_good_one_is_published(good):
    assert bill.faults_of(good, INSTALLED) == []
    assert bill.faults_of(bill.with_faults(good, AUDIT), INSTALLED) == []


def test_the_machine_is_not_in_it(good):
    assert bill.local_places(BILL) == ["/tmp/env/lib", "file:///home/you/edgeprof"]
    assert bill.local_places(good) == []
    text = json.dumps(good)
    assert "mirror.example" not in text and "file:" not in text
    assert "https://pypi.org/project/Jinja2/" in text and "https://palletsprojects.com/p/jinja/" in text


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda b: b["components"][0].update(type="libraryy"), "it is not valid"),
        (lambda b: b["components"][0].update(colour="red"), "it is not valid"),
        (lambda b: b.update(specVersion="1.5"), "not 1.6"),
        (lambda b: b.update(components=[]), "it lists no component"),
        (lambda b: b["components"][0].update(version="2.11"), "jinja2: the bill says 2.11, installed is 2.10"),
        (lambda b: b["components"].pop(), "typing-extensions: the bill says nothing, installed is 4.12"),
        (lambda b: b["components"][0].update(name="jinja3"), "jinja3: the bill says 2.10, installed is nothing"),
        (lambda b: b["components"][0].update(purl="file:///tmp/x"), "it tells of the machine"),
    ],
    ids=["type", "unknown-key", "spec", "empty", "version", "missing", "stranger", "path"],
)
def test_a_bad_one_is_not(good, change, why):
    change(good)
    assert any(why in said for said in bill.faults_of(good, INSTALLED)), bill.faults_of(good, INSTALLED)


def test_a_validator_that_takes_anything_is_noticed(good, monkeypatch):
    monkeypatch.setattr(bill, "invalid", lambda _: "")
    assert bill.faults_of(good, INSTALLED) == [
        "the validator takes a component of the type `libraryy`, so that its word is worth nothing"
    ]


def test_known_faults_are_joined(good):
    before = copy.deepcopy(good)
    made = bill.with_faults(good, AUDIT)
    assert good == before
    assert bill.invalid(made) == ""
    first, second = made["vulnerabilities"]
    assert (first["id"], second["id"]) == ("GHSA-h5c8-rqwp-cp95", "PYSEC-2019-217")
    assert first["recommendation"] == "No fixed version is known."
    assert second["recommendation"] == "Upgrade to 2.10.1."
    assert second["affects"] == [{"ref": "Jinja2==2.10", "versions": [{"version": "2.10"}]}]
    assert [one["id"] for one in second["references"]] == ["CVE-2019-10906", "GHSA-462w-v97r-4m45"]


def test_an_audit_of_nothing_adds_nothing(good):
    assert bill.with_faults(good, {"dependencies": []}) == good


def test_a_fault_of_another_version_is_not_this_one_s(good):
    other = [{"name": "Jinja2", "version": "2.9", "vulns": [{"id": "CVE-1", "fix_versions": ["2.10"]}]}]
    assert bill.with_faults(good, {"dependencies": other}) == good


def test_one_advisory_for_two_packages_stands_once(good):
    fault = {"id": "CVE-1", "fix_versions": [], "aliases": []}
    named = {"Jinja2": "2.10", "typing.extensions": "4.12"}
    both = [{"name": name, "version": version, "vulns": [fault]} for name, version in named.items()]
    (one,) = bill.with_faults(good, {"dependencies": both})["vulnerabilities"]
    assert [affected["ref"] for affected in one["affects"]] == ["Jinja2==2.10", "typing_extensions==4.12"]


def test_a_run_from_files(tmp_path, capsys):
    files = {name: tmp_path / f"{name}.json" for name in ("bill", "installed", "validation", "audit")}
    for name, told in {"bill": BILL, "installed": INSTALLED, "audit": AUDIT}.items():
        files[name].write_text(json.dumps(told), encoding="utf-8")
    options = [str(files["bill"]), *(f"--{name}={path}" for name, path in files.items() if name != "bill")]
    assert bill.main(options) == 0
    assert "3 components, 2 known faults joined" in capsys.readouterr().out
    told = json.loads(files["validation"].read_text(encoding="utf-8"))
    assert told == {"valid": True, "spec": "1.6", "components": 3, "why_not": []}
    files["installed"].write_text(json.dumps(INSTALLED | {"Jinja2": "3"}), encoding="utf-8")
    assert bill.main(options) == 1
    told = json.loads(files["validation"].read_text(encoding="utf-8"))
    assert not told["valid"] and told["why_not"] == ["jinja2: the bill says 2.10, installed is 3"]
