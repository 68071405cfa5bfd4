"""The requests and rows of some landing days for the training set, with features as of the request's time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.random_items import draw_random_items
from features.request_chunks import Sources, Tally, staged_chunks
from features.sql_text import quoted
from features.store.offline import as_of_their_time, point_in_time
from infra.contract.tables import (
    EVENT_TIME,
    TIME,
    TRAINING_ITEM_FEATURES,
    TRAINING_REQUESTS,
    TRAINING_ROWS,
    Entity,
)
from infra.settings import Settings

REQUESTS_PER_JOIN = 25_000
"""Requests joined with their users' features at a time: a join reads all of these, and holds those of its requests,
about 5 KB each where users have many orders."""
PART_REQUESTS = 10_000
"""Requests with their features that are in memory at a time."""


class LostRowsError(RuntimeError):
    """A join returned other rows than it was given."""


def items_at(settings: Settings, items: pa.Table, moments: list[datetime]) -> pa.Table:
    """The features of every item as of each moment, in the columns of ``TRAINING_ITEM_FEATURES``.

    Args:
        items: with ``item_id``.

    Raises:
        LostRowsError: the point-in-time join returned other rows than it was given.
    """
    parts = []
    for moment in moments:
        rows = items.select(["item_id"]).append_column(EVENT_TIME, pa.repeat(pa.scalar(moment, TIME), items.num_rows))
        parts.append(point_in_time(settings, rows, ["item"]))
        _check_rows(rows.num_rows, parts[-1].num_rows, "item")
    return _in_schema(pa.concat_tables(parts), TRAINING_ITEM_FEATURES)


def training_rows(
    sources: Sources, days: Sequence[date], folder: Path, tally: Tally
) -> Iterator[tuple[date, pa.Table]]:
    """The rows of landing days in TRAINING_ROWS, in parts, each of one day; in order of time, request and item.

    What is drawn and joined is one chunk of requests. Counts into ``tally``.

    Args:
        folder: is left with the files of the requests that the rows belong to, which ``training_requests`` reads.

    Raises:
        LostRowsError: the point-in-time join returned other rows than it was given.
    """
    con, rows = sources.engine.con, folder / "rows.parquet"
    for number in staged_chunks(sources, days, tally):
        con.register("drawn", _random_rows(sources))
        con.execute(_ROWS.format(file=quoted(rows)))
        con.execute(_REQUESTS.format(file=quoted(_requests_file(folder, number))))
        # one part, or each would be a row group of its own
        for part in _with_features(sources.settings, [rows], ["item"], pq.read_metadata(rows).num_rows):
            for counted in part.group_by(["split", "stage"]).aggregate([([], "count_all")]).to_pylist():
                tally.rows[(counted["split"], counted["stage"])] += counted["count_all"]
            yield from _by_landing(part, TRAINING_ROWS)


def training_requests(settings: Settings, folder: Path, tally: Tally) -> Iterator[tuple[date, pa.Table]]:
    """The requests that ``training_rows`` left in ``folder`` in TRAINING_REQUESTS, in parts, in order of time and id.

    Counts into ``tally``.

    Raises:
        LostRowsError: the point-in-time join returned other rows than it was given.
    """
    for files in _of_many_requests(folder):
        for part in _with_features(settings, files, ["user", "query"], PART_REQUESTS):
            first = pc.min(part["time"]).as_py()
            tally.first = min(tally.first or first, first)
            cold = part.filter(part["requests_7d"].is_null())
            for counts, rows in ((tally.requests, part), (tally.cold, cold)):
                for counted in rows["split"].value_counts().to_pylist():
                    counts[counted["values"]] += counted["counts"]
            yield from _by_landing(part, TRAINING_REQUESTS)


_ROWS = f"""COPY (
    SELECT query_id, item_id, time, time AS {EVENT_TIME}, landed, split, stage, clicked, carted, ordered, position
    FROM (
        SELECT query_id, item_id, stage, clicked, carted, ordered, position FROM staged
        UNION ALL SELECT query_id, item_id, 'random', false, false, false, NULL FROM drawn
    ) JOIN (SELECT query_id, time, landed, split FROM useful) USING (query_id)
    ORDER BY time, query_id, item_id
) TO {{file}}"""
_REQUESTS = f"COPY (SELECT *, time AS {EVENT_TIME} FROM useful ORDER BY time, query_id) TO {{file}}"
_TAKEN = """SELECT query_id, item_id FROM (
    SELECT query_id, item_id FROM shown UNION ALL SELECT query_id, item_id FROM staged
) SEMI JOIN useful USING (query_id)"""


def _requests_file(folder: Path, chunk: int) -> Path:
    return folder / f"requests-{chunk:08}.parquet"


def _random_rows(sources: Sources) -> pa.Table:
    """``query_id, item_id`` of items that the chunk's requests neither showed nor led to."""
    con, training = sources.engine.con, sources.settings.training
    requests = con.sql("SELECT query_id, time, landed FROM useful ORDER BY time, query_id").to_arrow_table()
    taken = con.sql(_TAKEN).to_arrow_table()
    drawn = [
        draw_random_items(
            requests.filter(pc.equal(requests["landed"], pa.scalar(day))),
            taken,
            sources.items,
            per_request=training.random_per_request,
            seed=training.seed,
            day=day,
        )
        for day in requests["landed"].unique().to_pylist()
    ]
    none = pa.table({name: pa.array([], pa.string()) for name in ("query_id", "item_id")})
    return pa.concat_tables([none, *drawn])


def _of_many_requests(folder: Path) -> Iterator[list[Path]]:
    """The files of requests in their order, as many together as have about ``REQUESTS_PER_JOIN``."""
    files: list[Path] = []
    held = 0
    for file in sorted(folder.glob("requests-*.parquet")):
        count = pq.read_metadata(file).num_rows
        if files and held + count > REQUESTS_PER_JOIN:
            yield files
            files, held = [], 0
        files.append(file)
        held += count
    if held:
        yield files


def _with_features(
    settings: Settings, files: Sequence[Path], of: Sequence[Entity], part_rows: int
) -> Iterator[pa.Table]:
    """The rows of files with features as of their time, about ``part_rows`` at a time."""
    given, joined = sum(pq.read_metadata(file).num_rows for file in files), 0
    if not given:
        return
    for part in as_of_their_time(settings, files, of, part_rows):
        joined += part.num_rows
        yield part
    _check_rows(given, joined, " and ".join(of))


def _check_rows(given: int, joined: int, of: str) -> None:
    if joined != given:
        raise LostRowsError(f"the join of {of} features gave {joined} rows for {given}")


def _by_landing(rows: pa.Table, schema: pa.Schema) -> Iterator[tuple[date, pa.Table]]:
    """The rows of each landing day, in ``schema``."""
    for day in sorted(rows["landed"].unique().to_pylist()):
        yield day, _in_schema(rows.filter(pc.equal(rows["landed"], pa.scalar(day))), schema)


def _in_schema(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows in ``schema``; lists that no feature row filled are empty, other features stay null."""
    for at, name in enumerate(rows.column_names):
        if pa.types.is_list(rows[name].type):
            filled = pc.if_else(rows[name].is_valid(), rows[name], pa.scalar([], rows[name].type))
            rows = rows.set_column(at, name, filled)
    return rows.select(schema.names).cast(schema)
