"""A release: one trained model with all that must go live together, in an immutable, content-addressed folder.

It is four things: its manifest, its item table, its query encoder and its second stage. Pushing, listing and checking a
release read the first two and load neither torch nor a text encoder; the others are loaded when a query is first asked.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from training.release.items import ItemTable
from training.release.manifest import (
    GRAPH,
    ITEM_NUMERIC,
    ITEM_TEXT,
    LEXICAL,
    RANKER,
    SPELLING,
    TEXT_ENCODER,
    Manifest,
    ReleaseError,
    read_json,
    read_manifest,
)

if TYPE_CHECKING:
    from training.data.scalars import QuantileTransform
    from training.model.query_encoder import QueryEncoder
    from training.ranking.bm25 import Bm25
    from training.ranking.click_chance import ClickChance
    from training.ranking.confidence import Confidence
    from training.ranking.features import ItemColumns
    from training.ranking.item_numbers import ItemNumbers
    from training.ranking.query_graph import QueryGraph
    from training.ranking.ranker import Ranker
    from training.ranking.spelling import Spelling


class Sources(NamedTuple):
    """The second stage's own part of a release."""

    lexical: Bm25
    graph: QueryGraph
    items: ItemColumns
    numbers: ItemNumbers
    spelling: Spelling | None
    """None: queries are served as they were typed."""


@dataclass(frozen=True)
class Release:
    """A verified release."""

    manifest: Manifest
    items: ItemTable

    @property
    def id(self) -> str:
        return self.manifest.id

    @cached_property
    def encoder(self) -> QueryEncoder:
        """Requests to query vectors [width + f].

        Raises:
            TextEncoderError: the release reads text with weights that are not installed here.
        """
        return _load_encoder(self.manifest, self.items.ids)

    @property
    def has_ranker(self) -> bool:
        """Whether it has a second stage, which nothing is read of."""
        return (self.manifest.path / RANKER).exists()

    @cached_property
    def ranker(self) -> Ranker | None:
        """What orders the candidates; None for a release of before there was one, which serves what its towers find.

        Raises:
            ReleaseError: it is damaged, ranks by features that this program does not have, or by trees that cannot be
                read here.
        """
        return _load_ranker(self.manifest)

    @cached_property
    def towers_ranker(self) -> Ranker | None:
        """What leaves the candidates in the order of the towers; its weights are not read. None as :attr:`ranker`."""
        from training.ranking.ranker import Ranker

        return Ranker.of_towers(_ranker_features(self.manifest)) if self.has_ranker else None

    @cached_property
    def confidence(self) -> Confidence | None:
        """Where nothing fits a query; None for a release that cannot tell."""
        from training.ranking.confidence import Confidence

        file = self.manifest.path / RANKER
        told = read_json(file).get("confidence") if file.exists() else None
        return Confidence.from_json(told) if told else None

    @cached_property
    def click_chance(self) -> ClickChance | None:
        """That somebody clicks among the first ten hits; None for a release that cannot tell."""
        from training.ranking.click_chance import ClickChance

        file = self.manifest.path / RANKER
        told = read_json(file).get("chance") if file.exists() else None
        return ClickChance.from_json(told) if isinstance(told, dict) else None

    def with_items(self, items: ItemTable, encoder: QueryEncoder, sources: Sources | None) -> Release:
        """The same release over other items, with what knows them; ``sources`` None: of one without a second stage."""
        other = copy.copy(self)
        vars(other).update({"items": items, "encoder": encoder, **({"sources": sources} if sources else {})})
        return other

    @cached_property
    def item_transform(self) -> QuantileTransform:
        """How numeric features of items were made comparable."""
        from training.data.scalars import QuantileTransform

        return QuantileTransform.from_json(read_json(self.manifest.path / "preprocessing.json")["item_figures"])

    @property
    def corrects_queries(self) -> bool:
        """Whether it serves what its second stage makes of a query; releases of before that do not."""
        return (self.manifest.path / SPELLING).exists()

    @cached_property
    def sources(self) -> Sources:
        """What finds candidates besides the towers, and what is read of items; of a release that has a ranker."""
        return _load_sources(self)


def load_release(path: Path) -> Release:
    """Verify a release and open it.

    Raises:
        ReleaseError: the folder is missing, damaged or of a schema version that is not read.
    """
    manifest = read_manifest(path)
    return Release(manifest, ItemTable(manifest))


def _load_encoder(manifest: Manifest, item_ids: list[str]) -> QueryEncoder:
    import numpy as np
    from safetensors.numpy import load_file

    from training.data.location import LocationBuckets
    from training.data.ragged import Ragged
    from training.data.scalars import QuantileTransform
    from training.model.query_encoder import Preprocessing, QueryEncoder
    from training.model.tower_config import TowerConfig, current_weights
    from training.text import load_saved

    path = manifest.path
    config = TowerConfig.from_json(manifest.config["towers"])
    weights = current_weights(load_file(path / "model.safetensors"))
    stored = load_file(path / "item_tokens.safetensors")
    tokens = {group: Ragged(stored[f"{group}.offsets"], stored[f"{group}.ids"]) for group in config.kept_groups}
    fitted = read_json(path / "preprocessing.json")
    preprocessing = Preprocessing(
        numeric=QuantileTransform.from_json(fitted["request_figures"]),
        location=LocationBuckets.from_json(fitted["location"]),
        text=load_saved(path / TEXT_ENCODER) if config.text_width and config.text_in_query else None,
    )
    prior = np.array(manifest.config["boosting"]["weights"], dtype=np.float32)
    return QueryEncoder(config, weights, tokens, item_ids, preprocessing, prior)


def _load_ranker(manifest: Manifest) -> Ranker | None:
    import numpy as np

    from training.ranking.ranker import Ranker

    file = manifest.path / RANKER
    if not file.exists():
        return None
    try:
        ranker = Ranker.from_json(read_json(file)).aligned(_ranker_features(manifest))
        if not all(np.isfinite(values).all() for values in (*ranker.weights.values(), ranker.fill)):
            raise ValueError("a weight is not finite")
        _read_trees(manifest, ranker)
        return ranker
    except ReleaseError:
        raise
    except ValueError as error:
        raise ReleaseError(f"release {manifest.id} has a ranker that cannot be read ({error}): train again") from error
    except KeyError as error:
        raise ReleaseError(
            f"release {manifest.id} ranks by features that this program does not have ({error.args[0]}): start it again"
            " if the release is newer than it, else train again"
        ) from error


def _ranker_features(manifest: Manifest) -> tuple[str, ...]:
    """The features of this program for the items of a release: tastes for what its ranker was fitted on."""
    from training.ranking.features import PAIR_FEATURES, TASTE

    names = read_json(manifest.path / "preprocessing.json")["item_figures"]["names"]
    return (*PAIR_FEATURES, *(TASTE + field for field in _taste_fields(manifest)), *names)


def _taste_fields(manifest: Manifest) -> tuple[str, ...]:
    from training.ranking.features import taste_fields

    return taste_fields(read_json(manifest.path / RANKER)["features"])


def _read_trees(manifest: Manifest, ranker: Ranker) -> None:
    try:
        for trees in ranker.trees.values():
            trees.load()
    except (ImportError, OSError) as error:
        raise ReleaseError(
            f"release {manifest.id} ranks by trees, which cannot be read here ({error}): install `lightgbm` and"
            " `libgomp1`, or serve without them (serving.second_stage=false)"
        ) from error


def _load_sources(release: Release) -> Sources:
    from safetensors.numpy import load_file

    from training.ranking.bm25 import Bm25
    from training.ranking.features import ItemColumns
    from training.ranking.item_numbers import ItemNumbers
    from training.ranking.query_graph import QueryGraph
    from training.ranking.spelling import Spelling

    path, items = release.manifest.path, release.items
    numeric = load_file(path / ITEM_NUMERIC)["numeric"]
    names = read_json(path / "preprocessing.json")["item_figures"]["names"]
    width = release.manifest.config["width"] - len(release.manifest.config["boosting"]["weights"])
    text = load_file(path / ITEM_TEXT)["vectors"] if (path / ITEM_TEXT).exists() else None
    columns = ItemColumns.of(items.table, items.vectors, width, numeric, names, text, _taste_fields(release.manifest))
    lexical = Bm25.load(path / LEXICAL)
    spelling = Spelling.load(path / SPELLING, lexical.forms) if release.corrects_queries else None
    return Sources(lexical, QueryGraph.load(path / GRAPH), columns, ItemNumbers(items.table, lexical), spelling)
