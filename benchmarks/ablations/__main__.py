"""``python -m benchmarks.ablations``: run rows of the tables, then write the page."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.ablations.jobs import REPOSITORY, jobs_of
from benchmarks.ablations.report import write_page
from benchmarks.ablations.rows import ROWS, TABLES, rows_of
from benchmarks.ablations.schedule import Scope, comparable_index, run_jobs, write_index
from benchmarks.ablations.workspace import Workspace
from infra.settings import Settings
from orchestration.cli import use_shop
from orchestration.shop import Source, source


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 where a run failed."""
    given = _parser().parse_args(arguments)
    settings = use_shop(given.data, given.shop)
    seeds = list(dict.fromkeys(given.seeds))
    failed = not given.report_only and _run(settings, given, seeds)
    page = write_page(settings.home.expanduser().resolve(), Path(given.docs))
    print(f"wrote {page}")
    return int(failed)


def _run(settings: Settings, given: argparse.Namespace, seeds: list[int]) -> bool:
    judged = settings.landing if source(settings) is Source.JUDGED else None
    scope = Scope(given.validation_days, _changes(given), judged)
    workspace = Workspace(settings, scope.validation_days)
    workspace.prepare()
    rows = given.rows or rows_of(given.tables)
    failed = run_jobs(workspace, jobs_of(rows, seeds, scope.changes, workspace), scope, given.jobs, given.any_code)
    before = comparable_index(workspace, scope)
    planned = jobs_of(list(ROWS), sorted({*seeds, *before.seeds}), scope.changes, workspace)
    tables = [key for key in TABLES if key in before.tables or (key in given.tables and not given.rows)]
    command = shlex.join(["python", "-m", "benchmarks.ablations", *sys.argv[1:]])
    write_index(workspace, planned, scope, tables, command, given.any_code)
    for job in failed:
        print(f"failed: {job.row}, seed {job.seed}", file=sys.stderr)
    return bool(failed)


def _changes(given: argparse.Namespace) -> dict[str, Any]:
    changes = {} if given.epochs is None else {"epochs": given.epochs}
    for text in given.set:
        name, _, value = text.partition("=")
        try:
            changes[name] = json.loads(value)
        except json.JSONDecodeError:
            changes[name] = value
    return changes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__)
    parser.add_argument("--shop", help="name of the shop (default: as in `shelfwise run`)")
    parser.add_argument("--data", help="folder of its logs, or of a catalogue and judged queries")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=["recipes", "I", "II", "III"])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), metavar="NAME", help="these rows, not whole tables")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once, of one thread each")
    parser.add_argument("--epochs", type=int, help="most epochs of every row")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=JSON", help="training settings of every row")
    parser.add_argument("--validation-days", type=int, default=5, help="days after the cut (UEPPR: 5)")
    parser.add_argument("--any-code", action="store_true", help="keep results of other states of the code")
    parser.add_argument("--report-only", action="store_true", help="write the page of what is in place")
    parser.add_argument("--docs", default=str(REPOSITORY / "docs"), help="folder of the page")
    return parser


if __name__ == "__main__":
    sys.exit(main())
