"""What a training set would hold, without its features: windows, requests that stay, stages of their rows."""

from __future__ import annotations

from collections import Counter

from features.engine import open_engine
from features.readiness.report import Learning
from features.request_chunks import Tally, open_sources, staged_chunks
from features.split import window_split
from features.training_set import SPLITS, batches_of_days, days_of, too_few
from infra.contract.errors import TrainingSetError
from infra.contract.tables import STAGES
from infra.settings import Settings

LOGGED = tuple(stage for stage in STAGES if stage != "random")

_BY_REQUEST = """
WITH led AS (
    SELECT split, bool_or(clicked) AS clicked, bool_or(ordered) AS ordered, bool_or(NOT clicked) AS unclicked
    FROM staged JOIN useful USING (query_id) GROUP BY query_id, split
)
SELECT split, count(*) FILTER (clicked), count(*) FILTER (ordered), count(*) FILTER (clicked AND unclicked),
    count(*) FILTER (ordered AND unclicked)
FROM led GROUP BY split
"""
_BY_STAGE = "SELECT split, stage, count(*) FROM staged JOIN useful USING (query_id) GROUP BY ALL"


def what_can_be_learned(settings: Settings) -> Learning:
    """Count the requests and rows that the training set of the accepted days would have, by its own rules.

    Raises:
        TrainingSetError: there could be no training set; the sentence is the one that a run stops with.
    """
    try:
        split = window_split(settings)
    except ValueError as error:
        raise TrainingSetError(str(error)) from error
    tally, rows = Tally(), Counter[tuple[str, str]]()
    names = ("clicked", "ordered", "clicked_and_unclicked", "ordered_and_unclicked")
    counted = {name: Counter[str]() for name in names}
    with open_engine(settings) as engine:
        sources = open_sources(engine, settings, split)
        for days in batches_of_days(settings, days_of(settings, split)):
            for _ in staged_chunks(sources, days, tally):
                for of_split, n in engine.con.execute("SELECT split, count(*) FROM useful GROUP BY split").fetchall():
                    tally.requests[of_split] += n
                for of_split, stage, n in engine.con.execute(_BY_STAGE).fetchall():
                    rows[of_split, stage] += n
                for of_split, *numbers in engine.con.execute(_BY_REQUEST).fetchall():
                    for name, n in zip(names, numbers, strict=True):
                        counted[name][of_split] += n
    if not all(tally.requests[name] for name in SPLITS):
        raise TrainingSetError(too_few(split, tally))
    return Learning(
        requests={name: tally.requests[name] for name in SPLITS},
        rows={name: {stage: rows[name, stage] for stage in LOGGED} for name in SPLITS},
        dropped={name: n for name, n in tally.dropped.items() if n},
        **{name: {part: counts[part] for part in SPLITS} for name, counts in counted.items()},
    )
