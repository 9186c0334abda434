"""A topic at an MQTT broker as a port: messages come at least once, and leave here exactly once.

QoS 1, MQTT 3.1.1, a session that outlives the connection, and a message that is acknowledged to the broker only when
:meth:`MqttPort.acknowledge` says that it is kept. There is no thread and no queue between the socket and
:meth:`MqttPort.take`: what is not taken is not read, so TCP and the broker wait.
"""

from __future__ import annotations

import contextlib
import secrets
import selectors
import socket
import time
from typing import TYPE_CHECKING, Any

from edgeprof.errors import DeviceError
from edgeprof.mqtt_address import Address, parse
from edgeprof.mqtt_boxes import Inbox, Outbox
from edgeprof.mqtt_client import (
    CONNECT_SECONDS,
    KEEPALIVE_SECONDS,
    NEXT,
    forget_session,
    hidden_bytes,
    new_client,
    refused,
    unreachable,
    wait_for,
)

if TYPE_CHECKING:
    from paho.mqtt.client import Client

__all__ = ["MqttPort", "open_mqtt"]

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
TAKE_BYTES = 1 << 20
WINDOW = 64
"""Messages that were published and not acknowledged yet; the others wait in the spool."""
SPOOL_BYTES = 1 << 20


def open_mqtt(url: str) -> MqttPort:
    """Listen to a board's topic; what is written goes to its topic of requests.

    Parameters
    ----------
    url
        As of :func:`edgeprof.mqtt_address.parse`.

    Raises
    ------
    UsageError
        The URL is wrong, or paho-mqtt is not installed.
    DeviceError
        The broker is not there, or refuses.
    """
    address = parse(url)
    return MqttPort(address, listen=address.topic, speak=address.ask)


class MqttPort:
    """A connection to one broker: ``listen`` is subscribed to, ``speak`` published to.

    It is an :class:`edgeprof.transports.MessagePort`. Only :meth:`write` may be called from another thread.

    Parameters
    ----------
    address
        Broker and credentials.
    listen, speak
        Topics.
    spool_bytes
        How much may wait to be published, or to be acknowledged by the broker.
    repeat_seconds
        As of :class:`edgeprof.mqtt_boxes.Outbox`.
    """

    def __init__(
        self, address: Address, *, listen: str, speak: str, spool_bytes: int = SPOOL_BYTES, repeat_seconds: float = 0.0
    ) -> None:
        self.address, self.listen, self.speak = address, listen, speak
        self.inbox, self.outbox = Inbox(), Outbox(spool_bytes, repeat_seconds)
        self.connected = False
        # 22 characters, which every broker must take; letters and digits only, for the same reason.
        self._id = "edgeprof" + secrets.token_hex(7)
        self._events: list[tuple[str, int, int | None, str]] = []
        self._problem = ""
        self._lost_ns: int | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._retry_at = self._answer_by = 0.0
        self._closed = False
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        try:
            self._client = self._new_client()
            self._begin()
        except BaseException:
            self._wake.close()
            self._woken.close()
            raise

    # -- the port ------------------------------------------------------------------------------------------
    def take(self, seconds: float) -> list[tuple[bytes, int]]:
        """Return the messages that came, with the monotonic time in nanoseconds; wait up to so long for one.

        A connection that was lost is looked for here, for ever; a try may take longer than ``seconds``.
        """
        end = time.monotonic() + seconds
        while self.inbox.bytes < TAKE_BYTES:
            before = len(self.inbox)
            left = max(end - time.monotonic(), 0.0)
            self._advance(0.0 if before else left)
            if len(self.inbox) == before and (before or not left):
                break
        return self.inbox.take()

    def rest(self) -> list[tuple[bytes, int]]:
        """Return what came and was held back behind what it overtook, for nothing is waited for any more."""
        self.inbox.release()
        return self.inbox.take()

    def acknowledge(self) -> None:
        """Acknowledge to the broker what was taken: it is kept now."""
        for number in self.inbox.kept():
            self._client.ack(number, 1)

    def write(self, data: bytes) -> int | None:
        """Have a message published; return its length, or 0 if there is no room for it and it is lost."""
        if not self.outbox.add(data):
            return 0
        with contextlib.suppress(OSError):  # its buffer is full: it wakes already
            self._wake.send(b"\0")
        return len(data)

    def happened(self) -> list[tuple[str, int, int | None, str]]:
        """Return (kind, start, end or None, detail) of what happened to the connection, in monotonic nanoseconds."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Leave the broker, and have it forget the session, which would collect messages for nobody."""
        if self._closed:
            return
        self._closed = True
        if self._lost_ns is not None:
            self._events.append(("disconnected", self._lost_ns, None, f"broker {self.address.broker}: {self._problem}"))
        was_here = self.connected
        self._client.disconnect()
        self._wake.close()
        self._woken.close()
        if was_here:
            forget_session(self.address, self._id)

    # -- one step ------------------------------------------------------------------------------------------
    def _advance(self, seconds: float) -> None:
        """Wait up to so long for the broker, and do what is to be done."""
        now = time.monotonic()
        if self._client.socket() is not None and (self.connected or now < self._answer_by):
            self._turn(seconds)
        elif self.inbox:
            return  # what this connection brought is acknowledged, or given up, before there is another one
        elif now < self._retry_at:
            self._sleep(min(seconds, self._retry_at - now))
        else:
            self.inbox.connection_lost(session=True)
            self._reconnect()

    def _turn(self, seconds: float) -> None:
        client = self._client
        self._publish()
        sock = client.socket()
        if sock is None:
            return
        if hidden_bytes(sock):
            seconds = 0.0
        ready = wait_for({sock: client.want_write(), self._woken: False}, seconds)
        if self._woken in ready:
            self._drain()
        if ready.get(sock, 0) & selectors.EVENT_READ or hidden_bytes(sock):
            client.loop_read()
        if ready.get(sock, 0) & selectors.EVENT_WRITE:
            client.loop_write()
        client.loop_misc()

    def _publish(self) -> None:
        while self.connected and (data := self.outbox.next(WINDOW)) is not None:
            # After a reconnect paho sends it again, in order, until the broker acknowledges it.
            self.outbox.sent(self._client.publish(self.speak, data, qos=1).mid, data)

    def _sleep(self, seconds: float) -> None:
        if wait_for({self._woken: False}, seconds):
            self._drain()
            time.sleep(min(seconds, 0.01))

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)

    # -- connecting ----------------------------------------------------------------------------------------
    def _new_client(self) -> Client:
        client = new_client(self.address, self._id, clean=False)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_message = self._on_subscribe, self._on_message
        client.on_publish = self._on_publish
        return client

    def _begin(self) -> None:
        """Connect for the first time: what fails now fails for the user to see."""
        try:
            self._client.connect(self.address.host, self.address.port, KEEPALIVE_SECONDS)
        except (OSError, ValueError) as error:
            raise DeviceError(f"{unreachable(self.address, error)} {NEXT}") from error
        self._answer_by = time.monotonic() + CONNECT_SECONDS
        while not self.connected and not self._problem and time.monotonic() < self._answer_by:
            self._turn(0.05)
        if not self.connected:
            problem = self._problem or f"did not answer within {CONNECT_SECONDS:g} s. Is it an MQTT broker?"
            self._client.disconnect()
            raise DeviceError(f"The broker {self.address.broker} {problem}")

    def _reconnect(self) -> None:
        now = time.monotonic()
        self._answer_by, self._retry_at = now + CONNECT_SECONDS, now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        try:
            self._client.reconnect()
        except (OSError, ValueError) as error:
            self._problem = unreachable(self.address, error)

    # -- what paho calls -------------------------------------------------------------------------------------
    def _on_connect(self, client: Client, _: Any, flags: Any, reason: Any, __: Any) -> None:
        if reason.is_failure:
            self._problem = refused(reason)
            return
        if not flags.session_present:
            self.inbox.connection_lost(session=False)
            client.subscribe(self.listen, qos=1)
        if self._lost_ns is not None:
            # Before what paho sends again, which comes behind it.
            for payload in self.outbox.repeats(self._lost_ns / 1e9):
                self.outbox.sent(client.publish(self.speak, payload, qos=1).mid, payload, again=True)
        if flags.session_present:
            self._here("")

    def _on_subscribe(self, _: Client, __: Any, ___: int, reasons: list[Any], ____: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._problem = (
                f"gives this user no permission to read {self.listen!r}. Have it allowed, or name another user."
            )
            return
        self._here("; it had forgotten the session, and what was published meanwhile")

    def _here(self, more: str) -> None:
        """Note that messages come from now on."""
        self.connected, self._pause, self._problem = True, FIRST_PAUSE_SECONDS, ""
        if self._lost_ns is not None:
            now = time.monotonic_ns()
            seconds = (now - self._lost_ns) / 1e9
            detail = f"broker {self.address.broker} away for {seconds:.1f} s{more}"
            self._events.append(("reconnect", self._lost_ns, now, detail))
            self._lost_ns = None
            self.inbox.back()

    def _on_disconnect(self, _: Client, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        if self.connected:
            self._lost_ns, self._retry_at = time.monotonic_ns(), time.monotonic() + self._pause
        self.connected = False
        self.inbox.away()
        self._problem = self._problem or f"closed the connection ({reason})."

    def _on_message(self, client: Client, _: Any, message: Any) -> None:
        if message.retain:
            self._events.append(("retained", time.monotonic_ns(), None, "a retained message, from before, is left out"))
            client.ack(message.mid, message.qos)
            return
        if self.inbox.add(message.payload, message.mid, dup=message.dup, qos=message.qos):
            client.ack(message.mid, message.qos)

    def _on_publish(self, _: Client, __: Any, mid: int, ___: Any, ____: Any) -> None:
        self.outbox.acknowledged(mid)
