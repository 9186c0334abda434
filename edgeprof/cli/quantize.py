"""Write a GGUF model at another quantization, in files that llama.cpp loads.

  edgeprof quantize model-F16.gguf --to Q4_0 Q4_K_M --out models
  edgeprof quantize model-F16.gguf --to Q4_0 --keep token_embd.weight=Q6_K

Matrices are quantized, norms stay F32. With a plain type (Q8_0, Q5_0, Q4_0, TQ2_0) the embedding and output stay at
Q8_0 where it has fewer bits. The K quantizations (Q6_K, Q5_K_M, Q4_K_M, Q3_K_M, Q2_K and the smaller Q5_K_S, Q4_K_S,
Q3_K_S) are llama.cpp's recipes: several types, the output and a tied embedding at Q6_K. --keep goes before either.
BF16, Q5_1, Q4_1 and TQ1_0 files are for other programs: edgeprof's firmware does not run them.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("model", type=Path, metavar="MODEL.gguf")
    parser.add_argument("--to", nargs="+", required=True, metavar="TYPE", help="F16, Q8_0, Q6_K, Q5_0, Q4_K_M, …")
    parser.add_argument(
        "--keep", nargs="*", default=[], metavar="TENSOR=TYPE", help="keep tensors (glob) at a type: blk.0.*=Q6_K"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder; beside the model by default")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof import units
    from edgeprof.errors import StorageError, UsageError
    from edgeprof.modelfile import read_model_info
    from edgeprof.quantize import quantize

    for pair in args.keep:
        if "=" not in pair:
            raise UsageError(f"--keep takes TENSOR=TYPE, not {pair!r}.")
    keep = dict(pair.split("=", 1) for pair in args.keep)
    name = read_model_info(args.model).name
    folder = args.out or args.model.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror}.") from error
    for to in args.to:
        result = quantize(args.model, folder / f"{name}-{to}.gguf", to, keep=keep)
        print(f"{result.path}: {units.iec(result.model_bytes)}, {result.bits_per_weight:.2f} bits per weight")
        for note in result.fallbacks:
            print(
                f"  note: {note.tensor} is {note.used} and not {note.wanted}: its rows have {note.row_length} weights, "
                f"which is no multiple of {note.block_size}"
            )
    return 0
