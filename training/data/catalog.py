"""The catalogue as training and releases read it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.settings import Settings


def read_catalog(settings: Settings) -> pa.Table:
    """The catalogue on disk by ``item_id``; with ``variant_ids``, a list of text, where an item has variants."""
    catalog = pq.read_table(settings.paths.catalog).sort_by("item_id")
    if not settings.paths.item_aliases.exists():
        return catalog
    aliases = pq.read_table(settings.paths.item_aliases, columns=["alias_id", "item_id"])
    row = pc.index_in(aliases["item_id"].combine_chunks(), catalog["item_id"].combine_chunks())
    aliases = (
        aliases.append_column("row", row)
        .filter(row.is_valid())
        .sort_by([("row", "ascending"), ("alias_id", "ascending")])
    )
    if not len(aliases):
        return catalog
    begins = np.searchsorted(aliases["row"].to_numpy(), np.arange(len(catalog) + 1)).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(begins), aliases["alias_id"].combine_chunks())
    return catalog.append_column("variant_ids", lists)
