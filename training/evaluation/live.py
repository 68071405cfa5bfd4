"""The live release on a later log: its own towers and transforms over the candidate's rows, as it would serve them.

Items are encoded again as they were known at the candidate's cut: the vectors that the release carries know of clicks
up to the end of its own log. A release that cannot be measured fairly is left out, and the reason says why.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.dataset import dataset

from infra.contract.names import LIST_LENGTHS, TOWER_LISTS
from infra.contract.partitions import table_files
from infra.contract.tables import LOCATION_NAMES
from infra.settings import Settings
from training.data.arrays import Arrays, TextVectors
from training.data.items import item_tokens, label_rows
from training.data.location import LocationBuckets
from training.data.ngrams import Hasher
from training.data.scalars import QuantileTransform
from training.evaluation.methods import Method, served_method, vector_method
from training.model.encoding import encode_catalog, encode_requests
from training.model.tower_config import TowerConfig
from training.quality_prior import QualityFeatures, items_with_quality, quality_figures, query_with_prior
from training.ranking.asked_queries import QueryReader
from training.ranking.features import taste_fields
from training.ranking.second_stage import SecondStage
from training.release.manifest import TEXT_ENCODER, ReleaseError, read_json
from training.release.release import Release, load_release
from training.text import TextEncoder, TextEncoderError, embed, item_texts, load_saved, load_text_encoder

LIVE = "live"


class NotComparable(ValueError):  # noqa: N818 - named for the state that it reports
    """The live release cannot be measured on these rows; the message says why."""


@dataclass(frozen=True)
class LiveRelease:
    """The live release, and the candidate's rows as it reads them."""

    release: Release
    arrays: Arrays

    def method(self, settings: Settings) -> Method:
        """Search over its own vectors of the items as of the cut, boosted and ranked where it boosts and ranks."""
        towers, arrays = self.release.encoder.towers, self.arrays
        prior = self.release.manifest.config["boosting"]
        weights = np.array(prior["weights"], dtype=np.float32)
        items = encode_catalog(towers, arrays, arrays.cut, kept=self.release.manifest.config["training"]["graph_kept"])
        if len(weights):
            figures = quality_figures(arrays, arrays.cut, settings.features.rate_prior)
            items = items_with_quality(items, QualityFeatures.from_json(prior).apply(figures))

        def encode(asked: Arrays, requests: NDArray[np.int64]) -> NDArray[np.float32]:
            vectors = encode_requests(towers, asked, requests)
            return query_with_prior(vectors, weights) if len(weights) else vectors

        if self.release.ranker is None:
            return vector_method(arrays, items, partial(encode, arrays))
        reader = _query_reader(settings, self.release) if self.release.corrects_queries else None
        ranker = self.release.ranker
        fields = taste_fields(ranker.features)
        stage = SecondStage.of(arrays, towers.config, items, encode, arrays.cut, reader, fields)
        return served_method(stage, ranker)


def read_live(settings: Settings, arrays: Arrays, folder: Path) -> LiveRelease:
    """Load a release and turn the rows of ``arrays`` into its inputs.

    Raises:
        NotComparable: it is damaged, has learned from the requests that judge, or reads what the rows do not have.
    """
    try:
        release = load_release(folder)
        config, ranker = release.encoder.config, release.ranker
    except (ReleaseError, TextEncoderError) as error:
        raise NotComparable(str(error)) from error
    learned_until = _microseconds(release.manifest.config["data_window"]["cut"])
    if learned_until > arrays.cut:
        raise NotComparable(f"release {release.id} has learned from the requests that judge")
    if config.buckets != settings.training.buckets:
        raise NotComparable(
            f"release {release.id} hashes tokens into {config.buckets:,} buckets, this run into"
            f" {settings.training.buckets:,}"
        )
    fitted = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    read = arrays
    if config.item_numeric or ranker is not None:
        read = _with_numeric(arrays, fitted, release.id)
    read = _with_requests(read, settings, release, fitted)
    read = _with_tokens(read, config, LocationBuckets.from_json(fitted["location"]), release.id)
    return LiveRelease(release, replace(read, text=_text_vectors(settings, arrays, release)))


def _query_reader(settings: Settings, release: Release) -> QueryReader:
    """How its towers read a query."""
    config = release.encoder.config

    def embedded(texts: Sequence[str]) -> NDArray[np.float32]:
        return embed(settings, _text_encoder(settings, release), texts)

    return QueryReader(Hasher(config.buckets, config.max_query_tokens, config.ngrams), embedded)


def _with_numeric(arrays: Arrays, fitted: dict[str, Any], name: str) -> Arrays:
    """Item figures by the release's own quantiles."""
    if "item_figures" not in fitted:
        raise NotComparable(f"release {name} does not carry how it reads the figures of items")
    transform = QuantileTransform.from_json(fitted["item_figures"])
    if absent := [figure for figure in transform.names if figure not in arrays.meta["item_features"]]:
        raise NotComparable(f"release {name} reads figures of items that are not there: {', '.join(absent)}")
    meta = {**arrays.meta, "item_features": list(transform.names), "item_transform": fitted["item_figures"]}
    return replace(arrays, meta=meta)


def _with_requests(arrays: Arrays, settings: Settings, release: Release, fitted: dict[str, Any]) -> Arrays:
    """Figures and places of requests by the release's own quantiles and centroids, histories as long as it reads."""
    transform = QuantileTransform.from_json(fitted["request_figures"])
    files = [str(file) for file in table_files(settings.paths.training_set / "requests")]
    source = dataset(files)
    held = [n for n in (*transform.names, *LOCATION_NAMES) if n in source.schema.names]
    rows = source.to_table(columns=["time", "query_id", *held])
    # The order in which the arrays number the requests.
    rows = rows.sort_by([("time", "ascending"), ("query_id", "ascending")])
    raw = [_numbers(rows, figure) for figure in transform.names]
    figures = np.stack(raw, axis=1) if raw else np.zeros((len(rows), 0))
    config = release.encoder.config
    labels = LocationBuckets.from_json(fitted["location"]).labels(rows)
    return replace(
        arrays,
        meta={**arrays.meta, "request_features": list(transform.names)},
        request_features=transform.apply(figures),
        request_location=label_rows(Hasher(config.buckets, config.max_query_tokens), labels),
        **{name: getattr(arrays, name)[:, : getattr(config, LIST_LENGTHS[name])] for name in TOWER_LISTS},
    )


def _with_tokens(arrays: Arrays, config: TowerConfig, location: LocationBuckets, name: str) -> Arrays:
    """Items and queries as the release cuts them into tokens: with its own price buckets and centroids."""
    hasher = Hasher(config.buckets, config.max_item_tokens, config.ngrams)
    groups = item_tokens(arrays.catalog(), hasher, config.price_edges, location).groups
    if absent := [group for group in config.groups if group not in groups]:
        raise NotComparable(f"release {name} reads fields that no item has now: {', '.join(absent)}")
    queries = Hasher(config.buckets, config.max_query_tokens, config.ngrams).ngrams(
        arrays.query_texts().cast(pa.string())
    )
    return replace(arrays, item_tokens=groups, query_tokens=queries)


def _text_encoder(settings: Settings, release: Release) -> TextEncoder:
    """The text encoder that the release was trained on."""
    if release.encoder.config.text_in_query:
        return load_saved(release.manifest.path / TEXT_ENCODER)
    current = load_text_encoder(settings)
    fitted = read_json(release.manifest.path / "preprocessing.json")
    if current is None or current.fingerprint != fitted.get("text_encoder"):
        raise NotComparable(f"release {release.id} reads items by a text encoder that is not here any more")
    return current


def _text_vectors(settings: Settings, arrays: Arrays, release: Release) -> TextVectors | None:
    """Items and queries by the text encoder that the release was trained on."""
    if not release.encoder.config.text_width:
        return None
    encoder = _text_encoder(settings, release)
    if arrays.text is not None and (own := load_text_encoder(settings)) and own.fingerprint == encoder.fingerprint:
        return arrays.text
    items = embed(settings, encoder, item_texts(arrays.catalog()))
    return TextVectors(items, embed(settings, encoder, arrays.query_texts()))


def _numbers(rows: pa.Table, name: str) -> NDArray[np.float64]:
    if name not in rows.column_names:
        return np.full(len(rows), np.nan)
    return np.asarray(rows[name].cast(pa.float64()).to_numpy())


def _microseconds(text: str) -> int:
    time = datetime.fromisoformat(text)
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e6)
