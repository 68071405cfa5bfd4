"""An import on the terminal: how far it is, what each event became, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from features.adapters.run import Imported, import_logs
from features.readiness.report import counted


def import_and_print(console: Console, source: str, files: list[str], to: Path, **how: Any) -> Imported:
    """``import_logs`` with a progress bar, and its outcome printed; ``how``: its keyword arguments."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("opening", total=None)

        def tell(sentence: str, share: float | None) -> None:
            bar.update(task, description=escape(sentence), total=None if share is None else 1.0, completed=share or 0.0)

        outcome = import_logs(source, files, to, progress=tell, **how)
    print_import(console, outcome, to)
    return outcome


def print_import(console: Console, outcome: Imported, to: Path) -> None:
    """The table of what became what, the days, the notes and the next commands."""
    table = Table("event", "became", "rows", "written", box=None, header_style="bold")
    for event, became, rows, made in outcome.became:
        table.add_row(escape(event), escape(became), f"{rows:,}", f"{made:,}" if made else "")
    for column in table.columns[2:]:
        column.justify = "right"
    console.print(table)
    written = outcome.written
    console.print(
        f"{outcome.rows_in:,} rows read, {outcome.left_out:,} of them left out as the table says.", highlight=False
    )
    if written.outside:
        console.print(f"{written.outside:,} rows made of them are of days that were not asked for.", highlight=False)
    if written.days:
        days = sorted(written.days)
        sums = {name: sum(rows.get(name, 0) for rows in written.days.values()) for name in ("queries", "events")}
        told = ", ".join(f"{counted(rows, 'row')} of {name}" for name, rows in sums.items())
        console.print(
            f"{to}: {counted(len(days), 'day')} from {days[0]} to {days[-1]}, {told}.", highlight=False, soft_wrap=True
        )
    if written.catalog is not None:
        console.print(f"{to}/catalog.parquet: {written.catalog:,} rows.", highlight=False, soft_wrap=True)
    for note in outcome.notes:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)
    if not outcome.succeeded:
        what = "Nothing was" if written.catalog is None else "No day was"
        console.print(f"[red]{what} written.[/] The table says what became of each row.")
    if written.days or written.catalog is not None:
        console.print(f"Next: shelfwise check {to}, then shelfwise run --data {to}", highlight=False, soft_wrap=True)
