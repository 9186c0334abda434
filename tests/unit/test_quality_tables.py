"""What the quality report shows: figures that are not known are never 0, and every axis has its unit."""

from __future__ import annotations

import matplotlib
import pandas as pd
import pytest
import quality_evidence as q
from matplotlib import pyplot as plt

from edgeprof import plots
from edgeprof.plots import plot_coverage, plot_tests
from edgeprof.quality import judge, tables

matplotlib.use("agg")


@pytest.fixture
def hosted(tmp_path):
    return q.good(tmp_path / "reports")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def found(quality):
    table = tables.verdict_table(quality)
    return dict(zip(table[""], table["found"], strict=True))


def test_the_figures_of_good_evidence(hosted):
    quality = q.judged(hosted)
    rows = tables.tests_frame(quality)
    assert tables.headline(quality) == {
        "verdict": "pass", "tests_passed": int(rows["passed"].sum()), "tests_failed": 0,
        "coverage_percent": pytest.approx(100 * 2811 / 3160), "security_findings": 0, "known_faults": 0,
        "new_secrets": 0, "benchmarks_too_slow": 0,
    }  # fmt: skip
    assert found(quality)["coverage"] == "88.95 %"
    assert tables.security_note(quality).startswith("Nothing found by bandit, semgrep, zizmor, secrets")
    assert "Not run" not in tables.security_note(quality)


def test_what_was_not_run_has_no_figure():
    quality = judge(q.RULES, "offline", {})
    head = tables.headline(quality)
    assert head.pop("verdict") == "fail"
    assert set(head.values()) == {None}
    assert set(found(quality)) - {"verdict"} == {name for name, cell in found(quality).items() if cell == "not run"}
    assert tables.security_note(quality).startswith("Nobody looked. Not run: bandit")


def test_a_figure_of_some_tools_says_of_which_it_is_not(tmp_path):
    quality = q.judged(q.good(tmp_path / "reports", "offline"), "offline")
    assert found(quality)["findings of security tools"] == "0; not run: trivy"
    assert found(quality)["tests failed"] == (
        "0; not run: tests on Python 3.12, tests on Python 3.14, tests on Windows, tests on macOS, "
        "notebooks on Python 3.12, notebooks on Python 3.14"
    )
    assert found(quality)["known faults of dependencies"] == "not run"
    assert "Not run: known faults of dependencies, trivy." in tables.security_note(quality)


def test_an_audit_that_audited_nothing_knows_of_no_count(hosted):
    def nothing(data):
        data["dependencies"] = [{"name": "a", "skip_reason": "offline"}]

    q.change_json(hosted, "known faults of dependencies", nothing)
    assert tables.headline(q.judged(hosted))["known_faults"] is None


def test_what_was_found_is_listed_with_its_place(hosted):
    def high(data):
        data["runs"][0]["results"][0]["level"] = "error"

    q.change_json(hosted, "zizmor", high)
    q.change_json(hosted, "secrets", lambda d: d.update(new=[{"file": "a.py", "line": 3, "type": "AWS Access Key"}]))
    listed = tables.findings_table(q.judged(hosted))
    assert listed[["tool", "rule", "level", "place"]].to_numpy().tolist() == [
        ["secrets", "AWS Access Key", "error", "a.py:3"], ["zizmor", "sample-note", "error", "edgeprof/sample.py:1"],
    ]  # fmt: skip


def test_what_decides_stands_first(hosted):
    (hosted / q.path_of("coverage")).unlink()
    q.change_case(hosted, "documentation", "<skipped type='pytest.skip' message='needs a browser'/>")
    shown = tables.evidence_table(q.judged(hosted, "offline"))
    assert shown["evidence"].tolist()[:2] == ["coverage", "documentation"]
    assert shown["outcome"].tolist()[:3] == ["fail", "not run", "pass"]


def test_it_shows_itself(hosted):
    (hosted / q.path_of("coverage")).unlink()
    quality = q.judged(hosted)
    assert repr(quality).startswith("fail, by the profile hosted: of 27 checks 26 good, 1 bad\n")
    assert "No file matches **/coverage/coverage.json" in repr(quality)
    assert "<table>" in quality._repr_html_()


def test_hostile_names_are_harmless(hosted):
    q.change_case(hosted, "documentation", "<failure message='&lt;script&gt;alert(1)&lt;/script&gt;'/>")
    html = q.judged(hosted)._repr_html_()
    assert "&lt;script&gt;" in html and "<script" not in html


@pytest.mark.parametrize("spoilt", [False, True])
def test_charts_have_units_and_say_what_failed(hosted, spoilt):
    if spoilt:
        q.change_case(hosted, "documentation", "<failure message='x'/>")
        q.change_case(hosted, "workflows", "<skipped type='pytest.skip' message='needs npm'/>")
        q.change_json(hosted, "coverage", lambda data: data["totals"].update(percent_covered=79.99999))
    quality = q.judged(hosted)
    ax = plot_tests(tables.tests_frame(quality))
    assert ax.get_xlabel().startswith("tests [number]\n")
    said = {text.get_text() for text in ax.texts}
    assert ("30, 1 failed" in said, "22, 1 not run" in said) == (spoilt, spoilt)
    sessions = len(tables.tests_frame(quality))
    assert len(ax.patches) == sessions + 4 + 2 * spoilt, "one of each that passed, four of other platforms"
    widths = [bar.get_width() for bar in ax.patches]
    assert min(widths) > 0, "a bar of no width has an edge, in the colour of what did not happen"
    ax = plot_coverage(tables.coverage_frame(quality), least=80)
    assert "[%]" in ax.get_xlabel()
    said = {text.get_text() for text in ax.texts}
    assert {"wanted: 80 %", "79.99 %" if spoilt else "88.95 %"} <= said


def test_charts_of_nothing_are_empty_and_not_an_error():
    quality = judge(q.RULES, "offline", {})
    assert len(plot_tests(tables.tests_frame(quality)).patches) == 0
    assert len(plot_coverage(tables.coverage_frame(quality), least=80).patches) == 0
    assert plots.plot_changes(tables.changes_for_plot(quality), smallest=0.1)
    for made in (tables.tests_table, tables.coverage_table, tables.regression_table, tables.findings_table):
        assert isinstance(made(quality), pd.DataFrame) and made(quality).empty


def test_a_chart_composes_with_the_user_s_own_figure(hosted):
    quality = q.judged(hosted)
    figure, (left, right) = plt.subplots(1, 2)
    assert plot_tests(tables.tests_frame(quality), ax=right) is right
    assert plot_coverage(tables.coverage_frame(quality), least=80, ax=left) is left
    assert figure.axes == [left, right]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({"ratio": 1.11, "verdict": "worse"}, "too slow"),
        ({"ratio": 1.09, "verdict": "worse"}, "slower"),
        ({"ratio": 0.9, "verdict": "better"}, "better"),
        ({"exact": False, "verdict": "not enough data"}, "not enough data"),
    ],
)
def test_a_benchmark_has_the_word_of_the_gate(hosted, values, verdict):
    q.change_json(hosted, "benchmarks against base", lambda data: data["results"][0].update(values))
    assert tables.regression_table(q.judged(hosted))["verdict"][0] == verdict
