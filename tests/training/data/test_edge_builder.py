"""What an edge weighs, against a loop over requests: at every moment, and never by what came later."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.contract.names import INTERACTIONS, STAGE_OF
from infra.contract.partitions import write_partition
from infra.contract.tables import EVENTS, REQUESTS
from infra.settings import Settings, TrainingSettings
from training.data.edge_builder import read_increments, write_edges
from training.data.edges import Edges

DAY = date(2026, 3, 1)
START = datetime(2026, 3, 1, tzinfo=UTC)
QUERIES = {"r1": "shoes", "r2": "shoes", "r3": "mug", "r4": ""}
KNOWN = {"r1": 0, "r2": 3, "r3": 5, "r4": 0}
"""Second at which a request was known."""
ITEMS = ("a", "b")
WEIGHTS = ({"clicked": 1.0, "carted": 2.0, "ordered": 4.0}, {"clicked": 0.5, "carted": 0.5, "ordered": 0.75})
END = 9

Event = tuple[str, str, str, int]
"""Request, item, action, second at which it was known."""
EVENT = st.tuples(
    st.sampled_from([*QUERIES, "gone"]),
    st.sampled_from([*ITEMS, "unknown"]),
    st.sampled_from(INTERACTIONS),
    st.integers(0, 10),
)


@contextmanager
def built(events: Sequence[Event], weights: dict[str, float] = WEIGHTS[0]) -> Iterator[tuple[Edges, list[str]]]:
    """The edges of a log, and the queries by number."""
    with tempfile.TemporaryDirectory() as home, duckdb.connect() as db:
        settings = Settings(home=Path(home), shop="toy", training=TrainingSettings(stage_weights=weights))
        requests = [{"query_id": r, "query": query, "known_at": second(KNOWN[r])} for r, query in QUERIES.items()]
        rows = [
            {"event_id": str(n), "query_id": request, "item_id": item, "action": action, "known_at": second(at)}
            for n, (request, item, action, at) in enumerate(events)
        ]
        for name, table, schema in (("requests", requests, REQUESTS), ("events", rows, EVENTS)):
            write_partition(settings.paths.sessions / name, DAY, filled(table, schema), schema)
        db.register("numbered", pa.table({"item_id": ITEMS, "item": pa.array(range(len(ITEMS)), pa.int32())}))
        db.execute("SET TimeZone='UTC'; CREATE TABLE items AS SELECT * FROM numbered")
        read_increments(db, settings, micros(END))
        db.execute(
            """
            CREATE TABLE queries AS SELECT query, row_number() OVER (ORDER BY query) - 1 AS number
            FROM (SELECT DISTINCT query FROM increments)
            """
        )
        write_edges(db, Path(home), len(ITEMS))
        columns = [np.load(Path(home) / f"edges.{name}.npy") for name in ("offsets", "query", "time", "weight")]
        yield Edges(*columns), [query for (query,) in db.sql("SELECT query FROM queries ORDER BY number").fetchall()]


def second(at: int) -> datetime:
    return START + timedelta(seconds=at)


def micros(at: int) -> int:
    return round(second(at).timestamp() * 1e6)


def filled(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in rows], schema)


def weights_at(edges: Edges, queries: list[str], at: int) -> dict[tuple[str, str], float]:
    """Weight of each pair by what was known before a second."""
    near, weight = edges.heaviest(micros(at), kept=100)
    item = near.rows_of_entries()
    return {(queries[q], ITEMS[i]): float(w) for q, i, w in zip(near.ids, item, weight, strict=True)}


def oracle(events: Sequence[Event], weights: dict[str, float], at: int) -> dict[tuple[str, str], float]:
    deepest: dict[tuple[str, str], float] = defaultdict(float)
    for request, item, action, known in events:
        if request in QUERIES and QUERIES[request] and item in ITEMS and max(known, KNOWN[request]) < min(at, END):
            deepest[request, item] = max(deepest[request, item], weights[STAGE_OF[action]])
    total: dict[tuple[str, str], float] = defaultdict(float)
    for (request, item), weight in deepest.items():
        total[QUERIES[request], item] += weight
    return total


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.lists(EVENT, max_size=14), st.sampled_from(WEIGHTS))
def test_at_every_moment_a_pair_weighs_the_deepest_stage_of_each_request(
    events: list[Event], weights: dict[str, float]
) -> None:
    with built(events, weights) as (edges, queries):
        assert (edges.weight > 0).all()
        for at in range(12):
            assert weights_at(edges, queries, at) == oracle(events, weights, at)


def test_a_click_that_led_to_an_order_counts_once_and_a_second_click_not_at_all() -> None:
    events = [("r1", "a", "click", 1), ("r1", "a", "cart", 2), ("r1", "a", "order", 3)]
    events += [("r1", "b", "click", 1), ("r1", "b", "click", 2)]
    with built(events) as (edges, queries):
        assert weights_at(edges, queries, 2) == {("shoes", "a"): 1.0, ("shoes", "b"): 1.0}
        assert weights_at(edges, queries, 3) == {("shoes", "a"): 2.0, ("shoes", "b"): 1.0}
        assert weights_at(edges, queries, 4) == {("shoes", "a"): 4.0, ("shoes", "b"): 1.0}
        assert len(edges) == 4


def test_a_click_that_became_known_after_its_order_adds_nothing() -> None:
    with built([("r1", "a", "order", 1), ("r1", "a", "click", 5)]) as (edges, _):
        assert edges.weight.tolist() == [4.0]


def test_an_event_counts_from_when_its_request_was_known() -> None:
    with built([("r2", "a", "click", 0), ("r2", "a", "order", 1)]) as (edges, _):
        assert edges.time.tolist() == [micros(KNOWN["r2"])]
        assert edges.weight.tolist() == [4.0]


@pytest.mark.parametrize(
    "weights",
    [
        {"clicked": 3.0, "carted": 2.0, "ordered": 4.0},
        {"clicked": 1.0, "carted": 5.0, "ordered": 4.0},
        {"clicked": 0.0, "carted": 1.0, "ordered": 4.0},
        {"clicked": 1.0, "carted": 2.0, "ordered": float("inf")},
        {"clicked": 1.0, "carted": 2.0, "ordered": float("nan")},
    ],
)
def test_weights_that_do_not_rise_with_the_stage_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="clicked <= carted <= ordered"):
        TrainingSettings(stage_weights=weights)


@pytest.mark.parametrize("weights", [{"clicked": 1.0, "ordered": 4.0}, {**WEIGHTS[0], "shown": 0.1}])
def test_each_stage_has_a_weight(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="for each of clicked, carted, ordered"):
        TrainingSettings(stage_weights=weights)
