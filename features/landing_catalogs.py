"""Which of the files in a landing folder is the catalogue: the newest of each place, or its parts together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from features.file_names import is_catalog, is_hidden, version_in, why_unread
from features.landing_files import LandingError, LandingFile, days_in, files_under, last_of, listed_file, open_landing
from infra.settings import Settings


def catalog_files(settings: Settings) -> list[tuple[date | None, LandingFile]]:
    """Catalogue files, oldest first, each with the day it landed (None: the one in the landing folder itself).

    Of several in one place the newest counts, see ``passed_over_catalogs``; the parts of a folder count together.

    Raises:
        LandingError: Nothing tells which of several is the newest.
    """
    file_system, root = open_landing(settings)
    dated: list[tuple[date | None, LandingFile]] = []
    for day, folder in _places(file_system, root):
        dated += [(day, file) for file in choose_catalog(file_system, folder, day)[0]]
    return dated


def passed_over_catalogs(settings: Settings) -> dict[str, str]:
    """Catalogue files that a newer one in the same place stands for -> why they are not read."""
    file_system, root = open_landing(settings)
    told: dict[str, str] = {}
    for day, folder in _places(file_system, root):
        told |= choose_catalog(file_system, folder, day)[1]
    return told


def _places(file_system: Any, root: str) -> list[tuple[date | None, str]]:
    days = days_in(file_system, root)
    return [(None, root), *((day, f"{root}/dt={day.isoformat()}") for day in days)]


def choose_catalog(file_system: Any, folder: str, day: date | None) -> tuple[list[LandingFile], dict[str, str]]:
    """The catalogue that counts in a folder, its parts, and the others by name with why not."""
    within = f"dt={day}/" if day else ""
    found: dict[str, list[LandingFile]] = {}
    unread: dict[str, str] = {}
    for entry in file_system.ls(folder, detail=True):
        name = last_of(entry["name"])
        if is_hidden(name) or not is_catalog(name):
            continue
        folder_of_parts = entry["type"] == "directory"
        parts = files_under(file_system, entry["name"]) if folder_of_parts else [listed_file(file_system, entry, "")]
        named = [replace(part, name=f"{within}{name}/{part.name}".rstrip("/")) for part in parts]
        unread |= {part.name: why for part in named if (why := why_unread(part.name))}
        if readable := [part for part in named if part.name not in unread]:
            found[within + name] = readable
    plain = {
        name: parts for name, parts in found.items() if re.match(r"catalog(ue)?\b|catalog(ue)?_", last_of(name).lower())
    }
    if plain:
        first = next(iter(plain))
        unread |= {n: f"is not read: {first} is the catalogue there" for n in found.keys() - plain.keys()}
        found = plain
    if len(found) < 2:
        return next(iter(found.values()), []), unread
    newest = _newest(found)
    if newest is None:
        raise LandingError(
            f"{' and '.join(sorted(found))} are catalogues in one place, and nothing tells which is the newest:"
            " take the others away, or put them into one folder catalog/ if they are parts of one"
        )
    unread |= {name: f"is not read: {newest} beside it is newer" for name in found.keys() - {newest}}
    return found[newest], unread


def _newest(found: Mapping[str, Sequence[LandingFile]]) -> str | None:
    """The one of several catalogues whose name carries the latest date, else that was written last."""
    ages: dict[str, Any] = {name: version_in(name.rsplit("/", 1)[-1]) for name in found}
    if not all(ages.values()):
        # Numbers that are no dates count parts of one export rather than its versions.
        if len(found) > 1 and all(re.search(r"[_-]\d{1,5}\.", name) for name in found):
            return None
        ages = {name: max((part.changed or 0.0 for part in parts), default=0.0) for name, parts in found.items()}
    latest = max(ages.values())
    newest = [name for name, age in ages.items() if age == latest]
    return newest[0] if len(newest) == 1 and latest else None
