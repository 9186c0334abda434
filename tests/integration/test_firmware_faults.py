"""What goes wrong below the reference firmware: a stack that is full, a line that takes a part of what is written."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import serial
from firmware_host import board, needs_board, tiny_model, tool

import edgeprof
from edgeprof import boards, wire
from edgeprof.driver import Generation
from edgeprof.errors import UsageError
from edgeprof.firmware import path
from edgeprof.firmware.build import build, build_program, compiler_of
from edgeprof.sources import capture_boards
from edgeprof.wire import Type

pytestmark = [pytest.mark.slow, pytest.mark.emulators, pytest.mark.once]

FULL = "edgeprof: the stack is full, and what lies beyond it may be overwritten"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny.gguf", kind="Q8_0", layers=1)


@pytest.fixture
def small_stack(tmp_path: Path) -> Path:
    """Return an image for rv32imac, below whose RAM there is more RAM, with a stack that is too small."""
    try:
        compiler_of("rv32imac")
    except UsageError as error:
        pytest.skip(f"needs a compiler: {error}")
    copy = tmp_path / "firmware"
    shutil.copytree(path(), copy)
    script = copy / "ports" / "rv32imac" / "link.ld"
    text = script.read_text()
    assert "STACK_BYTES = 8K;" in text
    script.write_text(text.replace("STACK_BYTES = 8K;", "STACK_BYTES = 640;"))
    build("rv32imac", tmp_path / "out", root=copy)
    return tmp_path / "out" / "rv32imac.elf"


def test_a_full_stack_ends_the_run_with_an_error(tmp_path, model, small_stack):
    needs_board("rv32imac")
    capture_boards(["rv32imac"], tmp_path / "data", [Generation("p", "ab", 60)], model=model, image=small_stack)
    data = edgeprof.open(tmp_path / "data")
    (run,) = data.runs.to_dict("records")
    assert run["status"] == "error"
    assert run["passes"] <= 16  # it looks after each 16th
    assert data.table("memory")["stack_peak_bytes"].max() == run["stack_reserved_bytes"] == 640
    assert FULL in set(data.table("logs")["text"])


def test_a_full_stack_ends_a_text_with_an_error(model, small_stack):
    needs_board("rv32imac")
    with board(model, "rv32imac", image=small_stack) as host:
        request = host.next_request()
        asked = wire.score_request(request, 0, 2, [1, 5, 6, 7], 0, label="t")
        code, text = host.reply_to(asked, request)
        assert (code, f"edgeprof: {text}") == (5, FULL)
        end = next(f for f in host.frames if f.type == Type.RUN_END)
        assert wire.STATUS[wire.decode_run_end(end.body)["status"]] == "error"


# A write that goes over the end of a page is two for the emulator's host. If the second of them fails, the emulator
# tells the firmware how much the first one took.
ACROSS = r"""
#include "board.h"
static uint8_t pages[8192] __attribute__((aligned(4096)));
int main(void) {
    uint8_t byte;
    board_init();
    for (unsigned i = 0; i < sizeof pages; i++) pages[i] = (uint8_t)('a' + i % 26);
    board_write(pages + 4096 - 10, 42);
    board_write("\n", 1);
    for (;;) board_read(&byte, 1);
}
"""
FAILS_ONCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/uio.h>
ssize_t writev(int fd, const struct iovec *all, int n) {
    static ssize_t (*real)(int, const struct iovec *, int);
    static int failed;
    if (!real) real = (ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    if (fd == 1 && n == 1 && all->iov_len == 32 && !failed++) {
        errno = EIO;
        return -1;
    }
    return real(fd, all, n);
}
"""


def test_a_write_of_which_a_part_was_taken_goes_on(tmp_path, monkeypatch):
    needs_board("lx106")
    for name, text in (("across.c", ACROSS), ("fails.c", FAILS_ONCE)):
        (tmp_path / name).write_text(text)
    try:
        image = build_program("lx106", [tmp_path / "across.c"], tmp_path / "across.elf")
    except UsageError as error:
        pytest.skip(f"needs a compiler: {error}")
    library = tmp_path / "fails.so"
    subprocess.run([tool("gcc"), "-shared", "-fPIC", "-o", library, tmp_path / "fails.c", "-ldl"], check=True)
    wrapper = tmp_path / "bin" / "qemu-system-xtensa"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nLD_PRELOAD={library} exec {shutil.which(wrapper.name)} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
    with boards.start("lx106", None, image=image) as running, serial.serial_for_url(running.url, timeout=20) as port:
        running.go()
        assert port.read_until(b"\n") == bytes(ord("a") + i % 26 for i in range(4086, 4128)) + b"\n"
