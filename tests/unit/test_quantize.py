"""Reading GGUF files, writing them in other types, and the tokenizer."""

from __future__ import annotations

import os
import struct
from collections import Counter
from pathlib import Path

import gguf
import numpy as np
import pytest

from edgeprof.errors import ModelError, StorageError, UsageError
from edgeprof.kquants import K_TYPES, pack
from edgeprof.modelfile import read_model_info, read_vocab, read_vocabulary
from edgeprof.quantize import QUANTIZATIONS, TARGETS, nominal_bits, quantize
from edgeprof.recipes import ALIASES, FALLBACKS, RECIPES, Architecture, type_in_recipe
from edgeprof.tokenizer import Vocabulary, decode_piece, encode

MODELS = Path(__file__).parents[2] / "data" / "models"
MODEL = MODELS / "fable-1.2m-F16.gguf"
WIDE = "token_embd.weight"

BETTER = {"1.attn_v": "Q6_K", "1.ffn_down": "Q6_K"}  # the last eighth, rounded up, of two layers is one
FABLE = {
    "Q6_K": ("Q6_K", {}),
    "Q5_K_M": ("Q5_K", BETTER),
    "Q5_K_S": ("Q5_K", {}),
    "Q4_K_M": ("Q4_K", BETTER),
    "Q4_K_S": ("Q4_K", {f"{i}.attn_v": "Q5_K" for i in (0, 1)}),
    "Q3_K_M": (
        "Q3_K",
        {f"{i}.{role}": kind for i in (0, 1)
         for role, kind in (("attn_v", "Q5_K"), ("attn_output", "Q4_K"), ("ffn_down", "Q4_K"))},
    ),
    "Q3_K_S": ("Q3_K", {}),
    "Q2_K": (
        "Q2_K",
        {f"{i}.{role}": kind for i in (0, 1)
         for role, kind in (("attn_v", "Q4_K"), ("attn_output", "Q3_K"), ("ffn_down", "Q3_K"))},
    ),
}  # fmt: skip
"""Recipe to the main type, and the matrices of fable-1.2m (four heads share a key) that have another one."""


def tensors(path: Path) -> dict[str, gguf.ReaderTensor]:
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def rounded(weights: np.ndarray, kind: gguf.GGMLQuantizationType) -> np.ndarray:
    """Return what is left of weights in a type."""
    packed = pack(weights, kind.name) if kind.name in K_TYPES else gguf.quantize(weights, kind)
    return gguf.dequantize(packed, kind)


def small(path: Path, *, row: int = 64, value: float = 1.0, extra: bool = False) -> Path:
    """Write a model of one matrix and one vector, with odd metadata if wanted."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("small")
    writer.add_block_count(1)
    writer.add_embedding_length(row)
    writer.add_head_count(4)
    writer.add_feed_forward_length(2 * row)
    writer.add_context_length(16)
    if extra:
        writer.add_custom_alignment(64)
        writer.add_array("odd.floats", [0.5, -1.25])
        writer.add_key_value("odd.bytes", [1, 2, 250], gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT8)
        writer.add_array("odd.text", ["a", "", "ä▁"])
        writer.add_float64("odd.f64", 1 / 3)
        writer.add_int64("odd.i64", -5)
        writer.add_bool("odd.bool", True)
    rng = np.random.default_rng(7)
    matrix = rng.standard_normal((3, row)).astype(np.float32)
    matrix[0, 0] = value
    writer.add_tensor("blk.0.ffn_up.weight", matrix)
    writer.add_tensor("blk.0.attn_norm.weight", np.ones(row, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.slow
@pytest.mark.parametrize("quant", TARGETS)
def test_every_tensor_has_its_type_and_is_rounded_to_it(quant: str, tmp_path: Path) -> None:
    result = quantize(MODEL, tmp_path / "out.gguf", quant)
    before, after = tensors(MODEL), tensors(result.path)
    assert list(before) == list(after)
    for name, tensor in after.items():
        source = before[name]
        weights = gguf.dequantize(source.data, source.tensor_type)
        if len(tensor.shape) == 1:
            wanted = "F32"
        elif quant in RECIPES:
            role = name.removeprefix("blk.").removesuffix(".weight")
            wanted = {"token_embd": "Q6_K", **FABLE[quant][1]}.get(role, FABLE[quant][0])
        else:
            wanted = "Q8_0" if name == WIDE and nominal_bits(quant) < 8 else quant
        assert tensor.tensor_type.name == wanted, name
        kind = gguf.GGMLQuantizationType[wanted]
        np.testing.assert_array_equal(gguf.dequantize(tensor.data, kind), rounded(weights, kind))
    info = read_model_info(result.path)
    assert (info.quant, info.model_bytes) == (quant, result.model_bytes)
    assert info.bits_per_weight == pytest.approx(result.bits_per_weight)
    assert result.n_params == info.n_params == read_model_info(MODEL).n_params
    assert sum(size for _, _, size in result.tensors) * 8 == pytest.approx(result.bits_per_weight * result.n_params)
    assert result.fallbacks == ()
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]


@pytest.mark.slow
def test_the_same_type_gives_the_same_file(tmp_path: Path) -> None:
    quantize(MODEL, tmp_path / "same.gguf", "f16")
    assert (tmp_path / "same.gguf").read_bytes() == MODEL.read_bytes()
    first = quantize(MODEL, tmp_path / "a.gguf", "Q4_0").path.read_bytes()
    assert first == quantize(MODEL, tmp_path / "b.gguf", "Q4_0").path.read_bytes()
    again = quantize(tmp_path / "a.gguf", tmp_path / "c.gguf", "Q4_0").path.read_bytes()
    assert first == again
    first = quantize(MODEL, tmp_path / "k.gguf", "Q2_K").path.read_bytes()
    assert first == quantize(tmp_path / "k.gguf", tmp_path / "l.gguf", "q2_k").path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("alias", ALIASES)
def test_a_k_type_as_a_target_means_the_medium_recipe(alias: str, tmp_path: Path) -> None:
    result = quantize(MODEL, tmp_path / "a.gguf", alias.lower())
    assert result.quant == read_model_info(result.path).quant == alias + "_M"
    assert result.path.read_bytes() == quantize(MODEL, tmp_path / "b.gguf", alias + "_M").path.read_bytes()


def test_metadata_are_copied(tmp_path: Path) -> None:
    source = small(tmp_path / "in.gguf", extra=True)
    result = quantize(source, tmp_path / "out.gguf", "Q8_0")
    for src, dst, new in ((source, result.path, 3), (MODEL, None, 0)):
        if dst is None:
            dst = quantize(MODEL, tmp_path / "big.gguf", "Q4_0").path
        before, after = gguf.GGUFReader(src).fields, gguf.GGUFReader(dst).fields
        changed = {"general.file_type", "general.quantization_version"}
        ours = [key for key in before if not key.startswith("GGUF.") and key not in changed]
        for key in ours:
            assert after[key].types == before[key].types, key
            assert after[key].contents() == before[key].contents(), key
        assert set(after) == set(before) | changed
        assert len(after) - len(before) == (2 if new else 0)
    reader = gguf.GGUFReader(result.path)
    assert reader.alignment == 64
    assert all(t.data_offset % 64 == 0 for t in reader.tensors)
    assert reader.fields["general.file_type"].contents() == gguf.LlamaFileType.MOSTLY_Q8_0
    version = reader.fields["general.quantization_version"].contents()
    assert version == gguf.GGML_QUANT_VERSION


def test_an_empty_array_survives(tmp_path: Path) -> None:
    source = small(tmp_path / "in.gguf")
    data = bytearray(source.read_bytes())
    reader = gguf.GGUFReader(source)
    key = b"odd.empty"
    field = struct.pack(f"<Q{len(key)}sIIQ", len(key), key, 9, 4, 0)
    at = next(f for name, f in reader.fields.items() if name == "general.architecture").offset
    n_fields = struct.unpack_from("<Q", data, 16)[0]
    struct.pack_into("<Q", data, 16, n_fields + 1)
    header_end = reader.tensors[-1].field.offset + sum(part.nbytes for part in reader.tensors[-1].field.parts)
    header = bytes(data[:at]) + field + bytes(data[at:header_end])
    body = bytes(data[reader.data_offset :])
    source.write_bytes(header.ljust(-(-len(header) // 32) * 32, b"\0") + body)
    result = quantize(source, tmp_path / "out.gguf", "Q8_0")
    assert gguf.GGUFReader(result.path).fields["odd.empty"].contents() == []


def test_kept_tensors(tmp_path: Path) -> None:
    keep = {"blk.*.ffn_down.weight": "f16", "blk.1.ffn_down.weight": "Q5_0", WIDE: "Q4_0"}
    kinds = {name: kind for name, kind, _ in quantize(MODEL, tmp_path / "o", "TQ2_0", keep=keep).tensors}
    assert kinds["blk.0.ffn_down.weight"] == "F16"
    assert kinds["blk.1.ffn_down.weight"] == "Q5_0"
    assert kinds[WIDE] == "Q4_0"
    assert kinds["blk.0.ffn_up.weight"] == "TQ2_0"
    assert kinds["output_norm.weight"] == "F32"


def test_kept_tensors_of_a_recipe(tmp_path: Path) -> None:
    keep = {"blk.0.*": "q3_k", WIDE: "Q8_0"}
    kinds = {name: kind for name, kind, _ in quantize(MODEL, tmp_path / "o", "Q4_K_M", keep=keep).tensors}
    assert kinds["blk.0.attn_v.weight"] == "Q3_K"
    assert kinds["blk.1.attn_v.weight"] == "Q6_K"
    assert kinds["blk.1.attn_q.weight"] == "Q4_K"
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert kinds[WIDE] == "Q8_0"


def llama(*, n_layers: int, keys: int, tied: bool = False) -> dict[str, tuple[int, int]]:
    """Return the matrices of a model of 4096 and their shapes."""
    roles = ("attn_q", "attn_output", "attn_v", "attn_k", "ffn_gate", "ffn_up", "ffn_down")
    found = {f"blk.{i}.{role}.weight": (4096, 4096) for i in range(n_layers) for role in roles}
    found |= {f"blk.{i}.attn_k.weight": (4096, keys) for i in range(n_layers)}
    return found | {WIDE: (4096, 32000)} | ({} if tied else {"output.weight": (4096, 32000)})


@pytest.mark.parametrize(
    ("recipe", "keys", "counts"),
    [  # what llama.cpp says when it loads such files of Llama 2 7B (4096 keys) and Mistral 7B (1024)
        ("Q6_K", 4096, {"Q6_K": 226}),
        ("Q5_K_M", 1024, {"Q5_K": 193, "Q6_K": 33}),
        ("Q5_K_S", 4096, {"Q5_K": 225, "Q6_K": 1}),
        ("Q4_K_M", 4096, {"Q4_K": 193, "Q6_K": 33}),
        ("Q4_K_S", 4096, {"Q4_K": 217, "Q5_K": 8, "Q6_K": 1}),
        ("Q3_K_M", 4096, {"Q3_K": 129, "Q4_K": 92, "Q5_K": 4, "Q6_K": 1}),
        ("Q3_K_S", 4096, {"Q3_K": 225, "Q6_K": 1}),
        ("Q2_K", 4096, {"Q2_K": 129, "Q3_K": 96, "Q6_K": 1}),
        ("Q2_K", 1024, {"Q2_K": 129, "Q3_K": 64, "Q4_K": 32, "Q6_K": 1}),
    ],
)
def test_recipes_of_a_model_of_32_layers(recipe: str, keys: int, counts: dict[str, int]) -> None:
    shapes = llama(n_layers=32, keys=keys)
    model = Architecture.of(shapes)
    assert model == Architecture(32, 4096 / keys, tied=False)
    assert Counter(type_in_recipe(recipe, name, model) for name in shapes) == counts
    assert type_in_recipe(recipe, WIDE, model) == RECIPES[recipe].main
    assert type_in_recipe(recipe, WIDE, Architecture.of(llama(n_layers=32, keys=keys, tied=True))) == "Q6_K"


def test_the_layers_with_more_bits() -> None:
    model = Architecture(32, 1.0, tied=False)
    found = [i for i in range(32) if type_in_recipe("Q4_K_M", f"blk.{i}.ffn_down.weight", model) == "Q6_K"]
    assert found == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
    first = [i for i in range(32) if type_in_recipe("Q3_K_M", f"blk.{i}.ffn_down.weight", model) == "Q5_K"]
    assert first == [0, 1]


def test_every_rule_of_every_recipe_is_one() -> None:
    model = Architecture(32, 1.0, tied=False)
    for name, recipe in RECIPES.items():
        assert recipe.main in K_TYPES
        for role in recipe.rules:
            kinds = {type_in_recipe(name, f"blk.{i}.{role}.weight", model) for i in range(32)}
            assert kinds <= set(K_TYPES) and kinds != {recipe.main}


def test_a_model_without_layers_has_an_architecture() -> None:
    assert Architecture.of({"a.weight": (4, 4)}) == Architecture(0, 1.0, tied=True)


@pytest.mark.slow
def test_fewer_bits_make_smaller_files(tmp_path: Path) -> None:
    sizes = [quantize(MODEL, tmp_path / "o", recipe).model_bytes for recipe in RECIPES]
    assert sizes == sorted(set(sizes), reverse=True)
    bits = [nominal_bits(kind) for kind in QUANTIZATIONS]
    assert bits == sorted(bits, reverse=True)


@pytest.mark.parametrize(
    ("recipe", "wanted", "used"),
    [
        ("Q6_K", "Q6_K", "Q8_0"),
        ("Q5_K_M", "Q5_K", "Q8_0"),
        ("Q4_K_S", "Q4_K", "Q5_0"),
        ("Q3_K_M", "Q3_K", "Q4_0"),
        ("Q2_K", "Q2_K", "Q4_0"),
    ],
)
def test_rows_that_do_not_fit_a_recipe(recipe: str, wanted: str, used: str, tmp_path: Path) -> None:
    result = quantize(small(tmp_path / "in.gguf", row=96), tmp_path / "out.gguf", recipe)
    (fallback,) = result.fallbacks
    assert (fallback.wanted, fallback.used, fallback.row_length, fallback.block_size) == (wanted, used, 96, 256)
    assert tensors(result.path)["blk.0.ffn_up.weight"].tensor_type.name == used == FALLBACKS[wanted]
    (fallback,) = quantize(small(tmp_path / "in.gguf", row=40), tmp_path / "out.gguf", recipe).fallbacks
    assert fallback.used == "F16"
    with pytest.raises(UsageError, match="block of 256"):
        quantize(tmp_path / "in.gguf", tmp_path / "out.gguf", "F16", keep={"blk.*": wanted})


def test_rows_that_do_not_fit_fall_back(tmp_path: Path) -> None:
    source = small(tmp_path / "in.gguf", row=64)
    (fallback,) = quantize(source, tmp_path / "out.gguf", "TQ2_0").fallbacks
    assert (fallback.tensor, fallback.wanted, fallback.used) == (
        "blk.0.ffn_up.weight", "TQ2_0", "Q4_0",
    )  # fmt: skip
    assert (fallback.row_length, fallback.block_size) == (64, 256)
    source = small(tmp_path / "in.gguf", row=40)
    result = quantize(source, tmp_path / "out.gguf", "Q4_0")
    assert [f.used for f in result.fallbacks] == ["F16"]
    assert {n: k for n, k, _ in result.tensors}["blk.0.ffn_up.weight"] == "F16"
    with pytest.raises(UsageError, match=r"blk\.0\.ffn_up\.weight .*40 weights.*block of 32"):
        quantize(source, tmp_path / "out.gguf", "F16", keep={"blk.*": "Q8_0"})


def test_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'Q8_0'"):
        quantize(MODEL, tmp_path / "o", "q8")
    with pytest.raises(UsageError, match="Did you mean 'Q4_K_M'"):
        quantize(MODEL, tmp_path / "o", "q4km")
    with pytest.raises(UsageError, match="Did you mean 'Q4_K'"):
        quantize(MODEL, tmp_path / "o", "F16", keep={WIDE: "Q4_K_M"})  # a recipe is no type
    with pytest.raises(UsageError, match="INT7"):
        quantize(MODEL, tmp_path / "o", "F16", keep={WIDE: "int7"})
    with pytest.raises(UsageError, match="matches 'blk.9"):
        quantize(MODEL, tmp_path / "o", "F16", keep={"blk.9.*": "F16"})
    with pytest.raises(UsageError, match="matches 'output_norm"):
        quantize(MODEL, tmp_path / "o", "F16", keep={"output_norm.weight": "F16"})
    source = small(tmp_path / "in.gguf")
    before = source.read_bytes()
    with pytest.raises(UsageError, match="both the model to read"):
        quantize(source, tmp_path / "." / "in.gguf", "Q8_0")
    link = tmp_path / "link.gguf"
    os.link(source, link)
    with pytest.raises(UsageError, match="both the model to read"):
        quantize(source, link, "Q8_0")
    assert source.read_bytes() == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        quantize(MODEL, tmp_path / "file" / "o.gguf", "Q8_0")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        quantize(MODEL, tmp_path / "folder", "Q8_0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "not a GGUF file"),
        (b"GG", "not a GGUF file"),
        (b"GGUF", "ends too early"),
        (b"GGUF" + struct.pack("<I", 1), "GGUF version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "holds no tensors"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1 << 60), "ends too early"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 1, 1, 1, b"k", 77), "unknown type 77"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 1, 1, 1, b"k", 9, 0, 1 << 60), "ends too early"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 1, 1, 1, b"k", 9, 9, 1), "array of arrays"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 1, 0, 1, b"t", 9), "9 dimensions"),
        (b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"t", 1, 8, 999, 0), "type 999"),
        (b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"t", 1, 8, 2, 0), "blocks of 32"),
        (b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"t", 1, 8, 0, 0), "ends too early"),
    ],
)
def test_what_is_not_a_model_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    for read in (read_model_info, read_vocab, read_vocabulary):
        with pytest.raises(ModelError, match=says) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=says):
        quantize(path, tmp_path / "out.gguf", "Q8_0")
    assert not (tmp_path / "out.gguf").exists()


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    data = MODEL.read_bytes()
    path = tmp_path / "cut.gguf"
    start = gguf.GGUFReader(MODEL).data_offset
    for size in [*range(1, start, 397), start, start + 1000, len(data) - 33]:
        path.write_bytes(data[:size])
        with pytest.raises(ModelError):
            read_model_info(path)


@pytest.mark.slow
def test_no_damage_of_the_header_escapes(tmp_path: Path) -> None:
    data = bytearray(small(tmp_path / "in.gguf", extra=True).read_bytes())
    path = tmp_path / "bad.gguf"
    rng = np.random.default_rng(3)
    size = gguf.GGUFReader(tmp_path / "in.gguf").data_offset
    for at in [*range(size), *range(size)]:
        bad = bytearray(data)
        bad[at] ^= int(rng.integers(1, 256))
        path.write_bytes(bad)
        try:
            read_model_info(path)
            quantize(path, tmp_path / "out.gguf", "Q8_0")
        except ModelError:
            pass  # any other exception fails the test


def test_missing_file_and_missing_metadata(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_model_info(tmp_path / "none.gguf")
    with pytest.raises(ModelError, match="cannot be read"):
        read_model_info(tmp_path)
    source = small(tmp_path / "in.gguf")
    with pytest.raises(ModelError, match=r"tokenizer\.ggml\.tokens"):
        read_vocab(source)
    info = read_model_info(source)
    assert (info.n_kv_heads, info.bos_id, info.n_vocab, info.quant) == (4, None, 0, "F32")


def test_metadata_of_the_wrong_kind(tmp_path: Path) -> None:
    path = tmp_path / "in.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("llama.block_count", "two")
    writer.add_string("tokenizer.ggml.tokens", "abc")
    writer.add_tensor("a", np.ones(4, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"str for 'llama\.block_count'"):
        read_model_info(path)
    with pytest.raises(ModelError, match=r"str for 'tokenizer\.ggml\.tokens'"):
        read_vocab(path)


def test_weights_that_cannot_be_rounded(tmp_path: Path) -> None:
    for value in (np.inf, -np.inf, np.nan):
        source = small(tmp_path / "in.gguf", value=value)
        with pytest.raises(ModelError, match="infinite or not a number"):
            quantize(source, tmp_path / "out.gguf", "Q8_0")
    source = small(tmp_path / "in.gguf", value=1e6)
    with pytest.raises(ModelError, match="1e\\+06"):
        quantize(source, tmp_path / "out.gguf", "F16")
    result = quantize(source, tmp_path / "out.gguf", "BF16")
    assert result.bits_per_weight == pytest.approx((16 * 3 + 32) / 4)


def test_model_info() -> None:
    info = read_model_info(MODEL)
    assert (info.name, info.arch, info.quant) == ("fable-1.2m", "llama", "F16")
    assert (info.n_layers, info.dim, info.n_heads, info.n_kv_heads, info.ff) == (2, 256, 8, 2, 512)
    assert (info.n_vocab, info.n_ctx, info.bos_id, info.n_params) == (512, 256, 1, 1_246_464)
    assert info.model_bytes == MODEL.stat().st_size
    assert len(info.sha256) == 64
    assert info.tensor_types["output_norm.weight"] == "F32"
    assert info.tensor_types[WIDE] == "F16"


# -- tokenizer -----------------------------------------------------------------------------------

TINY = Vocabulary(
    pieces=["<unk>", "<s>", "</s>", "<0x0A>", "ab", "bc", "▁a", "abc", "▁", "a", "b", "c"],
    scores=[0, 0, 0, 0, -1, -2, -3, -4, -5, -6, -7, -8],
)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", [1]),
        ("a", [1, 6]),
        ("b", [1, 8, 10]),
        ("abc", [1, 8, 7]),  # ab is better than bc and than ▁a; then abc
        ("bc", [1, 8, 5]),
        ("abab", [1, 8, 4, 4]),
        ("a a", [1, 6, 6]),
        ("  a", [1, 8, 8, 6]),
        ("a\nb", [1, 6, 3, 10]),
        ("x", [1, 8, 0]),
        ("é", [1, 8, 0, 0]),
        ("<s>", [1, 8, 0, 0, 0]),
    ],
)
def test_known_vectors(text: str, ids: list[int]) -> None:
    assert encode(TINY, text) == ids


def test_flags_of_the_vocabulary() -> None:
    bare = Vocabulary(TINY.pieces, TINY.scores, add_bos=False, add_space_prefix=False)
    assert bare.encode("abc") == [7]
    assert bare.encode("") == []
    assert bare.decode([7, 8, 9]) == "abc a"
    assert TINY.decode([1, 6, 3, 10, 2]) == "a\nb"


def test_pieces() -> None:
    assert [decode_piece(p) for p in ("▁the", "<0x0A>", "<s>", "</s>", "<unk>", "a", "<0xC3>")] == [
        " the", "\n", "", "", "", "a", "\ufffd",
    ]  # fmt: skip


def test_vocabulary_of_the_model() -> None:
    pieces = read_vocab(MODEL)
    assert len(pieces) == 512
    assert pieces[:4] == ["<unk>", "<s>", "</s>", "<0x0A>"]
    assert {chr(c) for c in range(0x21, 0x7F)} <= set(pieces)
    vocabulary = read_vocabulary(MODEL)
    text = (MODELS / "eval.txt").read_text(encoding="ascii")
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert 0 not in ids
    assert encode(MODEL, text[:200]) == encode(vocabulary, text[:200])
    assert [pieces[i] for i in encode(MODEL, "Once there was a boy")] == [
        "<s>", "▁Once", "▁there", "▁was", "▁a", "▁boy",
    ]  # fmt: skip


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gpt2.gguf"
    data = MODEL.read_bytes()
    key = b"tokenizer.ggml.model" + struct.pack("<I", 8) + struct.pack("<Q", 5)
    path.write_bytes(data.replace(key + b"llama", key + b"gpt2\0"))
    with pytest.raises(ModelError, match="gpt2"):
        read_vocabulary(path)
