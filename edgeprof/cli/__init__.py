"""The command line: parses, calls the library, prints, and ends with a documented code.

Exit codes: 0 done · 1 judged and bad · 2 could not judge · 3 wrong use · 4 device or transport · 5 storage ·
70 internal error · 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import traceback
import warnings
from typing import Any, NoReturn

from edgeprof._version import __version__
from edgeprof.errors import EdgeprofError, StorageError, unknown_name

__all__ = ["INTERNAL_ERROR", "discard_output", "main", "parser_of"]

INTERNAL_ERROR = 70
"""The exit code of a fault in edgeprof itself (EX_SOFTWARE): no verdict may be read from it."""

# Verb: (module that defines `add(parser)` and `run(args)`, what `edgeprof --help` says of it).
VERBS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "run a language model on an emulated board at several quantizations and write the report"),
    "boards": ("boards", "list the boards that can be used without owning one"),
    "capture": ("capture", "capture boards on serial ports, or emulated ones, into a data set"),
    "doctor": ("doctor", "find out why a board does not talk: the raw exchange, what was found, what comes next"),
    "import": ("import_", "import what other programs wrote: llama-bench's tables, recorded serial logs"),
    "bridge": ("bridge", "publish a serial board to an MQTT broker, and carry requests back to it"),
    "sweep": ("sweep", "capture boards x quantizations x prompts from a plan; can be interrupted and resumed"),
    "runs": ("runs", "list the runs of a data set with their figures"),
    "compare": ("compare", "compare quantizations, models or any other groups of runs"),
    "gate": ("gate", "fail a build that made a model slower, larger or worse: pass, fail, could not judge"),
    "predict": ("predict", "predict whether a model fits a board and what a token costs there, before flashing"),
    "recommend": ("recommend", "say which model files meet limits on which board, and what the others miss"),
    "report": ("report", "run a notebook on a data set and write report.html and results.json"),
    "export": ("export", "write a table of a data set as CSV"),
    "verify": ("verify", "check every file of a data set against its digests"),
    "recover": ("recover", "close captures that a crash left open"),
    "redecode": ("redecode", "make tables anew from the wire bytes that were kept"),
    "compact": ("compact", "merge the many small segments of captures into one each"),
    "merge": ("merge", "copy the captures of several data sets into one"),
    "rm": ("rm", "remove captures from a data set"),
    "quantize": ("quantize", "write a GGUF model at another quantization"),
    "firmware": ("firmware", "build the reference firmware of a board"),
    "reference": ("reference", "capture the reference data anew, or check that they come out the same"),
    "notebooks": ("notebooks", "copy edgeprof's notebooks into a folder, to work with in JupyterLab"),
    "lab": ("lab", "open JupyterLab on a copy of the notebooks, with a kernel that has edgeprof"),
    "serve": ("serve", "show the explorer of a data set to browsers, behind a token"),
}

LONGEST_MESSAGE = 2000

_EPILOG = """\
exit codes: 0 done · 1 judged and bad · 2 could not judge (missing or unlike data) · 3 wrong use ·
4 device or transport · 5 storage · 70 internal error · 130 interrupted.   `edgeprof VERB --help` explains a verb."""


class _Parser(argparse.ArgumentParser):
    """Wrong use ends with 3; argparse's own 2 means "could not judge" here."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(3, f"{self.prog}: {message}\n")


def _overview() -> argparse.ArgumentParser:
    lines = "\n".join(f"  {verb:<11}{text}" for verb, (_, text) in VERBS.items())
    parser = _Parser(
        prog="edgeprof",
        description="Profile tiny quantized language models on microcontrollers.",
        epilog=f"verbs:\n{lines}\n\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="edgeprof VERB [options]",
    )
    parser.add_argument("--version", action="version", version=f"edgeprof {__version__}")
    parser.add_argument("verb", nargs="?", metavar="VERB", help="what to do; see below")
    return parser


def _module(verb: str) -> Any:
    return importlib.import_module(f"edgeprof.cli.{VERBS[verb][0]}")


def parser_of(verb: str) -> argparse.ArgumentParser:
    """Return a verb's own parser."""
    module = _module(verb)
    parser = _Parser(
        prog=f"edgeprof {verb}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command line; return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    signal.signal(signal.SIGTERM, _terminated)
    code = _run(words)
    try:
        sys.stdout.flush()
    except OSError:  # said already; at exit Python would end with a code of its own
        discard_output()
    return code


def entry() -> NoReturn:
    """Run the command line of this process, and end it: what ``edgeprof`` starts."""
    from edgeprof.leaving import leave

    # jsonschema, with which notebooks are checked, makes a parser of IRIs as it is imported: most of the time in which
    # Jupyter starts, for a format that no schema of Jupyter's has. It goes without where there is no such parser.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    try:
        code = main()
    except SystemExit as ended:  # help was printed, or a signal ended it
        if not isinstance(ended.code, int):
            raise
        code = ended.code
    leave(code)


def _run(words: list[str]) -> int:
    try:
        if not words or words[0].startswith("-"):
            overview = _overview()
            overview.parse_args(words)
            overview.print_help()
            return 0 if words else 3
        verb, *rest = words
        if verb not in VERBS:
            raise unknown_name("verb", verb, VERBS)
        args = parser_of(verb).parse_args(rest)
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code = int(_module(verb).run(args) or 0)
            sys.stdout.flush()  # what cannot be written is an error here, not one that nobody hears of at exit
            return code
    except EdgeprofError as error:
        print(f"edgeprof: {_paragraph(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("edgeprof: interrupted; what was captured is kept.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        discard_output()  # whoever read it has seen enough
        return 0
    except OSError as error:
        where = f" ({error.filename})" if error.filename is not None else ""
        text = f"{' '.join(words[:1])} could not go on: {error.strerror or error}{where}. See to it and run it again."
        print(f"edgeprof: {_paragraph(text)}", file=sys.stderr)
        return StorageError.exit_code
    except Exception:
        traceback.print_exc()
        print("edgeprof: this is a fault in edgeprof; please report it with the lines above.", file=sys.stderr)
        return INTERNAL_ERROR


def discard_output() -> None:
    """Write nothing to standard output any more, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _paragraph(message: object) -> str:
    """Return a message as one paragraph; what a device said in it reaches no terminal as it is."""
    from edgeprof.display import terminal_text

    return terminal_text(" ".join(str(message).split()), LONGEST_MESSAGE)


def _terminated(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends at once
    raise KeyboardInterrupt


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, UserWarning):
        print(f"edgeprof: warning: {_paragraph(message)}", file=sys.stderr)
