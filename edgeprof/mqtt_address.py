"""What an MQTT URL names: broker, topic, and who is asking. Passwords stay in here and in the client.

``mqtt://[user[:password]@]host[:port]/topic``, or ``mqtts://`` for TLS with ``?ca=FILE`` where the broker's
certificate is not one that the system trusts. Credentials may come from the environment instead.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from edgeprof.errors import UsageError, unknown_name
from edgeprof.transports import redact

__all__ = ["PASSWORD", "SCHEMES", "USERNAME", "Address", "parse"]

SCHEMES = {"mqtt": 1883, "mqtts": 8883}
"""Scheme to the port that is meant where none is given."""
USERNAME, PASSWORD = "EDGEPROF_MQTT_USERNAME", "EDGEPROF_MQTT_PASSWORD"
ASK = "/ask"
MAX_TOPIC_BYTES = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """A topic at a broker. Its text and its ``repr`` hold no credentials."""

    host: str
    port: int
    topic: str
    tls: bool = False
    ca: str | None = None
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def broker(self) -> str:
        """The broker in words."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def ask(self) -> str:
        """The topic of requests to the board."""
        return self.topic + ASK


def parse(url: str) -> Address:
    """Return what an MQTT URL names, with the credentials of the environment where it has none.

    Parameters
    ----------
    url
        Everything before its last ``@`` is user and password, so that a password may hold any character, as it is or
        percent-encoded; behind it an ``@`` must be written ``%40``.

    Raises
    ------
    UsageError
        It is no such URL, or no topic that can be published to; the message holds no credentials.
    """
    name = redact(url)
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES:
        raise UsageError(f"{name!r} is no MQTT URL: write mqtt://[user@]host[:port]/topic, or mqtts:// for TLS.")
    login, _, place = rest.rpartition("@")
    where, slash, topic = place.partition("/")
    topic, _, query = topic.partition("?")
    host, port = _host(where, SCHEMES[scheme], name)
    username, password = _credentials(login, name)
    ca = _options(query, scheme, name)
    return Address(host, port, _topic(topic if slash else "", name), scheme == "mqtts", ca, username, password)


def _host(where: str, default: int, name: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{where}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or port == 0:
        raise UsageError(
            f"{name!r} names no broker: write mqtt://[user@]host[:port]/topic. A / in front of the host belongs to a "
            "password only if an @ follows it, and an @ in the topic or in a file's name is written %40."
        )
    return host, port or default


def _credentials(login: str, name: str) -> tuple[str | None, str | None]:
    user, colon, secret = login.partition(":")
    username, password = unquote(user) or None, unquote(secret) if colon else None
    known = os.environ.get(USERNAME) or None
    if username is None:
        username = known
    if password is None and username == (known or username):
        # Somebody else's password is not tried for the user whom the URL names.
        password = os.environ.get(PASSWORD) or None
    if password is not None and username is None:
        raise UsageError(f"{name} has a password without a user name: write mqtt://user@host/topic or set {USERNAME}.")
    return username, password


def _options(query: str, scheme: str, name: str) -> str | None:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for key in options:
        if key != "ca":
            raise unknown_name("option of an MQTT URL", key, ["ca"], "A ? in a topic is written %3F.")
    ca = options.get("ca")
    if ca is None:
        return None
    if scheme != "mqtts":
        raise UsageError(f"{name} has ?ca=, which is for TLS: write mqtts:// instead of mqtt://.")
    if not Path(ca).is_file():
        raise UsageError(f"There is no file {ca!r}: ?ca= names the certificate (PEM) that the broker's is signed with.")
    return ca


def _topic(quoted: str, name: str) -> str:
    hint = "A topic is a path of names, such as lab/board1."
    try:
        topic = unquote(quoted, errors="strict")
    except UnicodeDecodeError as error:
        raise UsageError(f"The topic of {name} is not UTF-8. {hint}") from error
    if not topic.strip("/"):
        raise UsageError(f"{name} names no topic. {hint}")
    if "#" in topic or "+" in topic:
        raise UsageError(
            f"The topic {topic!r} has a wildcard (# or +), but one port is one board: several boards in one stream "
            "cannot be told apart. Give each topic as a URL of its own; they go into one capture."
        )
    if topic.startswith("$"):
        raise UsageError(f"The topic {topic!r} begins with $, and such topics are the broker's own. {hint}")
    if "\0" in topic or len((topic + ASK).encode()) > MAX_TOPIC_BYTES:
        raise UsageError(f"MQTT has no topic with a zero byte, or of more than {MAX_TOPIC_BYTES:,} bytes. {hint}")
    return topic
