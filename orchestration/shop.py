"""Which shop this process works on, and where its logs come from."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from demoshop.judged import is_judged_folder
from infra.settings import Settings, get_settings


class Source(StrEnum):
    """Where the raw sessions come from."""

    GIVEN = "given"
    """``landing`` holds days of UBI logs."""
    JUDGED = "judged"
    """``landing`` holds a catalogue and judged queries; the demo shop makes sessions over them."""
    DEMO = "demo"
    """No landing is set: the demo shop makes catalogue and sessions."""


def source(settings: Settings) -> Source:
    """Tell where the raw sessions come from."""
    if settings.landing is None:
        return Source.DEMO
    return Source.JUDGED if is_judged_folder(settings.landing) else Source.GIVEN


@lru_cache(maxsize=1)
def shop_settings() -> Settings:
    """The settings that the rooms below get: made logs are read from the shop's own landing folder."""
    settings = get_settings()
    if source(settings) is Source.JUDGED:
        return settings.model_copy(update={"landing": None, "shop": settings.shop_name})
    return settings


def candidate_release_file(settings: Settings) -> Path:
    """Where the steps of a run hand on the id of the release that the training ended in."""
    return settings.paths.reports / "candidate_release.json"


def candidate_dir(settings: Settings) -> Path:
    """Where the trainer leaves the towers that are not yet a release."""
    return settings.paths.training / "candidate"
