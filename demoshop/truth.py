"""The hidden truth, written beside the logs for evaluation only: items' hidden codes, tastes, what was meant."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa

from demoshop.shop import Shop
from demoshop.tastes import Tastes
from demoshop.ubi import write_table
from infra.contract.partitions import partition_file

CODES = ("shelf", "brand", "style", "color", "material", "use", "price_level", "quality", "popularity")


def write_truth(truth: Path, shop: Shop) -> None:
    """Write ``items.parquet`` (codes), ``{brand,style,color}.parquet`` (a vector per code), the shop's own tables."""
    columns = {"item_id": shop.items.ids} | {name: pa.array(getattr(shop.items, name)) for name in CODES}
    write_table(truth / "items.parquet", pa.table(columns))
    for name in ("brand", "style", "color"):
        vectors = getattr(shop.values, name)
        write_table(truth / f"{name}.parquet", pa.table({"vector": pa.array(list(vectors[:-1]))}))
    for name, table in shop.truth().items():
        write_table(truth / f"{name}.parquet", table)


def write_truth_day(truth: Path, day: date, requests: pa.Table, tastes: Tastes) -> None:
    """Write what was meant by the requests of a day, and the users' tastes and favourite topics on it."""
    write_table(partition_file(truth / "requests", day), requests)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(tastes.vectors.ravel()), tastes.vectors.shape[1])
    favourites = pa.FixedSizeListArray.from_arrays(pa.array(tastes.favourites.ravel()), tastes.favourites.shape[1])
    write_table(partition_file(truth / "tastes", day), pa.table({"taste": vectors, "favourites": favourites}))
