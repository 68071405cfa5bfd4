"""The values of each request, and of each judged query, by the methods of a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.ablations.results import JUDGED, Column, Values
from benchmarks.ablations.rows import PROPOSED
from demoshop.judgements import held_out_queries, read_judgements
from infra.contract.query_text import normalise
from infra.settings import Settings, TrainingSettings
from training.data.arrays import Arrays
from training.evaluation import BOOSTED, Searches, VectorSearch, judged_values, searches_of
from training.evaluation.measure import ALL_ITEMS, following_days, judging_requests
from training.evaluation.slices import slices_of
from training.evaluation.values import Clock, values_of
from training.model.encoding import encode_catalog
from training.model.preprocessing import preprocessing_of
from training.model.query_encoder import QueryEncoder
from training.model.towers import Towers
from training.quality_prior import QualityPrior
from training.text import embed, item_texts, sentence_encoder


def with_proposed(settings: Settings, arrays: Arrays, towers: Towers, prior: QualityPrior | None) -> Searches:
    """All methods, with boosting by the weights that were proposed as one more."""
    searches = searches_of(settings, arrays, towers, prior)
    if prior is None or not prior.weights.proposed:
        return searches
    forced = replace(prior, weights=replace(prior.weights, weights=prior.weights.proposed))
    makers = searches_of(settings, arrays, towers, forced).makers
    return replace(searches, makers={**searches.makers, PROPOSED: makers[BOOSTED]})


def values_per_request(
    training: TrainingSettings, arrays: Arrays, searches: Searches, methods: Sequence[str]
) -> tuple[str, Values]:
    """What was wanted (``orders`` or ``clicks``), and the measures of the requests that judge.

    Raises:
        ValueError: no validation request has an order or a click.
    """
    truth, requests = judging_requests(arrays)
    wanted = (arrays.ordered if truth == "orders" else arrays.clicked).take(requests)
    slices = slices_of(arrays, requests, wanted)
    truths = {ALL_ITEMS: wanted} | {name: part.wanted for name, part in slices.items() if part.wanted is not None}
    values = values_of(searches, methods, requests, truths, Clock())
    columns: dict[Column, np.ndarray] = {
        (name, method, measure): numbers.astype(np.float32)
        for name, of in values.items()
        for method, measures in of.items()
        for measure, numbers in measures.items()
    }
    user = arrays.request_user[requests].astype(np.int64)
    unit = np.where(user >= 0, user, int(arrays.request_user.max(initial=0)) + 1 + requests)
    day, _ = following_days(arrays, requests)
    masks = {name: part.requests for name, part in slices.items() if part.wanted is None}
    return truth, Values(columns, unit, day, masks)


def values_per_judged_query(settings: Settings, arrays: Arrays, towers: Towers, landing: Path) -> Values:
    """The measures of the judged queries that got no sessions."""
    judgements = read_judgements(landing / "qrels.tsv")
    catalog, encoder = arrays.catalog(), sentence_encoder(settings)
    tower = QueryEncoder(towers.config, towers.arrays(), arrays.item_tokens, [], preprocessing_of(settings, arrays))
    values, queries = judged_values(
        encode_catalog(towers, arrays, arrays.end, kept=settings.training.graph_kept),
        catalog["item_id"].combine_chunks(),
        lambda query: tower.encode(normalise(query)),
        held_out_queries(judgements, settings.demo),
        judgements,
        catalog,
        zero_shot=VectorSearch(embed(settings, encoder, item_texts(catalog)), encoder.encode_query),
    )
    columns: dict[Column, np.ndarray] = {
        (JUDGED, method, measure): numbers.astype(np.float32)
        for method, measures in values.items()
        for measure, numbers in measures.items()
    }
    return Values(columns, np.arange(len(queries)), np.zeros(len(queries), dtype=np.int64))
