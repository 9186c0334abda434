"""Changing closed captures: one at a time, under their locks, and so that a death leaves the old or the new.

What is written anew is a whole generation beside the last one (:func:`edgeprof.layout.current`). Only when its final
manifest is there does it count; only then are the folders of the old one removed.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprof.care import captures_in
from edgeprof.errors import EdgeprofError, StorageError, unknown_name
from edgeprof.layout import segment_folder
from edgeprof.seal import load_manifests
from edgeprof.sealer import hold

__all__ = ["Outcome", "capture_id", "choose", "closed", "each", "held", "next_generation", "rewriting"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one capture, in words. ``code`` is an exit code: 0 where it is as it was wanted."""

    capture: str
    what: str
    code: int = 0


def capture_id(capture: Path) -> str:
    """Return the name of the capture that a folder holds."""
    return capture.name.removeprefix("capture=")


def choose(path: Path, names: Iterable[str] = ()) -> list[Path]:
    """Return the captures of a data set that are named; all of them if none is.

    Raises
    ------
    UsageError
        A name is not one of theirs.
    StorageError
        The data set holds no capture.
    """
    found = {capture_id(capture): capture for capture in captures_in(path)}
    chosen = [name.removeprefix("capture=") for name in dict.fromkeys(names)]
    for name in chosen:
        if name not in found:
            raise unknown_name("capture", name, found, f"`edgeprof runs {path}` lists what is there.")
    return [found[name] for name in dict.fromkeys(chosen or found)]


def each(captures: Iterable[Path], change: Callable[[Path], Outcome]) -> list[Outcome]:
    """Change one capture after the other; what goes wrong with one is its outcome, and the others go on."""
    outcomes = []
    for capture in captures:
        try:
            outcomes.append(change(capture))
        except EdgeprofError as error:
            outcomes.append(Outcome(capture_id(capture), str(error), error.exit_code))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"is damaged or cannot be reached ({error!r}); `edgeprof verify` says more"
            outcomes.append(Outcome(capture_id(capture), what, StorageError.exit_code))
    return outcomes


@contextlib.contextmanager
def held(capture: Path) -> Iterator[None]:
    """Hold both locks of a capture, and leave no trace of them.

    Raises
    ------
    LockedError
        It is still going on, or somebody else is changing it.
    """
    with contextlib.ExitStack() as stack:
        for name in ("reader", "sealer"):
            lock = hold(capture, name)
            stack.callback((capture / f"{name}.lock").unlink, missing_ok=True)
            stack.callback(lock.release, force=True)
        yield


def closed(manifests: list[dict[str, Any]]) -> bool:
    """Tell whether a capture is finished: nothing more will come."""
    return bool(manifests) and bool(manifests[-1]["final"])


def next_generation(manifests: list[dict[str, Any]]) -> int:
    """Return the number of the generation that would follow this one."""
    return int(manifests[-1].get("generation", 0)) + 1


@contextlib.contextmanager
def rewriting(capture: Path) -> Iterator[list[dict[str, Any]]]:
    """Hold a capture while a new generation of it is written; give the manifests that count now.

    Afterwards, and before, the folders of generations that do not count are removed, however it went.

    Raises
    ------
    StorageError
        It could not be written; what was there counts as before.
    """
    with held(capture):
        manifests = load_manifests(capture)
        try:
            _drop_others(capture, manifests)
            yield manifests
        except EdgeprofError:
            raise
        except OSError as error:
            raise StorageError(
                f"{capture} cannot be written anew ({error.strerror or error}). It is as it was: make room or make it "
                "writable, then try again."
            ) from error
        finally:
            _drop_others(capture, load_manifests(capture))


def _drop_others(capture: Path, manifests: list[dict[str, Any]]) -> None:
    """Remove segments of other generations than the one that counts; of a capture that is not closed, none."""
    if not closed(manifests):
        return
    count = {segment_folder(m["segment"], m.get("generation", 0)) for m in manifests}
    # The last first: who is reading them just now finds the old generation without its end, and looks again.
    for folder in sorted(capture.glob("segment=*"), key=lambda p: (len(p.name), p.name), reverse=True):
        if folder.name not in count:
            shutil.rmtree(folder, ignore_errors=True)
