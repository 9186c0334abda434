"""Read GGUF models and write them in another quantization.

:func:`quantize` changes the types of the weight matrices and nothing else. The rule: every matrix
gets the type that was asked for, except the token embedding and the output matrix, which stay at
Q8_0 when that type has fewer than 8 bits a weight (a small model's embedding suffers most, and a
tied one is used twice); ``keep`` overrides this. Vectors (the norms) are F32, metadata are copied
byte by byte. The rounding is that of the ``gguf`` package, so the same file comes out everywhere.

:func:`read_model_info` says what a file holds; :func:`read_vocab` and :func:`read_vocabulary` read
its tokenizer. Whatever is wrong with a file is a :class:`~edgeprof.errors.ModelError`.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, LlamaFileType, ReaderTensor

from edgeprof.errors import ModelError, StorageError, UsageError, unknown_name
from edgeprof.tokenizer import Vocabulary

__all__ = [
    "QUANTIZATIONS",
    "Fallback",
    "ModelInfo",
    "QuantizeResult",
    "nominal_bits",
    "quantize",
    "read_model_info",
    "read_vocab",
    "read_vocabulary",
]

QUANTIZATIONS = (
    "F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "TQ2_0", "TQ1_0",
)  # fmt: skip
"""The types that :func:`quantize` can write, most bits a weight first."""

_FILE_TYPES = {
    name: LlamaFileType.ALL_F32 if name == "F32" else LlamaFileType["MOSTLY_" + name] for name in QUANTIZATIONS
}
_WIDE = ("token_embd.weight", "output.weight")
_MAX_F16 = 65504.0
_REQUIRED = object()
_SCALARS = {
    GGUFValueType.UINT8: 1, GGUFValueType.INT8: 1, GGUFValueType.BOOL: 1,
    GGUFValueType.UINT16: 2, GGUFValueType.INT16: 2,
    GGUFValueType.UINT32: 4, GGUFValueType.INT32: 4, GGUFValueType.FLOAT32: 4,
    GGUFValueType.UINT64: 8, GGUFValueType.INT64: 8, GGUFValueType.FLOAT64: 8,
}  # fmt: skip
_FLOATS = frozenset(
    GGMLQuantizationType[name] for name in ("F64", "F32", "F16", "BF16")
)  # the types whose vectors may be made F32


@dataclass(frozen=True)
class Fallback:
    """A matrix that could not have the type that it should.

    Attributes
    ----------
    tensor : str
        Its name.
    wanted, used : str
        The type that was asked for, and the one that was written.
    row_length, block_size : int
        A row must be a multiple of the wanted type's block; it was not.
    """

    tensor: str
    wanted: str
    used: str
    row_length: int
    block_size: int


@dataclass(frozen=True)
class QuantizeResult:
    """What :func:`quantize` wrote.

    Attributes
    ----------
    path : Path
        The new file.
    quant : str
        The type that was asked for.
    model_bytes : int
        The size of the file.
    n_params : int
        How many weights there are.
    bits_per_weight : float
        The tensors' bits (without metadata and padding) by `n_params`.
    tensors : tuple of (str, str, int)
        Name, type and bytes of every tensor, in the file's order.
    fallbacks : tuple of Fallback
        The matrices whose rows do not fit the type that was asked for.
    """

    path: Path
    quant: str
    model_bytes: int
    n_params: int
    bits_per_weight: float
    tensors: tuple[tuple[str, str, int], ...]
    fallbacks: tuple[Fallback, ...]


@dataclass(frozen=True)
class ModelInfo:
    """What a GGUF file says about itself.

    Attributes
    ----------
    name, arch : str
        ``general.name`` (else the file's name) and ``general.architecture``.
    n_params : int
        How many weights there are; a tied embedding counts once.
    quant : str
        ``general.file_type`` as GGUF spells it (``Q4_0``, ``F16``); where the file does not say,
        the type of most of its bytes.
    bits_per_weight : float
        The tensors' bits by `n_params`.
    model_bytes : int
        The size of the file.
    n_layers, dim, n_heads, n_kv_heads, ff, n_vocab, n_ctx : int
        The shape: blocks, width, heads of the queries and of the cache, feed-forward width, tokens,
        longest context.
    bos_id : int or None
        The token that begins a text.
    sha256 : str
        Of the whole file.
    tensor_types : dict
        Tensor name to type.
    """

    name: str
    arch: str
    n_params: int
    quant: str
    bits_per_weight: float
    model_bytes: int
    n_layers: int
    dim: int
    n_heads: int
    n_kv_heads: int
    ff: int
    n_vocab: int
    n_ctx: int
    bos_id: int | None
    sha256: str
    tensor_types: dict[str, str]


def nominal_bits(quant: str) -> float:
    """Return the bits a weight of a type, scales included: 4.5 for ``Q4_0``."""
    block, size = gguf.GGML_QUANT_SIZES[GGMLQuantizationType[_known_type(quant)]]
    return size * 8 / block


def quantize(src: str | Path, dst: str | Path, to: str, *, keep: Mapping[str, str] | None = None) -> QuantizeResult:
    """Write a model in another quantization.

    ``token_embd.weight`` and ``output.weight`` stay at Q8_0 when `to` has fewer than 8 bits a
    weight. A matrix whose rows are no multiple of the type's block gets Q4_0 in place of a ternary
    type, and F16 where that does not fit either; the result lists it. A tensor that has the wanted
    type already is copied. Quantizing what is quantized already rounds twice: start from F16 or
    F32.

    Parameters
    ----------
    src, dst : path
        The GGUF file to read, and the one to write. It is written beside its place and moved there
        when it is complete, so `dst` is never half a model.
    to : str
        One of :data:`QUANTIZATIONS`, in any case.
    keep : mapping, optional
        Types for single matrices: a glob of tensor names to a type, as in
        ``{"blk.0.ffn_down.weight": "F16", "token_embd.*": "Q4_0"}``. Of two globs that match, the
        later counts.

    Returns
    -------
    QuantizeResult
        What was written.

    Raises
    ------
    UsageError
        A type that is not known, a glob that matches no matrix, a kept type that does not fit the
        rows, or `src` and `dst` are the same file.
    ModelError
        `src` is no GGUF file, is damaged, or holds weights that cannot be converted.
    StorageError
        `dst` cannot be written.
    """
    src, dst = Path(src), Path(dst)
    quant = _known_type(to)
    wishes = {glob: _known_type(kind) for glob, kind in (keep or {}).items()}
    reader = _open(src)
    if dst.exists() and os.path.samefile(src, dst):
        raise UsageError(
            f"{src} is both the model to read and the file to write, and would be lost. Give "
            f"another destination, such as {src.with_name(f'{src.stem}-{quant}.gguf').name}."
        )
    matrices = [t.name for t in reader.tensors if len(t.shape) > 1]
    for glob in wishes:
        if not any(fnmatchcase(name, glob) for name in matrices):
            raise UsageError(
                f"No matrix of {src.name} matches {glob!r}, so nothing would be kept. Its matrices "
                f"are {_some(matrices)}. Vectors are F32 always."
            )
    fallbacks: list[Fallback] = []
    planned = [(t, _type_for(t, quant, wishes, fallbacks)) for t in reader.tensors]
    tensors: list[tuple[ReaderTensor, GGMLQuantizationType, npt.NDArray[np.uint8]]] = [
        (tensor, kind, _convert(src, tensor, kind)) for tensor, kind in planned
    ]
    fields = list(_copy_fields(reader, _FILE_TYPES[quant]))
    size = _write(dst, fields, tensors, int(reader.alignment))
    n_params = sum(int(t.n_elements) for t in reader.tensors)
    return QuantizeResult(
        path=dst,
        quant=quant,
        model_bytes=size,
        n_params=n_params,
        bits_per_weight=sum(d.nbytes for _, _, d in tensors) * 8 / n_params,
        tensors=tuple((t.name, kind.name, d.nbytes) for t, kind, d in tensors),
        fallbacks=tuple(fallbacks),
    )


def read_model_info(path: str | Path) -> ModelInfo:
    """Return what a GGUF file says about itself.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    ModelInfo
        Its name, size, shape and types.

    Raises
    ------
    ModelError
        It is no GGUF file, is damaged, or does not say its shape.
    """
    path = Path(path)
    reader = _open(path)
    arch: str = _value(reader, "general.architecture", path, str)
    shape: dict[str, int] = {}
    for key, default in (
        ("block_count", None), ("embedding_length", None), ("attention.head_count", None),
        ("attention.head_count_kv", "attention.head_count"), ("feed_forward_length", None),
        ("context_length", None),
    ):  # fmt: skip
        name = f"{arch}.{key}"
        if default and name not in reader.fields:
            name = f"{arch}.{default}"
        value = _value(reader, name, path, (int, list))  # some architectures have one a layer
        shape[key] = max(value, default=0) if isinstance(value, list) else int(value)
    n_params = sum(int(t.n_elements) for t in reader.tensors)
    tokens = reader.fields.get("tokenizer.ggml.tokens")
    embedding = next((t for t in reader.tensors if t.name == "token_embd.weight"), None)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return ModelInfo(
        name=_value(reader, "general.name", path, str, path.stem),
        arch=arch,
        n_params=n_params,
        quant=_quant_of(reader, path),
        bits_per_weight=sum(int(t.n_bytes) for t in reader.tensors) * 8 / n_params,
        model_bytes=path.stat().st_size,
        n_layers=shape["block_count"],
        dim=shape["embedding_length"],
        n_heads=shape["attention.head_count"],
        n_kv_heads=shape["attention.head_count_kv"],
        ff=shape["feed_forward_length"],
        n_vocab=len(tokens.data) if tokens else int(embedding.shape[1]) if embedding else 0,
        n_ctx=shape["context_length"],
        bos_id=_value(reader, "tokenizer.ggml.bos_token_id", path, int, None),
        sha256=sha256,
        tensor_types={t.name: t.tensor_type.name for t in reader.tensors},
    )


def read_vocab(path: str | Path) -> list[str]:
    """Return the raw pieces of a model's vocabulary; the index is the token id."""
    path = Path(path)
    return [str(p) for p in _value(_open(path), "tokenizer.ggml.tokens", path, list)]


def read_vocabulary(path: str | Path) -> Vocabulary:
    """Return a model's tokenizer.

    Parameters
    ----------
    path : path
        A GGUF file with a ``llama`` (SentencePiece) tokenizer.

    Returns
    -------
    Vocabulary
        Its pieces, scores and special tokens.

    Raises
    ------
    ModelError
        It is no GGUF file, or has a tokenizer of another kind.
    """
    path = Path(path)
    reader = _open(path)
    kind = _value(reader, "tokenizer.ggml.model", path, str)
    if kind != "llama":
        raise ModelError(
            f"{path.name} has a {kind!r} tokenizer; only 'llama' (SentencePiece) ones are known "
            "here. Use a model with such a tokenizer, or give token ids instead of text."
        )
    pieces = [str(p) for p in _value(reader, "tokenizer.ggml.tokens", path, list)]
    scores = _value(reader, "tokenizer.ggml.scores", path, list)
    if len(scores) != len(pieces):
        raise ModelError(
            f"{path.name} has {len(pieces)} pieces and {len(scores)} scores. It is damaged or was "
            "exported wrongly; export it again."
        )

    def optional(key: str, kind: type, default: Any) -> Any:
        return _value(reader, f"tokenizer.ggml.{key}", path, kind, default)

    return Vocabulary(
        pieces=pieces,
        scores=scores,
        bos_id=optional("bos_token_id", int, 1),
        unk_id=optional("unknown_token_id", int, 0),
        add_bos=optional("add_bos_token", bool, True),
        add_space_prefix=optional("add_space_prefix", bool, True),
    )


# -- reading -------------------------------------------------------------------------------------


def _open(path: Path) -> GGUFReader:
    """Return a reader of a file whose every length has been checked."""
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise ModelError(f"{path} is empty. Copy or download it again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _Header(path, data).check()
    except OSError as error:
        raise ModelError(f"The model {path} cannot be read: {error.strerror or error}. Check the path.") from error
    try:
        return GGUFReader(path)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        raise ModelError(
            f"{path} is a GGUF file that cannot be understood: {error}. Convert or download it again."
        ) from error


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


def _value(reader: GGUFReader, key: str, path: Path, kind: Any, default: Any = _REQUIRED) -> Any:
    """Return a field's value, which must be of a Python type; the default if there is none."""
    field = reader.fields.get(key)
    if field is None:
        if default is not _REQUIRED:
            return default
        raise ModelError(
            f"{path} does not say {key!r}, which is needed. It is no complete language model; "
            "convert it again with a current llama.cpp."
        )
    try:
        value = field.contents()
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is damaged: {key!r} is not UTF-8 text.") from error
    if not isinstance(value, kind):
        raise ModelError(
            f"{path} has a {type(value).__name__} for {key!r}, which is not what belongs there. "
            "It is damaged or was exported wrongly; convert it again."
        )
    return value


def _quant_of(reader: GGUFReader, path: Path) -> str:
    file_type = _value(reader, "general.file_type", path, int, LlamaFileType.GUESSED)
    if file_type in set(LlamaFileType) - {LlamaFileType.GUESSED}:
        return LlamaFileType(file_type).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    by_type: dict[str, int] = {}
    for tensor in reader.tensors:
        kind = tensor.tensor_type.name
        by_type[kind] = by_type.get(kind, 0) + int(tensor.n_bytes)
    return max(by_type, key=lambda kind: by_type[kind])


# -- converting ----------------------------------------------------------------------------------


def _known_type(name: str) -> str:
    if name.upper() not in QUANTIZATIONS:
        raise unknown_name("quantization", name.upper(), QUANTIZATIONS)
    return name.upper()


def _type_for(
    tensor: ReaderTensor, quant: str, wishes: Mapping[str, str], fallbacks: list[Fallback]
) -> GGMLQuantizationType:
    """Return the type that a tensor shall have, and note a fallback."""
    if len(tensor.shape) < 2:
        is_float = tensor.tensor_type in _FLOATS
        return GGMLQuantizationType.F32 if is_float else tensor.tensor_type
    row = int(tensor.shape[0])
    wished = [kind for glob, kind in wishes.items() if fnmatchcase(tensor.name, glob)]
    if wished:
        kind = GGMLQuantizationType[wished[-1]]
        block = gguf.GGML_QUANT_SIZES[kind][0]
        if row % block:
            raise UsageError(
                f"{tensor.name} cannot be kept as {kind.name}: its rows have {row} weights, which "
                f"is no multiple of that type's block of {block}. Keep it as F16."
            )
        return kind
    wide = tensor.name in _WIDE and nominal_bits(quant) < 8
    wanted = "Q8_0" if wide else quant
    for name in (wanted, "Q4_0" if wanted.startswith("TQ") else "F16", "F16"):
        kind = GGMLQuantizationType[name]
        if row % gguf.GGML_QUANT_SIZES[kind][0] == 0:
            break
    if kind.name != wanted:
        block = gguf.GGML_QUANT_SIZES[GGMLQuantizationType[wanted]][0]
        fallbacks.append(Fallback(tensor.name, wanted, kind.name, row, block))
    return kind


def _convert(path: Path, tensor: ReaderTensor, kind: GGMLQuantizationType) -> npt.NDArray[np.uint8]:
    """Return a tensor's bytes in another type."""
    if kind == tensor.tensor_type:
        return np.ascontiguousarray(tensor.data).view(np.uint8).reshape(-1)
    try:
        if tensor.tensor_type == GGMLQuantizationType.F64:
            weights = tensor.data.astype(np.float32)
        else:
            weights = gguf.dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError as error:
        raise ModelError(
            f"{path.name} holds {tensor.name} as {tensor.tensor_type.name}, which cannot be turned "
            "back into numbers here. Start from an F16 or F32 file of the model."
        ) from error
    largest = float(np.max(np.abs(weights)))
    if not np.isfinite(largest):
        raise ModelError(
            f"{tensor.name} of {path.name} holds a weight that is infinite or not a number. The "
            "model is broken; export it again."
        )
    exact = (GGMLQuantizationType.F32, GGMLQuantizationType.BF16)
    if largest > _MAX_F16 and kind not in exact:
        raise ModelError(
            f"{tensor.name} of {path.name} holds a weight of {largest:g}; {kind.name} works with "
            f"half-precision numbers, which end at {_MAX_F16:g}. Keep it as BF16 or F32."
        )
    weights = np.ascontiguousarray(weights, dtype=np.float32)
    return np.ascontiguousarray(gguf.quantize(weights, kind)).view(np.uint8).reshape(-1)


def _copy_fields(reader: GGUFReader, file_type: LlamaFileType) -> Iterator[bytes]:
    """Yield the metadata fields as they stand in the file, but for the two that change."""
    changed = {
        "general.file_type": int(file_type),
        "general.quantization_version": int(gguf.GGML_QUANT_VERSION),
    }
    for key, field in reader.fields.items():
        if key.startswith("GGUF."):
            continue  # the reader's names for the counts in front
        if key in changed:
            yield _uint32_field(key, changed.pop(key))
        else:
            yield b"".join(part.tobytes() for part in field.parts)
    for key, value in changed.items():
        yield _uint32_field(key, value)


def _uint32_field(key: str, value: int) -> bytes:
    name = key.encode("utf-8")
    return struct.pack(f"<Q{len(name)}sII", len(name), name, int(GGUFValueType.UINT32), value)


def _write(
    dst: Path,
    fields: list[bytes],
    tensors: list[tuple[ReaderTensor, GGMLQuantizationType, npt.NDArray[np.uint8]]],
    alignment: int,
) -> int:
    """Write a GGUF file at once; return its bytes."""
    head = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(fields)), *fields]
    offset = 0
    for tensor, kind, data in tensors:
        name = tensor.name.encode("utf-8")
        dims = [int(dim) for dim in tensor.shape]
        form = f"<Q{len(name)}sI{len(dims)}QIQ"
        head.append(struct.pack(form, len(name), name, len(dims), *dims, int(kind), offset))
        offset += _padded(data.nbytes, alignment)
    header = b"".join(head)
    part = dst.with_name(f".{dst.name}.{secrets.token_hex(4)}.part")
    try:
        dst.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                file.write(header.ljust(_padded(len(header), alignment), b"\0"))
                for _, _, data in tensors:
                    file.write(data.tobytes().ljust(_padded(data.nbytes, alignment), b"\0"))
                size = file.tell()
            os.replace(part, dst)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{dst} cannot be written: {error.strerror or error}. Choose another destination, or make room."
        ) from error
    return size


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
