"""Capture boards into a data set until the prompts and texts are done, or until Ctrl-C where there are none.

  edgeprof capture wasm --model model.gguf --prompt "Once upon a time" --out data
  edgeprof capture /dev/ttyUSB0 --baud 921600 --out data          (listen only)
  edgeprof capture socket://192.0.2.7:5000 --eval text.txt --model model.gguf --out data

Opening a port does not reset the board; --reset does it on purpose. A capture that is cut off by anything can be
read at once, and `edgeprof recover` closes it.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprof.capture import Source
    from edgeprof.line_conversation import LineDriver
    from edgeprof.mlperf import MlperfOutcome

LONG_SECONDS = 3600.0

# What goes to a board or a port has to fit there; said before anything is opened.
_RANGES = {
    "tokens": (1, 65535), "temperature": (0, 1e6), "seed": (0, 2**32 - 1), "eval_windows": (0, 65535),
    "baud": (1, 10**8), "seconds": (0, math.inf), "idle": (0.1, math.inf), "seal_every": (0.1, math.inf),
    "inferences": (0, 10**9), "warmups": (0, 10**9),
}  # fmt: skip


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "url",
        nargs="+",
        metavar="URL",
        help="a board's name, a serial port, any pyserial URL, mqtt://broker/topic, or replay:FILE",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the data set's folder")
    parser.add_argument("--prompt", action="append", default=[], metavar="TEXT", help="have it continued; repeatable")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="prompts from a TOML file ([[prompt]] id, text)")
    parser.add_argument("--eval", type=Path, metavar="FILE", help="have a text scored, for perplexity (needs --model)")
    parser.add_argument("--eval-windows", type=int, default=0, metavar="N", help="at most so many windows of it")
    parser.add_argument(
        "--logits", action="store_true", help="have the board send the logits of scored positions, too (needs --eval)"
    )
    parser.add_argument("--model", type=Path, metavar="FILE", help="the GGUF that an emulated board runs")
    parser.add_argument(
        "--firmware",
        type=Path,
        metavar="FILE",
        help="the image that a real board was flashed with, or that an emulated one runs instead of its own",
    )
    parser.add_argument("--tokens", type=int, default=64, metavar="N", help="tokens to generate (default 64)")
    parser.add_argument("--temperature", type=float, default=0.0, help="of the sampler; 0, the default, is greedy")
    parser.add_argument("--seed", type=int, default=0, help="of the sampler")
    parser.add_argument("--protocol", choices=("mlperf-tiny",), help="be the host of a device of somebody else's")
    parser.add_argument("--input", type=Path, metavar="FILE", help="mlperf-tiny: the model's input, as its bytes")
    parser.add_argument(
        "--inferences", type=int, default=0, metavar="N", help="mlperf-tiny: in each window (default: a trial says)"
    )
    parser.add_argument("--warmups", type=int, default=10, metavar="N", help="mlperf-tiny: before each (default 10)")
    parser.add_argument("--seconds", type=float, metavar="S", help="end after so long")
    parser.add_argument(
        "--idle",
        type=float,
        default=60.0,
        metavar="S",
        help="give up a board that falls silent, or stays away, in the middle of its work (default 60)",
    )
    parser.add_argument("--baud", type=int, default=115200, help="of serial ports (default 115200)")
    parser.add_argument("--parity", choices=("N", "E", "O", "M", "S"), default="N")
    parser.add_argument("--rtscts", action="store_true", help="hardware flow control")
    parser.add_argument("--reset", action="store_true", help="let opening the port reset the board")
    parser.add_argument("--dtr", action="store_true", help="hold DTR: a Pico on its own USB sends nothing without it")
    parser.add_argument("--capture-id", metavar="NAME", help="the capture's name (default: made of the time)")
    parser.add_argument("--label", metavar="TEXT", help="a name for this host, kept with the capture")
    parser.add_argument("--tag", action="append", default=[], metavar="NAME=VALUE", help="kept with every run")
    parser.add_argument(
        "--keep-wire",
        default="all",
        metavar="all|DAYS|none",
        help="how long the wire bytes are kept: all (default), none, or days, as 7",
    )
    parser.add_argument("--seal-every", type=float, default=600.0, metavar="S", help="seconds a segment (default 600)")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof import boards
    from edgeprof.capture import capture, new_capture_id
    from edgeprof.cli.captured import said_once, summary
    from edgeprof.cli.progress import PortLines
    from edgeprof.display import terminal_text
    from edgeprof.driver import Generation, Job
    from edgeprof.errors import DeviceError, EdgeprofError, UsageError
    from edgeprof.keepwire import kept_days
    from edgeprof.mlperf import MlperfOutcome
    from edgeprof.own_process import this_process
    from edgeprof.sources import evaluation, open_sources
    from edgeprof.sweep import load_prompts
    from edgeprof.transports import PortSettings

    for name, (low, high) in _RANGES.items():
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"--{name.replace('_', '-')} must be from {low:,} to {high:,}, not {value:,}.")
    if args.protocol and (args.prompt or args.prompts or args.eval):
        raise UsageError("--prompt and --eval speak edgeprof's own protocol, --protocol another one: take one of them.")
    asks = bool(args.prompt or args.prompts or args.eval or args.protocol)
    if asks and any(url.startswith("replay:") for url in args.url):
        raise UsageError("What is replayed answers no question: leave out --prompt, --eval and --protocol.")
    for tag in args.tag:
        if "=" not in tag:
            raise UsageError(f"--tag takes NAME=VALUE, not {tag!r}.")
    if args.eval and not args.model:
        raise UsageError("--eval needs --model FILE.gguf: its tokenizer turns the text into the model's tokens.")
    if args.logits and not args.eval:
        raise UsageError("--logits are those of an evaluation text's scored positions: it needs --eval FILE.")
    prompts = [(f"prompt-{n}", text) for n, text in enumerate(args.prompt, 1)]
    prompts += load_prompts(args.prompts) if args.prompts else []
    jobs: list[Job] = [Generation(label, text, args.tokens, args.temperature, args.seed) for label, text in prompts]
    if args.eval:
        jobs.append(evaluation(args.eval, args.model, max_windows=args.eval_windows, logits=args.logits))
    if not asks and args.model and all(url in boards.names() for url in args.url):
        raise UsageError(
            f"{args.url[0]} is an emulated board, which says nothing unless asked: give --prompt TEXT, --prompts "
            "FILE or --eval FILE."
        )
    settings = PortSettings(baudrate=args.baud, parity=args.parity, rtscts=args.rtscts, reset=args.reset, dtr=args.dtr)
    days = kept_days(args.keep_wire)
    protocol = _protocol(args)
    tags = dict(tag.split("=", 1) for tag in args.tag)
    with (
        open_sources(args.url, args.model, image=args.firmware, settings=settings, tags=tags) as sources,
        PortLines() as lines,
    ):
        if not jobs and protocol is None and (args.seconds is None or args.seconds >= LONG_SECONDS):
            sources[-1] = _with_forecast(sources, args.out, days)
        name = args.capture_id or new_capture_id()
        try:
            result = capture(
                sources, args.out, jobs, capture_id=name, host_label=args.label, seconds=args.seconds,
                idle_seconds=args.idle, seal_every=args.seal_every, keep_wire=args.keep_wire,
                on_progress=lines.show, protocol=protocol, header={"process": this_process(ends_by_signal=True)},
            )  # fmt: skip
        except KeyboardInterrupt:
            # That is how listening ends.
            with contextlib.suppress(EdgeprofError, OSError):
                print(summary(args.out / f"capture={name}", args.out))
            raise
    refused = [r for o in result.outcomes.values() for r in getattr(o, "refused", [])]
    if result.failed or refused:
        raise DeviceError(said_once([*result.failed.values(), *refused], result.path))
    for name, outcome in result.outcomes.items():
        if isinstance(outcome, MlperfOutcome):
            print(f"{terminal_text(name, 48)}: {_result(outcome)}")
    print(summary(result.path, args.out))
    return 0


def _protocol(args: argparse.Namespace) -> LineDriver | None:
    """Return the driver of somebody else's protocol that was asked for."""
    from functools import partial

    from edgeprof.errors import StorageError, UsageError
    from edgeprof.mlperf import drive

    if args.protocol is None:
        if args.input or args.inferences:
            raise UsageError("--input and --inferences are for --protocol mlperf-tiny.")
        return None
    try:
        data = args.input.read_bytes() if args.input else b""
    except OSError as error:
        raise StorageError(f"The input {args.input} cannot be read: {error.strerror}.") from error
    return partial(drive, data, inferences=args.inferences, warmups=args.warmups)


def _result(outcome: MlperfOutcome) -> str:
    from edgeprof.display import terminal_text

    windows = ", ".join(f"{w.inferences:,} in {w.window_us / 1e6:.2f} s" for w in outcome.windows)
    said = " ".join(part for part in (outcome.name, outcome.model) if part)
    return f"{terminal_text(said, 80)}: median {outcome.inferences_s:.4g} inferences/s, claimed by it ({windows})"


def _with_forecast(sources: list[Source], out: Path, keep_days: float) -> Source:
    """Return the last source, so that what room a long capture needs is said when it is open, if that is known."""
    from dataclasses import replace

    from edgeprof.keepwire import forecast
    from edgeprof.transports import is_device

    opened = sources[-1].opened

    def say() -> None:
        if opened is not None:
            opened()
        there = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
        lines = [s.settings for s in sources if is_device(s.url) and not s.emulated]
        if text := forecast(lines, keep_days, shutil.disk_usage(there).free):
            print(f"edgeprof: {text}", file=sys.stderr)

    return replace(sources[-1], opened=say)
