"""Run a notebook on a data set and write report.html, results.json and the executed notebook.

  edgeprof report compare_quantizations data --out report
  edgeprof report --list                       the notebooks, and the parameters of each
  edgeprof report inspect_run data --out report -p prompt=lost-kite

The page opens offline. A parameter that the notebook does not have, or a value of another type, is an error.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("notebook", nargs="?", metavar="NOTEBOOK", help="its name, or a path to an .ipynb")
    parser.add_argument("data", nargs="?", metavar="DATA", help="the data set (the notebook's parameter `data`)")
    parser.add_argument("--out", type=Path, default=Path("report"), metavar="DIR", help="folder (default: report)")
    parser.add_argument("-p", dest="parameter", action="append", default=[], metavar="NAME=VALUE", help="a parameter")
    parser.add_argument("--list", action="store_true", help="list the notebooks and their parameters")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.errors import UsageError
    from edgeprof.report import find_notebook, list_notebooks, make_report, parameters_of

    if args.list:
        for name, path in list_notebooks().items():
            print(name)
            for p in parameters_of(path).values():
                print(f"  -p {p.name}={p.default}   ({p.type}) {p.help}")
        return 0
    if args.notebook is None:
        raise UsageError("Which notebook? `edgeprof report --list` names them.")
    given: dict[str, str] = {"data": args.data} if args.data else {}
    for pair in args.parameter:
        if "=" not in pair:
            raise UsageError(f"-p takes NAME=VALUE, not {pair!r}.")
        given |= [pair.split("=", 1)]
    report = make_report(find_notebook(args.notebook), args.out, given)
    print(f"{report.html}\n{report.results}")
    return 0
