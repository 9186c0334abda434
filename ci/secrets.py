"""No key, token or password is in what git tracks: detect-secrets, with what is known in .secrets.baseline.

``python -m ci.secrets`` ends with 1 where there is a new one; ``--report FILE`` leaves what was found as JSON, without
the secret itself. ``--update`` writes the baseline anew, after a look at each: it is no place for real ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from detect_secrets import SecretsCollection
from detect_secrets.core import baseline
from detect_secrets.settings import configure_settings_from_baseline, default_settings, get_settings

from ci.tracked import tracked as project_files

ROOT = Path(__file__).resolve().parents[1]
BASELINE = ".secrets.baseline"
CACHE = ".nox/secrets.json"
"""The files in which nothing was found, by what they hold: a second look takes a second."""

BINARY = (".bin", ".elf", ".gguf", ".parquet", ".png", ".uf2", ".wasm")
MEASURED = "/capture="
"""What boards sent and edgeprof wrote, 1,700 files that nobody types into; what is beside them in data/ is read."""

NOT_SECRET = (
    r'^\s*"image/png": "iVBOR',  # pictures among the outputs of notebooks: random letters, 200,000 on a line
    r'sha256": "[0-9a-f]{64}"',  # of the firmware and the models; they change with it
    r'\("[0-9a-f]{40}", "v\d',  # commits of actions, which a rule demands
)
HEURISTICS = (
    "likely_id_string", "not_alphanumeric_string", "potential_uuid", "prefixed_with_dollar_sign",
    "sequential_string", "templated_secret",
)  # fmt: skip
"""detect-secrets' own, as on its command line but for two: the one that *verifies* sends what looks like a key to the
service that the key is for; `indirect_reference` takes a third of the time, and lets more pass."""
NOT_HERE = (
    "ArtifactoryDetector", "CloudantDetector", "DiscordBotTokenDetector", "IbmCloudIamDetector", "IbmCosHmacDetector",
    "IPPublicDetector", "MailchimpDetector", "SendGridDetector", "SoftlayerDetector", "SquareOAuthDetector",
    "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
"""Services that nobody here has an account with, and addresses, which versions look like: each detector reads every
line, and these would double the time. A key of theirs in quotes is random letters, which are found all the same."""


def tracked(root: Path = ROOT) -> list[str]:
    """Return the project's files, staged ones included, which somebody may have typed a secret into."""
    names = project_files(root)
    return [name for name in names if not name.endswith(BINARY) and MEASURED not in name and name != BASELINE]


def scan(names: list[str]) -> SecretsCollection:
    """Return what looks like a secret in files of the working directory, by the settings that hold now."""
    found = SecretsCollection()
    if names:
        found.scan_files(*names, num_processors=min(os.cpu_count() or 1, 1 + len(names) // 20))
    return found


def scan_changed(names: list[str], cache: Path) -> SecretsCollection:
    """Return what :func:`scan` does, leaving out files that were clean when a cache was written."""
    settings = json.dumps([get_settings().json(), version("detect-secrets")], sort_keys=True)
    told = json.loads(cache.read_text(encoding="utf-8")) if cache.is_file() else {}
    clean = set(told.get("clean", ())) if told.get("settings") == settings else set()
    # The name counts, too: detect-secrets reads a file by what its name ends with.
    held = {name: hashlib.sha256(name.encode() + b"\0" + Path(name).read_bytes()).hexdigest() for name in names}
    found = scan([name for name in names if held[name] not in clean])
    now = sorted(held[name] for name in names if name not in found.files)
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text(json.dumps({"settings": settings, "clean": now}), encoding="utf-8")
    return found


def new_ones(found: SecretsCollection, known: SecretsCollection) -> list[dict[str, Any]]:
    """Return what was found and is not known, as it stands in the report; a known one may have moved."""
    return [
        {"file": Path(name).as_posix(), "line": secret.line_number, "type": secret.type}
        for name, secret in sorted(found - known, key=lambda one: (one[0], one[1].line_number, one[1].type))
    ]


def update(names: list[str]) -> None:
    """Write the baseline anew, with the settings that every scan goes by."""
    with default_settings() as settings:
        settings.disable_plugins(*NOT_HERE)
        settings.configure_filters(
            [
                {"path": "detect_secrets.filters.allowlist.is_line_allowlisted"},
                *({"path": f"detect_secrets.filters.heuristic.is_{name}"} for name in HEURISTICS),
                {"path": "detect_secrets.filters.regex.should_exclude_line", "pattern": list(NOT_SECRET)},
            ]
        )
        told = baseline.format_for_output(scan(names))
    told.pop("generated_at", None)  # when is no business of a diff
    Path(BASELINE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Look for secrets; return 1 where there is a new one."""
    parser = argparse.ArgumentParser(prog="python -m ci.secrets", description=__doc__)
    parser.add_argument("--report", type=Path, help="write what was found to this JSON file")
    parser.add_argument("--update", action="store_true", help="take everything that is found as known")
    args = parser.parse_args(argv)
    report = args.report and args.report.absolute()
    os.chdir(ROOT)
    names = tracked()
    if args.update:
        update(names)
    told = baseline.load_from_file(BASELINE)
    known = baseline.load(told, BASELINE)
    configure_settings_from_baseline(told, BASELINE)
    new = new_ones(scan_changed(names, Path(CACHE)), known)
    if report:
        report.write_text(json.dumps({"checked_files": len(names), "new": new}, indent=1) + "\n", encoding="utf-8")
    for one in new:
        print(f"{one['file']}:{one['line']}: {one['type']}")
    if new:
        print(
            "Take it out, and withdraw it where it is valid: what was committed stays in the history.\n"
            "No secret? Write `pragma: allowlist secret` in a comment there, or: python -m ci.secrets --update"
        )
    print(f"{len(names)} files looked at, {len(new)} new secrets")
    return 1 if new or not names else 0


if __name__ == "__main__":
    sys.exit(main())
