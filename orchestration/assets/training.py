"""Group training: training set, towers, quality prior, ranker, evaluation, release."""

from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from demoshop.judgements import held_out_queries, read_judgements
from features.training_set import build_training_set
from infra.contract.content import content_key
from infra.contract.errors import TrainingSetError
from infra.contract.partitions import write_json
from infra.contract.query_text import normalise
from infra.settings import Settings, TrainingSettings, get_settings
from orchestration.assets.common import LOCKED, OWNERS, not_retried, progress_to
from orchestration.assets.features import accepted_days
from orchestration.assets.raw import catalog
from orchestration.metadata import bar_plot, line_plot, rounded, table
from orchestration.releases import candidate_key, clean, forget_verdict
from orchestration.shop import Source, candidate_dir, shop_settings, source
from orchestration.values import CandidateRelease
from orchestration.versions import code_version, data_version
from serving.index import live_release_id
from training.data.arrays import prepare_arrays
from training.evaluation import VectorSearch, as_text, evaluate, judge, read_evaluation
from training.evaluation.metrics import DEPTH
from training.evaluation.plots import markdown_image, methods_figure, reliability_figure, slices_figure
from training.losses.objective import PARTS
from training.model.preprocessing import preprocessing_of
from training.model.query_encoder import QueryEncoder
from training.quality_prior import query_with_prior
from training.ranking.fitting import LEARNED, TREES
from training.ranking.ranker import RULES
from training.release.places import found_folder
from training.release.writer import write_release
from training.run.candidate import CONFIG, WEIGHTS, fit_candidate_prior, load_candidate, load_prior
from training.run.ranking import fit_candidate_ranker, load_ranker, second_stage
from training.run.trainer import train
from training.text import TextEncoderError, embed, item_texts, sentence_encoder

SCHEDULE_TAG = "dagster/schedule_name"
"""Dagster puts it on the runs of a schedule."""


@dg.asset(
    group_name="training",
    kinds={"feast", "duckdb", "parquet"},
    owners=OWNERS,
    code_version=code_version("training_set"),
    required_resource_keys=LOCKED,
    deps=[accepted_days, catalog],
)
def training_set() -> dg.MaterializeResult:
    """Rows (request, item, stage) with features as of the request's time: the train window, then validation."""
    with not_retried(TrainingSetError):
        report = build_training_set(shop_settings(), progress_to("training_set"))
    return dg.MaterializeResult(
        data_version=data_version(report.content),
        metadata={
            "built before": report.reused,
            "dagster/row_count": sum(sum(stages.values()) for stages in report.rows.values()),
            "train from": report.first_request.isoformat(),
            "cut": report.split.cut.isoformat(),
            "end": report.split.end.isoformat(),
            "share unclicked": rounded(report.share_unclicked),
            "stages": table([{"split": split, **stages} for split, stages in report.rows.items()]),
            "funnel": bar_plot("Train rows by stage", report.rows["train"]),
            "requests": table(
                [
                    {"split": split, "requests": n, "of users without history": report.cold_start[split]}
                    for split, n in report.requests.items()
                ]
            ),
            "left out": table([{"what": what, "count": n} for what, n in report.dropped.items()]),
        },
    )


@dg.asset(
    group_name="training",
    kinds={"torch"},
    owners=OWNERS,
    code_version=code_version("towers"),
    required_resource_keys=LOCKED,
    deps=[training_set, catalog, dg.AssetKey("text_encoder")],
)
def towers(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Query and item tower, trained on every stage; every night from the weights that serve."""
    settings = shop_settings()
    if SCHEDULE_TAG in context.run.tags:
        settings = settings.model_copy(update={"training": settings.training.model_copy(update={"start": "live"})})
    with not_retried(TrainingSetError, TextEncoderError):
        result = train(settings, progress_to("towers"), live=live_folder(settings))
    recall = {name: [e[name] for e in result.curve] for name in ("recall@10", "recall@100")}
    curves = {name: values for name, values in recall.items() if None not in values}
    metadata: dict[str, Any] = {
        "loss": line_plot("Training loss", "epoch", {"loss": [e["loss"] for e in result.curve]}),
        "epochs": table([epoch_row(settings.training, entry) for entry in result.curve]),
        "best epoch": result.best_epoch,
        "examples": result.examples,
        "examples per second": rounded(result.examples_per_second),
        "seconds": rounded(result.seconds),
        "recipe": result.recipe,
        "encoders on": ", ".join(result.encoders),
        "item fields on": ", ".join(result.groups),
        "started from": result.started_from,
        "device": result.device,
    }
    if curves:
        metadata["validation recall"] = line_plot(
            "Validation recall", "epoch", curves, (result.best_epoch, "best by recall@100")
        )
    folder = result.candidate_dir
    version = data_version(content_key([folder / WEIGHTS, folder / CONFIG], folder))
    return dg.MaterializeResult(metadata=metadata, data_version=version)


def epoch_row(training: TrainingSettings, entry: dict[str, Any]) -> dict[str, Any]:
    """What an epoch came to, recall first; objectives that are off say nothing."""
    off = {part for part in PARTS if not getattr(training, f"weight_{part}")}
    first = ("epoch", "recall@10", "recall@100")
    return {name: entry[name] for name in (*first, *(n for n in entry if n not in first and n not in off))}


@dg.asset(
    group_name="training",
    kinds={"optuna"},
    owners=OWNERS,
    code_version=code_version("quality_prior"),
    required_resource_keys=LOCKED,
    deps=[towers],
)
def quality_prior() -> dg.MaterializeResult:
    """Weights of quality features inside the index, found on orders after the train window; none where none pay."""
    settings = shop_settings()
    found = fit_candidate_prior(settings, candidate_dir(settings))
    weights = found.weights
    metadata: dict[str, Any] = {
        "in force": weights.on,
        "why not": weights.reason or "-",
        "weights": table(
            [
                {"feature": name, "proposed": proposed, "in force": in_force}
                for name, proposed, in_force in zip(
                    found.features.names, weights.proposed or weights.weights, weights.weights, strict=True
                )
            ]
        ),
        "seconds": rounded(weights.seconds),
    }
    measured = {"fitted": weights.fitted, "confirmed": weights.confirmed}
    rows = [
        {"half": half, "requests": m.requests, "figure": name, "without": before, "with": after}
        for half, m in measured.items()
        if m is not None
        for name, (before, after) in (
            ("recall@10", m.recall_10),
            ("recall@100", m.recall_100),
            ("mean cosine of the first ten", m.relevance),
        )
    ]
    if rows:
        metadata["what they do"] = table(rows)
    return dg.MaterializeResult(metadata=metadata, data_version=data_version(found.to_json()))


@dg.asset(
    group_name="training",
    kinds={"scipy", "lightgbm"},
    owners=OWNERS,
    code_version=code_version("ranker"),
    required_resource_keys=LOCKED,
    deps=[quality_prior],
)
def ranker() -> dg.MaterializeResult:
    """The order of all sources' candidates, learned from requests after the train window; a rule where none pays."""
    settings = shop_settings()
    found = fit_candidate_ranker(settings, candidate_dir(settings))
    weights = [
        {"feature": feature} | {name: float(values[i]) for name, values in found.ranker.weights.items()}
        for i, feature in enumerate(found.ranker.features)
    ]
    return dg.MaterializeResult(
        data_version=data_version(found.to_json()),
        metadata={
            "order": found.order,
            "NDCG@100 on users not learned from": table(
                [
                    {"queries": name, "requests": choice.requests, "serves": choice.serves}
                    | {order: choice.ndcg.get(order) for order in (*RULES, LEARNED, TREES)}
                    for name, choice in found.choices.items()
                ]
            ),
            "weights": table(weights),
        },
    )


@dg.asset(
    group_name="training",
    kinds={"torch", "bm25s"},
    owners=OWNERS,
    code_version=code_version("evaluation"),
    required_resource_keys=LOCKED,
    deps=[ranker],
)
def evaluation() -> dg.MaterializeResult:
    """Recall of later orders over the catalogue of their time: what is served, its parts, baselines and live alike."""
    settings = shop_settings()
    report = evaluate(settings, candidate_dir(settings), progress=progress_to("evaluation"), live=live_folder(settings))
    metadata: dict[str, Any] = {
        "recall": table(report.table()),
        "recall by method": dg.MetadataValue.md(markdown_image("Recall by method", methods_figure(report))),
        "slices": table(report.slice_table()),
        "recall by slice": dg.MetadataValue.md(markdown_image("Recall by slice", slices_figure(report))),
        "days": table(report.day_table()),
        "truth": report.truth,
        "requests": report.requests,
        "items": report.items,
        "served recall@100": rounded(report.value(report.serving, "recall@100")),
        "towers recall@100": rounded(report.value("towers", "recall@100")),
        "bm25 recall@100": rounded(report.value("bm25", "recall@100")),
        "recall@100 less that of": table(
            as_text([{"method": m} | {"difference": d} for m, d in report.differences.items()])
        ),
        "worth of knowing the user": table(report.personalization_table()),
        "live": report.measured["live"]["left_out"] or report.measured["live"]["release"],
        "seconds": table([{"part": part, "seconds": value} for part, value in report.seconds.items()]),
    }
    if (reliability := reliability_figure(report)) is not None:
        metadata["reliability of confidence"] = dg.MetadataValue.md(
            markdown_image("Reliability of confidence", reliability)
        )
    given = get_settings().landing
    if source(get_settings()) is Source.JUDGED and given is not None:
        judged = _against_judgements(settings, Path(given))
        write_json(settings.paths.reports / "judged.json", {"rows": judged})
        metadata["against the judgements, queries never searched"] = table(as_text(judged))
    found = {name: value for name, value in report.to_json().items() if name != "seconds"}
    return dg.MaterializeResult(metadata=metadata, data_version=data_version(found))


def live_folder(settings: Settings) -> Path | None:
    """Folder of the release that serves, fetched where it has to be; None where there is none.

    Raises:
        StoreUnavailable: ``releases.url`` is away. A candidate must not be let off being held against live by that.
    """
    live = live_release_id(settings)
    return found_folder(settings, live) if live else None


def _against_judgements(settings: Settings, landing: Path) -> list[dict[str, Any]]:
    """What is served, towers and baselines against the human judgements, on the queries that got no sessions."""
    folder = candidate_dir(settings)
    judgements = read_judgements(landing / "qrels.tsv")
    towers, arrays, prior, ranker = (
        load_candidate(folder),
        prepare_arrays(settings),
        load_prior(folder),
        load_ranker(folder),
    )
    catalog, encoder = arrays.catalog(), sentence_encoder(settings)
    queries = QueryEncoder(towers.config, towers.arrays(), arrays.item_tokens, [], preprocessing_of(settings, arrays))
    stage = second_stage(settings, arrays, towers, prior, arrays.end)

    def encode(query: str) -> NDArray[np.float32]:
        return queries.encode(normalise(query))

    def served(texts: list[str]) -> NDArray[np.int64]:
        asked = [stage.spelling.corrected(normalise(text)) for text in texts]
        vectors = query_with_prior(np.stack([encode(text) for text in asked]), prior.in_force)
        return stage.search_texts(ranker.ranker, asked, vectors, queries.text_vectors(asked), DEPTH)

    return judge(
        stage.items.vectors[:, : stage.items.width],
        catalog["item_id"].combine_chunks(),
        encode,
        held_out_queries(judgements, settings.demo),
        judgements,
        catalog,
        zero_shot=VectorSearch(embed(settings, encoder, item_texts(catalog)), encoder.encode_query),
        served=served,
        seed=settings.training.seed,
    )


@dg.asset(
    group_name="training",
    kinds={"safetensors"},
    owners=OWNERS,
    code_version=code_version("release"),
    required_resource_keys=LOCKED,
    deps=[evaluation, dg.AssetKey("index_tuning")],
)
def release() -> dg.MaterializeResult[CandidateRelease]:
    """All that must go live together, in one immutable folder named by its content."""
    settings = shop_settings()
    folder = write_release(settings, candidate_dir(settings), read_evaluation(candidate_dir(settings)))
    forget_verdict(settings, folder.name)
    # Night after blocked night leaves a release; only here are they cleaned.
    removed = clean(settings, keep={folder.name})
    return dg.MaterializeResult(
        value=CandidateRelease(folder.name, candidate_key(settings)),
        data_version=data_version(folder.name),
        metadata={
            "release": folder.name,
            "removed": ", ".join(removed) or "none",
            "folder": dg.MetadataValue.path(str(folder)),
            "model card": dg.MetadataValue.md((folder / "model_card.md").read_text(encoding="utf-8")),
        },
    )
