"""A model's shape and types, from the header of its GGUF file: all that its size and cost follow from.

The weights are never read, so the header alone will do, and so will a file of any size. What the reference firmware
would refuse is refused here, in the same order as in ``edgeprof/firmware/llm/model.c``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
from gguf import GGMLQuantizationType, LlamaFileType

from edgeprof.errors import ModelError, UsageError
from edgeprof.gguf_check import Header, read_header
from edgeprof.quantize import planned_types

__all__ = ["KERNELS", "ModelShape", "read_shape"]

KERNELS = ("F32", "F16", "Q8_0", "Q6_K", "Q5_K", "Q5_0", "Q4_K", "Q4_0", "Q3_K", "Q2_K", "TQ2_0")
"""The tensor types that the reference firmware computes with, most bits a weight first."""

_LARGEST_DIM, _LARGEST_LAYERS, _LARGEST_CONTEXT = 16384, 256, 65535
_WRITTEN = ("general.file_type", "general.quantization_version")  # by quantize, 16 bytes and the key each
_UNSUPPORTED = (
    "rope_freqs.weight", "blk.0.attn_q.bias", "blk.0.attn_k.bias", "blk.0.attn_v.bias", "blk.0.attn_output.bias",
    "blk.0.ffn_gate_inp.weight", "output_norm.bias", "blk.0.ffn_gate.bias", "blk.0.ffn_up.bias", "blk.0.ffn_down.bias",
)  # fmt: skip


@dataclass(frozen=True)
class ModelShape:
    """What a model is, but for its weights.

    Attributes
    ----------
    name, quant : str
        ``general.name`` (else the file's name), and the quantization as GGUF spells it.
    n_layers, dim, n_heads, n_kv_heads, head_dim, ff, n_vocab, n_ctx, rope_dims : int
        Blocks, width, heads of the queries and of the cache and their width, feed-forward width, tokens, longest
        context, and how much of a head is rotated.
    tensors : dict
        Name to dimensions (a row's length first) and type.
    metadata_bytes, requantized_bytes, alignment : int
        Bytes of the header without the tensors' descriptions; the same of a file that ``quantize`` makes, which adds
        what is missing; what header and tensors are padded to.
    """

    name: str
    quant: str
    n_layers: int
    dim: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    ff: int
    n_vocab: int
    n_ctx: int
    rope_dims: int
    tensors: Mapping[str, tuple[tuple[int, ...], str]]
    metadata_bytes: int
    requantized_bytes: int
    alignment: int

    @property
    def kv_dim(self) -> int:
        """Width of a key, all heads of the cache together."""
        return self.n_kv_heads * self.head_dim

    @property
    def q_dim(self) -> int:
        """Width of a query, all heads together."""
        return self.n_heads * self.head_dim

    @property
    def n_params(self) -> int:
        """How many weights there are; a tied embedding counts once."""
        return sum(_elements(dims) for dims, _ in self.tensors.values())

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors, without padding."""
        return sum(_n_bytes(dims, kind) for dims, kind in self.tensors.values())

    @property
    def bits_per_weight(self) -> float:
        """Bits of all tensors over parameters."""
        return self.weight_bytes * 8 / self.n_params

    @property
    def model_bytes(self) -> int:
        """Size of the whole file: header, and each tensor padded."""
        padded = (_padded(_n_bytes(dims, kind), self.alignment) for dims, kind in self.tensors.values())
        described = sum(_described(name, len(dims)) for name, (dims, _) in self.tensors.items())
        return _padded(self.metadata_bytes + described, self.alignment) + sum(padded)

    @property
    def types(self) -> tuple[str, ...]:
        """The types of its matrices, most bits a weight first."""
        found = {kind for dims, kind in self.tensors.values() if len(dims) > 1}
        return tuple(kind for kind in KERNELS if kind in found)

    @property
    def dimensions(self) -> tuple[int, ...]:
        """What two models have in common whose passes are the same work but for types and weights."""
        return (
            self.n_layers, self.dim, self.n_heads, self.n_kv_heads, self.head_dim, self.ff, self.n_vocab, self.rope_dims
        )  # fmt: skip

    def matrix(self, name: str) -> tuple[int, int, str]:
        """Return row length, rows and type of a matrix."""
        dims, kind = self.tensors[name]
        return dims[0], dims[1], kind

    def quantized(self, to: str) -> ModelShape:
        """Return the shape of the file that :func:`edgeprof.quantize.quantize` would write.

        Raises
        ------
        UsageError
            There is no such quantization.
        """
        held = {name: (dims, GGMLQuantizationType[kind]) for name, (dims, kind) in self.tensors.items()}
        types = planned_types(held, to)
        tensors = {name: (dims, types[name].name) for name, (dims, _) in self.tensors.items()}
        return replace(self, quant=to.upper(), tensors=tensors, metadata_bytes=self.requantized_bytes)

    def resized(self, *, n_layers: int | None = None, width: int = 1) -> ModelShape:
        """Return a model like this one with other layers, and ``width`` times as wide (heads of the same width).

        Raises
        ------
        UsageError
            A number below 1.
        """
        layers = self.n_layers if n_layers is None else n_layers
        if layers < 1 or width < 1:
            raise UsageError(
                f"A model of {layers} layers, {width} times as wide, cannot be: give whole numbers from 1."
            )
        rows_stay = {"token_embd.weight", "output.weight"}
        tensors: dict[str, tuple[tuple[int, ...], str]] = {}
        for name, (dims, kind) in self.tensors.items():
            wide = (dims[0] * width, *(d if name in rows_stay else d * width for d in dims[1:]))
            if not name.startswith("blk."):
                tensors[name] = (wide, kind)
            elif name.startswith("blk.0."):
                tensors |= {f"blk.{i}.{name[6:]}": (wide, kind) for i in range(layers)}
        return replace(
            self, n_layers=layers, dim=self.dim * width, n_heads=self.n_heads * width, ff=self.ff * width,
            n_kv_heads=self.n_kv_heads * width, tensors=tensors,
        )  # fmt: skip


def read_shape(path: str | Path) -> ModelShape:
    """Return a model's shape; of the file only the header is read.

    Parameters
    ----------
    path
        A GGUF file, whole or its header alone.

    Returns
    -------
    ModelShape
        Its dimensions, and every tensor's shape and type.

    Raises
    ------
    ModelError
        It is no GGUF file, its header is damaged, or the reference firmware does not run such a model.
    """
    header = read_header(Path(path))
    said = _Said(header)
    arch = said.text("general.architecture")
    if arch != "llama":
        raise said.refused(f"its architecture is {arch!r}, and the firmware runs 'llama' alone")
    n_heads = said.number("llama.attention.head_count", 1024)
    dim = said.number("llama.embedding_length", _LARGEST_DIM)
    head_dim = said.number("llama.attention.key_length", 1024, dim // n_heads)
    metadata = header.at - sum(_described(t.name, len(t.dims)) for t in header.tensors)
    shape = ModelShape(
        name=said.text("general.name", header.path.stem),
        quant=_quant(header),
        n_layers=said.number("llama.block_count", _LARGEST_LAYERS),
        dim=dim,
        n_heads=n_heads,
        n_kv_heads=said.number("llama.attention.head_count_kv", n_heads, n_heads),
        head_dim=head_dim,
        ff=said.number("llama.feed_forward_length", 4 * _LARGEST_DIM),
        n_vocab=next((t.dims[1] for t in header.tensors if t.name == "token_embd.weight" and len(t.dims) > 1), 0),
        n_ctx=min(said.number("llama.context_length", 0x7FFFFFFF), _LARGEST_CONTEXT),
        rope_dims=said.number("llama.rope.dimension_count", head_dim, head_dim),
        tensors={t.name: (t.dims, t.kind.name) for t in header.tensors},
        metadata_bytes=metadata,
        requantized_bytes=metadata + sum(16 + len(key) for key in _WRITTEN if key not in header.fields),
        alignment=header.alignment,
    )
    _refuse(shape, said)
    return shape


def _refuse(shape: ModelShape, said: _Said) -> None:
    """Raise where the firmware would."""
    if shape.n_heads % shape.n_kv_heads:
        raise said.refused("llama.attention.head_count_kv does not divide the heads")
    if shape.head_dim % 2 or shape.rope_dims % 2:
        raise said.refused("the width of its heads, or what is rotated of it, is odd")
    if said.number("llama.attention.value_length", 1024, shape.head_dim) != shape.head_dim:
        raise said.refused("its keys and values differ in width")
    if said.text("llama.rope.scaling.type", "none") != "none":
        raise said.refused("it scales RoPE")
    for name in _UNSUPPORTED:
        if name in shape.tensors:
            raise said.refused(f"it has the tensor {name}, which that firmware does not know")
    for name, dims in _expected(shape).items():
        if name not in shape.tensors:
            raise said.refused(f"it has no tensor {name}")
        found, kind = shape.tensors[name]
        if found[: len(dims)] != dims or _elements(found) != _elements(dims):
            raise said.refused(f"{name} has the shape {list(found)}, and {list(dims)} is expected")
        if kind not in KERNELS or (len(dims) == 1 and kind != "F32"):
            raise said.refused(f"{name} is {kind}, for which there is no kernel (there are {', '.join(KERNELS)})")


def _expected(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Return the tensors that there must be, with their dimensions; a row's length comes first."""
    wanted: dict[str, tuple[int, ...]] = {"token_embd.weight": (shape.dim, shape.n_vocab)}
    if "output.weight" in shape.tensors:
        wanted["output.weight"] = (shape.dim, shape.n_vocab)
    wanted["output_norm.weight"] = (shape.dim,)
    for i in range(shape.n_layers):
        wanted |= {
            f"blk.{i}.attn_norm.weight": (shape.dim,),
            f"blk.{i}.attn_q.weight": (shape.dim, shape.q_dim),
            f"blk.{i}.attn_k.weight": (shape.dim, shape.kv_dim),
            f"blk.{i}.attn_v.weight": (shape.dim, shape.kv_dim),
            f"blk.{i}.attn_output.weight": (shape.q_dim, shape.dim),
            f"blk.{i}.ffn_norm.weight": (shape.dim,),
            f"blk.{i}.ffn_gate.weight": (shape.dim, shape.ff),
            f"blk.{i}.ffn_up.weight": (shape.dim, shape.ff),
            f"blk.{i}.ffn_down.weight": (shape.ff, shape.dim),
        }
    return wanted


class _Said:
    """The metadata of a header, each value checked when it is asked for."""

    def __init__(self, header: Header) -> None:
        self.path, self.fields = header.path, header.fields

    def refused(self, why: str) -> ModelError:
        return ModelError(
            f"The reference firmware cannot run {self.path}: {why}. Use a plain llama model, quantized with `edgeprof "
            "quantize`."
        )

    def number(self, key: str, largest: int, default: int | None = None) -> int:
        value: Any = self.fields.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= largest:
            found = "it does not say" if value is None else f"it says {value!r} for"
            raise self.refused(f"{found} {key!r}, which must be a number from 1 to {largest:,}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self.fields.get(key, default)
        if not isinstance(value, str):
            raise self.refused(f"it does not say {key!r}")
        return value


def _quant(header: Header) -> str:
    """Return the file's own word for its quantization; else the type that most of its bytes have."""
    said = header.fields.get("general.file_type")
    if isinstance(said, int) and said in set(LlamaFileType) - {LlamaFileType.GUESSED}:
        return LlamaFileType(said).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    sizes: dict[str, int] = {}
    for tensor in header.tensors:
        sizes[tensor.kind.name] = sizes.get(tensor.kind.name, 0) + tensor.n_bytes
    return max(sizes, key=lambda kind: sizes[kind])


def _described(name: str, n_dims: int) -> int:
    """Return the bytes of a tensor's description: name, dimensions, type and offset."""
    return 24 + len(name.encode()) + 8 * n_dims


def _elements(dims: tuple[int, ...]) -> int:
    n = 1
    for dim in dims:
        n *= dim
    return n


def _n_bytes(dims: tuple[int, ...], kind: str) -> int:
    block, size = gguf.GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    return _elements(dims) // block * size


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
