"""Write a release from a candidate and its evaluation."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors.numpy import save_file

from infra.contract.names import FEATURE_SERVICE, ITEM_COUNTS
from infra.settings import Settings
from training.data.arrays import Arrays, prepare_arrays
from training.evaluation import EvaluationReport
from training.model.towers import Towers
from training.quality_prior import QualityPrior
from training.ranking.bm25 import LEXICAL_FIELDS, Bm25, catalog_text
from training.ranking.candidates import DEPTH
from training.ranking.fitting import FittedRanker
from training.ranking.query_graph import QueryGraph
from training.ranking.spelling import Spelling
from training.ranking.untitled import untitled
from training.release.items import write_items
from training.release.manifest import (
    CHOICE,
    CLOCK,
    GRAPH,
    INDEX,
    ITEM_FILES,
    ITEM_NUMERIC,
    ITEM_TEXT,
    LEXICAL,
    MANIFEST,
    RANKER,
    SCHEMA_VERSION,
    SPELLING,
    TEXT_ENCODER,
    catalog_landed_at,
    content_id,
    file_entry,
    verify_release,
)
from training.run.candidate import (
    TRAINING,
    WEIGHTS,
    item_vectors,
    load_candidate,
    load_prior,
    read_index,
    read_training,
)
from training.run.ranking import load_ranker
from training.text import TextEncoderError, load_text_encoder
from training.versions import package_version


def write_release(settings: Settings, candidate_dir: Path, evaluation: EvaluationReport) -> Path:
    """Write the candidate and its evaluation as a release; return its folder ``settings.paths.releases / id``.

    Raises:
        FileNotFoundError: there is no candidate, or no ranker of it.
        ReleaseError: a folder of this id exists and is damaged.
    """
    return write_whole(settings, lambda folder: _write_files(settings, candidate_dir, evaluation, folder))


def write_whole(settings: Settings, write_files: Callable[[Path], None]) -> Path:
    """Have the files of a release written, all but its manifest, and name it by them: whole or not at all.

    A release with this id that is there already is verified and kept as it is.

    Raises:
        ReleaseError: a folder of this id exists and is damaged.
    """
    settings.paths.releases.mkdir(parents=True, exist_ok=True)
    folder = settings.paths.releases / f".{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        write_files(folder)
        names = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
        files = {name: file_entry(folder / name) for name in names}
        manifest = {"schema_version": SCHEMA_VERSION, "id": content_id(files), "files": files}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        target = settings.paths.releases / str(manifest["id"])
        if target.exists():
            verify_release(target)
        else:
            folder.rename(target)
        return target
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_files(settings: Settings, candidate_dir: Path, evaluation: EvaluationReport, folder: Path) -> None:
    """All files of a release but its manifest."""
    towers = load_candidate(candidate_dir)
    arrays = prepare_arrays(settings)
    prior = load_prior(candidate_dir)
    index = read_index(candidate_dir)
    training = read_training(candidate_dir)
    config = _config(settings, towers, arrays, prior, index, training["settings"])
    shutil.copyfile(candidate_dir / WEIGHTS, folder / "model.safetensors")
    shutil.copyfile(candidate_dir / TRAINING, folder / "training.json")
    save_file({"vectors": item_vectors(settings, candidate_dir)}, folder / "item_vectors.safetensors")
    encoder = load_text_encoder(settings) if towers.config.text_width else None
    preprocessing = {
        "request_figures": arrays.request_transform.to_json(),
        "item_figures": arrays.item_transform.to_json(),
        "location": arrays.meta["location"],
        "text_encoder": encoder.fingerprint if encoder else None,
    }
    _write_json(folder / "preprocessing.json", preprocessing)
    if towers.config.text_width and towers.config.text_in_query:
        if encoder is None:
            raise TextEncoderError(
                f"the candidate reads text by {towers.config.text_encoder}, which is off: train again"
            )
        encoder.save(folder / TEXT_ENCODER)
    tokens = {g: arrays.item_tokens[g] for g in towers.config.kept_groups}
    flat = {f"{g}.offsets": rows.offsets for g, rows in tokens.items()} | {f"{g}.ids": r.ids for g, r in tokens.items()}
    save_file({name: values.copy() for name, values in flat.items()}, folder / "item_tokens.safetensors")
    write_items(folder / ITEM_FILES[SCHEMA_VERSION], _with_counts(arrays))
    ranker = load_ranker(candidate_dir)
    _write_json(folder / RANKER, ranker.to_json())
    write_sources(arrays, folder)
    if towers.config.text_in_query and arrays.text is not None:
        save_file({"vectors": arrays.text.items.astype(np.float16)}, folder / ITEM_TEXT)
    _write_json(folder / "config.json", config)
    _write_json(folder / "evaluation.json", evaluation.to_json())
    if index:
        _write_json(folder / INDEX, index)
    trained_at = datetime.fromtimestamp((candidate_dir / WEIGHTS).stat().st_mtime, UTC)
    clock = {"trained_at": trained_at.isoformat(), "released_at": datetime.now(UTC).isoformat()}
    _write_json(folder / CLOCK, {**clock, "catalog_at": catalog_landed_at(settings)})
    (folder / "model_card.md").write_text(
        _model_card(config, training, evaluation, index, ranker, trained_at, _first_request(arrays)), encoding="utf-8"
    )


def write_sources(arrays: Arrays, folder: Path) -> None:
    """What the second stage searches and reads besides the vectors, as of the end of the log."""
    numeric = arrays.item_transform.apply(arrays.item_features(arrays.end))
    save_file({"numeric": numeric}, folder / ITEM_NUMERIC)
    catalog, queries = arrays.catalog(), arrays.query_texts()
    texts = catalog_text(catalog, LEXICAL_FIELDS)
    lexical = Bm25.of_items(texts, untitled(catalog))
    lexical.save(folder / LEXICAL)
    QueryGraph.of(arrays.edges, queries, arrays.end, arrays.cut, DEPTH).save(folder / GRAPH)
    Spelling.as_of(lexical, texts, arrays.edges, queries, arrays.end).save(folder / SPELLING)


def _config(
    settings: Settings,
    towers: Towers,
    arrays: Arrays,
    prior: QualityPrior,
    index: Mapping[str, Any],
    trained_with: Mapping[str, Any],
) -> dict[str, Any]:
    split = arrays.meta["split"]
    # What the gates judge and servers search by: under an unchanged id neither would look again.
    choice = {name: index["chosen"][name] for name in CHOICE} if index else None
    return {
        "schema_version": SCHEMA_VERSION,
        "code_version": package_version(),
        "shop": settings.shop_name,
        "feature_service": FEATURE_SERVICE,
        "towers": towers.config.to_json(),
        "width": towers.config.width + len(prior.in_force),
        "data_window": {name: split[name] for name in ("train_start", "cut", "end")},
        "boosting": {"weights": prior.in_force, **prior.features.to_json()},
        "index": {"index_type": settings.index.index_type, "chosen": choice},
        "training": trained_with,
    }


def _first_request(arrays: Arrays) -> datetime:
    """Where the log begins that was trained on: the train window may begin before it."""
    return datetime.fromtimestamp(int(arrays.request_time.min()) / 1e6, UTC)


def _with_counts(arrays: Arrays) -> pa.Table:
    """The catalogue with how often each item was shown, clicked and ordered lately."""
    catalog, features = arrays.catalog(), arrays.item_features(arrays.end)
    for name in ITEM_COUNTS:
        if name in arrays.meta["item_features"]:
            values = features[:, arrays.meta["item_features"].index(name)]
            catalog = catalog.append_column(name, pa.array(values, pa.int64(), mask=np.isnan(values), safe=False))
    return catalog


def _model_card(
    config: Mapping[str, Any],
    training: Mapping[str, Any],
    evaluation: EvaluationReport,
    index: Mapping[str, Any],
    ranker: FittedRanker,
    trained_at: datetime,
    first_request: datetime,
) -> str:
    window, towers = config["data_window"], config["towers"]
    lines = [
        f"# Towers for the shop `{config['shop']}`",
        "",
        "Query and item tower, BM25 and walks on the query-item graph find candidates; a ranker orders them.",
        "",
        f"- Trained {trained_at:%Y-%m-%d %H:%M} UTC on requests from {first_request:%Y-%m-%d %H:%M}",
        f"  to {window['cut']}, validated on those until {window['end']}.",
        f"- {training['examples']:,} requests with a click; {len(training['curve'])} epochs, the weights of number"
        f" {training['best_epoch']}.",
        f"- Recipe {training['recipe']}; encoders on: {', '.join(training['encoders'])}.",
        f"- Item fields on: {', '.join(towers['groups'])}.",
        f"- {config['width']} dimensions, {towers['buckets']:,} hashed token buckets.",
        f"- Index: {_index_in_words(index)}.",
        f"- Order of the candidates: {ranker.order}.",
        *_trained_with(training),
        "",
        f"## Evaluation: {evaluation.truth} of {evaluation.requests:,} validation requests, whole catalogue",
        "",
        evaluation.markdown(),
        "",
        "In brackets: 95% bootstrap interval over requests.",
        "",
        "## Limits",
        "",
        "Learned from what an engine showed and people clicked, with the biases of both. An item that the catalogue",
        "does not have at the time of the release is found from when it is told of, without a history. What history",
        "adds to the towers is the difference between their two rows.",
    ]
    return "\n".join(lines) + "\n"


def _trained_with(training: Mapping[str, Any]) -> list[str]:
    """A line of versions; none for a candidate of before they were noted."""
    versions = ", ".join(f"{name} {number}" for name, number in training.get("dependencies", {}).items())
    return [f"- Trained with {versions}."] if versions else []


def _index_in_words(index: Mapping[str, Any]) -> str:
    if not index:
        return "exact search, nothing was measured"
    chosen = index["chosen"]
    lost = ", ".join(f"{loss:.2%} of the exact best {k}" for k, loss in chosen["recall_loss"].items())
    return f"{chosen['type']}, which misses {lost}"


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
