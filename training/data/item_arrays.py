"""Arrays of items: tokens, since when there are any, numbers of their ids, numeric features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.settings import Settings
from training.data.array_files import save_ragged
from training.data.availability import available_from
from training.data.items import fit_price_edges, item_tokens
from training.data.location import LocationBuckets
from training.data.ngrams import Hasher


def write_items(
    db: duckdb.DuckDBPyConnection, settings: Settings, catalog: pa.Table, location: LocationBuckets, folder: Path
) -> dict[str, Any]:
    """Tokens and first times of the items in order of id, and table ``items`` with the number of each; for ``meta``."""
    training = settings.training
    pq.write_table(catalog, folder / "items.parquet")
    edges = fit_price_edges(catalog["price"], training.price_buckets) if "price" in catalog.column_names else ()
    hasher = Hasher(training.buckets, training.max_item_tokens, training.ngrams)
    tokens = item_tokens(catalog, hasher, edges, location)
    for group, rows in tokens.groups.items():
        save_ragged(folder, f"item.{group}", rows)
    np.save(folder / "item_available.npy", available_from(settings, catalog).cast(pa.int64()).to_numpy())
    numbered = pa.table({"item_id": catalog["item_id"], "item": pa.array(np.arange(catalog.num_rows), pa.int32())})
    db.register("numbered_items", numbered)
    db.execute("CREATE TABLE items AS SELECT * FROM numbered_items")
    return {"groups": list(tokens.groups), "price_edges": list(edges), "items": catalog.num_rows}


def write_item_features(db: duckdb.DuckDBPyConnection, settings: Settings, meta: dict[str, Any], folder: Path) -> None:
    """Raw numeric features of every item as of the cut and as of the end, row ``i`` being item ``i``."""
    file = str(settings.paths.training_set / "item_features.parquet")
    names = "".join(f", {name}::FLOAT AS {name}" for name in meta["item_features"])
    for moment in ("cut", "end"):
        rows = db.sql(
            f"""
            SELECT item{names} FROM items
            LEFT JOIN (FROM read_parquet(?) WHERE epoch_us(event_timestamp) = ?) USING (item_id) ORDER BY item
            """,
            params=[file, meta[f"{moment}_us"]],
        ).to_arrow_table()
        pq.write_table(rows, folder / f"item_features.{moment}.parquet")
