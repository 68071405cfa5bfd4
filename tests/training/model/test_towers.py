"""The towers: unit vectors, what they ignore, where gradients go, and what a configuration says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from infra.contract.errors import TrainingSetError
from infra.settings import Settings
from tests.training.conftest import with_training
from tests.training.model.test_query_encoder import encoder_of, untrained
from training.data.arrays import prepare_arrays
from training.data.batches import BatchMaker
from training.data.edges import Edges
from training.data.ragged import offsets_of
from training.model.encoding import encode_catalog, encode_requests
from training.model.inputs import look_up
from training.model.tower_config import TowerConfig
from training.model.towers import Towers
from training.run.new_towers import tower_config, vocabulary_tokens

MakeShop = Callable[..., Settings]


def test_vectors_are_of_unit_length(make_shop: MakeShop) -> None:
    arrays, towers = untrained(make_shop(requests=60))
    np.testing.assert_allclose(
        np.linalg.norm(encode_catalog(towers, arrays, arrays.cut, kept=32), axis=1), 1, atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.norm(encode_requests(towers, arrays, np.arange(60)), axis=1), 1, atol=1e-5)


def test_not_personalized_is_the_unknown_user(make_shop: MakeShop) -> None:
    settings = with_training(make_shop(requests=100, places=False), scalars=False)
    arrays, towers = untrained(settings)
    vector = encode_requests(towers, arrays, np.array([99]), personalized=False)[0]
    text = arrays.query_texts()[int(arrays.request_query[99])].as_py()
    np.testing.assert_allclose(vector, encoder_of(settings, arrays, towers).encode(text), atol=1e-5)


def test_some_items_are_what_they_are_among_all(make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, towers = untrained(make_shop(requests=300))
    whole = encode_catalog(towers, arrays, arrays.cut, kept=32)
    some = np.array([5, 3, 500])
    np.testing.assert_allclose(encode_catalog(towers, arrays, arrays.cut, kept=32, items=some), whole[some], atol=1e-5)
    monkeypatch.setattr("training.model.encoding.CHUNK", 7)
    np.testing.assert_allclose(encode_catalog(towers, arrays, arrays.cut, kept=32), whole, atol=1e-5)


def test_a_catalogue_is_as_of_a_time(make_shop: MakeShop) -> None:
    """Later figures and edges change nothing of an earlier time."""
    arrays, towers = untrained(make_shop(requests=300))
    early, late = (encode_catalog(towers, arrays, at, kept=32) for at in (arrays.cut, arrays.end))
    assert not np.allclose(early, late)
    edges = arrays.edges
    known = np.asarray(edges.time < arrays.cut)
    assert 0 < known.sum() < len(edges)
    item = np.repeat(np.arange(arrays.items), np.diff(edges.offsets))[known]
    offsets = offsets_of(np.bincount(item, minlength=arrays.items))
    cut = replace(arrays, edges=Edges(offsets, edges.query[known], edges.time[known], edges.weight[known]))
    (arrays.path / "item_features.end.parquet").unlink()
    np.testing.assert_array_equal(encode_catalog(towers, cut, arrays.cut, kept=32), early)


def test_familiar_are_the_tokens_that_enough_train_queries_share(make_shop: MakeShop) -> None:
    settings = with_training(make_shop(requests=300), least_queries_per_token=3)
    arrays = prepare_arrays(settings)
    queries: dict[int, set[int]] = {}
    for request in np.flatnonzero(~arrays.is_validation):
        query = int(arrays.request_query[request])
        for token in arrays.query_tokens[query].tolist():
            queries.setdefault(token, set()).add(query)
    expected = {token for token, held in queries.items() if len(held) >= 3}
    assert set(np.flatnonzero(vocabulary_tokens(settings.training, arrays)).tolist()) == expected
    assert 0 < len(expected) < len(queries)


@pytest.mark.parametrize("history", ["none", "mean", "transformer"])
def test_every_part_gets_a_gradient(make_shop: MakeShop, history: str) -> None:
    settings = with_training(make_shop(requests=600), history=history)
    arrays, towers = untrained(settings)
    towers.train()
    batch = BatchMaker(arrays, towers.config, settings.training).make(np.flatnonzero(arrays.clicked.lengths)[-128:], 0)
    requests, items = look_up(towers, batch.queries, batch.targets)
    asked, found = towers.encode_queries(requests), towers.encode_items(items)
    torch.autograd.backward((asked * torch.randn_like(asked)).sum() + (found * torch.randn_like(found)).sum())
    assert [name for name, p in towers.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_configuration_has_what_the_shop_fills_and_the_settings_have_on(make_shop: MakeShop) -> None:
    settings = make_shop(requests=100)
    arrays = prepare_arrays(settings)
    config = tower_config(settings.training, arrays)
    assert config.encoders == ("terms", "graph", "location", "scalars", "user (transformer)", "history")
    off = with_training(settings, graph=False, location=False, scalars=False, history="none", fields=("title",))
    config = tower_config(off.training, arrays)
    assert (config.encoders, config.groups) == (("terms",), ("title",))
    with pytest.raises(TrainingSetError, match=r"none of the fields that are on \(description\)"):
        tower_config(with_training(off, fields=("description",)).training, arrays)


def test_config_survives_json() -> None:
    config = TowerConfig(("title", "category"), 10, 4, 4, 4, ("words",), 8, 8, 5, 10, 10, 20, (1.5, 2.0))
    assert TowerConfig.from_json(config.to_json()) == config
    assert TowerConfig.from_json({**config.to_json(), "groups": ["title", "category"]}) == config
    with pytest.raises(ValueError, match="in that order"):
        TowerConfig(("category", "title"), 10, 4, 4, 4, ("words",), 8, 8, 5, 10, 10, 20, ())


def test_minimal_towers_can_be_made() -> None:
    config = TowerConfig(("category",), 10, 4, 4, 4, ("words",), 8, 8, 5, 10, 10, 20, ())
    assert Towers(config).config.width == 4


def test_serving_side_imports_are_light() -> None:
    heavy = ("pandas", "bm25s", "ir_measures", "matplotlib", "duckdb", "optuna")
    code = f"import sys, training.release.release; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
