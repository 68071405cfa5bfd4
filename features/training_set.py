"""The training set: rows (request, item, stage) with features as of the request's time.

It is built beside the one in place and moved there whole, unless that one is of the same sessions, features and
settings. ``report.json`` holds what the set was made from and what it came to.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from features.engine import open_engine
from features.request_chunks import Tally, open_sources
from features.split import Split, window_split
from features.training_rows import LostRowsError, items_at, training_requests, training_rows
from infra.contract.content import content_key, step_key
from infra.contract.errors import TrainingSetError
from infra.contract.partitions import (
    partition_rows,
    table_files,
    write_json,
    write_parquet,
    write_partitions,
    written_days,
)
from infra.contract.tables import (
    FEATURE_TABLES,
    SESSION_TABLES,
    STAGES,
    TRAINING_ITEM_FEATURES,
    TRAINING_ITEMS,
    TRAINING_REQUESTS,
    TRAINING_ROWS,
    columns_of,
)
from infra.progress import Progress
from infra.settings import Settings

VERSION = 1
"""Raised when the same sessions and features become another training set."""
REPORT = "report.json"
SPLIT_SETTINGS = {
    "train_days",
    "validation_days",
    "validation_share",
    "unclicked_per_request",
    "random_per_request",
    "seed",
}
"""Of the group ``training``: those that decide which rows there are."""
IMPRESSIONS_PER_JOIN = 500_000
"""Days are built together up to so many impressions: a point-in-time join reads all features, however few its rows."""
SPLITS = ("train", "validation")

logger = logging.getLogger("shelfwise.training_set")


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
    content: str = ""
    """Key of what the files hold."""
    reused: bool = field(default=False, compare=False)
    """Nothing had changed, and the set is the one that was there."""


REPORTS = TypeAdapter(TrainingSetReport)


def build_training_set(settings: Settings, progress: Progress | None = None) -> TrainingSetReport:
    """Replace the training set by one of the accepted days and the features in place, unless it is that already.

    ``training_set/{requests,rows}`` get a partition per landing day of the requests; ``items.parquet`` says from when
    on each item could be found, ``item_features.parquet`` what was known of it at the cut and at the end. Labels of
    train rows are of what was known before the cut, those of validation rows of what was known before the end.

    Raises:
        TrainingSetError: there is no accepted day, a window has no request, or a join lost rows.
        FileNotFoundError: the catalogue was not built yet.
    """
    try:
        split = window_split(settings)
    except ValueError as error:
        raise TrainingSetError(str(error)) from error
    target, key = settings.paths.training_set, _key(settings)
    held = _read_report(target, key)
    if held is not None:
        return held
    building = target.with_name(f".{target.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    days, tally = days_of(settings, split), Tally()
    with open_engine(settings) as engine:
        sources, done = open_sources(engine, settings, split), 0
        items = sources.items.sort_by("item_id")
        write_parquet(building / "items.parquet", items, TRAINING_ITEMS)
        try:
            for batch in batches_of_days(settings, days):
                with tempfile.TemporaryDirectory(prefix=".spill-", dir=settings.paths.root) as spill:
                    folder = Path(spill)
                    write_partitions(building / "rows", training_rows(sources, batch, folder, tally), TRAINING_ROWS)
                    of_rows = training_requests(settings, folder, tally)
                    write_partitions(building / "requests", of_rows, TRAINING_REQUESTS)
                done += len(batch)
                if progress:
                    progress(f"{tally.rows.total():,} training rows up to {batch[-1]}", done / len(days))
            known = items_at(settings, items, [split.cut, split.end])
        except LostRowsError as error:
            raise TrainingSetError(str(error)) from error
        write_parquet(building / "item_features.parquet", known, TRAINING_ITEM_FEATURES)
    report = _report(split, tally)
    write_json(building / "split.json", asdict(split) | {"requests": report.requests, "rows": report.rows})
    report = replace(report, content=_content(building))
    write_json(building / REPORT, {"key": key, "report": REPORTS.dump_python(report, mode="json", exclude={"reused"})})
    _move_into_place(building, target)
    return report


def _key(settings: Settings) -> str:
    """What the training set follows from."""
    paths = settings.paths
    tables = [paths.sessions / name for name in SESSION_TABLES] + [paths.features / name for name in FEATURE_TABLES]
    shape = {
        "training": settings.training.model_dump(mode="json", include=SPLIT_SETTINGS),
        "features": settings.features.of_the_data(),
        "windows": [str(settings.raw.late_window), str(settings.raw.ahead_window)],
        "columns": [
            columns_of(schema) for schema in (TRAINING_REQUESTS, TRAINING_ROWS, TRAINING_ITEMS, TRAINING_ITEM_FEATURES)
        ],
    }
    files = [paths.catalog, *(file for table in tables for file in table_files(table))]
    return step_key(VERSION, shape, files, paths.root)


def _content(folder: Path) -> str:
    files = [folder / "split.json", folder / "items.parquet", folder / "item_features.parquet"]
    return content_key([*files, *table_files(folder / "requests"), *table_files(folder / "rows")], folder)


def _read_report(folder: Path, key: str) -> TrainingSetReport | None:
    """The report of the set in place; None where it was made from something else, or is no longer what was written."""
    file = folder / REPORT
    if not file.exists():
        return None
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        report = REPORTS.validate_python(stored["report"])
    except (ValueError, LookupError, TypeError, ValidationError) as error:
        logger.warning("%s cannot be read (%s): building the training set again", file, error)
        return None
    if stored["key"] != key or report.content != _content(folder):
        return None
    return replace(report, reused=True)


def days_of(settings: Settings, split: Split) -> list[date]:
    """Landing days that can hold requests of the split: a row may be later than the day that it landed in."""
    first = split.train_start - settings.raw.ahead_window - timedelta(days=1)
    return [day for day in written_days(settings.paths.sessions / "requests") if day >= first.date()]


def batches_of_days(settings: Settings, days: list[date]) -> Iterator[list[date]]:
    """``days`` in runs of about ``IMPRESSIONS_PER_JOIN`` impressions."""
    batch: list[date] = []
    held = 0
    for day in days:
        count = partition_rows(settings.paths.sessions / "impressions", day)
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
    """Swap the sets. A kill between the two steps leaves no set, never a part of one."""
    replaced = target.with_name(f".{target.name}.replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if target.exists():
        target.replace(replaced)
    building.replace(target)
    shutil.rmtree(replaced, ignore_errors=True)
