"""A real MQTT broker for tests: mosquitto with its own configuration, on a free port of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

DEADLINE_SECONDS = 20.0


def mosquitto(name: str = "mosquitto") -> str | None:
    """Return where a program of mosquitto's is; Debian has the broker where only root looks."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")


def require() -> None:
    """Skip the tests of a module where broker or client are missing."""
    pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt (pip install 'edgeprof[mqtt]')")
    if mosquitto() is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)", allow_module_level=True)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Broker:
    """A broker that keeps sessions and messages on disk, so that it can be killed and started again.

    With ``users`` (name to password) nobody else gets in; ``tls`` is a pair of files, certificate and key.
    """

    def __init__(self, folder: Path, *, users: dict[str, str] | None = None, tls: tuple[Path, Path] | None = None):
        self.folder, self.port, self.process = folder, free_port(), None
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {folder}/",
            "autosave_interval 1", "max_queued_messages 0",
            f"allow_anonymous {'false' if users else 'true'}",
        ]  # fmt: skip
        if users:
            passwords = folder / "passwords"
            passwords.touch(mode=0o600)
            for name, password in users.items():
                command = [str(mosquitto("mosquitto_passwd")), "-b", str(passwords), name, password]
                subprocess.run(command, check=True, capture_output=True)
            passwords.chmod(0o644)  # a broker that root starts reads it as another user
            lines.append(f"password_file {passwords}")
        if tls:
            lines += [f"certfile {tls[0]}", f"keyfile {tls[1]}"]
        if _starts_as_root():
            lines.append("user root")  # else it could not write into a test's folder
        self.config = folder / "mosquitto.conf"
        self.config.write_text("\n".join(lines) + "\n")
        self.start()

    def url(self, topic: str, login: str = "", scheme: str = "mqtt") -> str:
        return f"{scheme}://{login}127.0.0.1:{self.port}/{topic}"

    def start(self) -> None:
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen([str(mosquitto()), "-c", str(self.config)], stdout=log, stderr=log)
        end = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log()
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
                return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError(self.log())

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(DEADLINE_SECONDS)
            self.process = None

    def restart(self, number: int, away_seconds: float = 0.0) -> None:
        self.stop(number)
        time.sleep(away_seconds)
        self.start()

    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text(errors="replace")


def _starts_as_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


@contextlib.contextmanager
def edgeprof_process(*words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeprof", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=DEADLINE_SECONDS)


@contextlib.contextmanager
def bridging(port: str, url: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with edgeprof_process("bridge", port, url, **environment) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("edgeprof bridge: ")
        yield process
