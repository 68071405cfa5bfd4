"""A step holds what its requests held at their time, and is the same however many processes share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from infra.settings import Settings
from tests.training.conftest import with_training
from training import distributed
from training.data.arrays import Arrays, prepare_arrays
from training.data.batches import Batch, BatchMaker
from training.model.inputs import ItemInputs
from training.run.new_towers import tower_config

MakeShop = Callable[..., Settings]


def maker_of(settings: Settings) -> tuple[Arrays, BatchMaker, np.ndarray]:
    arrays = prepare_arrays(settings)
    examples = np.flatnonzero((arrays.clicked.lengths > 0) & ~arrays.is_validation)
    return arrays, BatchMaker(arrays, tower_config(settings.training, arrays), settings.training), examples


@pytest.fixture
def made(make_shop: MakeShop) -> tuple[Arrays, BatchMaker, np.ndarray]:
    changes = {"dynamic": (1.0, 1.0), "batch_size": 64, "graph_neighbours": 8, "graph_leave_out": 1.0}
    return maker_of(with_training(make_shop(requests=600), **changes))


def requests_of_targets(batch: Batch) -> np.ndarray:
    """The request of each target, -1 for the uniform ones, which belong to nobody in particular."""
    owner = np.full(len(batch.item), -1)
    for places in (batch.clicked[:, None], batch.ordered[:, None], batch.unclicked):
        rows, columns = np.nonzero(places.numpy() >= 0)
        owner[places.numpy()[rows, columns]] = batch.requests[rows]
    return owner


def test_stages_hold_what_the_requests_hold(made: tuple[Arrays, BatchMaker, np.ndarray]) -> None:
    arrays, maker, examples = made
    batch = maker.make(examples[-64:], 3)
    item = batch.item.numpy()
    for row, request in enumerate(batch.requests):
        assert item[batch.clicked[row]] in arrays.clicked.items[request]
        ordered = arrays.ordered.items[request]
        assert item[batch.ordered[row]] in ordered if batch.ordered[row] >= 0 else len(ordered) == 0
        assert set(ordered) <= set(arrays.clicked.items[request])
        shown = {int(item[place]) for place in batch.unclicked[row] if place >= 0}
        assert shown <= set(arrays.unclicked.items[request].tolist())
    drawn = np.concatenate([arrays.random.items[request] for request in batch.requests])
    assert set(item[batch.uniform.numpy()]) <= set(drawn)
    assert set(batch.pool_item.tolist()) == set(drawn)
    by_query, by_user = (
        {(int(key), int(i)) for key, i in zip(*pairs, strict=True)}
        for pairs in (batch.chosen_by_query, batch.chosen_by_user)
    )
    clicked = {(int(batch.query[row]), int(i)) for row, r in enumerate(batch.requests) for i in arrays.clicked.items[r]}
    assert clicked < by_query
    edges = arrays.edges
    led_to = np.repeat(np.arange(arrays.items), np.diff(edges.offsets))
    led = {(int(q), int(i)) for q, i, time in zip(edges.query, led_to, edges.time, strict=True) if time < arrays.cut}
    assert by_query - clicked <= led
    assert {(int(q), int(i)) for q in batch.query for i in batch.item} & led <= by_query
    users = set(batch.user.tolist()) - {-1}
    assert by_user == {
        (user, int(i))
        for r in np.flatnonzero(~arrays.is_validation)
        if (user := int(arrays.request_user[r])) in users
        for i in arrays.clicked.items[r]
    }
    drawn_once = (batch.ordered[batch.ordered >= 0], batch.unclicked[batch.unclicked >= 0])
    places = torch.cat([batch.clicked, *drawn_once, batch.uniform])
    assert torch.equal(places.sort().values, torch.arange(len(batch.item)))


def test_figures_are_those_of_the_training_rows(make_shop: MakeShop) -> None:
    settings = with_training(make_shop(requests=300), batch_size=64)
    arrays, maker, examples = maker_of(settings)
    rows = pq.read_table(settings.paths.training_set / "rows").to_pylist()
    requests = pq.read_table(settings.paths.training_set / "requests").sort_by([("time", "ascending")])
    query_ids, ids = requests["query_id"].to_pylist(), arrays.catalog()["item_id"].to_pylist()
    names = arrays.meta["item_features"]
    raw = {
        (row["query_id"], row["item_id"]): [float("nan") if row[n] is None else row[n] for n in names] for row in rows
    }
    batch = maker.make(examples[-64:], 0)
    owner = requests_of_targets(batch)
    of_stage = np.flatnonzero(owner >= 0)
    expected = np.array([raw[query_ids[owner[t]], ids[batch.item[t]]] for t in of_stage])
    assert np.isnan(expected).any()
    found = batch.targets.numeric.numpy()[of_stage]
    np.testing.assert_array_equal(found, arrays.item_transform.apply(expected))


def test_neighbours_were_known_before_and_are_not_the_own_query(made: tuple[Arrays, BatchMaker, np.ndarray]) -> None:
    arrays, maker, examples = made
    sessions = arrays.path.parent.parent / "sessions"
    asked = {r["query_id"]: r for r in pq.read_table(sessions / "requests").to_pylist()}
    known_at: dict[tuple[str, str], list[int]] = {}
    for event in pq.read_table(sessions / "events").to_pylist():
        query = asked[event["query_id"]]["query"]
        time = max(event["known_at"], asked[event["query_id"]]["known_at"])
        known_at.setdefault((event["item_id"], query), []).append(round(time.timestamp() * 1e6))
    ids, queries = arrays.catalog()["item_id"].to_pylist(), arrays.query_texts().to_pylist()
    tokens = {tuple(arrays.query_tokens[q].tolist()): queries[q] for q in range(len(queries))}
    assert len(tokens) == len(queries)
    batch = maker.make(examples[-64:], 5)
    owner, near, seen = requests_of_targets(batch), batch.targets.neighbours.numpy(), 0
    for target in np.flatnonzero(owner >= 0):
        for place in near[target][near[target] >= 0]:
            query = tokens[tuple(batch.targets.neighbour_tokens[place].tolist())]
            assert query != queries[arrays.request_query[owner[target]]]
            times = known_at[ids[batch.item[target]], query]
            assert min(times) < arrays.request_time[owner[target]]
            seen += 1
    assert seen > 50


def test_graph_dropout_leaves_out_whole_items(make_shop: MakeShop) -> None:
    settings = make_shop(requests=600)
    _, maker, examples = maker_of(with_training(settings, graph_dropout=1.0))
    assert (maker.make(examples[-64:], 0).targets.neighbours == -1).all()
    _, maker, _ = maker_of(with_training(settings, graph=False))
    assert maker.make(examples[-64:], 0).targets.neighbours.shape[1] == 0


def test_a_forgotten_user_has_no_history_and_no_figures(make_shop: MakeShop) -> None:
    arrays, maker, examples = maker_of(with_training(make_shop(requests=300), history_dropout=1.0))
    queries = maker.make(examples[-32:], 0).queries
    for history in (queries.recent_queries, queries.recent_items, queries.recent_orders, queries.recent_brands):
        assert (history == -1).all()
    of_query = [name.startswith("query_") for name in arrays.meta["request_features"]]
    known = torch.isfinite(queries.numeric).any(0).tolist()
    assert known == of_query


def assert_same(a: Any, b: Any) -> None:
    """Equal bit by bit, field by field."""
    if isinstance(a, torch.Tensor):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, tuple):
        for left, right in zip(a, b, strict=True):
            assert_same(left, right)
    elif a is not None:
        for field in fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name))


def test_the_same_seed_and_step_is_the_same_batch(made: tuple[Arrays, BatchMaker, np.ndarray]) -> None:
    _, maker, examples = made
    first, again, other = (maker.make(examples[:64], step) for step in (4, 4, 5))
    assert_same(first, again)
    assert not torch.equal(first.item, other.item)


def test_a_pass_reads_each_example_once_at_most(made: tuple[Arrays, BatchMaker, np.ndarray]) -> None:
    _, maker, examples = made
    per_pass = len(examples) // 64
    batches = list(maker.epoch(examples, 2, 2 * per_pass))
    assert len(batches) == 2 * per_pass
    passes = [np.concatenate([b.requests for b in part]) for part in (batches[:per_pass], batches[per_pass:])]
    for read in passes:
        assert len(set(read.tolist())) == len(read) == per_pass * 64
        assert set(read.tolist()) <= set(examples.tolist())
    assert passes[0].tolist() != passes[1].tolist()
    for later, batch in zip(maker.epoch(examples, 2, 2 * per_pass, first=3), batches[3:], strict=True):
        assert_same(later, batch)


def test_fewer_examples_than_a_batch(made: tuple[Arrays, BatchMaker, np.ndarray]) -> None:
    _, maker, examples = made
    batches = list(maker.epoch(examples[:10], 0, 3))
    assert [sorted(b.requests) for b in batches] == [sorted(examples[:10])] * 3


def test_parts_of_two_processes_are_the_whole(
    made: tuple[Arrays, BatchMaker, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, maker, examples = made
    whole = maker.make(examples[:63], 7)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        parts.append(maker.make(examples[:63], 7))
    for name in ("item", "clicked", "ordered", "unclicked", "uniform", "pool_item", "query", "user"):
        assert_same(getattr(parts[0], name), getattr(whole, name))
        assert_same(getattr(parts[1], name), getattr(whole, name))
    assert whole.pool is not None
    for own, other, expected in (
        (parts[0].targets, parts[1].targets, whole.targets),
        (parts[0].pool, parts[1].pool, whole.pool),
    ):
        assert own is not None
        assert other is not None
        assert_same_items(own.followed_by(other), expected)
    for query in range(63):
        part, row = (parts[0], query) if query < 31 else (parts[1], query - 31)
        assert_same(part.queries.numeric[row], whole.queries.numeric[query])
        words = part.queries.texts[int(part.queries.query[row])]
        np.testing.assert_array_equal(words, whole.queries.texts[int(whole.queries.query[query])])
        np.testing.assert_array_equal(part.queries.location[row], whole.queries.location[query])


def assert_same_items(a: ItemInputs, b: ItemInputs) -> None:
    """Equal item by item: which rows point where may differ."""
    assert len(a) == len(b)
    assert_same(a.numeric, b.numeric)
    for one, other in zip(a.tokens, b.tokens, strict=True):
        assert_same(one.take(a.row.numpy()), other.take(b.row.numpy()))
    assert torch.equal(a.neighbours < 0, b.neighbours < 0)
    assert_same(*(of.neighbour_tokens.take(of.neighbours[of.neighbours >= 0].numpy()) for of in (a, b)))


def test_taking_some_targets_keeps_what_they_are(made: tuple[Arrays, BatchMaker, np.ndarray]) -> None:
    _, maker, examples = made
    targets = maker.make(examples[-64:], 7).targets
    places = torch.tensor([5, 0, 17, 5])
    some = targets.take(places)
    assert_same(some.numeric, targets.numeric[places])
    for one, every in zip(some.tokens, targets.tokens, strict=True):
        assert_same(one.take(some.row.numpy()), every.take(targets.row[places].numpy()))
        assert len(one) == len(torch.unique(targets.row[places]))
    empty = targets.take(torch.zeros(0, dtype=torch.int64))
    assert len(empty) == 0
    assert_same_items(targets.followed_by(empty), targets)
