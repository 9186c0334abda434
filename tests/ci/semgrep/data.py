import html
import json
import pickle
import shutil
import tarfile
import tomllib
from pathlib import Path

import IPython.display
import numpy as np
import pandas as pd
import yaml

from edgeprof.display import html_text


def opened(path: Path, text: str) -> None:
    # ruleid: data-that-runs
    pickle.loads(path.read_bytes())
    # ruleid: data-that-runs
    pd.read_pickle(path)
    # ruleid: data-that-runs
    np.load(path, allow_pickle=True)
    # ruleid: data-that-runs
    yaml.load(text, Loader=yaml.Loader)
    # ruleid: data-that-runs
    yaml.load(text)
    # ok: data-that-runs
    yaml.load(text, Loader=yaml.BaseLoader)
    # ok: data-that-runs
    yaml.safe_load(text)
    # ok: data-that-runs
    np.load(path)
    # ok: data-that-runs
    json.loads(text)


def unpacked(path: Path, folder: Path) -> None:
    with tarfile.open(path) as archive:
        # ruleid: archive-without-filter
        archive.extractall(folder)
        # ok: archive-without-filter
        archive.extractall(folder, filter="data")
    # ruleid: archive-without-filter
    shutil.unpack_archive(path, folder)
    # ok: archive-without-filter
    shutil.unpack_archive(path, folder, filter="data")


def checked(text: str, known: int) -> None:
    plan = tomllib.loads(text)
    # ruleid: input-asserted
    assert isinstance(plan["boards"], list)
    # ruleid: input-asserted
    assert json.loads(text), "it is empty"
    # ok: input-asserted
    assert known > 0
    if not isinstance(plan["boards"], list):
        raise TypeError("boards is a list of names")


def shown(path: Path, table: pd.DataFrame) -> str:
    row = table.iloc[0]
    facts = json.loads(path.read_text(encoding="utf-8"))
    # ruleid: html-of-data
    IPython.display.HTML(facts["note"])
    # ok: html-of-data
    IPython.display.HTML(html_text(facts["note"]))
    # ok: html-of-data
    page = f"<p>{html.escape(facts['board'])}</p>"
    # ok: html-of-data
    said = f"{facts['board']} is here"
    # ok: html-of-data
    count = f"<p>{len(facts):,} facts</p>"
    # ruleid: html-of-data
    return page + said + count + f"<td>{row['board']}</td>"
