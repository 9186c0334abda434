"""What the measurements on emulated boards share: a model, a generation on a board, an image built for it."""

from __future__ import annotations

from pathlib import Path

import edgeprof
from edgeprof import boards, resources
from edgeprof.driver import Generation
from edgeprof.firmware import path as firmware
from edgeprof.firmware.build import build_program, reference_sources
from edgeprof.quantize import quantize
from edgeprof.sources import capture_boards
from edgeprof.store import Dataset

PROMPT = "In Tambery there"


def exact_boards() -> list[str]:
    """Return the emulated boards that count the same on every execution."""
    return [name for name in boards.names() if boards.get(name).clock != "host"]


def board_of(target: str) -> str:
    """Return the board that a target of the firmware's build is for."""
    return target.partition("-")[0]


def prebuilt(target: str) -> Path:
    """Return the image of a target that comes with edgeprof."""
    return Path(firmware("prebuilt", f"{target}.{'wasm' if target == 'wasm' else 'elf'}"))


def reference_firmware(target: str, out: Path, *defines: str) -> Path:
    """Build the reference firmware with further options for the compiler; return its image."""
    return build_program(target, reference_sources(), out, defines=defines)


def model_file(name: str, quant: str, folder: Path) -> Path:
    """Return one of the reference models in a quantization; it is made once a folder."""
    source = resources.path(f"data/models/{name}-F16.gguf")
    file = folder / f"{name}-{quant}.gguf"
    if quant == "F16":
        return source
    return file if file.exists() else quantize(source, file, quant).path


def generate(target: str, model: Path, folder: Path, n: int, *, image: Path | None = None) -> Dataset:
    """Return the capture of one generation of ``n`` tokens, with a target's own image or another one.

    ``host`` has no image of its own here: it is compiled when it starts.
    """
    if image is None and target != "host":
        image = prebuilt(target)
    job = Generation("measured", PROMPT, n)
    capture_boards([board_of(target)], folder, [job], model=model, image=image, idle_seconds=120.0)
    return edgeprof.open(folder)
