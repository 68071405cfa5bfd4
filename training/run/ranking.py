"""The second stage of the candidate: fitted beside it, and its sources as of a moment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra.settings import Settings
from training.data.arrays import Arrays, prepare_arrays
from training.data.held_out import stopping_and_judging
from training.data.ngrams import Hasher
from training.model.encoding import encode_catalog, encode_requests
from training.model.search import exact_top
from training.model.towers import Towers
from training.quality_prior import QualityPrior, items_with_quality, query_with_prior
from training.ranking.asked_queries import QueryReader
from training.ranking.candidates import DEPTH
from training.ranking.confidence import Confidence, fit_confidence, nearness, unrelated_queries
from training.ranking.fitting import FittedRanker
from training.ranking.second_stage import SecondStage
from training.run.candidate import EVALUATION, RANKER, load_candidate, load_prior
from training.text import TextEncoderError, embed, load_text_encoder


def fit_candidate_ranker(settings: Settings, folder: Path) -> FittedRanker:
    """Fit the ranker of a candidate, and write it beside it.

    It learns from the requests of the users who also chose the epoch: later than what the towers learned from, so that
    their scores are not those of memorised pairs, and none of them judges the result.

    Raises:
        FileNotFoundError: there is no candidate, or nothing was found out about its quality prior.
    """
    towers, arrays, prior = load_candidate(folder), prepare_arrays(settings), load_prior(folder)
    (folder / EVALUATION).unlink(missing_ok=True)
    requests, _ = stopping_and_judging(arrays)
    stage = second_stage(settings, arrays, towers, prior)
    fitted = replace(stage.fit(requests, settings), confidence=_confidence(settings, stage, requests))
    save_ranker(folder, fitted)
    return fitted


def _confidence(settings: Settings, stage: SecondStage, requests: NDArray[np.int64]) -> Confidence | None:
    """Where nothing fits a query, by those of the requests that led to a click; None without texts to compare."""
    text, encoder = stage.arrays.text, load_text_encoder(settings)
    if text is None or stage.items.text is None or encoder is None:
        return None
    clicked = requests[stage.arrays.clicked.lengths[requests] > 0]
    query, first = np.unique(stage.arrays.request_query[clicked], return_index=True)
    found, _ = exact_top(stage.encode(clicked[first]), stage.items.vectors, DEPTH)
    near = nearness(text.queries[query], stage.items.text, found)
    return fit_confidence(near, encoder.encode(unrelated_queries(settings.training.seed)), text.items)


def save_ranker(folder: Path, ranker: FittedRanker) -> None:
    """Write what orders the candidates of a candidate model."""
    (folder / RANKER).write_text(json.dumps(ranker.to_json(), indent=2), encoding="utf-8")


def load_ranker(folder: Path) -> FittedRanker:
    """What :func:`save_ranker` wrote.

    Raises:
        FileNotFoundError: nothing was written for this candidate.
    """
    return FittedRanker.from_json(json.loads((folder / RANKER).read_text(encoding="utf-8")))


def second_stage(
    settings: Settings, arrays: Arrays, towers: Towers, prior: QualityPrior | None, at: int | None = None
) -> SecondStage:
    """The sources of towers, with the quality prior where it is in force, as of ``at`` (default: the cut)."""
    at = arrays.cut if at is None else at
    items = encode_catalog(towers, arrays, at, kept=settings.training.graph_kept)
    weights = np.array(prior.in_force if prior else [], dtype=np.float32)
    if prior is not None and len(weights):
        items = items_with_quality(items, prior.quality(arrays, at, settings.features.rate_prior))

    def encode(asked: Arrays, requests: NDArray[np.int64], *, personalized: bool = True) -> NDArray[np.float32]:
        vectors = encode_requests(towers, asked, requests, personalized=personalized)
        return query_with_prior(vectors, weights) if len(weights) else vectors

    def embedded(texts: Sequence[str]) -> NDArray[np.float32]:
        encoder = load_text_encoder(settings)
        if encoder is None:
            raise TextEncoderError("the arrays have vectors of a text encoder that is off: build them anew")
        return embed(settings, encoder, texts)

    config = towers.config
    reader = QueryReader(Hasher(config.buckets, config.max_query_tokens, config.ngrams), embedded)
    return SecondStage.of(arrays, config, items, encode, at, reader)
