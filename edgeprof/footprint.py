"""What a model takes of a board's memory, as the reference firmware computes it before anything runs.

The layout is that of ``lay_out`` in ``edgeprof/firmware/llm/forward.c``: each piece is rounded up to 8 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeprof.model_shape import ModelShape

__all__ = ["Firmware", "Footprint", "activation_bytes", "footprint", "kv_cache_bytes"]


@dataclass(frozen=True)
class Firmware:
    """What a board's firmware takes without a model, in bytes; said by the board itself.

    Attributes
    ----------
    image_bytes
        Flash of code and constants.
    static_ram_bytes
        RAM of ``.data`` and ``.bss``.
    stack_reserved_bytes
        RAM that is kept for the stack: at most so much of it is used.
    """

    image_bytes: int
    static_ram_bytes: int
    stack_reserved_bytes: int


@dataclass(frozen=True)
class Footprint:
    """What a model takes of a board's memory, in bytes; names as in table ``runs``."""

    model_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    image_bytes: int | None
    static_ram_bytes: int | None
    stack_reserved_bytes: int | None
    ram_needed_bytes: int | None
    flash_needed_bytes: int | None


def kv_cache_bytes(shape: ModelShape, n_ctx: int) -> int:
    """Return the bytes of the whole KV cache (keys and values in F16) for ``n_ctx`` positions."""
    return 4 * shape.n_layers * n_ctx * shape.kv_dim


def activation_bytes(shape: ModelShape, n_ctx: int, *, pointer_bytes: int = 4) -> int:
    """Return the bytes of activations and tables, KV cache aside.

    Parameters
    ----------
    shape
        The model.
    n_ctx
        Positions.
    pointer_bytes
        Of the board's core: 4 on a microcontroller.
    """
    matrix = 2 * pointer_bytes + 8
    layer = 2 * pointer_bytes + 7 * matrix
    widest = max(shape.dim, shape.q_dim)
    longest = max(widest, shape.ff)
    pieces = [
        shape.n_layers * layer, 4 * shape.dim, 4 * widest, 4 * widest, 4 * shape.kv_dim, 4 * shape.ff, 4 * shape.ff,
        4 * n_ctx, 4 * shape.n_vocab, *[4 * (shape.rope_dims // 2)] * 3, 4 * (n_ctx + 1), 4 * longest,
    ]  # fmt: skip
    keys = kv_cache_bytes(shape, n_ctx) // 2
    return sum(_rounded(n) for n in pieces) + 2 * (_rounded(keys) - keys)


def footprint(shape: ModelShape, n_ctx: int, firmware: Firmware | None, *, pointer_bytes: int = 4) -> Footprint:
    """Return what a model takes at ``n_ctx`` positions; the sums are unknown where the firmware's own part is."""
    kv, rest = kv_cache_bytes(shape, n_ctx), activation_bytes(shape, n_ctx, pointer_bytes=pointer_bytes)
    if firmware is None:
        return Footprint(shape.model_bytes, kv, rest, None, None, None, None, None)
    return Footprint(
        model_bytes=shape.model_bytes,
        kv_cache_bytes=kv,
        activation_bytes=rest,
        image_bytes=firmware.image_bytes,
        static_ram_bytes=firmware.static_ram_bytes,
        stack_reserved_bytes=firmware.stack_reserved_bytes,
        ram_needed_bytes=firmware.static_ram_bytes + firmware.stack_reserved_bytes + kv + rest,
        flash_needed_bytes=firmware.image_bytes + shape.model_bytes,
    )


def _rounded(n: int) -> int:
    return -(-n // 8) * 8
