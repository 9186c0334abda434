"""What a decode pass takes: counted from the file's tensors, and position by position."""

from __future__ import annotations

import gguf
import handmade
import numpy as np
import pytest

import edgeprof
from edgeprof import resources
from edgeprof.decode_work import decode_work
from edgeprof.errors import UsageError
from edgeprof.model_shape import read_shape
from edgeprof.workload import STAGES, stage_work

MODELS = sorted(resources.path("data/models").glob("*.gguf"))


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_weights_are_the_files_tensors(path):
    tensors = {t.name: t for t in gguf.GGUFReader(path).tensors}
    work = decode_work(read_shape(path))
    embedding = tensors["token_embd.weight"]
    matrices = sum(int(t.n_elements) for t in tensors.values() if len(t.shape) == 2)
    tied = "output.weight" not in tensors
    assert work.weight_macs == matrices - (0 if tied else int(embedding.n_elements))
    row = int(embedding.n_bytes) // int(embedding.shape[1])
    whole = sum(int(t.n_bytes) for t in tensors.values())
    assert work.weight_bytes == whole + row - (0 if tied else int(embedding.n_bytes))


def test_the_mean_over_passes_is_the_work_at_their_mean_position():
    shape = read_shape(MODELS[0])
    work, positions = decode_work(shape), [3, 4, 9, 20]
    each = [
        sum(n for s in STAGES for f, n in stage_work(shape, s, p).items() if f.startswith(("macs", "cache_macs")))
        for p in positions
    ]
    assert work.weight_macs + work.cache_macs_per_position * (np.mean(positions) + 1) == pytest.approx(np.mean(each))
    assert work.cache_bytes_per_position == 2 * 2 * shape.n_layers * shape.n_kv_heads * shape.head_dim


def run_of(shape, **columns):
    said = {"model": shape.name, "quant": shape.quant, "n_params": shape.n_params}
    return handmade.run("c/0", **said | {"bits_per_weight": shape.bits_per_weight} | columns)


def work_of(run, **options):
    row = edgeprof.measure(handmade.dataset([run], handmade.generated("c/0")), **options).iloc[0]
    return row["decode_weight_bytes_per_token"]


@pytest.mark.slow
def test_a_model_is_known_by_name_and_size_or_not_at_all():
    shape = read_shape(resources.path("data/models/fable-1.2m-F16.gguf"))
    assert work_of(run_of(shape)) == decode_work(shape).weight_bytes
    small = shape.quantized("Q4_0")
    assert work_of(run_of(small)) == decode_work(small).weight_bytes
    for other in ({"n_params": shape.n_params + 1}, {"bits_per_weight": 15.9}, {"model": "x"}, {"n_params": None}):
        assert np.isnan(work_of(run_of(shape, **other))), other
    assert np.isnan(work_of(run_of(shape, quant="Q4_0")))


def test_a_model_of_ones_own_is_named(tmp_path):
    ours = tmp_path / "ours.gguf"
    ours.write_bytes(
        (resources.path("data/models/fable-1.2m-F16.gguf")).read_bytes().replace(b"fable-1.2m", b"gable-1.2m")
    )
    shape = read_shape(ours)
    assert np.isnan(work_of(run_of(shape)))
    for models in ([ours], [tmp_path]):
        assert work_of(run_of(shape), models=models) == decode_work(shape).weight_bytes
    with pytest.raises(UsageError, match="no model at"):
        work_of(run_of(shape), models=[tmp_path / "gone.gguf"])
