"""The board ``host``: the firmware compiled for this machine. Its clock is time, in nanoseconds, and really noisy.

It is compiled when it is first used, and kept in the user's cache.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from edgeprof.boards import emulators
from edgeprof.boards.line import Line, Pty
from edgeprof.boards.process import Started, base_facts, read_model
from edgeprof.boards.process import main as process_main
from edgeprof.boards.wasm import check_model
from edgeprof.errors import DeviceError

__all__ = ["main", "program"]

LEAST_RAM = 64 * 1024

WRONG_ARGUMENTS = 3  # how the port ends that is called without any


def program() -> Path:
    """Return the firmware as a program of this machine, compiled if its sources have changed."""
    from edgeprof.firmware.build import build, compiler_of, source_digest

    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "edgeprof" / f"host-{source_digest('host')[:12]}-{compiler_of('host').replace(' ', '-')}"
    if not (folder / "host.elf").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            build("host", Path(made))
            folder.mkdir(exist_ok=True)
            os.replace(Path(made) / "host.elf", folder / "host.elf")  # two that compile at once do no harm
            (folder / "host.elf").chmod(0o755)
    return folder / "host.elf"


def _checked(image: Path) -> bytes:
    """Return the bytes of an image after trying it: without arguments it ends at once, with a code of its own."""
    cure = "`edgeprof firmware build host` makes one, and without an image of your own it is compiled."
    try:
        firmware = image.read_bytes()
        code = subprocess.run([str(image.resolve())], stdin=subprocess.DEVNULL, timeout=20, check=False).returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        why = error.strerror if isinstance(error, OSError) else "it does not end"
        raise DeviceError(f"{image} is no program for the board 'host' ({why}). {cure}") from error
    if code != WRONG_ARGUMENTS:
        raise DeviceError(f"{image} is no firmware for the board 'host' (it ended with code {code}). {cure}")
    return firmware


def _start(args: argparse.Namespace, line: Line) -> Started:
    found = emulators.compiler()
    if found.problem and not args.image:
        raise DeviceError(f"The board 'host' cannot be started here: {found.problem}")
    if not isinstance(line, Pty) or args.tap:
        raise DeviceError("The board 'host' has a pty only, and no tap.")
    if args.ram < LEAST_RAM:
        raise DeviceError(f"The board 'host' needs at least --ram {LEAST_RAM}; {args.ram} bytes were given.")
    model = read_model(args.model, "host")
    check_model(model, args.model, "host")
    image = args.image or program()
    firmware = _checked(image)
    fd = line.descriptor
    numbers = [args.ram, args.flash, len(firmware), args.n_ctx, args.boot]
    command = [str(image.resolve()), str(fd), str(args.model or ""), *map(str, numbers)]
    children: list[subprocess.Popen[bytes]] = []

    def run() -> None:
        child = subprocess.Popen(command, pass_fds=[fd], stdin=subprocess.DEVNULL)
        children.append(child)
        raise DeviceError(f"it ended with code {child.wait()}")

    def end() -> None:
        for child in children:
            child.kill()

    return Started(line, base_facts(firmware, model), run, end)


def main(argv: list[str] | None = None) -> int:
    """Run the board; return an exit code if it could not be started."""
    return process_main("host", _start, argv, sizes=True)


if __name__ == "__main__":
    raise SystemExit(main())
