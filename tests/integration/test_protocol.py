"""Being an MLPerf Tiny device's host, from the command line to the data set."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from fake_dut import on_pty

import edgeprof
from edgeprof.capture import Source, capture, prepare
from edgeprof.care import verify
from edgeprof.cli import main
from edgeprof.conversation import Progress
from edgeprof.driver import Generation
from edgeprof.errors import UsageError
from edgeprof.line_conversation import LineConversation
from edgeprof.mlperf import Command

pytestmark = [pytest.mark.alone, pytest.mark.slow]


def run(capsys: Any, path: str, out: Path, *more: str) -> tuple[int, str, str]:
    code = main(["capture", path, "--protocol", "mlperf-tiny", "--out", str(out), *more])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("relayed", [False, True])
def test_five_windows(tmp_path: Path, capsys: Any, relayed: bool) -> None:
    data = tmp_path / "input.bin"
    data.write_bytes(bytes(range(200)))
    with on_pty(relayed=relayed, counter_us=2**32 - 30_000_000) as (device, path):
        code, out, _ = run(capsys, path, tmp_path / "data", "--input", str(data))
    assert code == 0
    assert device.loaded == data.read_bytes()
    assert "ACME kws01: median 400 inferences/s, claimed by it (5,000 in 12.50 s, " in out
    ds = edgeprof.open(tmp_path / "data")
    windows = ds.claims.loc[ds.claims["name"] == "claimed_window_us", "value"]
    rates = ds.claims.loc[ds.claims["name"] == "claimed_inferences_s", "value"]
    # The trials are on the wire as well; the last five are the windows, and one of them wraps the counter.
    assert list(windows)[-5:] == [12_500_000.0] * 5
    assert statistics.median(list(rates)[-5:]) == 400.0
    assert "m-ready" in " ".join(ds.table("logs")["text"])
    assert len(ds.tokens) == 0  # no token is made of an inference
    assert verify(tmp_path / "data") == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("energy", "EE_CFG_ENERGY_MODE 0"), ("small", "refused `db load 200%`"),
        ("stopped", "its timer does not run"), ("foreign", "did not say its name"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_and_what_came_is_kept(tmp_path: Path, capsys: Any, fault: str, words: str) -> None:
    data = tmp_path / "input.bin"
    data.write_bytes(bytes(200))
    with on_pty(faults=(fault,)) as (_, path):
        code, _, err = run(capsys, path, tmp_path / "data", "--input", str(data))
    assert code == 4
    assert words in err and "What came is kept in" in err
    ds = edgeprof.open(tmp_path / "data")
    assert len(ds.table("logs")) > 0
    assert "timeout" in list(ds.table("events")["kind"])


def test_windows_that_are_too_short_are_no_result(tmp_path: Path, capsys: Any) -> None:
    with on_pty() as (_, path):
        code, _, err = run(capsys, path, tmp_path / "data", "--inferences", "10")
    assert code == 4
    assert "ask for 10 s in each: have it do at least 4,000 inferences" in err


def test_one_driver_a_port(tmp_path: Path, capsys: Any) -> None:
    assert run(capsys, "/dev/null", tmp_path / "data", "--prompt", "x")[0] == 3
    assert main(["capture", "replay:x", "--out", str(tmp_path / "data"), "--prompt", "x"]) == 3
    assert "answers no question" in capsys.readouterr().err
    assert main(["capture", "/dev/null", "--out", str(tmp_path / "data"), "--inferences", "5"]) == 3
    assert run(capsys, "/dev/null", tmp_path / "data", "--input", str(tmp_path / "none"))[0] == 5
    with pytest.raises(UsageError, match="a port has one driver"):
        capture([Source("/dev/null", "x")], tmp_path / "data", [Generation("p", "x")], protocol=lambda **_: iter(()))
    assert not (tmp_path / "data").exists()


def test_a_board_that_prints_for_ever_is_given_up(tmp_path: Path) -> None:
    sent: list[bytes] = []

    def talk() -> Any:
        lines = yield Command(b"name%", "m-ready", 0.05)
        return lines

    folder = prepare(tmp_path, [Source("loop://", "x")], [], host_label=None, capture_id="c", extra={})
    one = LineConversation(folder, 0, talk(), lambda _, data: sent.append(data), Progress("x"))
    one.start()
    began = time.monotonic()
    while not one.over and time.monotonic() - began < 10:
        one.hear(b"I am a line\n")
        one.tick()
        time.sleep(0.01)
    assert sent == [b"name%"]
    assert (one.over, one.outcome) == (True, None)
    assert 0.4 < time.monotonic() - began < 3
