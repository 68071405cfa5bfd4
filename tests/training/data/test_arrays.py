"""Arrays against the tables that they were made from."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.contract.errors import TrainingSetError
from infra.settings import Settings
from tests.training.conftest import SMALL
from tests.training.toy_shop import PLACE, REQUEST_FIGURES, ToyShop, write_toy_shop
from training.data import request_arrays
from training.data.arrays import prepare_arrays
from training.data.location import LocationBuckets
from training.data.ngrams import Hasher
from training.data.scalars import QuantileTransform

MakeShop = Callable[..., Settings]


def test_equal_the_training_set(make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_arrays, "BATCH_ROWS", 100)
    settings = make_shop(requests=300, users=5)
    arrays = prepare_arrays(settings)
    items, queries = arrays.catalog()["item_id"].to_pylist(), arrays.query_texts().to_pylist()
    requests = pq.read_table(settings.paths.training_set / "requests").sort_by([("time", "ascending")]).to_pylist()
    rows = pq.read_table(settings.paths.training_set / "rows").to_pylist()
    assert len(arrays.request_query) == len(requests) == 300
    for i, request in enumerate(requests):
        assert queries[arrays.request_query[i]] == request["query"]
        assert bool(arrays.is_validation[i]) == (request["split"] == "validation")
        assert [queries[q] for q in arrays.recent_queries[i] if q >= 0] == request["recent_queries"]
        assert [items[n] for n in arrays.recent_items[i] if n >= 0] == request["recent_items"]
        assert [items[n] for n in arrays.recent_orders[i] if n >= 0] == request["recent_orders"]
        assert [items[n] for n in arrays.order_history[i] if n >= 0] == request["order_history"]
        mine = [r for r in rows if r["query_id"] == request["query_id"]]
        for stage, kept in (
            ("clicked", [r for r in mine if r["clicked"]]),
            ("ordered", [r for r in mine if r["ordered"]]),
            ("unclicked", [r for r in mine if r["stage"] == "unclicked"]),
            ("random", [r for r in mine if r["stage"] == "random"]),
        ):
            assert [items[n] for n in getattr(arrays, stage).items[i]] == [r["item_id"] for r in kept]
            if stage in ("clicked", "unclicked"):
                begin, end = getattr(arrays, stage).items.offsets[i : i + 2]
                assert getattr(arrays, stage).positions[begin:end].tolist() == [r["position"] for r in kept]
    hasher = Hasher(settings.training.buckets, settings.training.max_query_tokens)
    assert arrays.query_tokens[3].tolist() == hasher.ngrams([queries[3]])[0].tolist()


def test_an_item_is_available_from_when_the_training_set_says(make_shop: MakeShop) -> None:
    settings = make_shop(requests=100, items=50)
    file = settings.paths.training_set / "items.parquet"
    catalog = dict(zip(*(c.to_pylist() for c in pq.read_table(file).columns), strict=True))
    shown = {f"i{n}": since - timedelta(days=n) for n, since in enumerate(catalog.values()) if n % 4 == 0}
    kept = {item: shown.get(item, since) for item, since in catalog.items() if item != "i3"}  # i3 came later
    columns = [pa.array(kept), pa.array(kept.values(), pa.timestamp("us", "UTC"))]
    pq.write_table(pa.table(columns, ["item_id", "available_from"]), file)
    arrays = prepare_arrays(settings)
    expected = [({**catalog, **kept})[item] for item in arrays.catalog()["item_id"].to_pylist()]
    assert arrays.item_available.tolist() == [round(time.timestamp() * 1e6) for time in expected]


def test_users_are_told_apart(make_shop: MakeShop) -> None:
    settings = make_shop(requests=200, users=7)
    arrays = prepare_arrays(settings)
    requests = pq.read_table(settings.paths.training_set / "requests").sort_by([("time", "ascending")])
    pairs = set(zip(requests["user_id"].to_pylist(), arrays.request_user.tolist(), strict=True))
    assert len(pairs) == len(set(requests["user_id"].to_pylist()))


def test_built_again_only_when_the_training_set_changed(make_shop: MakeShop) -> None:
    settings = make_shop(requests=50)
    meta = prepare_arrays(settings).path / "meta.json"
    built = meta.stat().st_mtime_ns
    prepare_arrays(settings)
    assert meta.stat().st_mtime_ns == built
    split = settings.paths.training_set / "split.json"
    os.utime(split, ns=(1, 1))
    prepare_arrays(settings)
    assert meta.stat().st_mtime_ns == built, "a touched file holds what it held"
    split.write_text(split.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    os.utime(split, ns=(1, 1))
    prepare_arrays(settings)
    assert meta.stat().st_mtime_ns != built
    built = meta.stat().st_mtime_ns
    weights = {"clicked": 1.0, "carted": 1.0, "ordered": 2.0}
    training = settings.training.model_copy(update={"stage_weights": weights})
    prepare_arrays(settings.model_copy(update={"training": training}))
    assert meta.stat().st_mtime_ns != built, "other weights of the graph make other edges"


def test_figures_brands_tags_and_places_equal_the_training_set(make_shop: MakeShop) -> None:
    settings = make_shop(requests=300)
    arrays = prepare_arrays(settings)
    requests = pq.read_table(settings.paths.training_set / "requests").sort_by([("time", "ascending")])
    assert arrays.meta["request_features"] == list(REQUEST_FIGURES)
    raw = np.array([requests[name].to_numpy() for name in REQUEST_FIGURES]).T
    assert np.isnan(raw).any()
    np.testing.assert_array_equal(arrays.request_features, arrays.request_transform.apply(raw))
    train = ~arrays.is_validation
    assert QuantileTransform.fit(raw[train], REQUEST_FIGURES).to_json() == arrays.meta["request_transform"]
    hasher = Hasher(settings.training.buckets, 64)
    buckets = LocationBuckets.from_json(arrays.meta["location"])
    for i, request in enumerate(requests.to_pylist()):
        for name, prefix in (("recent_brands", "#brand "), ("ordered_tags", "#tag ")):
            found = getattr(arrays, name)[i]
            assert found[found >= 0].tolist() == hasher.labels([prefix + text for text in request[name]]).ids.tolist()
        labels = buckets.labels_of({name: request[name] for name in PLACE if request[name] is not None})
        assert arrays.request_location[i].tolist() == hasher.labels(labels).ids.tolist()


@pytest.mark.parametrize("length", [1, 3])
def test_an_order_history_is_cut_to_its_setting_and_leaves_out_what_the_catalogue_does_not_know(
    make_shop: MakeShop, length: int
) -> None:
    settings = make_shop(requests=300, users=5)
    whole = prepare_arrays(settings)
    path = next((settings.paths.training_set / "requests").glob("*/part.parquet"))
    requests = pq.read_table(path).sort_by([("time", "ascending")])
    histories = [[*h[:1], "gone", *h[:1], *h[1:]] if h else [] for h in requests["order_history"].to_pylist()]
    place = requests.column_names.index("order_history")
    column = pa.array(histories, requests.schema.field(place).type)
    pq.write_table(requests.set_column(place, requests.schema.field(place), column), path)
    features = settings.features.model_copy(update={"order_history": length})
    arrays = prepare_arrays(settings.model_copy(update={"features": features}))
    assert arrays.order_history.ids.dtype == np.int32
    newest = [own[:1].tolist() for own in whole.order_history]
    assert any(newest)
    # the unknown one has a place among the first, and is no entry
    expected = [own * (1 if length == 1 else 2) for own in newest]
    assert [own.tolist() for own in arrays.order_history] == expected
    np.testing.assert_array_equal(arrays.recent_orders, whole.recent_orders)


def test_edges_equal_the_sessions(make_shop: MakeShop) -> None:
    settings = make_shop(requests=300)
    arrays = prepare_arrays(settings)
    items, queries = arrays.catalog()["item_id"].to_pylist(), arrays.query_texts().to_pylist()
    assert "ancient relic" in queries  # it is in no request of the training set
    asked = {r["query_id"]: r for r in pq.read_table(settings.paths.sessions / "requests").to_pylist()}
    events = pq.read_table(settings.paths.sessions / "events").to_pylist()
    ordered = {(e["query_id"], e["item_id"]) for e in events if e["action"] == "order"}
    assert ordered and len({(e["query_id"], e["item_id"]) for e in events}) < len(events)
    expected: dict[tuple[str, str], float] = defaultdict(float)
    for query_id, item_id in {(e["query_id"], e["item_id"]) for e in events}:
        carted = query_id == "before"
        expected[asked[query_id]["query"], item_id] += 4 if (query_id, item_id) in ordered else 2 if carted else 1
    found: dict[tuple[str, str], float] = defaultdict(float)
    item = np.repeat(np.arange(arrays.items), np.diff(arrays.edges.offsets))
    for i, query, weight in zip(item, arrays.edges.query, arrays.edges.weight, strict=True):
        found[queries[query], items[i]] += float(weight)
    assert found == expected
    for row in range(arrays.items):
        assert (np.diff(arrays.edges.time[slice(*arrays.edges.offsets[row : row + 2])]) >= 0).all()


def test_events_that_are_nobodys_are_no_edges(make_shop: MakeShop) -> None:
    settings = make_shop(requests=100)
    path = next((settings.paths.sessions / "events").glob("*/part.parquet"))
    events = pq.read_table(path).to_pylist()
    whole = len(prepare_arrays(settings).edges)
    end = datetime.fromtimestamp(prepare_arrays(settings).end / 1e6, UTC)
    changes = ({"query_id": None}, {"item_id": "gone"}, {"action": "impression"}, {"known_at": end}, {"query_id": "?"})
    of_request = dict(zip(dict.fromkeys(event["query_id"] for event in events), changes, strict=False))
    changed = [event | of_request.get(event["query_id"], {}) for event in events]
    pq.write_table(pa.Table.from_pylist(changed, pq.read_schema(path)), path)
    assert len(prepare_arrays(settings).edges) == whole - len(changes)


def test_item_features_are_those_of_the_training_set(make_shop: MakeShop) -> None:
    settings = make_shop(requests=300)
    file = settings.paths.training_set / "item_features.parquet"
    rows = pq.read_table(file).to_pylist()
    half = [row for row in rows if int(row["item_id"][1:]) % 2]
    for row in half:
        row["price"] = None if int(row["item_id"][1:]) % 3 == 0 else row["price"]
    pq.write_table(pa.Table.from_pylist(half, pq.read_schema(file)), file)
    arrays = prepare_arrays(settings)
    names, ids = arrays.meta["item_features"], arrays.catalog()["item_id"].to_pylist()
    seen = []
    for at in (arrays.cut, arrays.end):
        of = {row["item_id"]: row for row in half if round(row["event_timestamp"].timestamp() * 1e6) == at}
        wanted = [[np.nan if of.get(i, {}).get(n) is None else of[i][n] for n in names] for i in ids]
        seen.append(arrays.item_features(at))
        np.testing.assert_array_equal(seen[-1], np.array(wanted, dtype=np.float32))
    assert not np.array_equal(*seen, equal_nan=True)
    with pytest.raises(ValueError, match="as of the cut"):
        arrays.item_features(arrays.end - 1)


def test_a_home_that_is_moved_is_read_where_it_is(make_shop: MakeShop, tmp_path: Path) -> None:
    settings = make_shop(requests=50, items=20)
    before = prepare_arrays(settings).item_features(prepare_arrays(settings).end)
    settings.paths.root.rename(tmp_path / "moved")
    moved = settings.model_copy(update={"shop": "moved"})
    arrays = prepare_arrays(moved)
    np.testing.assert_array_equal(arrays.item_features(arrays.end), before)


def test_a_shop_that_knows_little(make_shop: MakeShop) -> None:
    little = {"texts": False, "orders": False, "figures": False, "places": False, "sessions": False}
    arrays = prepare_arrays(make_shop(requests=50, **little))
    assert arrays.meta["groups"] == ["category", "category_words", "attributes", "identity"]
    assert arrays.ordered.lengths.sum() == 0
    assert (arrays.recent_orders == -1).all()
    assert arrays.order_history.lengths.tolist() == [0] * 50
    assert (arrays.recent_brands == -1).all()
    assert (arrays.ordered_tags == -1).all()
    assert len(arrays.edges) == 0
    assert arrays.item_features(arrays.end).shape == (600, 0)
    assert arrays.request_features.shape == (50, 0)
    assert arrays.request_location.lengths.sum() == 0


def test_a_home_may_have_an_apostrophe_in_its_name(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "o'neil's shop", shop="toy", training=SMALL)
    write_toy_shop(settings.paths, ToyShop(requests=50, items=20))
    arrays = prepare_arrays(settings)
    assert len(arrays.request_query) == 50
    assert np.isfinite(arrays.item_features(arrays.end)).any()


@pytest.mark.parametrize("name", ["split.json", "items.parquet", "item_features.parquet"])
def test_no_training_set_is_said(make_shop: MakeShop, name: str) -> None:
    settings = make_shop(requests=50)
    (settings.paths.training_set / name).unlink()
    with pytest.raises(TrainingSetError, match="build it before training"):
        prepare_arrays(settings)


def test_rows_of_unknown_items_are_left_out(make_shop: MakeShop) -> None:
    settings = make_shop(requests=50)
    catalog = pq.read_table(settings.paths.catalog)
    pq.write_table(catalog.slice(0, 300), settings.paths.catalog)
    arrays = prepare_arrays(settings)
    assert arrays.items == 300
    for stage in (arrays.clicked, arrays.unclicked, arrays.random):
        assert np.all(stage.items.ids < 300)
        assert len(stage.features) == len(stage.items.ids)
