"""The towers: what they read, what they ignore, and that one request online is its row in a batch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from infra.settings import Settings
from training.arrays import Arrays, prepare_arrays
from training.batches import encode_requests, histories_of, look_up
from training.query_encoder import QueryEncoder
from training.towers import TowerConfig, Towers, encode_catalog
from training.trainer import tower_config

MakeShop = Callable[..., Settings]


def untrained(settings: Settings) -> tuple[Arrays, Towers]:
    arrays = prepare_arrays(settings)
    torch.manual_seed(0)
    towers = Towers(tower_config(settings, arrays))
    with torch.no_grad():
        for parameter in towers.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return arrays, towers.eval()


def encoder_of(arrays: Arrays, towers: Towers) -> tuple[QueryEncoder, list[str]]:
    ids = arrays.catalog()["item_id"].to_pylist()
    return QueryEncoder(towers, arrays.item_tokens, ids), ids


def test_online_equals_offline(make_shop: MakeShop) -> None:
    arrays, towers = untrained(make_shop(requests=400))
    encoder, ids = encoder_of(arrays, towers)
    queries = arrays.query_texts().to_pylist()
    rows = np.arange(0, 400, 7)
    offline = encode_requests(towers, arrays, rows)
    for row, vector in zip(rows, offline, strict=True):
        online = encoder.encode(
            queries[arrays.request_query[row]],
            [queries[q] for q in arrays.recent_queries[row] if q >= 0],
            [ids[i] for i in arrays.recent_items[row] if i >= 0],
            [ids[i] for i in arrays.recent_orders[row] if i >= 0],
        )
        np.testing.assert_allclose(online, vector, atol=1e-5)


def test_vectors_are_of_unit_length(make_shop: MakeShop) -> None:
    arrays, towers = untrained(make_shop(requests=60))
    np.testing.assert_allclose(np.linalg.norm(encode_catalog(towers, arrays.item_tokens), axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(encode_requests(towers, arrays, np.arange(60)), axis=1), 1, atol=1e-5)


def test_history_counts_and_unknown_items_do_not(make_shop: MakeShop) -> None:
    arrays, towers = untrained(make_shop(requests=60))
    encoder, ids = encoder_of(arrays, towers)
    nobody = encoder.encode("red shoes")
    np.testing.assert_array_equal(nobody, encoder.encode("red shoes", [], ["never seen"], ["nor this"]))
    for history in ((["blue lamp"], [], []), ([], ids[:2], []), ([], [], ids[:2])):
        assert np.abs(encoder.encode("red shoes", *history) - nobody).max() > 1e-4
    assert not np.allclose(encoder.encode("red shoes", [], ids[:1]), encoder.encode("red shoes", [], [], ids[:1]))


def test_not_personalized_is_the_unknown_user(make_shop: MakeShop) -> None:
    arrays, towers = untrained(make_shop(requests=100))
    encoder, _ = encoder_of(arrays, towers)
    vector = encode_requests(towers, arrays, np.array([99]), personalized=False)[0]
    text = arrays.query_texts()[int(arrays.request_query[99])].as_py()
    np.testing.assert_allclose(vector, encoder.encode(text), atol=1e-5)


def test_items_do_not_depend_on_their_neighbours_in_a_chunk(make_shop: MakeShop) -> None:
    arrays, towers = untrained(make_shop(requests=50))
    whole = encode_catalog(towers, arrays.item_tokens)
    np.testing.assert_allclose(encode_catalog(towers, arrays.item_tokens, chunk=7), whole, atol=1e-5)
    some = np.array([5, 3, 500])
    np.testing.assert_allclose(encode_catalog(towers, arrays.item_tokens, some), whole[some], atol=1e-5)


def test_every_part_gets_a_gradient(make_shop: MakeShop) -> None:
    arrays, towers = untrained(make_shop(requests=400))
    towers.train()
    rows = np.arange(300, 400)
    batch, means = look_up(
        towers, arrays, arrays.request_query[rows].astype(np.int64), histories_of(arrays, rows), np.arange(100)
    )
    (towers.encode_queries(batch) * torch.randn(100, towers.config.dim)).sum().backward()
    (towers.encode_items(means.detach()) * torch.randn(100, towers.config.dim)).sum().backward()
    assert [name for name, p in towers.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_config_survives_json() -> None:
    config = TowerConfig(("title", "category"), 10, 4, 4, 4, 8, 8, 5, 10, 10, (1.5, 2.0))
    assert TowerConfig.from_json(config.to_json()) == config
    assert TowerConfig.from_json({**config.to_json(), "groups": ["title", "category"]}) == config
    with pytest.raises(ValueError, match="in that order"):
        TowerConfig(("category", "title"), 10, 4, 4, 4, 8, 8, 5, 10, 10, ())


def test_serving_side_imports_are_light() -> None:
    heavy = ("pandas", "bm25s", "ir_measures", "matplotlib", "duckdb")
    code = f"import sys, training.release; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
