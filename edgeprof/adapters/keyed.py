"""Lines that name what they say: with a checksum, as JSON, as CSV below a header."""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterable
from typing import Any

from edgeprof.adapters.items import Item, Refused, claim_of

__all__ = ["CHECKSUMMED", "CSV", "JSON_LINES", "checksum"]

_LINE = re.compile(r"\$([A-Z][A-Z0-9]{0,15}(?:,[^$*]*)?)\*([0-9A-F]{4})")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,3})?")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,47}")
_WORD = re.compile(r"[\w.:+-]{0,64}")
_MAX_COLUMNS = 64


def checksum(text: str) -> str:
    """Return what stands behind the asterisk: the CRC-16 of the UTF-8 bytes between ``$`` and ``*``, in hexadecimal.

    Polynomial 0x1021, from 0xFFFF, nothing reflected (CRC-16/IBM-3740).

    >>> checksum("123456789")
    '29B1'
    """
    return f"{binascii.crc_hqx(text.encode(errors='replace'), 0xFFFF):04X}"


def _number(text: str) -> float | None:
    return float(text) if _DECIMAL.fullmatch(text) else None


def _claims(pairs: Iterable[tuple[str, Any]]) -> list[Item]:
    return [claim for key, value in pairs if (claim := claim_of(key, value))]


class _Checksummed:
    """``$T,ttft_ms=12.5,tokens=8*3711``: nothing of a line whose checksum is wrong is believed."""

    name = "checksummed"
    description = "`$NAME,key=value,…*HHHH` with a CRC-16"
    example = "$T,ttft_ms=12.5,decode_tok_s=9.25*96ED"

    def feed(self, line: str, memory: dict[str, Any]) -> list[Item]:
        """Return the claims of a line, or that its checksum is wrong."""
        found = _LINE.fullmatch(line) if line.startswith("$") else None
        if not found:
            return []
        wanted = checksum(found[1])
        if wanted != found[2]:
            return [Refused(f"the line's checksum is {found[2]}, its text has {wanted}")]
        parts = [part.split("=") for part in found[1].split(",")[1:]]
        keys = [part[0] for part in parts]
        if any(len(part) != 2 for part in parts) or len(set(keys)) < len(keys):
            return []
        return _claims((key, _number(text)) for key, text in parts)


class _JsonLines:
    """``{"ttft_ms": 12.5}``: the numbers of an object's own keys; what is nested in it is left alone."""

    name = "json"
    description = "a JSON object a line"
    example = '{"event": "done", "decode_tok_s": 9.52, "tokens": 200}'

    def feed(self, line: str, memory: dict[str, Any]) -> list[Item]:
        """Return the claims of a line."""
        if not (line.startswith("{") and line.endswith("}")):
            return []
        try:
            pairs = json.loads(line, object_pairs_hook=tuple)
        except (ValueError, RecursionError):
            return []
        keys = [key for key, _ in pairs]
        return _claims(pairs) if len(set(keys)) == len(keys) else []


class _Csv:
    """A header of names, then rows with as many cells. Other lines may come between; the next header replaces it."""

    name = "csv"
    description = "CSV below a header of two columns or more, one of them with a unit"
    example = "position,decode_ms\n7,52.25"

    def feed(self, line: str, memory: dict[str, Any]) -> list[Item]:
        """Return the claims of a row; a header is remembered."""
        cells = [cell.strip() for cell in line.split(",")]
        if not 2 <= len(cells) <= _MAX_COLUMNS:
            return []
        if all(_COLUMN.fullmatch(cell) for cell in cells):
            if any(claim_of(cell, 0) for cell in cells) and len(set(cells)) == len(cells):
                memory["header"] = cells
            return []
        header = memory.get("header", [])
        if len(cells) != len(header):
            return []
        numbers = [_number(cell) for cell in cells]
        for column, cell, number in zip(header, cells, numbers, strict=True):
            if number is None and (claim_of(column, 0) or not _WORD.fullmatch(cell)):
                return []
        return _claims(zip(header, numbers, strict=True))


CHECKSUMMED, JSON_LINES, CSV = _Checksummed(), _JsonLines(), _Csv()
