"""The file in the landing folder that says stock and prices of the day, such as ``stock.parquet``."""

from __future__ import annotations

import io
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from features.landing_files import STOCK_FILES, LandingError, LandingFile, listed_file, open_landing
from infra.settings import Settings
from serving.errors import BadRequest
from serving.item_updates.rows import BadRows, from_columns

if TYPE_CHECKING:
    from collections.abc import Callable

SETTLED_S = 1.0
"""A file that was written less than this ago may not be whole yet."""


class FeedError(ValueError):
    """The file cannot be used; the message says why, and what counts instead."""


@dataclass(frozen=True)
class Feed:
    """A file of updates."""

    updates: pa.Table
    bad: BadRows | None


def find_feed(settings: Settings) -> LandingFile | None:
    """The newest of ``STOCK_FILES`` in the landing folder; None where there is none, or it is being written.

    Raises:
        FeedError: the landing folder cannot be opened.
    """
    found = []
    if settings.landing is None and not settings.paths.landing.is_dir():
        return None  # the demo shop's lies where that was made
    try:
        file_system, root = open_landing(settings)
        for name in STOCK_FILES:
            with suppress(FileNotFoundError):
                found.append(listed_file(file_system, file_system.info(f"{root}/{name}"), name))
    except (LandingError, OSError) as error:
        raise FeedError(f"{STOCK_FILES[0]} cannot be looked for: {error}") from error
    newest = max(found, key=lambda file: file.changed or 0.0, default=None)
    if newest is None or (newest.changed is not None and 0 <= time.time() - newest.changed < SETTLED_S):
        return None
    return newest


def read_feed(settings: Settings, file: LandingFile) -> Feed:
    """The updates of a file. Its rows that cannot be used are left out, up to ``raw.max_bad_share`` of them.

    Raises:
        FeedError: it is damaged, has no column of ids, or too many of its rows cannot be used: then none counts.
    """
    now = datetime.now(UTC)
    written = now if file.changed is None else min(datetime.fromtimestamp(file.changed, UTC), now)
    file_system, _ = open_landing(settings)
    try:
        with file_system.open(file.path, "rb") as opened:
            content = opened.read()
        table = READERS[file.name.rsplit(".", 1)[-1]](content)
        updates, bad = from_columns(table, written, settings.raw.item_id)
    except (pa.ArrowException, OSError, BadRequest) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise FeedError(f"{file.name} cannot be used ({told}): what it said before counts on; land it again") from error
    if bad and bad.count > settings.raw.max_bad_share * len(table):
        raise FeedError(
            f"{bad.count:,} of the {len(table):,} rows of {file.name} cannot be used, such as {bad.first}: what it said"
            " before counts on; mend it and land it again, or raise SHELFWISE_RAW__MAX_BAD_SHARE"
        )
    return Feed(updates, bad)


def stamp_of(file: LandingFile) -> str:
    """Changes where the file does."""
    return f"{file.name} {file.size} {file.stamp}"


def _parquet(content: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(content))


def _csv(content: bytes) -> pa.Table:
    """All columns as texts: 007 is an id and no number."""
    header = pa_csv.read_csv(io.BytesIO(content.split(b"\n", 1)[0] + b"\n"))
    texts = dict.fromkeys(header.column_names, pa.string())
    options = pa_csv.ConvertOptions(strings_can_be_null=True, column_types=texts)
    return pa_csv.read_csv(io.BytesIO(content), convert_options=options)


def _ndjson(content: bytes) -> pa.Table:
    return pa_json.read_json(io.BytesIO(content))


READERS: dict[str, Callable[[bytes], Any]] = {"parquet": _parquet, "csv": _csv, "ndjson": _ndjson, "jsonl": _ndjson}
"""Ending -> how the file is read."""
