"""``badge.svg`` and ``badge.json``: the verdict as a badge, drawn, or for shields.io's endpoint."""

from __future__ import annotations

import json
from html import escape

from edgeprof.gating import GateResult

__all__ = ["badge_json", "badge_svg"]

LABEL = "edgeprof gate"
_COLORS = {"pass": ("brightgreen", "#2e7d32"), "fail": ("red", "#c62828"), "could not judge": ("orange", "#b26a00")}
_CHARACTER_PX = 6.6


def badge_json(result: GateResult) -> str:
    """Return the verdict in the format of shields.io's endpoint badge."""
    color = _COLORS[result.verdict][0]
    return json.dumps({"schemaVersion": 1, "label": LABEL, "message": result.verdict, "color": color}) + "\n"


def badge_svg(result: GateResult) -> str:
    """Return the verdict as an SVG that needs no other file."""
    left, right = (round(len(text) * _CHARACTER_PX) + 12 for text in (LABEL, result.verdict))
    said = escape(f"{LABEL}: {result.verdict}")
    text = 'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" fill="#fff" text-anchor="middle"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{said}">'
        f"<title>{said}</title>"
        f'<rect width="{left}" height="20" fill="#555"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{_COLORS[result.verdict][1]}"/>'
        f'<g {text}><text x="{left / 2}" y="14">{LABEL}</text>'
        f'<text x="{left + right / 2}" y="14">{escape(result.verdict)}</text></g></svg>\n'
    )
