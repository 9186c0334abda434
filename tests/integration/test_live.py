"""The live monitor without a browser: real captures, real kernels; whatever becomes of who watches, nothing is lost."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from capturing import running, wait_for

import edgeprof
from edgeprof import plots
from edgeprof.capture import Source
from edgeprof.errors import DeviceError, StorageError, UsageError
from edgeprof.monitor import session
from edgeprof.redecode import redecode
from edgeprof.running import find_running, is_running, mark, stop

pytestmark = [pytest.mark.alone, pytest.mark.once, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
MODEL = ROOT / "data/models/fable-0.5m-F16.gguf"
RUN_TOKENS = 120
"""Passes of a run that the fake board sends."""


@contextlib.contextmanager
def ended(live: edgeprof.Live) -> Iterator[edgeprof.Live]:
    """Have a capture stopped at the end of a test, whatever came of it."""
    try:
        yield live
    finally:
        live.stop()
        with contextlib.suppress(Exception):
            live.wait(30)


def passes(live: edgeprof.Live) -> int:
    return live.watch.ports[0].totals.passes if live.watch else 0


def is_open(live: edgeprof.Live) -> bool:
    """Tell whether the port is open: what is sent earlier is thrown away."""
    return live.watch is not None and any(live.capture.glob("journal/port-00/*.wire"))


def test_an_emulated_board_from_start_to_data_set(tmp_path):
    live = edgeprof.live("wasm", out=tmp_path, model=MODEL, prompt=["Once upon a time"] * 300, tokens=200)
    assert (live.state, live.can_start) == ("ready", True)
    with pytest.raises(StorageError, match="nothing to mark"):
        live.mark("too early")
    with ended(live):
        live.view  # noqa: B018 - as if it were displayed
        live.start()
        wait_for(lambda: passes(live) > 300, "tokens")
        port = live.watch.ports[0]
        assert live.state == "running"
        assert "Daisy" in wait_for(lambda: "Daisy" in port.text and port.text, "text")
        live.mark("the fan began")
        wait_for(lambda: live.watch.marks == 1, "the mark")
        wait_for(lambda: "[WebAssembly instructions]" in live.view._figure.titles[1], "the clock's unit")
        assert bytes(live.view.image.value).startswith(b"\x89PNG")
        during = live.dataset  # at any time
        assert (during.table("events")["detail"] == "the fan began").sum() == 1
        with pytest.raises(UsageError, match="is running"):
            live.start()
        live.view.stop.click()
        assert live.wait(30)
    assert (live.state, live.error, is_running(live.capture)) == ("finished", None, False)
    ds = live.dataset
    assert len(ds.tokens) == passes(live) > 300
    assert (ds.runs["status"] == "ok").sum() == port.totals.runs  # the last one was under way
    event = ds.table("events").iloc[-1]
    assert (event["kind"], event["detail"]) == ("mark", "the fan began")
    assert 0 < event["start"] < 60e9
    late = edgeprof.Live(tmp_path, None, live.capture)  # its first look is when the log of the host is gone
    assert late.wait(10) and late.watch.marks == 1 and "the fan began" in late.watch.notes[-1]
    live.view.open.click()
    assert f"{live.capture.name.partition('=')[2]}/0-0001" in live.view.opened.value
    assert [p.name for p in tmp_path.iterdir()] == [live.capture.name]  # no log is left
    with pytest.raises(StorageError, match="had ended"):
        live.mark("too late")


def test_a_mark_is_kept_by_redecode_whatever_it_says(tmp_path, board):
    fake = board("--stream", "1", "--wait")
    with ended(edgeprof.live(fake.url, out=tmp_path, start=True)) as live:
        wait_for(lambda: is_open(live), "the port")
        fake.go()
        wait_for(lambda: passes(live) == RUN_TOKENS, "tokens")
        live.mark("llamacpp: not said by a device\n\x1b[31m<b>")
        live.stop()
        live.wait(30)
    before = live.dataset.table("events")
    redecode(tmp_path)
    after = edgeprof.open(tmp_path).table("events")
    assert (after["kind"] == "mark").sum() == (before["kind"] == "mark").sum() == 1


def test_a_hostile_board_reaches_no_markup(tmp_path, board):
    fake = board("--stream", "3", "--wait", "--bytes-per-second", "4000")
    with ended(edgeprof.live(fake.url, out=tmp_path, start=True)) as live:
        wait_for(lambda: is_open(live), "the port")
        live.mark("<script>alert(1)</script>")
        fake.go()
        wait_for(lambda: "a line of text 0" in live.watch.ports[0].text, "text")
        live.watch.ports[0].text += "<img src=x onerror=alert(1)>\x1b[31m"
        live.view.render(changed=True)
        shown = live.view.text.value
        assert "<script>" not in shown and "<img" not in shown and "\x1b" not in shown
        assert "&lt;img src=x" in shown and "&lt;script&gt;" in shown


def test_the_same_call_finds_the_capture_that_goes_on(tmp_path, board):
    fake = board("--stream", "50", "--wait", "--bytes-per-second", "20000")
    with ended(edgeprof.live(fake.url, out=tmp_path, start=True)) as live:
        wait_for(lambda: is_open(live), "the port")
        fake.go()
        wait_for(lambda: passes(live) > 200, "tokens")
        for again in (
            edgeprof.live(fake.url, out=tmp_path, start=True),
            edgeprof.live(tmp_path),
            edgeprof.live(live.capture),
        ):
            assert again.capture == live.capture
            wait_for(lambda: again.state == "running" and passes(again) > 200, "tokens from the begin")  # noqa: B023
        again.stop()  # by the one that did not begin it
        assert again.wait(30) and live.wait(30)
    assert passes(again) == passes(live) == len(live.dataset.tokens)
    with pytest.raises(UsageError, match="No capture goes on"):
        edgeprof.live(tmp_path)
    assert edgeprof.live(live.capture).wait(10)  # one that is closed


def test_what_another_program_captures_is_watched_and_not_ended(tmp_path, board):
    fake = board("--stream", "1", "--wait")
    seconds = 4.0
    with running([Source(fake.url, fake.url)], tmp_path, seconds=seconds) as result:
        live = edgeprof.live(tmp_path)
        wait_for(lambda: live.state == "running", "the watched capture")
        with pytest.raises(UsageError, match="part of another program"):
            live.stop()  # the signal would be this process's end
        fake.go()
        assert live.wait(30)
    assert "error" not in result and len(live.dataset.tokens) == RUN_TOKENS


def test_what_is_sealed_meanwhile_is_not_missed_by_one_that_comes_late(tmp_path, board):
    fake = board("--stream", "40", "--wait", "--bytes-per-second", "20000")
    with ended(edgeprof.live(fake.url, out=tmp_path, seal_every=0.5, start=True)) as live:
        wait_for(lambda: is_open(live), "the port")
        fake.go()
        wait_for(lambda: len(list(live.capture.glob("segment=*/manifest.json"))) > 2, "segments")
        late = edgeprof.Live(tmp_path, None, live.capture)  # as in another kernel
        wait_for(lambda: late.watch and late.watch.ports[0].totals.frames > 60, "frames")
        live.stop()
        assert live.wait(30) and late.wait(30)
    one, other = (w.watch.ports[0].totals for w in (live, late))
    assert one == other
    assert (one.frames, one.bytes, one.frames_lost, one.passes) == (
        other.frames,
        other.bytes,
        0,
        len(live.dataset.tokens),
    )
    assert one.bytes == live.dataset.captures["bytes_read"].iloc[0]


def loops() -> int:
    return sum(thread.name == "edgeprof.live" for thread in threading.enumerate())


def test_a_cell_that_is_run_again_looks_no_more_often(tmp_path, board):
    gc.collect()
    wait_for(lambda: loops() == 0, "the end of what others left")
    fake = board("--stream", "1", "--wait")
    with ended(edgeprof.live(fake.url, out=tmp_path, start=True)) as live:
        assert all(edgeprof.live(fake.url, out=tmp_path, start=True) is live for _ in range(3))  # while it starts
        wait_for(lambda: is_open(live), "the port")
        monitors = [edgeprof.live(fake.url, out=tmp_path) for _ in range(5)]
        with plots.use("dark"):
            monitors.append(edgeprof.live(tmp_path))
            dark = bytes(live.view.image.value)
        assert all(one is live for one in monitors) and loops() == 1
        edgeprof.live(tmp_path)
        assert bytes(live.view.image.value) != dark
        live.stop()
        assert live.wait(30)
        live.start()  # at once
        wait_for(lambda: is_open(live) and live.state == "running", "the second capture")
        time.sleep(2 * session.LOOK_SECONDS)
        assert loops() == 1 and len(list(tmp_path.glob("capture=*"))) == 2

    other = edgeprof.Live(tmp_path, None, live.capture)
    assert other.wait(10)
    fake = board("--stream", "1", "--wait")
    with ended(edgeprof.live(fake.url, out=tmp_path, start=True)) as live:
        wait_for(lambda: is_open(live), "the port")
        second = [edgeprof.Live(tmp_path, None, live.capture)]
        wait_for(lambda: second[0].watch is not None and loops() == 2, "a second one")
        second.clear()
        gc.collect()
        wait_for(lambda: loops() == 1, "the end of a monitor that nobody has")


def test_what_cannot_be_drawn_is_said_and_the_end_is_seen(tmp_path, board):
    fake = board("--stream", "1", "--wait")
    with ended(edgeprof.live(fake.url, out=tmp_path, start=True)) as live:
        wait_for(lambda: is_open(live), "the port")
        live.view  # noqa: B018 - as if it were displayed
        live.watch.ports[0].current = None  # no figure is made of that
        fake.go()
        wait_for(lambda: "AttributeError" in live.view.message.value, "the error in the view")
        wait_for(lambda: passes(live) == RUN_TOKENS, "tokens")
        live.stop()
        assert live.wait(30)
    live.capture = 7  # no path
    with pytest.raises(AttributeError):
        live.view.open.click()
    assert "AttributeError: " in live.view.message.value


def test_the_notebook_goes_elsewhere(tmp_path, board, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fake = board("--stream", "1", "--wait")
    with ended(edgeprof.live(fake.url, out="data", start=True)) as live:
        wait_for(lambda: is_open(live), "the port")
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        fake.go()
        wait_for(lambda: passes(live) == RUN_TOKENS, "tokens")
        assert live.state == "running"
        live.stop()
        assert live.wait(30) and len(live.dataset.tokens) == RUN_TOKENS


def test_a_capture_of_something_else_is_not_taken_for_it(tmp_path, board):
    asked = {"out": tmp_path, "model": MODEL, "tokens": 200}
    with ended(edgeprof.live("wasm", prompt=["Once"] * 200, start=True, **asked)) as live:
        wait_for(lambda: live.state == "running", "the capture")
        assert edgeprof.live("wasm", prompt=["Once"] * 200, **asked) is live and live.differs == ""
        assert edgeprof.live("wasm", **asked) is live  # names no prompt
        other = edgeprof.live("wasm", prompt="Twice", **asked)
        assert (other.state, other.capture, other.differs) == ("ready", None, "")
        larger = asked | {"model": MODEL.with_name("fable-1.2m-F16.gguf")}
        assert edgeprof.live("wasm", prompt=["Once"] * 200, **larger).state == "ready"

    fake = board("--stream", "1", "--wait")
    with ended(edgeprof.live(fake.url, out=tmp_path, start=True)) as live:
        wait_for(lambda: is_open(live), "the port")
        again = edgeprof.live(fake.url, out=tmp_path, prompt="Once", model=MODEL)  # a port has one capture
        assert again is live
        again.view.render(changed=False)
        assert "begun with other prompts (0, none; not 1, 'Once') and another model" in again.view.state.value.replace(
            "&#x27;", "'"
        )


def test_several_ports_have_a_row_each_and_one_is_chosen(tmp_path, board):
    one, two = board("--stream", "2", "--wait"), board("--stream", "5", "--wait")
    with ended(edgeprof.live([one.url, two.url], out=tmp_path, start=True)) as live:
        wait_for(lambda: is_open(live) and len(list(live.capture.glob("journal/*/*.wire"))) == 2, "the ports")
        one.go(), two.go()
        wait_for(lambda: [p.totals.runs for p in live.watch.ports] == [2, 5], "runs")
        live.view.render(changed=True)
        assert live.view.port.options == ((one.url, 0), (two.url, 1))
        assert live.view.table.value.count("<tr>") == 3
        assert "run 0-0002" in live.view.text.value
        live.view.port.value = 1
        assert "run 1-0005" in live.view.text.value


def test_words_of_what_cannot_be_captured_are_in_the_view(tmp_path, board):
    live = edgeprof.live("/dev/ttyNONE7", out=tmp_path, start=True)
    with pytest.raises(DeviceError, match="/dev/ttyNONE7"):
        live.wait(30)
    live.view.render(changed=True)
    assert "/dev/ttyNONE7" in live.view.message.value
    assert live.can_start and live.view.open.disabled
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="needs a model"):
        edgeprof.live("wasm", out=tmp_path, start=True).wait(30)
    with pytest.raises(UsageError, match=r"Did you mean 'baud'\?"):
        edgeprof.live("/dev/ttyUSB0", bauds=9600)

    fake = board("--stream", "1", "--wait")
    with ended(edgeprof.live(fake.url, out=tmp_path / "a", start=True)) as first:
        wait_for(lambda: is_open(first), "the port")
        with pytest.raises(DeviceError, match="in use|by another process|locked|exclusive"):
            edgeprof.live(fake.url, out=tmp_path / "b", start=True).wait(30)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="only on systems where tests are not root's"
)
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        edgeprof.live("/dev/ttyUSB0", out=tmp_path / "data", start=True)


def test_out_is_a_file(tmp_path):
    (tmp_path / "data").write_text("x")
    live = edgeprof.live("/dev/ttyUSB0", out=tmp_path / "data")
    with pytest.raises(StorageError):  # no front end asked
        live.view.start.click()
    assert "cannot be written" in live.view.message.value
    with pytest.raises(StorageError):
        live.start()


def test_all_of_a_capture_s_processes_are_killed(tmp_path, board, monkeypatch):
    monkeypatch.setattr(session, "CLOSE_SECONDS", 1.0)
    fake = board("--stream", "50", "--wait", "--bytes-per-second", "20000")
    live = edgeprof.live(fake.url, out=tmp_path, start=True)
    wait_for(lambda: is_open(live), "the port")
    fake.go()
    wait_for(lambda: passes(live) > 200, "tokens")
    pids = [live._process.process.pid, *children(live._process.process.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(Exception, match="signal 9"):
        live.wait(30)
    assert find_running(tmp_path) is None
    assert stop(live.capture) is False  # signals nobody, for the number may be another's by now
    with pytest.raises(StorageError):
        mark(live.capture, "x")
    assert len(edgeprof.open(tmp_path).tokens) >= 200


def children(pid: int) -> list[int]:
    """Return the processes that a process began (Linux)."""
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


# -- kernels ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def kernel(folder: Path) -> Iterator[tuple]:
    """Start a notebook kernel that works in a folder; give its manager and client."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(folder))
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client, code: str, seconds: float = 60) -> str:
    """Run code and return what it printed."""
    said: list[str] = []

    def hook(message: dict) -> None:
        if message["msg_type"] == "stream":
            said.append(message["content"]["text"])

    reply = client.execute_interactive(code, timeout=seconds, output_hook=hook)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(said)


def said(client) -> str:
    """Return the next thing that a kernel published, if it is a text."""
    return client.get_iopub_msg(timeout=30)["content"].get("text", "")


BEGIN = "import edgeprof, time; live = edgeprof.live({url!r}, out='data', start=True); live.view; print(live.state)"
HELD = """
import re
began, n = time.monotonic(), 20
while time.monotonic() - began < 5:
    re.match("(a*)*b", "a" * n)
    n += 1
"""
PASSES = "print(live.watch.ports[0].totals.passes if live.watch else 0)"


def streaming(fake, client, folder: Path, runs: int) -> Path:
    """Begin a capture from a kernel, and let the board stream; return the capture's folder."""
    run(client, BEGIN.format(url=fake.url))
    wait_for(lambda: run(client, "print(live.state)").strip() == "running", "a running capture")
    wait_for(lambda: list(folder.glob("data/capture=*/journal/port-00/*.wire")), "an open port")
    fake.go()
    wait_for(lambda: int(run(client, PASSES)) > 200, "tokens in the kernel")
    return next(folder.glob("data/capture=*"))


def whole(folder: Path, runs: int) -> None:
    """Check that all that the board sent is in the data set."""
    ds = edgeprof.open(folder / "data")
    assert len(ds.runs) == runs and (ds.runs["status"] == "ok").all()
    assert len(ds.tokens) == RUN_TOKENS * runs
    assert ds.runs["frames_lost"].sum() == 0


def test_the_kernel_is_killed_and_a_new_one_goes_on_watching(tmp_path, board):
    runs = 40
    fake = board("--stream", str(runs), "--wait", "--bytes-per-second", "30000")
    with kernel(tmp_path) as (manager, client):
        capture = streaming(fake, client, tmp_path, runs)
        manager.provisioner.process.kill()
        wait_for(lambda: not manager.is_alive(), "the kernel's end")
        assert is_running(capture)
    with kernel(tmp_path) as (_, client):
        assert run(client, BEGIN.format(url=fake.url)).strip() in ("starting", "running")
        wait_for(lambda: run(client, "print(live.capture.name)").strip() == capture.name, "the same capture")
        wait_for(
            lambda: int(run(client, "print(live.watch.ports[0].totals.runs if live.watch else 0)")) == runs, "all runs"
        )
        run(client, "live.mark('by the second kernel'); live.stop(); assert live.wait(30)")
        assert "finished" in run(client, "print(live)")
    whole(tmp_path, runs)
    assert edgeprof.open(tmp_path / "data").table("events")["detail"].tolist() == ["by the second kernel"]


def test_a_busy_or_interrupted_kernel_loses_nothing(tmp_path, board):
    runs = 60
    fake = board("--stream", str(runs), "--wait", "--bytes-per-second", "30000")
    with kernel(tmp_path) as (manager, client):
        capture = streaming(fake, client, tmp_path, runs)
        # What is asked right after an error, Jupyter drops otherwise, as it does the cells below one that failed.
        client.execute("print('asleep', flush=True); time.sleep(60)", stop_on_error=False)
        wait_for(lambda: "asleep" in said(client), "the cell that sleeps")  # the line's end may come apart from it
        manager.interrupt_kernel()
        assert client.get_shell_msg(timeout=30)["content"]["ename"] == "KeyboardInterrupt"
        assert is_running(capture)
        # One call that keeps Python's lock for five seconds: no thread of the kernel gets anywhere meanwhile.
        run(client, HELD)
        wait_for(lambda: int(run(client, PASSES)) == RUN_TOKENS * runs, "all tokens")
        run(client, "live.stop(); assert live.wait(30)")
    whole(tmp_path, runs)
