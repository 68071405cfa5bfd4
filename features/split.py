"""The split in time: a train window, then a validation window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from infra.contract.partitions import partition_files, written_days
from infra.settings import Settings, TrainingSettings

LEAST_TRAIN_DAYS = 2
"""With fewer days than this before the validation days, the cut is within the log's days."""
VALIDATION_DAYS = 3
"""Where nothing else is set: the ranker of one day's requests leads nothing surely on a shop of 5,000 users."""


@dataclass(frozen=True)
class Split:
    """Train requests are of ``[train_start, cut)``, validation requests of ``[cut, end)``; times in UTC.

    What a row of a window knows, its labels included, was known before the window's end.
    """

    train_start: datetime
    cut: datetime
    end: datetime


def window_split(settings: Settings) -> Split:
    """Cut the accepted days.

    The last :func:`validation_days` days validate and the ``train_days`` before them train, if that leaves at least two
    days to train on. A shorter log is cut at the time before which ``1 - validation_share`` of its requests lie.

    Raises:
        ValueError: no day was accepted, or the days hold no requests.
    """
    days = written_days(settings.paths.sessions / "requests")
    if not days:
        raise ValueError(f"no accepted day under {settings.paths.sessions}: build the sessions first")
    training, end = settings.training, _midnight(days[-1] + timedelta(days=1))
    validating = validation_days(training, len(days))
    if len(days) >= validating + LEAST_TRAIN_DAYS:
        cut = _midnight(days[-validating])
        return Split(cut - timedelta(days=training.train_days), cut, end)
    cut = _cut_by_share(settings, days)
    return Split(min(_midnight(days[0]), cut), cut, end)


def validation_days(training: TrainingSettings, days: int) -> int:
    """How many of so many days validate: as set, else three, at most ``validation_share`` of them, at least one."""
    if training.validation_days is not None:
        return training.validation_days
    return max(1, min(VALIDATION_DAYS, math.floor(days * training.validation_share)))


def _cut_by_share(settings: Settings, days: Sequence[date]) -> datetime:
    files = partition_files(settings.paths.sessions / "requests", days)
    times = pa.chunked_array([pq.read_table(file, columns=["time"])["time"].combine_chunks() for file in files])
    if not len(times):
        raise ValueError("the accepted days hold no requests: nothing can be trained on")
    at = min(math.floor(len(times) * (1 - settings.training.validation_share)), len(times) - 1)
    cut: datetime = times.sort()[at].as_py().astimezone(UTC)
    return cut


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
