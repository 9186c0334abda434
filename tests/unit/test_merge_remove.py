"""Merging data sets and removing captures: whole ones, or nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fakeboard import make_capture
from filelock import FileLock
from handmade import stored

import edgeprof
from edgeprof import care, seal
from edgeprof.cli import main
from edgeprof.errors import LockedError, StorageError, UsageError
from edgeprof.merge import merge
from edgeprof.redecode import redecode
from edgeprof.remove import remove


def tree(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Return two data sets, of two captures and of one."""
    stored(tmp_path / "a", "one", model="toy")
    stored(tmp_path / "a", "two", model="other")
    stored(tmp_path / "b", "three", n=20)
    return tmp_path / "a", tmp_path / "b"


# ---- merge ----


def test_merged_is_all_of_them(two: tuple[Path, Path], tmp_path: Path) -> None:
    before = [tree(path) for path in two]
    out = tmp_path / "deep" / "out"
    assert [(o.capture, o.what, o.code) for o in merge(two, out)] == [
        (name, "copied", 0) for name in ("one", "two", "three")
    ]
    assert tree(out) == before[0] | before[1]
    assert [tree(path) for path in two] == before
    assert list(edgeprof.open(out).captures["capture_id"]) == ["one", "three", "two"]
    assert care.verify(out) == []
    assert [o.what for o in merge([*two, two[0] / "capture=one"], out)] == ["is there already"] * 4
    assert [o.what for o in merge([out], out)] == ["is there already: it is the same folder"] * 3
    assert tree(out) == before[0] | before[1]


def test_another_of_the_same_name_is_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    stored(out, "one", n=9)
    before = tree(out)
    assert main(["merge", str(two[0]), "--out", str(out), "--move"]) == 1
    assert {k: v for k, v in tree(out).items() if "capture=two" not in k} == before
    assert (out / "capture=two").is_dir()
    assert (two[0] / "capture=one").is_dir()
    assert not (two[0] / "capture=two").exists()


def test_the_same_decoded_twice_is_the_same_and_decoded_otherwise_is_not(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    merge([two[1]], out)
    redecode(out)
    assert [o.code for o in merge([two[1]], out)] == [0]
    monkeypatch.setattr(seal, "_add_events", lambda rows, *_: rows.add("logs", ("", "", ""), {"text": ["new"]}))
    redecode(out)
    (outcome,) = merge([two[1]], out)
    assert (outcome.code, "redecoded or compacted" in outcome.what) == (1, True)


def test_moving_leaves_nothing_and_loses_nothing(two: tuple[Path, Path], tmp_path: Path) -> None:
    before = tree(two[0]) | tree(two[1])
    assert [o.what for o in merge(two, tmp_path / "out", move=True)] == ["moved"] * 3
    assert tree(tmp_path / "out") == before
    assert [list(path.iterdir()) for path in two] == [[], []]


def test_damage_is_not_merged_and_not_moved(two: tuple[Path, Path], tmp_path: Path) -> None:
    for where in (two[0] / "capture=one", two[1] / "capture=three"):
        victim = next(where.rglob("tokens.parquet"))
        victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    out = tmp_path / "out"
    found = {o.capture: o.code for o in merge(two, out, move=True)}
    assert found == {"one": 5, "two": 0, "three": 5}
    assert [p.name for p in out.iterdir()] == ["capture=two"]
    assert (two[0] / "capture=one").is_dir()


def test_a_damaged_copy_is_no_reason_to_remove_the_original(two: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    merge([two[1]], out)
    next(out.rglob("tokens.parquet")).unlink()
    assert [o.code for o in merge([two[1]], out, move=True)] == [5]
    assert care.verify(two[1]) == []


def test_an_open_capture_is_left_out(two: tuple[Path, Path], tmp_path: Path) -> None:
    make_capture(two[1], "open", [b"x" * 500])
    out = tmp_path / "out"
    assert main(["merge", str(two[1]), "--out", str(out)]) == 2
    assert sorted(p.name for p in out.iterdir()) == ["capture=three"]


@pytest.mark.parametrize("name", ["../../x.parquet", "/etc/passwd", "C:/x", "a\\..\\..\\x"])
def test_a_manifest_leads_nowhere_else(two: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    path = two[1] / "capture=three/segment=0000/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][0]["path"] = name
    path.write_text(json.dumps(manifest))
    (outcome,) = merge([two[1]], tmp_path / "out")
    assert outcome.code == 5
    assert "not in its folder" in outcome.what
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_no_part(two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    real, calls = shutil.copyfile, []

    def full(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        found = merge(two, out, move=True)
    assert [o.code for o in found] == [5] * 3
    assert all("No space left" in o.what for o in found)
    assert list(out.iterdir()) == []
    assert [o.code for o in merge(two, out)] == [0] * 3


def test_two_merges_at_once(two: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".merge.lock"), pytest.raises(LockedError, match="Another merge"):
        merge(two, out)
    with pytest.raises(StorageError, match="holds no capture"):
        merge([out], tmp_path / "more")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        merge(two, tmp_path / "file")


@pytest.mark.slow
def test_a_merge_killed_at_random_moments(two: tuple[Path, Path], tmp_path: Path) -> None:
    before = tree(two[0]) | tree(two[1])
    out = tmp_path / "out"
    code = "import sys, edgeprof.merge as m; print(1, flush=True); m.merge(sys.argv[2:], sys.argv[1], move=True)"
    rng = random.Random(3)
    for _ in range(5):
        left = [str(p) for p in two if list(p.glob("capture=*"))]
        with subprocess.Popen([sys.executable, "-c", code, str(out), *left], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.06))
            process.kill()
        for path in (*two, out):
            if list(path.glob("capture=*")):
                assert care.verify(path) == []
        here = {p.name for path in (*two, out) for p in path.glob("capture=*")}
        assert here == {"capture=one", "capture=two", "capture=three"}
    left = [p for p in two if list(p.glob("capture=*"))]
    merge(left, out, move=True)
    assert {k: v for k, v in tree(out).items() if k.startswith("capture=")} == before
    assert not list(out.glob(".merging-*"))


# ---- rm ----


def test_nothing_is_removed_without_yes(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(two[0])
    assert main(["rm", str(two[0]), "one", "capture=two"]) == 0
    assert "one: would be removed: 0.0 MB" in capsys.readouterr().out
    assert tree(two[0]) == before
    assert main(["rm", str(two[0]), "one", "--yes"]) == 0
    assert [p.name for p in two[0].iterdir()] == ["capture=two"]
    assert tree(two[0]) == {k: v for k, v in before.items() if k.startswith("capture=two/")}


@pytest.mark.parametrize("name", ["../b/capture=three", "..", ".", "/", "", "capture=", "tree", "one/segment=0000"])
def test_no_name_leads_out_of_the_data_set(two: tuple[Path, Path], name: str) -> None:
    before = [tree(path) for path in two]
    with pytest.raises(UsageError, match="There is no capture"):
        remove(two[0], ["one", name], dry_run=False)
    assert [tree(path) for path in two] == before


def test_a_link_is_not_followed(two: tuple[Path, Path]) -> None:
    (two[0] / "capture=three").symlink_to(two[1] / "capture=three")
    (two[0] / "capture=one" / "out").symlink_to(two[1])
    before = tree(two[1])
    found = {o.capture: o.code for o in remove(two[0], ["three", "one"], dry_run=False)}
    assert found == {"three": 5, "one": 0}
    assert tree(two[1]) == before


@pytest.mark.parametrize(
    ("where", "gone"),
    [
        (["model=toy"], ["one"]),
        (["quant=Q8_0"], ["one", "two"]),
        (["quant=Q8_0", "model=other"], ["two"]),
        (["n_params=1000", "capture_id=one"], ["one"]),
        (["capture_id=two"], ["two"]),
        (["board_clock_hz=1000000"], ["one", "two"]),
    ],
)
def test_captures_are_chosen_by_their_runs(two: tuple[Path, Path], where: list[str], gone: list[str]) -> None:
    assert [o.capture for o in remove(two[0], where=where)] == gone
    remove(two[0], where=where, dry_run=False)
    left = sorted(p.name.removeprefix("capture=") for p in two[0].iterdir())
    assert left == sorted({"one", "two"} - set(gone))


def test_a_capture_with_other_runs_stays(two: tuple[Path, Path]) -> None:
    sent = bytearray()
    from fakeboard import FakeBoard

    board = FakeBoard(sent.extend)
    for label in ("p", "q"):
        board.generate(label)
    care.recover(make_capture(two[0], "both", [bytes(sent)]))
    found = {o.capture: o.code for o in remove(two[0], where=["prompt_id=p"], dry_run=False)}
    assert found == {"one": 0, "two": 0, "both": 2}
    assert [p.name for p in two[0].iterdir()] == ["capture=both"]
    assert main(["rm", str(two[0]), "--where", "prompt_id=z"]) == 2


def test_wrong_use_of_rm(two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(two[0])
    for words, message in (
        ([], "Which captures?"),
        (["--where", "model"], "--where takes COLUMN=VALUE"),
        (["--where", "modl=x"], "Did you mean 'model'?"),
        (["--where", "n_params=many"], "cannot be compared with 'many'"),
        (["tow"], "Did you mean 'two'?"),
    ):
        assert main(["rm", data, *words, "--yes"]) == 3
        assert message in capsys.readouterr().err
    assert main(["rm", str(two[0] / "capture=one"), "one", "--yes"]) == 3
    (tmp_path / "empty").mkdir()
    assert main(["rm", str(tmp_path / "empty"), "one", "--yes"]) == 5
    assert len(list(two[0].iterdir())) == 2


def test_a_live_capture_is_not_removed(two: tuple[Path, Path]) -> None:
    with FileLock(two[0] / "capture=one" / "reader.lock"):
        assert {o.capture: o.code for o in remove(two[0], ["one", "two"], dry_run=False)} == {"one": 5, "two": 0}
    assert care.verify(two[0]) == []


def test_a_removal_that_dies_shows_no_half(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", dies)
        with pytest.raises(KeyboardInterrupt):
            remove(two[0], ["one"], dry_run=False)
    assert list(edgeprof.open(two[0]).captures["capture_id"]) == ["two"]
    assert care.verify(two[0]) == []
    assert len(list(two[0].iterdir())) == 2
    stored(two[0], "more")
    remove(two[0], ["more"], dry_run=False)
    assert [p.name for p in two[0].iterdir()] == ["capture=two"]


def test_what_cannot_be_renamed_is_whole(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(two[0])

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        (outcome,) = remove(two[0], ["one"], dry_run=False)
    assert (outcome.code, "Permission denied" in outcome.what) == (5, True)
    assert tree(two[0]) == before
