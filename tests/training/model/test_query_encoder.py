"""One request online is its row in a batch, whatever is known of it and whichever encoders are on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from infra.contract.request import RequestContext
from infra.settings import Settings
from tests.training.conftest import with_training
from training.data.arrays import Arrays, prepare_arrays
from training.data.location import LocationBuckets
from training.model import query_forward
from training.model.encoding import encode_requests
from training.model.query_encoder import Preprocessing, QueryEncoder
from training.model.towers import Towers
from training.run.new_towers import new_towers
from training.text import load_text_encoder

MakeShop = Callable[..., Settings]


def untrained(settings: Settings) -> tuple[Arrays, Towers]:
    """Towers in which every weight, and every statistic of batch norm, does something."""
    arrays = prepare_arrays(settings)
    torch.manual_seed(0)
    towers = new_towers(settings.training, arrays)
    with torch.no_grad():
        for parameter in towers.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return arrays, towers.eval()


def encoder_of(settings: Settings, arrays: Arrays, towers: Towers) -> QueryEncoder:
    location = LocationBuckets.from_json(arrays.meta["location"])
    preprocessing = Preprocessing(arrays.request_transform, location, load_text_encoder(settings))
    ids = arrays.catalog()["item_id"].to_pylist()
    return QueryEncoder(towers.config, towers.arrays(), arrays.item_tokens, ids, preprocessing)


def online_and_offline(settings: Settings, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    arrays, towers = untrained(settings)
    encoder = encoder_of(settings, arrays, towers)
    requests = pq.read_table(settings.paths.training_set / "requests").sort_by([("time", "ascending")]).to_pylist()
    rows = np.arange(len(requests))[:: len(requests) // count]
    texts = [requests[row]["query"] for row in rows]
    contexts = [RequestContext.of_features(requests[row]) for row in rows]
    online = np.stack([encoder.encode(text, context) for text, context in zip(texts, contexts, strict=True)])
    np.testing.assert_allclose(encoder.encode_many(texts, contexts), online, atol=1e-5)
    return online, encode_requests(towers, arrays, rows)


@pytest.mark.many(2)
@pytest.mark.parametrize("history", ["none", "mean", "transformer"])
@pytest.mark.parametrize("scalars", [True, False])
def test_online_equals_offline(make_shop: MakeShop, history: str, scalars: bool) -> None:
    settings = with_training(make_shop(requests=400), history=history, scalars=scalars)
    online, offline = online_and_offline(settings, 50)
    np.testing.assert_allclose(online, offline, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(online, axis=1), 1, atol=1e-5)


def test_online_equals_offline_without_any_extra(make_shop: MakeShop) -> None:
    settings = make_shop(requests=300, texts=False, orders=False, figures=False, places=False, sessions=False)
    online, offline = online_and_offline(settings, 40)
    np.testing.assert_allclose(online, offline, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["scores", "features"])
def test_online_equals_offline_with_a_text_encoder(make_shop: MakeShop, fusion: str) -> None:
    changes = {"text_encoder": "minilm", "text_in_query": True, "text_fusion": fusion, "text_dim": 16}
    settings = with_training(make_shop(requests=100, items=60), **changes)
    online, offline = online_and_offline(settings, 20)
    assert online.shape[1] == {"scores": 16 + 16 + 16, "features": 16 + 16}[fusion], "learned, text and history part"
    np.testing.assert_allclose(online, offline, atol=0.1)  # one query is read in int8
    assert (online * offline).sum(axis=1).min() > 0.99


def test_a_query_is_known_by_numbers_that_the_release_reads(make_shop: MakeShop) -> None:
    """Serving has more numeric features, and empty ones, than a release may have learned from."""
    text = {"text_encoder": "minilm", "text_in_query": True, "text_dim": 8, "least_queries_per_token": 1_000}
    settings = with_training(make_shop(requests=100, items=60, figures=False), **text)
    arrays, towers = untrained(settings)
    encoder = encoder_of(settings, arrays, towers)
    counted = RequestContext(numeric={"query_requests_30d": 9.0, "query_clicks_30d": float("nan")})
    np.testing.assert_array_equal(encoder.encode("red shoes", counted), encoder.encode("red shoes"))
    settings = with_training(make_shop("other", requests=100, items=60), **text)
    arrays, towers = untrained(settings)
    encoder = encoder_of(settings, arrays, towers)
    unknown = RequestContext(numeric={"query_requests_30d": float("nan")})
    np.testing.assert_array_equal(encoder.encode("red shoes", unknown), encoder.encode("red shoes"))
    assert not np.allclose(encoder.encode("red shoes", counted), encoder.encode("red shoes"))


def test_everything_that_is_known_counts(make_shop: MakeShop) -> None:
    settings = make_shop(requests=200)
    arrays, towers = untrained(settings)
    encoder = encoder_of(settings, arrays, towers)
    ids = arrays.catalog()["item_id"].to_pylist()
    nobody = encoder.encode("red shoes")
    for context in (
        RequestContext(recent_queries=["blue lamp"]),
        RequestContext(recent_items=ids[:2]),
        RequestContext(recent_orders=ids[:2]),
        RequestContext(order_history=ids[:2]),
        RequestContext(recent_brands=["acme"]),
        RequestContext(ordered_tags=["sale"]),
        RequestContext(numeric={"requests_7d": 4.0}),
        RequestContext(numeric={"query_requests_30d": 9.0}),
        RequestContext(location={"country": "de"}),
        RequestContext(location={"latitude": 52.5, "longitude": 13.4}),
    ):
        assert np.abs(encoder.encode("red shoes", context) - nobody).max() > 1e-5, context
    clicked, ordered = (
        encoder.encode("red shoes", RequestContext(**{of: ids[:1]})) for of in ("recent_items", "recent_orders")
    )
    assert not np.allclose(clicked, ordered)


def test_what_the_release_does_not_know_is_skipped(make_shop: MakeShop) -> None:
    settings = make_shop(requests=200)
    arrays, towers = untrained(settings)
    encoder = encoder_of(settings, arrays, towers)
    nobody = encoder.encode("red shoes")
    strangers = RequestContext(
        recent_items=["never seen"], recent_orders=["nor this"], order_history=["or that"], numeric={"unheard_of": 1.0}
    )
    np.testing.assert_array_equal(encoder.encode("red shoes", strangers), nobody)
    np.testing.assert_array_equal(encoder.encode("red shoes", RequestContext(location={"country": None})), nobody)
    assert np.isfinite(encoder.encode("")).all()
    with pytest.raises(ValueError, match="planet"):
        encoder.encode("red shoes", RequestContext(location={"planet": "mars"}))


def test_long_histories_are_cut_as_in_the_training_set(make_shop: MakeShop) -> None:
    settings = make_shop(requests=200)
    arrays, towers = untrained(settings)
    encoder = encoder_of(settings, arrays, towers)
    ids, limits = arrays.catalog()["item_id"].to_pylist(), settings.features
    tags = [f"tag {n}" for n in range(40)]
    long = RequestContext(
        recent_queries=["a b"] * 9,
        recent_items=ids[:30],
        recent_orders=ids[:30],
        recent_brands=["acme", "borealis"] * 10,
        ordered_tags=tags,
    )
    cut = RequestContext(
        recent_queries=long.recent_queries[: limits.recent_queries],
        recent_items=long.recent_items[: limits.recent_items],
        recent_orders=long.recent_orders[: limits.recent_orders],
        recent_brands=long.recent_brands[: limits.recent_items],
        ordered_tags=long.ordered_tags[: limits.ordered_tags],
    )
    np.testing.assert_array_equal(encoder.encode("red shoes", long), encoder.encode("red shoes", cut))


def test_boosting_weights_follow_the_unit_vector(make_shop: MakeShop) -> None:
    settings = make_shop(requests=100)
    arrays, towers = untrained(settings)
    plain = encoder_of(settings, arrays, towers)
    weights = np.array([0.1, -0.2], dtype=np.float32)
    of_towers = (towers.config, towers.arrays(), arrays.item_tokens)
    boosted = QueryEncoder(*of_towers, ["x"], plain._preprocessing, weights).encode("red shoes")
    np.testing.assert_array_equal(boosted, np.concatenate([plain.encode("red shoes"), weights]))


def test_items_that_are_kept_are_read_as_those_that_are_not(
    make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that ask at once, over a table that is full after a few items."""
    settings = make_shop(requests=300)
    arrays, towers = untrained(settings)
    requests = pq.read_table(settings.paths.training_set / "requests").sort_by([("time", "ascending")]).to_pylist()
    rows = np.arange(len(requests))[:: len(requests) // 60]
    asked = [(requests[row]["query"], RequestContext.of_features(requests[row])) for row in rows]
    histories = [{*context.recent_items, *context.order_history} for _, context in asked]
    monkeypatch.setattr(query_forward, "KEPT_ITEMS", 2)
    assert sum(map(len, histories)) > 3 * 2
    assert any(len(history) > 2 for history in histories), "more at once than are kept"
    encoder = encoder_of(settings, arrays, towers)
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            online = np.stack(list(threads.map(lambda one: encoder.encode(*one), asked)))
            np.testing.assert_allclose(online, encode_requests(towers, arrays, rows), atol=1e-5)
