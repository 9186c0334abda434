"""Packing K blocks: how much is lost, what is always valid, and that the bytes stay the same."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
import warnings
from collections.abc import Iterator

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprof import kquants
from edgeprof.kquants import BLOCK, K_TYPES, pack

TYPES = {kind: gguf.GGMLQuantizationType[kind] for kind in K_TYPES}
BYTES = {kind: gguf.GGML_QUANT_SIZES[TYPES[kind]][1] for kind in K_TYPES}

D_AND_DMIN = {"Q5_K": slice(0, 4), "Q4_K": slice(0, 4), "Q2_K": slice(80, 84)}

LOST = {"Q6_K": 0.0167, "Q5_K": 0.0345, "Q4_K": 0.0705, "Q3_K": 0.145, "Q2_K": 0.268}
"""Relative root mean square error on normally distributed weights, at most."""

GOLDEN = {
    "Q6_K": "f42e52498b54fac6",
    "Q5_K": "1c7faba869a2f3f2",
    "Q4_K": "affcac496d89b731",
    "Q3_K": "4b6560a06b420eb3",
    "Q2_K": "b123114833cf6b7e",
}


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def back(weights: np.ndarray, kind: str) -> np.ndarray:
    """Return what is left of weights, as the gguf package reads it."""
    packed = pack(weights, kind)
    assert packed.dtype == np.uint8
    assert packed.shape == (*weights.shape[:-1], weights.shape[-1] // BLOCK * BYTES[kind])
    read = gguf.dequantize(packed, TYPES[kind])
    assert np.all(np.isfinite(read))
    if kind in D_AND_DMIN:
        halves = packed.reshape(-1, BYTES[kind])[:, D_AND_DMIN[kind]].copy().view("<f2")
        assert not np.any(np.signbit(halves))  # a scale or a minimum below zero is none
    return read


def loss(weights: np.ndarray, read: np.ndarray) -> float:
    weights = weights.astype(np.float64)
    return float(np.sqrt(np.square(weights - read).sum() / np.square(weights).sum()))


def normal(n_blocks: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_blocks, BLOCK)).astype(np.float32)


def naive(weights: np.ndarray, kind: str) -> np.ndarray:
    """Return what is left if each scale is the one that the largest weight asks for; in float64."""
    sub, levels, s_high = {
        "Q6_K": (16, 32, 128), "Q5_K": (32, 31, 63), "Q4_K": (32, 15, 63), "Q3_K": (16, 4, 32), "Q2_K": (16, 3, 15),
    }[kind]  # fmt: skip
    x = weights.astype(np.float64).reshape(len(weights), -1, sub)

    def coarse(values: np.ndarray) -> np.ndarray:
        d = values.max(axis=1, keepdims=True).astype(np.float16).astype(np.float64) / s_high
        return np.where(d > 0, np.rint(values / np.where(d > 0, d, 1)).clip(0, s_high) * d, 0)

    if kind in ("Q6_K", "Q3_K"):
        at = np.abs(x).argmax(axis=2)[..., None]
        sign = -np.sign(np.take_along_axis(x, at, axis=2))
        scale, least = sign * coarse(np.abs(x).max(axis=2) / levels)[..., None], 0.0
        low, high = -levels, levels - 1
    else:
        floor = np.minimum(x.min(axis=2), 0)
        scale, least = coarse((x.max(axis=2) - floor) / levels)[..., None], -coarse(-floor)[..., None]
        low, high = 0, levels
    q = np.rint((x - least) / np.where(scale != 0, scale, 1)).clip(low, high)
    return (q * scale + least).reshape(weights.shape)


@pytest.mark.parametrize("kind", K_TYPES)
def test_loss_on_normal_weights(kind: str) -> None:
    weights = normal(1000)
    assert loss(weights, back(weights, kind)) < LOST[kind]


@pytest.mark.parametrize("kind", K_TYPES)
def test_better_than_the_scale_of_the_largest_weight(kind: str) -> None:
    rng = np.random.default_rng(6)
    shape = (300, BLOCK)
    for weights in (
        normal(300), rng.laplace(size=shape), rng.standard_t(3, shape), rng.uniform(-1, 1, shape),
        rng.uniform(0, 1, shape), rng.uniform(-3, -2, shape), normal(300) * rng.lognormal(0, 2, shape),
    ):  # fmt: skip
        weights = weights.astype(np.float32)
        assert loss(weights, back(weights, kind)) < loss(weights, naive(weights, kind))


def test_more_bits_lose_less() -> None:
    for weights in (normal(200), np.abs(normal(200)), np.cumsum(normal(200), axis=1) / 16, normal(200) ** 3):
        lost = [loss(weights, back(weights, kind)) for kind in K_TYPES]
        assert lost == sorted(set(lost))


@pytest.mark.parametrize("kind", K_TYPES)
def test_what_the_grid_holds_is_found_again(kind: str) -> None:
    """Weights that are multiples of a scale, with the extremes in every sub-block, lose next to nothing."""
    rng = np.random.default_rng(8)
    low, high = {"Q6_K": (-32, 31), "Q5_K": (-9, 22), "Q4_K": (-4, 11), "Q3_K": (-4, 3), "Q2_K": (-1, 2)}[kind]
    grid = rng.integers(low, high + 1, (50, BLOCK // 16, 16))
    grid[..., 0], grid[..., 1] = low, high
    weights = (grid.reshape(-1, BLOCK) * 0.0123).astype(np.float32)
    assert loss(weights, back(weights, kind)) < 1e-3


@pytest.mark.parametrize("kind", K_TYPES)
def test_sub_blocks_of_unlike_sizes(kind: str) -> None:
    """Every sub-block has its own scale: each position of every packed scale counts."""
    sub = 32 if kind in ("Q5_K", "Q4_K") else 16
    sizes = np.random.default_rng(1).permutation(np.linspace(0.4, 1, BLOCK // sub, dtype=np.float32))
    weights = normal(200) * np.repeat(sizes, sub)
    miss = np.square(weights - back(weights, kind)).reshape(200, -1, sub).mean(axis=(0, 2))
    assert np.max(np.sqrt(miss) / sizes) < 1.2 * LOST[kind]


EDGES = {
    "zero": np.zeros(BLOCK),
    "constant": np.full(BLOCK, 0.37),
    "negative constant": np.full(BLOCK, -0.37),
    "largest": np.full(BLOCK, 65504.0),
    "smallest": np.full(BLOCK, -65504.0),
    "largest of both signs": np.resize([65504.0, -65504.0, 65504.0], BLOCK),
    "one outlier": np.r_[1000.0, normal(1)[0, 1:] * 0.01],
    "one negative outlier": np.r_[normal(1)[0, 1:] * 0.01, -1000.0],
    "only the first": np.r_[1.0, np.zeros(BLOCK - 1)],
    "only the last": np.r_[np.zeros(BLOCK - 1), -1.0],
    "one half zero": np.r_[np.zeros(BLOCK // 2), normal(1)[0, : BLOCK // 2]],
    "negative": -np.abs(normal(1)[0]),
    "positive, far from zero": np.abs(normal(1)[0]) + 5,
    "narrow": 5 + normal(1)[0] * 1e-3,
    "narrow, negative": normal(1)[0] * 1e-3 - 5,
    "nearly constant": 5 + normal(1)[0] * 1e-6,
    "two narrow clusters": np.resize([3.0, -1.0, 3.0], BLOCK) + normal(1)[0] * 1e-4,
}


@pytest.mark.parametrize("kind", K_TYPES)
@pytest.mark.parametrize("edge", EDGES)
def test_edges(edge: str, kind: str) -> None:
    weights = EDGES[edge].astype(np.float32)
    read = back(weights, kind)
    if edge == "zero":
        assert np.all(read == 0)
    elif edge in ("one half zero", "negative", "positive, far from zero"):
        assert loss(weights, read) < 1.15 * LOST[kind]
    else:
        bound = {"Q6_K": 0.005, "Q3_K": 0.02}.get(kind, 0.005)  # these have no minimum: 2 levels of unlike size
        assert loss(weights, read) < bound


@pytest.mark.slow
@pytest.mark.parametrize("kind", K_TYPES)
def test_tiny_weights(kind: str) -> None:
    for exponent in range(-149, 1):
        weights = np.ldexp(normal(4), exponent).astype(np.float32)
        read = back(weights, kind)
        miss, size = (np.sqrt(np.square(values.astype(np.float64)).mean()) for values in (weights - read, weights))
        # the least d is 2**-24, so what is below half of that may be lost
        assert miss <= 1.1 * LOST[kind] * size + 2.0**-25
        if exponent < -30:
            assert np.all(read == 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", K_TYPES)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_block_is_valid(kind: str, data: st.DataObject) -> None:
    number = st.floats(-65504, 65504, width=32)
    few = st.lists(number, min_size=1, max_size=6)
    pool = data.draw(st.one_of(few, st.lists(number, min_size=BLOCK, max_size=BLOCK)))
    seed = data.draw(st.integers(0, 2**32 - 1))
    weights = np.random.default_rng(seed).choice(np.asarray(pool, dtype=np.float32), (2, BLOCK))
    read = back(weights, kind)
    # never worse than to write zeros, and no weight further off than the block is wide
    squares = np.square(weights.astype(np.float64)).sum(axis=1)
    assert np.all(np.square(weights.astype(np.float64) - read).sum(axis=1) <= squares * (1 + 1e-6))


@pytest.mark.parametrize("kind", K_TYPES)
@given(n=st.integers(1, 9), chunk=st.integers(1, 9))
@settings(max_examples=10, deadline=None)
def test_a_block_does_not_depend_on_its_neighbours(kind: str, n: int, chunk: int) -> None:
    weights = normal(n) * 10
    alone = [pack(block, kind) for block in weights]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kquants, "_CHUNK", chunk)
        np.testing.assert_array_equal(pack(weights, kind), alone)
        np.testing.assert_array_equal(pack(weights.reshape(1, -1), kind)[0], np.concatenate(alone))


@pytest.mark.parametrize("kind", K_TYPES)
def test_powers_of_two_change_the_scales_alone(kind: str) -> None:
    weights = normal(20)
    np.testing.assert_array_equal(back(weights, kind) * 8, back(weights * 8, kind))


def example() -> np.ndarray:
    """Return 2048 blocks that no random generator has a part in: bell-shaped, of many sizes, and some edges."""
    numbers = (np.arange(2048 * BLOCK, dtype=np.uint64) * np.uint64(2654435761)) % np.uint64(2**32)
    numbers = (numbers ^ (numbers >> np.uint64(15))) * np.uint64(2246822519) % np.uint64(2**32)
    weights = (numbers.astype(np.float64) / 2**31 - 1).reshape(-1, BLOCK) ** 3
    weights /= 2.0 ** np.resize(np.arange(40), 2048)[:, None]
    weights[60], weights[61], weights[62] = 0, 0.25, -np.abs(weights[62])
    return weights.astype(np.float32)


@pytest.mark.parametrize("kind", K_TYPES)
def test_the_bytes_are_those_of_yesterday(kind: str) -> None:
    """A digest, so that a change of the rounding is noticed: old and new files of a model would differ."""
    assert hashlib.sha256(pack(example(), kind).tobytes()).hexdigest()[:16] == GOLDEN[kind]


def test_what_cannot_be_packed() -> None:
    for wrong in (np.nan, np.inf, -np.inf, 65536.0):
        weights = normal(2)
        weights[1, 7] = wrong
        with pytest.raises(ValueError, match="no number, or beyond 65504"):
            pack(weights, "Q4_K")
    with pytest.raises(ValueError, match="rows of 128 weights"):
        pack(np.zeros((4, 128), dtype=np.float32), "Q4_K")


@pytest.mark.slow
@pytest.mark.parametrize("kind", K_TYPES)
def test_memory_and_time_are_bounded(kind: str) -> None:
    weights = normal(8000)
    tracemalloc.start()
    begin = time.perf_counter()
    pack(weights, kind)
    took = time.perf_counter() - begin
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * len(weights) * BYTES[kind] + 12 * 2**20  # the result, its parts, and one chunk
    assert took < 5


@pytest.mark.parametrize("kind", K_TYPES)
def test_a_weight_that_is_next_to_nothing_beside_another_overflows_nothing(kind: str) -> None:
    weights = np.zeros(256, np.float32)
    weights[1:3] = 1.0, 1.1754944e-38
    assert np.all(np.isfinite(back(weights, kind)))
