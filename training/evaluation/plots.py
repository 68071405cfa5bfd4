"""Plots of an evaluation: methods with their intervals, overall and by slice."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.report import CONFIDENCE, MAIN_MEASURE, EvaluationReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = ("towers", "hybrid", "random walk", "bm25", "zero-shot")
"""Methods in the plot by slice; more are not told apart by eye."""

LEAST_REQUESTS = 30
"""A slice with fewer requests says too little to be drawn; the table has it."""


def methods_figure(report: EvaluationReport, measure: str = MAIN_MEASURE) -> Figure:
    """A point and its interval per method, in the order of the report."""
    figure, axes = _figure(0.38 * len(report.rows) + 1.2)
    figures = [row[measure] for row in report.rows]
    place = np.arange(len(figures))[::-1]
    values = np.array([f["value"] for f in figures])
    spread = np.abs(np.array([[f["low"], f["high"]] for f in figures]).reshape(-1, 2).T - values)
    axes.errorbar(values, place, xerr=spread, fmt="o", capsize=3, color="#3b6ea5")
    axes.set_yticks(place, report.methods)
    axes.set_title(f"{measure} of {report.requests:,} requests with {report.truth}", loc="left")
    axes.set_xlim(left=0)
    return figure


def slices_figure(report: EvaluationReport, measure: str = MAIN_MEASURE) -> Figure:
    """A point and its interval per method and slice of at least ``LEAST_REQUESTS``."""
    names = [name for name, part in report.slices.items() if part["requests"] >= LEAST_REQUESTS]
    methods = [m for m in SHOWN if m in report.methods]
    figure, axes = _figure(0.18 * len(names) * max(len(methods), 1) + 1.5)
    for number, method in enumerate(methods):
        figures = [next(r for r in report.slices[n]["rows"] if r["method"] == method)[measure] for n in names]
        values = np.array([f["value"] for f in figures])
        spread = np.abs(np.array([[f["low"], f["high"]] for f in figures]).reshape(-1, 2).T - values)
        place = np.arange(len(names))[::-1] + 0.3 - 0.6 * number / max(len(methods) - 1, 1)
        axes.errorbar(values, place, xerr=spread, fmt="o", markersize=4, capsize=2, label=method)
    labels = [f"{name} ({report.slices[name]['requests']:,})" for name in names]
    axes.set_yticks(np.arange(len(names))[::-1], labels)
    axes.set_title(f"{measure} by slice (requests)", loc="left")
    axes.set_xlim(left=0)
    if methods and names:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def reliability_figure(report: EvaluationReport) -> Figure | None:
    """Chance of a click that answers tell against the share that came, a point per bin; None where none is told."""
    told = report.measured.get(CONFIDENCE, {})
    if not told.get("bins"):
        return None
    figure, axes = _figure(4.5)
    predicted, observed, low, high, requests = (
        np.array([part[name] for part in told["bins"]]) for name in ("predicted", "observed", "low", "high", "requests")
    )
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    axes.errorbar(
        predicted, observed, yerr=np.array([observed - low, high - observed]), fmt="o", capsize=3, color="#3b6ea5"
    )
    for x, y, count in zip(predicted, high, requests, strict=True):
        axes.annotate(f"{count:,}", (x, y), ha="center", va="bottom", fontsize=7)
    axes.set_xlabel("predicted chance of a click among the first ten")
    axes.set_ylabel("observed share of requests")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_title(f"{told['requests']:,} requests, expected calibration error {told['error']:.3f}", loc="left")
    return figure


def markdown_image(title: str, figure: Figure) -> str:
    """A figure as Markdown that needs no file: PNG in a data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"![{title}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')})"


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
