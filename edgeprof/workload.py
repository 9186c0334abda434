"""What the reference firmware does in a forward pass, counted from a model's shape: the features of the cost model.

A feature is an amount of one kind of work (products with weights of one type, ``macs:Q4_0``; rows of them; products
with the KV cache), and costs the same in every stage, for it is the same function there. The counts follow
``session_forward`` in ``edgeprof/firmware/llm/forward.c``.
"""

from __future__ import annotations

from collections import Counter

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from edgeprof.model_shape import ModelShape

__all__ = ["COEFFICIENTS", "STAGES", "macs", "stage_work", "weight_bytes_read"]

STAGES = ("embedding", "attention", "feed_forward", "head", "sampling", "other")
"""The stages of a pass; ``other`` is what no stage has. The same names as in table ``stages``."""

COEFFICIENTS = {
    "macs": ("ticks_per_mac", "a multiply-accumulate with a weight of the type"),
    "rows": ("ticks_per_row", "a row of a matrix, besides its products"),
    "activations": ("ticks_per_activation", "an activation brought into the form that products with the type take"),
    "unpacked": ("ticks_per_weight", "a weight of the embedding made a float"),
    "rotations": ("ticks_per_pair", "a sine and a cosine"),
    "cache_macs": ("ticks_per_mac", "a multiply-accumulate with a key or value of the cache"),
    "exponentials": ("ticks_per_exponential", "an exponential of the softmax or the gate, with what goes with it"),
    "heads": ("ticks_per_head", "a head's attention, besides what grows with the position"),
    "normed": ("ticks_per_element", "an element that is normed"),
    "elements": ("ticks_per_element", "an element that is added, rotated or written to the cache"),
    "logits": ("ticks_per_logit", "a logit looked at by the greedy sampler"),
    "passes": ("ticks_per_pass", "a pass, outside of its stages"),
}
"""Feature, without its type, to the name of its coefficient and what is counted."""

_ATTENTION = ("attn_q", "attn_k", "attn_v", "attn_output")
_FEED_FORWARD = ("ffn_gate", "ffn_up", "ffn_down")
_INT8 = {"Q8_0", "Q5_0", "Q4_0"}


def _output(shape: ModelShape) -> str:
    return "output.weight" if "output.weight" in shape.tensors else "token_embd.weight"


def _matrices(shape: ModelShape, stage: str) -> list[tuple[int, int, str]]:
    if stage == "head":
        return [shape.matrix(_output(shape))]
    names = {"attention": _ATTENTION, "feed_forward": _FEED_FORWARD}.get(stage, ())
    return [shape.matrix(f"blk.{i}.{name}.weight") for i in range(shape.n_layers) for name in names]


def macs(shape: ModelShape, stage: str) -> dict[str, int]:
    """Return the multiply-accumulates with weights of each type that a stage of one pass takes."""
    counts: Counter[str] = Counter()
    for cols, rows, kind in _matrices(shape, stage):
        counts[kind] += cols * rows
    return dict(counts)


def weight_bytes_read(shape: ModelShape, stage: str) -> int:
    """Return the bytes of weights that a stage of one pass reads; of the embedding that is one row."""
    if stage == "embedding":
        cols, _, kind = shape.matrix("token_embd.weight")
        return _bytes(cols, kind)
    return sum(_bytes(cols * rows, kind) for cols, rows, kind in _matrices(shape, stage))


def _bytes(n: int, kind: str) -> int:
    block, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    return n // block * size


def _prepared(kind: str) -> str:
    """Return in what form a dot product with a type takes its activation: the conversion is work, too."""
    if kind in ("F32", "F16"):
        return f"activations:{kind}"
    return "activations:Q8_32" if kind in _INT8 else "activations:Q8_256"


def stage_work(shape: ModelShape, stage: str, position: int) -> dict[str, float]:
    """Return the work of a stage in the pass at a position, feature by feature.

    Parameters
    ----------
    shape
        The model.
    stage
        One of :data:`STAGES`.
    position
        Of the pass, from 0: it attends to so many positions and its own.

    Returns
    -------
    dict
        Feature to amount; :data:`COEFFICIENTS` says what each counts. A feature of a type has it behind a colon.
    """
    layers, work = shape.n_layers, Counter[str]()
    if stage == "embedding":
        cols, _, kind = shape.matrix("token_embd.weight")
        work[f"unpacked:{kind}"] = cols
        work["rotations"] = shape.rope_dims // 2
    elif stage == "attention":
        past = (position + 1) * layers * shape.n_heads
        work["cache_macs"] = 2 * past * shape.head_dim
        work["exponentials"] = past
        work["heads"] = layers * shape.n_heads
        work["normed"] = layers * shape.dim
        work["elements"] = layers * (shape.dim + 2 * shape.q_dim + 3 * shape.kv_dim)
    elif stage == "feed_forward":
        work["exponentials"] = layers * shape.ff
        work["normed"] = work["elements"] = layers * shape.dim
    elif stage == "head":
        work["normed"] = shape.dim
    elif stage == "sampling":
        work["logits"] = shape.n_vocab
    else:
        work["passes"] = 1
    for cols, rows, kind in _matrices(shape, stage):
        work[f"macs:{kind}"] += cols * rows
        work["rows"] += rows
    return {feature: float(n) for feature, n in (work + _activations(shape, stage)).items()}


def _activations(shape: ModelShape, stage: str) -> Counter[str]:
    """Return how many activations are converted: once for all matrices that share an input and a form."""
    counts: Counter[str] = Counter()
    if stage == "head":
        counts[_prepared(shape.matrix(_output(shape))[2])] += shape.dim
    together = {"attention": (("attn_q", "attn_k", "attn_v"), ("attn_output",)),
                "feed_forward": (("ffn_gate", "ffn_up"), ("ffn_down",))}.get(stage, ())  # fmt: skip
    for i in range(shape.n_layers):
        for names in together:
            last = ""
            for cols, _, kind in (shape.matrix(f"blk.{i}.{name}.weight") for name in names):
                form = _prepared(kind)
                if form != last:
                    counts[form] += cols
                last = form
    return counts
