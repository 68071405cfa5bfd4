"""From when on an item of the catalogue could be found, as the training set has it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.settings import Settings


def available_from(settings: Settings, catalog: pa.Table) -> pa.ChunkedArray:
    """The earlier of the catalogue's ``available_from`` and the item's first impression, a timestamp per row.

    An item that came into the catalogue after the training set was built has its own ``available_from``: nobody was
    shown it then.

    Raises:
        FileNotFoundError: there is no training set, or one that an older version built.
    """
    items = pq.read_table(settings.paths.training_set / "items.parquet")
    row = pc.index_in(catalog["item_id"], value_set=items["item_id"].combine_chunks())
    return pc.coalesce(items["available_from"].take(row), catalog["available_from"])
