"""The index tuner: what it reports, what it chooses, and that a release is searched by its choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.settings import IndexSettings, Settings
from serving.index.memory import MemoryIndex
from serving.loading import load_served
from serving.tuning import tune
from tests.serving.small_shop import Shop, make_shop
from training.evaluation import EvaluationReport
from training.release.manifest import CHOICE
from training.release.release import Release, load_release
from training.release.writer import write_release
from training.run.candidate import (
    INDEX,
    fit_candidate_prior,
    item_vectors,
    latest_query_vectors,
    read_index,
    save_index,
)
from training.run.ranking import fit_candidate_ranker

IN_MEMORY, BY_MILVUS = ["FLAT", "IVF_FLAT", "PQ_FASTSCAN"], ["FLAT", "HNSW", "IVF_FLAT"]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(20, 24))
    made = centres[rng.integers(0, 20, 12_000)] + 0.7 * rng.normal(size=(12_000, 24))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def shop_with(**index: object) -> Settings:
    return Settings(index=IndexSettings(tuning_trials=6, **index))  # type: ignore[arg-type]


def test_the_fastest_type_that_loses_little_enough_is_chosen(vectors: np.ndarray) -> None:
    report = tune(shop_with(), vectors, vectors[:40])
    types = {measured["type"]: measured for measured in report["types"]}
    assert list(types) == IN_MEMORY
    assert types["FLAT"]["recall_loss"] == {"100": 0, "1000": 0}
    assert types["FLAT"]["memory_bytes"] == 0 < types["PQ_FASTSCAN"]["memory_bytes"] < types["IVF_FLAT"]["memory_bytes"]
    for measured in types.values():
        assert all(0 <= loss < 1 for loss in measured["recall_loss"].values())
        assert measured["eligible"] == (max(measured["recall_loss"].values()) <= 0.01)
        assert all(0 < ms["p50"] <= ms["p99"] for ms in measured["latency_ms"].values())
        assert measured["build_seconds"] >= 0
    eligible = [measured for measured in types.values() if measured["eligible"]]
    fastest = min(eligible, key=lambda measured: measured["latency_ms"]["100"]["p50"])
    assert report["chosen"] == {name: value for name, value in fastest.items() if name != "eligible"}
    assert (report["items"], report["width"], report["queries"]) == (12_000, 24, 40)


@pytest.mark.parametrize(
    ("index", "types"),
    [
        ({"index_type": "IVF_FLAT"}, ["IVF_FLAT"]),
        ({"uri": "http://far:19530"}, BY_MILVUS),
        ({"index_type": "PQ_FASTSCAN", "max_recall_loss": 0}, ["PQ_FASTSCAN"]),
    ],
)
def test_only_types_that_may_serve_are_measured(
    vectors: np.ndarray, index: dict[str, object], types: list[str]
) -> None:
    report = tune(shop_with(**index), vectors[:3_000], vectors[:10])
    assert [measured["type"] for measured in report["types"]] == types
    assert report["chosen"]["type"] in types


def test_a_small_catalogue_is_searched_exactly(vectors: np.ndarray) -> None:
    report = tune(shop_with(index_type="HNSW"), vectors[:70], vectors[:2])
    assert report["chosen"]["type"] == "FLAT"
    assert report["chosen"]["recall_loss"] == {"100": 0, "1000": 0}
    with pytest.raises(ValueError, match="nothing to tune"):
        tune(shop_with(), vectors, vectors[:0])


def test_a_release_carries_the_choice_and_is_searched_by_it(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=1_200, index={"tuning_trials": 3, "index_type": "HNSW"})
    plain = shop.release()
    assert plain.manifest.index == {}
    candidate = shop.settings.paths.training / "candidate"
    vectors, queries = item_vectors(shop.settings, candidate), latest_query_vectors(shop.settings, candidate, 5)
    np.testing.assert_array_equal(vectors, plain.items.vectors)
    assert queries.shape == (2, vectors.shape[1])
    report = tune(shop.settings, vectors, queries)
    save_index(candidate, report)
    release = released(shop)
    assert release.manifest.index == report
    assert "- Index: HNSW, which misses" in (release.manifest.path / "model_card.md").read_text(encoding="utf-8")
    served = load_served(shop.settings, release.id)
    assert isinstance(served.index, MemoryIndex)
    assert served.index.choice.to_json() == {name: report["chosen"][name] for name in ("type", "params")}
    fit_candidate_prior(shop.settings, candidate)
    fit_candidate_ranker(shop.settings, candidate)
    assert not (candidate / INDEX).exists()
    assert read_index(candidate) == {}


def test_another_choice_is_another_release_and_other_figures_of_time_are_not(tmp_path: Path) -> None:
    """The gate on the index and the servers would not look again at an id that they know."""
    shop = make_shop(tmp_path, items=60)
    untuned = shop.release()
    candidate = shop.settings.paths.training / "candidate"

    def index(ef: int, lost: float, took: float) -> dict[str, Any]:
        params = {"m": 16, "ef": ef, "ef_per_k": 1.0}
        loss = {"100": lost, "1000": lost}
        return {"chosen": {"type": "HNSW", "params": params, "recall_loss": loss, "latency_ms": took}, "seconds": took}

    ids = []
    for tuned in (index(64, 0.02, 1.0), index(64, 0.02, 2.0), index(128, 0.02, 1.0), index(128, 0.01, 1.0)):
        save_index(candidate, tuned)
        release = released(shop)
        ids.append(release.id)
        chosen = release.manifest.index["chosen"]
        assert {name: chosen[name] for name in CHOICE} == {name: tuned["chosen"][name] for name in CHOICE}
    assert ids[0] == ids[1]
    assert len({untuned.id, *ids}) == 4


def released(shop: Shop) -> Release:
    """The candidate in place as a release, loaded."""
    none = EvaluationReport(truth="orders", requests=0, items=len(shop.catalog), rows=[], slices={})
    return load_release(write_release(shop.settings, shop.settings.paths.training / "candidate", none))
