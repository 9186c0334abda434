"""Measure the reference models and write the table of the model card.

Every committed ``*-F16.gguf`` is quantized into each type, and evaluated on ``eval.txt`` in float64
on the dequantized weights: windows of the context's length that begin with ``<s>``, the first half
of each being context only. Beside perplexity the table has, against the same model's F16 file and
paired by window: the difference of the mean NLL with its standard error, the mean KL divergence,
and how often the likeliest token is the same.

    python figures.py                   # print the table
    python figures.py --write README.md # put it between the marks in that file
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))
sys.path.insert(0, str(HERE.parent.parent / "tests"))

from reference_llama import load

from edgeprof.modelfile import read_model_info, read_vocabulary
from edgeprof.quantize import quantize

MODELS = ("fable-1.2m", "fable-1.2m-ternary", "fable-1.2m-control", "fable-0.5m")
TYPES = ("F16", "Q8_0", "Q5_0", "Q4_0", "TQ2_0")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Log probabilities of the scored positions, shape (windows, positions, vocabulary)."""

    log_p: Floats
    wanted: npt.NDArray[np.intp]

    @property
    def nll(self) -> Floats:
        """The NLL of every scored token, shape (windows, positions)."""
        taken = np.take_along_axis(self.log_p, self.wanted[..., None], axis=2)
        return np.asarray(-taken[..., 0])


def evaluate(path: Path, ids: Sequence[int], n_windows: int | None) -> Scores:
    """Return the log probabilities that a model gives to the scored positions of a text."""
    model = load(path)
    n = model.n_ctx
    log_p, wanted = [], []
    for i in range(len(ids) // n if n_windows is None else n_windows):
        window = [model.bos_id, *ids[i * n + 1 : (i + 1) * n]]
        logits = model.forward(window[:-1])[n // 2 - 1 :]
        logits -= logits.max(axis=1, keepdims=True)
        log_p.append(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
        wanted.append(window[n // 2 :])
    return Scores(np.stack(log_p), np.array(wanted))


def rows(n_windows: int | None) -> Iterator[str]:
    """Yield the lines of the table."""
    yield ("| model | type | parameters | file bytes | bits/weight | perplexity | dNLL against F16 | KL | same top-1 |")
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
    text = (HERE / "eval.txt").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            source = HERE / f"{name}-F16.gguf"
            ids = read_vocabulary(source).encode(text)
            base: Scores | None = None
            for kind in TYPES:
                result = quantize(source, Path(folder) / f"{name}-{kind}.gguf", kind)
                scores = evaluate(result.path, ids, n_windows)
                base = base or scores
                yield (
                    f"| {name} | {kind} | {read_model_info(source).n_params:,} | "
                    f"{result.model_bytes:,} | {result.bits_per_weight:.2f} | "
                    f"{np.exp(scores.nll.mean()):.4f} | {against(scores, base)} |"
                )


def against(scores: Scores, base: Scores) -> str:
    """Return the last three cells of a row."""
    if scores is base:
        return "0 | 0 | 100 %"
    by_window = (scores.nll - base.nll).mean(axis=1)
    error = by_window.std(ddof=1) / np.sqrt(len(by_window))
    divergence = (np.exp(base.log_p) * (base.log_p - scores.log_p)).sum(axis=2).mean()
    same = (scores.log_p.argmax(axis=2) == base.log_p.argmax(axis=2)).mean()
    return f"{by_window.mean():+.5f} ± {error:.5f} | {max(divergence, 0):.6f} | {100 * same:.2f} %"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Measure the reference models.")
    parser.add_argument("--windows", type=int, help="only so many windows of the text")
    parser.add_argument("--write", type=Path, help="a file with the two marks")
    args = parser.parse_args(argv)
    lines = []
    for line in rows(args.windows):
        print(line, flush=True)
        lines.append(line)
    if args.write:
        text = args.write.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        table = "\n".join(lines)
        new = f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"
        args.write.write_text(new, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
