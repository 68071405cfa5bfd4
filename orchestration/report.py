"""What the command line prints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from features.landing import landing_url
from infra.settings import Settings
from orchestration.catalog_release import is_catalog_release
from orchestration.data_lines import catalog_lines, log_lines, unread_lines
from orchestration.loop import LoopOutcome
from orchestration.releases import read_verdict
from orchestration.samples import SideBySide, side_by_side
from orchestration.shop import shop_settings
from serving import Retriever
from serving.index import live_release_id
from training.evaluation import EvaluationReport, as_text


def print_outcome(console: Console, outcome: LoopOutcome) -> None:
    """Seconds per step and what was read; then what failed, or the evaluation and a query as three users see it."""
    window = f"{outcome.days[0]} to {outcome.days[1]}" if outcome.days else "the catalogue alone"
    steps = Table(title=f"Run {outcome.run_id[:8]}, {window}", title_justify="left")
    steps.add_column("step")
    steps.add_column("status")
    steps.add_column("seconds", justify="right")
    for step in outcome.steps:
        steps.add_row(step.name, step.status, f"{step.seconds:.1f}")
    steps.add_row("all", "", f"{sum(s.seconds for s in outcome.steps):.1f}", style="bold")
    console.print(steps)
    settings = shop_settings()
    done = {step.name for step in outcome.steps if step.status == "success"}
    for line in [
        *(catalog_lines(settings) if "catalog" in done else []),
        *(log_lines(settings, *outcome.days) if outcome.days and "sessions" in done else []),
        *(unread_lines(settings, []) if outcome.days is None else []),
    ]:
        console.print(Text(line), soft_wrap=True)
    if not outcome.success:
        for sentence in outcome.failures:
            console.print(f"[bold red]Stopped[/] {escape(sentence)}", soft_wrap=True)
        live = live_release_id(settings)
        console.print(_live_told(settings, live) if live else "Nothing is live.", soft_wrap=True)
        return
    if outcome.days is None:
        print_catalog_alone(console, settings)
        return
    with Retriever(settings) as retriever:
        print_evaluation(console, settings, retriever.release_id)
        gates = {gate.name: gate for gate in read_verdict(settings, retriever.release_id).gates}
        if (against := gates.get("recall against live")) and against.figures:
            console.print(f"Against what was live: {escape(against.reason)}", soft_wrap=True)
        print_side_by_side(console, side_by_side(settings, retriever))
    console.print(f"Live: release [bold]{live_release_id(settings)}[/] of shop {escape(settings.shop_name)}.")


def _live_told(settings: Settings, live: str) -> str:
    if is_catalog_release(settings, live):
        return f"Live: release {live}, the catalogue alone, by {_found_by(settings)}."
    return f"Live is as it was: {live}."


def _found_by(settings: Settings) -> str:
    """What a release of the catalogue alone finds items by."""
    return "BM25" if settings.training.text_encoder == "none" else "a pretrained text encoder and BM25"


def print_catalog_alone(console: Console, settings: Settings) -> None:
    """What serves a shop without a log, and how it gets one."""
    live = live_release_id(settings)
    if live is None:
        console.print("[bold red]Nothing is live[/]: no item of the catalogue has a text to be found by.")
        return
    if not is_catalog_release(settings, live):
        console.print(f"{escape(landing_url(settings))} holds no day of logs that is over. Live is as it was: {live}.")
        return
    console.print(
        f"{escape(landing_url(settings))} holds no day of logs that is over: the catalogue alone serves, by"
        f" {_found_by(settings)}, the same for everybody who searches. With a day of logs (dt=YYYY-MM-DD) in there,"
        " a run learns from it;"
        " `shelfwise serve --log` writes one of what is searched and chosen.",
        soft_wrap=True,
    )
    console.print(f"Live: release [bold]{live}[/] of shop {escape(settings.shop_name)}.")


def print_evaluation(console: Console, settings: Settings, release_id: str) -> None:
    """The release's own evaluation, as it was written with it, and the judgements where the shop has some."""
    stored = json.loads((settings.paths.releases / release_id / "evaluation.json").read_text(encoding="utf-8"))
    report = EvaluationReport.from_json(stored)
    if not report.rows:
        console.print(_live_told(settings, release_id), soft_wrap=True)
        return
    measures = ("recall@10", "recall@100")
    console.print(
        rows_table(
            f"{report.truth.capitalize()} of {report.requests:,} later requests, found among {report.items:,} items",
            [{c: row[c] for c in ("method", *measures)} for row in report.table()],
        )
    )
    shown = ("slice", "requests", "served", "towers", "hybrid", "bm25", "random walk")
    slices = [{c: row[c] for c in shown if c in row} for row in report.slice_table()]
    if slices:
        console.print(rows_table("recall@100 by slice", slices))
    judged = settings.paths.reports / "judged.json"
    if judged.exists():
        rows = json.loads(judged.read_text(encoding="utf-8"))["rows"]
        console.print(rows_table("Against the human judgements, on queries that nobody searched", as_text(rows)))


def rows_table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows as a table for the terminal; the columns are those of the first row."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(rows[0]):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(Text(f"{v:.3f}" if isinstance(v, float) else str(v)) for v in row.values()))
    return table


def print_side_by_side(console: Console, sample: SideBySide) -> None:
    """The same query for two users and for an unknown one."""
    table = Table(title=Text(f"“{sample.query}”", "table.title"), title_justify="left")
    table.add_column("", justify="right")
    for name, history in sample.users:
        table.add_column(Text.assemble(name, "\n", (history, "dim")), ratio=1)
    for rank, titles in enumerate(zip(*sample.columns, strict=True), start=1):
        table.add_row(str(rank), *map(Text, titles))
    console.print(table)
