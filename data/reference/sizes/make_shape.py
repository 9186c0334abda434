"""Write a model of another shape than the fable models, with random weights.

What a pass costs depends on a model's shape and types and hardly on its weights, so these need no training. They have
the tokenizer of fable-0.5m, whose prompts they therefore take. `shape-wide` calibrates predictions; the others were
made to test them (tests/performance/predict_blind.py).

    python data/reference/sizes/make_shape.py shape-wide build/shape-wide-F16.gguf
    python data/reference/sizes/make_shape.py shape-wide data/reference/sizes/shape-wide-F16.gguf --header
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from edgeprof.modelfile import read_vocabulary

DONOR = Path(__file__).parents[2] / "models" / "fable-0.5m-F16.gguf"


@dataclass(frozen=True)
class Shape:
    """Dimensions of a model; an untied one has an output matrix of its own."""

    layers: int
    dim: int
    heads: int
    kv_heads: int
    ff: int
    context: int
    tied: bool = True


SHAPES = {
    "shape-wide": Shape(layers=1, dim=512, heads=8, kv_heads=4, ff=256, context=64),
    "blind-a": Shape(layers=1, dim=256, heads=4, kv_heads=1, ff=1024, context=128, tied=False),
    "blind-b": Shape(layers=6, dim=288, heads=6, kv_heads=6, ff=768, context=64),
}


def matrices(shape: Shape, n_vocab: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors' shapes, rows first."""
    dim, kv_dim = shape.dim, shape.dim // shape.heads * shape.kv_heads
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (n_vocab, dim)}
    for i in range(shape.layers):
        shapes |= {
            f"blk.{i}.attn_norm.weight": (dim,),
            f"blk.{i}.attn_q.weight": (dim, dim),
            f"blk.{i}.attn_k.weight": (kv_dim, dim),
            f"blk.{i}.attn_v.weight": (kv_dim, dim),
            f"blk.{i}.attn_output.weight": (dim, dim),
            f"blk.{i}.ffn_norm.weight": (dim,),
            f"blk.{i}.ffn_gate.weight": (shape.ff, dim),
            f"blk.{i}.ffn_up.weight": (shape.ff, dim),
            f"blk.{i}.ffn_down.weight": (dim, shape.ff),
        }
    return shapes | {"output_norm.weight": (dim,)} | ({} if shape.tied else {"output.weight": (n_vocab, dim)})


def write(name: str, path: Path, *, header_only: bool = False) -> Path:
    """Write a model, or all of it but the weights."""
    shape, words = SHAPES[name], read_vocabulary(DONOR)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.dim)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ff)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.dim // shape.heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words.pieces)
    writer.add_token_scores(words.scores)
    writer.add_token_types([2, 3, 3, 6] + [1] * (len(words.pieces) - 4))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    rng = np.random.default_rng(1)
    for tensor, dims in matrices(shape, len(words.pieces)).items():
        if len(dims) == 1:
            writer.add_tensor(tensor, np.ones(dims, np.float32))
        else:
            writer.add_tensor(tensor, (rng.standard_normal(dims) / dims[1] ** 0.5).astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    if header_only:
        writer.write_ti_data_to_file()
    else:
        writer.write_tensors_to_file()
    writer.close()
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SHAPES)
    parser.add_argument("path", type=Path)
    parser.add_argument("--header", action="store_true", help="all but the weights: what predicting reads")
    args = parser.parse_args()
    write(args.name, args.path, header_only=args.header)
