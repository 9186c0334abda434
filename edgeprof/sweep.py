"""A sweep: boards x models x quantizations x prompts x repeats, in random order, resumable.

A cell (board, model file, repeat) is one capture. A cell is done when a closed capture of the data set carries its
key, so a sweep that was interrupted goes on where it was.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeprof import boards
from edgeprof.capture import capture
from edgeprof.conversation import Progress
from edgeprof.driver import Generation, Job
from edgeprof.errors import DeviceError, EdgeprofError, StorageError, UsageError, unknown_name
from edgeprof.layout import CAPTURE_JSON, file_sha256
from edgeprof.seal import load_capture
from edgeprof.sections import image_facts
from edgeprof.sources import evaluation, open_sources
from edgeprof.store import open_dataset
from edgeprof.work_pool import at_a_time, is_exact, run_all

__all__ = ["Cell", "Plan", "load_plan", "run_sweep"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sweep is to do.

    ``models`` are (GGUF to start from, quantizations, tensors kept at a type); ``firmware`` is the image that a board
    runs instead of its own; ``pairs`` is how many there are of each cell if it is measured against a base.
    """

    boards: tuple[str, ...]
    models: tuple[tuple[Path, tuple[str, ...], dict[str, str]], ...]
    prompts: tuple[tuple[str, str], ...]
    n_generate: int = 64
    eval_file: Path | None = None
    eval_windows: int = 0
    probe: int = 0
    logits: bool = False
    keep_wire: str = "all"
    repeats: int = 1
    seed: int = 1
    firmware: Mapping[str, Path] = field(default_factory=dict)
    pairs: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One capture of a sweep."""

    board: str
    model: Path
    quant: str
    repeat: int
    key: str
    image: Path | None = None


_KEYS = {
    "boards", "model", "prompts", "prompt", "n_generate", "eval", "repeats", "seed", "keep_wire", "firmware", "pairs",
}  # fmt: skip
_PARTS = {"model": {"file", "quants", "keep"}, "prompt": {"id", "text"}, "eval": {"file", "windows", "probe", "logits"}}


def load_plan(path: Path) -> Plan:
    """Read a plan; file names in it are relative to it.

    Raises
    ------
    UsageError
        It cannot be read, or a key, board or file in it is not known; the message names the closest.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The plan {path} cannot be read: {error}. docs/sweep.md has an example.") from error
    _check_keys(path, "", data, _KEYS)
    try:
        for part, known in _PARTS.items():
            for table in [data[part]] if isinstance(data.get(part), dict) else data.get(part, []):
                _check_keys(path, f"[{part}] of ", table, known)
        plan = _plan(data, path.parent)
    except EdgeprofError:
        raise
    except KeyError as error:
        raise UsageError(f"The plan {path} is not complete: it has no {error}. docs/sweep.md lists them.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"The plan {path} has a value of the wrong type: {error}. See docs/sweep.md.") from error
    texts = [plan.eval_file] if plan.eval_file else []
    for file in [*(m[0] for m in plan.models), *texts, *plan.firmware.values()]:
        if not file.is_file():
            raise UsageError(f"The plan {path} names {file}: there is no such file. Names are relative to the plan.")
    for image in plan.firmware.values():
        image_facts(image)  # raises, before anything is captured, if it is no image
    if not plan.prompts and plan.eval_file is None:
        raise UsageError(f"The plan {path} asks for nothing: it needs prompts, [[prompt]] or [eval].")
    return plan


def _check_keys(path: Path, where: str, table: dict[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise unknown_name(f"key of {where}the plan {path.name}", key, known)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value


def _one_of(value: Any, *known: str) -> str:
    if value not in known:
        raise unknown_name("value of keep_wire", str(value), known)
    return str(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"logits is true or false, not {value!r}")
    return value


def _plan(data: dict[str, Any], here: Path) -> Plan:
    for name in _list(data["boards"]):
        boards.get(name)
    prompts = [(p["id"], p["text"]) for p in data.get("prompt", [])]
    if "prompts" in data:
        prompts += load_prompts(here / data["prompts"])
    images = dict(data.get("firmware", {}))
    for name in images:
        if name not in data["boards"]:
            raise unknown_name("board of the plan, to run a firmware of your own,", name, data["boards"])
    text = data.get("eval", {})
    if text.get("logits") and text.get("probe"):
        raise UsageError(
            "[eval] asks for the logits of a probe: logits are sent of scored positions, and a probe has none. Take "
            "windows = N instead of probe, or leave logits out."
        )
    models = [(here / m["file"], tuple(_list(m["quants"])), dict(m.get("keep", {}))) for m in _list(data["model"])]
    return Plan(
        boards=tuple(data["boards"]),
        models=tuple(models),
        prompts=tuple(prompts),
        n_generate=int(data.get("n_generate", 64)),
        eval_file=here / text["file"] if text else None,
        eval_windows=int(text.get("windows", 0)),
        probe=int(text.get("probe", 0)),
        logits=_truth(text.get("logits", False)),
        keep_wire=_one_of(data.get("keep_wire", "all"), "all", "none"),
        repeats=int(data.get("repeats", 1)),
        seed=int(data.get("seed", 1)),
        firmware={name: here / file for name, file in images.items()},
        pairs=int(data["pairs"]) if "pairs" in data else None,
    )


def load_prompts(path: Path) -> list[tuple[str, str]]:
    """Return (id, text) of the ``[[prompt]]`` tables of a TOML file."""
    try:
        return [(p["id"], p["text"]) for p in tomllib.loads(path.read_text(encoding="utf-8"))["prompt"]]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UsageError(f"The prompts in {path} cannot be read: {error!r}.") from error


def make_models(plan: Plan, folder: Path) -> list[tuple[Path, str]]:
    """Quantize what the plan names into ``folder``; return (file, quantization), in the plan's order.

    A file that is there already, made from the same source in the same way, is used again.
    """
    from edgeprof.modelfile import read_model_info
    from edgeprof.quantize import quantize

    made = []
    for source, quants, keep in plan.models:
        info = read_model_info(source)
        for quant in quants:
            if quant == info.quant and not keep:
                made.append((source, quant))
                continue
            recipe = hashlib.sha256(json.dumps([info.sha256, quant, keep], sort_keys=True).encode()).hexdigest()[:8]
            target = folder / f"{info.name}-{quant}-{recipe}.gguf"
            if not target.exists():
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    why = f"{folder} cannot be written ({error.strerror}). Choose another --out."
                    raise StorageError(why) from error
                quantize(source, target, quant, keep=keep)
            made.append((target, quant))
    return made


def what_is_asked(plan: Plan) -> str:
    """Return what a plan asks of every board, as a text: prompts, tokens, and the evaluation text's content."""
    text = file_sha256(plan.eval_file) if plan.eval_file else None
    # What a plan does not ask for is no part of the key: a sweep of an earlier version goes on.
    more = ["logits"] if plan.logits else []
    return json.dumps([plan.prompts, plan.n_generate, plan.eval_windows, plan.probe, text, *more])


def n_jobs(plan: Plan) -> int:
    """Return how many runs each capture of a plan has."""
    return len(plan.prompts) + (plan.eval_file is not None)


def cells(plan: Plan, models: list[tuple[Path, str]]) -> list[Cell]:
    """Return the sweep's cells in random, seeded order."""
    what, digest = what_is_asked(plan), functools.cache(file_sha256)
    found = []
    for board in plan.boards:
        image = plan.firmware.get(board)
        firmware = f" {digest(image)}" if image else ""
        for model, quant in models:
            for repeat in range(plan.repeats):
                key = hashlib.sha256(f"{board} {digest(model)} {repeat} {what}{firmware}".encode()).hexdigest()[:16]
                found.append(Cell(board, model, quant, repeat, key, image))
    random.Random(plan.seed).shuffle(found)
    return found


def done_keys(out: Path, n_runs: int) -> set[str]:
    """Return the keys of the cells of which a data set has every run, each finished or found not to fit."""
    keys: dict[str, str] = {}
    for path in out.glob(f"capture=*/{CAPTURE_JSON}"):
        header = load_capture(path.parent)
        if header.get("cell"):
            keys[header["capture_id"]] = header["cell"]
    if not keys:
        return set()
    runs = open_dataset(out).runs
    finished = runs[runs["status"].isin(["ok", "does_not_fit"])].groupby("capture_id").size()
    return {key for capture_id, key in keys.items() if finished.get(capture_id, 0) >= n_runs}


def run_sweep(
    plan: Plan, out: Path, *, jobs: int = 0, on_progress: Callable[[Cell, Progress | None], None] | None = None
) -> list[Cell]:
    """Capture every cell of a plan that the data set does not have yet.

    Parameters
    ----------
    plan
        From :func:`load_plan`.
    out
        The data set's folder; quantized models go to ``out/models``.
    jobs
        Captures at a time; 0 is one a core. Only exact clocks run side by side: others would notice.
    on_progress
        Called with a cell and how far it is; with None when it is done.

    Returns
    -------
    list of Cell
        The cells that were captured now.

    Raises
    ------
    DeviceError
        Boards that stopped answering; the other cells were captured. The same command tries these again.
    """
    workers = at_a_time(jobs)
    done = done_keys(out, n_jobs(plan))
    todo = [c for c in cells(plan, make_models(plan, out / "models")) if c.key not in done]

    def work(cell: Cell, stop: threading.Event) -> str | None:
        tags, header = {"repeat": str(cell.repeat)}, {"cell": cell.key}
        return capture_cell(plan, cell, out, stop, tags=tags, header=header, order=cell.key, on_progress=on_progress)

    failures = run_all(todo, work, alone=lambda cell: not is_exact(cell.board), workers=workers)
    refuse_failures(failures, len(todo), "captures")
    return todo


def refuse_failures(failures: Sequence[str], total: int, what: str) -> None:
    """Raise a DeviceError if anything failed; the first one says why."""
    if failures:
        raise DeviceError(
            f"{len(failures)} of {total} {what} failed; the others are kept, and the same command tries these "
            f"again. The first: {failures[0]}"
        )


def capture_cell(
    plan: Plan, cell: Cell, out: Path, stop: threading.Event, *, tags: Mapping[str, str], header: dict[str, Any],
    order: str, on_progress: Callable[[Cell, Progress | None], None] | None = None,
) -> str | None:  # fmt: skip
    """Capture a cell; return why that failed, or None.

    Parameters
    ----------
    plan, cell, out
        What to ask of which board, and the data set's folder.
    stop
        When set, the capture ends as if it was interrupted.
    tags, header
        Facts for every run, and for ``capture.json``.
    order
        With the plan's seed it gives the order of the prompts.
    on_progress
        As of :func:`run_sweep`.
    """
    todo: list[Job] = [Generation(label, text, plan.n_generate) for label, text in plan.prompts]
    if plan.eval_file is not None:
        windows, probe = plan.eval_windows, plan.probe
        todo.append(evaluation(plan.eval_file, cell.model, max_windows=windows, probe=probe, logits=plan.logits))
    random.Random(f"{plan.seed} {order}").shuffle(todo)

    def progress(ports: list[Progress]) -> None:
        if stop.is_set():  # the sweep was interrupted: so is this capture, which closes in good order
            raise KeyboardInterrupt
        if on_progress:
            on_progress(cell, ports[0])

    try:
        with open_sources([cell.board], cell.model, image=cell.image, tags=tags) as sources:
            result = capture(sources, out, todo, on_progress=progress, header=header, keep_wire=plan.keep_wire)
    except DeviceError as error:
        return str(error)
    if on_progress:
        on_progress(cell, None)
    refused = [r for o in result.outcomes.values() for r in o.refused]
    return next(iter([*result.failed.values(), *refused]), None)
