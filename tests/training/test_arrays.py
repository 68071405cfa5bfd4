"""Arrays against the tables that they were made from."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import pytest

from infra.settings import Settings
from training.arrays import TrainingSetError, prepare_arrays
from training.text.ngrams import Hasher

MakeShop = Callable[..., Settings]


def test_equal_the_training_set(make_shop: MakeShop) -> None:
    settings = make_shop(requests=300)
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
        mine = [r for r in rows if r["query_id"] == request["query_id"]]
        for stage, kept in (
            ("clicked", [r for r in mine if r["clicked"]]),
            ("ordered", [r for r in mine if r["ordered"]]),
            ("unclicked", [r for r in mine if r["stage"] == "unclicked"]),
            ("random", [r for r in mine if r["stage"] == "random"]),
        ):
            assert [items[n] for n in getattr(arrays, stage)[i]] == [r["item_id"] for r in kept]
    hasher = Hasher(settings.training.buckets, settings.training.max_query_tokens)
    assert arrays.query_tokens[3].tolist() == hasher.ngrams([queries[3]])[0].tolist()


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
    os.utime(settings.paths.training_set / "split.json", ns=(1, 1))
    prepare_arrays(settings)
    assert meta.stat().st_mtime_ns != built


def test_a_shop_without_texts_or_orders(make_shop: MakeShop) -> None:
    arrays = prepare_arrays(make_shop(requests=50, texts=False, orders=False))
    assert arrays.meta["groups"] == ["category", "category_words", "attributes"]
    assert arrays.ordered.lengths.sum() == 0
    assert (arrays.recent_orders == -1).all()


def test_no_training_set_is_said(make_shop: MakeShop) -> None:
    settings = make_shop(requests=50)
    (settings.paths.training_set / "split.json").unlink()
    with pytest.raises(TrainingSetError, match="build it before training"):
        prepare_arrays(settings)


def test_rows_of_unknown_items_are_left_out(make_shop: MakeShop) -> None:
    settings = make_shop(requests=50)
    catalog = pq.read_table(settings.paths.catalog)
    pq.write_table(catalog.slice(0, 300), settings.paths.catalog)
    arrays = prepare_arrays(settings)
    assert arrays.items == 300
    for stage in (arrays.clicked, arrays.unclicked, arrays.random):
        assert np.all(stage.ids < 300)
