"""The query-item graph from the sessions: the one place that says what an edge weighs.

The weight of a pair (query, item) is the sum, over the requests for the query, of the weight of the deepest stage that
the item reached in the request: a click that led to an order counts once, as an order, and a second click not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infra.contract.names import STAGE_OF
from infra.contract.partitions import table_files
from infra.settings import Settings
from training.data.array_files import BATCH_ROWS
from training.data.ragged import offsets_of


def read_increments(db: duckdb.DuckDBPyConnection, settings: Settings, end: int) -> None:
    """Table ``increments``: item, query text, ``time_us`` and by how much the pair's weight rose then, above 0.

    An item that reaches a deeper stage of a request adds the difference, at the time at which both its event and the
    request were known. Summed over what was known before any moment, that is the weight as of the moment: an order to
    come counts for nothing yet, and the click before it does not count again.

    Args:
        db: has the table ``items`` (item, item_id); items outside it have no edges.
        end: microseconds since 1970; what was known then or later is no part of the graph.
    """
    db.execute("CREATE TABLE increments (item INTEGER, query VARCHAR, time_us BIGINT, weight FLOAT)")
    events, requests = (table_files(settings.paths.sessions / name) for name in ("events", "requests"))
    if not events or not requests:
        return
    weights = [settings.training.stage_weights[stage] for stage in STAGE_OF.values()]
    db.register("weights", pa.table({"action": list(STAGE_OF), "weight": pa.array(weights, pa.float64())}))
    db.execute(
        """
        INSERT INTO increments
        WITH reached AS (
            SELECT query_id, item, any_value(query) AS query, max(weight) AS weight,
                   epoch_us(greatest(e.known_at, r.known_at)) AS time_us
            FROM read_parquet(?, hive_partitioning = false) e JOIN weights USING (action) JOIN items USING (item_id)
            JOIN (SELECT query_id, any_value(query) AS query, any_value(known_at) AS known_at
                  FROM read_parquet(?, hive_partitioning = false) GROUP BY query_id HAVING count(*) = 1) r
            USING (query_id)
            WHERE query <> '' AND time_us < ?
            GROUP BY query_id, item, time_us
        ), rising AS (
            SELECT *, coalesce(max(weight) OVER (
                PARTITION BY query_id, item ORDER BY time_us ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ), 0) AS before FROM reached
        )
        SELECT item, query, time_us, weight - before FROM rising WHERE weight > before
        """,
        [[str(f) for f in events], [str(f) for f in requests], end],
    )


def write_edges(db: duckdb.DuckDBPyConnection, folder: Path, items: int) -> None:
    """The arrays of :class:`training.data.edges.Edges` from ``increments`` and ``queries`` (query, number)."""
    total = int(db.execute("SELECT count(*) FROM increments").fetchall()[0][0])
    kinds: dict[str, type[np.generic]] = {"query": np.int32, "time": np.int64, "weight": np.float32}
    out: dict[str, NDArray[Any]] = {
        name: np.lib.format.open_memmap(folder / f"edges.{name}.npy", mode="w+", dtype=kind, shape=(total,))
        for name, kind in kinds.items()
    }
    lengths, written = np.zeros(items, dtype=np.int64), 0
    reader = db.sql(
        """
        SELECT item, number::INTEGER AS query, time_us AS time, weight FROM increments JOIN queries USING (query)
        ORDER BY item, time_us, number, weight
        """
    ).to_arrow_reader(BATCH_ROWS)
    for batch in reader:
        lengths += np.bincount(batch["item"].to_numpy(), minlength=items)
        for name, values in out.items():
            values[written : written + batch.num_rows] = batch[name].to_numpy()
        written += batch.num_rows
    np.save(folder / "edges.offsets.npy", offsets_of(lengths))
