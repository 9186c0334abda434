"""Firmware that is not ours, over a pty: what the host saw of its tokens, through every stage to the data set."""

from __future__ import annotations

import json
import os
import threading
import time
import tty
from pathlib import Path

import pandas as pd
import pytest

import edgeprof
from edgeprof.capture import Source, capture
from edgeprof.care import verify
from edgeprof.cli import main
from edgeprof.redecode import redecode

pytestmark = [pytest.mark.alone, pytest.mark.slow]

STORY = [f" word{n}" + "y" * 200 for n in range(30)]
"""Long words: text is sealed when there are more than 4 KiB of it."""
PAUSE_S = 0.02


def tell(line: int, opened: threading.Event, told: list[float]) -> None:
    """Print as llama2.c does on an ESP32: a log line, tokens without a newline, the rate over them."""
    opened.wait()
    time.sleep(0.1)
    for _ in range(2):
        os.write(line, b"\x1b[0;32mI (645) MAIN: Loading Model\x1b[0m\r\n")
        began = time.monotonic()
        for word in STORY:
            time.sleep(PAUSE_S)
            os.write(line, word.encode())
        rate = (len(STORY) - 1) / (time.monotonic() - began - PAUSE_S)
        told.append(rate)
        os.write(line, f"\n\x1b[0;32mI (9800) LLM: achieved tok/s: {rate:.6f}\x1b[0m\r\n".encode())


def test_tokens_that_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    primary, secondary = os.openpty()
    tty.setraw(primary)
    tty.setraw(secondary)
    opened, told = threading.Event(), list[float]()
    board = threading.Thread(target=tell, args=(primary, opened, told))
    board.start()
    try:
        capture(
            [Source(os.ttyname(secondary), "llama2.c", opened=opened.set)], tmp_path, capture_id="c", seconds=5.0,
            seal_every=0.25,
        )  # fmt: skip
    finally:
        opened.set()
        board.join()
        os.close(primary)
        os.close(secondary)
    ds = edgeprof.open(tmp_path)
    measured = edgeprof.measure(ds)
    assert len(list((tmp_path / "capture=c").glob("segment=*"))) >= 2  # that a segment ends in a run changes nothing
    assert (list(measured["clock"]), list(measured["status"])) == (["host"] * 2, ["ok"] * 2)
    # A machine that is busy may read two words at once; then they are one print.
    prints = ds.tokens.groupby("run_id").size()
    assert prints.between(len(STORY) // 2, len(STORY)).all()
    assert measured["host_itl_p50_ms"].between(PAUSE_S * 1000, PAUSE_S * 2500).all()
    assert measured["decode_tok_s"].isna().all()
    claims = ds.claims.set_index("run_id")["value"]
    for run, rate in zip(measured.itertuples(), told, strict=True):
        assert claims[run.run_id] == pytest.approx(rate, abs=1e-6)
        per_print = prints[run.run_id] / len(STORY)
        assert run.host_prints_s == pytest.approx(rate * per_print, rel=0.3)
    assert verify(tmp_path) == []
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process keeps its own
    assert main(["runs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out.split("\n\n")[1].splitlines()[2:]
    assert [
        (line.split()[0], "incl_prompt" in line, f"{rate:.2f}" in line) for line, rate in zip(shown, told, strict=True)
    ] == [("0-0001", True, True), ("0-0002", True, True)]

    before = {name: ds.table(name) for name in ("runs", "tokens", "claims", "logs")}
    assert [outcome.code for outcome in redecode(tmp_path)] == [0]
    again = edgeprof.open(tmp_path)
    for name, table in before.items():
        pd.testing.assert_frame_equal(again.table(name), table)
    state = json.loads(max((tmp_path / "capture=c").glob("segment=*/manifest.json")).read_text())["states"][0]
    assert state["prints"]["times_ns"] == []
