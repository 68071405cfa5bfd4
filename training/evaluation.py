"""Towers against baselines on the same rows: orders of validation requests, over the whole catalogue of their time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infra.settings import Settings, TrainingSettings
from training.arrays import Arrays, prepare_arrays
from training.baselines import Bm25, bm25_top, catalog_text, popular_top
from training.batches import encode_requests
from training.candidate import load_candidate
from training.held_out import stopping_and_judging
from training.items import item_tokens
from training.metrics import MEASURES, Values, mean_rows, per_request, summarise
from training.query_encoder import QueryEncoder
from training.search import exact_top
from training.text.ngrams import Hasher
from training.towers import Towers, encode_catalog

DEPTH = 100
FILE = "evaluation.json"


@dataclass(frozen=True)
class EvaluationReport:
    """Metrics of each method over the same requests.

    ``rows``: per method ``{"method", <measure>: {"value", "low", "high"}}``, the interval being a 95% bootstrap.
    ``slices``: ``{name: {"requests": n, "rows": as above}}``; a slice without a request is left out.
    """

    truth: str
    """``orders``, or ``clicks`` where no validation request has an order."""
    requests: int
    items: int
    rows: list[dict[str, Any]]
    slices: dict[str, dict[str, Any]]

    def value(self, method: str, measure: str) -> float:
        """One figure of the table."""
        return float(next(r for r in self.rows if r["method"] == method)[measure]["value"])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EvaluationReport:
        return cls(**value)

    def table(self) -> list[dict[str, str]]:
        """The rows as text, for display: ``0.512 [0.498, 0.526]``."""
        return [
            {"method": r["method"]} | {m: "{value:.3f} [{low:.3f}, {high:.3f}]".format(**r[m]) for m in MEASURES}
            for r in self.rows
        ]

    def markdown(self) -> str:
        """The rows as a Markdown table."""
        names = ("method", *MEASURES)
        lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
        return "\n".join([*lines, *("| " + " | ".join(row[n] for n in names) + " |" for row in self.table())])


def evaluate(settings: Settings, candidate_dir: Path) -> EvaluationReport:
    """Measure a candidate and the baselines, and write the report beside the candidate.

    Raises:
        FileNotFoundError: there is no candidate.
        ValueError: no validation request has an order or a click.
    """
    arrays = prepare_arrays(settings)
    towers = load_candidate(candidate_dir)
    truth, requests = _wanted_requests(arrays, settings.training)
    wanted = (arrays.ordered if truth == "orders" else arrays.clicked).take(requests)
    items = encode_catalog(towers, arrays.item_tokens)
    asked_at = arrays.request_time[requests]

    def by_towers(personalized: bool) -> NDArray[np.int64]:
        queries = encode_requests(towers, arrays, requests, personalized=personalized)
        return exact_top(queries, items, DEPTH, asked_at, arrays.item_available)[0]

    found = {
        "towers": by_towers(True),
        "towers, not personalized": by_towers(False),
        "bm25": bm25_top(arrays, requests, DEPTH),
        "popularity": popular_top(arrays, requests, DEPTH),
    }
    row, item = wanted.rows_of_entries(), wanted.ids.astype(np.int64)
    values = {method: per_request(top, row, item) for method, top in found.items()}
    slices = {name: s for name, s in _slices(arrays, requests, row, item).items() if s.any()}
    report = EvaluationReport(
        truth=truth,
        requests=len(requests),
        items=arrays.items,
        rows=_rows(values, np.ones(len(requests), dtype=bool), settings.training.seed),
        slices={
            name: {"requests": int(chosen.sum()), "rows": _rows(values, chosen, settings.training.seed)}
            for name, chosen in slices.items()
        },
    )
    (candidate_dir / FILE).write_text(json.dumps(report.to_json(), indent=2), encoding="utf-8")
    return report


def read_evaluation(candidate_dir: Path) -> EvaluationReport:
    """The report that :func:`evaluate` wrote beside a candidate."""
    return EvaluationReport.from_json(json.loads((candidate_dir / FILE).read_text(encoding="utf-8")))


def judge(
    model: Towers, queries: pa.Table | None, judgements: pa.Table, catalog: pa.Table, grade: int = 3
) -> list[dict[str, float | str]]:
    """Towers (of an unknown user) and BM25 against human judgements: recall@100 of a grade, NDCG@10 of all grades.

    Args:
        queries: column ``query``: the queries to judge on; None: all of the judgements'.
        judgements: columns ``query``, ``item_id``, ``grade`` (0 is irrelevant).
        catalog: the whole catalogue, in which everything is searched.

    Raises:
        ValueError: no judgement of ``grade`` is left for these queries and items.
    """
    catalog = catalog.sort_by("item_id")
    config = model.config
    tokens = item_tokens(catalog, Hasher(config.buckets, config.max_item_tokens), config.price_edges).groups
    missing = [g for g in config.groups if g not in tokens]
    if missing:
        raise ValueError(f"the model reads {missing}, which this catalogue does not have")
    vectors = encode_catalog(model, tokens)
    ids = catalog["item_id"].combine_chunks()
    row_of = pc.index_in(judgements["item_id"], ids)
    kept = judgements.append_column("item", row_of).filter(row_of.is_valid())
    if queries is not None:
        kept = kept.filter(pc.is_in(kept["query"], queries["query"].combine_chunks()))
    best = kept.filter(pc.equal(kept["grade"], grade))
    texts = pc.unique(best["query"])
    if len(texts) == 0:
        raise ValueError(f"no judgement of grade {grade} names an item of the catalogue")
    kept = kept.filter(pc.is_in(kept["query"], texts))
    encoder = QueryEncoder(model, tokens, [])
    encoded = np.stack([encoder.encode(text) for text in texts.to_pylist()])
    found = {
        "towers": exact_top(encoded, vectors, DEPTH)[0],
        "bm25": Bm25(catalog_text(catalog)).search(texts.to_pylist(), DEPTH)[0],
    }
    recall_measure, ndcg_measure = {"recall@100": MEASURES["recall@100"]}, {"ndcg@10": MEASURES["ndcg@10"]}
    values = {
        method: per_request(top, *_entries(best, texts)[:2], measures=recall_measure)
        | per_request(top, *_entries(kept, texts), measures=ndcg_measure)
        for method, top in found.items()
    }
    return [{**r, "queries": len(texts)} for r in mean_rows(values, ("recall@100", "ndcg@10"))]


def _entries(judgements: pa.Table, texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row of the query, item and grade of each judgement."""
    rows = pc.index_in(judgements["query"], texts)
    row, item, grade = (c.to_numpy().astype(np.int64) for c in (rows, judgements["item"], judgements["grade"]))
    return row, item, grade


def _wanted_requests(arrays: Arrays, settings: TrainingSettings) -> tuple[str, NDArray[np.int64]]:
    _, judging = stopping_and_judging(arrays, settings)
    for truth, stage in (("orders", arrays.ordered), ("clicks", arrays.clicked)):
        requests = judging[stage.lengths[judging] > 0]
        if len(requests):
            return truth, requests
    raise ValueError("no validation request has an order or a click: the log is too short to evaluate on")


def _rows(values: Mapping[str, Values], chosen: NDArray[np.bool_], seed: int) -> list[dict[str, Any]]:
    return [{"method": method, **summarise(v, chosen, seed)} for method, v in values.items()]


def _slices(
    arrays: Arrays, requests: NDArray[np.int64], row: NDArray[np.int64], item: NDArray[np.int64]
) -> dict[str, NDArray[np.bool_]]:
    """Which requests belong to a slice, [n] each. New: no user, query or item of that name in the train window."""
    train = np.flatnonzero(~arrays.is_validation)
    known = arrays.request_user[requests] >= 0
    returning = known & np.isin(arrays.request_user[requests], arrays.request_user[train])
    seen = np.isin(arrays.request_query[requests], arrays.request_query[train])
    cut = arrays.request_time[requests].min()
    is_new_item = np.bincount(row, weights=arrays.item_available[item] > cut, minlength=len(requests)) > 0
    return {
        "returning users": returning,
        "new users": ~returning,
        "seen queries": seen,
        "unseen queries": ~seen,
        "new items": is_new_item,
    }
