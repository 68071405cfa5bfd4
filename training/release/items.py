"""The item table of a release: ids, vectors, and the catalogue fields for filters and display.

Each is read when first asked for, without torch.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.contract.names import ITEM_COUNTS
from training.release.manifest import Manifest, read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

VECTORS = "item_vectors.safetensors"
ITEM_TYPES: dict[str, pa.DataType] = {
    "item_id": pa.string(),
    "title": pa.string(),
    "category_path": pa.list_(pa.string()),
    "brand": pa.string(),
    "price": pa.float64(),
    "rating": pa.float64(),
    "rating_count": pa.float64(),
    "attributes": pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())])),
    "tags": pa.list_(pa.string()),
    "variant_ids": pa.list_(pa.string()),
    "available_from": pa.int64(),
    **dict.fromkeys(ITEM_COUNTS, pa.int64()),
}
"""Catalogue fields that a release carries; ``available_from`` in microseconds since 1970. ``ITEM_COUNTS`` are how often
the item was shown, clicked and ordered in the 30 days before the end of the data window."""


@dataclass(frozen=True)
class ItemTable:
    """The n items of a release: row ``i`` of ``vectors`` and of ``table`` is item ``ids[i]``."""

    manifest: Manifest

    @cached_property
    def ids(self) -> list[str]:
        if self._is_json:
            return [str(item) for item in self.table["item_id"].to_pylist()]
        return list(pq.read_table(self.manifest.item_file, columns=["item_id"])["item_id"].to_pylist())

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """[n, width + f]: a unit vector, then the quality features where the release has a quality prior."""
        from safetensors.numpy import load_file

        return np.asarray(load_file(self.manifest.path / VECTORS)["vectors"])

    @cached_property
    def table(self) -> pa.Table:
        """``ITEM_TYPES``, those that an item of the catalogue has a value of."""
        if self._is_json:
            columns = read_json(self.manifest.item_file)
            return pa.table({name: pa.array(values, ITEM_TYPES[name]) for name, values in columns.items()})
        return pq.read_table(self.manifest.item_file, memory_map=True)

    def replaced(self, ids: list[str], vectors: NDArray[np.float32], table: pa.Table) -> ItemTable:
        """A table of these items, which no file holds."""
        other = copy.copy(self)
        vars(other).update({"ids": ids, "vectors": vectors, "table": table})
        return other

    def rows(self, numbers: Sequence[int] | NDArray[np.integer[Any]]) -> list[dict[str, Any]]:
        """What is known of the items at these rows [m]."""
        # All at once: a slice of the table per row holds the interpreter five times as long.
        return list(self.table.take(pa.array(numbers, pa.int64())).to_pylist())

    @property
    def _is_json(self) -> bool:
        return self.manifest.item_file.suffix == ".json"


def write_items(path: Path, catalog: pa.Table) -> None:
    """Write the item table: ``item_id`` and those fields of ``ITEM_TYPES`` that an item has a value of."""
    columns = {name: catalog[name].cast(kind) for name, kind in ITEM_TYPES.items() if name in catalog.column_names}
    filled = {name: c for name, c in columns.items() if name == "item_id" or c.null_count < len(c)}
    pq.write_table(pa.table(filled), path)
