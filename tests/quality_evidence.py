"""Good evidence for the quality gate, as the sample's generator makes it, and ways to spoil one piece of it."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeprof import resources
from edgeprof.quality import Quality, Rules, judge_folder, load_rules


def _generator() -> ModuleType:
    """Return data/quality/make_sample.py, which is a script and not in the package."""
    spec = importlib.util.spec_from_file_location("make_sample", resources.path("data/quality/make_sample.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sample = _generator()
RULES: Rules = load_rules()


def good(folder: Path, profile: str = "hosted") -> Path:
    """Write all that a profile requires into a folder, all of it good."""
    return sample.write(folder, sample.evidence(RULES, profile))


def path_of(name: str) -> str:
    """Return where the evidence of a name lies in what :func:`good` writes."""
    return sample.path_of(next(one for one in RULES.evidence if one.name == name))


def change_json(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change what a JSON file says: in place, or by what ``change`` returns."""
    path = folder / path_of(name)
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(change(data) or data), encoding="utf-8")


def change_case(folder: Path, name: str, inside: str) -> None:
    """Put an element into the last test of a JUnit file."""
    path = folder / path_of(name)
    text, changed = re.subn(r" />(?=</testsuite>)", f">{inside}</testcase>", path.read_text(encoding="utf-8"))
    assert changed == 1
    path.write_text(text, encoding="utf-8")


def judged(folder: Path, profile: str = "hosted") -> Quality:
    """Judge a folder by the project's own rules."""
    return judge_folder(folder, profile)


def bad(quality: Quality) -> dict[str, str]:
    """Return the reasons of what failed, by name."""
    return {check.name: " ".join(check.reasons) for check in quality.of("fail")}
