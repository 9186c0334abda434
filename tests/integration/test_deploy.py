"""``ci/deploy`` as a process, with a compose command that writes down what it is told, and a real HTTP server."""

from __future__ import annotations

import http.server
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLD, GOOD, BAD = (f"registry.example/edgeprof@sha256:{c * 64}" for c in "abc")
COMPOSE = """\
import json, os, sys
from pathlib import Path
here = Path(__file__).parent
image = os.environ["EDGEPROF_IMAGE"]
with (here / "calls.jsonl").open("a", encoding="utf-8") as out:
    out.write(json.dumps({"args": sys.argv[1:], "image": image}) + "\\n")
if (here / "refused").exists() and (here / "refused").read_text(encoding="utf-8") == image:
    sys.exit("no such image")
(here / "running").write_text(image if "up" in sys.argv else "", encoding="utf-8")
"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="only on systems with bash")]


class Host:
    """A machine with a compose command, on which images run that are healthy or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sick: set[str] = set()
        self.slow = 0  # so many answers are 503 before the first 200
        (folder / "compose.py").write_text(COMPOSE, encoding="utf-8")
        host = self

        class Health(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                running = (folder / "running").read_text(encoding="utf-8")
                good = self.path == "/health" and running and running not in host.sick and host.slow <= 0
                host.slow -= 1
                self.send_response(200 if good else 503)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def end(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def deploy(self, *args: str, seconds: float = 3, **env: str) -> subprocess.CompletedProcess[str]:
        given = {
            "EDGEPROF_COMPOSE": shlex.join([sys.executable, str(self.folder / "compose.py")]),
            "EDGEPROF_DATA": "/srv/data",
            "EDGEPROF_TOKEN_PATH": "/srv/token",
        }
        options = [
            f"--url=http://127.0.0.1:{self.server.server_port}", f"--retry-seconds={seconds}",
            f"--state={self.folder / 'state'}", f"--evidence={self.folder / 'evidence'}",
        ]  # fmt: skip
        command = [str(ROOT / "ci" / "deploy"), *args, *options]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EDGEPROF_")} | given | env
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=60, env=environment, cwd=self.folder
        )

    def calls(self) -> list[tuple[str, str]]:
        path = self.folder / "calls.jsonl"
        listed = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
        return [("down" if "down" in call["args"] else "up", call["image"]) for call in listed]

    def state(self) -> dict[str, str]:
        return json.loads((self.folder / "state" / "staging.json").read_text(encoding="utf-8"))

    def evidence(self) -> list[dict]:
        found = sorted((self.folder / "evidence").glob("*.json"), key=lambda p: p.stat().st_mtime_ns)
        return [json.loads(path.read_text(encoding="utf-8")) for path in found]


@pytest.fixture
def host(tmp_path):
    made = Host(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize(
    "image",
    ["edgeprof", "edgeprof:latest", "edgeprof@sha256:abc", f"edgeprof@sha256:{'A' * 64}", f"e@sha256:{'a' * 65}"],
)
def test_an_image_without_its_digest_is_refused(host, image):
    done = host.deploy("staging", image)
    assert done.returncode == 3
    assert "has no digest" in done.stderr and "@sha256:" in done.stderr
    assert host.calls() == [] and host.evidence() == []


@pytest.mark.parametrize(
    ("args", "env", "said"),
    [
        (["staging", GOOD], {"EDGEPROF_DATA": ""}, "EDGEPROF_DATA must be set"),
        (["staging", GOOD], {"EDGEPROF_TOKEN_PATH": ""}, "EDGEPROF_TOKEN_PATH must be set"),
        (["Staging/..", GOOD], {}, "An environment is"),
        (["staging"], {}, "Name an image, or --rollback"),
        (["staging", GOOD, "--rollback"], {}, "Name an image, or --rollback"),
        (["staging", "--rollback"], {}, "knows no image before"),
        ([], {}, "required: environment"),
    ],
    ids=["data", "token", "environment", "neither", "both", "nothing-before", "nothing"],
)
def test_wrong_use_changes_nothing(host, args, env, said):
    done = host.deploy(*args, **env)
    assert done.returncode == 3
    assert said in done.stderr
    assert host.calls() == []


def test_health_is_asked_until_it_answers(host):
    host.slow = 2
    done = host.deploy("staging", GOOD, "--version=0.1.0", "--commit=abc")
    assert done.returncode == 0, done.stderr
    assert host.calls() == [("up", GOOD)]
    assert host.state() == {"current": GOOD, "previous": ""}
    (seen,) = host.evidence()
    assert [attempt["answer"] for attempt in seen["attempts"]] == [503, 503, 200]
    assert (seen["result"], seen["image"], seen["version"], seen["commit"]) == ("deployed", GOOD, "0.1.0", "abc")
    assert [a["after_seconds"] for a in seen["attempts"]] == sorted(a["after_seconds"] for a in seen["attempts"])


def test_an_image_that_does_not_come_up_gives_way_to_the_one_before(host):
    host.deploy("staging", OLD)
    host.sick.add(BAD)
    done = host.deploy("staging", BAD, seconds=1)
    assert done.returncode == 1
    assert host.calls() == [("up", OLD), ("up", BAD), ("up", OLD)]
    assert host.state()["current"] == OLD
    seen = host.evidence()[-1]
    assert seen["result"] == "rolled back" and "/health: 503" in seen["why"]
    assert {a["answer"] for a in seen["attempts"]} == {503} and len(seen["attempts"]) > 1
    assert seen["rollback_attempts"][-1]["answer"] == 200


def test_what_compose_cannot_start_gives_way_too(host):
    host.deploy("staging", OLD)
    (host.folder / "refused").write_text(BAD, encoding="utf-8")
    assert host.deploy("staging", BAD).returncode == 1
    assert host.calls() == [("up", OLD), ("up", BAD), ("up", OLD)]
    assert "up ended with 1" in host.evidence()[-1]["why"]


def test_a_first_image_that_does_not_come_up_is_taken_down(host):
    host.sick.add(BAD)
    assert host.deploy("staging", BAD, seconds=1).returncode == 2
    assert host.calls() == [("up", BAD), ("down", BAD)]
    assert host.evidence()[-1]["result"] == "failed"
    assert not (host.folder / "state" / "staging.json").exists()


def test_where_neither_comes_up_it_says_so(host):
    host.deploy("staging", OLD)
    host.sick |= {OLD, BAD}
    done = host.deploy("staging", BAD, seconds=1)
    assert done.returncode == 2
    assert "the image before does not come up either" in done.stdout
    assert host.state()["current"] == OLD


def test_rollback_deploys_what_ran_before(host):
    for image in (OLD, GOOD, GOOD):  # the same once more does not hide what was before it
        assert host.deploy("staging", image).returncode == 0
    assert host.state() == {"current": GOOD, "previous": OLD}
    assert host.deploy("staging", "--rollback").returncode == 0
    assert host.calls()[-1] == ("up", OLD)
    assert host.state() == {"current": OLD, "previous": GOOD}


def test_environments_are_kept_apart(host):
    host.deploy("staging", OLD)
    host.deploy("production", GOOD)
    lines = (host.folder / "calls.jsonl").read_text(encoding="utf-8").splitlines()
    projects = [args[args.index("-p") + 1] for args in (json.loads(line)["args"] for line in lines)]
    assert projects == ["edgeprof-staging", "edgeprof-production"]
    assert host.state()["current"] == OLD


def test_a_damaged_state_stops_it(host):
    (host.folder / "state").mkdir()
    (host.folder / "state" / "staging.json").write_text("{", encoding="utf-8")
    done = host.deploy("staging", GOOD)
    assert done.returncode == 3 and "is damaged" in done.stderr
    assert host.calls() == []


def test_the_page_s_commands_deploy(host):
    page = (ROOT / "docs" / "container.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh by=\S+::test_the_page_s_commands_deploy\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    export, deploy, back = block.strip().splitlines()
    told = dict(word.split("=") for word in shlex.split(export)[1:])
    image = shlex.split(deploy)[2]
    assert host.deploy("staging", OLD, **told).returncode == 0
    assert shlex.split(deploy)[:2] == ["ci/deploy", "staging"]
    assert host.deploy(*shlex.split(deploy)[1:], **told).returncode == 0
    assert host.deploy(*shlex.split(back)[1:], **told).returncode == 0
    assert host.calls() == [("up", OLD), ("up", image), ("up", OLD)]


def test_the_host_is_asked_what_runs_where_nothing_is_remembered(host):
    """As from a pipeline, whose machine is new each time."""
    docker = host.folder / "bin" / "docker"
    docker.parent.mkdir()
    program = f"#!{sys.executable}\nimport sys\n" + COMPOSE.replace(
        "here = Path(__file__).parent\n",
        'here = Path(__file__).parents[1]\nif sys.argv[1] == "ps":\n'
        '    assert "label=com.docker.compose.project=edgeprof-staging" in sys.argv\n'
        '    image = (here / "running").read_text(encoding="utf-8")\n'  # docker cuts the digest off where not told
        '    print(image if "--no-trunc" in sys.argv else image.partition("@")[0])\n    sys.exit()\n',
    )
    docker.write_text(program, encoding="utf-8")
    docker.chmod(0o755)
    (host.folder / "running").write_text(OLD, encoding="utf-8")
    host.sick.add(BAD)
    done = host.deploy("staging", BAD, EDGEPROF_COMPOSE="", PATH=f"{docker.parent}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 1, done.stderr
    assert host.calls() == [("up", BAD), ("up", OLD)]
    assert host.evidence()[-1]["previous"] == OLD
