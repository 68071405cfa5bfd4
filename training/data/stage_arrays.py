"""Arrays of stages: which items each request had at each, and their numeric features at its time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from infra.contract.names import ITEM_NUMERIC
from infra.settings import Settings
from training.data.array_files import BATCH_ROWS, FIT_ROWS, count_rows, figures_of, files_and_columns, new_array
from training.data.ragged import offsets_of
from training.data.scalars import QuantileTransform

STAGE_CONDITIONS = {
    "clicked": "clicked OR carted OR ordered",
    "ordered": "ordered",
    "unclicked": "stage = 'unclicked'",
    "random": "stage = 'random'",
}
SHOWN_STAGES = ("clicked", "unclicked")
"""Which together are what was shown: their positions are kept."""
DEEPEST = int(np.iinfo(np.int16).max)
"""Position that deeper ones are read as."""


def write_stages(db: duckdb.DuckDBPyConnection, settings: Settings, folder: Path) -> dict[str, Any]:
    """Items and figures of each request by stage, in shown order; items outside the catalogue are left out."""
    files, held = files_and_columns(db, settings.paths.training_set / "rows")
    figures = [name for name in ITEM_NUMERIC if name in held]
    named = "".join(f", {name}" for name in figures)
    flags = ", ".join(f"({condition}) AS {stage}" for stage, condition in STAGE_CONDITIONS.items())
    db.execute(
        f"""
        CREATE TABLE rows AS SELECT request, item, position, is_validation, {flags}{named}
        FROM read_parquet(?, hive_partitioning = false) JOIN items USING (item_id)
        JOIN (SELECT query_id, request, is_validation FROM requests) USING (query_id)
        """,
        [files],
    )
    thinned = -(-count_rows(db, "rows WHERE NOT is_validation") // FIT_ROWS) or 1
    sample = db.sql(
        f"""
        SELECT request{named} FROM rows WHERE NOT is_validation AND hash(request, item) % {thinned} = 0
        ORDER BY request, item
        """
    ).to_arrow_table()
    transform = QuantileTransform.fit(figures_of(sample, figures), figures)
    counts = {stage: _write_stage(db, folder, stage, figures, transform) for stage in STAGE_CONDITIONS}
    return {"stages": counts, "item_features": figures, "item_transform": transform.to_json()}


def _write_stage(
    db: duckdb.DuckDBPyConnection, folder: Path, stage: str, figures: Sequence[str], transform: QuantileTransform
) -> int:
    total, requests = count_rows(db, f"rows WHERE {stage}"), count_rows(db, "requests")
    ids = new_array(folder / f"{stage}.ids.npy", (total,), np.int32)
    shown = stage in SHOWN_STAGES
    positions = new_array(folder / f"{stage}.positions.npy", (total,), np.int16) if shown else None
    features = new_array(folder / f"{stage}.features.npy", (total, len(figures)), np.float32)
    lengths, written = np.zeros(requests, dtype=np.int64), 0
    reader = db.sql(
        f"""
        SELECT request, item, greatest(0, least(coalesce(position, 0), {DEEPEST}))::SMALLINT AS place
               {"".join(f", {name}" for name in figures)}
        FROM rows WHERE {stage}
        ORDER BY request, position, item
        """
    ).to_arrow_reader(BATCH_ROWS)
    for batch in reader:
        lengths += np.bincount(batch["request"].to_numpy(), minlength=requests)
        place = slice(written, written + batch.num_rows)
        ids[place] = batch["item"].to_numpy()
        if positions is not None:
            positions[place] = batch["place"].to_numpy()
        features[place] = transform.apply(figures_of(batch, figures))
        written += batch.num_rows
    np.save(folder / f"{stage}.offsets.npy", offsets_of(lengths))
    return total
