"""SARIF 2.1.0: what a static analysis found.

Counted are results that nobody suppressed, of level warning or error, or of a ``security-severity`` of 4.0 (medium)
or more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeprof.quality.reading import Reading, UnreadableError, as_json, counted, items, listed, table, text

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["MEDIUM", "Finding", "Scan", "judge", "read"]

MEDIUM = 4.0
_COUNTED = ("warning", "error")


@dataclass(frozen=True, slots=True)
class Finding:
    """A result that counts."""

    tool: str
    rule: str
    level: str
    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line is not None else self.file
        return f"{self.rule} at {where or 'no place'}"


@dataclass(frozen=True, slots=True)
class Scan:
    """What one file's runs found: the tools, those that did not come to an end, what counts, and how much does not."""

    tools: tuple[str, ...]
    broken: tuple[str, ...]
    findings: tuple[Finding, ...]
    others: int


def read(content: str) -> Scan:
    """Return what a SARIF file says."""
    data = table(as_json(content), "the whole")
    if data.get("version") != "2.1.0":
        raise UnreadableError(f"its version is {data.get('version')!r}, not '2.1.0'")
    tools, broken, findings, others = [], [], [], 0
    for run in items(data.get("runs"), "runs"):
        driver = table(table(table(run, "a run").get("tool"), "tool").get("driver"), "tool.driver")
        name = text(driver.get("name"), "the tool's name")
        tools.append(name)
        invocations = items(run.get("invocations", []), "invocations")
        if any(not _whole(table(each, "an invocation")) for each in invocations):
            broken.append(name)
        if run.get("results") is None:  # by the standard: there was no scan, or its results could not be told
            broken.append(name)
        results = items(run.get("results") or [], "results")
        counted = list(_findings(name, results, _rules(run)))
        findings += counted
        others += len(results) - len(counted)
    return Scan(tuple(tools), tuple(dict.fromkeys(broken)), tuple(findings), others)


def _rules(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    components = [run["tool"]["driver"], *items(run["tool"].get("extensions", []), "extensions")]
    return [table(rule, "a rule") for one in components for rule in items(table(one, "x").get("rules", []), "rules")]


def _findings(tool: str, results: Sequence[Any], rules: list[dict[str, Any]]) -> Iterator[Finding]:
    by_id = {text(rule.get("id"), "the id of a rule"): rule for rule in rules}
    for result in results:
        result = table(result, "a result")
        name = result.get("ruleId") or table(result.get("rule", {}), "rule of a result").get("id") or ""
        name = text(name, "ruleId of a result")
        index = result.get("ruleIndex")
        rule = by_id.get(name) or (rules[index] if isinstance(index, int) and 0 <= index < len(rules) else {})
        level = _level(result, rule)
        if _is_left(result) and (level in _COUNTED or _severity(result, rule) >= MEDIUM):
            file, line = _place(result)
            said = table(result.get("message", {}), "message of a result").get("text", "")
            yield Finding(
                tool, name or rule.get("id") or "a rule without a name", level, file, line, " ".join(str(said).split())
            )


def _is_left(result: Mapping[str, Any]) -> bool:
    """Tell whether a result is of now and nobody has accepted it."""
    suppressed = items(result.get("suppressions") or [], "suppressions")
    accepted = [table(s, "a suppression").get("status", "accepted") == "accepted" for s in suppressed]
    return not (accepted and all(accepted)) and result.get("baselineState") != "absent"


def _level(result: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    if result.get("kind", "fail") != "fail":
        return "none"
    usual = table(rule.get("defaultConfiguration", {}), "defaultConfiguration").get("level", "warning")
    return str(result.get("level", usual))


def _severity(result: Mapping[str, Any], rule: Mapping[str, Any]) -> float:
    for one in (result, rule):
        said = table(one.get("properties", {}), "properties").get("security-severity")
        if said is not None:
            try:
                return float(said)
            except (TypeError, ValueError):
                raise UnreadableError(f"a security-severity is {said!r}, not a number") from None
    return 0.0


def _place(result: Mapping[str, Any]) -> tuple[str, int | None]:
    for location in items(result.get("locations", []), "locations"):
        physical = table(table(location, "a location").get("physicalLocation", {}), "physicalLocation")
        file = table(physical.get("artifactLocation", {}), "artifactLocation").get("uri", "")
        line = table(physical.get("region", {}), "region").get("startLine")
        return str(file), line if isinstance(line, int) else None
    return "", None


def _whole(invocation: Mapping[str, object]) -> bool:
    """Return whether a tool read all that it was told to: files that it skipped are errors in its notifications."""
    if invocation.get("executionSuccessful") is False:
        return False
    told = [
        table(one, "a notification")
        for key in ("toolConfigurationNotifications", "toolExecutionNotifications")
        for one in items(invocation.get(key, []), key)
    ]
    return all(one.get("level") != "error" for one in told)


def judge(found: Sequence[tuple[str, Scan]], limits: Limits) -> Reading:
    """Judge findings against the most there may be."""
    findings = [finding for _, scan in found for finding in scan.findings]
    others = sum(scan.others for _, scan in found)
    bad = [f"{name} holds no run of a tool; wanted one: it analysed nothing." for name, s in found if not s.tools]
    bad += [f"{tool} did not come to an end, so what it lists is not all. Run it and read its errors."
            for _, scan in found for tool in scan.broken]  # fmt: skip
    if len(findings) > limits.security_issues_threshold:
        least = f"wanted at most {limits.security_issues_threshold:g}"
        bad.append(f"{counted(len(findings), 'finding')}; {least}: {listed([str(f) for f in findings])}. Mend each.")
    rows = tuple(
        {"tool": f.tool, "rule": f.rule, "level": f.level, "file": f.file, "line": f.line, "message": f.message}
        for f in findings
    )
    lesser = f", {others} suppressed or below warning" if others else ""
    return Reading(f"{counted(len(findings), 'finding')}{lesser}", tuple(bad), issues=len(findings), rows=rows)
