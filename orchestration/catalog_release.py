"""A shop begins with its catalogue: it goes live where nothing that learned from a log is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.progress import Progress
from infra.settings import Settings
from orchestration.releases import ann_recall, completeness, make_live, recall_gates, record, servability, slices
from serving.index import live_release_id, push
from training.evaluation import EvaluationReport
from training.release.catalog_release import NoTextError, write_catalog_release
from training.release.manifest import is_catalog_alone
from training.release.places import found_folder
from training.release.release import load_release

SEARCHED = 200
"""Items whose own vectors stand in for queries, where there is no log to take some from."""


@dataclass(frozen=True)
class CatalogOutcome:
    """Which release of the catalogue alone serves, and what it took the place of; or why there is none."""

    release: str | None
    before: str | None
    told: str


def release_catalog(settings: Settings, progress: Progress | None = None) -> CatalogOutcome:
    """Release the built catalogue and make it live, unless what is live has learned from a log.

    Raises:
        IndexUnavailable: Milvus does not answer. PromotionRefused: a fresh process cannot serve it.
        ReleaseError: a folder of its id exists and is damaged. TextEncoderError: MiniLM is missing or changed.
    """
    live = live_release_id(settings)
    if live is not None and not is_catalog_release(settings, live):
        return CatalogOutcome(None, live, f"not needed: release {live}, which learned from a log, is live")
    try:
        folder = write_catalog_release(settings, progress)
    except NoTextError as error:
        return CatalogOutcome(None, live, f"none: {error}")
    release = load_release(folder)
    if release.id == live:
        return CatalogOutcome(live, live, "live as it was: the catalogue is the same")
    report = EvaluationReport.from_json(dict(release.manifest.evaluation))
    pushed = push(settings, release)
    record(
        settings,
        release.id,
        *recall_gates(settings.gates, report),
        slices(settings.gates, report),
        ann_recall(settings, release.id, lambda: np.asarray(release.items.vectors[:SEARCHED])),
        completeness(settings, release.id, pushed.collection),
        servability(settings, release.id, release.items.ids[0]),
    )
    make_live(settings, release.id)
    return CatalogOutcome(release.id, live, "live until towers that learned from the log find no less")


def is_catalog_release(settings: Settings, release_id: str) -> bool:
    """Whether a release is of the catalogue alone; one that is nowhere is not. Raises StoreUnavailable."""
    folder = found_folder(settings, release_id)
    return folder is not None and is_catalog_alone(folder)
