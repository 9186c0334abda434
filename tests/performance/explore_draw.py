"""How long a control's change takes to be drawn in JupyterLab, beside an empty redraw of the same figure.

``python tests/performance/explore_draw.py --out docs/results/explore.json`` records absolute figures with their
machine; the test beside it asserts ratios only. A time is from the change of the control in the page to the first new
picture on the canvas, both taken in the page. The empty redraw takes the same way (a button's click, the kernel, the
same figure with the same axes and nothing in them, drawn and not laid out). Both are taken in turn. The explorer is
opened as it comes, which measures every run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
import browser
import lab
import quantiles
from machine import record
from nbformat import v4, write

SIZES = (100_000, 10_000_000)
ROUNDS = 5
CONTROLS = ("quants", "prompts", "pin_a", "pin_b", "brush", "token", "detail")
DETAILS = ("Pareto front", "stage profile", "memory budget")
CELL = """\
import ipywidgets
import edgeprof

explorer = edgeprof.explore({folder!r})
empty = ipywidgets.Button(description="empty redraw")
shown = [True]


def redraw(_):
    for ax in explorer.figure.axes:
        ax.clear()
    shown[0] = not shown[0]
    explorer.figure.set_facecolor("#ffffff" if shown[0] else "#fefefe")  # so that there is something to be seen
    explorer.canvas.draw()
    explorer._painter._drawn = {{"detail": explorer.view.detail}}


empty.on_click(redraw)
explorer.children = [empty, *explorer.children]
explorer
"""
# Watches the canvas: its picture is looked at every frame, which is as soon as a user could see it.
WATCH = """
async ([act, argument]) => {
    const root = document.querySelector('.edgeprof-explorer');
    const canvas = root.querySelector('canvas');
    const look = canvas.getContext('2d');
    const picture = () => {
        const data = new Uint32Array(look.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
        let sum = 0;
        for (let i = 0; i < data.length; i += 7) sum = (31 * sum + data[i]) | 0;
        return sum;
    };
    const before = picture();
    const began = performance.now();
    if (act === 'slide') {
        root.querySelectorAll('.noUi-handle')[0].focus();
        root.querySelectorAll('.noUi-handle')[0].dispatchEvent(
            new KeyboardEvent('keydown', {key: 'ArrowRight', code: 'ArrowRight', bubbles: true}));
    } else if (act.startsWith?.('run ') || act === 'token') {
        const label = [...root.querySelectorAll('label')].find(l => l.innerText === act);
        const select = label.parentElement.querySelector('select');
        select.selectedIndex = argument;
        select.dispatchEvent(new Event('change', {bubbles: true}));
    } else if (act === 'click') {
        [...root.querySelectorAll('button')].find(b => b.innerText === argument).click();
    } else {
        const select = root.querySelectorAll('.widget-select-multiple select')[act];
        for (const option of select.options) option.selected = argument.includes(option.text);
        select.dispatchEvent(new Event('change', {bubbles: true}));
    }
    while (picture() === before) {
        if (performance.now() - began > 120000) throw new Error('nothing was drawn');
        await new Promise(requestAnimationFrame);
    }
    return performance.now() - began;
}
"""


def times(tab: Any, notebook: lab.Notebook, rounds: int) -> dict[str, Any]:
    """Return milliseconds of changes and of empty redraws, taken in turn."""

    def one(act: Any, argument: Any) -> float:
        took = float(tab.evaluate(WATCH, [act, argument]))
        notebook.wait()
        tab.wait_for_timeout(300)
        return took

    some, others = ["Q8_0", "Q4_0", "Q2_K"], ["F16", "Q6_K", "Q5_0"]
    found: dict[str, list[float]] = {name: [] for name in ("empty", *CONTROLS)}
    prompts = [f"p{number}" for number in range(16)]
    one("click", DETAILS[2])
    one("click", "empty redraw")
    for number in range(rounds):
        # Each choice is made once, so that nothing of it is kept from before.
        found["quants"].append(one(1, some if number % 2 else others))
        found["empty"].append(one("click", "empty redraw"))
        found["prompts"].append(one(2, [p for p in prompts if p != prompts[number]]))
        found["empty"].append(one("click", "empty redraw"))
        for name, act, argument in (
            ("pin_a", "run A", 20 + number), ("pin_b", "run B", 40 + number), ("brush", "slide", None),
            ("token", "token", 1 - number % 2), ("detail", "click", DETAILS[number % 2]),
        ):  # fmt: skip
            found[name].append(one(act, argument))
        one("click", DETAILS[2])
    result: dict[str, Any] = {f"{name}_ms": round(median(took), 1) for name, took in found.items()}
    for name in CONTROLS:
        result[f"{name}_over_empty"] = round(result[f"{name}_ms"] / result["empty_ms"], 2)
    return result


def measure(folder: Path, work: Path, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return how long changes take in a browser, of the data set in a folder; ``work`` is for notebook and server."""
    notebooks = work / "notebooks"
    notebooks.mkdir(parents=True)
    metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    write(
        v4.new_notebook(cells=[v4.new_code_cell(CELL.format(folder=str(folder)))], metadata=metadata),
        notebooks / "n.ipynb",
    )
    with (
        browser.browser() as chromium,
        lab.server(notebooks, work / "jupyter") as server,
        lab.tab(chromium, server) as tab,
    ):
        tab.set_viewport_size({"width": 1400, "height": 1500})
        notebook = lab.Notebook.open(tab, server, "n.ipynb")
        notebook.run_all(seconds=600)
        if errors := notebook.errors():
            raise AssertionError(errors)
        tab.wait_for_timeout(2000)
        return times(tab, notebook, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--tokens", type=int, nargs="+", default=SIZES)
    args = parser.parse_args()
    result: dict[str, Any] = {}
    for size in args.tokens:
        with tempfile.TemporaryDirectory() as text:
            made = quantiles.make(Path(text, "data"), size)
            result[f"{made}_tokens"] = measure(Path(text, "data"), Path(text), args.rounds)
            print(json.dumps(result, indent=1), flush=True)
    what = {
        "all": "milliseconds from a change in the page to the first new picture on the canvas; medians; in JupyterLab",
        "empty": "the same figure and axes with nothing in them, drawn and not laid out, by a button's click",
        "quants": "three of eight quantizations chosen", "prompts": "all prompts but one chosen",
        "pin_a": "another run A", "pin_b": "another run B", "brush": "one position less, by the keyboard",
        "token": "NLL instead of latency, or back", "detail": "Pareto front or stage profile, after the memory budget",
    }  # fmt: skip
    if args.out:
        record(
            args.out, {"what": what, **result}, "numpy", "pandas", "matplotlib", "ipympl", "ipywidgets", "jupyterlab"
        )


if __name__ == "__main__":
    main()
