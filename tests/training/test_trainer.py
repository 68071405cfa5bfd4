"""Training on the toy shop: it learns, it repeats, it stops, and each objective can be off."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from infra.settings import Settings
from training.arrays import TrainingSetError, prepare_arrays
from training.batches import training_batches
from training.trainer import train

MakeShop = Callable[..., Settings]


def with_training(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"training": settings.training.model_copy(update=changes)})


def test_learns_and_shows_progress(make_shop: MakeShop) -> None:
    shares: list[float] = []
    result = train(make_shop(), lambda message, share: shares.append(share))
    assert result.curve[-1]["recall@10"] > 0.7
    assert result.curve[0]["loss"] > result.curve[-1]["loss"]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert (result.candidate_dir / "model.safetensors").exists()
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_weights(make_shop: MakeShop, threads: int) -> None:
    settings = with_training(make_shop(requests=800), epochs=2, threads=threads)
    first = load_file(train(settings).candidate_dir / "model.safetensors")
    second = load_file(train(settings).candidate_dir / "model.safetensors")
    for name, weights in first.items():
        np.testing.assert_array_equal(weights, second[name])
    other = load_file(train(with_training(settings, seed=8)).candidate_dir / "model.safetensors")
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_stops_when_recall_stops_rising(make_shop: MakeShop) -> None:
    result = train(with_training(make_shop(), epochs=40, patience=1, learning_rate=0.02))
    assert len(result.curve) < 40
    assert result.best_epoch == len(result.curve) - 1


@pytest.mark.parametrize("only", ["click", "unclicked", "click_over_unclicked", "order_over_unclicked"])
def test_one_objective_alone_trains(make_shop: MakeShop, only: str) -> None:
    names = ("click", "unclicked", "click_over_unclicked", "order_over_unclicked")
    weights = {f"weight_{name}": float(name == only) for name in names}
    curve = train(with_training(make_shop(requests=1_500), epochs=2, **weights)).curve
    assert curve[-1][only] < curve[0][only]
    assert curve[-1]["loss"] == pytest.approx(curve[-1][only])


def test_a_shop_without_texts_orders_or_validation_clicks(make_shop: MakeShop) -> None:
    result = train(make_shop(requests=300, texts=False, orders=False))
    assert result.groups == ("category", "category_words", "attributes")
    assert all(np.isfinite(entry["loss"]) for entry in result.curve)


def test_no_click_is_an_error(make_shop: MakeShop) -> None:
    with pytest.raises(TrainingSetError, match="nothing to learn"):
        train(make_shop(requests=2, days=2))


def test_a_batch_holds_what_its_requests_hold(make_shop: MakeShop) -> None:
    arrays = prepare_arrays(make_shop(requests=500))
    examples = np.flatnonzero((arrays.clicked.lengths > 0) & ~arrays.is_validation)
    rng = np.random.default_rng(0)
    seen: list[int] = []
    for batch in training_batches(arrays, examples, size=64, unclicked=3, uniform=2, forgotten=0.5, rng=rng):
        seen += batch.requests.tolist()
        for row, request in enumerate(batch.requests):
            assert batch.targets[batch.clicked[row]] in arrays.clicked[request]
            if batch.ordered[row] >= 0:
                assert batch.targets[batch.ordered[row]] in arrays.ordered[request]
            else:
                assert len(arrays.ordered[request]) == 0
            assert set(batch.targets[batch.unclicked[row].numpy()]) <= set(arrays.unclicked[request].tolist())
        assert torch.equal(batch.columns[:64], batch.clicked)
        assert len(batch.columns) == 64 * 3
        known = batch.histories.queries[:, 0] >= 0
        assert 0.2 < known.mean() < 0.8
    assert len(seen) == len(set(seen)) == len(examples) // 64 * 64
