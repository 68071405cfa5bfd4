"""What was said last of each item, field by field."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infra.contract.tables import TIME
from serving.item_updates.rows import UPDATES, conformed

I64 = NDArray[np.int64]


def said_after(updates: pa.Table, moment: datetime) -> pa.Table:
    """The updates of after a moment, and what those of before say of stock: all else of them is in the catalogue that
    landed then, which says nothing of stock."""
    is_after = pc.greater(updates["time"], pa.scalar(moment, TIME))
    before = updates.filter(pc.and_(pc.invert(is_after), updates["in_stock"].is_valid()))
    stock = conformed(before.select(["item_id", "time", "in_stock"]))
    return pa.concat_tables([stock, updates.filter(is_after)])


def latest(updates: pa.Table) -> pa.Table:
    """One row per item, by id: of each field what was said last, null where nothing was; ``time``: of the last row."""
    places, ids = _places(updates)
    columns = {"item_id": ids}
    for name, last in places.items():
        is_said = updates[name].null_count < len(updates)
        found = pa.array(last, mask=last < 0)
        columns[name] = updates[name].take(found) if is_said else pa.nulls(len(ids), UPDATES.field(name).type)
    return pa.table([columns[name] for name in UPDATES.names], schema=UPDATES)


def needed(updates: pa.Table) -> pa.Table:
    """The rows that say something last, or are the last of their item; the others are said anew by later ones."""
    places, _ = _places(updates)
    kept = np.zeros(len(updates), dtype=np.bool_)
    for last in places.values():
        kept[last[last >= 0]] = True
    return updates.filter(pa.array(kept))


def _places(updates: pa.Table) -> tuple[dict[str, I64], pa.Array]:
    """By field the row that says it last of each item, -1 for none, [items]; and the ids of the items, [items]."""
    coded = updates["item_id"].combine_chunks().dictionary_encode()
    by_id = pc.sort_indices(coded.dictionary)
    count = len(by_id)
    number = np.empty(count, dtype=np.int64)
    number[by_id.to_numpy()] = np.arange(count)
    item = number[coded.indices.to_numpy(False)]
    order = np.argsort(updates["time"].cast(pa.int64()).to_numpy(), kind="stable")
    places: dict[str, I64] = {}
    for name in UPDATES.names[1:]:
        places[name] = np.full(count, -1, dtype=np.int64)
        if updates[name].null_count < len(updates):
            rows = order[updates[name].is_valid().to_numpy()[order]]
            # of several rows of one item numpy keeps the last that is assigned
            places[name][item[rows]] = rows
    return places, coded.dictionary.take(by_id)
