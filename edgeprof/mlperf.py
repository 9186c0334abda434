"""Being the host of an MLPerf Tiny device: which command follows which answer. No port, no clock: a generator.

A command is text that ends with ``%``; an answer is lines, the last of which has ``m-ready`` in it. The generator
yields a :class:`Command` and is sent the lines of its answer, as :class:`edgeprof.mlperf_lines.Answer` gathers them, or
None if none came in time. What the device measures is on the wire as well, and the adapter ``mlperftiny`` makes claims
of the same bytes: nothing has to be stored from here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import NoReturn

from edgeprof.adapters.mlperftiny import ENERGY
from edgeprof.errors import DeviceError, UsageError
from edgeprof.mlperf_rules import LEAST_WINDOW_US, WINDOWS, Window, elapsed_us, median_inferences_s

__all__ = ["Command", "MlperfOutcome", "drive"]

READY = "m-ready"
RELAYED = "[dut]: "
LINE_SECONDS, INFER_SECONDS = 5.0, 30.0
WARMUPS = 10
INPUT_BYTES, RELAYED_INPUT_BYTES = 31, 26
"""Bytes of input in one command: the device's buffer has 80 characters, and an interface board takes some of them."""
_TRIES, _STALE = 3, 2
_TRIAL_US = 500_000
_WINDOW_US = 1.25 * LEAST_WINDOW_US
_MOST_INFERENCES = 10**9

_NAME = re.compile(r"m-name-dut-\[([^]]+)\]")
_PROFILE = re.compile(r"m-(profile|model)-\[([^]]+)\]")
_LAP = re.compile(r"m-lap-us-([0-9]{1,15})")
_RESULTS = re.compile(r"m-results-\[([^]]+)\]")
_REFUSAL = re.compile(r"e-\[(.*)\]|(Supplied buffer size .*)")
_PASSED_ON = re.compile(r"m-dut-passthrough\(.*")


@dataclass(frozen=True, slots=True)
class Command:
    """Send ``data``, nothing if it is empty, and gather lines up to one that contains ``ends``.

    ``seconds`` is how long each line may take: every line that comes starts the time anew.
    """

    data: bytes
    ends: str
    seconds: float


@dataclass(slots=True)
class MlperfOutcome:
    """What a device said.

    Attributes
    ----------
    name, profile, model
        As the device calls itself; empty where it does not say.
    relayed
        True if an interface board stands between.
    windows
        The measured windows, each with its inferences and its microseconds.
    inferences_s
        The result by the rules: the median of the windows' inferences per second.
    results
        The model's outputs for the input that was loaded.
    """

    name: str = ""
    profile: str = ""
    model: str = ""
    relayed: bool = False
    windows: list[Window] = field(default_factory=list)
    inferences_s: float | None = None
    results: list[float] = field(default_factory=list)


Talk = Generator[Command, list[str] | None, list[str]]


def drive(
    data: bytes = b"", *, name: str = "the device", inferences: int = 0, warmups: int = WARMUPS,
    advance: Callable[[int], None] | None = None,
) -> Generator[Command, list[str] | None, MlperfOutcome]:  # fmt: skip
    """Have a device measure its five windows.

    Parameters
    ----------
    data
        The model's input; none is loaded if it is empty, for what the device has already.
    name
        What messages call the device.
    inferences
        How many a window has; by default as many as a trial says take 12.5 s, so that no window is under 10 s.
    warmups
        Inferences before each window.
    advance
        Called with 1 for each window that is finished.

    Raises
    ------
    DeviceError
        It does not answer, refuses a command, is in energy mode, or prints what tells no time.
    NotComparableError
        A window was shorter than the rules ask for.
    UsageError
        The number of inferences or warmups is out of range.
    """
    if not 0 <= inferences <= _MOST_INFERENCES or not 0 <= warmups <= _MOST_INFERENCES:
        raise UsageError(
            f"A window has 1 to {_MOST_INFERENCES:,} inferences (0: a trial finds out how many) and 0 or more warmups "
            f"before it, not {inferences:,} and {warmups:,}."
        )
    device = _Device(name)
    outcome = yield from device.identify()
    yield from device.check_mode()
    if data:
        yield from device.load(data)
    if not inferences:
        inferences = yield from _choose(device)
    for number in range(1, WINDOWS + 1):
        outcome.windows.append((yield from device.window(inferences, warmups, f"window {number} of {WINDOWS}")))
        if advance:
            advance(1)
    said = yield from device.ask("results", _RESULTS)
    outcome.results = _scores(said)
    outcome.inferences_s = median_inferences_s(outcome.windows)
    return outcome


def _choose(device: _Device) -> Generator[Command, list[str] | None, int]:
    """Return how many inferences a window needs: as many as would take 12.5 s, by a trial of half a second or more."""
    count = 1
    while True:
        trial = yield from device.window(count, 0, "the trial", shortest=False)
        if trial.window_us >= _TRIAL_US or count == _MOST_INFERENCES:
            return min(-(-int(_WINDOW_US * count) // max(trial.window_us, 1)), _MOST_INFERENCES)
        if count >= 1000 and not trial.window_us:
            raise DeviceError(
                f"{device.name}: {count:,} inferences took no time by its own time stamps: its timer does not run."
            )
        # At most a hundred times as many at once: a timer that is too coarse says little of one inference.
        factor = min(1.5 * _TRIAL_US / max(trial.window_us, 1), 100.0)
        count = min(max(2 * count, int(count * factor)), _MOST_INFERENCES)


def _scores(lines: list[str]) -> list[float]:
    found = next((m for line in lines if (m := _RESULTS.fullmatch(line))), None)
    try:
        return [float(score) for score in found[1].split(",")] if found else []
    except ValueError:
        return []


def _booting(lines: list[str]) -> bool:
    """Tell whether an answer is what a device says when it begins, or the end of that."""
    return all(READY in line or line.startswith(("m-init-done", "m-timestamp-mode", "m-lap-us")) for line in lines)


class _Device:
    """A device and how it is reached. Its methods are parts of the generator."""

    def __init__(self, name: str) -> None:
        self.name, self.relayed = name, False
        self.inference_us = 0.0

    def identify(self) -> Generator[Command, list[str] | None, MlperfOutcome]:
        """Find out who answers: the device, or an interface board before it."""
        for _ in range(_TRIES):
            lines = yield self._command("name", LINE_SECONDS)
            # A device that was reset by opening its port says first that it is ready: that answers no command.
            for _ in range(_STALE):
                if lines is None or not _booting(self._clean(lines)):
                    break
                lines = yield Command(b"", READY, LINE_SECONDS)
            # What was cut off before still stands in its buffer, and makes the first command an unknown one.
            if lines is None or self._found(lines, _REFUSAL):
                continue
            if not self._found(lines, _NAME):
                lines = yield self._command("dut name", LINE_SECONDS)
                if lines is None or not self._found(lines, _PASSED_ON):
                    continue
                self.relayed = True
                lines = yield Command(b"", self._ends(), LINE_SECONDS)
            if lines is not None and (found := self._found(lines, _NAME)):
                # An answer that came so late that it was asked again may be one to `dut name%`.
                self.relayed |= f"{RELAYED}{found[0]}" in lines
                return (yield from self._profile(found[1]))
            raise DeviceError(
                f"{self.name}: MLPerf Tiny's interface board answered, the device behind it did not say its name. Is "
                "it powered, are RX and TX crossed, and has it the interface's baud rate?"
            )
        raise DeviceError(
            f"{self.name} did not say its name: {_TRIES} times `name%` brought no `m-name-dut-[…]`. Is MLPerf Tiny's "
            "firmware on it, and is the baud rate right (--baud 115200; 9600 in energy mode)? `edgeprof capture` "
            "without --protocol shows in `logs` what it sends."
        )

    def _profile(self, name: str) -> Generator[Command, list[str] | None, MlperfOutcome]:
        lines = yield from self.ask("profile", _PROFILE)
        said: dict[str, str] = {m[1]: m[2] for line in lines if (m := _PROFILE.fullmatch(line))}
        return MlperfOutcome(name, said.get("profile", ""), said.get("model", ""), self.relayed)

    def check_mode(self) -> Generator[Command, list[str] | None, None]:
        """Find out whether it prints its time stamps."""
        lines = yield from self.ask("timestamp")
        if not self._found(lines, _LAP):
            self._energy("`timestamp%` brought none")

    def load(self, data: bytes) -> Generator[Command, list[str] | None, None]:
        """Load the model's input."""
        yield from self.ask(f"db load {len(data)}", re.compile(r"m-\[Expecting [0-9]+ bytes\]"))
        size = RELAYED_INPUT_BYTES if self.relayed else INPUT_BYTES
        lines: list[str] = []
        for at in range(0, len(data), size):
            lines = yield from self.ask(f"db {data[at : at + size].hex()}")
        if "m-load-done" not in lines:
            raise DeviceError(
                f"{self.name} took all {len(data):,} bytes of the input and did not say m-load-done: a command was "
                "lost. Try again; a slower baud rate helps where bytes are lost."
            )

    def window(
        self, inferences: int, warmups: int, what: str, *, shortest: bool = True
    ) -> Generator[Command, list[str] | None, Window]:
        """Measure a window; ``shortest`` False allows that no time passes."""
        longest_s = 2e-6 * self.inference_us * max(inferences, warmups)
        command = f"infer {inferences} {warmups}"
        lines = yield from self.ask(command, re.compile(r"m-infer-done"), max(INFER_SECONDS, longest_s), what)
        stamps = [int(m[1]) for line in lines if (m := _LAP.fullmatch(line))]
        if not stamps:
            self._energy(f"{what} had none")
        time_us = elapsed_us(*stamps) if len(stamps) == 2 else None
        if time_us is None or (shortest and not time_us):
            raise DeviceError(
                f"{self.name}: {what} has the time stamps {', '.join(map(str, stamps))}, and two are wanted, the "
                "second behind the first. Is its timer running, and does it count microseconds?"
            )
        self.inference_us = time_us / inferences
        return Window(inferences, time_us)

    def ask(
        self, command: str, wanted: re.Pattern[str] | None = None, seconds: float = LINE_SECONDS, what: str = ""
    ) -> Talk:
        """Send a command and return its answer, without the interface board's prefixes."""
        lines = yield self._command(command, seconds)
        for _ in range(_STALE):
            if lines is None or wanted is None or self._found(lines, wanted) or self._found(lines, _REFUSAL):
                break
            lines = yield Command(b"", self._ends(), seconds)  # that answered an earlier command
        where = f" in {what}" if what else ""
        if lines is None:
            raise DeviceError(
                f"{self.name} said nothing for {seconds:g} s{where} after `{command}%`; what came is kept. Did it "
                "crash, or was it unplugged?"
            )
        clean = self._clean(lines)
        refusal = self._found(lines, _REFUSAL)
        if refusal:
            reason = refusal[1] if refusal[1] is not None else refusal[2]
            raise DeviceError(f"{self.name} refused `{command}%`{where}: {reason}. What came is kept.")
        if wanted is not None and not self._found(lines, wanted):
            raise DeviceError(
                f"{self.name} answered `{command}%`{where} without {wanted.pattern.replace(chr(92), '')}: it said "
                f"{' / '.join(clean)[:200]}. Is it MLPerf Tiny's firmware, and is no byte lost on the line?"
            )
        return clean

    def _command(self, command: str, seconds: float) -> Command:
        relay = "dut " if self.relayed else ""
        return Command(f"{relay}{command}%".encode(), self._ends(), seconds)

    def _ends(self) -> str:
        return RELAYED + READY if self.relayed else READY

    def _clean(self, lines: list[str]) -> list[str]:
        if any("m-timestamp-mode-energy" in line for line in lines):
            self._energy("it said so when it began")
        return [line.removeprefix(RELAYED) for line in lines]

    def _found(self, lines: list[str], pattern: re.Pattern[str]) -> re.Match[str] | None:
        return next((m for line in self._clean(lines) if (m := pattern.fullmatch(line))), None)

    def _energy(self, how: str) -> NoReturn:
        raise DeviceError(
            f"{self.name} prints no time stamps ({how}): {ENERGY}, which an energy meter reads. Build its firmware "
            "with EE_CFG_ENERGY_MODE 0, flash it, and try again at 115,200 baud."
        )
