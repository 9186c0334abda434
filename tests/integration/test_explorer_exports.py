"""What the explorer hands out works elsewhere: its cell, its reports; and papermill hears of errors."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import numpy as np
import papermill
import pytest
import yaml
from handmade import stored
from nbformat import v4, write
from papermill.exceptions import PapermillExecutionError

import edgeprof
from edgeprof.cli import main
from edgeprof.parameters import list_notebooks

pytestmark = pytest.mark.slow

DRAWN = """
import json, sys
made = figure(ds, view)
lines = [[line.get_xydata().tolist() for line in ax.lines] for ax in made.axes]
texts = [[text.get_text() for text in ax.texts] + [ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()]
         for ax in made.axes]
limits = [[*ax.get_xlim(), *ax.get_ylim()] for ax in made.axes]
print(json.dumps([lines, texts, limits]))
"""


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    ds = edgeprof.open(edgeprof.reference())
    runs = ds.runs[(ds.runs["board"] == "wasm") & (ds.runs["prompt_id"] == "lost-kite") & (ds.runs["quant"] == "Q4_0")]
    made = edgeprof.explore(ds, output_dir=tmp_path_factory.mktemp("out"), y="perplexity")
    made.update(value="nll", phase="score", look="dark")  # what was seen before leaves nothing behind
    made.update(value="ticks", phase="decode", look="light", detail="memory")
    made.update(detail="pareto")
    made.update(run_b=str(runs["run_id"].iloc[0]), first=30, last=50, quants=("Q8_0", "Q4_0", "Q2_K"))
    return made


def test_the_cell_draws_the_same_in_a_fresh_interpreter(explorer):
    text = explorer.show_code()
    assert text.endswith("figure(ds, view)")
    done = subprocess.run([sys.executable, "-c", text + "\n" + DRAWN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines, texts, limits = json.loads(done.stdout)
    here = list(explorer.figure.axes)
    assert len(lines) == len(here) == 3
    for found, ax in zip(lines, here, strict=True):
        assert len(found) == len(ax.lines) > 0
        for one, other in zip(found, ax.lines, strict=True):
            assert np.array_equal(np.array(one), other.get_xydata(), equal_nan=True)
    assert np.allclose(limits, [[*ax.get_xlim(), *ax.get_ylim()] for ax in here])
    assert [t[:-3] for t in texts] == [[text.get_text() for text in ax.texts] for ax in here]


def test_the_figure_is_written_in_three_formats(explorer):
    paths = explorer.save_figure()
    starts = {path.suffix: path.read_bytes()[:5] for path in paths}
    assert starts[".png"] == b"\x89PNG\r" and starts[".pdf"] == b"%PDF-" and starts[".svg"] == b"<?xml"
    assert all(str(path) in explorer.exported.value for path in paths)


@pytest.mark.nightly
def test_the_reports_that_it_names_are_made(explorer):
    path = explorer.save_report()
    command = shlex.split(explorer.exported.value.split("<pre")[1].partition(">")[2].partition("<")[0])
    assert command[:3] == ["edgeprof", "report", "--matrix"] and command[3] == str(path)
    done = subprocess.run([sys.executable, "-m", "edgeprof", *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = [
        json.loads(p.read_text(encoding="utf-8"))["parameters"]
        for p in (path.parent / "reports").glob("*/results.json")
    ]
    assert sorted(p["quant"] for p in made) == ["Q4_0", "Q8_0"]
    assert {p["prompt"] for p in made} == {"lost-kite"}


@pytest.mark.nightly
def test_a_report_is_of_the_pinned_run_where_a_prompt_was_captured_twice(tmp_path):
    stored(tmp_path / "data", "first", n=12)
    stored(tmp_path / "data", "second", n=9)
    ds = edgeprof.open(tmp_path / "data")
    runs = ds.runs["run_id"].tolist()
    made = edgeprof.explore(ds, run_a=runs[1], output_dir=tmp_path)
    given = yaml.safe_load(made.save_report().read_text(encoding="utf-8"))["include"]
    words = [f"-p{name}={value}" for name, value in given[0].items()]
    out = tmp_path / "out"
    assert main(["report", "inspect_run", str(tmp_path / "data"), "--out", str(out), *words]) == 0
    (row,) = json.loads((out / "results.json").read_text(encoding="utf-8"))["results"]["run"]
    assert row["passes"] == ds.runs["passes"].tolist()[1] != ds.runs["passes"].tolist()[0]


# ---- errors reach whoever runs a notebook ----


def run_cells(tmp_path, *cells: str) -> None:
    metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    first = f"import edgeprof\nexplorer = edgeprof.explore({edgeprof.reference()!r})\nexplorer"
    write(
        v4.new_notebook(cells=[v4.new_code_cell(c) for c in (first, *cells)], metadata=metadata), tmp_path / "in.ipynb"
    )
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    papermill.execute_notebook(
        str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb"), progress_bar=False, kernel_name="python3"
    )


@pytest.mark.filterwarnings("ignore")  # of papermill and its libraries
@pytest.mark.parametrize(
    ("cell", "said"),
    [
        pytest.param('explorer.update(phase="decod")', "decode", marks=pytest.mark.nightly),
        ("explorer._source.dataset = None; explorer._source._kept.clear(); explorer.detail.value = 'stages'", "None"),
        pytest.param('explorer.run_a.value = "nobody"', "nobody|Invalid selection", marks=pytest.mark.nightly),
    ],
)  # fmt: skip
def test_papermill_hears_what_fails(tmp_path, cell, said):
    with pytest.raises(PapermillExecutionError, match=said):
        run_cells(tmp_path, "explorer.update(detail='memory')", cell)


@pytest.mark.nightly
def test_the_notebook_takes_a_board(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "edgeprof", "report", "explore", edgeprof.reference(), "--out", str(tmp_path / "out"),
         "-p", "board=rp2040"], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    (row,) = results["results"]["range"]
    assert row["tokens"] > 0 and row["p50"] <= row["p95"] <= row["p99"]
    assert "90_explore" in list_notebooks()
