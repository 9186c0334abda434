"""Build the firmware of a board: ``edgeprof firmware build BOARD``.

An image is a function of the sources, the compiler's version and the flags alone, so a rebuild is identical to the
last byte. ``prebuilt/manifest.json`` says what the committed images were built from, and by which compiler.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeprof.errors import DeviceError, UsageError, unknown_name
from edgeprof.firmware import path
from edgeprof.firmware.recipes import COMMON, RECIPES, Recipe
from edgeprof.firmware.uf2 import to_uf2

__all__ = ["Built", "build", "build_program", "compiler_of", "note", "reference_sources", "source_digest", "targets"]

ZIGLANG = "0.17.1"
"""The version of PyPI's ``ziglang`` that the wasm image is built with. Another one gives another image."""


@dataclass(frozen=True)
class Built:
    """An image and where it came from, as in ``prebuilt/manifest.json``.

    Attributes
    ----------
    target, board
        What was built (a board, or ``board-variant``), and the board that it is for.
    files
        File name to (bytes, SHA-256); the first one is what runs.
    compiler
        Its name and version.
    flags
        As given to it.
    source_sha256
        Of all the sources, see :func:`source_digest`.
    """

    target: str
    board: str
    files: dict[str, tuple[int, str]]
    compiler: str
    flags: tuple[str, ...]
    source_sha256: str

    def as_json(self) -> dict[str, object]:
        """Return the entry for the manifest."""
        files = {name: {"bytes": size, "sha256": digest} for name, (size, digest) in self.files.items()}
        return {**vars(self), "files": files, "flags": list(self.flags)}


def targets() -> list[str]:
    """Return what can be built: the boards, and variants of their firmware."""
    return sorted(RECIPES)


def _recipe(target: str) -> Recipe:
    if target not in RECIPES:
        raise unknown_name("board to build for", target, RECIPES)
    return RECIPES[target]


def reference_sources(root: Path | None = None) -> list[Path]:
    """Return the C files of the reference firmware, without a board's port: what :func:`build_program` takes.

    Parameters
    ----------
    root
        The firmware's folder, if it is not the installed one.
    """
    base = path() if root is None else root
    found = [file for folder in ("app", "llm") for file in (base / folder).glob("*.c")]
    return sorted([*found, base / "ports" / "reference.c"], key=lambda p: p.relative_to(base).as_posix())


def _sources(recipe: Recipe, root: Path) -> list[Path]:
    """Return what makes the reference firmware of a board."""
    return reference_sources(root) + _port_sources(recipe, root)


def _port_sources(recipe: Recipe, root: Path) -> list[Path]:
    ports = root / "ports"
    own = sorted(f for f in (ports / recipe.board).iterdir() if f.suffix in {".c", ".S"})
    return own + [ports / name for name in recipe.shared]


def source_digest(target: str, root: Path | None = None) -> str:
    """Return the SHA-256 over the names and contents of all sources and headers of a board's firmware."""
    base = path() if root is None else root
    folders = (base / "include", base / "app", base / "llm", base / "ports", base / "ports" / _recipe(target).board)
    files = sorted(
        (f for folder in folders for f in folder.iterdir() if f.suffix in {".c", ".h", ".S", ".ld"}),
        key=lambda p: p.relative_to(base).as_posix(),
    )
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{file.relative_to(base).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def compiler_of(target: str) -> str:
    """Return name and version of the compiler that builds a target here.

    Raises
    ------
    UsageError
        It is not installed; the message says how to install it.
    """
    recipe = _recipe(target)
    if recipe.compiler == "ziglang":
        return _ziglang()
    if not shutil.which(recipe.compiler):
        raise UsageError(
            f"Building {target} needs {recipe.compiler}, which is not on PATH. Debian: apt-get install "
            f"{recipe.package}. Running it does not: the images are part of edgeprof."
        )
    said = subprocess.run([recipe.compiler, "-dumpfullversion"], capture_output=True, text=True, check=False)
    return f"{Path(recipe.compiler).name} {said.stdout.strip() or 'of unknown version'}"


def _ziglang() -> str:
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


def _compile(recipe: Recipe, target: str, sources: Sequence[str], out: Path, cwd: Path, defines: Sequence[str]) -> None:
    front = [sys.executable, "-m", "ziglang", "cc"] if recipe.compiler == "ziglang" else [recipe.compiler]
    linker = ["-L", str(cwd / "ports"), "-T", str(cwd / "ports" / recipe.board / "link.ld")] if recipe.bare else []
    command = [*front, *COMMON, *recipe.flags, *defines, *linker, "-o", str(out), *sources, *recipe.libraries]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeviceError(f"The firmware of {target} was not built: {done.stderr.strip()[-2000:]}")


def build_program(target: str, sources: Sequence[Path], out: Path, *, defines: Sequence[str] = ()) -> Path:
    """Compile and link a program with a board's port (``ports/board.h``), and nothing else.

    Parameters
    ----------
    target
        One of :func:`targets`.
    sources
        C files; one has ``int main(void)``.
    out
        The image to write: ELF, or WebAssembly for ``wasm``.
    defines
        Further options for the compiler, such as ``-DNAME=1``.

    Raises
    ------
    UsageError
        There is no such board, or its compiler is missing.
    DeviceError
        It does not compile; the message has the compiler's words.
    """
    recipe, root = _recipe(target), path().resolve()
    compiler_of(target)
    out.parent.mkdir(parents=True, exist_ok=True)
    names = [str(file.resolve()) for file in [*sources, *_port_sources(recipe, root)]]
    # Bare ports are linked by name: what a program does not use is dropped.
    _compile(recipe, target, names, out.resolve(), root, [f"-I{root / 'include'}", f"-I{root / 'ports'}", *defines])
    return out


def build(target: str, out: Path, root: Path | None = None) -> Built:
    """Compile and link the reference firmware of a board.

    Parameters
    ----------
    target
        Which one; see :func:`targets`.
    out
        The folder for its images: ELF and BIN (UF2 for the RP2040), or WebAssembly.
    root
        The firmware's folder, if it is not the installed one.

    Raises
    ------
    UsageError
        There is no such board, or its compiler is missing.
    DeviceError
        It does not compile.
    """
    recipe = _recipe(target)
    base = (path() if root is None else root).resolve()
    compiler = compiler_of(target)
    define = f'-DEDGEPROF_COMPILER="{compiler}"'
    names = [file.relative_to(base).as_posix() for file in _sources(recipe, base)]
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / f"{target}.{'wasm' if recipe.compiler == 'ziglang' else 'elf'}"
        _compile(recipe, target, names, image, base, [define])
        made = [image, *_flat(recipe, image)]
        for file in made:
            content = file.read_bytes()
            (out / file.name).write_bytes(content)
            files[file.name] = (len(content), hashlib.sha256(content).hexdigest())
    flags = (*COMMON, *recipe.flags, define)
    return Built(target, recipe.board, files, compiler, flags, source_digest(target, base))


def _flat(recipe: Recipe, image: Path) -> list[Path]:
    """Return the image as a flasher takes it: the bytes of the flash alone, or UF2."""
    if not recipe.bare:
        return []
    flat = image.with_suffix(".bin")
    objcopy = recipe.compiler.removesuffix("gcc") + "objcopy"
    subprocess.run([objcopy, "-O", "binary", str(image), str(flat)], check=True)
    if recipe.uf2_family is None:
        return [flat]
    uf2 = image.with_suffix(".uf2")
    uf2.write_bytes(to_uf2(flat.read_bytes(), recipe.flash_start, recipe.uf2_family))
    return [uf2]


def note(built: Built, manifest: Path) -> None:
    """Write what was built into a manifest beside it."""
    entries = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
    entries[built.target] = built.as_json()
    manifest.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
