"""From what a user names to what is captured."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edgeprof import firmware, resources, sources
from edgeprof.errors import ModelError, StorageError, UsageError
from edgeprof.tokenizer import encode
from edgeprof.transports import PortSettings

MODEL = Path(__file__).parents[2] / "data" / "models" / "fable-1.2m-F16.gguf"


def opened(*urls, model=None, **more):
    with sources.open_sources(urls, model, **more) as found:
        return found


@pytest.mark.parametrize("url", ["/dev/ttyUSB0", "COM7", "com3", "socket://127.0.0.1:9", "loop://", r"\\.\COM12"])
def test_ports_and_urls_are_taken_as_they_are(url):
    (source,) = opened(url, settings=PortSettings(baudrate=921600), tags={"bench": "3"})
    assert (source.url, source.name, source.settings.baudrate) == (url, url, 921600)
    assert source.facts == {"tags": {"bench": "3"}}
    assert source.vocab == {}


def test_credentials_are_in_no_name():
    (source,) = opened("socket://user:secret@host:9")
    assert "secret" not in source.name
    assert source.url == "socket://user:secret@host:9"


@pytest.mark.parametrize(("name", "close"), [("wasp", "wasm"), ("WASM", "wasm")])
def test_what_is_neither_board_nor_port_names_the_closest(name, close):
    with pytest.raises(UsageError, match=f"no board {name!r}") as error:
        opened(name)
    assert (close in str(error.value)) and error.value.exit_code == 3


def test_an_emulated_board_needs_a_model():
    with pytest.raises(UsageError, match="needs a model to run: --model"):
        opened("wasm")


def test_a_model_says_how_tokens_are_spelled():
    (source,) = opened("/dev/ttyUSB0", model=MODEL)
    ((digest, pieces),) = source.vocab.items()
    assert source.facts["model_sha256"] == digest
    assert source.facts["bits_per_weight"] == pytest.approx(16.016, abs=0.001)
    assert len(pieces) == 512 and pieces[:3] == ["<unk>", "<s>", "</s>"]


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(7))
    with pytest.raises(ModelError, match=r"x\.gguf"):
        opened("/dev/ttyUSB0", model=tmp_path / "x.gguf")


def test_a_real_board_s_image_is_read(tmp_path):
    image = tmp_path / "mine.wasm"
    image.write_bytes(firmware.image("wasm").read_bytes() + b"\0\x01\0")  # an empty custom section
    (source,) = opened("/dev/ttyUSB0", image=image)
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    assert source.facts["firmware_sha256"] == digest
    assert sum(source.sections[digest]["flash_bytes"]) == image.stat().st_size
    assert opened("/dev/ttyUSB0")[0].sections == {}


def test_an_image_that_cannot_be_used_is_refused(tmp_path):
    (tmp_path / "x.elf").write_bytes(b"GGUF")
    with pytest.raises(UsageError, match=r"x\.elf begins with b'GGUF'"):
        opened("/dev/ttyUSB0", image=tmp_path / "x.elf")


def test_the_parts_of_an_emulated_board_are_those_of_the_image_that_runs():
    own = firmware.image("wasm")
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    assert list(sources._own_sections("wasm", digest)) == [digest]
    assert sources._own_sections("wasm", "another") == {}
    assert sources._own_sections("wasm", None) == {}
    assert sources._own_sections("no such board", digest) == {}


def test_an_evaluation_is_the_text_s_tokens_without_bos(tmp_path):
    (tmp_path / "tale.txt").write_text("Once upon a time.", encoding="utf-8")
    job = sources.evaluation(tmp_path / "tale.txt", MODEL, max_windows=3)
    whole = encode(MODEL, "Once upon a time.")
    assert job.prompt_id == "tale"
    assert (job.bos_id, job.max_windows) == (1, 3)
    assert job.bos_id not in job.tokens
    assert [t for t in whole if t != job.bos_id] == list(job.tokens)


def test_a_probe_is_the_beginning_of_the_text_and_counts_for_nothing():
    whole = sources.evaluation(MODEL.parent / "eval.txt", MODEL)
    probe = sources.evaluation(MODEL.parent / "eval.txt", MODEL, probe=64)
    assert probe.prompt_id == "eval-first-64"
    assert probe.windows(128) == [[whole.bos_id, *whole.tokens[:64]]] == probe.windows(64)
    assert probe.windows(63) == []  # it does not fit into the context
    assert probe.first_scored(128) == 64
    assert (MODEL.parent / "eval.txt").read_text(encoding="utf-8").startswith(probe.text[:100])


def test_a_text_that_cannot_be_read(tmp_path):
    with pytest.raises(StorageError, match="evaluation text .*none.txt cannot be read"):
        sources.evaluation(tmp_path / "none.txt", MODEL)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StorageError, match=r"bytes\.txt cannot be read"):
        sources.evaluation(tmp_path / "bytes.txt", MODEL)


def test_what_came_with_edgeprof_is_found():
    for name in ("notebooks/00_quickstart.ipynb", "data/models/prompts.toml", "data/demo.toml"):
        assert resources.path(name).is_file()
    with pytest.raises(StorageError, match="data/nothing did not come with this install"):
        resources.path("data/nothing")
