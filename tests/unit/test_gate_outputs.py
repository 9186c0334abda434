"""What the gate writes: each format by its own documentation, and harmless whatever a device calls itself."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from handmade import HOSTILE, Tags, dataset, generated, harmful, run

from edgeprof.changes import FITS, Change
from edgeprof.errors import StorageError
from edgeprof.gate_cells import Cell
from edgeprof.gate_outputs import FILES, write_all
from edgeprof.gate_outputs.annotations import MOST, commands
from edgeprof.gate_outputs.badge import badge_json, badge_svg
from edgeprof.gate_outputs.benchmark import bigger_is_better, of_runs, smaller_is_better
from edgeprof.gate_outputs.code_quality import code_quality_json
from edgeprof.gate_outputs.junit import junit_xml
from edgeprof.gate_outputs.markdown import LARGEST_BYTES, summary
from edgeprof.gate_outputs.results import results_json
from edgeprof.gate_outputs.text import report
from edgeprof.gating import BELOW, EVERYTHING, Check, GateResult
from edgeprof.intervals import Interval
from edgeprof.metrics import measure
from edgeprof.verdicts import Verdict, judge, judge_exact

COST = "decode_ticks_per_token"
CELL = Cell("wasm", "fable-1.2m", "Q4_0")


def exact(base, candidate, limit=0.1, metric=COST, unit="tick/token", better="lower"):
    verdict = judge_exact(base, candidate, limit, better=better)
    return Change(metric, unit, better, base, candidate, 3, 3, "exact", verdict, (), limit)


def noisy(middle, half, limit=0.1):
    interval = Interval(middle, middle - half, middle + half, middle - half, middle + half, 10, 0.05)
    return Change(COST, "tick/token", "lower", 100.0, 100 * math.exp(middle), 10, 10, "pairs",
                  judge(interval, limit), (), limit)  # fmt: skip


SLOWER = exact(100.0, 112.0)
FAILED = Check(CELL, COST, "fail", "worse", SLOWER.verdict.reason, 0.1, SLOWER)
MISSING = Check(replace(CELL, quant="Q8_0"), EVERYTHING, "could not judge", "missing", "The candidate has none.")
REPORTED = Check(CELL, "ttft_ticks", "pass", BELOW, "changed by +5.00 %", 0.1, noisy(0.05, 0.01))
SAME = Check(CELL, "prefill_ticks_per_token", "pass", "same", "exactly equal", 0.1, exact(5.0, 5.0))
NEW = Check(replace(CELL, board="rp2040"), EVERYTHING, "skipped", "new", "The base has no finished run of it.")
RATE = Check(
    CELL, "decode_tok_s", "pass", "same", "equal", 0.1, exact(7.0, 7.0, 0.1, "decode_tok_s", "token/s", "higher")
)
ALL = (FAILED, MISSING, REPORTED, SAME, NEW, RATE)
RESULT = GateResult(ALL, (), ("A note.",), "main-data", "data", "2026-11-24T20:11:21.704122+00:00")
PASSED = GateResult((SAME, REPORTED))
UNJUDGED = GateResult((SAME, MISSING))
NOTHING = GateResult((), ("There is nothing to judge.",))
EVERY = [RESULT, PASSED, UNJUDGED, NOTHING, GateResult(())]


def hostile(name):
    """Return a result in which everything that a device says of itself is one name."""
    cell = Cell(name, name, name)
    checks = [replace(check, cell=cell, reason=f"{check.reason} {name}") for check in ALL]
    return GateResult(tuple(checks), (name,), (name,), name, name, name)


MORE_HOSTILE = [
    *HOSTILE,
    "::error title=x::y",
    "::stop-commands::z",
    "a ##[error]b",
    "a | b `c` [d](https://e.example) ![f](g)",
    "@everyone #1 www.example.org https://e.example",
    "]]><x/>",
    "\ufffe\uffff\x00\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    "100%25 %0A::error::x",
    "</text><script>1</script>",
]
names = pytest.mark.parametrize("name", MORE_HOSTILE, ids=lambda n: ascii(n)[:30])


# The table.


def test_the_report_says_what_decided_first_and_the_verdict_last():
    lines = report(RESULT).splitlines()
    assert lines[2].split()[:5] == ["fail", "wasm", "fable-1.2m", "Q4_0", COST]
    assert "+12.00 %" in lines[2]
    assert lines[2].endswith("worse")
    assert lines[-1] == ("Gate: fail. 6 checks of 3 cells: 3 passed, 1 failed, 1 could not be judged, 1 skipped.")
    assert not any("prefill" in line for line in lines)
    assert any("prefill" in line for line in report(RESULT, everything=True).splitlines())
    assert "[+4.08 %, +6.18 %]" in report(RESULT)


@names
def test_the_report_holds_no_command_for_a_terminal_or_a_runner(name):
    text = report(hostile(name), everything=True)
    assert not harmful(text.replace("\n", ""))
    # actions/runner: a line that begins with ::, or ##[ anywhere in one.
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in text.splitlines())


# JUnit, by Apache Ant's schema (https://github.com/windyroad/JUnit-Schema/blob/master/JUnit.xsd) and that of Jenkins'
# xUnit plugin (junit-10.xsd in https://github.com/jenkinsci/xunit-plugin).

SUITE = {"name", "timestamp", "hostname", "tests", "failures", "errors", "skipped", "time", "package", "id"}


def check_junit(text):
    root = ET.fromstring(text)
    assert (root.tag, root.attrib) == ("testsuites", {})
    assert len(root) > 0
    for number, suite in enumerate(root):
        assert suite.tag == "testsuite"
        assert suite.attrib.keys() == SUITE
        assert suite.get("id") == str(number)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
        assert suite.get("name").strip()
        assert re.fullmatch(r"\d+(\.\d+)?", suite.get("time"))
        children = [child.tag for child in suite]
        cases = suite.findall("testcase")
        assert children == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
        for case in cases:
            assert case.attrib.keys() == {"name", "classname", "time"}
            assert case.get("name").strip()
            assert len(case) <= 1
            for said in case:
                assert said.tag in ("failure", "error", "skipped")
                assert said.attrib.keys() == {"type", "message"}
                assert not len(said)
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(attribute)) == len(suite.findall(f"testcase/{tag}"))
        assert int(suite.get("tests")) == len(cases)
    return root


@pytest.mark.parametrize("result", EVERY)
def test_junit_is_valid(result):
    check_junit(junit_xml(result))


def test_junit_has_a_suite_a_board_and_a_case_a_check():
    root = check_junit(junit_xml(RESULT))
    assert [suite.get("name") for suite in root] == ["rp2040", "wasm"]
    wasm = root[1]
    assert wasm.get("timestamp") == "2026-11-24T20:11:21"
    assert [wasm.get(k) for k in ("tests", "failures", "errors", "skipped")] == ["5", "1", "1", "0"]
    failed = wasm.find("testcase[@name='fable-1.2m Q4_0 decode_ticks_per_token']")
    assert failed.get("classname") == "edgeprof.wasm"
    assert "+12.0 %" in failed.find("failure").get("message")
    assert wasm.find("testcase[@name='fable-1.2m Q8_0 all metrics']/error").get("type") == "missing"
    assert len({(case.get("classname"), case.get("name")) for case in wasm.iter("testcase")}) == 5


def test_junit_is_red_where_there_is_nothing():
    root = check_junit(junit_xml(NOTHING))
    assert root[0].get("errors") == "1"


@names
def test_junit_is_well_formed_whatever_a_device_says(name):
    root = check_junit(junit_xml(hostile(name)))
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "properties", "testcase", "failure", "error", "skipped", "system-out", "system-err",
    }  # fmt: skip
    assert len(list(root.iter("testcase"))) == len(ALL) + 1


# GitLab's code quality report: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format


def check_code_quality(text):
    assert not text.startswith("\ufeff")
    found = json.loads(text)
    assert isinstance(found, list)
    for entry in found:
        assert entry.keys() == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert entry["description"] and entry["check_name"]
        assert not entry["location"]["path"].startswith(("/", "./"))
        assert entry["location"]["lines"]["begin"] >= 1
    prints = [entry["fingerprint"] for entry in found]
    assert len(set(prints)) == len(prints)
    return found


@pytest.mark.parametrize("result", EVERY)
def test_code_quality_is_valid(result):
    check_code_quality(code_quality_json(result))


def test_code_quality_says_what_is_worse_and_knows_it_again():
    found = check_code_quality(code_quality_json(RESULT))
    assert [entry["severity"] for entry in found] == ["critical", "major", "minor"]
    assert found[0]["check_name"] == f"edgeprof.gate.{COST}"
    other = exact(100.0, 130.0)
    later = GateResult((replace(FAILED, change=other, reason=other.verdict.reason),))
    (again,) = check_code_quality(code_quality_json(later))
    assert again["fingerprint"] == found[0]["fingerprint"]
    assert again["description"] != found[0]["description"]
    (elsewhere,) = check_code_quality(code_quality_json(GateResult((replace(FAILED, cell=MISSING.cell),))))
    assert elsewhere["fingerprint"] != again["fingerprint"]


@names
def test_code_quality_says_names_without_harm(name):
    for entry in check_code_quality(code_quality_json(hostile(name))):
        assert not harmful(entry["description"])


# Annotations: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands


@names
def test_each_annotation_is_one_command(name):
    for line in commands(hostile(name)):
        assert re.match(r"::(error|warning) title=[^:,]*::", line), line
        assert not harmful(line)
        title, data = line.split("::", 2)[1:]
        for escaped in (title, data):  # each % begins one of GitHub's own escapes
            assert not re.search(r"%(?!25|0A|0D|3A|2C)", escaped)


def test_annotations_name_what_stops_the_gate_and_what_is_reported():
    found = commands(RESULT)
    assert [line.split(" ")[0] for line in found] == ["::error", "::error", "::warning", "::warning", "::warning"]
    assert "+12.0 %25" in found[0]
    assert found[-1].endswith("::A note.")
    assert commands(GateResult((SAME,))) == []


@pytest.mark.parametrize(("n", "shown", "last"), [(10, 10, "worse"), (11, 10, "2 more"), (500, 10, "491 more")])
def test_there_are_no_more_annotations_than_github_shows(n, shown, last):
    checks = tuple(replace(FAILED, cell=replace(CELL, quant=f"q{i}")) for i in range(n))
    found = commands(GateResult(checks))
    assert len(found) == shown <= MOST
    assert last in found[-1]


# Badges: https://shields.io/badges/endpoint-badge


@pytest.mark.parametrize(
    ("result", "message", "color"),
    [(RESULT, "fail", "red"), (PASSED, "pass", "brightgreen"), (UNJUDGED, "could not judge", "orange"),
     (NOTHING, "could not judge", "orange")],
)  # fmt: skip
def test_badges(result, message, color):
    found = json.loads(badge_json(result))
    assert found == {"schemaVersion": 1, "label": "edgeprof gate", "message": message, "color": color}
    svg = ET.fromstring(badge_svg(result))
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    left, right = svg.findall("{*}rect")
    assert int(svg.get("width")) == int(left.get("width")) + int(right.get("width"))
    assert [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")] == ["edgeprof gate", message]
    assert svg.find("{*}title").text == f"edgeprof gate: {message}"


# github-action-benchmark: https://github.com/benchmark-action/github-action-benchmark (customSmallerIsBetter)


def check_benchmark(text):
    found = json.loads(text)
    assert isinstance(found, list)
    for entry in found:
        assert {"name", "unit", "value"} <= entry.keys() <= {"name", "unit", "value", "range", "extra"}
        assert isinstance(entry["value"], int | float)
        assert all(isinstance(entry[key], str) and entry[key] for key in entry if key != "value")
    assert len({entry["name"] for entry in found}) == len(found)
    return found


@pytest.mark.parametrize("result", EVERY)
def test_benchmarks_are_valid(result):
    assert not {e["name"] for e in check_benchmark(smaller_is_better(result))} & {
        e["name"] for e in check_benchmark(bigger_is_better(result))
    }


def test_benchmarks_are_the_candidate_s_values():
    found = check_benchmark(smaller_is_better(RESULT))
    assert found[0] == {
        "name": f"wasm fable-1.2m Q4_0 {COST}", "unit": "tick/token", "value": 112.0, "extra": "fail: worse",
    }  # fmt: skip
    assert found[1]["range"] == "± 1.05"
    assert [entry["value"] for entry in check_benchmark(bigger_is_better(RESULT))] == [7.0]


def test_benchmarks_leave_out_what_is_not_known():
    unknown = Verdict("not enough data", "", math.nan, math.nan, math.nan, math.nan, 6)
    change = replace(SLOWER, candidate=math.nan, verdict=unknown)
    fits = Change(FITS, "", "higher", 1.0, 1.0, 3, 3, "exact", SLOWER.verdict, (), 0.1)
    result = GateResult((replace(FAILED, change=change), replace(FAILED, metric=FITS, change=fits)))
    assert check_benchmark(smaller_is_better(result)) == check_benchmark(bigger_is_better(result)) == []
    few = replace(SLOWER, verdict=unknown)  # a value without an interval
    (entry,) = check_benchmark(smaller_is_better(GateResult((replace(FAILED, change=few),))))
    assert "range" not in entry


@names
def test_benchmarks_hold_no_markup(name):
    for entry in check_benchmark(smaller_is_better(hostile(name))):
        assert not set("<>|`[]@#&") & set(entry["name"] + entry["extra"])
        assert not harmful(entry["name"])


def test_runs_are_exported_as_medians_a_cell():
    runs = [run(f"c/0-000{i}", quant="Q4_0", status="reset" if i == 3 else "ok") for i in range(4)]
    tokens = [one for i in range(4) for one in generated(f"c/0-000{i}", ticks=(20 + i,) * 9)]
    found = check_benchmark(of_runs(measure(dataset(runs, tokens))))
    assert {"name": f"toy m Q4_0 {COST}", "unit": "tick/token", "value": 21.0} in found
    assert {"name": "toy m Q4_0 model_bytes", "unit": "byte", "value": 4000.0} in found
    assert not [entry for entry in found if "tok_s" in entry["name"]]


@names
def test_exported_names_hold_no_markup(name):
    (row, *_) = found = check_benchmark(of_runs(measure(dataset([run(board=name, model=name, quant=name)]))))
    assert len(found) >= 3
    assert not set("<>|`[]@#&") & set(row["name"])


# The summary: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary


def test_the_summary_says_what_matters():
    lines = summary(RESULT).splitlines()
    assert lines[0] == "## edgeprof gate: fail"
    assert sum(line.startswith("| <code>") for line in lines) == 4
    assert any("worse" in line and "+12&#46;00 %" in line for line in lines)
    assert len([line for line in lines if line.startswith("- ")]) == 3


@names
def test_the_summary_is_no_markup_of_a_device(name):
    text = summary(hostile(name))
    assert set(Tags(text).tags) <= {"code"}
    for line in text.splitlines()[4:]:
        bare = re.sub(r"</?code>|&#\d+;", "", line)
        body = bare[2:] if line.startswith("- ") else bare.replace("|", "")
        if not re.fullmatch(r"[-\s]*", body):  # the row of dashes
            assert not set("<>`[]()!*_@#~\\|.:/&") & set(body), line
    assert not harmful(text.replace("\n", ""))
    assert sum(line.count("|") for line in text.splitlines() if line.startswith("| ")) % 11 == 0


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 10, 400, 2000, 20_000, LARGEST_BYTES])
def test_the_summary_stays_within_its_room(room):
    checks = tuple(replace(FAILED, cell=replace(CELL, quant=f"q{i}é")) for i in range(3000))
    text = summary(GateResult(checks), room)
    assert len(text.encode()) <= room
    if 400 <= room < LARGEST_BYTES:
        assert "fail" in text
        more = int(re.search(r"([\d,]+) more lines are in results\.json", text)[1].replace(",", ""))
        assert more > 3000


# results.json


@pytest.mark.parametrize("result", [*EVERY, *map(hostile, HOSTILE)])
def test_results_are_strict_json(result):
    def refuse(constant):
        raise AssertionError(constant)

    text = results_json(result)
    found = json.loads(text, parse_constant=refuse)
    assert text.isascii()
    assert (found["format_version"], found["verdict"], found["exit_code"]) == (1, result.verdict, result.exit_code)
    assert len(found["checks"]) == len(result.checks)


def test_results_say_all_of_a_check():
    first, second, third, *_ = json.loads(results_json(RESULT))["checks"]
    assert first == {
        "board": "wasm", "model": "fable-1.2m", "quant": "Q4_0", "metric": COST, "outcome": "fail", "word": "worse",
        "reason": FAILED.reason, "limit_pct": 10.0, "unit": "tick/token", "better": "lower", "base_value": 100.0,
        "candidate_value": 112.0, "n_base": 3, "n_candidate": 3, "method": "exact", "change_pct": 12.0, "low_pct": 12.0,
        "high_pct": 12.0, "smallest_pct": 10.0, "certain": True, "more_runs": 0, "findings": [],
    }  # fmt: skip
    assert second["limit_pct"] is None
    assert "change_pct" not in second
    assert third["low_pct"] < third["change_pct"] < third["high_pct"]


def test_all_files_are_written(tmp_path):
    written = write_all(RESULT, tmp_path / "new" / "folder")
    assert [path.name for path in written] == list(FILES)
    assert all(path.read_text(encoding="utf-8") for path in written)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Choose another --out"):
        write_all(RESULT, tmp_path / "file")
