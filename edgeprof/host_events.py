"""What the host noticed in a capture that is closed, as its log had it: from the table ``events``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from edgeprof.adapters import ADAPTERS
from edgeprof.errors import StorageError
from edgeprof.layout import file_sha256, segment_folder
from edgeprof.running import MARK

__all__ = ["host_events"]

# The events that decoding finds itself, as are those whose detail begins with an adapter's name. All others that belong
# to no run were noticed by the host, and are not on the wire.
_DECODED = ("gap", "reset", "said", "gpio edge", "meter")


def host_events(capture: Path, last: dict[str, Any], header: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the host noticed in a closed capture, in the form of :func:`edgeprof.journal.append_event`.

    Parameters
    ----------
    capture
        Its folder.
    last
        The manifest of its last segment: the log of what the host noticed is sealed into it.
    header
        What the capture was told at its start (:func:`edgeprof.seal.load_capture`).

    Raises
    ------
    StorageError
        The file is not as it was sealed.
    """
    found = []
    for entry in last["files"]:
        if entry["table"] != "events" or (entry["board"], entry["model"], entry["quant"]) != ("", "", ""):
            continue
        path = capture / segment_folder(last["segment"], last.get("generation", 0)) / entry["path"]
        if not path.exists() or file_sha256(path) != entry["sha256"]:
            raise StorageError(f"{path} is damaged: what the host noticed is only there. It is left as it is.")
        found += [
            {"port": row["port"], "kind": row["kind"], "t_ns": row["start"] + header["monotonic_start_ns"],
             "detail": row["detail"], "offset": row.get("offset")}
            | ({} if row["end"] is None else {"end_ns": row["end"] + header["monotonic_start_ns"]})
            for row in pq.ParquetFile(path).read().to_pylist()
            if row["run_id"] is None and not _decoded(row)
        ]  # fmt: skip
    return found


def _decoded(event: dict[str, Any]) -> bool:
    if event["kind"] == MARK:  # whatever somebody wrote
        return False
    return event["kind"] in _DECODED or str(event["detail"]).partition(":")[0] in ADAPTERS
