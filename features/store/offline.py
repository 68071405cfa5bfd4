"""Features as of a time: Feast's point-in-time join for tables of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

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
    described = feature_views(settings).values()
    chosen = [view for entity in dict.fromkeys(of) for view in described if view.entity == entity]
    _check_columns(entities, chosen)
    filled = [view for view in chosen if view.files()]
    joined = _join(open_store(settings), entities, filled) if filled and entities.num_rows else {}
    result = entities
    for view in chosen:
        for name in view.features:
            kind = view.schema.field(name).type
            column = joined[name].cast(kind) if name in joined else pa.nulls(entities.num_rows, kind)
            result = result.append_column(pa.field(name, kind), column)
    return result


def _check_columns(entities: pa.Table, views: Sequence[View]) -> None:
    missing = [name for name in [EVENT_TIME, *(view.key for view in views)] if name not in entities.column_names]
    if missing:
        raise ValueError(f"The entity rows lack {', '.join(missing)}.")
    if entities[EVENT_TIME].null_count:
        raise ValueError(f"{entities[EVENT_TIME].null_count} entity rows have no {EVENT_TIME}.")
    names = [*entities.column_names, *(name for view in views for name in view.features)]
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
    references = [f"{view.name}:{name}" for view in views for name in view.features]
    chunks = [
        store.get_historical_features(rows.slice(start, CHUNK_ROWS).to_pandas(), references).to_arrow()
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
