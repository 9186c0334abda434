"""The token that a server asks for: from a file or from the environment, never from the command line.

A command line can be read by every user of a machine, and is kept in shell histories.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from pathlib import Path

from edgeprof.errors import StorageError, UsageError

__all__ = ["SHORTEST", "VARIABLE", "VARIABLE_FILE", "read_token"]

VARIABLE, VARIABLE_FILE = "EDGEPROF_TOKEN", "EDGEPROF_TOKEN_FILE"
SHORTEST = 16
_LONGEST = 1024
# These mean themselves in an address, a header and a log.
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")
_HOW = "`(umask 077; openssl rand -hex 32 > token)` makes one; then give --token-file token."


def read_token(file: Path | None) -> str:
    """Return the token: of a file, or of what the environment names; and take it out of the environment.

    What this process starts inherits the environment, and has no use for the token.

    Parameters
    ----------
    file
        The file that was asked for; without one ``EDGEPROF_TOKEN_FILE`` names it, or ``EDGEPROF_TOKEN`` holds
        the token.

    Raises
    ------
    StorageError
        The file cannot be read.
    UsageError
        There is no token, it is too short, or anybody could write one into the file.
    """
    named, given = os.environ.pop(VARIABLE_FILE, ""), os.environ.pop(VARIABLE, "")
    if file is None and named:
        file = Path(named)
    if file is None and not given:
        raise UsageError(
            f"A server needs a token: in a file (--token-file, or {VARIABLE_FILE}) or in {VARIABLE}. {_HOW}"
        )
    where = VARIABLE if file is None else str(file)
    token = (given if file is None else _content(file)).strip()
    if len(token) < SHORTEST:
        raise UsageError(f"The token of {where} has {len(token)} characters, and {SHORTEST} are the least. {_HOW}")
    if len(token) > _LONGEST or not _TOKEN.fullmatch(token):
        raise UsageError(
            f"The token of {where} is no line of at most {_LONGEST} letters, digits and the characters . _ ~ -. {_HOW}"
        )
    return token


def _content(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            content = opened.read(_LONGEST + 3)
    except OSError as error:
        raise StorageError(f"The token file {file} cannot be read: {error.strerror}. {_HOW}") from error
    if os.name == "posix" and stat.S_ISREG(mode):
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise UsageError(
                f"The token file {file} can be written by others: `chmod 600 {file}`, and a new token in it."
            )
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            warnings.warn(
                f"The token file {file} can be read by others. `chmod 600 {file}` keeps it yours.", stacklevel=2
            )
    return content.decode("utf-8", "replace")
