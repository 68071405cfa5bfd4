"""One row with one seed, in a process of its own: ``python -m benchmarks.ablations.worker JOB.json``."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from benchmarks.ablations.jobs import code_fingerprint
from benchmarks.ablations.measuring import values_per_judged_query, values_per_request, with_proposed
from benchmarks.ablations.results import Result, Values, write_result
from benchmarks.ablations.rows import HYBRID, NOT_PERSONALIZED, PROPOSED, ROWS, THREADS, TOWERS, Row
from benchmarks.ablations.workspace import Workspace
from infra.contract.errors import TrainingSetError
from infra.settings import Settings, TrainingSettings, get_settings
from training.data.arrays import Arrays, prepare_arrays
from training.evaluation import BASELINES, BOOSTED
from training.quality_prior import QualityPrior
from training.run.candidate import fit_candidate_prior, load_candidate
from training.run.new_towers import new_towers
from training.run.trainer import train
from training.text import TextEncoderError


@dataclass(frozen=True)
class Order:
    """What the worker is told."""

    row: str
    seed: int
    key: str
    training: dict[str, Any]
    home: str
    shop: str
    validation_days: int
    judged: str | None
    """Folder of the human judgements."""

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def main(path: Path) -> None:
    """Measure what the order in ``path`` asks for, unless somebody did meanwhile."""
    order = Order(**json.loads(path.read_text(encoding="utf-8")))
    shop = get_settings().model_copy(update={"home": Path(order.home), "shop": order.shop, "landing": None})
    workspace = Workspace(shop, order.validation_days)
    with FileLock(workspace.root / "locks" / order.key):
        found = Result.find(workspace.results, order.key)
        if found is None or found.content["code"] != code_fingerprint():
            _run(workspace, order)


def _run(workspace: Workspace, order: Order) -> None:
    began, started = datetime.now(UTC), time.perf_counter()
    torch.set_num_threads(THREADS)
    content: dict[str, Any] = {
        "row": order.row,
        "seed": order.seed,
        "settings": order.training,
        "code": code_fingerprint(),
        "began": began.isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }
    parts: dict[str, Values] = {}
    try:
        settings = workspace.job(order.key, TrainingSettings.model_validate(order.training))
        found, parts = _measured(settings, ROWS[order.row], Path(order.judged) if order.judged else None)
        content |= found
    except (TrainingSetError, TextEncoderError) as error:
        content["objection"] = str(error)
    content["seconds"] = time.perf_counter() - started
    content["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    write_result(workspace.results, order.key, content, parts)
    workspace.remove_job(order.key)


def _measured(settings: Settings, row: Row, judged: Path | None) -> tuple[dict[str, Any], dict[str, Values]]:
    found: dict[str, Any] = {}
    prior: QualityPrior | None = None
    methods = list(BASELINES)
    if row.is_trained:
        result = train(settings, lambda message, share: print(f"{share:4.0%} {message}", flush=True))
        found["training"] = {**result.to_json(), "candidate_dir": None}
        towers, arrays = load_candidate(result.candidate_dir), prepare_arrays(settings)
        methods = [TOWERS, NOT_PERSONALIZED, HYBRID]
        if row.is_boosted:
            prior = fit_candidate_prior(settings, result.candidate_dir)
            found["boosting"] = prior.to_json()
            methods += [BOOSTED, *([PROPOSED] if prior.weights.proposed else [])]
    else:
        arrays = prepare_arrays(settings)
        towers = new_towers(settings.training, arrays)
    searches = with_proposed(settings, arrays, towers, prior)
    truth, values = values_per_request(settings.training, arrays, searches, methods)
    parts = {"requests": values}
    if judged is not None and row.is_trained:
        parts["judged"] = values_per_judged_query(settings, arrays, towers, judged)
    return found | {"truth": truth, **_sizes(arrays)}, parts


def _sizes(arrays: Arrays) -> dict[str, Any]:
    return {
        "items": arrays.items,
        "requests": len(arrays.request_time),
        "split": arrays.meta["split"],
        "edges": len(arrays.edges),
        "queries": len(arrays.query_texts()),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
