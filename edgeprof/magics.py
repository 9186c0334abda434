"""``%edgeprof`` and ``%%edgeprof``: the command line, and short experiments, in a notebook (docs/notebook.md)."""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprof.cli import VERBS, parser_of
from edgeprof.display import terminal_text
from edgeprof.errors import (
    DeviceError,
    EdgeprofError,
    NotComparableError,
    StorageError,
    UsageError,
    VerdictError,
    unknown_name,
)
from edgeprof.experiment import Experiment, experiment_parser, run_experiment
from edgeprof.verb_process import run_verb

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["load_ipython_extension"]

_ERRORS: dict[int, type[EdgeprofError]] = {
    error.exit_code: error for error in (VerdictError, NotComparableError, UsageError, DeviceError, StorageError)
}
# Verbs that write a data set: where it is below --out.
_WRITES = {"capture": "", "import": "", "sweep": "", "merge": "", "demo": "data"}

_MAGIC = re.compile(r"(?:.*=\s*)?(?P<kind>%%?)edgeprof\s+(?P<words>(?:\S+\s+)*)(?P<last>\S*)")


def _line(line: str) -> Dataset | None:
    """Run a verb of the command line: ``%edgeprof VERB [arguments]``.

    What it says appears line by line. It is a process of its own: a busy kernel costs a capture nothing, and
    interrupting the cell ends it cleanly. If it fails, the cell fails with one line that says why. A verb that writes a
    data set (capture, sweep, import, merge, demo) returns it.

    Examples::

        %edgeprof boards
        %edgeprof capture --help
        ds = %edgeprof capture wasm --model {model} --prompt "Once upon a time" --out data
        %edgeprof report compare_quantizations data --out $folder

    ``{…}`` and ``$name`` are Python's values, as in every magic; a folder may begin with ``~``.
    """
    with _brief():
        words = _words(line) or ["--help"]
        if words[0] not in VERBS and not words[0].startswith("-"):
            raise unknown_name("verb", words[0], VERBS)
        run(words)
        return _written(words)


def _cell(line: str, cell: str) -> Experiment:
    """Have a model continue some prompts on boards, and compare: ``%%edgeprof BOARD… [options]``.

    Every line of the cell that is not empty is a prompt. The runs become a data set, and are shown as their comparison
    and the texts. The result is ``_`` afterwards, or has the name that ``--as`` gives it: ``_.dataset``,
    ``_.comparison``.

    Options::

        BOARD            boards (edgeprof boards), ports or pyserial URLs
        --model FILE     the GGUF that emulated boards run; by default a small one that comes with edgeprof
        --quant Q …      the quantizations to make of it and to compare; by default the file as it is
        --tokens N       tokens to generate for each prompt (32)
        --baud N         of serial ports (115200)
        --out DIR        keep the data set, or add to one; by default it is gone when the kernel ends
        --as NAME        a variable for the result

    Example::

        %%edgeprof wasm rp2040 --quant Q8_0 Q4_0 --as first
        In Tambery there lived a girl named Nora.
        Once upon a time
    """
    with _brief():
        name, found = run_experiment(_words(line), cell, run)
    if name:
        from IPython import get_ipython

        get_ipython().user_ns[name] = found
    return found


def run(words: Sequence[str]) -> None:
    """Run a command line in a child process, writing what it says.

    Raises
    ------
    EdgeprofError
        It did not end with 0: the error whose exit code it ended with.
    """
    code, why = run_verb(words, sys.stdout.write)
    if code:
        text = f"{why[:1].upper()}{why[1:]}" or "What it said stands above."
        raise _ERRORS.get(code, EdgeprofError)(f"`edgeprof {words[0]}` ended with exit code {code}. {text}")


def _words(line: str) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"The line cannot be taken apart ({error}): {line.strip()}") from error
    return [str(Path(word).expanduser()) if word.startswith("~/") else word for word in words]


def _written(words: Sequence[str]) -> Dataset | None:
    if words[0] not in _WRITES or {"-h", "--help"} & set(words):
        return None
    from edgeprof.store import open_dataset

    return open_dataset(parser_of(words[0]).parse_args(words[1:]).out / _WRITES[words[0]])


@contextlib.contextmanager
def _brief() -> Iterator[None]:
    """Show errors as one line: where they were raised is of no use to who wrote the line."""
    try:
        yield
    except (EdgeprofError, KeyboardInterrupt) as error:
        said = terminal_text(error, 2000) or "The verb has ended; what was captured is kept."
        text = f"{type(error).__name__}: {said}"
        error._render_traceback_ = lambda: [text]  # type: ignore[union-attr]  # IPython asks for it
        raise


def _completions(text: str) -> list[str]:
    """Return what may come next on a line of a magic: verbs and their options, or boards; nothing on other lines."""
    if not (found := _MAGIC.fullmatch(text)):
        return []
    words, last = found["words"].split(), found["last"]
    if found["kind"] == "%%":
        from edgeprof import boards

        known = [*boards.names(), *_options(experiment_parser())]
    elif words:
        known = _options(parser_of(words[0])) if words[0] in VERBS and last.startswith("-") else []
    else:
        known = list(VERBS)
    return [name for name in known if name.startswith(last)]


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """Return a parser's options, the long ones."""
    return [name for action in parser._actions for name in action.option_strings if name.startswith("--")]


def load_ipython_extension(shell: Any) -> None:
    """Register the magics: ``%load_ext edgeprof``."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    def offer(context: Any) -> dict[str, Any]:
        found = _completions(context.text_until_cursor)
        return {"completions": [SimpleCompletion(text) for text in found], "suppress": bool(found)}

    matcher = context_matcher(identifier="edgeprof")(offer)
    shell.register_magic_function(_line, "line", "edgeprof")
    shell.register_magic_function(_cell, "cell", "edgeprof")
    others = [m for m in shell.Completer.custom_matchers if getattr(m, "matcher_identifier", "") != "edgeprof"]
    shell.Completer.custom_matchers = [*others, matcher]
