"""Group training: training set, towers, evaluation, release."""

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from demoshop.judgements import held_out_queries, read_judgements
from features.partitions import write_json
from features.training_set import TrainingSetError, build_training_set
from infra.settings import get_settings
from orchestration.assets.common import LOCKED, OWNERS, not_retried, progress_to
from orchestration.assets.features import item_features, query_features, user_features
from orchestration.metadata import bar_plot, line_plot, table
from orchestration.shop import Source, candidate_dir, candidate_release_file, shop_settings, source
from training.candidate import load_candidate
from training.evaluation import evaluate, judge, read_evaluation
from training.release_writer import write_release
from training.trainer import train


@dg.asset(
    group_name="training",
    kinds={"feast", "duckdb", "parquet"},
    owners=OWNERS,
    required_resource_keys=LOCKED,
    deps=[user_features, item_features, query_features],
)
def training_set() -> dg.MaterializeResult:
    """Rows (request, item, stage) with features as of the request's time: the train window, then validation."""
    with not_retried(TrainingSetError):
        report = build_training_set(shop_settings(), progress_to("training_set"))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(sum(stages.values()) for stages in report.rows.values()),
            "train from": report.split.train_start.isoformat(),
            "cut": report.split.cut.isoformat(),
            "end": report.split.end.isoformat(),
            "share unclicked": report.share_unclicked,
            "stages": table([{"split": split, **stages} for split, stages in report.rows.items()]),
            "funnel": bar_plot("Train rows by stage", report.rows["train"]),
            "requests": table(
                [
                    {"split": split, "requests": n, "of users without history": report.cold_start[split]}
                    for split, n in report.requests.items()
                ]
            ),
            "left out": table([{"what": what, "count": n} for what, n in report.dropped.items()]),
        }
    )


@dg.asset(group_name="training", kinds={"torch"}, owners=OWNERS, required_resource_keys=LOCKED, deps=[training_set])
def towers() -> dg.MaterializeResult:
    """Query and item tower, trained on every stage."""
    result = train(shop_settings(), progress_to("towers"))
    recall = {name: [e[name] for e in result.curve] for name in ("recall@10", "recall@100")}
    curves = {name: values for name, values in recall.items() if None not in values}
    metadata: dict[str, Any] = {
        "loss": line_plot("Training loss", "epoch", {"loss": [e["loss"] for e in result.curve]}),
        "epochs": table(result.curve),
        "best epoch": result.best_epoch,
        "examples": result.examples,
        "examples per second": result.examples_per_second,
        "seconds": result.seconds,
        "token groups on": ", ".join(result.groups),
        "device": result.device,
    }
    if curves:
        metadata["validation recall"] = line_plot("Validation recall", "epoch", curves)
    return dg.MaterializeResult(metadata=metadata)


@dg.asset(group_name="training", kinds={"torch", "bm25s"}, owners=OWNERS, required_resource_keys=LOCKED, deps=[towers])
def evaluation() -> dg.MaterializeResult:
    """Recall of later orders over the whole catalogue: towers, BM25 and popularity on the same rows."""
    settings = shop_settings()
    report = evaluate(settings, candidate_dir(settings))
    slices = [
        {"slice": name, "requests": part["requests"], "method": row["method"], "recall@100": row["recall@100"]["value"]}
        for name, part in report.slices.items()
        for row in part["rows"]
    ]
    metadata: dict[str, Any] = {
        "recall": dg.MetadataValue.md(report.markdown()),
        "truth": report.truth,
        "requests": report.requests,
        "items": report.items,
        "towers recall@100": report.value("towers", "recall@100"),
        "bm25 recall@100": report.value("bm25", "recall@100"),
        "slices": table(slices),
    }
    given = get_settings().landing
    if source(get_settings()) is Source.JUDGED and given is not None:
        judgements = read_judgements(Path(given) / "qrels.tsv")
        unseen = held_out_queries(judgements, settings.demo)
        judged = judge(
            load_candidate(candidate_dir(settings)), unseen, judgements, pq.read_table(settings.paths.catalog)
        )
        write_json(settings.paths.reports / "judged.json", {"rows": judged})
        metadata["against the judgements, queries never searched"] = table(judged)
    return dg.MaterializeResult(metadata=metadata)


@dg.asset_check(asset=evaluation)
def towers_beat_the_baselines() -> dg.AssetCheckResult:
    """Whether the towers' recall@100 is above BM25's and popularity's. It warns; it does not stop the release."""
    report = read_evaluation(candidate_dir(shop_settings()))
    recall = {row["method"]: row["recall@100"]["value"] for row in report.rows}
    behind = [method for method in ("bm25", "popularity") if recall["towers"] <= recall[method]]
    return dg.AssetCheckResult(
        passed=not behind,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Towers are not above {' and '.join(behind)}."
        if behind
        else "Towers are above BM25 and popularity.",
        metadata={method: value for method, value in recall.items()},
    )


@dg.asset(group_name="training", kinds={"safetensors"}, owners=OWNERS, required_resource_keys=LOCKED, deps=[evaluation])
def release() -> dg.MaterializeResult:
    """All that must go live together, in one immutable folder named by its content."""
    settings = shop_settings()
    folder = write_release(settings, candidate_dir(settings), read_evaluation(candidate_dir(settings)))
    write_json(candidate_release_file(settings), {"id": folder.name})
    return dg.MaterializeResult(
        metadata={
            "release": folder.name,
            "folder": dg.MetadataValue.path(str(folder)),
            "model card": dg.MetadataValue.md((folder / "model_card.md").read_text(encoding="utf-8")),
        }
    )
