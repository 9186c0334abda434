"""Walking the header of a GGUF file before anybody trusts its lengths.

A reader that maps the file believes what the header says; a truncated or hostile one would make it loop, or read
elsewhere. :func:`check` refuses such a file with the reason. :func:`read_header` returns what the header says and reads
nothing else, so that a file of any size, or the header alone, will do.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import gguf
from gguf import GGMLQuantizationType, GGUFValueType

from edgeprof.errors import ModelError

__all__ = ["ArrayOf", "Header", "Tensor", "check", "read_header"]

_STRUCT = {
    GGUFValueType.UINT8: "B", GGUFValueType.INT8: "b", GGUFValueType.BOOL: "?",
    GGUFValueType.UINT16: "H", GGUFValueType.INT16: "h",
    GGUFValueType.UINT32: "I", GGUFValueType.INT32: "i", GGUFValueType.FLOAT32: "f",
    GGUFValueType.UINT64: "Q", GGUFValueType.INT64: "q", GGUFValueType.FLOAT64: "d",
}  # fmt: skip


_SCALARS = {kind: struct.calcsize(f"<{code}") for kind, code in _STRUCT.items()}


class ArrayOf(NamedTuple):
    """An array of the metadata: what its elements are and how many; they are not kept."""

    kind: GGUFValueType
    n: int


class Tensor(NamedTuple):
    """A tensor as the header describes it: `dims` begins with a row's length, `offset` counts from `weights_at`."""

    name: str
    kind: GGMLQuantizationType
    dims: tuple[int, ...]
    offset: int
    n_bytes: int


class _Bytes(Protocol):
    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> bytes: ...


class _FileBytes:
    """Slices of a file, each read when it is asked for."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice, /) -> bytes:
        self.file.seek(part.start or 0)
        return self.file.read(part.stop - (part.start or 0))


def read_header(path: Path) -> Header:
    """Return what the header of a GGUF file says; the weights need not be there, and are never read.

    Raises
    ------
    ModelError
        It cannot be read, is empty, foreign, or its header is truncated or damaged.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size == 0:
                raise ModelError(f"{path} is empty. Copy or download it again.")
            header = Header(path, _FileBytes(file, size))
            header.walk()
            return header
    except OSError as error:
        raise ModelError(f"The model {path} cannot be read: {error.strerror or error}. Check the path.") from error


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
                Header(path, data).check()
    except OSError as error:
        raise ModelError(f"The model {path} cannot be read: {error.strerror or error}. Check the path.") from error


class Header:
    """Walks the header of a GGUF file and refuses what would lead a reader astray.

    Attributes
    ----------
    fields
        The metadata by their keys; of an array what it is of (:class:`ArrayOf`).
    tensors
        The tensors in the file's order.
    weights_at
        Where the weights begin, in bytes.
    alignment
        Of each tensor, in bytes.
    """

    def __init__(self, path: Path, data: _Bytes) -> None:
        self.path, self.data, self.at = path, data, 0
        self.fields: dict[str, Any] = {}
        self.tensors: list[Tensor] = []
        self.weights_at, self.alignment = 0, 32

    def check(self) -> None:
        """Raise a ModelError unless all of the file is there."""
        self.walk()
        for tensor in self.tensors:
            end = self.weights_at + tensor.offset + tensor.n_bytes
            if end > len(self.data):
                raise self._truncated(f"the tensor {tensor.name!r}", end)

    def walk(self) -> None:
        """Read all but the weights."""
        magic = self.data[:4]
        if magic != b"GGUF":
            raise ModelError(
                f"{self.path} is not a GGUF file: it has {len(self.data)} bytes and starts with "
                f"{magic!r} instead of b'GGUF'. Convert the model with llama.cpp's "
                "convert_hf_to_gguf.py, or check that the download is not an error page or a Git "
                "LFS pointer."
            )
        self.at = 4
        version = self._number("I", "its version")
        if version not in (2, 3):
            big = version & 0xFFFF == 0
            what = "is big-endian" if big else f"has GGUF version {version}"
            raise ModelError(
                f"{self.path} {what}; versions 2 and 3 in little-endian order are known here. "
                "Convert it again with a current llama.cpp."
            )
        n_tensors = self._number("Q", "the number of tensors")
        n_fields = self._number("Q", "the number of metadata fields")
        for i in range(n_fields):
            key = self._string(f"the key of metadata field {i + 1} of {n_fields}")
            kind = self._kind(key)
            self.fields[key] = self._value(key, kind)
            if key == "general.alignment" and kind == GGUFValueType.UINT32:
                self.alignment = self.fields[key]
        self.tensors = [self._tensor_info(i + 1, n_tensors) for i in range(n_tensors)]
        if not self.tensors:
            raise ModelError(f"{self.path} holds no tensors (a vocabulary only?). Use a model.")
        if self.alignment == 0 or self.alignment & (self.alignment - 1):
            raise self._damaged(f"its alignment is {self.alignment}, which is no power of two")
        self.weights_at = -(-self.at // self.alignment) * self.alignment

    def _number(self, code: str, what: str) -> int:
        size = struct.calcsize(f"<{code}")
        self._skip(size, what)
        return int(struct.unpack(f"<{code}", self.data[self.at - size : self.at])[0])

    def _string(self, what: str) -> str:
        length = self._number("Q", what)
        self._skip(length, what)
        try:
            return self.data[self.at - length : self.at].decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._damaged(f"{what} is not UTF-8 text") from error

    def _kind(self, key: str) -> GGUFValueType:
        raw = self._number("I", f"the type of {key!r}")
        try:
            return GGUFValueType(raw)
        except ValueError as error:
            raise self._damaged(f"{key!r} has the unknown type {raw}") from error

    def _value(self, key: str, kind: GGUFValueType) -> Any:
        what = f"the value of {key!r}"
        if kind == GGUFValueType.STRING:
            return self._string(what)
        if kind == GGUFValueType.ARRAY:
            inner = self._kind(key)
            length = self._number("Q", what)
            if inner == GGUFValueType.STRING:
                for _ in range(length):
                    self._string(what)
            elif inner == GGUFValueType.ARRAY:
                raise self._damaged(f"{key!r} is an array of arrays, which no known model has")
            else:
                self._skip(length * _SCALARS[inner], what)
            return ArrayOf(inner, length)
        self._skip(_SCALARS[kind], what)
        return struct.unpack(f"<{_STRUCT[kind]}", self.data[self.at - _SCALARS[kind] : self.at])[0]

    def _tensor_info(self, i: int, n: int) -> Tensor:
        name = self._string(f"the name of tensor {i} of {n}")
        what = f"the description of tensor {name!r}"
        n_dims = self._number("I", what)
        if not 1 <= n_dims <= 4:
            raise self._damaged(f"{name!r} has {n_dims} dimensions")
        dims = [self._number("Q", what) for _ in range(n_dims)]
        raw = self._number("I", what)
        offset = self._number("Q", what)
        try:
            kind = GGMLQuantizationType(raw)
            block, size = gguf.GGML_QUANT_SIZES[kind]
        except (ValueError, KeyError) as error:
            raise ModelError(
                f"{self.path} holds the tensor {name!r} in the type {raw}, which this version of "
                "the gguf package does not know. Update gguf, or use a file with other types."
            ) from error
        if 0 in dims or dims[0] % block:
            raise self._damaged(f"{name!r} has the shape {dims} in blocks of {block}")
        n_elements = 1
        for dim in dims:
            n_elements *= dim
        return Tensor(name, kind, tuple(dims), offset, n_elements // block * size)

    def _skip(self, size: int, what: str) -> None:
        if self.at + size > len(self.data):
            raise self._truncated(what, self.at + size)
        self.at += size

    def _truncated(self, what: str, needed: int) -> ModelError:
        return ModelError(
            f"{self.path} ends too early: {what} would need {needed} bytes, and the file has "
            f"{len(self.data)}. It is truncated or damaged; copy or download it again."
        )

    def _damaged(self, what: str) -> ModelError:
        return ModelError(f"{self.path} is damaged: {what}. Copy or convert it again.")
