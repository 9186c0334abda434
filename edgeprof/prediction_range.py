"""In which range a board was captured, and where a model lies outside of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgeprof.model_shape import ModelShape
from edgeprof.observed import Observations

__all__ = ["checked_range", "outside", "placed"]

_DIMENSIONS: Mapping[str, tuple[str, Callable[[ModelShape], int]]] = {
    "n_params": ("parameters", lambda s: s.n_params),
    "n_layers": ("layers", lambda s: s.n_layers),
    "dim": ("width", lambda s: s.dim),
    "head_dim": ("width of a head", lambda s: s.head_dim),
    "n_heads": ("heads", lambda s: s.n_heads),
    "n_kv_heads": ("heads of the cache", lambda s: s.n_kv_heads),
    "ff": ("feed-forward width", lambda s: s.ff),
    "n_vocab": ("tokens of the vocabulary", lambda s: s.n_vocab),
}


def checked_range(seen: Observations | None) -> dict[str, tuple[int, int]]:
    """Return the least and greatest value of each dimension, of the position and of the context, that were captured."""
    if seen is None or not seen.shapes or seen.stages.empty:
        return {}
    found = {name: [of(shape) for shape in seen.shapes] for name, (_, of) in _DIMENSIONS.items()}
    ranges = {name: (min(values), max(values)) for name, values in found.items()}
    positions = seen.stages["position"]
    return ranges | {"position": (int(positions.min()), int(positions.max())), "n_ctx": seen.n_ctx}


def placed(shape: ModelShape, n_ctx: int, position: int) -> dict[str, tuple[str, int]]:
    """Return where a model and place lie in each dimension: what it is called, and the value."""
    here = {name: (words, of(shape)) for name, (words, of) in _DIMENSIONS.items()}
    return here | {"position": ("position", position), "n_ctx": ("context", n_ctx)}


def outside(shape: ModelShape, n_ctx: int, position: int, checked: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return, in words, where a model and place lie outside of a range."""
    here = placed(shape, n_ctx, position)
    return [
        f"{words} {value:,} (captured: {low:,} to {high:,})"
        for name, (words, value) in here.items()
        if name in checked
        for low, high in [checked[name]]
        if not low <= value <= high
    ]
