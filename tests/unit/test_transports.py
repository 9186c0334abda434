"""Writing to ports, and words of URLs."""

from __future__ import annotations

import os
import sys
import time

import pytest

from edgeprof.open_files import raise_limit
from edgeprof.transports import is_device, write_all

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="only on POSIX: Windows waits for no descriptors")


def test_a_descriptor_of_any_number_is_written() -> None:
    import resource

    raise_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard
    number = min(soft - 1, 2000)
    assert number > 1023, "select() would know this one"
    ours, theirs = os.pipe()
    os.dup2(theirs, number)
    os.set_blocking(number, False)
    try:
        assert write_all(number, b"abc", 1.0)
        assert os.read(ours, 10) == b"abc"
    finally:
        for fd in (ours, theirs, number):
            os.close(fd)


def test_what_takes_nothing_is_given_up() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    began = time.monotonic()
    try:
        assert not write_all(theirs, bytes(1 << 20), 0.1)
        assert 0.1 <= time.monotonic() - began < 2
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(("url", "device"), [("/dev/ttyUSB0", True), ("COM3", True), ("replay:x", False),
                                             ("socket://a:1", False), ("mqtt://b/t", False)])  # fmt: skip
def test_what_is_a_device(url: str, device: bool) -> None:
    assert is_device(url) == device
