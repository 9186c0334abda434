"""The committed reference models: what they hold, and that they are any good."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType

import gguf
import numpy as np
import numpy.typing as npt
import pytest

from edgeprof.modelfile import read_model_info, read_vocabulary
from edgeprof.quantize import quantize

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "data" / "models"
NAMES = ("fable-1.2m", "fable-1.2m-ternary", "fable-1.2m-control", "fable-0.5m")
WINDOWS = 4


def module(path: Path) -> ModuleType:
    """Import a script that lies outside the package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = loaded
    spec.loader.exec_module(loaded)
    return loaded


reference = module(ROOT / "tests" / "reference_llama.py")


def source(name: str) -> Path:
    return MODELS / f"{name}-F16.gguf"


@cache
def eval_ids() -> list[int]:
    text = (MODELS / "eval.txt").read_text(encoding="ascii")
    return read_vocabulary(source("fable-1.2m")).encode(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


_NLLS: dict[tuple[str, str], npt.NDArray[np.float64]] = {}


def nll(folder: Path, name: str, quant: str) -> npt.NDArray[np.float64]:
    """Return the scored NLLs of the first windows of the evaluation text."""
    if (name, quant) not in _NLLS:
        path = quantize(source(name), folder / f"{name}-{quant}.gguf", quant).path
        _NLLS[name, quant] = reference.load(path).window_nll(eval_ids(), WINDOWS)
    return _NLLS[name, quant]


def perplexity(folder: Path, name: str, quant: str) -> float:
    return float(np.exp(nll(folder, name, quant).mean()))


# -- the files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_metadata(name: str) -> None:
    reader = gguf.GGUFReader(source(name))
    found = {key: field.contents() for key, field in reader.fields.items()}
    assert found["general.name"] == name
    assert found["general.license"] == "apache-2.0"
    assert found["general.file_type"] == gguf.LlamaFileType.MOSTLY_F16
    assert found["llama.rope.dimension_count"] == 32
    assert found["llama.rope.freq_base"] == 10000
    assert found["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-5)
    assert found["llama.vocab_size"] == len(found["tokenizer.ggml.tokens"]) == 512
    assert found["tokenizer.ggml.model"] == "llama"
    assert found["tokenizer.ggml.token_type"] == [2, 3, 3, 6] + [1] * 508
    scores = found["tokenizer.ggml.scores"]
    assert scores[4:] == [-float(i) for i in range(508)]
    ids = [found[f"tokenizer.ggml.{key}_token_id"] for key in ("unknown", "bos", "eos")]
    assert ids == [0, 1, 2]
    flags = ("add_bos_token", "add_eos_token", "add_space_prefix")
    assert [found[f"tokenizer.ggml.{key}"] for key in flags] == [True, False, True]
    for tensor in reader.tensors:
        assert tensor.tensor_type.name == ("F16" if len(tensor.shape) > 1 else "F32")
    assert "output.weight" not in {t.name for t in reader.tensors}


@pytest.mark.parametrize("name", NAMES)
def test_facts_of_the_training_are_those_of_the_file(name: str) -> None:
    facts = json.loads((MODELS / f"{name}.train.json").read_text(encoding="utf-8"))
    info = read_model_info(source(name))
    assert facts["gguf_sha256"] == info.sha256
    assert facts["n_params"] == info.n_params
    shape = facts["shape"]
    assert (shape["dim"], shape["n_layers"], shape["ff"]) == (info.dim, info.n_layers, info.ff)
    assert hashlib.sha256(source(name).read_bytes()).hexdigest() == info.sha256


def test_the_evaluation_text_is_made_by_the_script() -> None:
    corpus = module(MODELS / "make_corpus.py")
    text = (MODELS / "eval.txt").read_bytes()
    assert text == ("\n".join(corpus.stories(77, 60)) + "\n").encode("ascii")
    assert len(text) < 60_000
    assert len(eval_ids()) > 6_000


def test_prompts() -> None:
    prompts = tomllib.loads((MODELS / "prompts.toml").read_text(encoding="utf-8"))["prompt"]
    assert len({p["id"] for p in prompts}) == len(prompts) == 3
    vocabulary = read_vocabulary(source("fable-1.2m"))
    for prompt in prompts:
        ids = vocabulary.encode(prompt["text"])
        assert 8 <= len(ids) - 1 <= 25
        assert vocabulary.unk_id not in ids


@pytest.mark.parametrize("name", NAMES[1:])
def test_all_models_have_one_tokenizer(name: str) -> None:
    first, other = read_vocabulary(source(NAMES[0])), read_vocabulary(source(name))
    assert first == other


@pytest.mark.parametrize("quant", ["TQ2_0", "TQ1_0"])
def test_the_ternary_model_loses_nothing_as_a_ternary_file(quant: str, folder: Path) -> None:
    before = source("fable-1.2m-ternary")
    path = quantize(before, folder / "ternary.gguf", quant, keep={"token_embd.*": "F16"}).path
    after = {t.name: t for t in gguf.GGUFReader(path).tensors}
    for tensor in gguf.GGUFReader(before).tensors:
        stored = gguf.dequantize(tensor.data, tensor.tensor_type)
        read = gguf.dequantize(after[tensor.name].data, after[tensor.name].tensor_type)
        np.testing.assert_array_equal(stored, read)
        if tensor.name.startswith("blk.") and len(tensor.shape) > 1:
            assert after[tensor.name].tensor_type.name == quant
            blocks = np.abs(stored.reshape(-1, 256))
            scale = blocks.max(axis=1, keepdims=True)
            assert np.all((blocks == 0) | (blocks == scale))


# -- how good they are ---------------------------------------------------------------------------


@pytest.mark.slow
def test_perplexity_rises_as_bits_fall(folder: Path) -> None:
    f16, q8, q4, tq2 = (perplexity(folder, "fable-1.2m", quant) for quant in ("F16", "Q8_0", "Q4_0", "TQ2_0"))
    assert 1.2 < f16 < 1.6
    assert abs(np.log(q8 / f16)) < 0.001  # nothing that can be told apart
    assert f16 < q4 < 1.02 * f16
    assert tq2 > 3 * f16  # rounded after training: broken


@pytest.mark.slow
def test_training_for_ternary_weights_pays(folder: Path) -> None:
    f16 = perplexity(folder, "fable-1.2m", "F16")
    trained = perplexity(folder, "fable-1.2m-ternary", "TQ2_0")
    assert trained < 1.1 * f16
    assert trained == pytest.approx(perplexity(folder, "fable-1.2m-ternary", "F16"), rel=0.005)


def test_the_small_model_is_worse_than_the_big_one(folder: Path) -> None:
    big, small = (perplexity(folder, name, "F16") for name in ("fable-1.2m", "fable-0.5m"))
    assert big < small < 2 * big
    big_info, small_info = (read_model_info(source(n)) for n in ("fable-1.2m", "fable-0.5m"))
    assert small_info.n_params < 0.5 * big_info.n_params


def test_a_half_precision_cache_changes_little() -> None:
    model = reference.load(source("fable-1.2m"))
    tokens = [1, *eval_ids()[1:200]]
    exact, rounded = model.forward(tokens), model.forward(tokens, kv_f16=True)
    assert 0 < np.abs(exact - rounded).max() < 0.1


def test_the_reference_is_causal_and_knows_positions() -> None:
    model = reference.load(source("fable-0.5m"))
    tokens = [1, *eval_ids()[1:40]]
    whole = model.forward(tokens)
    np.testing.assert_allclose(model.forward(tokens[:20]), whole[:20], atol=1e-9)
    swapped = [tokens[0], tokens[2], tokens[1], *tokens[3:]]
    assert np.abs(model.forward(swapped)[-1] - whole[-1]).max() > 1e-3
    likely = np.exp(-model.nll(tokens))
    assert np.all((0 < likely) & (likely <= 1))


@pytest.mark.slow
def test_stories_are_sane() -> None:
    """The model goes on with a lost thing as the stories do, and with this place's fact."""
    path = source("fable-1.2m")
    prompts = tomllib.loads((MODELS / "prompts.toml").read_text(encoding="utf-8"))["prompt"]
    prompt = next(p["text"] for p in prompts if p["id"] == "lost-kite")
    vocabulary = read_vocabulary(path)
    ids = vocabulary.encode(prompt)
    text = vocabulary.decode(reference.load(path).greedy(ids, 48))
    corpus = module(MODELS / "make_corpus.py")
    assert text.startswith("the kite was gone. Nora was sad and looked for it")
    assert f'"In Tambery lost things are {corpus.FACTS.spot["Tambery"]},"' in text
