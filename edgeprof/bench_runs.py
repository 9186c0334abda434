"""Rows of llama-bench as runs and claims: a mean over repetitions is what somebody said, and becomes no tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from edgeprof.adapters.items import claim_of
from edgeprof.adapters.llamabench import LLAMABENCH, test_name
from edgeprof.bench_file import BenchRow, read_bench
from edgeprof.decode_state import Group, PortState, Rows

__all__ = ["decode_bench", "quant_of", "run_columns"]

_KEPT = 1000
_TAGS = (
    "backends", "gpu_info", "model_type", "n_batch", "n_ubatch", "n_threads", "type_k", "type_v", "n_gpu_layers",
    "flash_attn", "n_depth", "test_time",
)  # fmt: skip
_TYPE = re.compile(
    r"(?P<arch>\S+) .*?(?:mostly |all )?(?P<type>I?Q[0-9]\w*|TQ[0-9]\w*|B?F16|F32|MXFP4|NVFP4)"
    r"(?P<more>(?: MoE| mix)?(?: - [\w. ]+)?)(?: \(guessed\))?"
)
# Where llama.cpp spells a file type otherwise than GGUF files are named.
_SPELLED = {
    "Q2_K - Medium": "Q2_K", "IQ3_S mix - 3.66 bpw": "IQ3_M", "MXFP4 MoE": "MXFP4_MOE",
}  # fmt: skip
_SIZES = {" - Small": "_S", " - Medium": "_M", " - Large": "_L"}


def quant_of(model_type: str) -> str | None:
    """Return the quantization that llama-bench's ``model_type`` names, as GGUF files spell it; None if it names none.

    >>> quant_of("llama 7B mostly Q4_K - Medium")
    'Q4_K_M'
    """
    found = _TYPE.fullmatch(model_type)
    if not found:
        return None
    said = found["type"] + found["more"]
    return _SPELLED.get(said) or found["type"] + _SIZES.get(found["more"], "")


def run_columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of ``runs`` that a row of llama-bench fills; what it does not say is null.

    ``model_bytes`` is what llama-bench calls the model's size: all tensors, without the file's metadata.
    """
    kind = str(fields.get("model_type") or "")
    found = _TYPE.fullmatch(kind)
    size, n_params = _count(fields.get("model_size")), _count(fields.get("model_n_params"))
    tags = {name: str(fields[name]) for name in _TAGS if fields.get(name) not in (None, "")}
    build = fields.get("build_commit")
    n_prompt, n_gen = int(fields["n_prompt"]), int(fields["n_gen"])
    return {
        "kind": "llama-bench",
        "status": "ok",
        "core": str(fields.get("cpu_info") or "") or None,
        "firmware": f"llama.cpp {build} ({fields.get('build_number', '')})".replace(" ()", "") if build else None,
        "model": _model(str(fields.get("model_filename") or "")),
        "arch": found["arch"] if found else None,
        "quant": quant_of(kind),
        "n_params": n_params,
        "model_bytes": size,
        "bits_per_weight": 8 * size / n_params if size and n_params else None,
        "prompt_id": test_name(n_prompt, n_gen, int(fields.get("n_depth") or 0)),
        "n_prompt": n_prompt,
        "n_generate": n_gen,
        "n_generated": n_gen,
        "tags": json.dumps(tags, sort_keys=True) if tags else None,
    }


def _model(path: str) -> str | None:
    name = PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name
    return name.removesuffix(".gguf") or None


def _count(value: Any) -> int | None:
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if 0 < number < 2**62 else None


def _claims(fields: Mapping[str, Any]) -> Iterator[tuple[str, float, str]]:
    """Yield (name, value, unit) of every number that a row says of its test, its samples among them."""
    test = test_name(int(fields["n_prompt"]), int(fields["n_gen"]), int(fields.get("n_depth") or 0))
    for column, name in (
        ("avg_ts", "tok_s"), ("stddev_ts", "stddev_tok_s"), ("avg_ns", "ns"), ("stddev_ns", "stddev_ns"),
        ("samples_ts", "sample_tok_s"), ("samples_ns", "sample_ns"),
    ):  # fmt: skip
        said = fields.get(column)
        for value in said if isinstance(said, list) else [said]:
            claim = claim_of(f"{test}_{name}", _number(value))
            if claim:
                yield claim.name, claim.value, claim.unit


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def decode_bench(
    data: Iterable[bytes], state: PortState, *, form: str, capture_id: str, port: int, facts: Mapping[str, Any]
) -> tuple[Rows, PortState]:
    """Decode a file of llama-bench's as :func:`edgeprof.decode.decode_port` does a board's bytes.

    Parameters
    ----------
    data
        The whole file, in chunks.
    state
        That of a port from which nothing came yet.
    form
        One of :data:`edgeprof.bench_file.FORMATS`.
    capture_id, port, facts
        Name the rows, and what else is known of every run.
    """
    whole, state = b"".join(data), PortState.from_json(state.to_json())
    found, rows = read_bench(whole, form), Rows()
    for row in found.rows:
        state.ordinal += 1
        _add_run(rows, row, f"{capture_id}/{port}-{state.ordinal:04d}", port, facts)
    none: Group = ("", "", "")
    if found.others:
        rows.add("logs", none, {"run_id": None, "port": port, "text": found.others})
    if found.problems:
        details = [f"{LLAMABENCH.name}: line {line}: {reason}" for line, reason in found.problems]
        rows.add("events", none, {"run_id": None, "port": port, "kind": ["refused"] * len(details), "detail": details})
    state.offset += len(whole)
    return rows, state


def _add_run(rows: Rows, row: BenchRow, run_id: str, port: int, facts: Mapping[str, Any]) -> None:
    columns = dict(facts) | run_columns(row.fields)
    group: Group = ("", str(columns["model"] or ""), str(columns["quant"] or ""))
    rows.add("runs", group, {"run_id": [run_id], "port": port} | {name: [value] for name, value in columns.items()})
    claims = list(_claims(row.fields))
    if claims:
        names, values, units = (list(column) for column in zip(*claims, strict=True))
        said = {"name": names, "value": values, "unit": units, "adapter": LLAMABENCH.name, "line": row.text[:_KEPT]}
        rows.add("claims", group, {"run_id": run_id, "port": port} | said)
