"""Reading a data set: ``edgeprof.open(path)``.

Readers go by manifests alone. What is not sealed yet is decoded in memory from the journal, so a data set can be read
at every moment of a capture, and after any crash; reading never writes.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs as pafs

from edgeprof import seal
from edgeprof.batches import coded, scan
from edgeprof.display import html_table, terminal_text
from edgeprof.errors import EdgeprofError, NewerFormatError, StorageError, UsageError, unknown_name
from edgeprof.frames import to_pandas
from edgeprof.layout import CAPTURE_JSON, MANIFEST, check_version, current
from edgeprof.object_plots import DatasetPlots
from edgeprof.schema import TABLES, arrow_schema
from edgeprof.tables import build, conform

if TYPE_CHECKING:
    from edgeprof.comparison import Comparison
    from edgeprof.gating import GateResult
    from edgeprof.one_run import Run

__all__ = ["Dataset", "open_dataset"]

_GroupKey = tuple[str, str, str]
_Key = tuple[str, _GroupKey]
_RETRIES = 5
_RUN_ORDER: list[tuple[str, Literal["ascending", "descending"]]] = [
    ("capture_id", "ascending"),
    ("port", "ascending"),
    ("run_id", "ascending"),
]


class Dataset:
    """Captures in a folder or object-store prefix, as DataFrames.

    Attributes
    ----------
    path
        What was opened.
    problems
        Captures and files that could not be read, in words; the rest is there.
    plot
        Its plots: ``ds.plot.latency()``, ``ds.plot.memory()``, …
    """

    def __init__(
        self, path: str, filesystem: pafs.FileSystem, files: list[dict[str, Any]], tail: dict[_Key, pa.Table],
        captures: list[str], problems: list[str],
    ) -> None:  # fmt: skip
        self.path, self.problems = path, problems
        self._fs, self._files, self._tail, self._capture_ids = filesystem, files, tail, captures
        self._group_of: dict[str, _GroupKey] = {}
        self.plot = DatasetPlots(self)

    @cached_property
    def captures(self) -> pd.DataFrame:
        """A row a recording."""
        return self.table("captures")

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row a run, in order."""
        return to_pandas(self._runs)

    @cached_property
    def tokens(self) -> pd.DataFrame:
        """A row a forward pass."""
        return self.table("tokens")

    @cached_property
    def claims(self) -> pd.DataFrame:
        """A row a number that a board printed of itself."""
        return self.table("claims")

    @cached_property
    def sections(self) -> pd.DataFrame:
        """A row a part of a firmware image."""
        return self.table("sections")

    def run(self, run: str | int = "", *, board: str = "", model: str = "", quant: str = "", prompt: str = "") -> Run:
        """Return one run.

        Parameters
        ----------
        run
            Its ``run_id``, a part of that which only it has, or its number in ``runs``, from 0.
        board, model, quant, prompt
            Instead: what it is of. What is not given is chosen among the finished runs that are left: the board, model
            and prompt with the most runs, the quantization with the most bits that is no float.

        Raises
        ------
        UsageError
            There is no such run, or there are several; the message names the closest.
        NotComparableError
            No finished run has all of what was given.
        """
        from edgeprof.choices import choose
        from edgeprof.one_run import Run, find_run

        of = {"board": board, "model": model, "quant": quant, "prompt": prompt}
        if run == "":
            return Run(self, choose(self, **of).run_id)
        if any(of.values()):
            raise UsageError("A run is named or described: give its run_id, or board=, model=, quant= and prompt=.")
        return find_run(self, run)

    def compare(self, by: str | Sequence[str] = "quant", **options: Any) -> Comparison:
        """Compare groups of runs; parameters, result and errors as of :func:`edgeprof.compare`."""
        from edgeprof.comparison import compare

        return compare(self, by, **options)

    def gate(self, against: Dataset | None = None, rules: str | Path = "") -> GateResult:
        """Judge whether these captures are worse than others, beyond what rules allow.

        Parameters
        ----------
        against
            The base's data set; by default this one has both sides, measured in pairs.
        rules
            A ``gate.toml`` (docs/gate.md); without one the defaults hold.

        Raises
        ------
        NotComparableError
            This data set has to have both sides, and has no pairs.
        UsageError
            The rules cannot be read.
        """
        from edgeprof.gate_rules import load_rules
        from edgeprof.gating import gate

        found = load_rules(Path(rules)) if rules else None
        return gate(self, None, found) if against is None else gate(against, self, found)

    @cached_property
    def _runs(self) -> pa.Table:
        return self._read("runs", None, None, self._group_of).sort_by(_RUN_ORDER)

    def _runs_of(self, columns: list[str] | None, conditions: Iterable[str]) -> pa.Table:
        """Return the runs with at least these columns: of very many runs, all 60 take ten times as long."""
        if columns is None or "_runs" in vars(self):
            return self._runs
        needed = [*dict.fromkeys([*columns, *conditions, *(column for column, _ in _RUN_ORDER)])]
        return self._read("runs", needed, None).sort_by(_RUN_ORDER)

    def _choose(self, conditions: Mapping[str, Any]) -> tuple[list[str], set[_GroupKey]]:
        """Return the runs that meet conditions, and the groups whose files hold them."""
        ids = [str(run) for run in _filter(self._runs, conditions)["run_id"].to_pylist()]
        return ids, {self._group_of[run] for run in ids}

    def table(
        self, name: str, columns: list[str] | None = None, where: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return a table.

        Parameters
        ----------
        name
            One of the tables of ``docs/data-model.md``.
        columns
            Which columns; all by default.
        where
            Column to value or list of values. Columns of ``runs`` work for every table that has a ``run_id``: only
            the files of matching runs are read.

        Raises
        ------
        UsageError
            There is no such table or column.
        """
        return to_pandas(self.arrow(name, columns, where))

    def arrow(self, name: str, columns: list[str] | None = None, where: Mapping[str, Any] | None = None) -> pa.Table:
        """Return a table as Arrow; parameters as of :meth:`table`."""
        own = _checked(name, columns or ())
        conditions = dict(where or {})
        run_columns = [c.name for c in TABLES["runs"]] if "run_id" in own else []
        by_run = {k: conditions.pop(k) for k in list(conditions) if k not in own and k in run_columns}
        for column in conditions:
            if column not in own:
                raise unknown_name(f"column of {name} or runs", column, {*own, *run_columns})
        if name == "runs":
            return _filter(self._runs_of(columns, conditions), conditions).select(columns or own)
        groups = None
        if by_run:
            ids, groups = self._choose(by_run)
            conditions["run_id"] = _both(conditions.get("run_id"), ids)
        needed = None if columns is None else [*dict.fromkeys([*columns, *conditions])]
        table = _filter(self._read(name, needed, groups), conditions)
        return table if columns is None else table.select(columns)

    def batches(
        self, name: str, columns: list[str], where: Mapping[str, Any] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield some columns of a table in batches, text as dictionaries: for tables that are larger than memory.

        Parameters
        ----------
        name, columns
            One of the tables of ``docs/data-model.md`` that have a ``run_id``, and which of its columns.
        where
            Column of ``runs`` to value or list of values: only the files that hold such runs are read; what else
            these hold comes with it.

        Raises
        ------
        StorageError
            A file is damaged.
        UsageError
            There is no such table or column.
        """
        _checked(name, columns)
        _checked("runs", where or ())
        groups = self._choose(where)[1] if where else None
        mine = [e for e in self._files if e["table"] == name]
        paths = [e["full"] for e in mine if groups is None or (e["board"], e["model"], e["quant"]) in groups]
        yield from scan(self._fs, paths, name, columns)
        for (table, group), part in self._tail.items():
            if table == name and (groups is None or group in groups):
                yield from conform(part, name, columns).cast(coded(name, columns)).to_batches()

    def _read(
        self, name: str, columns: list[str] | None, groups: set[_GroupKey] | None,
        found: dict[str, _GroupKey] | None = None,
    ) -> pa.Table:  # fmt: skip
        """Read a table from the files of some groups; ``found`` takes which group a run is in."""
        pieces: list[tuple[tuple[str, int], pa.Table]] = []
        for entry in self._files:
            group = (entry["board"], entry["model"], entry["quant"])
            if entry["table"] != name or (groups is not None and group not in groups):
                continue
            try:
                with self._fs.open_input_file(entry["full"]) as file:
                    parquet = pq.ParquetFile(file, page_checksum_verification=True)
                    known = set(parquet.schema_arrow.names)
                    part = parquet.read(None if columns is None else [c for c in columns if c in known])
            except (OSError, pa.ArrowException) as error:
                raise StorageError(
                    f"{entry['full']} cannot be read ({error}). `edgeprof verify {self.path}` lists what is damaged; "
                    "the wire bytes that were kept beside the tables still hold what the board said."
                ) from error
            pieces += _pieces(entry, conform(part, name, columns))
            if found is not None:
                found.update(dict.fromkeys(map(str, part["run_id"].to_pylist()), group))
        parts = [part for _, part in sorted(pieces, key=itemgetter(0))]
        for (table, group), part in self._tail.items():
            if table == name and (groups is None or group in groups):
                parts.append(conform(part, name, columns))
                if found is not None:
                    found.update(dict.fromkeys(map(str, part["run_id"].to_pylist()), group))
        schema = arrow_schema(name)
        wanted = schema if columns is None else pa.schema([schema.field(c) for c in columns])
        return pa.concat_tables(parts) if parts else wanted.remove_metadata().empty_table()

    def _facts(self) -> dict[str, str]:
        runs = self._runs

        def names(column: str) -> str:
            found = sorted({str(v) for v in runs[column].to_pylist() if v is not None})
            return ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "") or "none"

        facts = {
            "captures": str(len(self._capture_ids)),
            "runs": str(len(runs)),
            "boards": names("board"),
            "models": names("model"),
            "quantizations": names("quant"),
            "clocks": names("clock"),
        }
        if runs["emulator"].null_count < len(runs):
            facts["emulated by"] = names("emulator")
        return facts | ({"problems": str(len(self.problems))} if self.problems else {})

    def __repr__(self) -> str:
        facts = ", ".join(f"{k}: {terminal_text(v)}" for k, v in self._facts().items())
        return f"<edgeprof data set: {facts}>"

    def _repr_html_(self) -> str:
        facts = pd.DataFrame({"edgeprof data set": list(self._facts()), "": list(self._facts().values())})
        return html_table(facts)


def _checked(name: str, columns: Iterable[str]) -> list[str]:
    """Return the columns of a table, if these are among them."""
    if name not in TABLES:
        raise unknown_name("table", name, TABLES)
    own = [c.name for c in TABLES[name]]
    for column in columns:
        if column not in own:
            raise unknown_name(f"column of {name}", column, own)
    return own


def _pieces(entry: dict[str, Any], part: pa.Table) -> Iterator[tuple[tuple[str, int], pa.Table]]:
    """Yield a file's rows by the segments that they were sealed in, so that compacting changes no table's order."""
    at = 0
    for segment, rows in entry.get("parts") or [(entry["segment"], len(part))]:
        yield (entry["capture"], segment), part.slice(at, rows)
        at += rows


def _both(first: Any, second: list[Any]) -> list[Any]:
    if first is None:
        return second
    allowed = set(_values(first))
    return [v for v in second if v in allowed]


def _values(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else [value]


def _filter(table: pa.Table, conditions: Mapping[str, Any]) -> pa.Table:
    for column, value in conditions.items():
        try:
            values = pa.array(_values(value), type=table.schema.field(column).type)
            table = table.filter(pc.is_in(table[column], values))
        except (pa.ArrowException, TypeError, OverflowError) as error:
            raise UsageError(f"where: column {column!r} cannot be compared with {value!r} ({error}).") from error
    return table


def open_dataset(path: str | Path) -> Dataset:
    """Open a data set.

    Parameters
    ----------
    path
        A folder, or a URI that ``pyarrow.fs`` knows (``s3://bucket/prefix``).

    Raises
    ------
    StorageError
        There is no such folder, it cannot be listed, or all that is in it is damaged.
    NewerFormatError
        All that is in it was written by a newer edgeprof.
    """
    text = str(path)
    try:
        filesystem, folders = _capture_folders(text)
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, EdgeprofError):
            raise
        from edgeprof.transports import redact

        raise StorageError(
            f"The data set {redact(text)} cannot be opened ({redact(str(error))}). It is a folder, or a URI that "
            "pyarrow knows, such as s3://bucket/prefix; check the name, the credentials and the network."
        ) from error
    files: list[dict[str, Any]] = []
    tails: list[dict[_Key, pa.Table]] = []
    names: list[str] = []
    problems: list[str] = []
    errors: list[EdgeprofError] = []
    for folder in folders:
        try:
            found, tail = _open_capture(filesystem, folder)
        except EdgeprofError as error:
            problems.append(str(error))
            errors.append(error)
            continue
        files += found
        tails += [tail] if tail else []
        names.append(folder.rsplit("capture=", 1)[1])
    if errors and not names:
        newer = [e for e in errors if isinstance(e, NewerFormatError)]
        raise (newer or errors)[0]
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    tail = {k: pa.concat_tables([t[k] for t in tails if k in t]) for k in dict.fromkeys(k for t in tails for k in t)}
    return Dataset(text, filesystem, files, tail, names, problems)


def _capture_folders(text: str) -> tuple[pafs.FileSystem, list[str]]:
    """Return the folders of a data set's captures, in order, and where they are."""
    if "://" in text:
        filesystem, root = pafs.FileSystem.from_uri(text)
    else:
        filesystem, root = pafs.LocalFileSystem(), str(Path(text).absolute())
    found = filesystem.get_file_info(root).type
    if found == pafs.FileType.Directory:
        return filesystem, sorted(_captures(filesystem, root))
    if found == pafs.FileType.NotFound:
        raise StorageError(f"There is no data set at {text}: the folder does not exist. `edgeprof demo` makes one.")
    raise StorageError(
        f"There is no data set at {text}: it is a file, and a data set is a folder that holds capture=... folders. "
        "Give the folder; what other programs wrote is read by `edgeprof import`."
    )


def _captures(filesystem: pafs.FileSystem, root: str) -> list[str]:
    info = filesystem.get_file_info(pafs.FileSelector(root))
    return [
        i.path
        for i in info
        if i.base_name.startswith("capture=")
        and filesystem.get_file_info(f"{i.path}/{CAPTURE_JSON}").type == pafs.FileType.File
    ]


def _open_capture(filesystem: pafs.FileSystem, folder: str) -> tuple[list[dict[str, Any]], dict[_Key, pa.Table]]:
    """Return a capture's sealed files and its tail, both of one moment."""
    try:
        for attempt in range(_RETRIES):
            last = attempt == _RETRIES - 1
            # What a new segment took out of the journal, or a rewrite replaced, while it was being read: look again.
            with contextlib.suppress(FileNotFoundError):
                manifests = _manifests(filesystem, folder)
                files = [
                    e | {"full": f"{m['folder']}/{e['path']}", "capture": folder, "segment": m["segment"]}
                    for m in manifests
                    for e in m["files"]
                ]
                if not isinstance(filesystem, pafs.LocalFileSystem):
                    return files, {}
                if manifests and manifests[-1]["final"]:
                    if len(manifests) == manifests[-1]["segment"] + 1 or last:
                        return files, {}
                    continue
                tail = _tail(Path(folder), manifests)
                if (Path(folder) / "journal").is_dir() or last:
                    return files, tail
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, EdgeprofError):
            raise
        raise StorageError(f"{folder} is damaged ({error!r}); run `edgeprof verify`.") from error
    raise StorageError(f"{folder}: bytes are missing in its journal; run `edgeprof verify`.")


def _manifests(filesystem: pafs.FileSystem, folder: str) -> list[dict[str, Any]]:
    found = []
    for info in filesystem.get_file_info(pafs.FileSelector(folder)):
        path = f"{info.path}/{MANIFEST}"
        if not info.base_name.startswith("segment="):
            continue
        if filesystem.get_file_info(path).type != pafs.FileType.File:
            continue
        with filesystem.open_input_file(path) as file:
            try:
                data = json.loads(file.read())
            except ValueError as error:
                raise StorageError(f"{path} is damaged ({error}); run `edgeprof verify`.") from error
        check_version(data.get("format_version"), path)
        found.append(data | {"folder": info.path})
    return current(found)


def _tail(capture: Path, manifests: list[dict[str, Any]]) -> dict[_Key, pa.Table]:
    header = seal.load_capture(capture)
    states = seal.states_after(manifests, len(header["ports"]))
    rows, after = seal.decode_tail(capture, header, states, final=True, finished=False)
    rows.extend(seal.capture_rows(header, after, None))
    return build(rows, header["capture_id"])
