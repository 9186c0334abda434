"""What a live monitor costs the kernel that it runs in, at 1,000 tokens a second; and whether anything is lost.

``python tests/performance/live_load.py --seconds N [--out FILE]`` runs a real kernel that shows the monitor of a
capture. The board is one of Python on a pty; the kernel's process is looked at from outside (Linux).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from capture_load import cpu_seconds
from jupyter_client.manager import start_new_kernel
from machine import record

import edgeprof

FAKEBOARD = Path(__file__).parents[1] / "fakeboard.py"
TOKENS_PER_SECOND, RUN_PASSES, RUN_BYTES = 1000, 120, 4130
WARM_UP_SECONDS = 8.0
BEGIN = """
import edgeprof
live = edgeprof.live({url!r}, out={out!r}, start=True)
live
"""
OPEN = "import time\nwhile not (live.watch and any(live.capture.glob('journal/port-00/*.wire'))): time.sleep(0.05)"

WAIT = """
end = time.monotonic() + 60
while live.watch.ports[0].totals.runs < {runs} and time.monotonic() < end:
    time.sleep(0.1)
"""


def resident_bytes(pid: int) -> int:
    """Return what a process has in memory (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * 4096


def run(client: Any, code: str, seconds: float = 120.0) -> str:
    """Run code in a kernel and return what it printed."""
    said: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            said.append(message["content"]["text"])

    reply = client.execute_interactive(code, timeout=seconds, output_hook=hook)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(said)


def watched(folder: Path, seconds: float) -> dict[str, Any]:
    """Watch a board at 1,000 tokens a second for so long; return what that took and what arrived."""
    runs = int(TOKENS_PER_SECOND * seconds / RUN_PASSES)
    pace = TOKENS_PER_SECOND / RUN_PASSES * RUN_BYTES
    command = [sys.executable, str(FAKEBOARD), "--wait", "--steady", f"--stream={runs}", f"--bytes-per-second={pace}"]
    board = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert board.stdin is not None and board.stdout is not None
    manager, client = start_new_kernel(cwd=str(folder))
    answers: list[float] = []
    try:
        url = json.loads(board.stdout.readline())["url"]
        run(client, BEGIN.format(url=url, out=str(folder / "data")))
        run(client, OPEN)
        board.stdin.write(b"go\n")
        board.stdin.flush()
        began = time.monotonic()
        pid = manager.provisioner.process.pid  # type: ignore[union-attr]
        time.sleep(min(WARM_UP_SECONDS, seconds / 3))
        cpu, since, warm = cpu_seconds(pid), time.monotonic(), resident_bytes(pid)
        most = warm
        while time.monotonic() - began < seconds:
            time.sleep(1.0)
            asked = time.monotonic()
            assert run(client, "print(1 + 1)").strip() == "2"
            answers.append(time.monotonic() - asked)
            most = max(most, resident_bytes(pid))
        share = (cpu_seconds(pid) - cpu) / (time.monotonic() - since)
        run(client, WAIT.format(runs=runs))
        lasted = time.monotonic() - began
        seen = int(run(client, "print(live.watch.ports[0].totals.passes)"))
        drawn = int(run(client, "print(len(live.view.image.value))"))
        run(client, "live.stop(); assert live.wait(60)")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        board.kill()
        board.communicate()
    ds = edgeprof.open(folder / "data")
    return {
        "seconds": lasted, "tokens_per_s": runs * RUN_PASSES / lasted, "tokens_sent": runs * RUN_PASSES,
        "tokens_in_the_data_set": len(ds.tokens), "tokens_seen_live": seen,
        "frames_lost": int(ds.runs["frames_lost"].sum()), "kernel_share_of_a_core": share, "warm_bytes": warm,
        "most_bytes": most, "longest_answer_of_the_kernel_ms": 1e3 * max(answers), "png_bytes": drawn,
    }  # fmt: skip


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = watched(Path(name), args.seconds)
    print(json.dumps(result, indent=1))
    if args.out:
        record(args.out, result, "ipykernel", "ipywidgets", "matplotlib", "numpy", "pyarrow")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
