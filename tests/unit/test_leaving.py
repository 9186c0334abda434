"""A command's process ends when it has done all, whatever its libraries would wait for."""

from __future__ import annotations

import subprocess
import sys

import pytest

STUCK = """
import atexit, concurrent.futures, sys, threading, time

class Stuck:
    def __del__(self):
        time.sleep(300)

sys.modules["stuck"] = Stuck()  # it goes when Python takes itself apart
atexit.register(lambda: print("registered"))
concurrent.futures.ThreadPoolExecutor().submit(time.sleep, 0.1)  # its thread waits for more, but for Python's end
threading.Thread(target=lambda: (time.sleep(0.5), print("a thread"))).start()
"""


def ended(code, *words):
    done = subprocess.run(
        [sys.executable, "-c", STUCK + code, *words], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.split("\n"), done.stderr


@pytest.mark.slow
def test_threads_and_what_is_registered_come_first():
    code = "from edgeprof.leaving import leave\nprint('said', end='\\n')\nleave(3)"
    assert ended(code) == (3, ["said", "a thread", "registered", ""], "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"), [(["boards", "--json"], 0), (["runs", "/nowhere"], 5), (["runs", "--help"], 0)], ids=str
)
def test_a_command_leaves(words, code):
    found, said, _ = ended("from edgeprof.cli import entry\nentry()", *words)
    assert (found, said[-3:]) == (code, ["a thread", "registered", ""])


@pytest.mark.slow
def test_without_it_such_a_process_waits():
    """What the other tests show would be nothing if it ended by itself."""
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", STUCK], capture_output=True, timeout=5, check=False)
