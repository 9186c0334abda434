"""Run a notebook on a data set and write report.html, results.json and the executed notebook.

  edgeprof report compare_quantizations data --out report
  edgeprof report --list                       the notebooks, and the parameters of each
  edgeprof report inspect_run data --out report -p prompt=lost-kite
  edgeprof report --matrix reports.yaml --out reports       many at a time, and a page over all of them
  edgeprof report --index reports                           that page anew, of all reports in a folder
  edgeprof report --leaderboard data --out board            models x quantizations, ranked on each board

Pages open offline. A parameter that the notebook does not have, or a value of another type, is an error.
docs/reports.md describes the files.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprof.reporting import Outcome


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("notebook", nargs="?", metavar="NOTEBOOK", help="its name, or a path to an .ipynb")
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="what it reads: a data set (its parameter `data`), or evidence of a build (`reports`)",
    )
    parser.add_argument("--out", type=Path, default=Path("report"), metavar="DIR", help="folder (default: report)")
    parser.add_argument("-p", dest="parameter", action="append", default=[], metavar="NAME=VALUE", help="a parameter")
    parser.add_argument("--list", action="store_true", help="list the notebooks and their parameters")
    parser.add_argument("--json", action="store_true", help="with --list: for programs")
    parser.add_argument("--matrix", type=Path, metavar="FILE.yaml", help="make a report for each set of parameters")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="reports at a time (default: one a core)")
    parser.add_argument("--index", type=Path, metavar="DIR", help="write a page over all reports in a folder")
    parser.add_argument(
        "--leaderboard", metavar="DATA", help="rank the model files of a data set, or of a folder of reports"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.errors import CellError, UsageError

    _refuse_mixed(args)
    if args.list:
        return _list(args.json)
    if args.matrix:
        return _matrix(args.matrix, args.out, args.jobs)
    if args.index:
        return _index(args.index, args.leaderboard)
    if args.leaderboard is not None:
        return _leaderboard(args.leaderboard, args.out)
    if args.notebook is None:
        raise UsageError("Which notebook? `edgeprof report --list` names them.")
    from edgeprof.parameters import parameters_of, source_of
    from edgeprof.report import find_notebook, make_report

    notebook = find_notebook(args.notebook)
    given: dict[str, str] = {source_of(parameters_of(notebook)): args.data} if args.data else {}
    for pair in args.parameter:
        if "=" not in pair:
            raise UsageError(f"-p takes NAME=VALUE, not {pair!r}.")
        given |= [pair.split("=", 1)]
    try:
        report = make_report(notebook, args.out, given)
    except CellError as error:
        from edgeprof.cli.cell_failure import tell

        return tell(error)
    print(f"{report.html}\n{report.results}")
    return 0


def _refuse_mixed(args: argparse.Namespace) -> None:
    """Refuse two things at once, of which one would silently not be done."""
    from edgeprof.errors import UsageError

    board = args.leaderboard is not None and not args.index
    asked = {"--list": args.list, "--matrix": args.matrix, "--index": args.index, "--leaderboard": board}
    named = [option for option, given in asked.items() if given]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} are two things: ask for one at a time.")
    if named and (args.notebook or args.parameter):
        raise UsageError(f"{named[0]} takes no notebook and no -p; give them without {named[0]}, or in the matrix.")
    if args.json and not args.list:
        raise UsageError("--json is for --list; a report's figures are in its results.json.")
    if args.jobs and not args.matrix:
        raise UsageError("--jobs is for --matrix: a single report is one process.")


def _list(as_json: bool) -> int:
    from edgeprof.display import text_table
    from edgeprof.parameters import list_notebooks, literal, parameter_table

    table = parameter_table(list_notebooks().values())
    if as_json:
        rows = [row | {"default": literal(row["default"])} for row in table.to_dict("records")]
        print(json.dumps(rows, indent=1))
    else:
        print(text_table(table))
    return 0


def _matrix(file: Path, out: Path, jobs: int) -> int:
    from tqdm import tqdm

    from edgeprof.cli.cell_failure import annotate
    from edgeprof.display import terminal_text
    from edgeprof.errors import CellError
    from edgeprof.matrix import load_matrix
    from edgeprof.report_index import write_index
    from edgeprof.reporting import make_reports

    planned = load_matrix(file)
    with tqdm(total=len(planned), unit="report", disable=None, desc="reports") as bar:

        def done(outcome: Outcome) -> None:
            bar.update()
            if outcome.error is not None:
                said = " ".join(str(outcome.error).split())
                tqdm.write(f"edgeprof: {outcome.planned.slug}: {terminal_text(said, 2000)}", file=sys.stderr)
                if isinstance(outcome.error, CellError):
                    annotate(outcome.error)

        outcomes = make_reports(planned, out, jobs=jobs, on_done=done)
    sets = {str(one.parameters.get("data", "")) for one in planned}
    made = write_index(out, sets.pop() if len(sets) == 1 else None)
    failed = [o.error for o in outcomes if o.error is not None]
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} reports made\n{made}")
    return max((error.exit_code for error in failed), default=0)


def _index(folder: Path, data: str | None) -> int:
    from edgeprof.report_index import write_index

    print(write_index(folder, data, strict=True))
    return 0


def _leaderboard(data: str, out: Path) -> int:
    from edgeprof.leaderboard_page import write_leaderboard

    print(*write_leaderboard(data, out), sep="\n")
    return 0
