"""Features as of a time: Feast's point-in-time join for tables of any length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from features.sql_text import listed
from features.store.definitions import View
from features.store.definitions import views as feature_views
from features.store.repository import open_store
from infra.contract.tables import EVENT_TIME, TIME, Entity
from infra.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore

CHUNK_ROWS = 125_000
"""Entity rows joined at a time, in order of time: a bound on memory, and on the feature rows that they can match."""
ROW = "entity_row"


def point_in_time(settings: Settings, entities: pa.Table, of: Sequence[Entity]) -> pa.Table:
    """The features of each entity row as of its time: the latest row of its view at or before it, within the TTL.

    Args:
        settings: where the feature tables lie, and the TTLs.
        entities: the join keys of ``of``, ``event_timestamp``, and any other columns, which are kept. Rows may
            repeat and may name unknown keys, whose features are null.
        of: whose features to join, such as ``("user", "query")``.

    Returns:
        The same rows in the same order with the features beside them, under their plain names.

    Raises ValueError where a key is missing or two columns would have one name, RuntimeError where Feast returns
    another number of rows than it was given.
    """
    chosen = _views_of(settings, of)
    _check_columns(entities, chosen)
    filled = [view for view in chosen if view.files()]
    joined = _join(open_store(settings), entities, filled) if filled and entities.num_rows else {}
    return _beside(entities, joined, chosen)


def as_of_their_time(
    settings: Settings, files: Sequence[Path], of: Sequence[Entity], batch_rows: int
) -> Iterator[pa.Table]:
    """``point_in_time`` of the rows of Parquet files, about ``batch_rows`` at a time, in the order of the files.

    What is held is DuckDB's share (``features.build_memory``, beyond which it spills) and a batch. Raises as
    ``point_in_time``, but rows without a time are not looked for: they get no features.
    """
    chosen = _views_of(settings, of)
    _check_names(pq.read_schema(files[0]).names, chosen)
    filled = [view for view in chosen if view.files()]
    rows = f"FROM read_parquet({listed(files)}, hive_partitioning = false)"
    if filled:
        batches = open_store(settings).get_historical_features(rows, _references(filled)).batches(batch_rows)
    else:
        batches = pads.dataset(files).to_batches(batch_size=batch_rows)
    for batch in batches:
        table = pa.Table.from_batches([batch])
        features = {name: table[name] for view in filled for name in view.features}
        yield _beside(table.drop_columns(list(features)), features, chosen)


def _views_of(settings: Settings, of: Sequence[Entity]) -> list[View]:
    described = feature_views(settings).values()
    return [view for entity in dict.fromkeys(of) for view in described if view.entity == entity]


def _beside(entities: pa.Table, features: Mapping[str, pa.ChunkedArray], views: Sequence[View]) -> pa.Table:
    """The entity rows with the features of ``views`` after their columns; null where a view has none yet."""
    result = entities
    for view in views:
        for name in view.features:
            kind = view.schema.field(name).type
            column = features[name].cast(kind) if name in features else pa.nulls(entities.num_rows, kind)
            result = result.append_column(pa.field(name, kind), column)
    return result


def _references(views: Sequence[View]) -> list[str]:
    return [f"{view.name}:{name}" for view in views for name in view.features]


def _check_columns(entities: pa.Table, views: Sequence[View]) -> None:
    _check_names(entities.column_names, views)
    if entities[EVENT_TIME].null_count:
        raise ValueError(f"{entities[EVENT_TIME].null_count} entity rows have no {EVENT_TIME}.")


def _check_names(given: Sequence[str], views: Sequence[View]) -> None:
    missing = [name for name in [EVENT_TIME, *(view.key for view in views)] if name not in given]
    if missing:
        raise ValueError(f"The entity rows lack {', '.join(missing)}.")
    names = [*given, *(name for view in views for name in view.features)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"Two columns would be named {', '.join(twice)}: "
            "rename them in the entity rows, or join one view at a time."
        )


def _join(store: FeatureStore, entities: pa.Table, views: Sequence[View]) -> dict[str, pa.ChunkedArray]:
    """The feature columns, in the order of the entity rows."""
    rows = pa.table(
        {
            ROW: pa.array(range(entities.num_rows), pa.int64()),
            EVENT_TIME: entities[EVENT_TIME].cast(TIME),
            **{view.key: entities[view.key].cast(pa.string()) for view in views},
        }
    ).sort_by(EVENT_TIME)
    chunks = [
        store.get_historical_features(rows.slice(start, CHUNK_ROWS).to_pandas(), _references(views)).to_arrow()
        for start in range(0, rows.num_rows, CHUNK_ROWS)
    ]
    joined = pa.concat_tables(chunks)
    if joined.num_rows != entities.num_rows:
        raise RuntimeError(
            f"The point-in-time join made {joined.num_rows} rows of {entities.num_rows}. "
            "The feature tables were probably written to meanwhile; run it again."
        )
    joined = joined.take(pc.sort_indices(joined[ROW]))
    return {name: joined[name] for view in views for name in view.features}
