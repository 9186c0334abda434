"""The SentencePiece-style tokenizer of llama models, in Python.

It is independent of llama.cpp and of the firmware, so that their token ids can be checked against
it. A text becomes ``<s>``, then its characters with spaces written as ``▁`` (one more in front);
neighbours are merged, best score first and leftmost among equals, as long as the joined piece is
in the vocabulary. A character that is not in the vocabulary becomes its UTF-8 bytes, each of them
the ``<0xNN>`` token if there is such a one, else ``<unk>``.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["SPACE", "Vocabulary", "decode_piece", "encode"]

SPACE = "▁"
"""How a piece writes a space (U+2581)."""

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>\Z")


@dataclass(frozen=True)
class Vocabulary:
    """The pieces of a model and what is needed to merge them.

    Parameters
    ----------
    pieces : sequence of str
        The raw pieces; the index is the token id.
    scores : sequence of float
        One per piece; of two possible merges the one with the higher score is made first.
    bos_id, unk_id : int
        The ids of ``<s>`` and ``<unk>``.
    add_bos, add_space_prefix : bool
        Whether a text starts with ``<s>``, and with a space that it did not have.
    """

    pieces: Sequence[str]
    scores: Sequence[float]
    bos_id: int = 1
    unk_id: int = 0
    add_bos: bool = True
    add_space_prefix: bool = True
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)
    _bytes: dict[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids: dict[str, int] = {}
        byte_ids: dict[int, int] = {}
        for token_id, piece in enumerate(self.pieces):
            match = _BYTE.match(piece)
            if match:
                byte_ids[int(match.group(1), 16)] = token_id
            elif piece not in ("<unk>", "<s>", "</s>"):
                ids.setdefault(piece, token_id)
        object.__setattr__(self, "_ids", ids)
        object.__setattr__(self, "_bytes", byte_ids)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text`, with ``<s>`` in front if the model wants it."""
        out = [self.bos_id] if self.add_bos else []
        if not text:
            return out
        marked = text.replace(" ", SPACE)
        if self.add_space_prefix:
            marked = SPACE + marked
        for symbol in self._merge(marked):
            token_id = self._ids.get(symbol)
            if token_id is not None:
                out.append(token_id)
            else:
                out.extend(self._bytes.get(b, self.unk_id) for b in symbol.encode("utf-8"))
        return out

    def decode(self, token_ids: Iterable[int]) -> str:
        """Return the text of `token_ids`, without control tokens and the space put in front."""
        raw = b"".join(_piece_bytes(self.pieces[i]) for i in token_ids)
        text = raw.decode("utf-8", errors="replace")
        return text[1:] if self.add_space_prefix and text.startswith(" ") else text

    def _merge(self, text: str) -> list[str]:
        """Return `text` cut into the symbols that no merge joins any further."""
        symbols = list(text)
        after = [*range(1, len(symbols)), -1]
        before = list(range(-1, len(symbols) - 1))
        queue: list[tuple[float, int, str]] = []

        def consider(left: int) -> None:
            if left >= 0 and after[left] >= 0:
                joined = symbols[left] + symbols[after[left]]
                token_id = self._ids.get(joined)
                if token_id is not None:
                    heapq.heappush(queue, (-self.scores[token_id], left, joined))

        for left in range(len(symbols)):
            consider(left)
        while queue:
            _, left, joined = heapq.heappop(queue)
            right = after[left]
            if not symbols[left] or right < 0 or symbols[left] + symbols[right] != joined:
                continue  # one of the two has been merged with something else
            symbols[left], symbols[right] = joined, ""
            after[left] = after[right]
            if after[left] >= 0:
                before[after[left]] = left
            consider(before[left])
            consider(left)
        return [symbol for symbol in symbols if symbol]


def encode(vocabulary: Vocabulary | str | Path, text: str) -> list[int]:
    """Return the token ids of a text.

    Parameters
    ----------
    vocabulary : Vocabulary or path
        A vocabulary, or the GGUF model whose vocabulary is meant.
    text : str
        Any text.

    Returns
    -------
    list of int
        The ids that llama.cpp gives for this text and model.
    """
    if not isinstance(vocabulary, Vocabulary):
        from edgeprof.modelfile import read_vocabulary

        vocabulary = read_vocabulary(Path(vocabulary))
    return vocabulary.encode(text)


def decode_piece(piece: str) -> str:
    """Return the text of one raw piece: ``▁the`` is `` the``, ``<0x0A>`` a line feed.

    Control pieces (``<s>``, ``</s>``, ``<unk>``) have no text. A byte piece that is no character
    on its own becomes U+FFFD.
    """
    return _piece_bytes(piece).decode("utf-8", errors="replace")


def _piece_bytes(piece: str) -> bytes:
    match = _BYTE.match(piece)
    if match:
        return bytes([int(match.group(1), 16)])
    if piece in ("<unk>", "<s>", "</s>"):
        return b""
    return piece.replace(SPACE, " ").encode("utf-8")
