"""Walking the header of a GGUF file before anybody trusts its lengths.

A reader that maps the file believes what the header says; a truncated or hostile one would make it loop, or read
elsewhere. :func:`check` refuses such a file with the reason.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import gguf
from gguf import GGMLQuantizationType, GGUFValueType

from edgeprof.errors import ModelError

__all__ = ["check"]

_SCALARS = {
    GGUFValueType.UINT8: 1, GGUFValueType.INT8: 1, GGUFValueType.BOOL: 1,
    GGUFValueType.UINT16: 2, GGUFValueType.INT16: 2,
    GGUFValueType.UINT32: 4, GGUFValueType.INT32: 4, GGUFValueType.FLOAT32: 4,
    GGUFValueType.UINT64: 8, GGUFValueType.INT64: 8, GGUFValueType.FLOAT64: 8,
}  # fmt: skip


def check(path: Path) -> None:
    """Raise unless a file is a GGUF that is there to its last byte.

    Raises
    ------
    ModelError
        It cannot be read, is empty, foreign, truncated or damaged; the message says which and what to do.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise ModelError(f"{path} is empty. Copy or download it again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _Header(path, data).check()
    except OSError as error:
        raise ModelError(f"The model {path} cannot be read: {error.strerror or error}. Check the path.") from error


class _Header:
    """Walks the header of a GGUF file and refuses what would lead a reader astray."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at = path, data, 0

    def check(self) -> None:
        """Raise a ModelError unless all of the file is there."""
        magic = self.data[:4]
        if magic != b"GGUF":
            raise ModelError(
                f"{self.path} is not a GGUF file: it has {len(self.data)} bytes and starts with "
                f"{magic!r} instead of b'GGUF'. Convert the model with llama.cpp's "
                "convert_hf_to_gguf.py, or check that the download is not an error page or a Git "
                "LFS pointer."
            )
        self.at = 4
        version = self.number("I", "its version")
        if version not in (2, 3):
            big = version & 0xFFFF == 0
            what = "is big-endian" if big else f"has GGUF version {version}"
            raise ModelError(
                f"{self.path} {what}; versions 2 and 3 in little-endian order are known here. "
                "Convert it again with a current llama.cpp."
            )
        n_tensors = self.number("Q", "the number of tensors")
        n_fields = self.number("Q", "the number of metadata fields")
        alignment = 32
        for i in range(n_fields):
            key = self.string(f"the key of metadata field {i + 1} of {n_fields}")
            kind = self.kind(key)
            if key == "general.alignment" and kind == GGUFValueType.UINT32:
                alignment = struct.unpack_from("<I", self.data[self.at : self.at + 4] + bytes(4))[0]
            self.value(key, kind)
        infos = [self.tensor_info(i + 1, n_tensors) for i in range(n_tensors)]
        if not infos:
            raise ModelError(f"{self.path} holds no tensors (a vocabulary only?). Use a model.")
        if alignment == 0 or alignment & (alignment - 1):
            raise self.damaged(f"its alignment is {alignment}, which is no power of two")
        start = -(-self.at // alignment) * alignment
        for name, offset, size in infos:
            if start + offset + size > len(self.data):
                raise self.truncated(f"the tensor {name!r}", start + offset + size)

    def number(self, code: str, what: str) -> int:
        size = struct.calcsize(f"<{code}")
        self.skip(size, what)
        return int(struct.unpack_from(f"<{code}", self.data, self.at - size)[0])

    def string(self, what: str) -> str:
        length = self.number("Q", what)
        self.skip(length, what)
        try:
            return self.data[self.at - length : self.at].decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.damaged(f"{what} is not UTF-8 text") from error

    def kind(self, key: str) -> GGUFValueType:
        raw = self.number("I", f"the type of {key!r}")
        try:
            return GGUFValueType(raw)
        except ValueError as error:
            raise self.damaged(f"{key!r} has the unknown type {raw}") from error

    def value(self, key: str, kind: GGUFValueType) -> None:
        what = f"the value of {key!r}"
        if kind == GGUFValueType.STRING:
            self.string(what)
        elif kind == GGUFValueType.ARRAY:
            inner = self.kind(key)
            length = self.number("Q", what)
            if inner == GGUFValueType.STRING:
                for _ in range(length):
                    self.string(what)
            elif inner == GGUFValueType.ARRAY:
                raise self.damaged(f"{key!r} is an array of arrays, which no known model has")
            else:
                self.skip(length * _SCALARS[inner], what)
        else:
            self.skip(_SCALARS[kind], what)

    def tensor_info(self, i: int, n: int) -> tuple[str, int, int]:
        """Return a tensor's name, offset and bytes."""
        name = self.string(f"the name of tensor {i} of {n}")
        what = f"the description of tensor {name!r}"
        n_dims = self.number("I", what)
        if not 1 <= n_dims <= 4:
            raise self.damaged(f"{name!r} has {n_dims} dimensions")
        dims = [self.number("Q", what) for _ in range(n_dims)]
        raw = self.number("I", what)
        offset = self.number("Q", what)
        try:
            block, size = gguf.GGML_QUANT_SIZES[GGMLQuantizationType(raw)]
        except (ValueError, KeyError) as error:
            raise ModelError(
                f"{self.path} holds the tensor {name!r} in the type {raw}, which this version of "
                "the gguf package does not know. Update gguf, or use a file with other types."
            ) from error
        if 0 in dims or dims[0] % block:
            raise self.damaged(f"{name!r} has the shape {dims} in blocks of {block}")
        n_elements = 1
        for dim in dims:
            n_elements *= dim
        return name, offset, n_elements // block * size

    def skip(self, size: int, what: str) -> None:
        if self.at + size > len(self.data):
            raise self.truncated(what, self.at + size)
        self.at += size

    def truncated(self, what: str, needed: int) -> ModelError:
        return ModelError(
            f"{self.path} ends too early: {what} would need {needed} bytes, and the file has "
            f"{len(self.data)}. It is truncated or damaged; copy or download it again."
        )

    def damaged(self, what: str) -> ModelError:
        return ModelError(f"{self.path} is damaged: {what}. Copy or convert it again.")
