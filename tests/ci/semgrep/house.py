import datetime
import logging
import sys
import tempfile
import warnings
from pathlib import Path

log = logging.getLogger(__name__)


def said(password: str, auth_token: str, tokens: int) -> None:
    # ruleid: secret-said
    log.info("connecting with %s", password)
    # ruleid: secret-said
    log.debug(f"token {auth_token}")
    # ruleid: secret-said
    warnings.warn(f"{password} was refused", stacklevel=2)
    # ruleid: secret-said, library-prints
    print(password)
    # ok: secret-said
    log.info("%d tokens", tokens)
    # ok: secret-said
    log.info("connecting with a password")


def printed(text: str) -> str:
    # ruleid: library-prints
    print(text)
    # ruleid: library-prints
    sys.stdout.write(text)
    # ok: library-prints
    return text


def written(path: Path, text: str) -> None:
    # ruleid: text-in-whatever-encoding
    path.write_text(text)
    # ruleid: text-in-whatever-encoding
    path.read_text()
    # ruleid: text-in-whatever-encoding
    open(path, "w").write(text)
    # ruleid: text-in-whatever-encoding
    path.open("a").write(text)
    # ok: text-in-whatever-encoding
    path.write_text(text, encoding="utf-8")
    # ok: text-in-whatever-encoding
    path.open("wb").write(text.encode())
    # ok: text-in-whatever-encoding
    open(path, "w", encoding="utf-8").write(text)
    # ruleid: name-of-a-file-to-be
    tempfile.mktemp()
    # ok: name-of-a-file-to-be
    tempfile.mkdtemp()


def when(seconds: float) -> None:
    # ruleid: time-of-no-zone
    datetime.datetime.now()
    # ruleid: time-of-no-zone
    datetime.datetime.utcnow()
    # ruleid: time-of-no-zone
    datetime.datetime.fromtimestamp(seconds)
    # ok: time-of-no-zone
    datetime.datetime.now(datetime.UTC)
    # ok: time-of-no-zone
    datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
