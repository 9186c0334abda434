"""Make the sample evidence of the quality report: synthetic, of no build that ever was.

python data/quality/make_sample.py      writes sample-evidence/ beside this script

There is one file for each piece of evidence that the rules require under a profile, all of them good. The figures are
made up; the files have the formats of the real ones.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from edgeprof.quality.rules import Evidence, Rules, load_rules

SAMPLE = "sample-evidence"
SAYS = "synthetic sample evidence, of no real build"
_TESTS = {"tests": 60, "notebooks": 24, "docs": 30, "ci-lint": 22}
_HOW = {"tests": "tests", "notebooks": "notebooks", "docs": "pages", "ci-lint": "workflows"}


def evidence(rules: Rules, profile: str, also: Collection[str] = ()) -> dict[str, str]:
    """Return good evidence, file by file, of all that is required under a profile, and of more kinds."""
    return {path_of(one): GOOD[one.kind](one) for one in rules.evidence if one.required(profile) or one.kind in also}


def sample(rules: Rules) -> dict[str, str]:
    """Return what the sample shows: what can be had offline, in a minute or in an hour."""
    return evidence(rules, "offline", ("regression", "gate"))


def path_of(one: Evidence) -> str:
    """Return a path that a piece of evidence's pattern matches."""
    plain = re.sub(r"\*\*/", "", one.glob).replace("/*.", "/sample.")
    return plain.replace("*", "")


def junit(one: Evidence) -> str:
    """Return a test run in which all passed but what is for other platforms."""
    name = Path(path_of(one)).stem
    tests = next((count for prefix, count in _TESTS.items() if name.startswith(prefix)), 40)
    tests -= 3 * name.endswith("3.13")  # not every session has the same number
    others = 2 if name.startswith("tests") else 0
    root = ET.Element("testsuites", name=SAYS)
    counts = {"tests": str(tests), "failures": "0", "errors": "0", "skipped": str(others)}
    suite = ET.SubElement(root, "testsuite", name=SAYS, **counts)
    for number in range(tests):
        case = ET.SubElement(suite, "testcase", classname="sample", name=f"test_{number}", time="0")
        if number < others:
            ET.SubElement(case, "skipped", type="pytest.skip", message="only on Windows")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def coverage(one: Evidence) -> str:
    """Return coverage above the threshold, by part of the package."""
    parts = {
        "edgeprof/sample.py": (1140, 1200),
        "edgeprof/adapters/sample.py": (282, 300),
        "edgeprof/boards/sample.py": (434, 520),
        "edgeprof/cli/sample.py": (366, 480),
        "edgeprof/firmware/sample.py": (205, 260),
        "edgeprof/plots/sample.py": (384, 400),
    }
    covered, lines = (sum(counts[i] for counts in parts.values()) for i in (0, 1))
    files = {name: {"summary": {"covered_lines": c, "num_statements": n}} for name, (c, n) in parts.items()}
    totals = {"covered_lines": covered, "num_statements": lines, "percent_covered": 100 * covered / lines}
    return text({"meta": {"format": 3, "note": SAYS}, "files": files, "totals": totals})


def sarif(one: Evidence) -> str:
    """Return a scan that found one thing, of the lowest level."""
    name = Path(path_of(one)).stem
    place = {"artifactLocation": {"uri": "edgeprof/sample.py"}, "region": {"startLine": 1}}
    result = {
        "ruleId": "sample-note", "level": "note", "message": {"text": SAYS}, "locations": [{"physicalLocation": place}],
    }  # fmt: skip
    driver = {"name": name, "rules": [{"id": "sample-note"}]}
    return text({"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": [result]}]})


def secrets(one: Evidence) -> str:
    """Return a search that found nothing new."""
    return text({"note": SAYS, "checked_files": 640, "new": []})


def audit(one: Evidence) -> str:
    """Return an audit of which edgeprof itself is left out, as always."""
    packages = [{"name": name, "version": "1.0", "vulns": []} for name in ("sample-a", "sample-b")]
    own = {"name": "edgeprof", "skip_reason": "distribution marked as editable"}
    return text({"note": SAYS, "dependencies": [*packages, own], "fixes": []})


def sbom(one: Evidence) -> str:
    """Return a bill of materials with two components."""
    parts = [{"type": "library", "name": name, "version": "1.0"} for name in ("sample-a", "sample-b")]
    return text({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": parts})


def validation(one: Evidence) -> str:
    """Return the validation of that."""
    return text({"note": SAYS, "valid": True, "spec": "1.6", "components": 2})


def container(one: Evidence) -> str:
    """Return two images and their checks."""
    checks = [{"name": name, "passed": True, "detail": SAYS} for name in ("starts", "answers /health", "is not root")]
    return text({"built": {"testing": {}, "production": {}}, "checks": checks, "tool": "sample"})


def benchmark(one: Evidence) -> str:
    """Return figures of the benchmarks that were compared."""
    return text({"note": SAYS, "benchmarks": [{"name": r["name"], "stats": {"min": 1.0}} for r in RATIOS]})


def ratio(name: str, clock: str, middle: float, spread: float, verdict: str) -> dict[str, Any]:
    """Return a benchmark of head against base."""
    return {
        "name": name, "clock": clock, "exact": clock == "fuel", "ratio": middle, "low": round(middle - spread, 4),
        "high": round(middle + spread, 4), "verdict": verdict,
    }  # fmt: skip


RATIOS = [
    ratio("sample decode Q8_0", "fuel", 1.0, 0, "same"),
    ratio("sample decode Q4_0", "fuel", 0.968, 0, "better"),
    ratio("sample prefill Q4_0", "fuel", 1.004, 0, "same"),
    ratio("sample read capture", "wall", 1.012, 0.021, "same"),
    ratio("sample compare runs", "wall", 1.058, 0.022, "worse"),
    ratio("sample import log", "wall", 0.93, 0.027, "better"),
]


def regression(one: Evidence) -> str:
    """Return ratios of which one is slower, by less than the limit."""
    return text({"note": SAYS, "base": "0" * 40, "head": "1" * 40, "results": RATIOS})


def gate(one: Evidence) -> str:
    """Return a gate that passed."""
    checks = [
        {"board": "sample-board", "model": "sample", "quant": quant, "metric": "decode_ticks_per_token",
         "outcome": "pass", "word": "same", "reason": SAYS}
        for quant in ("Q4_0", "Q8_0")
    ]  # fmt: skip
    return text({"format_version": 1, "verdict": "pass", "exit_code": 0, "problems": [], "checks": checks})


def needs(one: Evidence) -> str:
    """Return jobs that all succeeded."""
    return text({job: {"result": "success", "outputs": {}} for job in ("lint", "tests", "security", "container")})


def text(data: Any) -> str:
    """Return JSON as it is written."""
    return json.dumps(data, indent=1) + "\n"


GOOD: Mapping[str, Callable[[Evidence], str]] = {
    made.__name__: made
    for made in (
        audit, benchmark, container, coverage, gate, junit, needs, regression, sarif, sbom, secrets,
        validation,
    )
}  # fmt: skip
"""Good evidence of each kind, by the kind's name."""


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write evidence into a folder; return it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="\n")
    return folder


if __name__ == "__main__":
    target = Path(__file__).with_name(SAMPLE)
    shutil.rmtree(target, ignore_errors=True)
    print(write(target, sample(load_rules())))
