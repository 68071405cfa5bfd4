"""A readiness report as one HTML page that loads nothing, in the look of the data checks' pages."""

from __future__ import annotations

from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from features.readiness.calendar import WEEKDAYS, weekday_means, weeks_of
from features.readiness.report import MINOR, Readiness
from features.readiness.shares import shares_of
from features.rebuilt_requests import rebuilt_told

MANY_WEEKS = 20
"""From so many weeks on the calendar's rows are narrow."""


def write_page(report: Readiness, path: Path) -> None:
    """Write the page; folders of it that are missing are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_page(report), encoding="utf-8")


def render_page(report: Readiness) -> str:
    """The page's HTML."""
    weeks, means = weeks_of(report.days), weekday_means(report.days)
    most = max((mean or 0 for mean in means), default=0) or 1
    return (
        _templates()
        .get_template("readiness.html")
        .render(
            report=report,
            weeks=weeks,
            narrow=len(weeks) >= MANY_WEEKS,
            weekdays=[(name, mean, (mean or 0) / most) for name, mean in zip(WEEKDAYS, means, strict=True)],
            shares=shares_of(report),
            minor=MINOR,
            rebuilt=rebuilt_told(report.rows.rebuilt_requests),
            troubled=[line for line in report.days if line.state in ("held", "failed", "left out")],
        )
    )


def short(n: float) -> str:
    """A count in at most four characters: 987, 1.2k, 34k, 5.6M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= size * 0.9995:
            value = n / size
            return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"
    return f"{n:.0f}"


def _templates() -> Environment:
    loader = ChoiceLoader([PackageLoader("features.readiness"), PackageLoader("features.quality")])
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"short": short}
    return templates
