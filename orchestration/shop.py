"""Which shop this process works on, and where its logs come from."""

from __future__ import annotations

import json
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from demoshop.judged import is_judged_folder
from features.landing import LandingError
from infra.contract.partitions import write_json
from infra.settings import Settings, get_settings, same_landing


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
    try:
        judged = is_judged_folder(settings.landing)
    except (ImportError, ValueError, OSError):
        judged = False  # what is wrong with the folder is said where its days are read
    return Source.JUDGED if judged else Source.GIVEN


def claim_shop(settings: Settings, landing: str | None) -> None:
    """Note whose logs the shop's folder holds: those of two landing folders must never mix.

    Raises:
        LandingError: the folder holds the tables of another landing.
    """
    note = settings.paths.root / "shop.json"
    if not note.exists():
        write_json(note, {"landing": landing})
    held, landing = (same_landing(json.loads(note.read_text(encoding="utf-8"))["landing"]), same_landing(landing))
    if held != landing:
        ours, other = landing or "the demo shop", held or "the demo shop"
        raise LandingError(
            f"shop {settings.shop_name} holds the logs of {other}, not of {ours}:"
            " give these a name of their own with --shop NAME (SHELFWISE_SHOP)"
        )


@lru_cache(maxsize=1)
def shop_settings() -> Settings:
    """The settings that the rooms below get: made logs are read from the shop's own landing folder."""
    settings = get_settings()
    if source(settings) is Source.JUDGED:
        return settings.model_copy(update={"landing": None, "shop": settings.shop_name})
    return settings


def candidate_dir(settings: Settings) -> Path:
    """Where the trainer leaves the towers that are not yet a release."""
    return settings.paths.training / "candidate"
