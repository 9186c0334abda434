"""A declarative Jenkinsfile has the structure that only a running Jenkins checks; npm-groovy-lint knows Groovy.

``python tests/ci/jenkins_rules.py FILE`` prints findings, a line each, and ends with 1 if there is one: a section or a
step that there is not, a stage without work or with two kinds of it, a shell step that runs something else than one nox
session.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import workflow_rules

WORK = {"steps", "parallel", "matrix", "stages"}
POST = {
    "always",
    "changed",
    "fixed",
    "regression",
    "aborted",
    "failure",
    "success",
    "unstable",
    "unsuccessful",
    "cleanup",
}
STEPS = {
    "archiveArtifacts", "checkout", "deleteDir", "dir", "echo", "junit", "lock", "publishHTML", "retry", "sh", "stash",
    "timeout", "unstash", "withCredentials",
}  # fmt: skip
SECTIONS = {
    "": {"pipeline"},
    "pipeline": {"agent", "environment", "options", "parameters", "post", "stages", "tools", "triggers"},
    "stages": {"stage"},
    "parallel": {"stage"},
    "stage": {"agent", "environment", "failFast", "input", "options", "post", "tools", "when", *WORK},
    "matrix": {"agent", "axes", "environment", "excludes", "options", "post", "stages", "when"},
    "axes": {"axis"},
    "axis": {"name", "values"},
    "agent": {"docker", "dockerfile", "label"},
    "options": {
        "buildDiscarder", "disableConcurrentBuilds", "disableResume", "retry", "skipDefaultCheckout", "timeout",
        "timestamps",
    },
    "triggers": {"cron", "pollSCM", "upstream"},
    "when": {"allOf", "anyOf", "branch", "changeRequest", "environment", "not", "tag"},
    "post": POST,
    "steps": STEPS,
    **dict.fromkeys(POST, STEPS),
    **dict.fromkeys(("lock", "dir", "retry", "timeout", "withCredentials"), STEPS),
}  # fmt: skip
"""What may stand in what. In `environment` stand assignments."""

TOKEN = re.compile(
    r"(?P<skip>[ \t\r]+|//[^\n]*|/\*.*?\*/)|(?P<text>'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")"
    r"|(?P<end>[\n;])|(?P<word>[\w.]+)|(?P<sign>[^\w\s])",
    re.DOTALL,
)


@dataclass
class Part:
    """A section or a step: its name, what follows the name, what stands in its braces."""

    name: str
    args: list[str] = field(default_factory=list)
    inside: list[Part] | None = None

    def all(self, name: str) -> list[Part]:
        return [part for part in self.inside or () if part.name == name]


def parsed(text: str) -> list[Part]:
    """Return the parts of a Jenkinsfile; ValueError says where braces do not match."""
    tokens = [(m.lastgroup, m[0]) for m in TOKEN.finditer(text) if m.lastgroup != "skip"]
    stack: list[list[Part]] = [[]]
    depth = 0
    part: Part | None = None
    for kind, token in tokens:
        if token in ("(", "["):
            depth += 1
        elif token in (")", "]"):
            depth -= 1
        if depth == 0 and kind == "end":
            part = None
        elif depth == 0 and token == "{":
            if part is None:
                raise ValueError("a brace opens after nothing")
            part.inside = []
            stack.append(part.inside)
            part = None
        elif depth == 0 and token == "}":
            stack.pop()
            if not stack:
                raise ValueError("a brace closes that none opened")
            part = None
        elif part is None:
            part = Part(token)
            stack[-1].append(part)
        elif kind != "end":
            part.args.append(token)
    if len(stack) != 1 or depth:
        raise ValueError("a brace or a bracket is not closed")
    return stack[0]


def judged(text: str, known: dict[str, set[str]]) -> list[str]:
    """Return what is wrong with a Jenkinsfile, in words."""
    try:
        parts = parsed(text)
    except ValueError as error:
        return [str(error)]
    found = [*within("", parts, {}, known)]
    if [part.name for part in parts] != ["pipeline"]:
        return [*found, "is not one pipeline"]
    named = {part.name for part in parts[0].inside or ()}
    return [*found, *(f"the pipeline has no `{name}`" for name in ("agent", "stages") if name not in named)]


def within(section: str, parts: list[Part], axes: dict[str, list[str]], known: dict[str, set[str]]) -> Iterator[str]:
    """Yield what is wrong inside of a section."""
    if section == "environment":
        yield from (f"environment: {part.name} is not assigned" for part in parts if part.args[:1] != ["="])
        return
    for part in parts:
        if part.name not in SECTIONS.get(section, ()):
            yield f"`{part.name}` does not belong into {f'`{section}`' if section else 'the file'}"
        if part.name == "stage":
            kinds = sorted(WORK & {inner.name for inner in part.inside or ()})
            if len(kinds) != 1:
                yield f"stage {' '.join(part.args)} has {' and '.join(kinds) or 'nothing to do'}"
        inner_axes = axes
        if part.name == "matrix":
            inner_axes = axes | {
                axis.all("name")[0].args[0].strip("'"): [v.strip("'") for v in axis.all("values")[0].args if v != ","]
                for group in part.all("axes")
                for axis in group.all("axis")
                if axis.all("name") and axis.all("values")
            }
        if part.name == "sh":
            yield from of_shell(part, axes, known)
        if part.inside is not None:
            yield from within(part.name, part.inside, inner_axes, known)


def of_shell(part: Part, axes: dict[str, list[str]], known: dict[str, set[str]]) -> Iterator[str]:
    """Yield what is wrong with a shell step."""
    script = next((arg for arg in part.args if arg[0] in "'\""), "''")
    if script[0] == '"':
        yield f"sh {script}: Groovy fills in what stands in double quotes, and so what somebody named a branch: say '…'"
    used = [name for name in re.findall(r"\$\{?(\w+)\}?", script) if name in axes]
    for values in itertools.product(*(axes[name] for name in used)):
        command = script[1:-1]
        for name, value in zip(used, values, strict=True):
            command = re.sub(rf"\$\{{?{name}\}}?", value, command)
        yield from workflow_rules.of_run(command.replace('"', ""), {}, known)


def main() -> int:
    """Judge a file."""
    found = judged(Path(sys.argv[1]).read_text(encoding="utf-8"), workflow_rules.sessions())
    print(
        "\n".join(f"{sys.argv[1]}: {what}" for what in found) or f"{sys.argv[1]} is a declarative pipeline of sessions"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
