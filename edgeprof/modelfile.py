"""Reading GGUF models: what a file holds, and its tokenizer.

Whatever is wrong with a file is a :class:`~edgeprof.errors.ModelError`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGUFReader, LlamaFileType

from edgeprof.errors import ModelError
from edgeprof.gguf_check import check
from edgeprof.tokenizer import Vocabulary

__all__ = ["ModelInfo", "open_gguf", "read_model_info", "read_vocab", "read_vocabulary"]

_REQUIRED = object()


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


def open_gguf(path: Path) -> GGUFReader:
    """Return a reader of a file whose every length has been checked."""
    check(path)
    try:
        return GGUFReader(path)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        raise ModelError(
            f"{path} is a GGUF file that cannot be understood: {error}. Convert or download it again."
        ) from error


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
    reader = open_gguf(path)
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
    return [str(p) for p in _value(open_gguf(path), "tokenizer.ggml.tokens", path, list)]


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
    reader = open_gguf(path)
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
