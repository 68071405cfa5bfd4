"""Whether the disk has room for a run, by what the last one of its job took."""

from __future__ import annotations

import shutil
from pathlib import Path

from infra.settings import Settings
from orchestration.disk_use import known_use

MIB = 2**20
LEAST = 64 * MIB
"""Bytes; with less nothing is begun: Dagster's records of a run and the embedded servers' files take as much."""
SPARE = 1.25
"""Times what the last run took: shops grow, and others write to the same disk."""
FIRST = 1024 * MIB
"""Less than this is told of a job that never went through."""


class NoRoomError(RuntimeError):
    """Nothing can be made with what is free; the sentence says where, and how much has to be."""


def refuse_without_room(settings: Settings, job: str) -> None:
    """Refuse to begin where nothing can be made.

    Raises:
        NoRoomError: so little is free that a run would not end its first step, or could not even be recorded.
    """
    if (free := free_bytes(settings)) < LEAST:
        raise NoRoomError(
            f"{in_units(free)} are free under {there(settings.paths.root)}, and a run needs"
            f" {in_units(needed_bytes(settings, job) or LEAST)}: free as much there or make the volume larger, then run"
            " again; nothing was begun, what is live stays live"
        )


def lacking_room(settings: Settings, job: str, days: int) -> str | None:
    """A sentence where less is free than a run over so many days may need."""
    free, needed = free_bytes(settings), needed_bytes(settings, job, days)
    if free >= (needed or FIRST):
        return None
    told = f"{in_units(free)} are free under {there(settings.paths.root)}"
    if needed is None:
        return f"only {told}: a first run may need more"
    return (
        f"{told}, and this run may need {in_units(needed)}, by what the last one took: where it stops for lack of"
        " space, free some and run again, it goes on with what is not done yet"
    )


def needed_bytes(settings: Settings, job: str, days: int = 1) -> int | None:
    """Bytes that have to be free for a run of a job over so many days; None before one went through."""
    use = known_use(settings, job)
    return None if use is None else round(SPARE * use.of(days)) + LEAST


def free_bytes(settings: Settings) -> int:
    """Bytes that are free where the shop lies."""
    return shutil.disk_usage(there(settings.paths.root)).free


def there(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.expanduser().absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def in_units(size: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
