"""Build the firmware of a board: ``python -m edgeprof.firmware.build wasm``.

The image is a function of the sources, the compiler's version and the flags alone, so a rebuild is identical to the
last byte. ``prebuilt/manifest.json`` says what the committed images were built from.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgeprof.errors import DeviceError, UsageError, unknown_name
from edgeprof.firmware import path

__all__ = ["Built", "build", "main", "source_digest"]

ZIGLANG = "0.17.1"
"""The version of PyPI's ``ziglang`` that the images are built with. Another one gives another image."""

WASM_STACK = 8192

COMMON = ("-std=c99", "-O3", "-ffp-contract=off", "-fno-builtin", "-g0", "-Wall", "-Wextra", "-Wpedantic", "-Werror")

RECIPES: dict[str, tuple[str, ...]] = {
    # Plain WebAssembly 1.0: later instructions have changed their price in fuel between versions of wasmtime.
    "wasm": (
        "-target",
        "wasm32-freestanding",
        "-mcpu=mvp",
        # Loop strength reduction knows nothing of offsets in loads, and turns each into an addition.
        "-mllvm",
        "-disable-lsr",
        "-nostdlib",
        f"-DSTACK_BYTES={WASM_STACK}",
        "-Wl,--no-entry",
        f"-Wl,-z,stack-size={WASM_STACK}",
        "-Wl,--strip-all",
    ),
}


@dataclass(frozen=True)
class Built:
    """An image and where it came from, as in ``prebuilt/manifest.json``."""

    board: str
    file: str
    sha256: str
    bytes: int
    compiler: str
    flags: tuple[str, ...]
    source_sha256: str

    def as_json(self) -> dict[str, object]:
        """Return the entry for the manifest."""
        return {**vars(self), "flags": list(self.flags)}


def _sources(board: str, root: Path) -> list[Path]:
    folders = (root / "app", root / "llm", root / "ports" / board)
    return sorted(
        (file for folder in folders for file in folder.glob("*.c")), key=lambda p: p.relative_to(root).as_posix()
    )


def source_digest(board: str, root: Path | None = None) -> str:
    """Return the SHA-256 over the names and contents of all C sources and headers of a board's firmware."""
    base = path() if root is None else root
    folders = (base / "include", base / "app", base / "llm", base / "ports" / board)
    files = sorted(
        (f for folder in folders for f in folder.iterdir() if f.suffix in {".c", ".h", ".s", ".ld"}),
        key=lambda p: p.relative_to(base).as_posix(),
    )
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{file.relative_to(base).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _compiler() -> str:
    try:
        version = importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError:
        raise UsageError(
            f"Building the firmware needs the compiler: pip install ziglang=={ZIGLANG}. "
            "Running it does not: the images are part of edgeprof."
        ) from None
    if version != ZIGLANG:
        raise UsageError(
            f"The firmware is built with ziglang {ZIGLANG}, found {version}: pip install ziglang=={ZIGLANG}."
        )
    return f"ziglang {version}"


def build(board: str, out: Path, root: Path | None = None) -> Built:
    """Compile and link the firmware of a board.

    Parameters
    ----------
    board
        Which one; see ``RECIPES``.
    out
        The image to write.
    root
        The firmware's folder, if it is not the installed one.
    """
    if board not in RECIPES:
        raise unknown_name("board to build for", board, RECIPES)
    base = (path() if root is None else root).resolve()
    compiler = _compiler()
    flags = (*RECIPES[board][:2], *COMMON, *RECIPES[board][2:])
    define = f'-DEDGEPROF_COMPILER="{compiler} (" __VERSION__ ")"'
    names = [file.relative_to(base).as_posix() for file in _sources(board, base)]
    out = out.resolve()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        command = [sys.executable, "-m", "ziglang", "cc", *flags, define, "-o", str(image), *names]
        done = subprocess.run(command, cwd=base, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DeviceError(f"The firmware of {board} was not built: {done.stderr.strip()[-2000:]}")
        content = image.read_bytes()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return Built(board, out.name, sha256, len(content), compiler, (*flags, define), source_digest(board, base))


def main(argv: list[str] | None = None) -> int:
    """Build one board's firmware into ``prebuilt/`` (or ``--out``) and note it in the manifest beside it."""
    parser = argparse.ArgumentParser(prog="python -m edgeprof.firmware.build", description=__doc__)
    parser.add_argument("board", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, default=path("prebuilt"), help="folder for the image and manifest.json")
    args = parser.parse_args(argv)
    built = build(args.board, args.out / f"{args.board}.wasm")
    manifest = args.out / "manifest.json"
    entries = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
    entries[built.board] = built.as_json()
    manifest.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{args.out / built.file}: {built.bytes} bytes, SHA-256 {built.sha256}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
