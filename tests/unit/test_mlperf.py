"""Being an MLPerf Tiny device's host: over a real pty, against a device whose faults are switched on."""

from __future__ import annotations

import os
import re
import select
import statistics
import time
from typing import Any

import fake_dut
import numpy as np
import pytest
from fake_dut import FakeDut, on_pty
from hypothesis import given
from hypothesis import strategies as st

from edgeprof import mlperf, mlperf_rules
from edgeprof.decode import decode_port
from edgeprof.decode_state import PortState
from edgeprof.errors import DeviceError, NotComparableError, UsageError
from edgeprof.mlperf import MlperfOutcome, drive
from edgeprof.mlperf_lines import Answer
from edgeprof.mlperf_rules import LEAST_WINDOW_US, Window, elapsed_us, median_inferences_s
from edgeprof.tables import build

pytestmark = pytest.mark.alone

INPUT = bytes(range(70))


PATIENCE_S = {"silent": 0.2, "mute": 1.0, "deaf": 1.0}
"""How long is waited in vain for a device that says nothing; for others as long as a busy machine needs."""


def converse(
    talk: Any, path: str, heard: bytearray | None = None, patience_s: float = 20.0
) -> tuple[MlperfOutcome, list[float]]:
    """Carry out a conversation over a port; return what it came to and the seconds that its commands may take."""
    answer, seconds, lines = Answer(), [], None
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        while True:
            command = talk.send(lines)
            seconds.append(command.seconds)
            os.write(fd, command.data)
            lines, data = None, b""
            came, deadline = answer.came, time.monotonic() + min(command.seconds, patience_s)
            while (lines := answer.feed(data, command.ends)) is None:
                if answer.came > came:
                    came, deadline = answer.came, time.monotonic() + min(command.seconds, patience_s)
                if not select.select([fd], [], [], max(deadline - time.monotonic(), 0))[0]:
                    break
                data = os.read(fd, 7)
                if heard is not None:
                    heard += data
    except StopIteration as stop:
        return stop.value, seconds
    finally:
        os.close(fd)


def run(data: bytes = INPUT, **options: Any) -> tuple[MlperfOutcome, FakeDut]:
    with on_pty(**options) as (device, path):
        patience_s = min((PATIENCE_S.get(fault, 20.0) for fault in options.get("faults", ())), default=20.0)
        return converse(drive(data, name="dut"), path, patience_s=patience_s)[0], device


def fails(data: bytes = INPUT, **options: Any) -> str:
    with pytest.raises(DeviceError) as error:
        run(data, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_five_windows_of_ten_seconds():
    heard, done = bytearray(), list[int]()
    with on_pty() as (device, path):
        outcome, seconds = converse(drive(INPUT, name="dut", advance=done.append), path, heard)
    assert (outcome.name, outcome.profile, outcome.model) == (fake_dut.NAME, fake_dut.PROFILE, fake_dut.MODEL)
    assert outcome.windows == [Window(5000, 12_500_000)] * 5
    assert (outcome.inferences_s, outcome.results, outcome.relayed) == (400.0, fake_dut.RESULTS, False)
    assert device.loaded == INPUT
    assert device.commands[:4] == ["name", "profile", "timestamp", "db load 70"]
    assert device.commands[4:7] == [f"db {INPUT[a : a + 31].hex()}" for a in (0, 31, 62)]
    assert device.commands[-6:] == [*["infer 5000 10"] * 5, "results"]
    assert all(re.fullmatch("infer [0-9]+ 0", c) for c in device.commands[7:-6]) and len(device.commands[7:-6]) == 3
    assert max(map(len, device.commands)) < fake_dut.BUFFER
    assert done == [1] * 5
    assert set(seconds) == {mlperf.LINE_SECONDS, mlperf.INFER_SECONDS}

    # The same bytes, only listened to, give the same windows.
    reads = (np.array([0]), np.array([7]))
    rows, _ = decode_port([bytes(heard)], PortState(), capture_id="c", port=0, facts={}, reads=reads, final=True)
    claims = next(t for (name, _), t in build(rows, "c").items() if name == "claims").to_pylist()
    found = {name: [r["value"] for r in claims if r["name"] == f"claimed_{name}"] for name in (
        "window_us", "window_inferences", "inferences_s", "class_1_score",
    )}  # fmt: skip
    assert found["window_us"][-5:] == [12_500_000.0] * 5
    assert found["window_inferences"][-5:] == [5000.0] * 5
    assert statistics.median(found["inferences_s"][-5:]) == outcome.inferences_s
    assert set(found["class_1_score"]) == {0.991}


@pytest.mark.parametrize("fault", ["no_cr", "noise", "boot", "half", "deaf"])
def test_what_a_host_has_to_bear_with(fault):
    outcome, device = run(faults=(fault,))
    assert outcome.windows == [Window(5000, 12_500_000)] * 5
    assert (outcome.name, outcome.results, device.loaded) == (fake_dut.NAME, fake_dut.RESULTS, INPUT)


def test_behind_an_interface_board():
    outcome, device = run(relayed=True)
    assert outcome.relayed
    assert (outcome.name, outcome.model, outcome.inferences_s) == (fake_dut.NAME, fake_dut.MODEL, 400.0)
    assert device.loaded == INPUT
    loads = [c for c in device.commands if c.startswith("dut db ") and "load" not in c]
    assert loads == [f"dut db {INPUT[a : a + 26].hex()}" for a in (0, 26, 52)]
    assert device.commands[-1] == "dut results"
    assert "energy mode" in fails(relayed=True, faults=("energy",))


def test_an_interface_board_that_answers_too_late_is_known_for_one():
    talk = drive(INPUT, name="dut")
    assert [talk.send(lines).data for lines in (None, None)] == [b"name%", b"name%"]
    assert talk.send(["tinyML Enhanced Interface Board", "m-ready"]).data == b"dut name%"
    assert talk.send(["tinyML Enhanced Interface Board", "m-ready"]).data == b"name%"  # to the second name%
    assert talk.send([f"[dut]: m-name-dut-[{fake_dut.NAME}]", "[dut]: m-ready"]).data == b"dut profile%"


def test_a_counter_of_32_bits_that_begins_anew():
    outcome, device = run(counter_us=2**32 - 30_000_000)
    assert device.counter_us > 2**32
    assert outcome.windows == [Window(5000, 12_500_000)] * 5


@pytest.mark.parametrize(
    ("inference_us", "inferences"),
    [(1, 12_500_000), (40, 312_500), (499_999, 26), (500_000, 25), (9_000_000, 2), (20_000_000, 1)],
)
def test_a_trial_says_how_many(inference_us, inferences):
    outcome, device = run(b"", inference_us=inference_us)
    assert outcome.windows == [Window(inferences, inferences * inference_us)] * 5
    assert not [c for c in device.commands if c.startswith("db")]
    trials = [c for c in device.commands if c.endswith(" 0")]
    assert len(trials) <= 5


def test_slow_warmups_have_the_time_that_they_need():
    with on_pty(inference_us=9_000_000) as (_, path):
        _, seconds = converse(drive(name="dut"), path)
    assert seconds[-6:-1] == [180.0] * 5  # ten warmups of 9 s come without a line


def test_a_given_number_of_inferences_needs_no_trial():
    with on_pty() as (device, path):
        outcome, _ = converse(drive(name="dut", inferences=4000, warmups=3), path)
    assert outcome.inferences_s == 400.0
    assert [c for c in device.commands if c.startswith("infer")] == ["infer 4000 3"] * 5


def test_windows_that_are_too_short_are_no_result():
    with (
        on_pty() as (_, path),
        pytest.raises(NotComparableError, match=r"Window 1 .* 9\.998 s.* least 4,000 inferences"),
    ):
        converse(drive(name="dut", inferences=3999), path)
    with (
        on_pty(faults=("speeding",)) as (_, path),
        pytest.raises(NotComparableError, match=r"Window 3 of 5 took 9\.118 s"),
    ):
        converse(drive(name="dut"), path)


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (("silent",), "did not say its name: 3 times `name%`"),
        (("foreign",), "did not say its name"),
        (("energy",), "(`timestamp%` brought none): it is in energy mode"),
        (("energy", "boot"), "(it said so when it began): it is in energy mode"),
        (("stopped",), "1,000 inferences took no time|its timer does not run"),
        (("mute",), "said nothing for 30 s in the trial after `infer 1 0%`"),
        (("small",), "refused `db load 70%`: Supplied buffer size 70 exceeds maximum of 16"),
        (("loses",), "did not say m-load-done"),
    ],
)
def test_what_a_host_cannot_bear_with(faults, words):
    said = fails(faults=faults)
    assert any(word in said for word in words.split("|")), said
    assert said.startswith("dut")


def test_a_dead_device_behind_an_interface_board():
    talk = drive(name="dut")
    assert next(talk).data == b"name%"
    command = talk.send(["tinyML Enhanced Interface Board", "m-ready"])
    assert (command.data, command.ends) == (b"dut name%", "m-ready")
    command = talk.send(["m-dut-passthrough(name)", "m-ready"])
    assert (command.data, command.ends) == (b"", "[dut]: m-ready")
    with pytest.raises(DeviceError, match="interface board answered, the device behind it did not"):
        talk.send(None)


def test_answers_to_earlier_commands_are_passed_over():
    talk = drive(name="dut", inferences=1)
    next(talk)
    assert talk.send(None).data == b"name%"  # it was only late: two answers will come
    assert talk.send(["m-name-dut-[A]", "m-ready"]).data == b"profile%"
    assert talk.send(["m-name-dut-[A]", "m-ready"]).data == b""
    assert talk.send(["m-profile-[P]", "m-ready"]).data == b"timestamp%"
    talk.send(["m-lap-us-5", "m-ready"])
    with pytest.raises(DeviceError, match=r"time stamps 5, 5, and two are wanted"):
        talk.send(["m-infer-start-1", "m-lap-us-5", "m-lap-us-5", "m-infer-done", "m-ready"])
    talk = drive(name="dut")
    next(talk)
    talk.send(["m-name-dut-[A]", "m-ready"])
    for _ in range(2):
        talk.send(["m-name-dut-[A]", "m-ready"])
    with pytest.raises(DeviceError, match="answered `profile%` without m-"):
        talk.send(["m-name-dut-[A]", "m-ready"])


@pytest.mark.parametrize("options", [{"inferences": -1}, {"inferences": 10**10}, {"warmups": -1}])
def test_wrong_numbers_are_refused(options):
    with pytest.raises(UsageError, match="inferences"):
        next(drive(name="dut", **options))


def test_elapsed_time():
    assert elapsed_us(5, 5) == 0
    assert elapsed_us(2**32 - 1, 0) == 1
    assert elapsed_us(2**40, 5) is None


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_elapsed_time_is_what_passed_whatever_the_counter_said_first(begin, passed):
    assert elapsed_us(begin, (begin + passed) % 2**32) == passed


def test_the_rules():
    least = LEAST_WINDOW_US
    windows = [Window(n, least) for n in (10, 50, 20, 40, 30)]
    assert median_inferences_s(windows) == 3.0
    for wrong in (windows[:4], [*windows, windows[0]], []):
        with pytest.raises(NotComparableError, match=f"there are {len(wrong)}"):
            median_inferences_s(wrong)
    with pytest.raises(NotComparableError, match=r"Window 3 of 5 took 10\.000 s.*at least 21 inferences instead of 20"):
        median_inferences_s([*windows[:2], Window(20, least - 1), *windows[3:]])
    assert mlperf_rules.WINDOWS == 5


LINES = [
    b"m-ready\r\n",
    b"\0m-rea\0dy\r\n",
    b"x m-ready y\n",
    b"m-lap-us-5\r\n",
    b"\r\n",
    b"\n",
    b"\xff\xfe\n",
    b"Jos\xc3\xa9\n",
]


@given(st.lists(st.sampled_from(LINES)), st.data())
def test_how_an_answer_is_read_makes_no_difference(lines, data):
    stream = b"".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))

    def answers(parts: list[bytes]) -> list[list[str]]:
        answer, found = Answer(), []
        for part in parts:
            while (one := answer.feed(part, "m-ready")) is not None:
                found.append(one)
                part = b""
        return found

    whole = answers([stream])
    assert answers([stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]) == whole
    assert len(whole) == sum(b"ready" in line or b"rea\0dy" in line for line in lines)
    assert all("m-ready" in one[-1] and not any("m-ready" in line for line in one[:-1]) for one in whole)
    assert not [c for one in whole for line in one for c in line if c in "\0\r\n"]


def test_an_answer_without_end_needs_no_memory():
    answer = Answer()
    for _ in range(300):
        assert answer.feed(b"x" * 10_000, "m-ready") is None
        assert answer.feed(b"y\n" * 1000, "m-ready") is None
    assert len(answer.lines) == 10_000
    assert max(map(len, answer.lines)) <= 4096
    found = answer.feed(b"\nm-ready\n", "m-ready")
    assert found is not None and found[-1] == "m-ready"
