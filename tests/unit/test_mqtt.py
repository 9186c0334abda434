"""MQTT apart from any broker: URLs and their secrets, how a stream is cut, what is handed on once."""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import quote

import pytest
from fakeboard import FakeBoard
from hypothesis import given
from hypothesis import strategies as st

from edgeprof import mqtt_client, mqtt_order, wire
from edgeprof.bridge import MAX_PAYLOAD_BYTES, TEXT_SECONDS, Cutter, bridge
from edgeprof.errors import DeviceError, UsageError
from edgeprof.mqtt import open_mqtt
from edgeprof.mqtt_address import PASSWORD, USERNAME, parse
from edgeprof.mqtt_boxes import REPEAT_BYTES, Inbox, Outbox, holds_frame
from edgeprof.transports import PortSettings, open_port, redact

secret = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
nasty = st.text("/@:%#?&=[]. a\n", min_size=1, max_size=30)
topic = st.lists(st.text("abcXYZ019-_. ü", min_size=1, max_size=8), min_size=1, max_size=4).map("/".join)


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch):
    monkeypatch.delenv(USERNAME, raising=False)
    monkeypatch.delenv(PASSWORD, raising=False)


# ---- URLs ----


@given(st.sampled_from(["mqtt", "mqtts", "rfc2217", "socket"]), secret, secret | nasty, topic, st.booleans())
def test_redacting_leaves_nothing_of_a_login(scheme, user, password, path, quoted):
    if quoted:
        user, password = quote(user, safe=""), quote(password, safe="")
    url = f"{scheme}://{user}:{password}@broker:1883/{path}"
    assert redact(url) == f"{scheme}://***@broker:1883/{path}"
    assert redact(f"{scheme}://broker:1883/{path}") == f"{scheme}://broker:1883/{path}"


@given(secret.filter(lambda s: not s.isspace()), secret | nasty, topic)
def test_a_quoted_login_is_understood(user, password, path):
    found = parse(f"mqtt://{quote(user, safe='')}:{quote(password, safe='')}@broker/{quote(path)}")
    assert (found.username, found.password, found.topic) == (user, password, path)
    assert password not in repr(found) or password in repr(parse(f"mqtt://broker/{quote(path)}"))


@given(nasty.map(lambda s: s.replace("%", "")).filter(bool))
def test_a_login_may_be_written_as_it_is(password):
    found = parse(f"mqtt://me:{password}@broker:18/lab/one")
    assert (found.username, found.password) == ("me", password)
    assert (found.host, found.port, found.topic) == ("broker", 18, "lab/one")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://broker/lab", ("broker", 1883, "lab", False)),
        ("mqtts://broker/lab/one", ("broker", 8883, "lab/one", True)),
        ("mqtt://[::1]:7/a%20b", ("::1", 7, "a b", False)),
        ("mqtt://192.0.2.7//root", ("192.0.2.7", 1883, "/root", False)),
        ("mqtt://broker/mail%40lab", ("broker", 1883, "mail@lab", False)),
    ],
)
def test_what_a_url_names(url, expected):
    found = parse(url)
    assert (found.host, found.port, found.topic, found.tls) == expected
    assert found.ask == found.topic + "/ask"


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("broker", "names no topic"), ("broker/", "names no topic"), ("broker//", "names no topic"),
        ("broker/lab/#", "wildcard.*each topic as a URL of its own"), ("broker/+/one", "wildcard"),
        ("broker/lab%23", "wildcard"), ("broker/$SYS/x", "the broker's own"), ("broker/a%00b", "zero byte"),
        ("broker/%FF", "not UTF-8"), ("/topic", "names no broker"), ("broker:0/t", "names no broker"),
        ("broker:99999/t", "names no broker"), ("broker:x/t", "names no broker"), ("[::1/t", "names no broker"),
        ("broker/t?ca=x.pem", "for TLS"), ("broker/t?cafile=x", "mean 'ca'"), ("broker/" + "x" * 65535, "65,535"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("login", ["", "me:t0p/s@cr:t@"])
def test_what_is_no_topic_is_refused_without_saying_the_password(rest, message, login):
    with pytest.raises(UsageError, match=message) as caught:
        parse(f"mqtt://{login}{rest}")
    assert "s@cr" not in str(caught.value) and "t0p" not in str(caught.value)


def test_certificates_are_looked_for_at_once(tmp_path):
    with pytest.raises(UsageError, match="There is no file"):
        parse(f"mqtts://broker/t?ca={tmp_path}/ca.pem")
    (tmp_path / "ca.pem").write_text("none")
    assert parse(f"mqtts://broker/t?ca={tmp_path}/ca.pem").ca == f"{tmp_path}/ca.pem"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://broker/t", ("env", "s3cret")), ("mqtt://env@broker/t", ("env", "s3cret")),
        ("mqtt://you@broker/t", ("you", None)), ("mqtt://you:x@broker/t", ("you", "x")),
        ("mqtt://env:@broker/t", ("env", "")),
    ],
)  # fmt: skip
def test_credentials_of_the_environment(monkeypatch, url, expected):
    monkeypatch.setenv(USERNAME, "env")
    monkeypatch.setenv(PASSWORD, "s3cret")
    assert (parse(url).username, parse(url).password) == expected


def test_a_password_needs_a_user(monkeypatch):
    with pytest.raises(UsageError, match="without a user name"):
        parse("mqtt://:x@broker/t")
    monkeypatch.setenv(PASSWORD, "s3cret")
    assert parse("mqtt://you@broker/t").password == "s3cret"
    with pytest.raises(UsageError, match=USERNAME):
        parse("mqtt://broker/t")


@pytest.mark.parametrize(
    "url", ["nonsense://me:hunter2@x", "socket://me:hunter2@127.0.0.1:1", "rfc2217://me:hunter2@x"]
)
def test_a_port_that_cannot_be_opened_says_no_password(url):
    with pytest.raises(DeviceError) as caught:
        open_port(url, PortSettings())
    assert "hunter2" not in str(caught.value)


# ---- cutting ----


def board_stream() -> tuple[bytes, list[bytes]]:
    sent: list[bytes] = []
    board = FakeBoard(sent.append)
    board.hello()
    sent.append(b"a line\r\n")
    board.generate("p", 4, 8)
    sent.append(b"without an end")
    board.reply(1)
    return b"".join(sent), sent


@given(st.binary(max_size=3000) | st.just(board_stream()[0]), st.lists(st.integers(0, 400), max_size=30), st.booleans())
def test_cutting_changes_no_byte(stream, sizes, slow):
    cutter, payloads, at, now = Cutter(), [], 0, 0.0
    for size in [*sizes, len(stream)]:
        payloads += cutter.feed(stream[at : at + size], now)
        at, now = at + size, now + (2.0 if slow else 0.0)
    payloads += cutter.finish()
    assert b"".join(payloads) == stream
    assert all(0 < len(p) <= MAX_PAYLOAD_BYTES for p in payloads)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200))
def test_a_payload_holds_whole_frames(sizes):
    stream, sent = board_stream()
    cutter, payloads, at = Cutter(), [], 0
    for size in [*sizes, len(stream)]:
        payloads += cutter.feed(stream[at : at + size], 0.0)
        at += size
    frames = [f for f in sent if f[0] == 0]
    assert [p for p in payloads if p[0] != 0] == [b"a line\r\n", b"without an end"]
    ends = {sum(map(len, frames[: i + 1])) for i in range(len(frames))}
    at = 0
    for payload in (p for p in payloads if p[0] == 0):
        at += len(payload)
        assert at in ends


def test_text_waits_for_its_end_but_not_long():
    cutter = Cutter()
    assert cutter.feed(b"one\ntwo", 10.0) == [b"one\n"]
    assert cutter.feed(b"", 10.0 + TEXT_SECONDS / 2) == []
    assert cutter.feed(b"", 10.0 + TEXT_SECONDS) == [b"two"]


def test_half_a_frame_waits_longer_than_text():
    stream, _ = board_stream()
    cutter = Cutter()
    assert cutter.feed(stream[:20], 10.0) == []
    assert cutter.feed(b"", 10.0 + 2 * TEXT_SECONDS) == []
    assert cutter.feed(b"", 12.0) == [stream[:20]]


def test_noise_needs_no_memory():
    cutter, out = Cutter(), 0
    for _ in range(100):
        out += sum(map(len, cutter.feed(b"x" * 10_000, 0.0)))
        assert len(cutter._rest) <= 2 * wire.MAX_ENCODED
    assert out + len(cutter._rest) == 1_000_000
    assert max(map(len, Cutter().feed(b"\0" * 200_000 + b"x", 0.0))) <= MAX_PAYLOAD_BYTES


# ---- once, and not lost ----


def frames(count: int) -> list[bytes]:
    return [wire.encode_frame(wire.Type.HEARTBEAT, boot=7, seq=i, t0=i) for i in range(1, count + 1)]


def payloads_of(inbox: Inbox) -> list[bytes]:
    return [payload for payload, _ in inbox.take()]


def test_only_a_board_s_frames_are_known_by_their_bytes():
    assert holds_frame(frames(1)[0]) and holds_frame(b"".join(frames(3)))
    assert not holds_frame(wire.hello_request(7))
    assert not any(
        map(holds_frame, [b"", b"\0", b"\0\0", b"text\n", b"\0text\0", frames(1)[0][:-1], b"x" + frames(1)[0]])
    )


def test_a_frame_is_handed_on_once_however_it_comes_again():
    inbox, (one, two) = Inbox(), frames(2)
    assert not inbox.add(one, 1, dup=False, qos=1)
    assert not inbox.add(one, 2, dup=False, qos=1)  # not kept yet: acknowledged together with the first
    assert payloads_of(inbox) == [one]
    assert inbox.kept() == [1, 2]
    assert inbox.add(one, 3, dup=False, qos=1)
    assert not inbox.add(two, 3, dup=True, qos=1)
    assert payloads_of(inbox) == [two]


@pytest.mark.parametrize("payload", [b"ok\n", wire.hello_request(7)])
def test_what_may_be_said_twice_is_known_by_its_number(payload):
    inbox = Inbox()
    assert not inbox.add(payload, 1, dup=False, qos=1)
    assert not inbox.add(payload, 2, dup=False, qos=1)
    assert payloads_of(inbox) == [payload] * 2
    assert inbox.kept() == [1, 2]
    assert inbox.add(payload, 2, dup=True, qos=1)
    assert not inbox.add(payload, 3, dup=True, qos=1)  # sent before, and never came
    assert not inbox.add(payload, 1, dup=False, qos=1)  # numbers are used again
    assert payloads_of(inbox) == [payload] * 2


def test_what_was_not_kept_is_taken_again():
    inbox, (one,) = Inbox(), frames(1)
    inbox.add(one, 1, dup=False, qos=1)
    assert payloads_of(inbox) == [one]
    inbox.connection_lost(session=True)
    assert inbox.kept() == []
    assert not inbox.add(one, 1, dup=True, qos=1)
    assert payloads_of(inbox) == [one]


def test_a_new_session_numbers_anew():
    inbox = Inbox()
    inbox.add(b"ok\n", 1, dup=False, qos=1)
    inbox.kept()
    inbox.connection_lost(session=False)
    assert not inbox.add(b"ok\n", 1, dup=True, qos=1)
    assert len(payloads_of(inbox)) == 2


def test_unconfirmed_messages_are_not_acknowledged():
    inbox, (one,) = Inbox(), frames(1)
    assert not inbox.add(one, 0, dup=False, qos=0)
    assert inbox.kept() == []
    assert not inbox.add(one, 0, dup=False, qos=0)
    assert payloads_of(inbox) == [one]


def test_an_outbox_counts_and_has_an_end():
    box = Outbox(10)
    assert box.add(b"12345") and box.add(b"67890") and not box.add(b"x")
    assert box.next(1) == b"12345"
    box.sent(1, b"12345")
    assert box.next(1) is None
    assert box.waiting() == (2, 10)
    box.acknowledged(1)
    assert (box.waiting(), box.done, box.done_bytes) == ((1, 5), 1, 5)
    assert box.add(b"12345") and box.next(1) == b"67890"
    box.acknowledged(99)  # of another connection
    assert box.done == 1


def test_what_a_broker_may_have_forgotten_is_repeated_in_order():
    box, sent = Outbox(1 << 20, repeat_seconds=5.0), [*frames(3), b"a line\n"]
    for number, payload in enumerate(sent):
        box.add(payload)
        box.sent(number, box.next(10) or b"")
        box.acknowledged(number)
    now = time.monotonic()
    assert Outbox.repeats(box, now + 100) == []  # long ago
    for number, payload in enumerate(sent):
        box.sent(number, payload, again=True)
        box.acknowledged(number)
    assert box.repeats(now) == sent
    assert box.repeats(now) == []
    assert (box.done, box.waiting()) == (4, (0, 0))
    off = Outbox(1 << 20)
    off.sent(1, sent[0])
    off.acknowledged(1)
    assert off.repeats(now) == []


def test_what_is_repeated_has_an_end():
    box, payload = Outbox(1 << 30, repeat_seconds=5.0), b"".join(frames(1000))
    for number in range(REPEAT_BYTES // len(payload) + 10):
        box.sent(number, payload)
        box.acknowledged(number)
    assert sum(map(len, box.repeats(time.monotonic()))) <= REPEAT_BYTES


# ---- brokers that are not as they should be ----


def test_without_paho(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "paho.mqtt.enums", None)
    with pytest.raises(UsageError, match=r"pip install 'edgeprof\[mqtt\]'"):
        open_mqtt("mqtt://127.0.0.1:1/t")


@pytest.fixture
def broker():
    """Answer one client with what a test says, packet by packet."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def start(*answers: bytes | None) -> str:
        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    connection.recv(4096)
                    if answer is None:
                        return
                    connection.sendall(answer)
                connection.recv(4096)

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return f"mqtt://me:hunter2@127.0.0.1:{listener.getsockname()[1]}/lab/one"

    yield start
    listener.close()
    for thread in threads:
        thread.join(5)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([b"\x20\x02\x00\x04"], f"refused the user name or the password.*{USERNAME}"),
        ([b"\x20\x02\x00\x05"], f"refused the user name or the password.*{USERNAME}"),
        ([b"\x20\x02\x00\x03"], "unavailable. Try again later"),
        ([b"\x20\x02\x00\x02"], "client id"),
        ([b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x80"], "no permission to read 'lab/one'"),
        ([None], "closed the connection"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n", None], "closed the connection|did not answer"),
        ([b""], "did not answer within 0.5 s. Is it an MQTT broker"),
    ],
)
def test_a_broker_that_refuses(broker, answers, message, monkeypatch):
    pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt (pip install 'edgeprof[mqtt]')")
    monkeypatch.setattr("edgeprof.mqtt.CONNECT_SECONDS", 0.5)
    with pytest.raises(DeviceError, match=message) as caught:
        open_mqtt(broker(*answers))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("host", "message"), [("127.0.0.1", "Connection refused"), ("nobody.invalid", "cannot be")])
def test_a_broker_that_is_not_there(host, message):
    pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt (pip install 'edgeprof[mqtt]')")
    with pytest.raises(DeviceError, match=f"{message}.*Is the broker running"):
        open_mqtt(f"mqtt://{host}:1/t")


def test_a_bridge_wants_a_serial_port():
    with pytest.raises(UsageError, match="is none"):
        bridge("replay:x", "mqtt://127.0.0.1:1/t", stop=threading.Event())
    with pytest.raises(DeviceError, match="no port /dev/ttyNOTHING"):
        bridge("/dev/ttyNOTHING", "mqtt://127.0.0.1:1/t", stop=threading.Event())


def test_certificates_that_are_none(tmp_path):
    pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt (pip install 'edgeprof[mqtt]')")
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(UsageError, match="holds no certificate"):
        mqtt_client.new_client(parse(f"mqtts://broker/t?ca={tmp_path}/ca.pem"), "x", clean=True)


# ---- in order, after an outage ----


def after_an_outage(*before: bytes) -> Inbox:
    inbox = Inbox()
    for number, payload in enumerate(before, 1):
        inbox.add(payload, number, dup=False, qos=1)
    inbox.take()
    inbox.kept()
    inbox.back()
    return inbox


def test_what_overtook_others_is_held_back_and_not_acknowledged():
    sent = frames(5)
    inbox = after_an_outage(sent[0])
    inbox.add(sent[4], 20, dup=False, qos=1)
    inbox.add(sent[4], 21, dup=True, qos=1)  # a second copy, before the first one is kept
    inbox.add(b"text\n", 22, dup=False, qos=1)
    assert (payloads_of(inbox), inbox.kept()) == ([b"text\n"], [22])
    inbox.add(sent[1] + sent[2], 23, dup=False, qos=1)
    assert (payloads_of(inbox), inbox.kept()) == ([sent[1] + sent[2]], [23])
    inbox.add(sent[3], 24, dup=False, qos=1)
    assert (payloads_of(inbox), inbox.kept()) == (sent[3:], [24, 20, 21])


def test_what_does_not_come_is_not_waited_for_for_long(monkeypatch):
    sent = frames(30)
    inbox = after_an_outage(sent[0])
    inbox.add(sent[3], 1, dup=False, qos=1)
    inbox.add(sent[2], 2, dup=False, qos=1)
    assert payloads_of(inbox) == []
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + mqtt_order.WAIT_SECONDS + 0.1)
    assert (payloads_of(inbox), inbox.kept()) == (sent[2:4], [2, 1])
    monkeypatch.undo()
    inbox.add(sent[4], 3, dup=False, qos=1)  # the row goes on behind the gap
    inbox.add(sent[1], 4, dup=False, qos=1)  # what is very late is taken as it comes
    assert payloads_of(inbox) == [sent[4], sent[1]]
    for number, payload in enumerate(sent[6:22], 5):  # and a broker's window is never full of what is held back
        inbox.add(payload, number, dup=False, qos=1)
    assert payloads_of(inbox) == sent[6:22]


def test_what_is_held_back_waits_for_the_next_connection(monkeypatch):
    sent = frames(3)
    inbox = after_an_outage(sent[0])
    inbox.add(sent[2], 1, dup=False, qos=1)
    inbox.away()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    assert payloads_of(inbox) == []
    inbox.connection_lost(session=True)
    inbox.back()
    assert payloads_of(inbox) == []
    inbox.add(sent[2], 7, dup=True, qos=1)  # overtakes again
    inbox.add(sent[1], 8, dup=True, qos=1)
    assert (payloads_of(inbox), sorted(inbox.kept())) == (sent[1:], [7, 8])


def test_at_the_end_nothing_is_waited_for():
    sent = frames(4)
    inbox = after_an_outage(sent[0])
    for number in (3, 2):
        inbox.add(sent[number], number, dup=False, qos=1)
    inbox.release()
    assert (payloads_of(inbox), sorted(inbox.kept())) == (sent[2:], [2, 3])


def test_without_a_session_nothing_is_waited_for():
    sent = frames(3)
    inbox = after_an_outage(sent[0])
    inbox.add(sent[2], 1, dup=False, qos=1)
    inbox.away()
    inbox.connection_lost(session=False)
    assert (payloads_of(inbox), inbox.kept()) == ([sent[2]], [])


def test_a_board_that_restarted_is_not_waited_for():
    inbox = after_an_outage(*frames(3))
    other = [wire.encode_frame(wire.Type.HEARTBEAT, boot=8, seq=i, t0=i) for i in range(2)]
    for number, payload in enumerate(other):
        inbox.add(payload, number, dup=False, qos=1)
    assert payloads_of(inbox) == other


def test_without_an_outage_everything_is_handed_on_as_it_comes():
    sent, inbox = frames(4), Inbox()
    for number in (0, 3, 2, 1):
        inbox.add(sent[number], number, dup=False, qos=1)
    assert payloads_of(inbox) == [sent[n] for n in (0, 3, 2, 1)]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.data())
def test_messages_that_single_ones_overtook_come_in_order(sizes, data):
    sent, payloads = frames(sum(sizes) + 1), []
    for size in sizes:
        at = 1 + sum(len(p) for p in payloads)
        payloads.append(sent[at : at + size])
    arrived = list(payloads)
    for _ in range(data.draw(st.integers(0, 4))):
        taken = arrived.pop(data.draw(st.integers(0, len(arrived) - 1)))
        arrived.insert(data.draw(st.integers(0, len(arrived))), taken)
    inbox = after_an_outage(sent[0])
    for number, payload in enumerate(arrived):
        inbox.add(b"".join(payload), number, dup=False, qos=1)
    assert payloads_of(inbox) == [b"".join(p) for p in payloads]
    assert sorted(inbox.kept()) == list(range(len(payloads)))
