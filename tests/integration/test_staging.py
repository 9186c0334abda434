"""``tests/staging`` passes on a real server, and fails on one that is ill, open, silent or another version."""

from __future__ import annotations

import contextlib
import http.server
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from serving import ROOT, serving, token_file

import edgeprof

pytestmark = [pytest.mark.once, pytest.mark.slow]

TOKEN = "a-token-of-the-tests-0123456789"
METRICS = """\
edgeprof_info{version="9.9.9",revision=""} 1
edgeprof_data_readable 1
edgeprof_captures 1
edgeprof_runs 1
edgeprof_tokens 1
edgeprof_kernels 0
"""


def staging(folder: Path, url: str, **more: str) -> dict[str, bool]:
    """Run tests/staging; return whether each of its tests passed."""
    report = folder / "staging.xml"
    told = {
        "EDGEPROF_STAGING_URL": url,
        "EDGEPROF_STAGING_TOKEN_FILE": str(token_file(folder, TOKEN)),
        "EDGEPROF_STAGING_RETRY_SECONDS": "2",
    }
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("EDGEPROF_STAGING", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "staging", "tests/staging"]
    done = subprocess.run(
        [*command, f"--junitxml={report}"],
        cwd=ROOT, env=environment | told | more, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    cases = list(ET.parse(report).getroot().iter("testcase"))
    assert all(case.find("skipped") is None for case in cases)
    good = {c.get("name"): c.find("failure") is None and c.find("error") is None for c in cases}
    assert all(good.values()) == (done.returncode == 0)
    return good


@contextlib.contextmanager
def server(answers, asks_for_token: bool = True):
    """A server that answers so much and no more."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            status, body = answers.get(self.path, (404, ""))
            if asks_for_token and not known and self.path != "/health":
                status, body = 401, ""
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args):
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


PAGE = (200, "<html>kernelId</html>")
GOOD = {
    "/health": (200, "{}"), "/metrics": (200, METRICS), "/": PAGE, "/voila/render/90_explore.ipynb": PAGE,
}  # fmt: skip
OFTEN = {"open"}
FAULTS = {
    "ill": (GOOD | {"/health": (503, "{}")}, True, {"test_it_is_healthy"}),
    "no page": (GOOD | {"/voila/render/90_explore.ipynb": (500, "")}, True, {"test_the_explorer_s_page_answers"}),
    "metrics of no kind": (
        GOOD | {"/metrics": (200, "no metrics {")}, True,
        {"test_its_metrics_are_prometheus_s", "test_it_is_the_version_that_was_deployed"},
    ),
    "data unreadable": (
        GOOD | {"/metrics": (200, METRICS.replace("readable 1", "readable 0"))}, True,
        {"test_its_metrics_are_prometheus_s"},
    ),
    "open": (
        GOOD, False,
        {f"test_it_refuses_who_has_no_token[{path}]" for path in [
            "/", "/voila/render/90_explore.ipynb", "/metrics", "/api/contents", "/api/kernels", "/api/sessions",
            "/api/terminals", "/lab", "/files/90_explore.ipynb", "/terminals/websocket/1",
        ]},
    ),
}  # fmt: skip


def test_a_real_server_passes(tmp_path):
    with serving(tmp_path, token=TOKEN) as real:
        good = staging(tmp_path, real.url, EDGEPROF_STAGING_VERSION=edgeprof.__version__)
        assert len(good) > 10 and all(good.values()), good


@pytest.mark.nightly
def test_another_version_is_noticed(tmp_path):
    with serving(tmp_path, token=TOKEN) as real:
        for wrong in ({"EDGEPROF_STAGING_VERSION": "0.0.0"}, {"EDGEPROF_STAGING_REVISION": "f" * 40}):
            good = staging(tmp_path, real.url, **wrong)
            assert [name for name, passed in good.items() if not passed] == ["test_it_is_the_version_that_was_deployed"]


def test_the_little_server_passes_where_nothing_is_broken(tmp_path):
    with server(GOOD) as url:
        assert all(staging(tmp_path, url).values())


@pytest.mark.parametrize(
    "fault", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.nightly) for name in FAULTS]
)
def test_a_broken_server_fails(tmp_path, fault):
    answers, asks_for_token, expected = FAULTS[fault]
    with server(answers, asks_for_token) as url:
        good = staging(tmp_path, url)
    assert {name for name, passed in good.items() if not passed} == expected


@pytest.mark.nightly
def test_nobody_there_fails(tmp_path):
    with server(GOOD) as url:
        pass
    good = staging(tmp_path, url)
    assert not any(good.values())


def test_without_an_address_every_test_fails(tmp_path):
    assert not any(staging(tmp_path, "").values())
