"""Group training: the text encoder, trained where the recipe trains one, and the vectors of what it reads."""

from __future__ import annotations

import time
from typing import Any

import dagster as dg

from infra.contract.errors import TrainingSetError
from infra.settings import Settings
from orchestration.assets.common import LOCKED, OWNERS, not_retried, progress_to
from orchestration.assets.raw import catalog
from orchestration.assets.training import training_set
from orchestration.metadata import line_plot, rounded
from orchestration.shop import shop_settings
from orchestration.versions import code_version, data_version
from training.data.arrays import Arrays, prepare_arrays
from training.text import TextEncoderError, embed, item_texts, load_text_encoder
from training.text.pretraining import pretrain


@dg.asset(
    group_name="training",
    kinds={"torch", "huggingface"},
    owners=OWNERS,
    code_version=code_version("text_encoder"),
    required_resource_keys=LOCKED,
    deps=[training_set, catalog],
)
def text_encoder() -> dg.MaterializeResult:
    """The frozen text encoder, and its vectors of all items and queries: those already known are not computed again."""
    settings = shop_settings()
    kind = settings.training.text_encoder
    metadata: dict[str, Any] = {"kind": kind}
    with not_retried(TextEncoderError, TrainingSetError):
        if kind in ("t5", "mlm"):
            metadata |= _pretrain(settings)
        metadata |= _embed(settings)
    return dg.MaterializeResult(metadata=metadata, data_version=data_version(kind, metadata.get("fingerprint")))


def _pretrain(settings: Settings) -> dict[str, Any]:
    result = pretrain(settings, progress_to("text_encoder"))
    if result.reason is not None:
        return {"off": result.reason}
    return {
        "loss": line_plot(
            "Pre-training loss", f"x {result.steps / len(result.curve):.0f} steps", {"loss": result.curve}
        ),
        "steps": result.steps,
        "examples": result.examples,
        "pre-training seconds": rounded(result.seconds),
        "trained before": result.reused,
    }


def _embed(settings: Settings) -> dict[str, Any]:
    encoder = load_text_encoder(settings)
    if encoder is None:
        return {"items embedded": 0}
    arrays, started = _without_text(settings), time.perf_counter()
    for texts in (item_texts(arrays.catalog()), arrays.query_texts()):
        embed(settings, encoder, texts, progress_to("text_encoder"))
    return {
        "items embedded": arrays.items,
        "queries embedded": len(arrays.query_texts()),
        "width": encoder.width,
        "fingerprint": encoder.fingerprint,
        "embedding seconds": time.perf_counter() - started,
    }


def _without_text(settings: Settings) -> Arrays:
    """The arrays as they are on disk: with text, they would embed it themselves, and say nothing for minutes."""
    plain = settings.training.model_copy(update={"text_encoder": "none"})
    return prepare_arrays(settings.model_copy(update={"training": plain}))
