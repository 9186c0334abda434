"""Mixed quantizations: which matrix of a model gets which type.

A recipe has a type for all matrices and better ones for those that suffer most: the output, the
values and the output of attention, the feed-forward part's way down. Names and choices are those of
llama.cpp's ``llama-quantize`` for a dense model of the llama architecture without an importance
matrix, as are the types for rows that do not fit. Where this deviates:

- layers are told by the tensors' names, not by counting tensors; experts and fused matrices
  (``attn_qkv``) get the recipe's main type,
- the special treatment of Falcon, of eight experts and of Llama 70B (by its name) is left out,
- the heads that share a key are counted from the rows of ``attn_q`` and ``attn_k``,
- a Q5_K matrix whose rows are no multiple of 256 becomes Q8_0, not Q5_1, for which there are no
  kernels in edgeprof's firmware. Q5_0 would have the same size and lose more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["ALIASES", "FALLBACKS", "RECIPES", "Architecture", "Recipe", "type_in_recipe"]


@dataclass(frozen=True)
class Recipe:
    """A mixed quantization.

    Attributes
    ----------
    main : str
        The type of every matrix that no rule is for.
    rules : mapping
        Role (``attn_v``) to pairs of a layer rule and a type. The first rule that holds counts.
    """

    main: str
    rules: Mapping[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Architecture:
    """What the rules ask of a model.

    Attributes
    ----------
    n_layers : int
        How many blocks it has.
    sharing : float
        How many heads share one of the cache's.
    tied : bool
        Whether the embedding is the output matrix, too.
    """

    n_layers: int
    sharing: float
    tied: bool

    @classmethod
    def of(cls, shapes: Mapping[str, Sequence[int]]) -> Architecture:
        """Return that of a model, given its tensors' shapes, the row's length first."""
        layers = [int(found[1]) for name in shapes if (found := _IN_LAYER.fullmatch(name))]
        heads, shared = (shapes.get(f"blk.0.attn_{role}.weight") for role in ("q", "k"))
        sharing = heads[-1] / shared[-1] if heads and shared else 1.0
        return cls(max(layers, default=-1) + 1, sharing, "output.weight" not in shapes)


_IN_LAYER = re.compile(r"blk\.(\d+)\.(\w+)\.weight")

RECIPES: Mapping[str, Recipe] = {
    "Q6_K": Recipe("Q6_K", {}),
    "Q5_K_M": Recipe("Q5_K", {"attn_v": (("some", "Q6_K"),), "ffn_down": (("some", "Q6_K"),)}),
    "Q5_K_S": Recipe("Q5_K", {}),
    "Q4_K_M": Recipe("Q4_K", {"attn_v": (("some", "Q6_K"),), "ffn_down": (("some", "Q6_K"),)}),
    "Q4_K_S": Recipe("Q4_K", {"attn_v": (("first 4", "Q5_K"),), "ffn_down": (("first eighth", "Q5_K"),)}),
    "Q3_K_M": Recipe(
        "Q3_K",
        {
            "attn_v": (("first 2", "Q5_K"), ("all", "Q4_K")),
            "attn_output": (("all", "Q4_K"),),
            "ffn_down": (("first sixteenth", "Q5_K"), ("all", "Q4_K")),
        },
    ),
    "Q3_K_S": Recipe("Q3_K", {}),
    "Q2_K": Recipe(
        "Q2_K",
        {
            "attn_v": (("4 share", "Q4_K"), ("all", "Q3_K")),
            "attn_output": (("all", "Q3_K"),),
            "ffn_down": (("all", "Q3_K"),),
        },
    ),
}
"""The recipes by their names, most bits a weight first."""

ALIASES = {"Q5_K": "Q5_K_M", "Q4_K": "Q4_K_M", "Q3_K": "Q3_K_M"}
"""What ``llama-quantize`` makes of a K type that is given as a target."""

FALLBACKS = {
    "Q6_K": "Q8_0", "Q5_K": "Q8_0", "Q4_K": "Q5_0", "Q3_K": "Q4_0", "Q2_K": "Q4_0", "TQ2_0": "Q4_0", "TQ1_0": "Q4_0",
}  # fmt: skip
"""The type with blocks of 32 for rows that are no multiple of 256."""


def type_in_recipe(recipe: str, tensor: str, model: Architecture) -> str:
    """Return the type that a recipe has for a matrix.

    The output matrix is Q6_K in every recipe, and so is the token embedding where it is the output
    matrix, too; an embedding of its own has the main type.

    Parameters
    ----------
    recipe : str
        One of :data:`RECIPES`.
    tensor : str
        The matrix' name, such as ``blk.3.attn_v.weight``.
    model : Architecture
        What the matrix is a part of.
    """
    if tensor == "output.weight" or (model.tied and tensor == "token_embd.weight"):
        return "Q6_K"
    chosen = RECIPES[recipe]
    if found := _IN_LAYER.fullmatch(tensor):
        for where, kind in chosen.rules.get(found[2], ()):
            if _holds(where, int(found[1]), model):
                return kind
    return chosen.main


def _holds(where: str, layer: int, model: Architecture) -> bool:
    """Return whether a rule is for a layer; whole numbers, as llama.cpp counts."""
    n = model.n_layers
    if where == "some":  # the first and the last eighth, and every third between
        return layer < n // 8 or layer >= 7 * n // 8 or (layer - n // 8) % 3 == 2
    return {
        "all": True,
        "first 2": layer < 2,
        "first 4": layer < 4,
        "first eighth": layer < n // 8,
        "first sixteenth": layer < n // 16,
        "4 share": model.sharing >= 4,
    }[where]
