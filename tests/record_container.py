"""Write what ``nox -s container`` saw to docs/results, with the machine that it was seen on."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from machine import record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seen", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    record(args.out, json.loads(args.seen.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
