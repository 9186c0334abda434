"""What a firmware image is made of: table ``sections`` as tidy frames for plots and as tables of strings.

Pure functions on DataFrames; :mod:`edgeprof.sections` reads the images themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from edgeprof import units
from edgeprof.budget import of_board
from edgeprof.errors import unknown_name

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["board_sections", "section_table", "top_symbols", "top_table"]


def board_sections(dataset: Dataset, board: str = "") -> pd.DataFrame:
    """Return the parts of the image that a board's last run ran, each once; no row if they were not captured.

    Parameters
    ----------
    dataset
        From :func:`edgeprof.open`.
    board
        The board's name; empty for the board of whose image the most symbols are known.
    """
    if board:
        of_board(dataset.runs, board)
    known = dataset.runs.merge(
        dataset.sections.groupby("firmware_sha256")["symbol"].nunique().rename("symbols"), on="firmware_sha256"
    )
    if board:
        known = known[known["board"] == board]
    else:
        known = known.sort_values(["symbols", "board"], ascending=[True, False], kind="stable")
    wanted, name = (known["firmware_sha256"].iloc[-1], known["board"].iloc[-1]) if len(known) else (None, board)
    mine = dataset.sections[dataset.sections["firmware_sha256"] == wanted]
    return mine.drop(columns="capture_id").drop_duplicates().assign(board=name).reset_index(drop=True)


def section_table(sections: pd.DataFrame) -> pd.DataFrame:
    """Return an image's sections as strings: bytes of flash and RAM, and how much of them has a symbol's name."""
    rows = []
    sizes = ["flash_bytes", "ram_bytes"]
    for (name, kind), part in sections.groupby(["section", "kind"], sort=False):
        rows.append(
            {"section": name, "kind": kind, "symbols": units.exact(int(part["symbol"].notna().sum()))}
            | {f"{column.partition('_')[0]} [byte]": units.exact(part[column].sum()) for column in sizes}
        )
    whole = {"section": "all", "kind": "", "symbols": units.exact(int(sections["symbol"].notna().sum()))}
    whole |= {f"{column.partition('_')[0]} [byte]": units.exact(sections[column].sum()) for column in sizes}
    return pd.DataFrame([*rows, whole])


def top_symbols(sections: pd.DataFrame, of: str = "flash_bytes", n: int = 12) -> pd.DataFrame:
    """Return the ``n`` largest parts of an image, then all others as one row: the sum is that of the image.

    Parameters
    ----------
    sections
        Rows of table ``sections``, of one image.
    of
        ``flash_bytes`` or ``ram_bytes``.
    n
        How many parts have a row of their own.

    Returns
    -------
    pandas.DataFrame
        ``name``, ``kind`` and ``bytes``, the largest first.
    """
    if of not in ("flash_bytes", "ram_bytes"):
        raise unknown_name("size of a part", of, ("flash_bytes", "ram_bytes"))
    section, symbol = sections["section"].astype(str), sections["symbol"]
    told = section.isin(section[symbol.notna()])
    rest = section.where(~told, "rest of " + section)
    named = pd.DataFrame(
        {
            "name": symbol.where(symbol.notna(), rest),
            "kind": sections["kind"],
            "bytes": sections[of].astype("Int64"),
        }
    )
    named = named[named["bytes"] > 0].sort_values(["bytes", "name"], ascending=[False, True], kind="stable")
    others = named.iloc[n:]
    if len(others):
        last = {"name": f"{len(others):,} smaller parts", "kind": "all others", "bytes": others["bytes"].sum()}
        named = pd.concat([named.iloc[:n], pd.DataFrame([last]).astype({"bytes": "Int64"})])
    return named.reset_index(drop=True)


def top_table(top: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`top_symbols` as strings, with each part's share."""
    share = top["bytes"].astype(float) / (float(top["bytes"].sum()) or np.nan)
    return pd.DataFrame(
        {
            "part": top["name"].astype(str),
            "kind": top["kind"].astype(str),
            "size [byte]": top["bytes"].map(units.exact),
            "share": share.map(lambda v: units.significant(100 * v) + " %"),
        }
    )
