"""The days of the landing folder, and the UBI files of a day."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from features.file_names import READ, day_for, is_catalog, is_hidden, log_source, why_unread
from features.landing_catalogs import choose_catalog
from features.landing_files import (
    STOCK_FILES,
    LandingError,
    LandingFile,
    day_named,
    days_in,
    files_under,
    landing_url,
    last_of,
    open_landing,
)
from infra.settings import Settings

__all__ = [
    "DayFiles",
    "LandingError",
    "NoLogError",
    "day_files",
    "landing_days",
    "landing_url",
    "other_days_have_events",
    "unread_in_landing",
]

_OWN = frozenset({"qrels.tsv", "queries.tsv", *STOCK_FILES})
"""Judgements and stock beside a catalogue: no logs, and read elsewhere."""

NEAR = 7
"""Days beside one that tell whether its log should have events; each is listed."""


class NoLogError(LandingError):
    """The landing folder holds no day, nor a folder that may be meant as one."""


@dataclass(frozen=True)
class DayFiles:
    """The files of a day."""

    day: date
    queries: tuple[LandingFile, ...]
    events: tuple[LandingFile, ...]
    either: tuple[LandingFile, ...] = ()
    """Files whose name does not tell which of the two they hold, as a bulk export of both; their rows do."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """What else lies in the day's folder -> why it is not read."""

    @property
    def all(self) -> tuple[LandingFile, ...]:
        """All files that are read."""
        return (*self.queries, *self.events, *self.either)

    @property
    def stamps(self) -> str:
        """Hash of names, sizes and stamps, without a look into a file: where it is the same, so are the files."""
        return _hash_of((f.name, str(f.size), f.stamp) for f in self.all)

    @property
    def fingerprint(self) -> str:
        """Hash of names and contents: a copied or restored log has the same, whenever its files were written."""
        return _hash_of((f.name, f.content) for f in self.all)


def _hash_of(listed: Iterable[tuple[str, ...]]) -> str:
    return hashlib.sha256("\n".join("\t".join(line) for line in sorted(listed)).encode()).hexdigest()


def landing_days(settings: Settings) -> list[date]:
    """The days that have landed, in order.

    Raises:
        LandingError: No such folder, or no day in it (a ``NoLogError`` where nothing is near to one).
    """
    file_system, root = open_landing(settings)
    days = days_in(file_system, root)
    if not days:
        near = {name: why for name, why in unread_in_landing(settings).items() if "rename it" in why}
        found = "".join(f"; {name} {why}" for name, why in list(near.items())[:5])
        raise (LandingError if near else NoLogError)(
            f"{landing_url(settings)} holds no day: expected folders dt=YYYY-MM-DD, each with ubi_queries and"
            f" ubi_events files ({READ}){found}"
        )
    return days


def unread_in_landing(settings: Settings) -> dict[str, str]:
    """What lies in the landing folder itself and is not read -> why, and what to do; hidden names are left alone."""
    file_system, root = open_landing(settings)
    taken, unread = choose_catalog(file_system, root, None)
    read = {_top(file.name) for file in taken}
    for entry in file_system.ls(root, detail=True):
        name = last_of(entry["name"])
        folder = entry["type"] == "directory"
        if is_hidden(name) or name in read or name in _OWN or name in unread or (folder and day_named(name)):
            continue
        if folder and (better := day_for(name)):
            real = day_named(better) is not None
            unread[name] = (
                f"is no day's folder: rename it {better}" if real else "is named after no real date; rename it"
            )
        elif folder:
            unread[name] = "is no day's folder (dt=YYYY-MM-DD)"
        elif log_source(name):
            unread[name] = (
                "lies in no day's folder: move it into its dt=YYYY-MM-DD, or make days of it by shelfwise import"
                " (source ubi, or own for names of the shop's own)"
            )
        else:
            unread[name] = why_unread(name) or "is neither a catalogue by its name (catalog.*) nor a day's folder"
    return dict(sorted(unread.items()))


def _top(name: str) -> str:
    """The file or folder right under the landing folder, or under a day's, that a name begins with."""
    parts = name.split("/")
    return parts[1] if day_named(parts[0]) and len(parts) > 1 else parts[0]


def day_files(settings: Settings, day: date) -> DayFiles:
    """The files of a day: ``ubi_queries*``, ``ubi_events*``, folders of those names with parts in them, and exports of
    any name whose rows say what they are; a file of no bytes counts as absent.

    Raises:
        LandingError: The day has not landed, or holds neither queries nor events.
    """
    file_system, root = open_landing(settings)
    folder = f"{root}/dt={day.isoformat()}"
    shown = f"{landing_url(settings)}/dt={day.isoformat()}"
    if not file_system.isdir(folder):
        raise LandingError(f"{day} has not landed: there is no folder {shown}")
    _, unread = choose_catalog(file_system, folder, day)
    unread = {_top(name): why for name, why in unread.items()}
    sources: dict[str | None, list[LandingFile]] = {"ubi_queries": [], "ubi_events": [], None: []}
    empty = []
    for file in files_under(file_system, folder):
        if is_catalog(_top(file.name)) or _top(file.name) in unread:
            continue
        if why := why_unread(file.name):
            unread[file.name] = why
        elif file.size == 0:
            empty.append(file.name)
            sources[log_source(file.name)].append(file)
        else:
            sources[log_source(file.name)].append(file)
    queries, events, either = (tuple(sources[key]) for key in ("ubi_queries", "ubi_events", None))
    if not any(file.size for file in (*queries, *events, *either)):
        present = ", ".join(sorted(last_of(p) for p in file_system.find(folder))[:10]) or "nothing"
        raise LandingError(
            f"{shown} has no queries: expected ubi_queries* ({READ}), or a folder ubi_queries/ of them, or ubi_events*"
            f" with user_query; found {present}" + (f" ({', '.join(empty[:5])} empty)" if empty else "")
        )
    return DayFiles(day, queries, events, either, unread)


def other_days_have_events(settings: Settings, day: date) -> bool:
    """Whether one of the ``NEAR`` landed days around ``day`` has a file of events."""
    for other in sorted(set(landing_days(settings)) - {day}, key=lambda d: abs(d - day))[:NEAR]:
        try:
            if any(file.size for file in day_files(settings, other).events):
                return True
        except LandingError:
            continue  # that day says so where it is built
    return False
