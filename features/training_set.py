"""The training set: rows (request, item, stage) with features as of the request's time.

It is built beside the one in place and moved there whole. ``split.json`` is written last, so that a folder that has
it is a whole set.
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from features.engine import open_engine
from features.split import Split, window_split
from features.training_rows import (
    LostRowsError,
    Sources,
    Tally,
    items_of_catalog,
    repeated_ids,
    training_days,
)
from infra.contract.errors import TrainingSetError
from infra.contract.partitions import partition_file, write_json, write_parquet, write_partition, written_days
from infra.contract.tables import STAGES, TRAINING_ITEMS, TRAINING_REQUESTS, TRAINING_ROWS
from infra.settings import Settings

IMPRESSIONS_PER_JOIN = 500_000
"""Days are built together up to so many impressions: a point-in-time join reads all features, however few its rows."""
SPLITS = ("train", "validation")

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class TrainingSetReport:
    """What the training set holds, and what was kept out of it."""

    split: Split
    first_request: datetime
    """The train window may begin before the log does."""
    requests: dict[str, int]
    """Requests by split."""
    rows: dict[str, dict[str, int]]
    """Rows by split and stage."""
    share_unclicked: float
    """Unclicked rows among those that were shown or clicked."""
    cold_start: dict[str, int]
    """Requests, by split, of users of whom nothing was known."""
    dropped: dict[str, int]
    """Kept out: requests with an ``empty_query``, known only after their window (``late_requests``), with an id that
    another has too (``repeated_ids``) or that led to no item of the catalogue (``without_items``), and rows of items
    that it does not know (``unknown_item_rows``)."""


def build_training_set(settings: Settings, progress: Progress | None = None) -> TrainingSetReport:
    """Replace the training set by one of the accepted days and the features in place.

    ``training_set/{requests,rows}`` get a partition per landing day of the requests; ``items.parquet`` says from when
    on each item could be found. Labels of train rows are of what was known before the cut, those of validation rows of
    what was known before the end.

    Raises:
        TrainingSetError: there is no accepted day, a window has no request, or a join lost rows.
        FileNotFoundError: the catalogue was not built yet.
    """
    try:
        split = window_split(settings)
    except ValueError as error:
        raise TrainingSetError(str(error)) from error
    target = settings.paths.training_set
    building = target.with_name(f".{target.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    days, tally = days_of(settings, split), Tally()
    with open_engine(settings) as engine:
        items, repeated = items_of_catalog(engine, settings), repeated_ids(engine, settings)
        sources, done = Sources(engine, settings, split, items, repeated), 0
        write_parquet(building / "items.parquet", items.sort_by("item_id"), TRAINING_ITEMS)
        for batch in batches_of_days(settings, days):
            try:
                for part in training_days(sources, batch, tally):
                    write_partition(building / "requests", part.day, part.requests, TRAINING_REQUESTS)
                    write_partition(building / "rows", part.day, part.rows, TRAINING_ROWS)
            except LostRowsError as error:
                raise TrainingSetError(str(error)) from error
            done += len(batch)
            if progress:
                progress(f"{tally.rows.total():,} training rows up to {batch[-1]}", done / len(days))
    report = _report(split, tally)
    write_json(building / "split.json", asdict(split) | {"requests": report.requests, "rows": report.rows})
    _move_into_place(building, target)
    return report


def days_of(settings: Settings, split: Split) -> list[date]:
    """Landing days that can hold requests of the split: a row may be later than the day that it landed in."""
    first = split.train_start - settings.raw.ahead_window - timedelta(days=1)
    return [day for day in written_days(settings.paths.sessions / "requests") if day >= first.date()]


def batches_of_days(settings: Settings, days: list[date]) -> Iterator[list[date]]:
    """``days`` in runs of about ``IMPRESSIONS_PER_JOIN`` impressions."""
    batch: list[date] = []
    held = 0
    for day in days:
        file = partition_file(settings.paths.sessions / "impressions", day)
        count = pq.read_metadata(file).num_rows if file.exists() else 0
        if batch and held + count > IMPRESSIONS_PER_JOIN:
            yield batch
            batch, held = [], 0
        batch.append(day)
        held += count
    if batch:
        yield batch


def _report(split: Split, tally: Tally) -> TrainingSetReport:
    if not all(tally.requests[name] for name in SPLITS):
        raise TrainingSetError(too_few(split, tally))
    rows = {name: {stage: tally.rows[name, stage] for stage in STAGES} for name in SPLITS}
    logged = sum(count for (_, stage), count in tally.rows.items() if stage != "random")
    unclicked = sum(rows[name]["unclicked"] for name in SPLITS)
    return TrainingSetReport(
        split=split,
        first_request=tally.first or split.train_start,
        requests={name: tally.requests[name] for name in SPLITS},
        rows=rows,
        share_unclicked=unclicked / logged,
        cold_start={name: tally.cold[name] for name in SPLITS},
        dropped=dict(tally.dropped),
    )


def too_few(split: Split, tally: Tally) -> str:
    """Which of the two windows is empty, and why."""
    left = {name: tally.requests[name] for name in SPLITS}
    kept_out = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in tally.dropped.items() if n)
    why = f" (kept out: {kept_out})" if kept_out else ""
    return (
        f"too few requests with a query and an item of the catalogue{why}: {left['train']:,} to train on, from"
        f" {split.train_start:%Y-%m-%d %H:%M} to {split.cut:%Y-%m-%d %H:%M}, and {left['validation']:,} to validate on,"
        f" until {split.end:%Y-%m-%d %H:%M}; bring more days"
    )


def _move_into_place(building: Path, target: Path) -> None:
    """Swap the sets. A kill between the two steps leaves no set, never a part of one. A file that is as it was keeps
    its time, so that a killed training resumes after its training set was built anew."""
    for file in building.rglob("*"):
        before = target / file.relative_to(building)
        if before.is_file() and filecmp.cmp(file, before, shallow=False):
            shutil.copystat(before, file)
    replaced = target.with_name(f".{target.name}.replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if target.exists():
        target.replace(replaced)
    building.replace(target)
    shutil.rmtree(replaced, ignore_errors=True)
