"""``edgeprof serve``: real processes, real HTTP, real kernels. Who has no token gets nothing but /health."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser import browser
from serving import EXPLORER, REFERENCE, ROOT, serving, token_file, tree
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

import edgeprof
from edgeprof.cli import parser_of

pytestmark = [pytest.mark.once, pytest.mark.slow]

TOKEN = "a-token-of-the-tests-0123456789"
HEALTHY, ILL = {"status": "ok"}, {"status": "unavailable"}
NOT_THERE = "/api/kernels/00000000-0000-4000-8000-000000000000"
# Of Jupyter, Voilà, JupyterLab, terminals and nbconvert, whatever has a handler on an ordinary Jupyter server.
PATHS = [
    "/", "/login", "/logout", "/metrics", "/health/", "/healthz", EXPLORER, "/voila", "/voila/tree", "/voila/tree/x",
    "/voila/render/00_quickstart.ipynb", "/voila/files/x.png", "/voila/api/contents", "/voila/static/voila.js",
    "/voila/templates/lab/static/voila.js", "/voila/templates/a", "/voila/templates/static/x",
    "/voila/labextensions/jupyter-matplotlib/package.json",
    "/voila/api/themes/@jupyterlab/theme-light-extension/index.css",
    "/voila/api/shutdown/00000000-0000-4000-8000-000000000000",
    "/api", "/api/", "/api/status", "/api/me", "/api/spec.yaml", "/api/kernels", NOT_THERE, f"{NOT_THERE}/channels",
    f"{NOT_THERE}/interrupt", f"{NOT_THERE}/restart", "/api/sessions", "/api/kernelspecs", "/api/contents",
    "/api/contents/90_explore.ipynb", "/api/contents/90_explore.ipynb/checkpoints", "/api/config/notebook",
    "/api/security/csp-report", "/api/shutdown", "/api/terminals", "/api/events", "/voila/execution/x",
    "/api/nbconvert", "/nbconvert/html/90_explore.ipynb", "/files/90_explore.ipynb", "/view/x.ipynb", "/edit/x",
    "/static/favicon.ico", "/static/style/index.css", "/favicon.ico", "/custom/custom.css", "/api/events/subscribe",
    "/kernelspecs/python3/logo-64x64.png",
    "/lab", "/lab/tree/x", "/lab/api/settings", "/lab/api/workspaces", "/lab/extensions/x", "/tree", "/terminals/1",
    "/terminals/websocket/1", "/lsp/ws/x", "/doc", "/..%2f..%2fetc/passwd", "/nothing",
]  # fmt: skip
OPEN = {"/", EXPLORER, "/login", "/logout", "/metrics", NOT_THERE, f"{NOT_THERE}/channels"}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return tree(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def server(tmp_path_factory, small):
    with serving(tmp_path_factory.mktemp("served"), at=small, token=TOKEN) as running:
        yield running


def no_token_in(text: str) -> bool:
    return TOKEN not in text


def test_health_says_ok_to_anybody_and_nothing_else(server):
    answer = server.ask("/health")
    assert answer.status == 200 and json.loads(answer.body) == HEALTHY
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers.get_all("Set-Cookie") is None
    head = server.ask("/health", "HEAD")
    assert head.status == 200 and head.body == ""
    assert server.ask("/health", "POST").status in (403, 404, 405)


@pytest.mark.parametrize("path", PATHS)
def test_everything_else_asks_for_the_token(server, path):
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "CONNECT"):
        for headers in ({}, {"Authorization": "Bearer wrong-token-wrong-token"}, {"Authorization": "token "}):
            answer = server.ask(path, method, headers)
            assert answer.status in (401, 403), (method, path, headers, answer.status)
            assert "Location" not in answer.headers and no_token_in(answer.body)
    assert server.ask(f"{path}?token=", headers={"Cookie": "username-x=forged"}).status in (401, 403)


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in PATHS
        if p not in OPEN
        and not p.startswith(("/voila/static", "/voila/templates/lab/", "/voila/lab", "/voila/api/themes"))
    ],
)
def test_with_the_token_there_is_the_explorer_and_little_else(server, path):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        if path.startswith("/voila/api/shutdown") and method == "POST":
            continue
        assert server.ask(path, method, server.bearer).status == 404, (method, path)


def test_a_method_that_nobody_knows_is_refused_with_the_token_too(server):
    for path in (EXPLORER, "/", "/health", "/nothing"):
        assert server.ask(path, "PROPFIND", server.bearer).status == 403, path


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_that_is_there_can_be_written(server, method):
    for path in (EXPLORER, "/", "/metrics", NOT_THERE):
        assert server.ask(path, method, server.bearer, "{}").status == 404, path


def test_no_answer_opens_the_server_to_other_sites(server):
    foreign = {"Origin": "https://elsewhere.example"}
    for headers in (foreign, foreign | server.bearer):
        for path in ("/health", "/metrics", EXPLORER, "/", NOT_THERE, "/login", "/voila/static/voila.js"):
            for method in ("GET", "OPTIONS"):
                answer = server.ask(path, method, headers)
                assert "Access-Control-Allow-Origin" not in answer.headers, (method, path)
    page = server.ask("/")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'self'" in page.headers["Content-Security-Policy"]
    assert "edgeprof" in page.headers["Server"] and "/" not in page.headers["Server"]


def login(server: Any, token: str, *, xsrf: bool = True) -> Any:
    form = server.ask("/")
    field = re.search(r'name="_xsrf" value="([^"]+)"', form.body)[1] if xsrf else ""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": form.cookies()}
    return server.ask("/login?next=%2F", "POST", headers, f"_xsrf={field}&password={token}")


def test_the_form_gives_a_cookie_that_scripts_and_other_sites_do_not_get(server):
    done = login(server, TOKEN)
    assert done.status == 302 and done.headers["Location"] == "/"
    (cookie,) = [c for c in done.headers.get_all("Set-Cookie") if c.startswith("username")]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and no_token_in(cookie)
    home = server.ask("/", headers={"Cookie": done.cookies()})
    assert home.status == 302 and home.headers["Location"].rstrip("?") == EXPLORER
    assert server.ask("/metrics", headers={"Cookie": done.cookies()}).status == 200
    assert server.ask(f"/voila/api/shutdown/{uuid.uuid4()}", "POST", {"Cookie": done.cookies()}, "").status == 403


def test_the_form_refuses(server):
    wrong = login(server, "no-token-of-this-server")
    assert wrong.status == 401 and "not this server" in wrong.body
    assert login(server, TOKEN, xsrf=False).status == 403
    secure = server.ask("/", headers=server.bearer | {"X-Forwarded-Proto": "https"})
    assert any("Secure" in c for c in secure.headers.get_all("Set-Cookie"))  # behind a proxy with TLS


def test_an_address_with_the_token_leads_to_one_without(server):
    for path in ("/", EXPLORER):
        answer = server.ask(f"{path}?token={TOKEN}&a=1%262")
        assert (answer.status, answer.headers["Location"]) == (302, f"{path}?a=1%262")
        assert "username" in answer.cookies()


def test_metrics_for_prometheus(server):
    ds = edgeprof.open(REFERENCE)
    for scheme in ("Bearer", "token"):
        answer = server.ask("/metrics", headers={"Authorization": f"{scheme} {TOKEN}"})
        assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain")
    said = dict(re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", answer.body, re.MULTILINE))
    assert float(said["edgeprof_captures"]) == len(ds.captures)
    assert float(said["edgeprof_runs"]) == len(ds.runs)
    assert float(said["edgeprof_tokens"]) == len(ds.tokens)
    assert float(said["edgeprof_data_bytes"]) == sum(
        p.stat().st_size for p in REFERENCE.glob("capture=*/**/*") if p.is_file()
    )
    assert float(said["edgeprof_newest_capture_age_seconds"]) > 0 and float(said["edgeprof_data_readable"]) == 1
    assert f'edgeprof_info{{revision="",version="{edgeprof.__version__}"}} 1.0' in answer.body
    assert float(said["process_resident_memory_bytes"]) > 1e6
    documented = set(re.findall(r"`((?:edgeprof|process)_\w+)`", (ROOT / "docs/serve.md").read_text(encoding="utf-8")))
    assert {name for name in said if name.startswith("edgeprof")} == {d for d in documented if d.startswith("edgeprof")}


async def channel(server: Any, kernel: str, headers: dict[str, str]) -> Any:
    url = f"{server.url.replace('http', 'ws')}api/kernels/{kernel}/channels?session_id=test"
    return await websocket_connect(HTTPRequest(url, headers=headers))


async def closed(socket: Any) -> None:
    socket.close()
    while await socket.read_message() is not None:
        pass


def message(kind: str, content: dict[str, Any], where: str = "shell") -> str:
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": kind,
        "username": "",
        "session": "test",
        "version": "5.3",
        "date": "2026-01-01T00:00:00Z",
    }
    return json.dumps(
        {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": where, "buffers": []}
    )


def frame(kind: str, content: dict[str, Any], where: str = "shell") -> bytes:
    """The same message in the binary protocol of JupyterLab 4 and Voilà."""
    whole = json.loads(message(kind, content, where))
    parts = [
        where.encode(),
        *(json.dumps(whole[k]).encode() for k in ("header", "parent_header", "metadata", "content")),
    ]
    offsets, at = [], 8 * (len(parts) + 2)
    for part in parts:
        offsets.append(at)
        at += len(part)
    offsets.append(at)
    return b"".join(n.to_bytes(8, "little") for n in (len(offsets), *offsets)) + b"".join(parts)


def test_a_kernel_executes_nothing_that_is_sent_to_it(server, tmp_path):
    proof, kernel = tmp_path / "proof", server.kernel()
    evaluate = {"expression": f"open({str(proof)!r}, 'w')"}
    code = {
        "code": f"open({str(proof)!r}, 'w')",
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
    }

    async def try_it() -> list[str]:
        told: list[str] = []
        for protocol in (None, ["v1.kernel.websocket.jupyter.org"]):
            request = HTTPRequest(
                f"{server.url.replace('http', 'ws')}api/kernels/{kernel}/channels?session_id=t", headers=server.bearer
            )
            socket = await websocket_connect(request, subprotocols=protocol)
            make: Any = frame if protocol else message
            for where in ("shell", "control"):
                for kind, content in (
                    ("execute_request", code),
                    ("debug_request", {"type": "request", "seq": 1, "command": "evaluate", "arguments": evaluate}),
                    ("complete_request", {"code": "os.", "cursor_pos": 3}),
                    ("inspect_request", {"code": "os", "cursor_pos": 1}),
                    ("history_request", {"hist_access_type": "tail", "n": 9}), ("input_reply", {"value": "x"}),
                ):  # fmt: skip
                    await socket.write_message(make(kind, content, where), binary=bool(protocol))
            await socket.write_message(make("comm_info_request", {}), binary=bool(protocol))
            while "comm_info_reply" not in (told[-1] if told else ""):  # what came before it has been dealt with
                told.append(str(await asyncio.wait_for(socket.read_message(), 30)))
            told.append("next")
            await closed(socket)
        return told

    told = asyncio.run(try_it())
    assert sum("comm_info_reply" in text for text in told) == 2
    for kind in ("execute_reply", "debug_reply", "complete_reply", "inspect_reply", "history_reply"):
        assert not any(kind in text for text in told), kind
    assert not proof.exists()


def test_a_channel_is_for_those_with_the_token_and_of_this_site(server):
    kernel = server.kernel()
    host = server.url.rstrip("/")

    async def connect(headers: dict[str, str]) -> int:
        try:
            await closed(await channel(server, kernel, headers))
        except HTTPClientError as error:
            return error.code
        return 101

    assert asyncio.run(connect({})) in (401, 403)
    assert asyncio.run(connect({"Authorization": "Bearer no-token-of-this-server"})) in (401, 403)
    assert asyncio.run(connect(server.bearer | {"Origin": "https://elsewhere.example"})) == 403
    cookie = login(server, TOKEN).cookies()
    assert asyncio.run(connect({"Cookie": cookie, "Origin": "https://elsewhere.example"})) == 403
    assert asyncio.run(connect({"Cookie": cookie, "Origin": host})) == 101


def test_the_token_is_nowhere_to_be_found(server):
    """Whatever a visitor does with it: not in the output, on the command line, in files, in a kernel's environment."""
    server.ask(f"{EXPLORER}?tok%65n={TOKEN}", headers={"Referer": f"http://x/?token={TOKEN}"})
    server.ask(f"/nothing/{TOKEN}?token={TOKEN}")
    server.ask(f"/login?next=http://x/?token={TOKEN}", headers=server.bearer)
    server.ask("/api/kernels/%FF", headers=server.bearer)
    page = server.ask(f"{EXPLORER}?x={TOKEN}", headers=server.bearer)
    assert page.status == 200 and no_token_in(page.body)
    assert "[token]" in server.said() and no_token_in(server.said())
    for process in (server.process.pid, *(kernels := server.kernels())):
        assert no_token_in(Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8"))
    assert kernels
    for process in kernels:
        environment = Path(f"/proc/{process}/environ").read_text(encoding="utf-8")
        assert no_token_in(environment) and "EDGEPROF_TOKEN" not in environment
    runtime = Path(re.search(r"JUPYTER_RUNTIME_DIR=([^\0]+)", environment)[1])
    assert runtime.parent.stat().st_mode & 0o077 == 0
    files = [p for p in runtime.parent.rglob("*") if p.is_file()]
    assert files and all(TOKEN.encode() not in p.read_bytes() for p in files)


@pytest.mark.parametrize(
    "harm",
    [
        "table",
        *(pytest.param(harm, marks=pytest.mark.nightly) for harm in ("gone", "manifest", "header", "zone", "nested")),
    ],
)
def test_health_is_503_while_the_data_set_cannot_be_read(tmp_path, small, harm):
    data, aside = tmp_path / "data", tmp_path / "aside"
    capture = min(REFERENCE.glob("capture=*"))
    shutil.copytree(capture, data / capture.name)
    victim = {
        "gone": data,
        "manifest": next(data.glob("capture=*/segment=*/manifest.json")),
        "header": next(data.glob("capture=*/capture.json")),
        "zone": next(data.glob("capture=*/capture.json")),
        "nested": next(data.glob("capture=*/capture.json")),
        "table": next(data.rglob("tokens.parquet")),
    }[harm]
    with serving(tmp_path, at=small, data=data) as running:
        assert json.loads(running.ask("/health").body) == HEALTHY
        victim.rename(aside)
        if harm in ("manifest", "header"):
            victim.write_text('{"format_version": ', encoding="utf-8")
        elif harm == "zone":
            said = json.loads(aside.read_text(encoding="utf-8"))
            victim.write_text(json.dumps(said | {"started_at": "2026-01-01T00:00:00"}), encoding="utf-8")
        elif harm == "nested":
            victim.write_text("[" * 100_000, encoding="utf-8")  # json has an error of another kind for that
        time.sleep(2.2)
        answer = running.ask("/health")
        assert answer.status == 503 and json.loads(answer.body) == ILL
        assert running.ask("/health", "HEAD").status == 503
        assert "edgeprof_data_readable 0.0" in running.ask("/metrics", headers=running.bearer).body
        if harm in ("manifest", "header", "zone", "nested"):
            victim.unlink()
        aside.rename(victim)
        time.sleep(2.2)
        assert running.ask("/health").status == 200
    assert str(data) not in answer.body


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_nobody_is_there(tmp_path, small, number):
    with serving(tmp_path, at=small) as running:
        code, seconds = running.end(number)
    assert code == 0 and seconds < 5
    assert "ended" in running.said() and "Traceback" not in running.said()


@pytest.mark.parametrize(
    "seconds", [0.0, 1.0, *(pytest.param(seconds, marks=pytest.mark.nightly) for seconds in (0.5, 1.5, 2.0))]
)
def test_a_signal_before_it_serves_is_an_end_like_any_other(tmp_path, small, seconds):
    temporary, output = tmp_path / "tmp", tmp_path / "output.txt"
    temporary.mkdir()
    command = [sys.executable, "-m", "edgeprof", "serve", "--data", str(REFERENCE), "--port", "0"]
    env = os.environ | {"PYTHONPATH": str(small), "TMPDIR": str(temporary), "EDGEPROF_TOKEN": TOKEN}
    with output.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env, cwd=tmp_path)
    try:
        until = time.monotonic() + 60
        while not list(temporary.glob("edgeprof-serve-*")):
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(seconds)
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    finally:
        process.kill()
        process.wait()
    said = output.read_text(encoding="utf-8")
    assert code == 0 and "Traceback" not in said and "has ended" in said, said
    assert list(temporary.iterdir()) == []


HANGS = """\
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
open({marker!r}, "w").close()
while True:
    pass"""


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["idle", "hangs", "stopped"])
def test_it_ends_within_five_seconds_with_a_kernel_and_a_page(tmp_path, small, kind):
    marker = tmp_path / "hangs"
    at = tree(tmp_path / "clone", HANGS.format(marker=str(marker))) if kind == "hangs" else small
    with serving(tmp_path, at=at) as running:
        if kind == "hangs":
            page = http.client.HTTPConnection("127.0.0.1", urlsplit(running.url).port)
            page.request("GET", EXPLORER, headers=running.bearer)
            page.getresponse()  # begins, and never ends
            until = time.monotonic() + 60
            while not marker.exists():
                assert time.monotonic() < until
                time.sleep(0.1)
        else:
            upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
            page = http.client.HTTPConnection("127.0.0.1", urlsplit(running.url).port)
            path = f"/api/kernels/{running.kernel()}/channels?session_id=test"
            page.request(
                "GET", path, headers=running.bearer | upgrade | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
            )
            assert page.getresponse().status == 101
        (kernel_process,) = running.kernels()
        if kind == "stopped":
            os.kill(kernel_process, signal.SIGSTOP)
        folder = Path(
            re.search(r"JUPYTER_RUNTIME_DIR=([^\0]+)", Path(f"/proc/{kernel_process}/environ").read_text("utf-8"))[1]
        ).parent
        code, seconds = running.end()
        page.close()
    assert code == 0 and seconds < 5, running.said()
    time.sleep(0.2)
    assert not Path(f"/proc/{kernel_process}").exists()
    assert not folder.exists()


def test_a_kernel_that_is_given_back_is_gone(tmp_path, small):
    with serving(tmp_path, at=small, token=TOKEN) as running:
        first = running.kernel()
        running.kernel()
        assert "edgeprof_kernels 2.0" in running.ask("/metrics", headers=running.bearer).body
        assert running.ask(f"/voila/api/shutdown/{first}", "POST", running.bearer, "").status == 204
        assert "edgeprof_kernels 1.0" in running.ask("/metrics", headers=running.bearer).body
        assert running.ask(f"/api/kernels/{first}", headers=running.bearer).status == 404


def test_there_are_only_so_many_kernels(tmp_path, small):
    fewer = "import edgeprof.server.kernels as k, edgeprof.cli, sys; k.MOST = 1; sys.exit(edgeprof.cli.main())"
    with serving(tmp_path, at=small, start=("-c", fewer)) as running:
        first = running.kernel()
        refused = running.ask(EXPLORER, headers=running.bearer)
        assert refused.status == 503 and "Too many explorers are open: close one" in refused.body
        running.ask(f"/voila/api/shutdown/{first}", "POST", running.bearer, "")
        running.kernel()


@pytest.mark.parametrize(
    "how", ["environment", pytest.param("file named by the environment", marks=pytest.mark.nightly)]
)
def test_the_token_from_the_environment(tmp_path, small, how):
    if how == "environment":
        env = {"EDGEPROF_TOKEN": TOKEN}
    else:
        env = {"EDGEPROF_TOKEN_FILE": str(token_file(tmp_path, TOKEN))}
    with serving(tmp_path, at=small, env=env, token=TOKEN) as running:
        assert running.ask("/metrics", headers=running.bearer).status == 200
        running.kernel()
        for process in running.kernels():
            environment = Path(f"/proc/{process}/environ").read_text(encoding="utf-8")
            assert no_token_in(environment) and "EDGEPROF_TOKEN" not in environment


def test_a_folder_without_a_capture_is_served_and_named(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with serving(tmp_path, data=empty) as running:
        assert "there is no capture in" in running.output.read_text(encoding="utf-8")
        assert running.ask("/health").status == 200


def test_no_home_no_configuration_of_others_and_nothing_written_outside(tmp_path, small):
    """As in a container: no home, a working folder that nobody may write, and configuration that would open it up."""
    elsewhere = tmp_path / "jupyter"
    elsewhere.mkdir()
    opened = "c.IdentityProvider.token = ''\nc.ServerApp.allow_origin = '*'\nc.ServerApp.disable_check_xsrf = True\n"
    (elsewhere / "jupyter_server_config.py").write_text(opened, encoding="utf-8")
    (tmp_path / "voila.py").write_text("raise SystemExit('voila.py was executed')", encoding="utf-8")
    spec = elsewhere / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps({"argv": ["/nowhere/python"], "display_name": "x", "language": "python"})
    )
    env = {
        "TMPDIR": str(tmp_path / "tmp"), "HOME": "/nonexistent", "PYTHONSAFEPATH": "1", "JUPYTER_TOKEN": "",
        "JUPYTER_CONFIG_DIR": str(elsewhere), "JUPYTER_CONFIG_PATH": str(elsewhere),
        "JUPYTER_PATH": str(elsewhere), "JUPYTER_DATA_DIR": str(elsewhere),
    }  # fmt: skip
    before = sorted(elsewhere.rglob("*"))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with serving(tmp_path, at=small, env=env) as running:
        assert running.ask("/metrics").status == 401
        running.kernel()
    assert sorted(elsewhere.rglob("*")) == before
    assert list(temporary.iterdir()) == []
    assert not Path("/nonexistent").exists()


def test_ipv6(tmp_path, small):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("only on a machine with IPv6")
    with serving(tmp_path, "--host", "::1", at=small) as running:
        assert running.url.startswith("http://[::1]:")
        assert running.ask("/health").status == 200


def test_the_page_s_first_commands_serve(tmp_path, small):
    page = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
    make, serve = re.findall(r"^```sh.*?\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[:2]
    subprocess.run(["sh", "-c", make], cwd=tmp_path, check=True)
    (tmp_path / "data").symlink_to(REFERENCE)
    words, port = shlex.split(serve, comments=True), parser_of("serve").get_default("port")
    assert words[:4] == ["edgeprof", "serve", "--data", "data"] and f"http://127.0.0.1:{port}/" in serve
    token = (tmp_path / "token").read_text(encoding="utf-8").strip()
    unused = {"EDGEPROF_TOKEN_FILE": str(tmp_path / "nothing")}  # only what the page says names the token
    with serving(tmp_path, *words[4:], at=small, data=Path("data"), env=unused, token=token) as running:
        assert running.url.startswith("http://127.0.0.1:") and "can be read by others" not in running.said()
        running.kernel()


def refused(folder: Path, *options: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EDGEPROF_TOKEN")} | (env or {})
    command = [sys.executable, "-m", "edgeprof", "serve", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=clean, timeout=60, check=False)
    assert done.stdout == "" and "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_what_it_refuses(tmp_path):
    good, data = str(token_file(tmp_path, TOKEN)), str(REFERENCE)
    short = tmp_path / "short"
    short.write_text("tiny\n", encoding="utf-8")
    short.chmod(0o600)
    lines = tmp_path / "lines"
    lines.write_text("two lines of text\nand another\n", encoding="utf-8")
    lines.chmod(0o600)
    loose = tmp_path / "loose"
    loose.write_text(TOKEN, encoding="utf-8")
    loose.chmod(0o622)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for words, code, said in (
            ([], 3, "--data"),
            (["--data", data], 3, "openssl rand"),
            (["--data", data, "--token", TOKEN], 3, "is spent"),
            (["--data", data, "--token-file", "nothing"], 5, "nothing cannot be read"),
            (["--data", data, "--token-file", str(short)], 3, "has 4 characters"),
            (["--data", data, "--token-file", str(lines)], 3, "letters, digits"),
            (["--data", data, "--token-file", str(loose)], 3, "written by others"),
            (["--data", "nowhere", "--token-file", good], 5, "no data set at nowhere"),
            (["--data", good, "--token-file", good], 5, "it is no folder"),
            (["--data", data, "--token-file", good, "--port", port], 3, "address already in use"),
            (["--data", data, "--token-file", good, "--port", "70000"], 3, "65,535"),
            (["--data", data, "--token-file", good, "--host", "no.such.host.invalid"], 3, "no host"),
            (["--data", data, "--token-file", good, "--host", "203.0.113.9"], 3, "cannot assign"),
        ):
            found, text = refused(tmp_path, *words)
            assert (found, said in text) == (code, True), (words, found, text)
            assert no_token_in(text)
    assert refused(tmp_path, "--data", data, env={"EDGEPROF_TOKEN": "short"})[0] == 3


def test_a_token_that_others_can_read_is_worth_a_warning(tmp_path, small):
    readable = tmp_path / "mounted"
    readable.write_text(TOKEN, encoding="utf-8")
    readable.chmod(0o644)
    with serving(tmp_path, at=small, env={"EDGEPROF_TOKEN_FILE": str(readable)}, token=TOKEN) as running:
        assert "can be read by others" in running.said()


@pytest.mark.alone
def test_lab_is_there_only_when_asked_for(tmp_path, small):
    with serving(tmp_path, "--lab", at=small, token=TOKEN) as running:
        lab = running.ask("/lab", headers=running.bearer)
        assert lab.status == 200 and '"@jupyterlab/apputils-extension:announcements"' in lab.body  # listed as disabled
        listed = json.loads(running.ask("/api/contents", headers=running.bearer).body)
        assert "00_quickstart.ipynb" in {entry["name"] for entry in listed["content"]}
        for path in PATHS:
            assert running.ask(path).status in (401, 403), path
        assert running.ask("/health").status == 200
        assert running.ask("/metrics", headers=running.bearer).body.startswith("# HELP edgeprof_info")
        assert running.ask(EXPLORER, headers=running.bearer).status == 200
        foreign = running.ask("/api/contents", headers=running.bearer | {"Origin": "https://elsewhere.example"})
        assert foreign.status == 404 and "Access-Control-Allow-Origin" not in foreign.headers
        code, seconds = running.end()
    assert code == 0 and seconds < 5
    assert no_token_in(running.said())


def leave(page: Any, running: Any) -> None:
    page.goto("about:blank")
    until = time.monotonic() + 20
    while "edgeprof_kernels 0.0" not in running.ask("/metrics", headers=running.bearer).body:
        assert time.monotonic() < until, "a page that was left keeps its kernel"
        time.sleep(0.2)


def test_a_browser_logs_in_and_explores(tmp_path, small):
    """The page asks no other host for anything, and a control changes what is shown."""
    with serving(tmp_path, at=small, token=TOKEN) as running, browser() as started:
        page = started.new_context().new_page()
        page.goto(running.url)
        page.fill("#password_input", TOKEN)
        page.click("#login_submit")
        page.wait_for_selector(".jupyter-widgets select", timeout=60_000)
        page.wait_for_selector("text=251 runs")
        page.select_option(".jupyter-widgets select", "captures")
        page.wait_for_selector(f"text={len(edgeprof.open(REFERENCE).captures)} captures", timeout=20_000)
        assert TOKEN not in page.url
        leave(page, running)


@pytest.mark.nightly
def test_the_explorer_itself_comes_up(tmp_path):
    with serving(tmp_path, token=TOKEN) as running, browser() as started:
        page = started.new_context().new_page()
        page.goto(f"{running.url}?token={TOKEN}")
        page.wait_for_selector(".jupyter-widgets select", timeout=120_000)
        assert TOKEN not in page.url
        assert "error occurred" not in page.inner_text("body")
        # What would write files on the server is not offered to who cannot reach them.
        page.get_by_role("button", name="code cell").click()
        page.get_by_text("figure(ds, view)").wait_for()
        for name in ("save figure", "report parameters"):
            assert page.get_by_role("button", name=name).count() == 0
        leave(page, running)


@pytest.mark.parametrize("way", ["the address", "the cookie of a browser that was restarted"])
def test_who_is_logged_in_without_the_form_can_give_a_kernel_back(server, way):
    entrance = server.ask(f"{EXPLORER}?token={TOKEN}") if way == "the address" else login(server, TOKEN)
    known = [c for c in entrance.cookies().split("; ") if way == "the address" or c.startswith("username")]
    page = server.ask(EXPLORER, headers={"Cookie": "; ".join(known)})
    kernel = re.search(r'"?kernelId"?: ?"([0-9a-f-]{36})"', page.body)[1]
    cookies = dict(c.split("=", 1) for c in (*known, *filter(None, page.cookies().split("; "))))
    headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in cookies.items()), "X-XSRFToken": cookies["_xsrf"]}
    assert server.ask(f"/voila/api/shutdown/{kernel}", "POST", headers, "").status == 204
