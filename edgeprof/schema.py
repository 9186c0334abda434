"""The tables, version 1: each column's type, unit and origin.

This module is the only place that says what a table looks like. Units are part of a column's name where
it has one; ``origin`` tells who said it: the ``device`` (the same on every capture of an exact clock), the
``host``, or ``derived`` by edgeprof.

History of :data:`FORMAT_VERSION`: 1, the first. A new nullable column does not raise the version.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["FORMAT_VERSION", "TABLES", "Column", "arrow_schema", "column", "device_columns", "empty_frame", "markdown"]

FORMAT_VERSION = 1

Origin = Literal["device", "host", "derived"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, Arrow type, unit (empty where it has none), origin and meaning."""

    name: str
    type: str
    unit: str
    origin: Origin
    help: str


def _columns(text: str) -> tuple[Column, ...]:
    """Read rows of ``name type unit origin help``; a dash stands for no unit."""
    rows = (line.split(None, 4) for line in text.splitlines() if line.strip())
    return tuple(Column(n, t, "" if u == "-" else u, o, h) for n, t, u, o, h in rows)  # type: ignore[arg-type]


_KEYS = """
capture_id  string - host    the capture that this row belongs to
run_id      string - derived capture_id/port-ordinal
"""

TABLES: dict[str, tuple[Column, ...]] = {
    "captures": _columns("""
capture_id       string - host what one `edgeprof capture` recorded
started_at       string - host UTC, ISO 8601
transport        string - host the ports' URLs, credentials redacted, as JSON
settings         string - host port settings, as JSON
host_label       string - host set by the user; never the host's own name
edgeprof_version string - host the version that captured
bytes_read       int64 byte host bytes that came over the wire
bytes_discarded  int64 byte derived bytes that were neither frame nor text
frames           int64 - derived valid frames, each counted once
frames_duplicate int64 - derived second copies that were dropped
wire_sha256      string - derived digest of all wire bytes, port after port
clock_fit        string - derived device clock to host clock, as JSON, for every port and boot whose ticks are time
clock_error_us   double us derived error of the worst of these fits
"""),
    "runs": _columns(
        _KEYS
        + """
port               int32  -     host    index of the port in the capture
boot               int64  -     device  number of the board's boot
kind               string -     device  generate or score; llama-bench of what was imported
board              string -     device  the board's name
core               string -     device  the processor core
clock              string -     device  what a tick is: fuel, instructions, cycles, device_timer, host
tick_hz            double Hz    device  rate of a tick, only where a tick is time
board_clock_hz     double Hz    device  the core's clock; nominal on emulated boards
emulator           string -     host    the emulator, null on real silicon
emulator_version   string -     host    its version
emulator_flags     string -     host    its settings that change counts
compiler           string -     device  compiler and version
kernel_variant     string -     device  which kernels were built
firmware           string -     device  name and version of the firmware
firmware_sha256    string -     host    digest of the image
model              string -     device  general.name of the model
model_sha256       string -     host    digest of the model file
arch               string -     device  general.architecture
n_params           int64  -     device  parameters
quant              string -     device  quantization, as GGUF spells it
bits_per_weight    double bit   host    bits of all tensors over parameters
model_bytes        int64  byte  device  size of the model file
prompt_id          string -     device  the prompt or evaluation text, by its label
n_prompt           int64  token device  tokens of the prompt
n_generate         int64  token device  tokens asked for
n_generated        int64  token device  tokens that were generated
n_windows          int64  -     device  windows of an evaluation text
n_ctx              int64  token device  length of the context
sampler            string -     device  greedy or temperature
temperature        double -     device  of the sampler
seed               int64  -     device  of the sampler
status             string -     device  ok, aborted, timeout, reset, does_not_fit, error; null: its end was not seen
ram_bytes          int64  byte  device  RAM that the board has
flash_bytes        int64  byte  device  flash that the board has
ram_needed_bytes   int64  byte  device  RAM that the run needs
flash_needed_bytes int64  byte  device  flash that code and model need
image_bytes        int64  byte  device  flash that code and constants take
static_ram_bytes   int64  byte  device  RAM that .data and .bss take
stack_reserved_bytes int64 byte device  RAM kept for the stack
kv_cache_bytes     int64  byte  device  RAM of the whole KV cache, for n_ctx positions
activation_bytes   int64  byte  device  RAM of activations and tables, KV cache aside
ticks_total        int64  tick  device  run begin to run end
passes             int64  -     device  forward passes that the board counted
passes_received    int64  -     derived forward passes that arrived
frames_lost        int64  -     derived frames of this run that were sent and did not arrive
tags               string -     device  everything else that was said, as JSON
"""
    ),
    "tokens": _columns(
        _KEYS
        + """
window      int32  -    device  window of an evaluation text, null when generating
position    int64  -    device  position in the context, from 0; of prints, their number
phase       string -    device  prefill, decode or score; unknown of a print that the host saw
token_id    int64  -    device  the token fed in
next_id     int64  -    device  the forced or sampled next token
scored      bool   -    device  counts for the perplexity
nll         float  nat  device  -ln p(next_id given the context)
top1_id     int64  -    device  the most probable next token
n_batch     int64  token device tokens in this pass
ticks_start int64  tick device  from run begin
ticks       int64  tick device  what the pass took
t_host_ns   int64  ns   host    when the host had the frame, from the capture's begin
source      string -    host    device, or host: a print that the host saw
"""
    ),
    "logits": _columns(
        _KEYS
        + """
window   int32       -   device window of an evaluation text
position int32       -   device position in the context, from 0
first_id int32       -   device the token that the first of these logits is of; the others' follow
logits   list<float> nat device what the model made of this position before softmax; a position takes several rows
"""
    ),
    "stages": _columns(
        _KEYS
        + """
position int64  -    device position of the pass
stage    string -    device embedding, attention, feed_forward, head, sampling, other
ticks    int64  tick device what the stage took
"""
    ),
    "memory": _columns(
        _KEYS
        + """
ticks            int64 tick device from run begin
heap_bytes       int64 byte device in use
heap_peak_bytes  int64 byte device high water
stack_peak_bytes int64 byte device high water
kv_bytes         int64 byte device the KV cache
"""
    ),
    "power": _columns(
        _KEYS
        + """
port       int32  -    host   index of the port
ticks      int64  tick device from run begin, null outside of a run
t_host_ns  int64  ns   host   when the host had the frame, from the capture's begin
current_ua double uA   device what the meter measured
voltage_mv int32  mV   device of the supply, where it was said
meter      string -    device board: the board itself; else meter and its number
"""
    ),
    "events": _columns(
        _KEYS
        + """
port     int32  -    host    index of the port
kind     string -    derived gap, reset, mark, gpio edge, refused, said; of the port: docs/capture.md lists them
start    int64  ns   host    from the capture's begin
end      int64  ns   host    null for a moment
offset   int64  byte host    bytes of the port that came before, where the host noticed it
ticks    int64  tick device  from run begin, where the device said it
detail   string -    derived in words
"""
    ),
    "clock": _columns("""
capture_id string -    host    the capture
port       int32  -    host    index of the port
boot       int64  -    host    number of the board's boot
tick_hz    double Hz   host    what the board says of its clock; there is no row where a tick is no time
ticks      int64  tick host    by the board's clock, since its boot, when a frame was sent at the earliest
t_host_ns  int64  ns   host    when the host had it, from the capture's begin
"""),
    "logs": _columns(
        _KEYS
        + """
port      int32  -  host   index of the port
t_host_ns int64  ns host   when the host had the line, from the capture's begin
text      string -  device the line
"""
    ),
    "claims": _columns(
        _KEYS
        + """
port      int32  -  host    index of the port
t_host_ns int64  ns host    when the host had the line, from the capture's begin
adapter   string -  derived which adapter understood the line
name      string -  derived what was claimed; begins with claimed_, ends with the unit
value     double -  device  the number, as it was said
unit      string -  derived its unit, null where it has none
line      string -  device  the line, its first 1,000 characters
"""
    ),
    "prompts": _columns("""
capture_id string - host the capture
prompt_id  string - host label of the prompt or evaluation text
text       string - host the text
sha256     string - host its digest
"""),
    "vocab": _columns("""
capture_id   string - host the capture
model_sha256 string - host the model file
token_id     int64  - host the token
piece        string - host its text, with the tokenizer's own space mark
"""),
    "sections": _columns("""
capture_id      string -    host the capture
firmware_sha256 string -    host the image
section         string -    host its section, by the name that the linker gave it
symbol          string -    host function or object; null: all of the section that is no symbol of 16 bytes or more
kind            string -    host code, rodata, data, bss, stack, heap or other
address         int64  -    host where it is at run time; the section's where symbol is null
flash_bytes     int64  byte host what it takes of the flash
ram_bytes       int64  byte host what it takes of the RAM
"""),
}
"""Table name to its columns, in order."""


def column(table: str, name: str) -> Column:
    """Return the registered column, or raise ``KeyError``."""
    return {c.name: c for c in TABLES[table]}[name]


def device_columns(table: str) -> list[str]:
    """Return the columns that two captures of an exact clock must agree on."""
    return [c.name for c in TABLES[table] if c.origin == "device"]


@cache
def arrow_schema(table: str) -> pa.Schema:
    """Return the Arrow schema of a table; units and origins are in the fields' metadata."""
    import pyarrow as pa

    kinds: dict[str, Any] = {
        "string": pa.string(), "int64": pa.int64(), "int32": pa.int32(),
        "double": pa.float64(), "float": pa.float32(), "bool": pa.bool_(),
        "list<float>": pa.list_(pa.float32()),
    }  # fmt: skip
    fields = [pa.field(c.name, kinds[c.type], metadata={"unit": c.unit, "origin": c.origin}) for c in TABLES[table]]
    return pa.schema(fields, metadata={"edgeprof.table": table, "edgeprof.format": str(FORMAT_VERSION)})


def empty_frame(table: str) -> pd.DataFrame:
    """Return a DataFrame of the table's columns and types, with no rows."""
    from edgeprof.frames import to_pandas

    return to_pandas(arrow_schema(table).empty_table())


def markdown() -> str:
    """Return all tables as Markdown; ``docs/data-model.md`` holds it, and a test compares."""
    parts = []
    for name, columns in TABLES.items():
        rows = [f"| `{c.name}` | {c.type} | {c.unit or '–'} | {c.origin} | {c.help} |" for c in columns]
        head = ["| column | type | unit | origin | meaning |", "|---|---|---|---|---|"]
        parts.append("\n".join([f"### {name}", "", *head, *rows]))
    return "\n\n".join(parts) + "\n"
