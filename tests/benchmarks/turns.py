"""Base and head in turns: two processes run the same benchmarks, and one of them at a time is told to run a round.

What disturbs a machine lasts for seconds, so two processes one after the other can differ by a fifth although nothing
changed. Rounds of a few hundredths of a second that alternate between two processes meet the same disturbance.

A side tells the other end of a connection ``ready NAME`` when a benchmark has run once; then it is asked for rounds of
N calls, each answered with its CPU seconds, until it is told to go on (None).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Client, Connection
from typing import Any

ADDRESS, KEY = "EDGEPROF_TURNS", "EDGEPROF_TURNS_KEY"
ROUND_SECONDS = 0.03
SECONDS = 3.0
"""A round takes at least so long, and a benchmark on one side about so long."""
MIN_ROUNDS, MAX_ROUNDS = 4, 40

Times = Mapping[str, float]
"""CPU seconds of each benchmark's fastest round, by name."""


# ---- in the process of a side ----


class Turns:
    """Stands in the place of pytest-benchmark's fixture."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self.take_turns(lambda: ((args, options), function))

    def pedantic(self, target: Callable[..., Any], *, setup: Callable[[], Any] | None = None, rounds: int = 1) -> Any:
        """Run what needs to be set up for each call; how many rounds there are is decided for both sides."""
        del rounds
        return self.take_turns(lambda: ((setup() or ((), {})) if setup else ((), {}), target), calls_at_a_time=1)

    def take_turns(
        self, prepare: Callable[[], tuple[Any, Callable[..., Any]]], *, calls_at_a_time: int | None = None
    ) -> Any:
        """Run a round each time it is asked for; return what the last call returned."""
        connection = other_end()
        (args, options), function = prepare()
        result = function(*args, **options)
        connection.send(("ready", self.name))
        while (calls := connection.recv()) is not None:
            seconds = 0.0
            for _ in range(calls_at_a_time or calls):
                (args, options), function = prepare()
                began = time.process_time()
                result = function(*args, **options)
                seconds += time.process_time() - began
            connection.send(seconds / (calls_at_a_time or calls))
        return result


_connection: list[Connection] = []


def other_end() -> Connection:
    """Return the connection to who hands out the turns; it is the process's, for all of its benchmarks."""
    if not _connection:
        host, _, port = os.environ[ADDRESS].partition(":")
        _connection.append(Client((host, int(port)), authkey=bytes.fromhex(os.environ[KEY])))
        import edgeprof

        _connection[0].send((os.environ["EDGEPROF_SIDE"], edgeprof.__file__))
    return _connection[0]


# ---- in the process that hands them out ----


def hand_out(
    base: Connection, head: Connection, order: Sequence[str], blocks: int, *, seed: int
) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Let both sides run each benchmark in turns; return the fastest rounds of each block, as pairs.

    A benchmark that one side cannot run is in the other one's times only.
    """
    coin = random.Random(seed)
    pairs: list[tuple[dict[str, float], dict[str, float]]] = [({}, {}) for _ in range(blocks)]
    at = {id(side): ready(side) for side in (base, head)}
    while any(at.values()):
        waiting = [name for name in at.values() if name]
        name = min(waiting, key=order.index)
        sides = [side for side in (base, head) if at[id(side)] == name]
        for number, fastest in enumerate(of_benchmark(sides, blocks, coin)):
            for side, seconds in zip(sides, fastest, strict=True):
                pairs[number][side is head][name] = seconds
        for side in sides:
            side.send(None)
            at[id(side)] = ready(side)
    return pairs


def ready(side: Connection) -> str:
    """Return the benchmark that a side has come to; nothing when it has ended."""
    try:
        word, name = side.recv()
    except (EOFError, ConnectionError):
        return ""
    assert word == "ready", word
    return str(name)


def of_benchmark(sides: Sequence[Connection], blocks: int, coin: random.Random) -> list[list[float]]:
    """Return the fastest round of each side, block by block."""
    once = max(asked(side, 1) for side in sides)
    calls = max(1, round(ROUND_SECONDS / max(once, 1e-7)))
    rounds = min(max(int(SECONDS / (blocks * calls * max(once, 1e-7))), MIN_ROUNDS), MAX_ROUNDS)
    found = []
    for _ in range(blocks):
        fastest = [float("inf")] * len(sides)
        for _ in range(rounds):
            for number in coin.sample(range(len(sides)), len(sides)):
                fastest[number] = min(fastest[number], asked(sides[number], calls))
        found.append(fastest)
    return found


def asked(side: Connection, calls: int) -> float:
    """Have a side run a round; return the CPU seconds of a call."""
    side.send(calls)
    seconds = side.recv()
    if not isinstance(seconds, float):
        raise RuntimeError(f"A benchmark failed in the middle: instead of its time came {seconds!r}.")
    return seconds
