"""``junit.xml``: a test suite a board and a test case a check, as Jenkins and GitLab show them.

The document is valid by Apache Ant's schema, the strictest of those in use (``windyroad/JUnit-Schema``), and by that of
Jenkins' xUnit plugin: order, required attributes and elements are theirs.
"""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from edgeprof.display import terminal_text
from edgeprof.gate_limits import Outcome
from edgeprof.gate_outputs.wording import LONGEST_NAME, LONGEST_REASON, headline, metric_text
from edgeprof.gating import Check, GateResult

__all__ = ["junit_xml"]

_ELEMENTS: dict[Outcome, str] = {"fail": "failure", "could not judge": "error", "skipped": "skipped"}
_UNKNOWN_TIME = "1970-01-01T00:00:00"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(result: GateResult) -> str:
    """Return the result as JUnit XML: what failed is a failure, what could not be judged an error."""
    root = ET.Element("testsuites")
    boards = itertools.groupby(sorted(result.checks, key=lambda c: c.cell.board), key=lambda c: c.cell.board)
    suites = [(board, list(checks)) for board, checks in boards]
    when = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", result.measured_at)
    time = when[0] if when else _UNKNOWN_TIME
    for number, (board, checks) in enumerate(suites):
        suite = _suite(root, number, board, time, [check.outcome for check in checks])
        for check in checks:
            _case(suite, check)
        _outputs(suite, "")
    if result.problems or not suites:
        suite = _suite(root, len(suites), "the data as a whole", time, ["could not judge"] * len(result.problems))
        for problem in result.problems:
            case = ET.SubElement(suite, "testcase", name="data", classname="edgeprof.gate", time="0")
            _said(case, "error", "problem", problem)
        _outputs(suite, headline(result))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, number: int, name: str, time: str, outcomes: Sequence[Outcome]) -> ET.Element:
    suite = ET.SubElement(
        root,
        "testsuite",
        name=_text(name) or "unknown",
        package="edgeprof.gate",
        id=str(number),
        timestamp=time,
        hostname="localhost",  # the schema's word for what is not said
        tests=str(len(outcomes)),
        failures=str(outcomes.count("fail")),
        errors=str(outcomes.count("could not judge")),
        skipped=str(outcomes.count("skipped")),
        time="0",
    )
    ET.SubElement(suite, "properties")
    return suite


def _case(suite: ET.Element, check: Check) -> None:
    name = " ".join((*filter(None, map(_text, (check.cell.model, check.cell.quant))), metric_text(check)))
    # Jenkins takes what stands before the last dot for a package.
    classname = f"edgeprof.{_text(check.cell.board).replace('.', '_')}"
    case = ET.SubElement(suite, "testcase", name=name, classname=classname, time="0")
    element = _ELEMENTS.get(check.outcome)
    if element:
        _said(case, element, check.word, check.reason)


def _said(case: ET.Element, element: str, kind: str, reason: str) -> None:
    text = _text(" ".join(reason.split()), LONGEST_REASON)
    said = ET.SubElement(case, element, type=_text(kind), message=text)
    said.text = text


def _outputs(suite: ET.Element, text: str) -> None:
    ET.SubElement(suite, "system-out").text = text
    ET.SubElement(suite, "system-err")


def _text(text: str, longest: int = LONGEST_NAME) -> str:
    return _NO_XML.sub("�", terminal_text(text, longest))
