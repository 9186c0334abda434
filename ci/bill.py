"""A software bill of materials: free of where it was made, joined with known faults, strictly valid.

CycloneDX 1.6, as ``cyclonedx-py environment`` writes it. Functions take and give the parsed JSON; the session is in
ci/sbom.py. ``python -m ci.bill SBOM --installed JSON --validation JSON [--audit JSON]`` is what the session runs.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

SPEC = "1.6"
PUBLIC = ("https://pypi.org/", "https://github.com/")
LOCAL = re.compile(
    r"\bfile:|(?<![\w.:/])/(?:home|root|tmp|Users|work|mnt|opt|usr|var)/|\b[A-Z]:\\|\b(?:localhost|127\.0\.0\.1)\b"
)
"""A path of the machine it was made on, or an address that is only there."""
DISTRIBUTION = ("distribution", "distribution-intake")
"""Where a package was fetched from: the index of this machine, which may be a mirror of its own."""

Bill = dict[str, Any]


def anonymous(bill: Bill) -> Bill:
    """Return a bill without what tells of the machine: local folders, and addresses of the index that was asked."""
    made = copy.deepcopy(bill)
    for component in components(made):
        kept = [
            reference
            for reference in component.get("externalReferences", ())
            if not LOCAL.search(reference["url"])
            and (reference["type"] not in DISTRIBUTION or reference["url"].startswith(PUBLIC))
        ]
        component.pop("externalReferences", None)
        if kept:
            component["externalReferences"] = kept
        properties = [p for p in component.get("properties", ()) if not LOCAL.search(str(p.get("value", "")))]
        component.pop("properties", None)
        if properties:
            component["properties"] = properties
    return made


def with_version(bill: Bill, installed: dict[str, str]) -> Bill:
    """Return a bill that says which version it is about; pyproject.toml does not: hatch reads it from the code."""
    made = copy.deepcopy(bill)
    about = made["metadata"]["component"]
    about.setdefault("version", installed[about["name"]])
    return made


def components(bill: Bill) -> list[dict[str, Any]]:
    """Return all components, what the bill is about included."""
    about = bill.get("metadata", {}).get("component")
    return [*([about] if about else []), *bill.get("components", ())]


def local_places(bill: Bill) -> list[str]:
    """Return the texts in a bill that tell of the machine; descriptions and licences are other people's prose."""
    return sorted({text for text in addresses(bill) if LOCAL.search(text)})


def addresses(told: Any, key: str = "") -> list[str]:
    """Return every text of a bill but for prose."""
    if isinstance(told, dict):
        return [text for name, value in told.items() for text in addresses(value, name)]
    if isinstance(told, list):
        return [text for value in told for text in addresses(value, key)]
    return [told] if isinstance(told, str) and key not in ("description", "content", "name", "text") else []


def with_faults(bill: Bill, audit: dict[str, Any]) -> Bill:
    """Return a bill with the known faults of pip-audit's report, each once, with all packages that it affects.

    A package that was not audited adds nothing, nor does another version than the bill's; no bill says of itself that
    it has no faults.
    """
    made, faults = copy.deepcopy(bill), dict[str, dict[str, Any]]()
    references = {
        (canonicalize_name(c["name"]), c.get("version")): c["bom-ref"] for c in components(made) if "bom-ref" in c
    }
    for entry in audit["dependencies"]:
        reference = references.get((canonicalize_name(entry["name"]), entry.get("version")))
        for fault in entry.get("vulns", ()) if reference else ():
            fixed = ", ".join(fault.get("fix_versions") or ())
            stands = faults.setdefault(
                fault["id"],
                {
                    "bom-ref": f"vulnerability-{fault['id']}",
                    "id": fault["id"],
                    "source": source(fault["id"]),
                    "references": [{"id": alias, "source": source(alias)} for alias in fault.get("aliases", ())],
                    "description": fault.get("description") or "The advisory has no description.",
                    "recommendation": f"Upgrade to {fixed}." if fixed else "No fixed version is known.",
                    "affects": [],
                },
            )
            stands["affects"].append({"ref": reference, "versions": [{"version": entry["version"]}]})
    if faults:
        made["vulnerabilities"] = [faults[name] for name in sorted(faults)]
    return made


def source(advisory: str) -> dict[str, str]:
    """Return who published an advisory, by its name."""
    if advisory.startswith("GHSA-"):
        return {"name": "GitHub Advisory Database", "url": f"https://github.com/advisories/{advisory}"}
    if advisory.startswith("CVE-"):
        return {"name": "NVD", "url": f"https://nvd.nist.gov/vuln/detail/{advisory}"}
    return {"name": "OSV", "url": f"https://osv.dev/vulnerability/{advisory}"}


def invalid(bill: Bill) -> str:
    """Return what is wrong with a bill by the strict schema; an empty text where it is valid."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))
    return "" if error is None else str(error).splitlines()[0][:500] or "invalid"


def broken(bill: Bill) -> Bill:
    """Return a bill of which one component is of a type that does not exist."""
    made = copy.deepcopy(bill)
    made["components"][0]["type"] = "libraryy"
    return made


def differences(bill: Bill, installed: dict[str, str]) -> list[str]:
    """Return where a bill and what is installed (name to version) differ."""
    listed = {canonicalize_name(c["name"]): c.get("version", "") for c in components(bill)}
    real = {canonicalize_name(name): version for name, version in installed.items()}
    return [
        f"{name}: the bill says {listed.get(name, 'nothing')}, installed is {real.get(name, 'nothing')}"
        for name in sorted(listed.keys() | real.keys())
        if listed.get(name) != real.get(name)
    ]


def faults_of(bill: Bill, installed: dict[str, str]) -> list[str]:
    """Return, in words, why a bill cannot be published; also where the validator lets a broken one pass."""
    said = []
    if bill.get("specVersion") != SPEC:
        said.append(f"it is CycloneDX {bill.get('specVersion')}, not {SPEC}")
    if wrong := invalid(bill):
        said.append(f"it is not valid: {wrong}")
    if not bill.get("components"):
        return [*said, "it lists no component"]
    if not invalid(broken(bill)):
        said.append("the validator takes a component of the type `libraryy`, so that its word is worth nothing")
    said += differences(bill, installed)
    said += [f"it tells of the machine it was made on: {text}" for text in local_places(bill)]
    return said


def main(argv: list[str] | None = None) -> int:
    """Clean, join, judge and write a bill; return 1 where it cannot be published."""
    parser = argparse.ArgumentParser(prog="python -m ci.bill", description=__doc__)
    parser.add_argument("bill", type=Path, help="what cyclonedx-py wrote; is replaced")
    parser.add_argument("--installed", type=Path, required=True, help="JSON: name to version, of that environment")
    parser.add_argument("--validation", type=Path, required=True, help="JSON to write")
    parser.add_argument("--audit", type=Path, help="pip-audit's JSON, where there is one")
    args = parser.parse_args(argv)
    installed = json.loads(args.installed.read_text(encoding="utf-8"))
    bill = with_version(anonymous(json.loads(args.bill.read_text(encoding="utf-8"))), installed)
    if args.audit and args.audit.is_file():
        bill = with_faults(bill, json.loads(args.audit.read_text(encoding="utf-8")))
    said = faults_of(bill, installed)
    args.bill.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    result = {"valid": not said, "spec": SPEC, "components": len(components(bill)), "why_not": said}
    args.validation.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    known = len(bill.get("vulnerabilities", ()))
    print(*said, f"{result['components']} components, {known} known faults joined, CycloneDX {SPEC}", sep="\n")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
