"""Write a GGUF model at another quantization, in files that llama.cpp loads.

  edgeprof quantize model-F16.gguf --to Q4_0 TQ2_0 --out models
  edgeprof quantize model-F16.gguf --to Q4_0 --keep token_embd.weight=F16

Matrices are quantized, norms stay F32; the embedding and output stay at Q8_0 where the target has fewer bits,
unless --keep says otherwise.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("model", type=Path, metavar="MODEL.gguf")
    parser.add_argument("--to", nargs="+", required=True, metavar="TYPE", help="F16, Q8_0, Q5_0, Q4_0, TQ2_0, …")
    parser.add_argument("--keep", nargs="*", default=[], metavar="TENSOR=TYPE", help="keep tensors (glob) at a type")
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
            print(f"  note: {note}")
    return 0
