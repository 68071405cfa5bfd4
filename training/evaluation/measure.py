"""Measure methods on the same rows: orders of validation requests, over the whole catalogue of their time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.progress import Progress
from infra.settings import Settings, TrainingSettings
from training.data.arrays import Arrays, prepare_arrays
from training.data.held_out import stopping_and_judging
from training.data.propensities import log_propensities
from training.evaluation.intervals import QUANTILES, RESAMPLES, difference_rows, summary_rows
from training.evaluation.live import LIVE, NotComparable, read_live
from training.evaluation.methods import (
    BOOSTED,
    SERVED,
    TOWERS,
    WITHOUT_USERS,
    Searches,
    nightly_methods,
    searches_of,
)
from training.evaluation.metrics import DEPTH, MEASURES, Values
from training.evaluation.reliability import measured_confidence
from training.evaluation.report import (
    CONFIDENCE,
    MAIN_MEASURE,
    PERSONALIZATION_MEASURES,
    POSITIONS,
    EvaluationReport,
    write_evaluation,
)
from training.evaluation.slices import slices_of
from training.evaluation.values import Clock, values_of
from training.release.manifest import is_catalog_alone
from training.run.candidate import QUALITY_PRIOR, RANKER, load_candidate, load_prior
from training.run.ranking import load_ranker, second_stage

I64 = NDArray[np.int64]
DAY = int(timedelta(days=1).total_seconds() * 1e6)
ALL_ITEMS = "all items"


def evaluate(
    settings: Settings,
    candidate_dir: Path,
    methods: Sequence[str] | None = None,
    progress: Progress | None = None,
    live: Path | None = None,
) -> EvaluationReport:
    """Measure a candidate, the baselines and the release that serves, and write the report beside the candidate.

    Args:
        methods: names of :data:`training.evaluation.ALL` (default: those of every night);
        live: folder of the live release; where it cannot be compared, the report says why.

    Raises:
        FileNotFoundError: there is no candidate.
        ValueError: no validation request has an order or a click, or a method is not known.
    """
    towers = load_candidate(candidate_dir)
    arrays = prepare_arrays(settings)
    prior = load_prior(candidate_dir) if (candidate_dir / QUALITY_PRIOR).exists() else None
    ranker = load_ranker(candidate_dir) if (candidate_dir / RANKER).exists() else None
    names = list(methods or nightly_methods(settings.training, arrays, prior, ranker))
    stage = cache(lambda: second_stage(settings, arrays, towers, prior))
    searches = searches_of(settings, arrays, towers, prior, ranker, stage)
    told: dict[str, Any] = {"release": live.name if live else None, "left_out": None if live else "nothing is live"}
    if live is not None:
        try:
            own = read_live(settings, arrays, live)
            told["catalog_alone"] = is_catalog_alone(live)
            searches = searches.with_method(LIVE, lambda: own.method(settings))
            names.append(LIVE)
        except NotComparable as error:
            told["left_out"] = str(error)
    report = measure(arrays, settings.training, searches, names, progress)
    looks = log_propensities(arrays, settings.training.unclicked_per_request)
    positions = {"reason": looks} if isinstance(looks, str) else looks.to_json()
    measured = {**report.measured, LIVE: told, POSITIONS: positions}
    if ranker is not None and ranker.chance is not None:
        measured[CONFIDENCE] = measured_confidence(stage(), ranker.chance, settings.training.seed)
    report = replace(report, measured=measured)
    write_evaluation(report, candidate_dir)
    return report


def measure(
    arrays: Arrays,
    settings: TrainingSettings,
    searches: Searches,
    names: Sequence[str],
    progress: Progress | None = None,
) -> EvaluationReport:
    """Measure the methods ``names`` on the validation requests that judge (:mod:`training.data.held_out`).

    Figures are means of the means of each day after the cut.

    Raises:
        ValueError: no validation request has an order or a click, or a method is not known.
    """
    clock = Clock()
    truth, requests = judging_requests(arrays)
    wanted = (arrays.ordered if truth == "orders" else arrays.clicked).take(requests)
    slices = slices_of(arrays, requests, wanted)
    truths = {ALL_ITEMS: wanted} | {name: part.wanted for name, part in slices.items() if part.wanted is not None}
    values = values_of(searches, names, requests, truths, clock, progress)
    day, labels = following_days(arrays, requests)
    user = arrays.request_user[requests].astype(np.int64)
    user = np.where(user >= 0, user, user.max(initial=0) + 1 + np.arange(len(user)))  # unknown: each somebody else
    serving = next(name for name in (SERVED, BOOSTED, TOWERS) if name in names or name == TOWERS)

    def part(chosen: NDArray[np.bool_], of: Mapping[str, Values]) -> dict[str, Any]:
        kept = {method: {name: v[chosen] for name, v in per_measure.items()} for method, per_measure in of.items()}
        return {
            "requests": int(chosen.sum()),
            "users": len(np.unique(user[chosen])),
            "rows": summary_rows(kept, day[chosen], settings.seed, user[chosen]),
            "differences": difference_rows(kept, serving, MAIN_MEASURE, day[chosen], settings.seed, user[chosen]),
        }

    with clock.on("intervals"):
        whole = part(np.ones(len(requests), dtype=np.bool_), values[ALL_ITEMS])
        return EvaluationReport(
            truth=truth,
            **whole,
            items=arrays.items,
            personalization={
                method: {
                    name: difference_rows(
                        {one: values[ALL_ITEMS][one] for one in (method, nobody)},
                        method,
                        name,
                        day,
                        settings.seed,
                        user,
                    )[nobody]
                    for name in PERSONALIZATION_MEASURES
                }
                for method, nobody in WITHOUT_USERS.items()
                if {method, nobody} <= set(names)
            },
            slices={name: part(s.requests, values.get(name, values[ALL_ITEMS])) for name, s in slices.items()},
            days=[
                {"day": label, **part(day == number, values[ALL_ITEMS])}
                for number, label in enumerate(labels)
                if (day == number).any()
            ],
            measured={
                "measures": list(MEASURES),
                "depth": DEPTH,
                "average": "mean of the means of each day",
                "interval": {
                    "quantiles": list(QUANTILES),
                    "resamples": RESAMPLES,
                    "drawn": "users",
                    "seed": settings.seed,
                },
                "cut": _iso(arrays.cut),
                "end": _iso(arrays.end),
            },
            seconds=clock.seconds,
            serving=serving,
        )


def judging_requests(arrays: Arrays) -> tuple[str, I64]:
    """``orders`` and the judging requests that have one, or ``clicks`` and those with a click.

    Raises:
        ValueError: there are none of either.
    """
    _, judging = stopping_and_judging(arrays)
    for truth, stage in (("orders", arrays.ordered), ("clicks", arrays.clicked)):
        requests = judging[stage.lengths[judging] > 0]
        if len(requests):
            return truth, requests
    raise ValueError("no validation request has an order or a click: the log is too short to evaluate on")


def following_days(arrays: Arrays, requests: I64) -> tuple[I64, list[str]]:
    """The day after the cut of each request [n], and when each of these days begins.

    Days are counted from the cut; an end that is less than half a day belongs to the day before.
    """
    days = max(1, round((arrays.end - arrays.cut) / DAY))
    since = (arrays.request_time[requests] - arrays.cut) // DAY
    return np.clip(since, 0, days - 1), [_iso(arrays.cut + d * DAY) for d in range(days)]


def _iso(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="minutes")
