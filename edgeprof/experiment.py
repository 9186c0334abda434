"""A short experiment: some prompts, continued on boards by a model at some quantizations, compared."""

from __future__ import annotations

import argparse
import atexit
import keyword
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from edgeprof.display import Shown, Table
from edgeprof.errors import UsageError

if TYPE_CHECKING:
    from edgeprof.comparison import Comparison
    from edgeprof.store import Dataset

__all__ = ["Experiment", "experiment_parser", "run_experiment"]


@dataclass(frozen=True, repr=False)
class Experiment(Shown):
    """What an experiment came to.

    Attributes
    ----------
    dataset, comparison
        Its runs, and these compared by quantization.
    """

    dataset: Dataset
    comparison: Comparison

    def _shown(self) -> Iterator[Table | str]:
        import pandas as pd

        from edgeprof.runs import prompt_text, shown_text

        yield from self.comparison._shown()
        runs = self.dataset.runs[self.dataset.runs["kind"] == "generate"]
        texts = runs[["board", "quant"]].fillna("unknown").astype(str)
        for column, text in (("prompt", prompt_text), ("text", shown_text)):
            texts[column] = [" ".join(text(self.dataset, str(run)).split()) for run in runs["run_id"]]
        yield Table(pd.DataFrame(texts), longest=400)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}. `%%edgeprof?` explains the options.")


def experiment_parser() -> argparse.ArgumentParser:
    """Return the parser of a line of ``%%edgeprof``."""
    parser = _Parser(prog="%%edgeprof", add_help=False, allow_abbrev=False)
    parser.add_argument("boards", nargs="+", metavar="BOARD")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--quant", nargs="+", default=[])
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--baud", type=int, default=115200)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--as", dest="name", default="")
    return parser


def run_experiment(
    words: Sequence[str], prompts: str, run: Callable[[Sequence[str]], None]
) -> tuple[str, Experiment]:  # fmt: skip
    """Capture prompts on boards, once with each quantization; return the name it is to have, and what it came to.

    Parameters
    ----------
    words
        Boards and options, as ``%%edgeprof?`` lists them.
    prompts
        One a line.
    run
        Runs a command line of edgeprof, or raises.

    Raises
    ------
    UsageError
        An option is not known, or there is no prompt.
    """
    from edgeprof.comparison import compare
    from edgeprof.store import open_dataset

    args = experiment_parser().parse_args(words)
    if args.name and (not args.name.isidentifier() or keyword.iskeyword(args.name)):
        raise UsageError(f"--as gives the result a name, and {args.name!r} is none for a variable.")
    asked = [f"--prompt={line.strip()}" for line in prompts.splitlines() if line.strip()]
    if not asked:
        raise UsageError("The cell asks for nothing: each of its lines is a prompt, and all of them are empty.")
    out = args.out or _temporary()
    common = ["capture", *args.boards, f"--out={out}", f"--tokens={args.tokens}", f"--baud={args.baud}", *asked]
    for model in _models(args, out):
        run([*common, *([f"--model={model}"] if model else [])])
    found = open_dataset(out)
    return args.name, Experiment(found, compare(found))


def _models(args: argparse.Namespace, out: Path) -> list[Path | None]:
    """Return the model files to capture with; none where no board is emulated and none was named."""
    from edgeprof import boards, resources
    from edgeprof.sweep import Plan, make_models

    model = args.model
    if model is None and (args.quant or not set(boards.names()).isdisjoint(args.boards)):
        model = resources.path("data/models/fable-0.5m-F16.gguf")
    if not args.quant:
        return [model]
    plan = Plan(boards=(), models=((model, tuple(args.quant), {}),), prompts=())
    return [file for file, _ in make_models(plan, out / "models")]


def _temporary() -> Path:
    """Return a new folder that is removed when Python ends."""
    folder = Path(tempfile.mkdtemp(prefix="edgeprof-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
