"""The release of a catalogue alone: what a shop serves before its log has taught anything.

Its candidates are the nearest items by a pretrained text encoder and those of BM25, in the order of their reciprocal
ranks. It is served by the program that serves trained towers: its own have no learned part, and a text part that leaves
the text encoder's vectors as they are.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from infra.contract.names import FEATURE_SERVICE
from infra.contract.partitions import write_json
from infra.progress import Progress
from infra.settings import Settings, TrainingSettings
from training.data.catalog import read_catalog
from training.data.items import item_tokens
from training.data.location import LocationBuckets
from training.data.ngrams import Hasher
from training.data.ragged import Ragged
from training.data.scalars import QuantileTransform
from training.evaluation import EvaluationReport
from training.evaluation.methods import SERVED
from training.model.tower_config import TowerConfig
from training.model.towers import HALF, Towers
from training.quality_prior import QualityFeatures
from training.ranking.bm25 import LEXICAL_FIELDS, Bm25, catalog_text
from training.ranking.features import PAIR_FEATURES
from training.ranking.fitting import FittedRanker
from training.ranking.query_graph import QueryGraph
from training.ranking.ranker import CLASSES
from training.ranking.spelling import Spelling
from training.ranking.untitled import untitled
from training.release.items import VECTORS, write_items
from training.release.manifest import (
    CATALOG_ALONE,
    CLOCK,
    GRAPH,
    ITEM_FILES,
    ITEM_NUMERIC,
    LEXICAL,
    RANKER,
    SCHEMA_VERSION,
    SPELLING,
    TEXT_ENCODER,
    catalog_landed_at,
)
from training.release.writer import write_whole
from training.text import TextEncoder, embed, item_texts, sentence_encoder
from training.versions import dependencies, package_version

F32 = NDArray[np.float32]
ORDER, LEXICAL_ORDER = "hybrid", "bm25"
"""The rules of :data:`training.ranking.ranker.RULES` that order its candidates, with a text encoder and without."""
NARROW = 1
"""Width of what is not learned: a part of a vector cannot be left out, so it is zeros."""
NOTHING_LEARNED = datetime(1970, 1, 1, tzinfo=UTC)
"""Until when it learned from a log: any later requests may judge it."""


class NoTextError(ValueError):
    """No item of the catalogue has a text, so that nothing can be found by one."""


def write_catalog_release(settings: Settings, progress: Progress | None = None) -> Path:
    """Write the catalogue on disk as a release; return its folder ``settings.paths.releases / id``.

    The same catalogue gives the same id. Without a text encoder (``training.text_encoder`` is none) BM25 alone serves.

    Raises:
        NoTextError: no item has a text. TextEncoderError: the encoder's weights are missing or changed.
        ReleaseError: a folder of this id exists and is damaged.
    """
    catalog = read_catalog(settings)
    texts = item_texts(catalog)
    if texts.null_count == len(texts):
        raise NoTextError("no item of the catalogue has a title, category, brand or attribute to be found by")
    tokens = _tokens(settings.training, catalog)
    encoder = None if settings.training.text_encoder == "none" else sentence_encoder(settings)
    text = None if encoder is None else embed(settings, encoder, texts, progress)
    return write_whole(settings, lambda folder: _write_files(settings, catalog, tokens, encoder, text, folder))


def _tokens(training: TrainingSettings, catalog: pa.Table) -> tuple[str, Ragged]:
    """The first field group that an item has tokens in, and the tokens: towers cannot do without one."""
    hasher = Hasher(training.buckets, training.max_item_tokens, training.ngrams)
    try:
        return next(iter(item_tokens(catalog, hasher, (), LocationBuckets({})).groups.items()))
    except ValueError as error:
        raise NoTextError(f"nothing in the catalogue can be searched for: {error}") from error


def text_towers(training: TrainingSettings, group: str, encoder: TextEncoder | None) -> Towers:
    """Towers whose score is half the cosine of query and item text, in evaluation mode.

    Args:
        group: a field group that items have tokens in; encoder: of the texts; without one they know nothing.
    """
    width = encoder.width if encoder else 0
    config = TowerConfig(
        groups=(group,),
        buckets=training.buckets,
        token_dim=NARROW,
        dim=NARROW,
        hidden=NARROW,
        ngrams=training.ngrams,
        max_query_tokens=training.max_query_tokens,
        max_item_tokens=training.max_item_tokens,
        recent_queries=0,
        recent_items=0,
        recent_orders=0,
        ordered_tags=0,
        price_edges=(),
        history="none",
        text_encoder=encoder.kind if encoder else "none",
        text_width=width,
        text_in_query=width > 0,
        text_dim=width,
        shared_words=False,
        shared_taste=False,
    )
    towers = Towers(config)
    with torch.no_grad():
        for parameter in towers.parameters():
            parameter.zero_()
        if width:
            towers.text.project.weight.copy_(torch.eye(width))
    towers.in_vocabulary.zero_()
    return towers.eval()


def _write_files(
    settings: Settings,
    catalog: pa.Table,
    tokens: tuple[str, Ragged],
    encoder: TextEncoder | None,
    text: F32 | None,
    folder: Path,
) -> None:
    """All files of the release but its manifest; ``text``: vectors of the items' texts, [items, width]."""
    now = datetime.now(UTC)
    group, rows = tokens
    towers = text_towers(settings.training, group, encoder)
    weights = {name: value.contiguous() for name, value in towers.state_dict().items()}
    save_tensors(weights, folder / "model.safetensors")
    held = {f"{group}.offsets": rows.offsets.copy(), f"{group}.ids": rows.ids.copy()}
    save_file(held, folder / "item_tokens.safetensors")
    vectors = np.zeros((len(catalog), towers.config.width), dtype=np.float32)
    if text is not None:
        np.multiply(text, HALF, out=vectors[:, NARROW:])
    save_file({"vectors": vectors}, folder / VECTORS)
    if encoder is not None:
        encoder.save(folder / TEXT_ENCODER)
    nothing = QuantileTransform((), (), ()).to_json()
    fitted = {"request_figures": nothing, "item_figures": nothing, "location": LocationBuckets({}).to_json()}
    write_json(folder / "preprocessing.json", {**fitted, "text_encoder": encoder.fingerprint if encoder else None})
    write_items(folder / ITEM_FILES[SCHEMA_VERSION], catalog)
    rules = dict.fromkeys(CLASSES, ORDER if encoder else LEXICAL_ORDER)
    write_json(folder / RANKER, FittedRanker.of_rules(PAIR_FEATURES, rules).to_json())
    save_file({"numeric": np.zeros((len(catalog), 0), dtype=np.float32)}, folder / ITEM_NUMERIC)
    texts = catalog_text(catalog, LEXICAL_FIELDS)
    lexical = Bm25.of_items(texts, untitled(catalog))
    lexical.save(folder / LEXICAL)
    Spelling.of_catalog(lexical, texts).save(folder / SPELLING)
    QueryGraph.empty(len(catalog)).save(folder / GRAPH)
    write_json(folder / "config.json", _config(settings, towers))
    trained = settings.training.model_dump(mode="json")
    training: dict[str, Any] = {
        "recipe": CATALOG_ALONE,
        "encoders": list(towers.config.encoders),
        "examples": 0,
        "curve": [],
    }
    write_json(folder / "training.json", {**training, "settings": trained, "dependencies": dependencies()})
    report = EvaluationReport("nothing", requests=0, items=len(catalog), rows=[], slices={}, serving=SERVED)
    write_json(folder / "evaluation.json", report.to_json())
    clock = {"trained_at": now.isoformat(), "released_at": now.isoformat()}
    write_json(folder / CLOCK, {**clock, "catalog_at": catalog_landed_at(settings)})
    (folder / "model_card.md").write_text(_model_card(settings, catalog, encoder, now), encoding="utf-8")


def _config(settings: Settings, towers: Towers) -> dict[str, Any]:
    learned = NOTHING_LEARNED.isoformat()
    return {
        "schema_version": SCHEMA_VERSION,
        "code_version": package_version(),
        "shop": settings.shop_name,
        "feature_service": FEATURE_SERVICE,
        "towers": towers.config.to_json(),
        "width": towers.config.width,
        "data_window": {"train_start": learned, "cut": learned, "end": learned},
        "boosting": {"weights": [], **QualityFeatures((), QuantileTransform((), (), ())).to_json()},
        "index": {"index_type": settings.index.index_type, "chosen": None},
        "training": settings.training.model_dump(mode="json"),
    }


def _model_card(settings: Settings, catalog: pa.Table, encoder: TextEncoder | None, now: datetime) -> str:
    read = f"{encoder.kind}, {encoder.width} dimensions, {encoder.tokens} tokens of a text" if encoder else "none"
    lines = [
        f"# Catalogue of the shop `{settings.shop_name}`",
        "",
        "Nothing was learned of this shop: candidates are the nearest items by a pretrained text encoder and those of",
        "BM25, in the order of their reciprocal ranks.",
        "",
        f"- Written {now:%Y-%m-%d %H:%M} UTC, {len(catalog):,} items.",
        f"- Text encoder: {read}.",
        "- Index: exact search, nothing was measured.",
        "",
        "## Evaluation",
        "",
        "None: it is what a shop serves that has no log yet. Towers take its place once they find no less on later",
        "requests.",
    ]
    return "\n".join(lines) + "\n"
