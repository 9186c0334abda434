"""Boards behind a real broker: captured whole, asked and answered, and no secret kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import broker as brokers
import pytest
from broker import bridging, edgeprof_process
from fakeboard import FakeBoard

import edgeprof
from edgeprof import wire
from edgeprof.bridge import Traffic, bridge
from edgeprof.capture import Source, capture
from edgeprof.care import verify
from edgeprof.driver import Evaluation, Generation
from edgeprof.errors import DeviceError
from edgeprof.mqtt import MqttPort, open_mqtt
from edgeprof.mqtt_address import PASSWORD, USERNAME, parse

brokers.require()
pytestmark = [pytest.mark.once, pytest.mark.slow]

DEADLINE = 60.0
SAVED_SECONDS = 2.5
"""After so long a broker that saves each second has saved who listens."""


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise TimeoutError(what)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Callable[..., brokers.Broker]]:
    """Start brokers; they end with the test."""
    started: list[brokers.Broker] = []

    def start(**options: Any) -> brokers.Broker:
        started.append(brokers.Broker(tmp_path / f"broker-{len(started)}", **options))
        return started[-1]

    yield start
    for one in started:
        one.stop(signal.SIGKILL)


@contextlib.contextmanager
def listening(url: str, out: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Capture a topic in a process of its own, from when it is subscribed to until the end of the block."""
    with edgeprof_process("capture", url, "--out", str(out), **environment) as process:
        wait_for(lambda: list(out.glob("*/journal/port-00/*.wire")) or process.poll() is not None, "a subscription")
        assert process.poll() is None, process.communicate()
        yield process


def journal_bytes(out: Path) -> int:
    return sum(path.stat().st_size for path in out.glob("*/journal/port-00/*.wire"))


def wait_for_end(tap: Path, runs: int) -> None:
    """Wait until a board has sent its last run."""
    last = b"a line of text %d\r" % (runs - 1)
    wait_for(lambda: tap.exists() and len(frames_in(tap.read_bytes().partition(last)[2])) == 2, "the last run")


def processes(out: Path, word: str = "") -> dict[int, bytes]:
    """Return the command lines of a capture's processes."""
    found = {int(path.parent.name): _read(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
    return {pid: line for pid, line in found.items() if os.fsencode(out) in line and word.encode() in line}


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def frames_in(data: bytes) -> list[tuple[int, int, int]]:
    splitter = wire.Splitter()
    pieces = [*splitter.feed(data), *splitter.finish()]
    return [(p.frame.boot, p.frame.run, p.frame.seq) for p in pieces if p.frame is not None]


# ---- whole ----


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGTERM, id="terminated", marks=pytest.mark.nightly),
        pytest.param(signal.SIGKILL, id="killed"),
    ],
)
def test_a_broker_restarts_while_a_board_is_bridged(tmp_path, board, broker, number):
    one, tap, out, runs = broker(), tmp_path / "tap", tmp_path / "data", 500
    url = one.url("lab/one")
    source = board("--stream", str(runs), "--wait", "--bytes-per-second", "250000", "--tap", str(tap))
    with listening(url, out) as listener, bridging(source.url, url) as carrier:
        time.sleep(SAVED_SECONDS)
        source.go()
        for away_seconds in (0.0, 0.5):
            time.sleep(1.5)
            # Who listens hangs a while: what the broker has acknowledged meanwhile is nowhere but in its memory.
            readers = list(processes(out, "edgeprof.reader"))
            for pid in readers:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(0.4)
            one.restart(number, away_seconds)
            for pid in readers:
                os.kill(pid, signal.SIGCONT)
            assert len(readers) == 1
        wait_for_end(tap, runs)
        size = tap.stat().st_size if number == signal.SIGTERM else 0
        wait_for(lambda: journal_bytes(out) >= size, f"{size} bytes, not {journal_bytes(out)}")
        carrier.send_signal(signal.SIGTERM)
        said, errors = carrier.communicate(timeout=DEADLINE)
        assert (carrier.returncode, "the broker was lost 2 times" in said) == (0, True), (said, errors)
        wait_for(lambda: len(edgeprof.open(out).runs) == runs, "all runs")
        listener.send_signal(signal.SIGINT)
        assert listener.wait(DEADLINE) == 130
    sent = frames_in(tap.read_bytes())
    assert len(sent) == 6 * runs
    (kept,) = out.glob("*/*/wire-*.zst")
    import pyarrow as pa

    came = frames_in(pa.input_stream(str(kept), compression="zstd").read())
    assert sorted(came) == sorted(sent)
    ds = edgeprof.open(out)
    assert list(ds.runs["passes_received"]) == [120] * runs
    assert set(ds.runs["status"]) == {"ok"}
    assert ds.captures["frames_duplicate"][0] == 0
    assert ds.captures["bytes_discarded"][0] == 0
    assert list(ds.table("events")["kind"]).count("reconnect") == 2
    if number == signal.SIGTERM:
        assert sorted(ds.table("logs")["text"]) == sorted(f"a line of text {i}" for i in range(runs))
    assert verify(out) == []


def test_a_board_publishes_by_itself_while_its_broker_restarts(broker):
    """Thousands of messages of a client that knows nothing of edgeprof's bridge, and a listener that dawdles."""
    import paho.mqtt.client as paho

    one, count = broker(), 4000
    url = one.url("lab/one")
    sent: list[bytes] = []
    fake = FakeBoard(sent.append)
    for _ in range(count):
        fake.frame(wire.Type.HEARTBEAT, in_run=False)
    port = open_mqtt(url)
    time.sleep(SAVED_SECONDS)
    publisher = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="a-board", clean_session=False)
    publisher.reconnect_delay_set(1, 1)
    publisher.connect("127.0.0.1", one.port)
    publisher.loop_start()
    came: list[bytes] = []

    def take_until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE
        while not condition() and time.monotonic() < end:
            came.extend(data for data, _ in port.take(0.05))
            port.acknowledge()

    for i, payload in enumerate(sent):
        publisher.publish("lab/one", payload, qos=1)
        if i % 10 == 0:
            came.extend(data for data, _ in port.take(0.0))
            port.acknowledge()
        if i in (1000, 2500):
            one.restart(signal.SIGTERM)
        if i in (2000, 3500):
            take_until(lambda: port.connected and len(came) > 1500)
    take_until(lambda: len(came) >= count)
    publisher.disconnect()
    publisher.loop_stop()
    assert sorted(came) == sorted(sent)
    assert [kind for kind, *_ in port.happened()] == ["reconnect"] * 2
    port.close()


def test_a_killed_broker_forgets_what_is_published_again(broker):
    one = broker()
    sent: list[bytes] = []
    fake = FakeBoard(sent.append)
    for _ in range(500):
        fake.frame(wire.Type.HEARTBEAT, in_run=False)
    port = open_mqtt(one.url("lab/one"))
    talker = MqttPort(parse(one.url("lab/one")), listen="nothing", speak="lab/one", repeat_seconds=5.0)
    time.sleep(SAVED_SECONDS)
    for payload in sent:
        talker.write(payload)
    while talker.outbox.waiting()[0]:
        talker.take(0.01)
    one.restart(signal.SIGKILL)
    came: list[bytes] = []
    wait_for(
        lambda: (
            talker.take(0.02) or came.extend(d for d, _ in port.take(0.02)) or port.acknowledge() or len(came) == 500
        ),
        "all of them",
    )
    assert came == sent
    assert port.take(0.5) == []
    port.close()
    talker.close()


def test_what_was_not_acknowledged_comes_again(broker):
    one = broker()
    url = one.url("lab/one")
    port = open_mqtt(url)
    talker = MqttPort(parse(url), listen="nothing", speak="lab/one")
    for text in (b"one\n", b"two\n"):
        talker.write(text)
    while talker.outbox.waiting()[0]:
        talker.take(0.05)
    assert [data for data, _ in port.take(5.0)] != []
    one.restart(signal.SIGTERM)
    came: list[bytes] = []
    wait_for(lambda: came.extend(d for d, _ in port.take(0.1)) or len(came) >= 2, "both again")
    port.acknowledge()
    assert came == [b"one\n", b"two\n"]
    one.restart(signal.SIGTERM)
    wait_for(lambda: port.take(0.1) or port.connected, "the connection")
    assert port.take(0.5) == []
    for each in (port, talker):
        each.close()


def test_a_slow_listener_holds_the_broker_back(broker):
    one = broker()
    port = open_mqtt(one.url("lab/one"))
    talker = MqttPort(parse(one.url("lab/one")), listen="nothing", speak="lab/one", spool_bytes=1 << 24)
    for i in range(3000):
        assert talker.write(b"%05d" % i * 200)
    while talker.outbox.waiting()[0]:
        talker.take(0.05)
    # What is not acknowledged bounds what comes, whatever waits at the broker.
    held = port.take(1.0)
    assert 0 < len(held) <= 100 and port.take(0.3) == []
    port.acknowledge()
    while len(held) < 3000 and (more := port.take(5.0)):
        held += more
        port.acknowledge()
    assert [data for data, _ in held] == [b"%05d" % i * 200 for i in range(3000)]
    port.close()
    talker.close()


def test_a_session_ends_with_its_capture(broker):
    one = broker()
    port = open_mqtt(one.url("lab/one"))
    name = port._id
    port.close()
    port.close()
    one.stop()
    assert name in one.log()
    assert name.encode() not in (one.folder / "mosquitto.db").read_bytes()


def test_retained_messages_are_from_before(broker):
    one = broker()
    talker = MqttPort(parse(one.url("lab/one")), listen="nothing", speak="lab/one")
    talker._client.publish("lab/one", b"old\n", qos=1, retain=True)
    talker.take(0.3)
    port = open_mqtt(one.url("lab/one"))
    talker.write(b"new\n")
    talker.take(0.2)
    assert [data for data, _ in port.take(2.0)] == [b"new\n"]
    assert [kind for kind, *_ in port.happened()] == ["retained"]
    port.close()
    talker.close()


# ---- asked and answered ----


def test_a_board_behind_a_bridge_is_asked(tmp_path, board, broker):
    url = broker().url("lab/one")
    with bridging(board().url, url) as carrier:
        jobs = [Generation("p1", "Once upon", 8), Evaluation("eval", "text", list(range(3, 50)), 1)]
        result = capture([Source(url, "far")], tmp_path, jobs)
        carrier.send_signal(signal.SIGINT)
        said, _ = carrier.communicate(timeout=DEADLINE)
    assert (result.failed, result.outcomes["far"].refused) == ({}, [])
    ds = edgeprof.open(tmp_path)
    assert list(ds.runs["status"]) == ["ok", "ok"]
    assert list(ds.runs["passes_received"]) == [11, 45]
    assert carrier.returncode == 0
    assert "5 requests carried" in said


# ---- the bridge's own troubles ----


def run_bridge(port: str, url: str, **options: Any) -> tuple[threading.Thread, threading.Event, list[Traffic]]:
    stop, seen = threading.Event(), list[Traffic]()
    work = threading.Thread(
        target=lambda: seen.append(bridge(port, url, stop=stop, on_progress=seen.append, **options))
    )
    work.start()
    return work, stop, seen


def test_a_spool_that_overflows_is_counted(tmp_path, board, broker):
    one, tap = broker(), tmp_path / "tap"
    source = board("--stream", "100", "--wait", "--bytes-per-second", "400000", "--tap", str(tap))
    work, stop, seen = run_bridge(source.url, one.url("lab/one"), spool_bytes=50_000)
    try:
        wait_for(lambda: seen, "the bridge")
        port = open_mqtt(one.url("lab/one"))
        one.stop()
        source.go()
        wait_for_end(tap, 100)
        wait_for(lambda: seen[-1].read_bytes == tap.stat().st_size, "all bytes")
        assert not seen[-1].broker_here
        assert 0 < seen[-1].waiting_bytes <= 50_000
        one.start()
        came: list[bytes] = []
        wait_for(lambda: came.extend(d for d, _ in port.take(0.1)) or port.acknowledge() or not seen[-1].waiting, "all")
    finally:
        stop.set()
        work.join(DEADLINE)
    # The broker hands on so many at a time, and what is behind the loss is waited for.
    until = time.monotonic() + DEADLINE
    while sum(map(len, came)) < seen[-1].published_bytes and time.monotonic() < until:
        came += [data for data, _ in port.take(0.1)]
        port.acknowledge()
    came += [data for data, _ in port.take(0.5)]  # and nothing comes twice
    port.close()
    total = seen[-1]
    assert total.lost > 0
    assert total.lost_bytes + total.published_bytes == total.read_bytes == tap.stat().st_size
    assert len(b"".join(came)) == total.published_bytes
    assert total.broker_lost == 1


def test_a_bridge_that_cannot_deliver_says_so(tmp_path, board, broker):
    one = broker()
    source = board("--stream", "3", "--wait")
    with bridging(source.url, one.url("lab/one")) as carrier:
        one.stop()
        source.go()
        time.sleep(1.0)
        carrier.send_signal(signal.SIGTERM)
        said, errors = carrier.communicate(timeout=DEADLINE)
    assert carrier.returncode == DeviceError.exit_code
    assert "messages" in errors and "were lost" in errors
    assert said.startswith("published 0 messages")


def test_a_port_that_comes_back_is_bridged_again(tmp_path, board, broker):
    one, link = broker(), tmp_path / "tty"
    first, second = board(), board()
    link.symlink_to(first.url)
    work, stop, seen = run_bridge(str(link), one.url("lab/one"))
    try:
        wait_for(lambda: seen, "the bridge")
        link.unlink()
        first.stop()
        wait_for(lambda: not seen[-1].port_here, "the loss")
        link.symlink_to(second.url)
        wait_for(lambda: seen[-1].port_here, "the return")
        result = capture([Source(one.url("lab/one"), "far")], tmp_path / "data", [Generation("p1", "Once", 8)])
    finally:
        stop.set()
        work.join(DEADLINE)
    assert result.failed == {}
    assert seen[-1].port_lost == 1


# ---- secrets, refusals ----


@pytest.mark.parametrize("place", ["url", "environment"])
def test_a_password_is_nowhere(tmp_path, board, broker, place):
    password = "t0p/s@c:r%t#"
    one = broker(users={"me": password})
    source = board("--stream", "2", "--wait")
    url = one.url("lab/one", login=f"me:{password}@" if place == "url" else "")
    environment = {} if place == "url" else {USERNAME: "me", PASSWORD: password}
    out = tmp_path / "data"
    with listening(url, out, **environment) as listener, bridging(source.url, url, **environment) as carrier:
        source.go()
        wait_for(lambda: len(edgeprof.open(out).runs) == 2, "two runs")
        commands = [line for pid, line in processes(out).items() if pid != listener.pid]
        files = [path.read_bytes() for path in tmp_path.joinpath("data").rglob("*") if path.is_file()]
        one.restart(signal.SIGTERM)
        time.sleep(1.0)
        said = []
        for process, number in ((carrier, signal.SIGTERM), (listener, signal.SIGINT)):
            process.send_signal(number)
            said += process.communicate(timeout=DEADLINE)
    assert (carrier.returncode, listener.returncode) == (0, 130)
    files += [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert len(commands) == 2  # the reader and the sealer
    assert len(files) > 8
    for text in [*files, *commands, *(s.encode() for s in said)]:
        assert password.encode() not in text and b"t0p" not in text
    assert "lab/one" in edgeprof.open(out).captures["transport"][0]


@pytest.mark.parametrize("login", ["", "me:wrong@", "nobody:right@"])
def test_a_broker_that_refuses_who_asks(tmp_path, broker, login):
    one = broker(users={"me": "right"})
    with edgeprof_process("capture", one.url("lab/one", login), "--out", str(tmp_path / "data")) as process:
        _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == DeviceError.exit_code
    assert "refused the user name or the password" in errors and USERNAME in errors
    assert not any(word in errors for word in ("wrong", "right"))
    assert not list(tmp_path.glob("data/capture=*"))


def test_a_topic_that_is_none_is_wrong_use(tmp_path):
    with edgeprof_process("capture", "mqtt://127.0.0.1:1/lab/#", "--out", str(tmp_path / "data")) as process:
        _, errors = process.communicate(timeout=DEADLINE)
    assert (process.returncode, "wildcard" in errors) == (3, True)
    assert not list(tmp_path.glob("data/*"))


@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")  # paho drops what fails
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl (apt-get install openssl)")
def test_tls_and_its_certificates(tmp_path, broker):
    names = (tmp_path / "cert.pem", tmp_path / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test", "-addext",
         "subjectAltName=IP:127.0.0.1", "-out", names[0], "-keyout", names[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    one = broker(tls=names)
    url = one.url("lab/one", scheme="mqtts")
    with pytest.raises(DeviceError, match=r"certificate.*not trusted.*ca=FILE"):
        open_mqtt(url)
    with pytest.raises(DeviceError, match=r"closed the connection|did not answer|cannot be reached"):
        open_mqtt(one.url("lab/one"))
    plain = broker()
    with pytest.raises(DeviceError, match=r"does not speak TLS|cannot be reached"):
        open_mqtt(plain.url("lab/one", scheme="mqtts"))
    port = open_mqtt(f"{url}?ca={names[0]}")
    talker = MqttPort(parse(f"{url}?ca={names[0]}"), listen="nothing", speak="lab/one")
    came: list[bytes] = []
    for i in range(200):
        talker.write(b"%d\n" % i * 100)
    wait_for(
        lambda: (
            talker.take(0.0) or came.extend(d for d, _ in port.take(0.02)) or port.acknowledge() or len(came) == 200
        ),
        "all",
    )
    assert came == [b"%d\n" % i * 100 for i in range(200)]
    port.close()
    talker.close()
