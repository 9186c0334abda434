"""Pack float32 rows into the K formats: Q6_K, Q5_K, Q4_K, Q3_K and Q2_K.

The ``gguf`` package reads these and does not write them; what its ``dequantize`` reads is the
definition followed here. A block of 256 weights has a half-precision ``d`` (and ``dmin``), each of
its sub-blocks of 16 or 32 an integer scale ``s`` (and ``m``), each weight an integer ``q`` of two to
six bits::

    weight = d s q               Q6_K, Q3_K: q and s have a sign
    weight = d s q - dmin m      Q5_K, Q4_K, Q2_K: nothing has a sign

Three steps find them, each by the least squared error:

1. for each sub-block a scale (and minimum) in float32: from several starting scales, round and fit
   by least squares, twice; the best of them stays,
2. ``d`` and ``dmin``, so that the largest of these fit; then ``s`` and ``m``, the nearest integers or
   their neighbours, each with the weights rounded again,
3. with all integers known, ``d`` and ``dmin`` by least squares, and step 2 again, twice; a block takes
   what is better.

In Q2_K an error counts by the size of its weight plus the root mean square of the sub-block: on the
fable models this gives a quarter to a half less divergence (KL from F16) than counting all alike.
The other types gain nothing from it, so there all count alike.

The same bytes come out everywhere, however the rows are chunked: every operation is elementwise
IEEE arithmetic, and sums are made in one order (:func:`_total`), by no routine that may choose its
own. A block is worked on between -1 and 1, so that no square overflows or vanishes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK", "K_TYPES", "pack"]

BLOCK = 256
"""How many weights a block has."""

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_CHUNK = 512  # blocks at a time: arrays of half a megabyte
_ROUNDS = 2  # how often d and dmin are fitted
_MAX_F16 = np.float32(65504)
_LEAST_EXPONENT = -30  # what is smaller than half of the least F16 becomes zero


@dataclass(frozen=True)
class _Form:
    """What a K type consists of.

    Attributes
    ----------
    sub : int
        The length of a sub-block.
    q_low, q_high, s_low, s_high : int
        The range of a weight's integer and of a sub-block's.
    has_min : bool
        Whether sub-blocks have a minimum.
    starts : tuple of float
        Where the search for a scale begins: the sub-block's largest weight (with its sign) by
        these, or its span where there is a minimum.
    by_size : bool
        Whether errors of large weights count more.
    """

    sub: int
    q_low: int
    q_high: int
    s_low: int
    s_high: int
    has_min: bool
    starts: tuple[float, ...]
    by_size: bool = False


def _steps(first: float, last: float, n: int) -> tuple[float, ...]:
    return tuple(first + (last - first) * i / (n - 1) for i in range(n))


_FORMS = {
    "Q6_K": _Form(16, -32, 31, -128, 127, False, _steps(-33, -26, 15)),
    "Q5_K": _Form(32, 0, 31, 0, 63, True, _steps(27, 32, 11)),
    "Q4_K": _Form(32, 0, 15, 0, 63, True, _steps(11, 16, 11)),
    "Q3_K": _Form(16, -4, 3, -32, 31, False, _steps(-5, -2.5, 11) + _steps(2.25, 4, 8)),
    "Q2_K": _Form(16, 0, 3, 0, 15, True, _steps(2, 3.5, 7), by_size=True),
}

K_TYPES = tuple(_FORMS)
"""The types that :func:`pack` writes, most bits a weight first."""


def pack(weights: Floats, kind: str) -> Bytes:
    """Return rows of weights in a K format.

    Parameters
    ----------
    weights : array of float32
        Of any shape; the last axis is the row, a multiple of :data:`BLOCK` long. Finite, and no
        larger than half precision goes (65504).
    kind : str
        One of :data:`K_TYPES`.

    Returns
    -------
    array of uint8
        The same shape, but for the last axis, which is a row's bytes.

    Raises
    ------
    ValueError
        The rows cannot be cut into blocks, or a weight is too large or no number.
    """
    form = _FORMS[kind]
    if weights.shape[-1] % BLOCK:
        raise ValueError(f"rows of {weights.shape[-1]} weights cannot be cut into blocks of {BLOCK}")
    blocks = weights.reshape(-1, BLOCK)
    parts = []
    for first in range(0, len(blocks), _CHUNK):
        chunk = np.asarray(blocks[first : first + _CHUNK], dtype=np.float32)
        if not np.all(np.abs(chunk) <= _MAX_F16):
            raise ValueError(f"a weight is no number, or beyond {_MAX_F16:g}")
        parts.append(_PACKERS[kind](*_quantize(form, chunk)))
    return np.concatenate(parts).reshape(*weights.shape[:-1], -1)


# -- finding the integers ------------------------------------------------------------------------
# Arrays have the shape (weights of a sub-block, sub-blocks, blocks) or the last of these axes, so
# that everything is elementwise along the longest one.


def _quantize(form: _Form, blocks: Floats) -> tuple[Bytes, npt.NDArray[np.int16], Bytes, Bytes, Bytes]:
    """Return q - q_low (blocks, 256), s and m (blocks, sub-blocks), and d and dmin as bytes."""
    exponent = np.maximum(np.frexp(np.abs(blocks).max(axis=1))[1], _LEAST_EXPONENT)
    cube = np.ldexp(blocks, -exponent[:, None]).reshape(len(blocks), -1, form.sub)
    x = np.ascontiguousarray(cube.transpose(2, 1, 0))
    weight = np.ones_like(x)
    if form.by_size:
        weight = np.abs(x) + np.sqrt(_total(x * x) / np.float32(form.sub))
    scale, minimum = _search(form, x, weight)
    widest = np.take_along_axis(scale, np.abs(scale).argmax(axis=0)[None], axis=0)[0]
    d = _half(widest / np.float32(form.s_low or form.s_high), exponent)
    d_min = _half(minimum.max(axis=0) / np.float32(form.s_high), exponent)
    s, m = np.rint(_ratio(scale, d)), np.rint(_ratio(minimum, d_min))
    error, s, m, q = _integers(form, x, weight, d, d_min, s, m)
    for _ in range(_ROUNDS):
        new_d, new_d_min = (_half(value, exponent) for value in _refit(form, x, weight, d, d_min, s, m, q))
        new_error, new_s, new_m, new_q = _integers(form, x, weight, new_d, new_d_min, s, m)
        better = new_error < error
        _take(better, (error, new_error), (d, new_d), (d_min, new_d_min), (s, new_s), (m, new_m), (q, new_q))
    return (
        (q - np.float32(form.q_low)).transpose(2, 1, 0).reshape(-1, BLOCK).astype(np.uint8),
        s.T.astype(np.int16),
        m.T.astype(np.uint8),
        _f16_bytes(np.ldexp(d, exponent)),
        _f16_bytes(np.ldexp(d_min, exponent)),
    )


def _search(form: _Form, x: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return each sub-block's best scale and minimum, in float32."""
    if form.has_min:
        first_min = np.maximum(-x.min(axis=0), np.float32(0))
        reach = x.max(axis=0) + first_min
    else:
        reach = np.take_along_axis(x, np.abs(x).argmax(axis=0)[None], axis=0)[0]
        first_min = np.zeros_like(reach)
    best = np.full_like(reach, np.inf)
    best_scale, best_min = np.zeros_like(reach), first_min.copy()
    for start in form.starts:
        scale, minimum = reach / np.float32(start), first_min
        for _ in range(2):
            q = _levels(form, x, scale, minimum)
            scale, minimum = _fit(form, x, weight, q)
        error = _error(x, weight, q, scale, minimum)
        _take(error < best, (best, error), (best_scale, scale), (best_min, minimum))
    return best_scale, best_min


def _fit(form: _Form, x: Floats, weight: Floats, q: Floats) -> tuple[Floats, Floats]:
    """Return the scale and the minimum (not below zero) with the least squared error."""
    wq = weight * q
    qq, qx = _total(wq * q), _total(wq * x)
    alone = _ratio(qx, qq)
    if not form.has_min:
        return alone, np.zeros_like(alone)
    n, sum_q, sum_x = _total(weight), _total(wq), _total(weight * x)
    scale, minimum = _solve(qq, -sum_q, n, qx, -sum_x)
    floor = np.maximum(_ratio(-sum_x, n), np.float32(0))  # for a sub-block whose q are all zero
    scale = np.where(minimum > 0, scale, alone)
    minimum = np.where(qq > 0, np.maximum(minimum, np.float32(0)), floor)
    return np.maximum(scale, np.float32(0)), minimum


def _integers(
    form: _Form, x: Floats, weight: Floats, d: Floats, d_min: Floats, s: Floats, m: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return each block's error with the best s and m near those given, and these and q."""
    least, best_s, best_m, best_q = np.full_like(s, np.inf), np.zeros_like(s), np.zeros_like(m), np.zeros_like(x)
    near = tuple(np.float32(step) for step in (0, -1, 1))
    for step in near:
        new_s = np.clip(s + step, np.float32(form.s_low), np.float32(form.s_high))
        for step_min in near if form.has_min else near[:1]:
            new_m = np.clip(m + step_min, np.float32(0), np.float32(form.s_high))
            scale, minimum = d * new_s, d_min * new_m
            q = _levels(form, x, scale, minimum)
            error = _error(x, weight, q, scale, minimum)
            _take(error < least, (least, error), (best_s, new_s), (best_m, new_m), (best_q, q))
    return _total(least), best_s, best_m, best_q


def _refit(
    form: _Form, x: Floats, weight: Floats, d: Floats, d_min: Floats, s: Floats, m: Floats, q: Floats
) -> tuple[Floats, Floats]:
    """Return the d and dmin with the least squared error, or the old ones where there are none."""
    y = s * q
    wy = weight * y
    yy, yx = _total(_total(wy * y)), _total(_total(wy * x))
    alone = np.where(yy > 0, _ratio(yx, yy), d)
    if not form.has_min:
        return alone, d_min
    wm = weight * m
    new_d, new_d_min = _solve(yy, -_total(_total(wm * y)), _total(_total(wm * m)), yx, -_total(_total(wm * x)))
    good = (new_d > 0) & (new_d_min > 0)
    return np.where(good, new_d, np.where(d_min > 0, d, alone)), np.where(good, new_d_min, d_min)


def _solve(a: Floats, b: Floats, c: Floats, u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Return the solution of (a b; b c) (x, y) = (u, v), or zeros where it has none."""
    det = a * c - b * b
    det = np.where(det > np.float32(1e-5) * a * c, det, np.float32(0))
    return _ratio(u * c - v * b, det), _ratio(v * a - u * b, det)


def _levels(form: _Form, x: Floats, scale: Floats, minimum: Floats) -> Floats:
    """Return the weights as integers of these scales and minima."""
    q = (x + minimum) * _ratio(np.ones_like(scale), scale)
    return np.asarray(np.clip(np.rint(q, out=q), np.float32(form.q_low), np.float32(form.q_high), out=q))


def _error(x: Floats, weight: Floats, q: Floats, scale: Floats, minimum: Floats) -> Floats:
    miss = q * scale - minimum - x
    return _total(miss * miss * weight)


def _take(where: npt.NDArray[np.bool_], *pairs: tuple[Floats, Floats]) -> None:
    for old, new in pairs:
        np.copyto(old, new, where=where)


def _ratio(a: Floats, b: Floats) -> Floats:
    """Return a / b, and zero where b is nothing beside a: halves do not reach so far, and it could overflow."""
    return np.divide(a, b, out=np.zeros_like(a), where=np.abs(b) > np.abs(a) * np.float32(1e-30))


def _total(a: Floats) -> Floats:
    """Return the sum over the first axis, whose length is a power of two, always in this order."""
    while len(a) > 1:
        a = a[: len(a) // 2] + a[len(a) // 2 :]
    return np.asarray(a[0])


def _half(value: Floats, exponent: npt.NDArray[np.int32]) -> Floats:
    """Return what becomes of a value times two to this power in half precision.

    Where F16 is coarse (below its normal numbers) away from zero: with a `d` that is too small the
    largest scale would not fit, while one that is too large makes all a little coarser.
    """
    wanted = np.clip(np.ldexp(value, exponent), -_MAX_F16, _MAX_F16)
    half = wanted.astype(np.float16)
    short = (np.abs(half.astype(np.float32)) < np.abs(wanted)) & (np.abs(wanted) < np.float32(2**-14))
    away = np.nextafter(half, np.copysign(np.float16(np.inf), wanted.astype(np.float16)))
    return np.ldexp(np.where(short, away, half).astype(np.float32), -exponent)


# -- packing -------------------------------------------------------------------------------------


def _f16_bytes(values: Floats) -> Bytes:
    return values.astype("<f2")[:, None].view(np.uint8)


def _fields(values: Bytes, bits: int) -> Bytes:
    """Return the values along the last axis but one in one byte each, the first one lowest."""
    shifts = np.arange(values.shape[-2], dtype=np.uint8)[:, None] * np.uint8(bits)
    return np.asarray(np.bitwise_or.reduce(values << shifts, axis=-2))


def _flat(*parts: Bytes) -> Bytes:
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _pairs_of_bits(q: Bytes) -> Bytes:
    """Return the lowest two bits of each weight as Q2_K and Q3_K have them."""
    return _fields(q.reshape(-1, 2, 4, 32) & np.uint8(3), 2)


def _q2(q: Bytes, s: npt.NDArray[np.int16], m: Bytes, d: Bytes, d_min: Bytes) -> Bytes:
    return _flat(s.astype(np.uint8) | m << np.uint8(4), _pairs_of_bits(q), d, d_min)


def _q3(q: Bytes, s: npt.NDArray[np.int16], m: Bytes, d: Bytes, d_min: Bytes) -> Bytes:
    raised = (s + 32).astype(np.uint8)
    low = _fields(raised.reshape(-1, 2, 8) & np.uint8(15), 4)
    high = _fields(raised.reshape(-1, 4, 4) >> np.uint8(4), 2)
    return _flat(_fields(q.reshape(-1, 8, 32) >> np.uint8(2), 1), _pairs_of_bits(q), low, high, d)


def _scales_and_mins(s: npt.NDArray[np.int16], m: Bytes) -> Bytes:
    """Return eight pairs of six bits in the twelve bytes of Q4_K and Q5_K."""
    both = np.stack([s.astype(np.uint8), m], axis=1)  # the upper halves' top bits lie above the lower halves
    first = both[..., :4] | both[..., 4:] >> np.uint8(4) << np.uint8(6)
    return _flat(first, _fields(both[..., 4:] & np.uint8(15), 4))


def _q4(q: Bytes, s: npt.NDArray[np.int16], m: Bytes, d: Bytes, d_min: Bytes) -> Bytes:
    return _flat(d, d_min, _scales_and_mins(s, m), _fields(q.reshape(-1, 4, 2, 32), 4))


def _q5(q: Bytes, s: npt.NDArray[np.int16], m: Bytes, d: Bytes, d_min: Bytes) -> Bytes:
    top = _fields(q.reshape(-1, 8, 32) >> np.uint8(4), 1)
    return _flat(d, d_min, _scales_and_mins(s, m), top, _fields(q.reshape(-1, 4, 2, 32) & np.uint8(15), 4))


def _q6(q: Bytes, s: npt.NDArray[np.int16], m: Bytes, d: Bytes, d_min: Bytes) -> Bytes:
    low = _fields(q.reshape(-1, 2, 2, 64) & np.uint8(15), 4)
    return _flat(low, _fields(q.reshape(-1, 2, 4, 32) >> np.uint8(4), 2), s.astype(np.int8).view(np.uint8), d)


_PACKERS: dict[str, Callable[..., Bytes]] = {"Q6_K": _q6, "Q5_K": _q5, "Q4_K": _q4, "Q3_K": _q3, "Q2_K": _q2}
