"""The committed image: rebuilt byte for byte, and the same fuel in every supported version of wasmtime."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from firmware_host import tiny_model

from edgeprof.errors import EdgeprofError, UsageError
from edgeprof.firmware import image, path
from edgeprof.firmware.build import ZIGLANG, build

OLDEST, NEWEST = "30.0.0", "50.0.1"


def need_ziglang() -> None:
    if importlib.util.find_spec("ziglang") is None:
        reason = f"the compiler is missing: pip install ziglang=={ZIGLANG}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.slow
def test_a_rebuild_is_identical_wherever_it_is_made(tmp_path, monkeypatch):
    need_ziglang()
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "global"))
    monkeypatch.setenv("ZIG_LOCAL_CACHE_DIR", str(tmp_path / "local"))
    copy = tmp_path / "another place"
    shutil.copytree(path(), copy)
    built = build("wasm", tmp_path / "wasm.wasm", root=copy)
    assert (tmp_path / "wasm.wasm").read_bytes() == image("wasm").read_bytes()
    assert json.loads(path("prebuilt", "manifest.json").read_text())["wasm"] == built.as_json()


def test_only_the_first_webassembly_is_used():
    """Later instructions have changed their price in fuel, and an import beyond the four would be a dependency."""
    content = image("wasm").read_bytes()
    assert content[:8] == b"\0asm\1\0\0\0"
    assert b"wasi" not in content
    assert "-mcpu=mvp" in json.loads(path("prebuilt", "manifest.json").read_text())["wasm"]["flags"]
    wasmtime = pytest.importorskip("wasmtime")
    config = wasmtime.Config()
    config.wasm_bulk_memory = False
    module = wasmtime.Module(wasmtime.Engine(config), content)
    assert sorted(i.name for i in module.imports) == ["available", "read", "ticks", "write"]


def test_an_unknown_board_is_not_built(tmp_path):
    with pytest.raises(UsageError, match="Did you mean 'wasm'"):
        build("wasn", tmp_path / "x")


def test_a_broken_source_is_a_sentence(tmp_path):
    need_ziglang()
    copy = tmp_path / "firmware"
    shutil.copytree(path(), copy)
    (copy / "app" / "main.c").write_text("int main(void) { return x; }\n")
    with pytest.raises(EdgeprofError, match="was not built"):
        build("wasm", tmp_path / "x", root=copy)


def installer() -> list[str]:
    """Return the command that installs packages: pip, or uv where the environment has no pip."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install"]
    return ["uv", "pip", "install", "--python", sys.executable]


MEASURE = """
import sys
from firmware_host import Host
from edgeprof import boards
with boards.start("wasm", sys.argv[1]) as running:
    host = Host(running.url)
    passes, totals = host.generate("abcd ab", 30, temperature=1.0, seed=2)
    passes += host.score([[1, 5, 6, 7, 8]])
    print(running.facts["emulator_version"], [(p.start, p.ticks, p.next, p.nll) for p in passes])
    host.close()
"""


@pytest.mark.slow
@pytest.mark.nightly
def test_oldest_and_newest_wasmtime_burn_the_same_fuel(tmp_path):
    model = tiny_model(tmp_path / "tiny.gguf", kind="Q8_0", kinds={"ffn_up.weight": "F16"}, ff=128)
    seen = {}
    for version in (OLDEST, NEWEST):
        target = tmp_path / version
        # Older releases import importlib_resources, which newer ones do not need.
        wanted = ["--no-deps", "--target", str(target), f"wasmtime=={version}", "importlib_resources"]
        subprocess.run([*installer(), "-q", *wanted], check=True)
        paths = [str(target), str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(model)], env=environment, capture_output=True, text=True, check=True
        )
        found, passes = done.stdout.split(" ", 1)
        assert found == version
        seen[version] = passes
    assert seen[OLDEST] == seen[NEWEST]
