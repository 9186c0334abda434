"""Build the reference firmware of a board from its C sources: ELF and BIN, UF2 for the RP2040, or WebAssembly.

  edgeprof firmware build stm32f405                 (into the current folder)
  edgeprof firmware build stm32f405 --out DIR
  edgeprof firmware build --list

The images that come with edgeprof were built so; the same compiler makes the same bytes. They are for the emulated
boards: on real silicon the firmware comes through the maker's SDK (docs/instrument.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("action", choices=("build",))
    parser.add_argument("target", nargs="*", metavar="BOARD", help="what to build; see --list")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder for images and manifest.json")
    parser.add_argument("--list", action="store_true", help="list what can be built, and with which compiler")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof import units
    from edgeprof.errors import EdgeprofError, StorageError, UsageError
    from edgeprof.firmware.build import build, compiler_of, note, targets

    if args.list:
        for target in targets():
            try:
                compiler = compiler_of(target)
            except UsageError as error:
                compiler = str(error)
            print(f"{target}: {compiler}")
        return 0
    if not args.target:
        raise UsageError(f"Which board? One of {', '.join(targets())}.")
    for target in args.target:
        try:
            built = build(target, args.out)
            note(built, args.out / "manifest.json")
        except OSError as error:
            if isinstance(error, EdgeprofError):
                raise
            raise StorageError(f"{args.out} cannot be written ({error.strerror}). Choose another --out.") from error
        for name, (size, digest) in built.files.items():
            print(f"{args.out / name}: {units.iec(size)}, SHA-256 {digest}")
    return 0
