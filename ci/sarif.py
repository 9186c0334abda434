"""What a SARIF 2.1.0 file says was found."""

from __future__ import annotations

from typing import Any


def findings(told: dict[str, Any]) -> list[str]:
    """Return what was found, as ``file:line: rule: message``; what a comment in the code allows is no finding."""
    found = [line(one) for run in told["runs"] for one in run.get("results") or () if not one.get("suppressions")]
    return found + unread(told)


def unread(told: dict[str, Any]) -> list[str]:
    """Return what a tool says that it could not read."""
    keys = ("toolConfigurationNotifications", "toolExecutionNotifications")
    return [
        f"not read: {' '.join(one['message']['text'].split())}"
        for run in told["runs"]
        for invocation in run.get("invocations") or ()
        for key in keys
        for one in invocation.get(key) or ()
        if one.get("level") == "error"
    ]


def line(one: dict[str, Any]) -> str:
    """Return a finding as a line of text."""
    places = one.get("locations") or [{}]
    place = places[0].get("physicalLocation", {})
    where = place.get("artifactLocation", {}).get("uri", "?")
    number = place.get("region", {}).get("startLine", "?")
    return f"{where}:{number}: {one.get('ruleId', '?')}: {' '.join(one['message']['text'].split())}"
