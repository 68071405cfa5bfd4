"""Training on the toy shop: it learns, it repeats, it stops, and each objective can be off."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from infra.contract.errors import TrainingSetError
from infra.settings import Settings, TrainingSettings
from tests.training.conftest import with_training
from training.__main__ import main
from training.losses.objective import PARTS
from training.run.trainer import leads, train

pytestmark = pytest.mark.slow

MakeShop = Callable[..., Settings]


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
    settings = with_training(make_shop(requests=400), epochs=2, threads=threads)
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


@pytest.mark.parametrize("only", PARTS)
def test_one_objective_alone_trains(make_shop: MakeShop, only: str) -> None:
    weights = {f"weight_{name}": float(name == only) for name in PARTS}
    curve = train(with_training(make_shop(requests=700), epochs=2, **weights)).curve
    assert curve[-1][only] < curve[0][only]
    assert curve[-1]["loss"] == pytest.approx(curve[-1][only])


@pytest.mark.parametrize("recipe", ["shelfwise", "mmse", "ueppr"])
def test_a_shop_that_knows_little_trains(make_shop: MakeShop, recipe: str) -> None:
    settings = make_shop(requests=300, texts=False, orders=False, figures=False, places=False, sessions=False)
    kept = settings.training.model_dump(include={"buckets", "token_dim", "dim", "hidden", "batch_size", "least_steps"})
    chosen = TrainingSettings(recipe=recipe, **kept, text_encoder="none", epochs=2, device="cpu", threads=1)
    result = train(settings.model_copy(update={"training": chosen}))
    assert result.groups == ("category", "category_words", "attributes")
    assert result.encoders[0] == "terms"
    assert not {"graph", "location", "scalars"} & set(result.encoders)
    assert all(np.isfinite(entry["loss"]) for entry in result.curve)


@pytest.mark.parametrize(
    "off",
    [
        {"graph": False},
        {"location": False},
        {"scalars": False},
        {"history": "none"},
        {"history": "mean"},
        {"shared_words": False},
        {"shared_taste": False},
        {"fields": ("title",), "location": False},
        {"ngrams": ("words",)},
    ],
)
def test_any_part_of_the_towers_can_be_off(make_shop: MakeShop, off: dict[str, object]) -> None:
    curve = train(with_training(make_shop(requests=300), epochs=2, batch_size=32, **off)).curve
    assert curve[-1]["loss"] < curve[0]["loss"]


def test_learns_with_a_text_encoder(make_shop: MakeShop) -> None:
    text = {"text_encoder": "minilm", "text_in_query": True, "text_dim": 16, "epochs": 1}
    result = train(with_training(make_shop(requests=600), **text))
    assert "text (minilm)" in result.encoders
    assert result.curve[-1]["recall@10"] > 0.5


@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
# torch.compile looks at every tensor's gradient itself.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_learns_compiled(make_shop: MakeShop) -> None:
    settings = with_training(make_shop(requests=400), epochs=1)
    plain = train(settings).curve[0]
    compiled = train(with_training(settings, compile=True)).curve[0]
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=0.01)


def test_no_click_is_an_error(make_shop: MakeShop) -> None:
    with pytest.raises(TrainingSetError, match="nothing to learn"):
        train(make_shop(requests=2, days=2))


def test_the_command_line_says_what_it_takes_and_trains_only_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "--live FOLDER" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["--live", str(tmp_path)])
    assert "there is no release" in capsys.readouterr().err


def test_a_later_epoch_has_to_lead_surely() -> None:
    best = [0.0, 1.0, 0.0, 1.0] * 25
    assert leads([1.0] * 100, best, 1.0)
    two_of_three = [1.0, 0.0, 1.0, *best[3:]]
    assert leads(two_of_three, best, 0.0) and not leads(two_of_three, best, 1.0), "one more of a hundred may be chance"
    assert not leads(best, best, 0.0)
    assert leads(best, [], 1.0), "the first one leads"
    assert leads([], [], 1.0), "without validation requests the latest is taken"
