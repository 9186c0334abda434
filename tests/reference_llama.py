"""An independent llama forward pass, to compare other implementations with.

Written from the formulas, in float64, on the weights as :func:`gguf.dequantize` gives them. It
shares no code with the firmware or with the training. Slow and exact: a few hundred tokens a
second for a model of a million weights.

With ``E`` the embedding, and for a token at position ``p``::

    x      = E[token]
    norm   : y_i = w_i x_i / sqrt(mean(x^2) + eps)
    q,k,v  = Wq y, Wk y, Wv y                        in heads of d values
    rope   : (a, b) = (q[2i], q[2i+1]) turned by the angle p * base^(-2i/d); k likewise
    a_pj   = softmax over j <= p of q_p . k_j / sqrt(d);  head h uses the cache's head h // group
    x     += Wo concat(sum_j a_pj v_j)
    x     += Wdown (silu(Wgate y') * Wup y')         y' = norm(x), silu(z) = z / (1 + exp(-z))
    logits = Wout norm(x)                            Wout = E where the file has no output.weight
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """A model in float64; see :func:`load`."""

    weights: dict[str, Floats]
    n_layers: int
    dim: int
    n_heads: int
    n_kv_heads: int
    n_ctx: int
    eps: float
    rope_base: float
    bos_id: int

    def forward(self, tokens: Sequence[int], *, kv_f16: bool = False) -> Floats:
        """Return the logits after every token.

        Parameters
        ----------
        tokens : sequence of int
            The token ids from position 0, at most ``n_ctx``.
        kv_f16 : bool
            Round keys (after RoPE) and values to half precision, as a cache of that type does.

        Returns
        -------
        array of shape (tokens, vocabulary)
        """
        n = len(tokens)
        if not 0 < n <= self.n_ctx:
            raise ValueError(f"{n} tokens do not fit a context of {self.n_ctx}")
        w = self.weights
        head = self.dim // self.n_heads
        group = self.n_heads // self.n_kv_heads
        future = np.triu(np.ones((n, n), dtype=bool), 1)
        x = w["token_embd.weight"][np.asarray(tokens)]
        for layer in range(self.n_layers):
            b = f"blk.{layer}."
            y = self._norm(x, w[b + "attn_norm.weight"])
            q = self._rope((y @ w[b + "attn_q.weight"].T).reshape(n, self.n_heads, head))
            k = self._rope((y @ w[b + "attn_k.weight"].T).reshape(n, self.n_kv_heads, head))
            v = (y @ w[b + "attn_v.weight"].T).reshape(n, self.n_kv_heads, head)
            if kv_f16:
                k = k.astype(np.float16).astype(np.float64)
                v = v.astype(np.float16).astype(np.float64)
            mixed = np.empty((n, self.n_heads, head))
            for h in range(self.n_heads):
                scores = q[:, h] @ k[:, h // group].T / np.sqrt(head)
                scores[future] = -np.inf
                mixed[:, h] = _softmax(scores) @ v[:, h // group]
            x = x + mixed.reshape(n, self.dim) @ w[b + "attn_output.weight"].T
            y = self._norm(x, w[b + "ffn_norm.weight"])
            gate = y @ w[b + "ffn_gate.weight"].T
            up = y @ w[b + "ffn_up.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ w[b + "ffn_down.weight"].T
        x = self._norm(x, w["output_norm.weight"])
        return np.asarray(x @ w.get("output.weight", w["token_embd.weight"]).T)

    def nll(self, tokens: Sequence[int], *, kv_f16: bool = False) -> Floats:
        """Return -ln p(token | all before it) of every token but the first."""
        logits = self.forward(tokens[:-1], kv_f16=kv_f16)
        top = logits.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
        return np.asarray(log_sum - logits[np.arange(len(logits)), np.asarray(tokens[1:])])

    def greedy(self, prompt_ids: Sequence[int], n: int, *, kv_f16: bool = False) -> list[int]:
        """Return the `n` likeliest next tokens, one after the other; ties go to the lower id."""
        tokens = list(prompt_ids)
        for _ in range(n):
            tokens.append(int(self.forward(tokens, kv_f16=kv_f16)[-1].argmax()))
        return tokens[len(prompt_ids) :]

    def window_nll(self, ids: Sequence[int], n_windows: int | None = None) -> Floats:
        """Return the NLLs that perplexity is made of: the second half of every window.

        A text's ids (its ``<s>`` left out or not) are cut into windows of ``n_ctx``; the first id
        of each is replaced by ``<s>``, and its first half is context only.
        """
        n = self.n_ctx
        count = len(ids) // n if n_windows is None else min(n_windows, len(ids) // n)
        scored = []
        for i in range(count):
            window = [self.bos_id, *ids[i * n + 1 : (i + 1) * n]]
            scored.append(self.nll(window)[n // 2 - 1 :])
        return np.concatenate(scored)

    def _norm(self, x: Floats, weight: Floats) -> Floats:
        scale = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.eps)
        return np.asarray(x * scale * weight)

    def _rope(self, x: Floats) -> Floats:
        n, _, head = x.shape
        rates = self.rope_base ** (-np.arange(0, head, 2) / head)
        angles = (np.arange(n)[:, None] * rates)[:, None]
        even, odd = x[..., 0::2], x[..., 1::2]
        out = np.empty_like(x)
        out[..., 0::2] = even * np.cos(angles) - odd * np.sin(angles)
        out[..., 1::2] = even * np.sin(angles) + odd * np.cos(angles)
        return out


def load(path: str | Path) -> Reference:
    """Return the model of a GGUF file."""
    reader = gguf.GGUFReader(path)

    def number(key: str) -> float:
        field = reader.fields[key]
        return float(field.contents())

    return Reference(
        weights={t.name: gguf.dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors},
        n_layers=int(number("llama.block_count")),
        dim=int(number("llama.embedding_length")),
        n_heads=int(number("llama.attention.head_count")),
        n_kv_heads=int(number("llama.attention.head_count_kv")),
        n_ctx=int(number("llama.context_length")),
        eps=number("llama.attention.layer_norm_rms_epsilon"),
        rope_base=number("llama.rope.freq_base"),
        bos_id=int(number("tokenizer.ggml.bos_token_id")),
    )


def _softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))
