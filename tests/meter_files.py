"""Meters' files made by hand, of samples that no meter measured."""

from __future__ import annotations

__all__ = ["lines"]


def lines(header: str, *columns: object) -> bytes:
    """Return a header and rows of columns, as CSV."""
    rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    return "\n".join([header, *rows, ""]).encode()
