"""The quality gate's verdict: all good is a pass; each bad thing is red, for its own reason, and nothing else is."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import quality_evidence as q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprof.errors import StorageError, UsageError
from edgeprof.quality import judge, judge_folder, load_rules
from edgeprof.quality.kinds import KINDS
from edgeprof.quality.reading import UnreadableError
from edgeprof.quality.rules import PROFILES

SLOWER = "sample decode Q8_0"


@pytest.fixture
def hosted(tmp_path):
    return q.good(tmp_path / "reports")


@pytest.fixture
def offline(tmp_path):
    return q.good(tmp_path / "reports", "offline")


def test_all_good_is_a_pass_under_hosted(hosted):
    quality = q.judged(hosted)
    assert (quality.verdict, quality.exit_code, q.bad(quality)) == ("pass", 0, {})
    assert [check.outcome for check in quality.checks] == ["pass"] * len(q.RULES.evidence)


def test_all_good_is_a_pass_under_offline_too(hosted):
    assert q.judged(hosted, "offline").verdict == "pass"


# ---- each red for its own reason ----


def remove(name):
    return lambda folder: (folder / q.path_of(name)).unlink()


def replace(name, text):
    return lambda folder: (folder / q.path_of(name)).write_text(text, encoding="utf-8")


def change(name, how):
    return lambda folder: q.change_json(folder, name, how)


def inside(name, element):
    return lambda folder: q.change_case(folder, name, element)


def benchmark(**values):
    def how(data):
        data["results"][0].update(values)

    return change("benchmarks against base", how)


def leave_open(data):
    for one in data["results"]:
        if not one["exact"]:
            one["verdict"] = "not enough data"


def result(**values):
    return change("bandit", lambda data: data["runs"][0]["results"][0].update(values))


def unaudited(*names):
    def how(data):
        for entry in data["dependencies"]:
            if entry["name"] in names and entry.pop("vulns", None) is not None:
                entry["skip_reason"] = "the service could not be reached"

    return change("known faults of dependencies", how)


def faulty(data):
    data["dependencies"][0]["vulns"] = [{"id": "GHSA-1", "fix_versions": []}]


def not_judged(data):
    data.update(verdict="could not judge", exit_code=2)
    data["checks"][0].update(outcome="could not judge", word="missing")


def failed_gate(data):
    data.update(verdict="fail", exit_code=1)
    data["checks"][0].update(outcome="fail", word="worse")


TESTS, SKIP = "tests on Python 3.13", "<skipped type='pytest.skip' message='needs gcc: apt-get install gcc'/>"
BASE = "benchmarks against base"
RED = {
    "a missing report": (remove("coverage"), "coverage", r"No file matches \*\*/coverage/coverage\.json; wanted cov"),
    "a missing scan": (remove("trivy"), "trivy", r"No file matches .*trivy\.sarif; wanted SARIF"),
    "a missing test run": (remove(TESTS), TESTS, r"No file matches .*tests-3\.13.* Made by: nox -s tests-3\.13"),
    "a missing run on Windows": (remove("tests on Windows"), "tests on Windows", "No file matches .*windows"),
    "a skipped job": (
        change("jobs", lambda data: data["lint"].update(result="skipped")), "jobs", "without success.*lint: skipped",
    ),
    "a cancelled job": (
        change("jobs", lambda data: data["tests"].update(result="cancelled")), "jobs", "tests: cancelled",
    ),
    "no job": (replace("jobs", "{}"), "jobs", "names no job"),
    "coverage 79.9": (
        change("coverage", lambda data: data["totals"].update(percent_covered=79.9)), "coverage",
        r"79\.90 % is covered; wanted at least 80 %",
    ),
    "coverage a hair below": (
        change("coverage", lambda data: data["totals"].update(percent_covered=79.99999)), "coverage",
        r"79\.99 % is covered",
    ),
    "coverage of nothing": (
        change("coverage", lambda data: data["totals"].update(percent_covered=100, num_statements=0)), "coverage",
        "measured no statement",
    ),
    "a file that a tool could not read": (
        change("bandit", lambda data: data["runs"][0].update(invocations=[{
            "executionSuccessful": True,
            "toolConfigurationNotifications": [{"level": "error", "message": {"text": "syntax error"}}],
        }])),
        "bandit", "did not come to an end",
    ),
    "a finding of level error": (result(level="error"), "bandit", "1 finding; wanted at most 0: sample-note at edgepr"),
    "a finding of level warning": (result(level="warning"), "bandit", "1 finding"),
    "a finding without a level": (
        change("bandit", lambda data: data["runs"][0]["results"][0].pop("level") and None), "bandit", "1 finding",
    ),
    "a high finding below warning": (result(properties={"security-severity": "7.5"}), "bandit", "1 finding"),
    "a suppression that was rejected": (
        result(level="error", suppressions=[{"kind": "inSource", "status": "rejected"}]), "bandit", "1 finding",
    ),
    "a scan of nothing": (change("semgrep", lambda data: data.update(runs=[])), "semgrep", "no run of a tool"),
    "a scan without results": (
        change("semgrep", lambda data: data["runs"][0].pop("results") and None), "semgrep", "did not come to an end",
    ),
    "a scan that broke off": (
        change("zizmor", lambda data: data["runs"][0].update(invocations=[{"executionSuccessful": False}])), "zizmor",
        "did not come to an end",
    ),
    "an audit that audited nothing": (
        unaudited("sample-a", "sample-b"), "known faults of dependencies",
        r"audited nothing: none of 2 packages \(the service could not be reached\)",
    ),
    "an audit of no package": (
        change("known faults of dependencies", lambda data: data.update(dependencies=[])),
        "known faults of dependencies", "audited nothing: none of 0 packages",
    ),
    "an audit that left something out": (
        unaudited("sample-b"), "known faults of dependencies", "1 of 2 packages not audited: sample-b",
    ),
    "a dependency with a known fault": (
        change("known faults of dependencies", faulty), "known faults of dependencies", "sample-a 1.0: GHSA-1",
    ),
    "a benchmark 11 % slower, exact": (benchmark(ratio=1.11, verdict="worse"), BASE, rf"than 10 %: {SLOWER} \+11\.0"),
    "a benchmark 11 % slower, exact, called same": (benchmark(ratio=1.11), BASE, rf"more than 10 %: {SLOWER} \+11\.0"),
    "a benchmark 15 % slower, wholly beyond": (
        benchmark(exact=False, clock="wall", ratio=1.15, low=1.11, high=1.19, verdict="worse"), BASE,
        rf"more than 10 %: {SLOWER} \+15\.0 % \[\+11\.0 %, \+19\.0 %\]",
    ),
    "no benchmark with enough data": (
        change(BASE, leave_open),
        BASE, "3 benchmarks without enough data",
    ),
    "an exact benchmark that is not known": (
        benchmark(exact=True, verdict="not enough data", ratio=None), BASE,
        f"1 benchmark without enough data.*{SLOWER}",
    ),
    "a comparison of nothing": (change(BASE, lambda data: data.update(results=[])), BASE, "compares nothing"),
    "no benchmark": (change("benchmarks", lambda data: data.update(benchmarks=[])), "benchmarks", "holds no benchmark"),
    "a new secret": (
        change("secrets", lambda data: data.update(new=[{"file": "a.py", "line": 3, "type": "AWS Access Key"}])),
        "secrets", "1 new secret; wanted none: AWS Access Key at a.py:3",
    ),
    "a search of no file": (change("secrets", lambda d: d.update(checked_files=0)), "secrets", "searched no file"),
    "an invalid SBOM": (
        change("validation of the bill of materials", lambda data: data.update(valid=False)),
        "validation of the bill of materials", "The SBOM is not valid",
    ),
    "an SBOM of another version": (
        change("bill of materials", lambda data: data.update(specVersion="1.4")), "bill of materials",
        "cannot be read: it says that it is 'CycloneDX' '1.4'",
    ),
    "an empty SBOM": (
        change("bill of materials", lambda data: data.update(components=[])), "bill of materials", "lists no component",
    ),
    "a container check that failed": (
        change("container", lambda data: data["checks"][1].update(passed=False)), "container",
        "1 of 3 checks failed; wanted none: answers /health",
    ),
    "no check of the container": (change("container", lambda d: d.update(checks=[])), "container", "checked nothing"),
    "a gate that failed": (
        change("edgeprof gate on emulated boards", failed_gate), "edgeprof gate on emulated boards",
        "is 'fail'; wanted 'pass': sample-board sample Q4_0 decode_ticks_per_token: worse",
    ),
    "a gate that could not judge": (
        change("edgeprof gate on emulated boards", not_judged), "edgeprof gate on emulated boards",
        "is 'could not judge'.*: missing",
    ),
    "a gate that says pass of no check": (
        change("edgeprof gate on emulated boards", lambda data: data.update(checks=[])),
        "edgeprof gate on emulated boards", "cannot be read: its verdict is pass, and its checks say otherwise",
    ),
    "broken XML": (replace(TESTS, "<testsuites><testsuite"), TESTS, "cannot be read: it is no XML"),
    "XML of another kind": (replace(TESTS, "<coverage/>"), TESTS, "its outermost element is coverage"),
    "XML with entities": (replace(TESTS, "<!DOCTYPE x [<!ENTITY a 'b'>]><testsuites/>"), TESTS, "a document type"),
    "an empty file": (replace(TESTS, ""), TESTS, "cannot be read: it is empty"),
    "an empty JSON": (replace("secrets", " \n"), "secrets", "cannot be read: it is empty"),
    "broken JSON": (replace("bandit", '{"version": '), "bandit", "cannot be read: it is no JSON"),
    "JSON of another format": (replace("bandit", "[]"), "bandit", "be read: the whole is a list, not an object"),
    "a run of no test": (replace(TESTS, "<testsuites/>"), TESTS, "There is no test in it"),
    "a failed test": (
        inside(TESTS, "<failure message='assert 1 == 2'/>"), TESTS,
        r"1 of 57 tests failed; wanted none: sample::test_56 \(assert 1 == 2\)",
    ),
    "an error in a test": (inside(TESTS, "<error message='no fixture'/>"), TESTS, "1 of 57 tests failed"),
    "a test that lacked something": (inside(TESTS, SKIP), TESTS, "1 test not run: needs gcc: apt-get install gcc"),
}  # fmt: skip


@pytest.mark.parametrize("what", RED)
def test_what_is_bad_is_red_for_its_own_reason_and_nothing_else_is(hosted, what):
    spoil, name, reason = RED[what]
    spoil(hosted)
    quality = q.judged(hosted)
    found = q.bad(quality)
    assert list(found) == [name]
    assert re.search(reason, found[name], re.DOTALL), found[name]
    assert (quality.verdict, quality.exit_code) == ("fail", 1)


def test_a_file_that_is_no_text_is_red(hosted):
    (hosted / q.path_of("secrets")).write_bytes(b"\xff\xfe\x00")
    assert "cannot be read: it is no text in UTF-8" in q.bad(q.judged(hosted))["secrets"]


def test_one_benchmark_that_a_busy_machine_left_open_is_listed_and_not_red(hosted):
    benchmark(exact=False, verdict="not enough data", ratio=None)(hosted)
    quality = q.judged(hosted)
    assert quality.verdict == "pass"
    (check,) = [one for one in quality.checks if one.name == BASE]
    assert "without enough data" in " ".join(check.noted)


@pytest.mark.parametrize("what", ["9 % slower, exact", "15 % slower, not certain", "8 % slower, certain"])
def test_what_is_slower_within_the_limit_is_listed_and_not_red(hosted, what):
    {
        "9 % slower, exact": benchmark(ratio=1.09, verdict="worse"),
        "15 % slower, not certain": benchmark(exact=False, ratio=1.15, low=1.02, high=1.28, verdict="worse"),
        "8 % slower, certain": benchmark(exact=False, ratio=1.08, low=1.07, high=1.09, verdict="worse"),
    }[what](hosted)
    quality = q.judged(hosted)
    assert quality.verdict == "pass"
    (check,) = [check for check in quality.checks if check.name == BASE]
    assert re.search(rf"slower, .*{SLOWER} \+{what.split()[0]}", " ".join(check.noted))


@pytest.mark.parametrize(
    "values",
    [
        {"level": "note"},
        {"level": "error", "suppressions": [{"kind": "inSource"}]},
        {"level": "error", "baselineState": "absent"},
        {"level": "error", "kind": "pass"},
        {"level": "note", "properties": {"security-severity": "3.9"}},
    ],
    ids=str,
)
def test_what_is_no_finding_is_not_counted(hosted, values):
    result(**values)(hosted)
    assert q.judged(hosted).verdict == "pass"


@pytest.mark.parametrize("where", ["the rule's level", "the rule's severity"])
def test_a_result_takes_after_its_rule(hosted, where):
    def how(data):
        run = data["runs"][0]
        del run["results"][0]["level"]
        rule = {"defaultConfiguration": {"level": "note"}}
        run["tool"]["driver"]["rules"][0].update(rule)
        assert "ruleIndex" not in run["results"][0]
        if where == "the rule's level":
            rule["defaultConfiguration"]["level"] = "error"
        else:
            run["tool"]["driver"]["rules"][0]["properties"] = {"security-severity": "4.0"}

    change("bandit", how)(hosted)
    assert list(q.bad(q.judged(hosted))) == ["bandit"]


def test_tests_for_other_platforms_are_fine(hosted):
    q.change_case(hosted, TESTS, "<skipped type='pytest.skip' message='only on macOS'/>")
    q.change_case(hosted, "documentation", "<skipped type='pytest.xfail' message='known'/>")
    assert q.judged(hosted).verdict == "pass"


def test_a_whole_module_that_was_skipped_says_why(hosted):
    text = "('tests/x.py', 3, 'Skipped: needs a browser: apt-get install chromium')"
    q.change_case(hosted, TESTS, f'<skipped message="collection skipped">{text}</skipped>')
    assert "1 test not run: needs a browser: apt-get install chromium." in q.bad(q.judged(hosted))[TESTS]


def test_a_part_of_a_session_may_be_empty_but_not_all_of_it(hosted):
    (hosted / "junit" / "tests-3.13-alone.xml").write_text("<testsuites/>", encoding="utf-8")
    assert q.judged(hosted).verdict == "pass"
    (hosted / "junit" / "tests-3.13-alone.xml").write_text("<testsuites", encoding="utf-8")
    assert "tests-3.13-alone.xml cannot be read" in q.bad(q.judged(hosted))[TESTS]


def test_evidence_of_several_machines_is_all_judged(hosted):
    """As downloaded artifacts lie: a folder each."""
    other = q.sample.write(hosted / "evidence-ubuntu", q.sample.sample(q.RULES))
    assert q.judged(hosted).verdict == "pass"
    q.change_case(other, TESTS, "<failure message='there only'/>")
    assert list(q.bad(q.judged(hosted))) == [TESTS]


def test_a_run_on_windows_is_none_on_linux(hosted):
    (hosted / q.path_of(TESTS)).rename(hosted / "windows" / "junit" / "tests-3.13.xml")
    assert list(q.bad(q.judged(hosted))) == [TESTS]


def test_the_threshold_is_for_all_tools_together(hosted, tmp_path):
    rules = tmp_path / "quality.toml"
    text = Path(q.resources.path("ci/quality.toml")).read_text(encoding="utf-8")
    rules.write_text(text.replace("security_issues_threshold = 0", "security_issues_threshold = 1"), encoding="utf-8")
    result(level="error")(hosted)
    assert judge_folder(hosted, "hosted", rules).verdict == "pass"
    change("zizmor", lambda data: data["runs"][0]["results"][0].update(level="error"))(hosted)
    found = q.bad(judge_folder(hosted, "hosted", rules))
    assert list(found) == ["all security tools together"]
    assert "2 findings of all tools; wanted at most 1: bandit 1, zizmor 1" in found["all security tools together"]


# ---- offline ----


def test_offline_what_was_not_run_is_said_and_is_never_clean(offline):
    quality = q.judged(offline, "offline")
    assert (quality.verdict, quality.exit_code) == ("incomplete here", 0)
    left = {check.name for check in quality.of("not run")}
    assert left == {one.name for one in q.RULES.evidence if one.offline == "not run here"}
    assert {"trivy", "tests on Windows", "jobs"} <= left
    assert all(check.shown == "not run" and check.reading is None for check in quality.of("not run"))
    assert "Not run here: its database is on the internet." in " ".join(
        reason for check in quality.of("not run") for reason in check.reasons
    )


def test_the_same_evidence_is_not_enough_under_hosted(offline):
    quality = q.judged(offline)
    assert (quality.verdict, quality.exit_code) == ("fail", 1)
    assert set(q.bad(quality)) == {one.name for one in q.RULES.evidence if one.offline == "not run here"}


OPEN = {
    "an audit that audited nothing", "an audit of no package", "an audit that left something out",
    "no benchmark with enough data", "an exact benchmark that is not known", "a test that lacked something",
}  # fmt: skip
HOSTED_ONLY = {one.name for one in q.RULES.evidence if one.offline == "not run here"}


@pytest.mark.parametrize("what", [what for what in RED if what not in OPEN])
def test_offline_something_bad_is_a_failure(hosted, what):
    spoil, name, _ = RED[what]
    spoil(hosted)
    quality = q.judged(hosted, "offline")
    if name in HOSTED_ONLY and not (hosted / q.path_of(name)).exists():
        assert (quality.verdict, quality.exit_code) == ("incomplete here", 0)
    else:
        assert (quality.verdict, quality.exit_code, list(q.bad(quality))) == ("fail", 1, [name])


@pytest.mark.parametrize("what", sorted(OPEN))
def test_offline_what_could_not_be_judged_is_not_run(hosted, what):
    spoil, name, reason = RED[what]
    spoil(hosted)
    quality = q.judged(hosted, "offline")
    assert (quality.verdict, quality.exit_code) == ("incomplete here", 0)
    (check,) = quality.of("not run")
    assert check.name == name and re.search(reason, " ".join(check.reasons), re.DOTALL)


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_without_any_one_of_what_is_required_there_is_no_pass(data):
    """Pure: what files say, by name, less some of it."""
    profile = data.draw(st.sampled_from(PROFILES))
    required = [one for one in q.RULES.evidence if one.required(profile)]
    gone = data.draw(st.sets(st.sampled_from([one.name for one in required]), min_size=1))
    files = {
        one.name: [(q.sample.path_of(one), q.sample.GOOD[one.kind](one))]
        for one in q.RULES.evidence
        if one.name not in gone
    }
    quality = judge(q.RULES, profile, files)
    assert (quality.verdict, quality.exit_code, set(q.bad(quality))) == ("fail", 1, gone)


OTHERS = (None, True, -1, 1.5, float("nan"), "x", [], [None], {}, {"a": 1}, [[]], [{}])


def spoilt(node):
    """Return every copy of a JSON value in which one part, at any depth, is something else."""
    yield from OTHERS
    if isinstance(node, dict):
        for key, inner in node.items():
            yield {k: v for k, v in node.items() if k != key}
            yield from (node | {key: other} for other in spoilt(inner))
    if isinstance(node, list):
        for at, inner in enumerate(node):
            yield from ([*node[:at], other, *node[at + 1 :]] for other in spoilt(inner))


@pytest.mark.parametrize("name", [one.name for one in q.RULES.evidence if one.kind != "junit"])
def test_whatever_a_file_holds_it_is_judged_or_cannot_be_read(name):
    """Exhaustive: each part of a good file replaced by each other shape. Nothing crashes, and not all is good."""
    one = next(one for one in q.RULES.evidence if one.name == name)
    kind, outcomes = KINDS[one.kind], set()
    for data in spoilt(json.loads(q.sample.GOOD[one.kind](one))):
        try:
            reading = kind.judge([("x", kind.read(json.dumps(data)))], q.RULES.limits)
        except UnreadableError as error:
            said = str(error)
            outcomes.add("cannot be read" if said else "without a reason")
        else:
            outcomes.add("bad" if reading.bad or reading.unsettled else "good")
    assert "cannot be read" in outcomes
    assert "without a reason" not in outcomes


# ---- wrong use, and rules ----


def test_a_profile_that_there_is_not_names_the_closest(hosted):
    with pytest.raises(UsageError, match=r"no profile 'hostd'. Did you mean 'hosted'\?"):
        q.judged(hosted, "hostd")


def test_a_folder_that_there_is_not(tmp_path):
    with pytest.raises(StorageError, match="There is no evidence at"):
        judge_folder(tmp_path / "none")


ITEM = '[[evidence]]\nname="a"\nkind="junit"\nglob="*.xml"\nmade_by="x"\noffline="required"\nhosted="required"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "asks for no evidence"),
        ("[thresholds", "cannot be read"),
        (ITEM + ITEM, "two .* of the name 'a'"),
        (ITEM.replace("junit", "junti"), r"no kind of evidence 'junti'. Did you mean 'junit'\?"),
        (ITEM.replace('hosted="required"', 'hosted="not run here"'), "not required under hosted"),
        (ITEM.replace('offline="required"', 'offline="not run here"'), "say the reason as why"),
        (ITEM.replace('offline="required"', 'offline="maybe"'), "no value of offline 'maybe'"),
        (ITEM.replace("made_by", "made_with"), r"no key of \[\[evidence\]\] 'made_with'. Did you mean 'made_by'"),
        (ITEM.replace('glob="*.xml"\n', ""), "has no glob"),
        ("[thresholds]\ncoverage_threshold_percent = -1\n" + ITEM, "is a number, 0 or more; not -1"),
        ("[thresholds]\ncoverage_threshold = 80\n" + ITEM, "Did you mean 'coverage_threshold_percent'"),
    ],
)
def test_rules_that_cannot_be_used_say_why(tmp_path, text, said):
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        load_rules(path)


def test_rules_that_are_not_there_say_so(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_rules(tmp_path / "none.toml")


def test_the_project_s_rules_are_those_of_its_specification():
    limits = q.RULES.limits
    assert limits.coverage_threshold_percent == 80
    assert limits.security_issues_threshold == 0
    assert limits.performance_regression_threshold_percent == 10
    assert {one.hosted for one in q.RULES.evidence} == {"required"}


def test_every_python_of_the_matrix_has_to_show_its_tests():
    clone = Path(__file__).parents[2]
    steps, run = clone / "ci" / "steps.py", clone / ".ci" / "run"
    if not steps.exists() or not run.exists():
        pytest.skip("only on a clone of the repository")
    found = re.search(r"^MATRIX = (\(.*\))$", steps.read_text(encoding="utf-8"), re.MULTILINE)
    one_machine = re.search(r"EDGEPROF_PYTHONS:-([\d. ]+)\}", run.read_text(encoding="utf-8"))[1].split()
    rules = {one.name: one for one in q.RULES.evidence}
    for python in ast.literal_eval(found[1]):
        for what in ("tests", "notebooks"):
            rule = rules[f"{what} on Python {python}"]
            assert (rule.hosted, rule.made_by) == ("required", f"nox -s {what}-{python}")
            # What one machine runs, it has to show; what it leaves out is never counted as clean.
            assert rule.offline == ("required" if python in one_machine else "not run here"), rule.name


def test_the_sample_is_what_its_generator_makes():
    folder = Path(q.resources.path("data/quality")) / q.sample.SAMPLE
    there = {p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8") for p in folder.rglob("*") if p.is_file()}
    assert there == q.sample.sample(q.RULES), "run: python data/quality/make_sample.py"
    assert all("sample" in text for text in there.values() if "valid" not in text), (
        "it does not say that it is a sample"
    )
