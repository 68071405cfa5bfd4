"""What a person wants to see of a step, as Dagster metadata: tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; the columns are those of the first row."""
    if not rows:
        return "_nothing_"
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(c)) for c in columns) + " |" for row in rows]
    return "\n".join(lines)


def table(rows: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Rows as a table in the UI."""
    return dg.MetadataValue.md(markdown_table(rows))


def bar_plot(title: str, bars: Mapping[str, float]) -> dg.MarkdownMetadataValue:
    """Horizontal bars, largest on top as given: a funnel where the stages come in order."""
    figure, (axes,) = _figure(title, height=0.45 * max(len(bars), 2) + 1)
    names = list(bars)[::-1]
    drawn = axes.barh(names, [bars[n] for n in names], color="#3b6ea5")
    axes.bar_label(drawn, labels=[f"{bars[n]:,.0f}" for n in names], padding=4)
    axes.margins(x=0.18)
    axes.spines[["top", "right"]].set_visible(False)
    return _image(title, figure)


def line_plot(
    title: str, x_label: str, series: Mapping[str, Sequence[float]], marked: tuple[int, str] | None = None
) -> dg.MarkdownMetadataValue:
    """A panel per series over 1..n, each with a scale of its own; ``marked``: a place on the x axis and what it is."""
    figure, panels = _figure(title, height=3.4, columns=len(series))
    for axes, (name, values) in zip(panels, series.items(), strict=True):
        axes.plot(range(1, len(values) + 1), values, marker="o")
        axes.set_xlabel(x_label)
        axes.set_ylabel(name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if marked:
            axes.axvline(marked[0], color="grey", linestyle="--", label=marked[1])
            axes.legend(frameon=False)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return _image(title, figure)


def rounded(figure: float | None) -> float | None:
    """A figure as it is shown: to four significant digits."""
    return None if figure is None else float(f"{figure:.4g}")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _figure(title: str, height: float, columns: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, height), dpi=110, layout="constrained")
    figure.suptitle(title, x=0, ha="left")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _image(title: str, figure: Any) -> dg.MarkdownMetadataValue:
    from training.evaluation.plots import markdown_image

    return dg.MetadataValue.md(markdown_image(title, figure))
