"""The training set as memory-mapped columns: what a training step reads, nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.settings import Settings
from training.data.array_builder import META, build_arrays, fingerprint_of
from training.data.edges import Edges
from training.data.ragged import Ragged
from training.data.scalars import QuantileTransform
from training.text import embed, item_texts, load_text_encoder

__all__ = ["Arrays", "ShownStage", "Stage", "TextVectors", "prepare_arrays"]


@dataclass(frozen=True)
class Stage:
    """The items of each request that reached a stage, in shown order."""

    items: Ragged
    features: NDArray[np.float32]
    """Figures of each entry's item as of its request, quantile-transformed, NaN where unknown, [entries, F]."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.items.lengths

    def take(self, requests: NDArray[np.int64]) -> Ragged:
        """The items of ``requests``."""
        return self.items.take(requests)


@dataclass(frozen=True)
class ShownStage(Stage):
    """One of which it is kept where the items stood."""

    positions: NDArray[np.int16]
    """Place of each entry in the list that its request showed, from 1; 0 where it was not shown, [entries]."""


@dataclass(frozen=True)
class TextVectors:
    """What the text encoder makes of each item and each distinct query, [n, width]; zeros where there is no text."""

    items: NDArray[np.float32]
    queries: NDArray[np.float32]
    encoder: str = ""
    """Kind of the encoder, as settings call it."""

    @property
    def width(self) -> int:
        return int(self.items.shape[1])


@dataclass(frozen=True)
class Arrays:
    """Requests in order of time, items in order of id, distinct queries in order of text. -1 pads a history."""

    path: Path
    meta: Mapping[str, Any]
    query_tokens: Ragged
    item_tokens: Mapping[str, Ragged]
    item_available: NDArray[np.int64]
    """Microseconds since 1970 from which an item can be found, [items]."""
    request_query: NDArray[np.int32]
    request_user: NDArray[np.int32]
    """A number per user, -1 where the log has none, [requests]."""
    request_person: NDArray[np.float64]
    """In [0, 1) by the seed and the user's id, so the same in every run over whatever log; where the log has no user,
    by the request's own, [requests]."""
    request_time: NDArray[np.int64]
    is_validation: NDArray[np.bool_]
    recent_queries: NDArray[np.int32]
    recent_items: NDArray[np.int32]
    recent_orders: NDArray[np.int32]
    order_history: Ragged
    """An entry per order, newest first, at most ``settings.features.order_history``."""
    recent_brands: NDArray[np.int32]
    """Token buckets of the brands, newest first."""
    ordered_tags: NDArray[np.int32]
    """Token buckets of the tags."""
    request_features: NDArray[np.float32]
    """Numeric features of the user and the query as of the request, quantile-transformed, NaN where unknown,
    [requests, F]."""
    request_location: Ragged
    """Token buckets of where a request came from."""
    clicked: ShownStage
    ordered: Stage
    unclicked: ShownStage
    random: Stage
    edges: Edges
    text: TextVectors | None = None
    added_queries: pa.Array | None = None
    """Queries that nobody typed, numbered after those of the log; see :mod:`training.ranking.asked_queries`."""

    @property
    def items(self) -> int:
        return len(self.item_available)

    @property
    def cut(self) -> int:
        """The end of the train window, in microseconds since 1970."""
        return int(self.meta["cut_us"])

    @property
    def end(self) -> int:
        """The end of the log, in microseconds since 1970."""
        return int(self.meta["end_us"])

    def catalog(self) -> pa.Table:
        """The catalogue, row ``i`` being item ``i``."""
        return pq.read_table(self.path / "items.parquet")

    def query_texts(self) -> pa.Array:
        """The distinct queries, row ``i`` being query ``i``."""
        typed = pq.read_table(self.path / "queries.parquet")["query"].combine_chunks()
        return typed if self.added_queries is None else pa.concat_arrays([typed, self.added_queries.cast(typed.type)])

    @property
    def item_transform(self) -> QuantileTransform:
        """How the numeric features of items were made comparable; fitted on the train window."""
        return QuantileTransform.from_json(self.meta["item_transform"])

    @property
    def request_transform(self) -> QuantileTransform:
        """How those of users and queries were made comparable; fitted on the train window."""
        return QuantileTransform.from_json(self.meta["request_transform"])

    def item_features(self, at: int) -> NDArray[np.float32]:
        """Raw numeric features of each item as of ``at`` (microseconds since 1970), by ``meta["item_features"]``,
        [items, F]; NaN where nothing is known.

        Raises:
            ValueError: ``at`` is neither the cut nor the end, the moments that the training set was joined at.
        """
        moment = {self.cut: "cut", self.end: "end"}.get(at)
        if moment is None:
            raise ValueError(f"item features are known as of the cut ({self.cut}) or the end ({self.end}), not {at}")
        names = list(self.meta["item_features"])
        table = pq.read_table(self.path / f"item_features.{moment}.parquet", columns=names)
        values = np.full((self.items, len(names)), np.nan, dtype=np.float32)
        for column, name in enumerate(names):
            values[:, column] = table[name].to_numpy()
        return values


def prepare_arrays(settings: Settings, *, text: bool = True) -> Arrays:
    """The arrays of the training set on disk, built if they are missing or were built from something else.

    Args:
        text: with the vectors of the text encoder, where one is on: every text is looked up in the cache.

    Raises:
        TrainingSetError: there is no training set or catalogue, or it has no request.
    """
    target = settings.paths.training / "arrays"
    fingerprint = fingerprint_of(settings)
    meta = target / META
    if not meta.exists() or json.loads(meta.read_text(encoding="utf-8"))["fingerprint"] != fingerprint:
        build_arrays(settings, target, fingerprint)
    arrays = _mapped(target)
    return _with_text(arrays, settings) if text else arrays


def _mapped(path: Path) -> Arrays:
    def column(name: str) -> NDArray[Any]:
        return np.load(path / f"{name}.npy", mmap_mode="r")  # type: ignore[no-any-return]

    def ragged(name: str) -> Ragged:
        return Ragged(column(f"{name}.offsets"), column(f"{name}.ids"))

    def stage(name: str) -> Stage:
        return Stage(ragged(name), column(f"{name}.features"))

    def shown_stage(name: str) -> ShownStage:
        return ShownStage(ragged(name), column(f"{name}.features"), column(f"{name}.positions"))

    meta = json.loads((path / META).read_text(encoding="utf-8"))
    return Arrays(
        path=path,
        meta=meta,
        query_tokens=ragged("query_tokens"),
        item_tokens={group: ragged(f"item.{group}") for group in meta["groups"]},
        item_available=column("item_available"),
        request_query=column("request_query"),
        request_user=column("request_user"),
        request_person=column("request_person"),
        request_time=column("request_time"),
        is_validation=column("is_validation"),
        recent_queries=column("recent_queries"),
        recent_items=column("recent_items"),
        recent_orders=column("recent_orders"),
        order_history=ragged("order_history"),
        recent_brands=column("recent_brands"),
        ordered_tags=column("ordered_tags"),
        request_features=column("request_features"),
        request_location=ragged("request_location"),
        clicked=shown_stage("clicked"),
        ordered=stage("ordered"),
        unclicked=shown_stage("unclicked"),
        random=stage("random"),
        edges=Edges(*(column(f"edges.{name}") for name in ("offsets", "query", "time", "weight"))),
    )


def _with_text(arrays: Arrays, settings: Settings) -> Arrays:
    encoder = load_text_encoder(settings)
    if encoder is None:
        return arrays
    items = embed(settings, encoder, item_texts(arrays.catalog()))
    if not items.any():
        return arrays
    return replace(arrays, text=TextVectors(items, embed(settings, encoder, arrays.query_texts()), encoder.kind))
