"""Making a client of paho-mqtt's, and saying in words why a broker was not reached or refused."""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeprof.errors import UsageError
from edgeprof.mqtt_address import PASSWORD, USERNAME, Address

if TYPE_CHECKING:
    from paho.mqtt.client import Client

__all__ = [
    "CONNECT_SECONDS",
    "KEEPALIVE_SECONDS",
    "NEXT",
    "forget_session",
    "hidden_bytes",
    "new_client",
    "paho_client",
    "refused",
    "unreachable",
    "wait_for",
]

CONNECT_SECONDS = 5.0
"""So long a broker may take to accept a connection, and again to answer it."""
KEEPALIVE_SECONDS = 20
FORGET_SECONDS = 1.0
NEXT = "Is the broker running, and are its host and port right? A board on a cable needs none."
_LOGIN = "refused the user name or the password, or wants them and got none"
_REFUSED = {
    132: "does not speak MQTT 3.1.1",
    133: "takes no client id of edgeprof's",
    134: _LOGIN,
    135: _LOGIN,
    136: "says that it is unavailable. Try again later",
}


def paho_client() -> Any:
    """Return the module ``paho.mqtt.client``.

    Raises
    ------
    UsageError
        It is not installed, or too old.
    """
    try:
        from paho.mqtt import client
        from paho.mqtt.enums import CallbackAPIVersion  # noqa: F401 - version 1 has no such module
    except ImportError as error:
        raise UsageError("MQTT needs paho-mqtt 2, which is not here: pip install 'edgeprof[mqtt]'.") from error
    return client


def new_client(address: Address, client_id: str, *, clean: bool) -> Client:
    """Return a client that is not connected yet.

    Parameters
    ----------
    address
        Broker and credentials.
    client_id
        The name of its session at the broker.
    clean
        Whether the session ends with the connection, and one of this name is forgotten.

    Raises
    ------
    UsageError
        paho-mqtt is missing, or the file of certificates holds none.
    """
    paho = paho_client()
    client: Client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean, protocol=paho.MQTTv311,
        reconnect_on_failure=False, manual_ack=True,
    )  # fmt: skip
    client.connect_timeout = CONNECT_SECONDS
    client.max_inflight_messages = 0  # how many may be under way is up to whoever publishes
    if address.username is not None:
        client.username_pw_set(address.username, address.password)
    if address.tls:
        try:
            client.tls_set(ca_certs=address.ca)
        except OSError as error:
            raise UsageError(f"{address.ca} holds no certificate that can be read ({error.strerror}).") from error
    return client


def forget_session(address: Address, client_id: str) -> None:
    """Have a broker forget a session, by connecting once more under its name without one; it may fail."""
    client = new_client(address, client_id, clean=True)
    with contextlib.suppress(OSError, ValueError):
        client.connect(address.host, address.port, KEEPALIVE_SECONDS)
        end = time.monotonic() + FORGET_SECONDS
        while not client.is_connected() and time.monotonic() < end and (sock := client.socket()) is not None:
            if hidden_bytes(sock) or wait_for({sock: False}, 0.05):
                client.loop_read()
    client.disconnect()


def wait_for(sockets: Mapping[Any, bool], seconds: float) -> dict[Any, int]:
    """Wait until a socket can be read, or written where that is asked; return what each is ready for."""
    with selectors.DefaultSelector() as selector:
        for sock, writing in sockets.items():
            selector.register(sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0))
        return {key.fileobj: events for key, events in selector.select(max(seconds, 0.0))}


def hidden_bytes(sock: Any) -> int:
    """Return how many bytes TLS has decrypted that a selector does not know of."""
    return int(sock.pending()) if hasattr(sock, "pending") else 0


def refused(reason: Any) -> str:
    """Return, as the end of a sentence about the broker, why it refused a connection, and what to do."""
    said = _REFUSED.get(reason.value, f"refused: {reason}")
    return f"{said}." + (
        f" Give them in the URL, or in the environment as {USERNAME} and {PASSWORD}." if said is _LOGIN else ""
    )


def unreachable(address: Address, error: Exception) -> str:
    """Return in words why no connection came about."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"The certificate of {address.broker} is not trusted ({error.verify_message}): name the one that it is "
            "signed with, mqtts://…?ca=FILE."
        )
    if isinstance(error, ssl.SSLError):
        return f"The broker {address.broker} does not speak TLS ({error.reason}): is mqtt:// meant?"
    return f"The broker {address.broker} cannot be reached ({getattr(error, 'strerror', None) or error})."
