"""The verdict over all evidence: what is there and good, what is bad, what was not run, and what that means.

Pure: it takes texts. :mod:`edgeprof.quality.evidence` finds and reads the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgeprof.display import Shown, Table
from edgeprof.errors import unknown_name
from edgeprof.quality.kinds import KINDS
from edgeprof.quality.reading import Reading, UnreadableError, counted
from edgeprof.quality.rules import PROFILES, Evidence, Limits, Rules

__all__ = ["Check", "File", "Outcome", "Quality", "Verdict", "judge"]

Outcome = Literal["pass", "fail", "not run"]
Verdict = Literal["pass", "fail", "incomplete here"]
File = tuple[str, str | Exception]
"""A file's path below the folder of evidence, and its text, or why that could not be read."""

TOGETHER = "all security tools together"


@dataclass(frozen=True, slots=True)
class Check:
    """One piece of evidence, judged.

    Attributes
    ----------
    name, kind
        As the rules have them.
    outcome
        ``pass``, ``fail`` or ``not run``.
    shown
        Its figures in words; ``not run`` where there are none.
    reasons
        Why it did not pass: what was wanted, what was found, what to do next.
    noted
        What a reader should know of it although it is no reason to fail.
    files
        The files that were found, below the folder of evidence.
    reading
        What those say; None where none could be read.
    """

    name: str
    kind: str
    outcome: Outcome
    shown: str
    reasons: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    reading: Reading | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Quality(Shown):
    """All evidence of a build, judged under a profile."""

    profile: str
    limits: Limits
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """Return ``fail`` if anything is bad, else ``incomplete here`` if anything was not run, else ``pass``."""
        found = {check.outcome for check in self.checks}
        if "fail" in found or "pass" not in found:
            return "fail"
        return "incomplete here" if "not run" in found else "pass"

    @property
    def exit_code(self) -> int:
        """Return what a build ends with: 0, or 1 for what failed; incomplete is good enough only offline."""
        good: tuple[Verdict, ...] = ("pass", "incomplete here") if self.profile == "offline" else ("pass",)
        return 0 if self.verdict in good else 1

    @property
    def headline(self) -> str:
        """Return the verdict with the counts behind it."""
        words: tuple[tuple[Outcome, str], ...] = (("pass", "good"), ("fail", "bad"), ("not run", "not run"))
        counts = [f"{len(self.of(outcome))} {word}" for outcome, word in words if self.of(outcome)]
        return f"{self.verdict}, by the profile {self.profile}: of {len(self.checks)} checks {', '.join(counts)}"

    def of(self, *outcomes: Outcome) -> list[Check]:
        """Return the checks that came to one of these."""
        return [check for check in self.checks if check.outcome in outcomes]

    def rows(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the figures of all evidence of a kind that could be read."""
        return [row for check in self.checks if check.kind == kind and check.reading for row in check.reading.rows]

    def _shown(self) -> Iterator[Table | str]:
        from edgeprof.quality.tables import evidence_table, reasons_table

        yield self.headline
        yield Table(evidence_table(self))
        if any(check.reasons or check.noted for check in self.checks):
            yield Table(reasons_table(self), longest=600)


def judge(rules: Rules, profile: str, files: Mapping[str, Sequence[File]]) -> Quality:
    """Judge evidence.

    Parameters
    ----------
    rules
        From :func:`edgeprof.quality.rules.load_rules`.
    profile
        ``offline`` or ``hosted``.
    files
        By the names that evidence has in the rules, the files that were found of it.

    Raises
    ------
    UsageError
        There is no such profile.
    """
    if profile not in PROFILES:
        raise unknown_name("profile", profile, PROFILES, "Choose it with -p profile=NAME.")
    checks = [_check(one, profile, rules.limits, files.get(one.name, ())) for one in rules.evidence]
    return Quality(profile, rules.limits, (*checks, *_together(checks, rules.limits)))


def _check(asked: Evidence, profile: str, limits: Limits, files: Sequence[File]) -> Check:
    required, names = asked.required(profile), tuple(name for name, _ in files)
    if not files:
        if required:
            reason = f"No file matches {asked.glob}; wanted {KINDS[asked.kind].wanted}. {_next(asked)}"
            return Check(asked.name, asked.kind, "fail", "missing", (reason,))
        reason = f"Not run here: {asked.why}. {_next(asked)}"
        return Check(asked.name, asked.kind, "not run", "not run", (reason,))
    found, broken = _read(asked, files)
    if not found:
        return Check(asked.name, asked.kind, "fail", "cannot be read", tuple(broken), files=names)
    reading = KINDS[asked.kind].judge(found, limits)
    # Under hosted everything has to be run and judged; offline that is said, and nobody takes it for clean.
    left = [f"{reason} Everything is required under hosted." for reason in reading.unsettled]
    bad = [*broken, *reading.bad, *(left if profile == "hosted" else ())]
    outcome: Outcome = "fail" if bad else "not run" if left else "pass"
    reasons = tuple(bad) if profile == "hosted" else (*bad, *reading.unsettled)
    return Check(asked.name, asked.kind, outcome, reading.shown, reasons, reading.noted, names, reading)


def _next(asked: Evidence) -> str:
    return f"Made by: {asked.made_by}."


def _read(asked: Evidence, files: Sequence[File]) -> tuple[list[tuple[str, Any]], list[str]]:
    """Return what each file says, and why others cannot be read."""
    kind, found, broken = KINDS[asked.kind], [], []
    for name, content in files:
        try:
            if isinstance(content, Exception):
                raise UnreadableError(str(content)) from content
            found.append((name, kind.read(content)))
        except UnreadableError as error:
            broken.append(f"{name} cannot be read: {error}; wanted {kind.wanted}. {_next(asked)}")
    return found, broken


def _together(checks: Sequence[Check], limits: Limits) -> list[Check]:
    """Return a check that fails where no tool alone found too much, and all of them do."""
    found = [(c.name, c.reading.issues) for c in checks if c.reading and c.reading.issues is not None]
    total, most = sum(issues for _, issues in found), limits.security_issues_threshold
    if total <= most or any(issues > most for _, issues in found):
        return []
    said = ", ".join(f"{name} {issues}" for name, issues in found if issues)
    reason = f"{counted(total, 'finding')} of all tools; wanted at most {most:g}: {said}. Mend or suppress each."
    return [Check(TOGETHER, "sarif", "fail", counted(total, "finding"), (reason,))]
