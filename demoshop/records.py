"""What happened in some sessions, as rows of the UBI tables and of the hidden truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demoshop.clicks import KINDS, Actions
from demoshop.randomness import Bools, Ints, Longs
from demoshop.sessions import Visits
from demoshop.shop import Asked
from demoshop.ubi import APPLICATION, EVENTS, QUERIES, TIME, timed
from demoshop.words import keep, nullable

TRUTH = pa.schema(
    [
        ("query_id", pa.string()),
        ("user", pa.int32()),
        ("meant", pa.list_(pa.int32())),
        ("ordered_item", pa.string()),
    ]
)
"""``meant`` holds the codes of ``Asked.meant`` in its order; ``user`` is the row of the tastes."""


@dataclass(frozen=True)
class Happened:
    """Requests [R] with their ids (``user_ids`` null for those who never log in), items shown [R, K], and actions."""

    query_ids: pa.Array
    session_ids: pa.Array
    user_ids: pa.Array
    client_ids: pa.Array
    item_ids: pa.Array
    visits: Visits
    asked: Asked
    shown: Ints
    actions: Actions


def numbered(prefix: str, numbers: Ints | Longs) -> pa.Array:
    """Ids such as ``u000042``."""
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 6, "0")
    return pc.binary_join_element_wise(prefix, digits, "")


def query_rows(happened: Happened) -> pa.Table:
    """UBI queries: the items shown are the hit ids."""
    requests, page = happened.shown.shape
    offsets = pa.array(np.arange(requests + 1, dtype=np.int32) * page)
    columns = [
        happened.query_ids,
        happened.user_ids,
        happened.client_ids,
        pa.repeat(APPLICATION, requests),
        happened.asked.text,
        pa.array(happened.visits.time).cast(TIME),
        pa.ListArray.from_arrays(offsets, happened.item_ids.take(pa.array(happened.shown.ravel()))),
    ]
    return pa.Table.from_arrays(columns, schema=timed(QUERIES))


def event_rows(happened: Happened, knows_query: Bools) -> pa.Table:
    """UBI events; those that do not know their query, as from a checkout page, have no query id, text or position."""
    actions = happened.actions
    row = pa.array(actions.row)
    object_ids = happened.item_ids.take(pa.array(happened.shown[actions.row, actions.rank]))
    ordinal = nullable(actions.rank + 1, ~knows_query).cast(pa.int32())
    item = pa.StructArray.from_arrays(
        [object_ids, pa.repeat("item_id", len(object_ids))], ["object_id", "object_id_field"]
    )
    position = pa.StructArray.from_arrays([ordinal], ["ordinal"])
    columns = [
        pa.array(KINDS).take(pa.array(actions.kind)),
        keep(happened.query_ids.take(row), knows_query),
        happened.session_ids.take(row),
        happened.user_ids.take(row),
        happened.client_ids.take(row),
        keep(happened.asked.text.take(row), knows_query),
        pa.array(actions.time).cast(TIME),
        pa.StructArray.from_arrays([item, position], ["object", "position"]),
    ]
    return pa.Table.from_arrays(columns, schema=timed(EVENTS))


def truth_rows(happened: Happened) -> pa.Table:
    """What was meant by each request, and what was bought of it."""
    actions, user = happened.actions, happened.visits.user
    orders = actions.kind == KINDS.index("purchase")
    bought = np.full(len(user), -1, np.int64)
    bought[actions.row[orders]] = happened.shown[actions.row[orders], actions.rank[orders]]
    meant = np.stack(list(happened.asked.meant.values()), axis=1)
    offsets = pa.array(np.arange(len(meant) + 1, dtype=np.int32) * meant.shape[1])
    columns = [
        happened.query_ids,
        pa.array(user),
        pa.ListArray.from_arrays(offsets, pa.array(meant.ravel())),
        happened.item_ids.take(nullable(bought, bought < 0)),
    ]
    return pa.Table.from_arrays(columns, schema=TRUTH)
