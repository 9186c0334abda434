"""A deployed edgeprof, asked over HTTP: is it up, closed without the token, open with it, and the one expected?

``EDGEPROF_STAGING_URL`` names it, ``EDGEPROF_STAGING_TOKEN_FILE`` the file with its token; ``EDGEPROF_STAGING_VERSION``
is the version that is expected, ``EDGEPROF_STAGING_REVISION`` the commit of its image,
``EDGEPROF_STAGING_RETRY_SECONDS`` how long it may take to come up, ``EDGEPROF_STAGING_ENVIRONMENT`` its name (staging).
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ci.box_http import wait_for_health

pytestmark = pytest.mark.staging

EXPLORER = "/voila/render/90_explore.ipynb"
GUARDED = [
    "/", EXPLORER, "/metrics", "/api/contents", "/api/kernels", "/api/sessions", "/api/terminals", "/lab",
    "/files/90_explore.ipynb", "/terminals/websocket/1",
]  # fmt: skip
PAGE_SECONDS = 120


def told(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        pytest.fail(f"{name} is not set.")
    return value


class Unfollowed(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer here: it might lead to another host."""

    def redirect_request(self, *args, **kwargs):
        return None


def ask(path: str, token: str = "", seconds: float = 30) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(told("EDGEPROF_STAGING_URL").rstrip("/") + path, headers=headers)
    try:
        with urllib.request.build_opener(Unfollowed).open(request, timeout=seconds) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode("utf-8", "replace")


@pytest.fixture(scope="session", autouse=True)
def named(record_testsuite_property):
    """The JUnit file says which environment it is of: the deployment report joins it to the deployment by that."""
    record_testsuite_property("environment", os.environ.get("EDGEPROF_STAGING_ENVIRONMENT", "staging"))


@pytest.fixture(scope="module")
def token() -> str:
    return Path(told("EDGEPROF_STAGING_TOKEN_FILE")).read_text(encoding="utf-8").strip()


@pytest.fixture(scope="module")
def metrics(token):
    status, body = ask("/metrics", token)
    assert status == 200
    return {family.name: family for family in text_string_to_metric_families(body)}


def test_it_is_healthy():
    seconds = float(os.environ.get("EDGEPROF_STAGING_RETRY_SECONDS", "60"))
    attempts = wait_for_health(told("EDGEPROF_STAGING_URL"), seconds)
    assert attempts[-1]["answer"] == 200, attempts[-1]


@pytest.mark.parametrize("path", GUARDED)
def test_it_refuses_who_has_no_token(path):
    assert ask(path)[0] in (401, 403)
    assert ask(path, "0" * 64)[0] in (401, 403)


def test_its_metrics_are_prometheus_s(metrics):
    (readable,) = metrics["edgeprof_data_readable"].samples
    assert readable.value == 1
    assert {"edgeprof_captures", "edgeprof_runs", "edgeprof_tokens", "edgeprof_kernels"} <= set(metrics)


def test_it_is_the_version_that_was_deployed(metrics):
    (info,) = metrics["edgeprof_info"].samples
    assert info.labels["version"]
    if wanted := os.environ.get("EDGEPROF_STAGING_VERSION"):
        assert info.labels["version"] == wanted
    if wanted := os.environ.get("EDGEPROF_STAGING_REVISION"):
        assert info.labels["revision"] == wanted, "another image was deployed in the meantime"


def test_the_explorer_s_page_answers(token):
    status, body = ask(EXPLORER, token, PAGE_SECONDS)
    assert status == 200
    assert "kernelId" in body and "</html>" in body
