"""A point and its interval per line of a table, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.ablations.statistics import Estimate


def write_plot(path: Path, title: str, lines: Sequence[tuple[str, Estimate]], reference: str) -> None:
    """Write a plot of estimates; the reference's value is a line through all. The same figures give the same file."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "shelfwise"}):
        figure = Figure(figsize=(8, 0.3 * len(lines) + 1.1), layout="constrained")
        axes = figure.subplots()
        place = np.arange(len(lines))[::-1]
        values = np.array([e.value for _, e in lines])
        spread = np.abs(np.array([[e.low, e.high] for _, e in lines]).reshape(-1, 2).T - values)
        axes.errorbar(values, place, xerr=spread, fmt="o", markersize=4, capsize=2, color="#3b6ea5")
        for name, found in lines:
            if name == reference:
                axes.axvline(found.value, color="#999999", linewidth=0.8, linestyle="--")
        axes.set_yticks(place, [name for name, _ in lines])
        axes.set_title(title, loc="left", fontsize=10)
        axes.grid(axis="x", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})
