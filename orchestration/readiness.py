"""``shelfwise check``: a shop's data judged before a run, on the terminal, as a page, as JSON."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from demoshop.judgements import read_judgements
from features.landing import LandingError
from features.readiness import Readiness, assess
from features.readiness.calendar import WEEKDAYS, weekday_means
from features.readiness.report import MINOR, DayLine
from features.readiness.shares import shares_of
from infra.settings import Settings
from orchestration.data_lines import catalog_lines, log_lines
from orchestration.shop import Source, claim_shop, source

COLOURS = {"ready": "green", "ready with gaps": "yellow", "a run would stop": "red"}
STEPS = "▁▂▃▄▅▆▇█"
STRIP_DAYS = 70
"""Days that a line of the terminal shows as bars; of more, the last ones."""


@dataclass(frozen=True)
class Checked:
    """A report, and the lines that a run would print of what it read."""

    report: Readiness
    lines: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """1 where a run would stop."""
        return 1 if self.report.stops else 0


def check_shop(
    settings: Settings, sample: float | int | None = None, progress: Callable[[str, float], None] | None = None
) -> Checked:
    """Read ``settings.landing`` into a home that is removed at the end, and judge it."""
    with tempfile.TemporaryDirectory(prefix="shelfwise-check-") as home:
        apart = settings.model_copy(update={"home": Path(home), "shop": settings.shop_name})
        judged, wrong = _judgements(settings)
        report = assess(apart, sample=sample, judged=judged, progress=progress)
        stops = (*_claimed(settings), *wrong, *report.stops)
        lines: list[str] = []
        if report.catalog:
            lines += catalog_lines(apart)
        if report.read and not report.judged:
            lines += log_lines(apart, report.days[0].day, report.days[-1].day)
    return Checked(replace(report, stops=stops), tuple(lines))


def _judgements(settings: Settings) -> tuple[str, list[str]]:
    """What the judgements beside a catalogue are, and what is wrong with them."""
    if settings.landing is None or source(settings) is not Source.JUDGED:
        return "", []
    told = "A catalogue with human judgements: the demo shop makes the sessions, and a release is judged by both."
    try:
        judged = read_judgements(Path(settings.landing) / "qrels.tsv")
    except ValueError as error:
        return told, [str(error)]
    queries = judged["query"].combine_chunks()
    return f"{told} {judged.num_rows:,} judgements of {len(queries.unique()):,} queries.", []


def _claimed(settings: Settings) -> list[str]:
    """Why the shop's folder may not take these logs."""
    if not (settings.paths.root / "shop.json").exists():
        return []
    try:
        claim_shop(settings, settings.landing)
    except LandingError as error:
        return [str(error)]
    return []


def print_check(console: Console, checked: Checked) -> None:
    """The verdict, the days, what was read, what meets what, what the data can feed, and what is missing."""
    report = checked.report
    colour = COLOURS[report.verdict]
    read = f", {len(report.read)} of {len(report.days)} days read" if report.days else ""
    console.print(f"\n[bold {colour}]{report.verdict.capitalize()}[/]  {escape(report.landing)}{read}", highlight=False)
    if report.judged:
        console.print(Text(report.judged))
    for stop in report.stops:
        console.print(Text.assemble(("Stops  ", "bold red"), stop), soft_wrap=True)
    console.print()
    if report.read:
        console.print(_strip(report.days))
    for line in checked.lines:
        console.print(Text(line), soft_wrap=True)
    if report.joins and report.joins.requests:
        console.print()
        console.print(_shares(report))
    if report.parts:
        console.print()
        console.print(_parts(report))
    if report.gaps:
        console.print("\n[bold]Missing, the most important first[/]")
        for number, gap in enumerate(report.gaps, start=1):
            console.print(Text(f"{number:>2}  {gap.what}", style="bold" if gap.weight >= MINOR else ""))
            for text in (Text(gap.cost, style="dim"), Text(f"→ {gap.remedy}")):
                console.print(Padding(text, (0, 0, 0, 4), expand=False))
    if report.sampled:
        console.print("\nA sample of the days: one that was not read may be held. Without --sample all are read.")
    console.print()


def _strip(days: tuple[DayLine, ...]) -> Text:
    """Requests a day as bars, a held or failed day in red, one without logs as a blank; then the mean by weekday."""
    shown = days[-STRIP_DAYS:]
    most = max((line.requests for line in shown), default=0)
    strip = Text(f"{shown[0].day} ")
    for line in shown:
        if line.state == "not read":
            strip.append("·", "dim")
        elif line.state == "left out":
            strip.append("x", "red")
        else:
            bar = STEPS[round((len(STEPS) - 1) * line.requests / max(most, 1))]
            strip.append(bar, "" if line.state == "read" else "red")
    strip.append(f" {shown[-1].day}  requests a day, at most {most:,}")
    means = [
        f"{name} {mean:,.0f}" for name, mean in zip(WEEKDAYS, weekday_means(days), strict=True) if mean is not None
    ]
    return strip.append(f"\nMean by weekday: {', '.join(means)}.") if means else strip


def _parts(report: Readiness) -> Table:
    table = Table.grid(padding=(0, 2))
    for state, style in (("on", "green"), ("weak", "yellow"), ("off", "dim")):
        for part in report.parts:
            if part.state == state:
                table.add_row(Text(state, style), part.name, Text(part.why, "dim"))
    return table


def _shares(report: Readiness) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    table.add_column()
    for share in shares_of(report):
        if share.ratio.whole:
            style = "bold yellow" if share.low else ""
            table.add_row(Text(share.ratio.percent, style), f"of {share.ratio.whole:,}", f"{share.of} {share.what}")
    return table
