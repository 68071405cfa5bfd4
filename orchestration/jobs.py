"""The jobs: the whole loop, the features alone, the catalogue alone."""

from __future__ import annotations

import dagster as dg

from infra.settings import get_settings

LOGGED: dict[str, dict[str, dict[str, str]]] | None = (
    {"loggers": {"terminal": {}}} if get_settings().log.format == "json" else None
)
"""Runs that Dagster starts log by Dagster's console, in colours, unless the log is JSON."""

retrain = dg.define_asset_job(
    "retrain",
    selection=dg.AssetSelection.all(),
    config=LOGGED,
    description="The whole loop: logs of the chosen days -> sessions -> features -> towers -> release -> live.",
)
"""In a range of days it runs as one run; in one process, which is faster here and shares the embedded services."""

refresh_features = dg.define_asset_job(
    "refresh_features",
    selection=dg.AssetSelection.assets("online_features").upstream(),
    config=LOGGED,
    description="Logs of the chosen days -> sessions -> features -> online store. No training.",
)

CATALOG_ALONE = ("catalog", "catalog_release")
"""Assets that need no log."""

release_catalog = dg.define_asset_job(
    "release_catalog",
    selection=dg.AssetSelection.assets(*CATALOG_ALONE),
    config=LOGGED,
    description="The catalogue -> a release of it alone -> live, unless one that learned from a log is. No log needed.",
)
