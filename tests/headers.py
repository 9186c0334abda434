"""Headers of GGUF models without their weights, of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

__all__ = ["header"]


def header(
    path: Path, kind: str = "Q4_0", *, layers: int = 22, dim: int = 2048, heads: int = 32, kv_heads: int = 4,
    ff: int = 5632, vocab: int = 32000, context: int = 2048, tied: bool = False, arch: str = "llama",
    fields: dict[str, Any] | None = None, kinds: dict[str, str] | None = None, without: tuple[str, ...] = (),
    extra: tuple[str, ...] = (),
) -> Path:  # fmt: skip
    """Write a header; by default of TinyLlama-1.1B's shape. `kinds` gives types by the end of tensors' names."""
    writer = gguf.GGUFWriter(path, arch)
    numbers = {
        "embedding_length": dim, "block_count": layers, "attention.head_count": heads,
        "attention.head_count_kv": kv_heads, "feed_forward_length": ff, "context_length": context,
        "rope.dimension_count": dim // heads,
    } | (fields or {})  # fmt: skip
    for key, value in numbers.items():
        if isinstance(value, str):
            writer.add_string(f"{arch}.{key}", value)
        else:
            writer.add_uint32(f"{arch}.{key}", value)
    writer.add_name("some model")
    writer.add_token_list([f"word{i}" for i in range(vocab)])

    def tensor(name: str, *shape: int) -> None:
        if name in without:
            return
        chosen = "F32" if len(shape) == 1 else kind
        chosen = next((k for end, k in (kinds or {}).items() if name.endswith(end)), chosen)
        raw = gguf.GGMLQuantizationType[chosen]
        block, size = gguf.GGML_QUANT_SIZES[raw]
        bytes_shape = (*shape[:-1], shape[-1] // block * size)
        if chosen in ("F32", "F16"):
            dtype = np.float32 if chosen == "F32" else np.float16
            writer.add_tensor_info(name, shape, np.dtype(dtype), int(np.prod(shape)) * size)
        else:
            writer.add_tensor_info(name, bytes_shape, np.dtype(np.uint8), int(np.prod(bytes_shape)), raw_dtype=raw)

    kv_dim = dim // heads * kv_heads
    tensor("token_embd.weight", vocab, dim)
    for i in range(layers):
        tensor(f"blk.{i}.attn_norm.weight", dim)
        tensor(f"blk.{i}.attn_q.weight", dim, dim)
        tensor(f"blk.{i}.attn_k.weight", kv_dim, dim)
        tensor(f"blk.{i}.attn_v.weight", kv_dim, dim)
        tensor(f"blk.{i}.attn_output.weight", dim, dim)
        tensor(f"blk.{i}.ffn_norm.weight", dim)
        tensor(f"blk.{i}.ffn_gate.weight", ff, dim)
        tensor(f"blk.{i}.ffn_up.weight", ff, dim)
        tensor(f"blk.{i}.ffn_down.weight", dim, ff)
    tensor("output_norm.weight", dim)
    if not tied:
        tensor("output.weight", vocab, dim)
    for name in extra:
        tensor(name, dim)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return path
