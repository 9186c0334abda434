"""A board's power, 100,000 samples a second, and its tokens, captured together: the data set has what was sent."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from capturing import wait_for
from fakeboard import PAIRS, FakeBoard, token_record

import edgeprof
from edgeprof import wire
from edgeprof.care import verify
from edgeprof.energy.kernels import interval_energy
from edgeprof.energy.measured import meter_of

sys.path.insert(0, str(Path(__file__).parents[1] / "performance"))
from capture_load import Paced

pytestmark = [pytest.mark.alone, pytest.mark.slow]

TICK_HZ, TICKS_A_SAMPLE = 1_000_000, 10
VOLTAGE_MV = 3300
FRAME_TICKS = wire.POWER_SAMPLES * TICKS_A_SAMPLE


class Stream:
    """What a board sends of one run: a frame of samples each 2.5 ms and a token each 10 ms or so, made beforehand.

    ``counts`` are the samples in microamperes, each 10 ticks from run begin; ``edges`` the ticks from one pass to the
    next, halfway between two samples. ``due`` returns the bytes between a second and the one that it was asked for
    before.
    """

    def __init__(self, seconds: int) -> None:
        rng = np.random.default_rng(8)
        self.counts = rng.integers(0, 65536, int(seconds * TICK_HZ / TICKS_A_SAMPLE)).astype("<u2")
        ends = np.cumsum(rng.integers(800, 1200, 200 * seconds))
        self.edges = np.append(0, ends[ends < len(self.counts) - 1]) * TICKS_A_SAMPLE + TICKS_A_SAMPLE // 2
        self._parts: list[bytes] = []
        self._times: list[float] = []
        self._sent = 0
        board = FakeBoard(self._parts.append, pairs=PAIRS | {"tick_hz": str(TICK_HZ)})
        board.hello()
        board.begin(kind="generate", prompt_id="a", n_prompt=1, n_generate=len(self.edges) - 1)
        self._at(0.0)
        self._run(board)
        self.bytes = b"".join(self._parts)
        self._offsets = np.append(0, np.cumsum([len(part) for part in self._parts]))
        self._due = np.array(self._times)

    def _at(self, second: float) -> None:
        self._times += [second] * (len(self._parts) - len(self._times))

    def _run(self, board: FakeBoard) -> None:
        said, done = wire.POWER.pack(1000, VOLTAGE_MV, 0), 1
        for k in range(len(self.counts) // wire.POWER_SAMPLES):
            samples = self.counts[k * wire.POWER_SAMPLES : (k + 1) * wire.POWER_SAMPLES].tobytes()
            first, board.now = k * FRAME_TICKS, (k + 1) * FRAME_TICKS
            board.frame(wire.Type.POWER, said + samples, wire.POWER_SAMPLES, t0=first, dt=TICKS_A_SAMPLE)
            while done < len(self.edges) and self.edges[done] <= board.now:
                begin, end = self.edges[done - 1 : done + 1].tolist()
                record = token_record(0, end - begin, done - 1, int(done > 1))
                board.passes += 1
                board.frame(wire.Type.TOKENS, record, 1, t0=begin, dt=1)
                done += 1
            if k % 400 == 399:
                board.repeat_begin(kind="generate", prompt_id="a", n_prompt=1, n_generate=len(self.edges) - 1)
            self._at(board.now / TICK_HZ)
        board.end(0, 1, done - 1)
        self._at(board.now / TICK_HZ)

    def due(self, port: int, second: float) -> bytes:
        """Return what is to be sent by now."""
        assert port == 0
        end = int(self._offsets[np.searchsorted(self._due, second, side="right")])
        begin, self._sent = self._sent, end
        return self.bytes[begin:end]

    def energy_uj(self) -> np.ndarray:
        """Return each pass's energy as whole numbers have it: no sample is cut by an edge."""
        total = np.append(0, np.cumsum(self.counts, dtype=np.int64))
        at = (self.edges + TICKS_A_SAMPLE // 2) // TICKS_A_SAMPLE
        return np.diff(total[at]) * VOLTAGE_MV * (TICKS_A_SAMPLE * 1e9 / TICK_HZ) * 1e-12


@pytest.mark.parametrize(
    "seconds", [pytest.param(10, id="10 s"), pytest.param(60, id="60 s", marks=pytest.mark.nightly)]
)
def test_power_and_tokens_of_a_real_capture_are_those_of_the_source(tmp_path: Path, seconds: int) -> None:
    stream, line, out = Stream(seconds), Paced(1), tmp_path / "data"
    command = [sys.executable, "-m", "edgeprof", "capture", line.urls[0], "--out", str(out), "--capture-id", "c"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, stderr=said, stdout=said)
        try:
            wait_for(lambda: list(out.glob("capture=c/journal/port-00/*.wire")), "an open port")
            line.run(seconds + 0.5, stream.due)
            kept = lambda: int(edgeprof.open(out).captures["bytes_read"].iloc[0])  # noqa: E731
            wait_for(lambda: kept() >= line.sent, "all bytes")
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130, (tmp_path / "said").read_text()
        finally:
            process.kill()
            process.wait()
    assert (line.sent, line.lost) == (len(stream.bytes), 0)
    ds = edgeprof.open(out)
    (run,) = ds.runs.to_dict("records")
    assert (run["status"], run["frames_lost"], ds.captures["bytes_discarded"].iloc[0]) == ("ok", 0, 0)
    tokens = ds.arrow("tokens", ["position", "ticks_start", "ticks"]).sort_by("ticks_start")
    np.testing.assert_array_equal(tokens["ticks_start"], stream.edges[:-1])
    np.testing.assert_array_equal(tokens["ticks"], np.diff(stream.edges))
    power = ds.arrow("power", ["ticks", "current_ua"]).sort_by("ticks")
    np.testing.assert_array_equal(power["ticks"], np.arange(len(stream.counts)) * TICKS_A_SAMPLE)
    np.testing.assert_array_equal(power["current_ua"], stream.counts.astype(np.float64))
    samples, alignment = meter_of(ds, 0)
    assert alignment.method == "device"
    begins = alignment.to_meter_ns(tokens["ticks_start"].to_numpy())
    at = np.append(begins, alignment.to_meter_ns(stream.edges[-1]))
    truth = stream.energy_uj()
    found = interval_energy(samples, at[:-1], at[1:])
    np.testing.assert_allclose(found.energy_uj, truth, rtol=1e-9)
    assert interval_energy(samples, at[:1], at[-1:]).energy_uj[0] == pytest.approx(truth.sum(), rel=1e-9)
    assert found.n_missing.sum() == 0
    assert verify(out) == []
