"""Write GGUF models in another quantization.

:func:`quantize` changes the types of the weight matrices and nothing else. Two rules, either of
which ``keep`` overrides:

- Of a plain type (Q4_0), every matrix gets that type, except the token embedding and the output
  matrix, which stay at Q8_0 when it has fewer than 8 bits a weight (a small model's embedding
  suffers most, and a tied one is used twice).
- A K quantization (Q4_K_M) is a recipe with several types: :mod:`edgeprof.recipes`.

Vectors (the norms) are F32, metadata are copied byte by byte. The rounding is that of the ``gguf``
package, for K types that of :mod:`edgeprof.kquants`, so the same file comes out everywhere.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, LlamaFileType, ReaderTensor

from edgeprof.errors import ModelError, StorageError, UsageError, unknown_name
from edgeprof.kquants import K_TYPES, pack
from edgeprof.modelfile import open_gguf
from edgeprof.recipes import ALIASES, FALLBACKS, RECIPES, Architecture, type_in_recipe

__all__ = [
    "QUANTIZATIONS",
    "TARGETS",
    "Fallback",
    "QuantizeResult",
    "nominal_bits",
    "planned_types",
    "quantize",
]

QUANTIZATIONS = (
    "F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_1", "Q5_K", "Q5_0", "Q4_1", "Q4_K", "Q4_0", "Q3_K", "Q2_K", "TQ2_0",
    "TQ1_0",
)  # fmt: skip
"""The types that a matrix can be written in, most bits a weight first."""

TARGETS = (*(name for name in QUANTIZATIONS if name not in K_TYPES), *RECIPES)
"""What a model can be written in: the plain types, and the recipes of K types."""

_FILE_TYPES = {name: LlamaFileType.ALL_F32 if name == "F32" else LlamaFileType["MOSTLY_" + name] for name in TARGETS}
_WIDE = ("token_embd.weight", "output.weight")
_MAX_F16 = 65504.0
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
        One of :data:`TARGETS`: what was asked for.
    model_bytes : int
        The size of the file.
    n_params : int
        How many weights there are.
    bits_per_weight : float
        The tensors' bits (without metadata and padding) by `n_params`.
    tensors : tuple of (str, str, int)
        Name, type and bytes of every tensor, in the file's order.
    fallbacks : tuple of Fallback
        The matrices whose rows do not fit the type that they should have.
    """

    path: Path
    quant: str
    model_bytes: int
    n_params: int
    bits_per_weight: float
    tensors: tuple[tuple[str, str, int], ...]
    fallbacks: tuple[Fallback, ...]


def nominal_bits(quant: str) -> float:
    """Return the bits a weight of a type, scales included: 4.5 for ``Q4_0``."""
    block, size = gguf.GGML_QUANT_SIZES[GGMLQuantizationType[_known(quant, QUANTIZATIONS)]]
    return size * 8 / block


def quantize(src: str | Path, dst: str | Path, to: str, *, keep: Mapping[str, str] | None = None) -> QuantizeResult:
    """Write a model in another quantization.

    ``token_embd.weight`` and ``output.weight`` stay at Q8_0 when `to` is a plain type of fewer than
    8 bits a weight; a recipe has the output, and an embedding that is tied to it, at Q6_K. A matrix
    whose rows are no multiple of 256 gets, in place of a K or ternary type, one with blocks of 32
    (:data:`edgeprof.recipes.FALLBACKS`), and F16 where that does not fit either; the result lists
    it. A tensor that has the wanted type already is copied. Quantizing what is quantized already
    rounds twice: start from F16 or F32.

    Parameters
    ----------
    src, dst : path
        The GGUF file to read, and the one to write. It is written beside its place and moved there
        when it is complete, so `dst` is never half a model.
    to : str
        One of :data:`TARGETS`, in any case. ``Q3_K``, ``Q4_K`` and ``Q5_K`` mean the recipe with
        ``_M``.
    keep : mapping, optional
        Types for single matrices: a glob of tensor names to one of :data:`QUANTIZATIONS`, as in
        ``{"blk.0.ffn_down.weight": "F16", "token_embd.*": "Q4_K"}``. Of two globs that match, the
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
    quant = _known(to, (*TARGETS, *ALIASES))
    quant = ALIASES.get(quant, quant)
    wishes = {glob: _known(kind, QUANTIZATIONS) for glob, kind in (keep or {}).items()}
    reader = open_gguf(src)
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
    model = Architecture.of({t.name: [int(dim) for dim in t.shape] for t in reader.tensors})
    fallbacks: list[Fallback] = []
    planned = [
        (t, _type_for(t.name, [int(dim) for dim in t.shape], t.tensor_type, quant, model, wishes, fallbacks))
        for t in reader.tensors
    ]
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


# -- converting ----------------------------------------------------------------------------------


def _known(name: str, names: tuple[str, ...]) -> str:
    if name.upper() not in names:
        raise unknown_name("quantization", name.upper(), names)
    return name.upper()


def planned_types(
    tensors: Mapping[str, tuple[Sequence[int], GGMLQuantizationType]], to: str
) -> dict[str, GGMLQuantizationType]:
    """Return the type of each tensor in the file that :func:`quantize` would write; `tensors` are shapes and types.

    Raises
    ------
    UsageError
        There is no such target.
    """
    quant = _known(to, (*TARGETS, *ALIASES))
    quant = ALIASES.get(quant, quant)
    model = Architecture.of({name: shape for name, (shape, _) in tensors.items()})
    return {name: _type_for(name, shape, held, quant, model, {}, []) for name, (shape, held) in tensors.items()}


def _type_for(
    tensor: str, shape: Sequence[int], held: GGMLQuantizationType, quant: str, model: Architecture,
    wishes: Mapping[str, str], fallbacks: list[Fallback],
) -> GGMLQuantizationType:  # fmt: skip
    """Return the type that a tensor shall have, and note a fallback."""
    if len(shape) < 2:
        return GGMLQuantizationType.F32 if held in _FLOATS else held
    row = shape[0]
    wished = [kind for glob, kind in wishes.items() if fnmatchcase(tensor, glob)]
    if wished:
        kind = GGMLQuantizationType[wished[-1]]
        block = gguf.GGML_QUANT_SIZES[kind][0]
        if row % block:
            raise UsageError(
                f"{tensor} cannot be kept as {kind.name}: its rows have {row} weights, which "
                f"is no multiple of that type's block of {block}. Keep it as F16."
            )
        return kind
    if quant in RECIPES:
        wanted = type_in_recipe(quant, tensor, model)
    else:
        wanted = "Q8_0" if tensor in _WIDE and nominal_bits(quant) < 8 else quant
    for name in (wanted, FALLBACKS.get(wanted, "F16"), "F16"):
        kind = GGMLQuantizationType[name]
        if row % gguf.GGML_QUANT_SIZES[kind][0] == 0:
            break
    if kind.name != wanted:
        block = gguf.GGML_QUANT_SIZES[GGMLQuantizationType[wanted]][0]
        fallbacks.append(Fallback(tensor, wanted, kind.name, row, block))
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
    rounded = pack(weights, kind.name) if kind.name in K_TYPES else gguf.quantize(weights, kind)
    return np.ascontiguousarray(rounded).view(np.uint8).reshape(-1)


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
