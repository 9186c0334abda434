"""Train the reference models and export them as GGUF F16 files.

One command a model; the tokenizer, the corpus and the checkpoints are kept in ``--work`` and made
when they are missing::

    python train.py fable-1.2m         --work build
    python train.py fable-1.2m-ternary --work build    # goes on from fable-1.2m
    python train.py fable-1.2m-control --work build    # the same extra steps without rounding
    python train.py fable-0.5m         --work build

Each writes ``NAME-F16.gguf`` and ``NAME.train.json`` (the facts of the training) beside this
script. Needs ``torch``, ``numpy`` and ``gguf``; CPU is enough. Training is seeded, yet the sums
of a matrix product depend on the processor and the number of threads, so a second training gives
a model of the same quality and not the same bytes. The export is a function of the weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import gguf
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent.parent))

from make_corpus import stories

from edgeprof.tokenizer import SPACE, Vocabulary

Ids = npt.NDArray[np.uint16]

CORPUS_SEED, CORPUS_STORIES = 1, 36_000
VAL_SEED, VAL_STORIES = 2, 640
SPECIAL = ["<unk>", "<s>", "</s>", "<0x0A>"]
UNK, BOS, EOS, NEWLINE = range(4)
N_VOCAB = 512
BLOCK = 256
PAGE = 8  # stories between two </s>


@dataclass(frozen=True)
class Shape:
    """The size of a model."""

    dim: int = 256
    n_layers: int = 2
    ff: int = 512
    n_heads: int = 8
    n_kv_heads: int = 2
    n_ctx: int = 256
    n_vocab: int = N_VOCAB
    eps: float = 1e-5
    rope_base: float = 10_000.0


@dataclass(frozen=True)
class Plan:
    """How a model is trained."""

    shape: Shape
    steps: int
    lr: float = 3e-3
    lr_end: float = 0.02
    warmup: int = 50
    weight_decay: float = 0.1
    batch: int = 16
    seed: int = 1
    start: str | None = None
    ternary: bool = False
    about: str = ""


BIG = Shape()
PLANS = {
    "fable-1.2m": Plan(BIG, 1600, about="The reference model: two layers, trained from scratch."),
    "fable-1.2m-ternary": Plan(
        BIG,
        600,
        lr=2e-3,
        weight_decay=0.05,
        seed=2,
        start="fable-1.2m",
        ternary=True,
        about="Fine-tuned from fable-1.2m with ternary weights in every matrix but the embedding.",
    ),
    "fable-1.2m-control": Plan(
        BIG,
        600,
        lr=2e-3,
        weight_decay=0.05,
        seed=2,
        start="fable-1.2m",
        about="The same extra steps as fable-1.2m-ternary, without rounding: its fair rival.",
    ),
    "fable-0.5m": Plan(
        replace(BIG, n_layers=1, ff=256),
        1200,
        seed=3,
        about="The small one: one layer.",
    ),
}


# -- tokenizer -----------------------------------------------------------------------------------


def words_of(text: str) -> list[str]:
    """Cut a marked text before every space mark, and at everything that is not a letter."""
    out: list[str] = []
    for char in text:
        glue = bool(out) and (char.isalpha() and (out[-1][-1].isalpha() or out[-1] == SPACE))
        if glue:
            out[-1] += char
        else:
            out.append(char)
    return out


def train_bpe(lines: Sequence[str], n_vocab: int) -> tuple[list[str], list[float]]:
    """Return the pieces and scores of a byte-pair vocabulary.

    Pairs are merged by frequency, ties by the pair itself. Pieces never cross a word's end, so a
    text may be encoded word by word. Every printable ASCII character is a piece, which leaves
    ``<unk>`` for what is not ASCII.
    """
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(words_of(SPACE + line.replace(" ", SPACE)))
    words = [(list(word), n) for word, n in sorted(counts.items())]
    chars = [SPACE] + [chr(c) for c in range(0x21, 0x7F)]
    merges: list[str] = []
    while len(SPECIAL) + len(merges) + len(chars) < n_vocab:
        pairs: Counter[tuple[str, str]] = Counter()
        for symbols, n in words:
            for pair in pairwise(symbols):
                pairs[pair] += n
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        joined = "".join(best)
        if joined not in merges:
            merges.append(joined)
        for symbols, _ in words:
            i = 0
            while i < len(symbols) - 1:
                if (symbols[i], symbols[i + 1]) == best:
                    symbols[i : i + 2] = [joined]
                i += 1
    pieces = SPECIAL + merges + chars
    scores = [0.0] * len(SPECIAL) + [-float(i) for i in range(len(merges) + len(chars))]
    return pieces, scores


def tokenize(vocabulary: Vocabulary, lines: Sequence[str], page: int = PAGE) -> Ids:
    """Return one stream: stories with line feeds between them, ``</s>`` ``<s>`` between pages."""
    bare = replace(vocabulary, add_bos=False, add_space_prefix=False)
    known: dict[str, list[int]] = {}

    def encode(text: str) -> list[int]:
        out: list[int] = []
        for word in words_of(text):
            if word not in known:
                known[word] = bare.encode(word)
            out.extend(known[word])
        return out

    stream: list[int] = []
    for i, line in enumerate(lines):
        first = i % page == 0
        if first:
            stream.extend([EOS, BOS] if i else [BOS])
        else:
            stream.append(NEWLINE)
        stream.extend(encode((SPACE if first else "") + line.replace(" ", SPACE)))
    return np.array(stream, dtype=np.uint16)


# -- model ---------------------------------------------------------------------------------------


def ternary(weight: Tensor) -> Tensor:
    """Round to {-s, 0, s} per block of 256 along the row; s = mean absolute value, as f16."""
    blocks = weight.reshape(-1, BLOCK)
    scale = blocks.abs().mean(dim=1, keepdim=True).clamp(min=1e-8)
    scale = scale.to(torch.float16).to(torch.float32)
    return ((blocks / scale).round().clamp(-1, 1) * scale).reshape(weight.shape)


class Linear(nn.Module):
    """A matrix without a bias, optionally seen through :func:`ternary` (straight-through)."""

    def __init__(self, n_in: int, n_out: int, std: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) * std)
        self.ternary = False

    def effective(self) -> Tensor:
        """Return the weights that the model computes with."""
        if not self.ternary:
            return self.weight
        return self.weight + (ternary(self.weight) - self.weight).detach()

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.effective())


class Norm(nn.Module):
    """RMSNorm."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Block(nn.Module):
    """One layer: grouped-query attention and SwiGLU, each after a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        dim, head = shape.dim, shape.dim // shape.n_heads
        std, out_std = 0.02, 0.02 / math.sqrt(2 * shape.n_layers)
        self.attn_norm = Norm(dim, shape.eps)
        self.attn_q = Linear(dim, dim, std)
        self.attn_k = Linear(dim, head * shape.n_kv_heads, std)
        self.attn_v = Linear(dim, head * shape.n_kv_heads, std)
        self.attn_output = Linear(dim, dim, out_std)
        self.ffn_norm = Norm(dim, shape.eps)
        self.ffn_gate = Linear(dim, shape.ff, std)
        self.ffn_up = Linear(dim, shape.ff, std)
        self.ffn_down = Linear(shape.ff, dim, out_std)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        s = self.shape
        b, t, _ = x.shape
        head = s.dim // s.n_heads
        h = self.attn_norm(x)
        q = rotate(self.attn_q(h).view(b, t, s.n_heads, head), cos, sin)
        k = rotate(self.attn_k(h).view(b, t, s.n_kv_heads, head), cos, sin)
        v = self.attn_v(h).view(b, t, s.n_kv_heads, head)
        group = s.n_heads // s.n_kv_heads
        q = q.permute(0, 2, 1, 3).reshape(b, s.n_kv_heads, group * t, head)
        k, v = k.permute(0, 2, 1, 3), v.permute(0, 2, 1, 3)
        scores = (q @ k.transpose(-1, -2)).view(b, s.n_kv_heads, group, t, t)
        weights = torch.softmax(scores / math.sqrt(head) + mask, dim=-1)
        mixed = weights.view(b, s.n_kv_heads, group * t, t) @ v
        mixed = mixed.view(b, s.n_heads, t, head).permute(0, 2, 1, 3).reshape(b, t, s.dim)
        x = x + self.attn_output(mixed)
        h = self.ffn_norm(x)
        h = functional.silu(self.ffn_gate(h)) * self.ffn_up(h)
        return x + cast(Tensor, self.ffn_down(h))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (0, 1), (2, 3), ... of every head by their position's angles."""
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2)


class Llama(nn.Module):
    """A llama-architecture model whose head is its embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Parameter(torch.randn(shape.n_vocab, shape.dim) * 0.02)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.n_layers))
        self.output_norm = Norm(shape.dim, shape.eps)
        head = shape.dim // shape.n_heads
        rates = shape.rope_base ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)
        angles = torch.arange(shape.n_ctx, dtype=torch.float64)[:, None] * rates
        self.register_buffer("cos", angles.cos().float()[:, None], persistent=False)
        self.register_buffer("sin", angles.sin().float()[:, None], persistent=False)
        mask = torch.full((shape.n_ctx, shape.n_ctx), -torch.inf).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        t = ids.shape[1]
        x = functional.embedding(ids, self.token_embd)
        for block in self.blk:
            x = block(x, self.get_buffer("cos")[:t], self.get_buffer("sin")[:t], self.get_buffer("mask")[:t, :t])
        return functional.linear(self.output_norm(x), self.token_embd)

    def set_ternary(self, on: bool) -> None:
        """Switch rounding of all matrices but the embedding."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.ternary = on

    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the weights as they are computed with, by GGUF names."""
        out: dict[str, Tensor] = {
            "token_embd.weight": self.token_embd,
            "output_norm.weight": self.output_norm.weight,
        }
        for name, module in self.blk.named_modules():
            if isinstance(module, Linear):
                weight = ternary(module.weight) if module.ternary else module.weight
                out[f"blk.{name}.weight"] = weight
            elif isinstance(module, Norm):
                out[f"blk.{name}.weight"] = module.weight
        return {name: w.detach().float().numpy() for name, w in out.items()}


# -- training ------------------------------------------------------------------------------------


def batch_of(stream: Ids, starts: npt.NDArray[np.int64], plan: Plan, rng: np.random.Generator) -> Tensor:
    """Return a batch of windows: ``<s>`` and a piece of the stream, half of them a page's start."""
    n = plan.shape.n_ctx
    rows = []
    for i in range(plan.batch):
        if i % 2:
            at = int(starts[rng.integers(len(starts))])
        else:
            at = int(rng.integers(len(stream) - n - 1))
        row = stream[at : at + n + 1].astype(np.int64)
        row[0] = BOS
        rows.append(row)
    return torch.from_numpy(np.stack(rows))


@torch.no_grad()
def evaluate(model: Llama, stream: Ids, n_windows: int = 128) -> float:
    """Return the perplexity of the second halves of windows that begin with ``<s>``."""
    n = model.shape.n_ctx
    total, count = 0.0, 0
    for first in range(0, n_windows, 16):
        rows = []
        for i in range(first, min(first + 16, n_windows)):
            row = stream[i * n : (i + 1) * n].astype(np.int64)
            row[0] = BOS
            rows.append(row)
        ids = torch.from_numpy(np.stack(rows))
        logits = model(ids)[:, n // 2 - 1 : -1]
        wanted = ids[:, n // 2 :]
        loss = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum")
        total += loss.item()
        count += wanted.numel()
    return math.exp(total / count)


def train(name: str, plan: Plan, work: Path, out: Path, threads: int) -> None:
    """Train one model and write its GGUF file and its facts."""
    torch.set_num_threads(threads)
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    vocabulary, stream, val = data(work)
    starts = np.flatnonzero(stream == BOS)
    starts = starts[starts < len(stream) - plan.shape.n_ctx - 1]
    model = Llama(plan.shape)
    if plan.start:
        model.load_state_dict(torch.load(work / f"{plan.start}.pt", weights_only=True))
    model.set_ternary(plan.ternary)
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": plan.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=plan.lr,
        betas=(0.9, 0.95),
    )
    began = time.perf_counter()
    for step in range(plan.steps):
        done = step / plan.steps
        rate = min(1.0, (step + 1) / plan.warmup) * (1 - (1 - plan.lr_end) * done)
        for group in optimizer.param_groups:
            group["lr"] = plan.lr * rate
        ids = batch_of(stream, starts, plan, rng)
        logits = model(ids[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 200 == 0 or step == 0:
            seconds = time.perf_counter() - began
            ppl = evaluate(model, val, 32)
            print(f"{name} step {step + 1} loss {loss.item():.4f} val ppl {ppl:.4f} {seconds:.0f} s", flush=True)
            torch.save(model.state_dict(), work / f"{name}.pt")
    seconds = time.perf_counter() - began
    ppl = evaluate(model, val)
    torch.save(model.state_dict(), work / f"{name}.pt")
    path = out / f"{name}-F16.gguf"
    export(path, name, plan, vocabulary, model.tensors())
    facts: dict[str, Any] = {
        "name": name,
        **asdict(plan),
        "optimizer": "AdamW, betas 0.9 0.95, linear decay, gradient norm clipped at 1, float32",
        "tokens_seen": plan.steps * plan.batch * plan.shape.n_ctx,
        "corpus": {"seed": CORPUS_SEED, "stories": CORPUS_STORIES, "tokens": len(stream)},
        "validation": {
            "seed": VAL_SEED,
            "stories": VAL_STORIES,
            "windows": 128,
            "n_ctx": plan.shape.n_ctx,
            "perplexity": round(ppl, 4),
        },
        "wall_seconds": round(seconds, 1),
        "threads": threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "n_params": sum(p.numel() for p in model.parameters()),
        "gguf_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    text = json.dumps(facts, indent=2) + "\n"
    (out / f"{name}.train.json").write_text(text, encoding="utf-8", newline="\n")
    print(f"{name} done: val ppl {ppl:.4f}, {seconds:.0f} s, {path}", flush=True)


def data(work: Path) -> tuple[Vocabulary, Ids, Ids]:
    """Return the tokenizer, the training stream and the validation stream, made if missing."""
    work.mkdir(parents=True, exist_ok=True)
    lines = stories(CORPUS_SEED, CORPUS_STORIES)
    saved = work / "tokenizer.json"
    if saved.exists():
        pieces, scores = json.loads(saved.read_text(encoding="utf-8"))
    else:
        pieces, scores = train_bpe(lines, N_VOCAB)
        saved.write_text(json.dumps([pieces, scores]), encoding="utf-8")
    vocabulary = Vocabulary(pieces, scores, bos_id=BOS, unk_id=UNK)
    stream = tokenize(vocabulary, lines)
    val = tokenize(vocabulary, stories(VAL_SEED, VAL_STORIES))
    return vocabulary, stream, val


# -- export --------------------------------------------------------------------------------------


def export(
    path: Path, name: str, plan: Plan, vocabulary: Vocabulary, tensors: dict[str, npt.NDArray[np.float32]]
) -> None:
    """Write a GGUF file, matrices F16 and norms F32; the bytes depend on the arguments alone."""
    shape = plan.shape
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "llama")
    writer.add_type("model")
    writer.add_name(name)
    writer.add_description(plan.about)
    writer.add_license("apache-2.0")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.dim)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.ff)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_layer_norm_rms_eps(shape.eps)
    writer.add_rope_dimension_count(shape.dim // shape.n_heads)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.n_vocab)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(vocabulary.pieces))
    writer.add_token_scores(list(vocabulary.scores))
    kinds = {
        "<unk>": gguf.TokenType.UNKNOWN,
        "<s>": gguf.TokenType.CONTROL,
        "</s>": gguf.TokenType.CONTROL,
        "<0x0A>": gguf.TokenType.BYTE,
    }
    writer.add_token_types([kinds.get(p, gguf.TokenType.NORMAL) for p in vocabulary.pieces])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_unk_token_id(UNK)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
    for key, weight in tensors.items():
        writer.add_tensor(key, weight.astype(np.float16) if weight.ndim > 1 else weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Train a reference model.")
    parser.add_argument("name", choices=sorted(PLANS))
    parser.add_argument("--work", type=Path, default=Path("build"), help="checkpoints")
    parser.add_argument("--out", type=Path, default=HERE, help="where the results go")
    parser.add_argument("--steps", type=int, help="instead of the plan's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export-only", action="store_true", help="do not train, export the checkpoint in --work")
    args = parser.parse_args(argv)
    plan = PLANS[args.name]
    if args.steps:
        plan = replace(plan, steps=args.steps)
    if args.export_only:
        model = Llama(plan.shape)
        model.load_state_dict(torch.load(args.work / f"{args.name}.pt", weights_only=True))
        model.set_ternary(plan.ternary)
        vocabulary, _, _ = data(args.work)
        export(args.out / f"{args.name}-F16.gguf", args.name, plan, vocabulary, model.tensors())
        return 0
    train(args.name, plan, args.work, args.out, args.threads)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
