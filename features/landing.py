"""The landing folder: which days it holds, and the UBI files of a day, local or behind any fsspec URL."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from infra.settings import Settings

_DAY = re.compile(r"dt=(\d{4}-\d{2}-\d{2})")
_NEARLY_DAY = re.compile(r"^dt\b|\d{4}.?\d{1,2}.?\d{1,2}")
_LOG = re.compile(r"(ubi_queries|ubi_events)([^/]*|/.*)\.(parquet|(ndjson|jsonl|json)(\.gz)?)")
_CATALOG = re.compile(r"catalog\.(parquet|(ndjson|jsonl|json|csv)(\.gz)?)")


class LandingError(ValueError):
    """The landing folder, or a day in it, is not as expected; the message says what to do."""


@dataclass(frozen=True)
class LandingFile:
    """A file as the landing folder lists it."""

    path: str
    """Where it is on its file system."""
    name: str
    """Where it is under its day's folder (a catalogue: under the landing folder)."""
    size: int
    stamp: str
    """ETag, checksum or modification time: changes where the content changes."""


@dataclass(frozen=True)
class DayFiles:
    """The UBI files of a day."""

    day: date
    queries: tuple[LandingFile, ...]
    events: tuple[LandingFile, ...]

    @property
    def fingerprint(self) -> str:
        """Changes where a file of the day is added, taken away or replaced."""
        return fingerprint((*self.queries, *self.events))


def fingerprint(files: Sequence[LandingFile]) -> str:
    """Hash of names, sizes and stamps."""
    listed = "\n".join(f"{f.name}\t{f.size}\t{f.stamp}" for f in sorted(files, key=lambda f: f.name))
    return hashlib.sha256(listed.encode()).hexdigest()


def landing_url(settings: Settings) -> str:
    """The folder or URL that raw sessions are read from: the given one, else the demo shop's."""
    return (settings.landing or str(settings.paths.landing)).rstrip("/")


def _open_landing(settings: Settings) -> tuple[Any, str]:
    """The file system and the root folder on it.

    Raises:
        LandingError: The URL's protocol is not known, or there is no such folder.
    """
    url = landing_url(settings)
    try:
        file_system, root = url_to_fs(url)
        # A listing kept from before would hide the files that landed since.
        file_system.invalidate_cache()
        found = file_system.isdir(root)
    except (ImportError, ValueError, OSError) as error:
        raise LandingError(
            f"the landing folder {url} cannot be opened: {error}. Check the URL and its credentials, and that the"
            " fsspec package of its protocol is installed (s3fs for s3://, gcsfs for gs://)"
        ) from error
    if not found:
        todo = "check --data (SHELFWISE_LANDING)" if settings.landing else "run the demo shop first"
        raise LandingError(f"there is no landing folder at {url}: {todo}")
    return file_system, root.rstrip("/")


def landing_days(settings: Settings) -> list[date]:
    """The days that have landed, in order.

    Raises:
        LandingError: No such folder, no day in it, or a day's name that is no date.
    """
    file_system, root = _open_landing(settings)
    days = _days_in(settings, file_system, root)
    if not days:
        folders = [entry["name"] for entry in file_system.ls(root, detail=True) if entry["type"] == "directory"]
        near = sorted(name for name in (f.rstrip("/").rsplit("/", 1)[-1] for f in folders) if _NEARLY_DAY.search(name))
        found = f"; rename {', '.join(near[:5])}" if near else ""
        raise LandingError(
            f"{landing_url(settings)} holds no day: expected folders dt=YYYY-MM-DD, each with ubi_queries and"
            f" ubi_events files (.parquet, .ndjson, .jsonl or .json, .gz allowed){found}"
        )
    return days


def _days_in(settings: Settings, file_system: Any, root: str) -> list[date]:
    """The days of a landing folder, in order."""
    days: list[date] = []
    for entry in file_system.ls(root, detail=True):
        name = entry["name"].rstrip("/").rsplit("/", 1)[-1]
        if entry["type"] != "directory" or not (match := _DAY.fullmatch(name)):
            continue
        try:
            days.append(date.fromisoformat(match.group(1)))
        except ValueError as error:
            raise LandingError(f"{landing_url(settings)}/{name} is named after no real date; rename it") from error
    return sorted(days)


def _listed(entry: dict[str, Any], name: str) -> LandingFile:
    stamp = next(
        (entry[k] for k in ("ETag", "etag", "md5Hash", "checksum", "LastModified", "mtime", "created") if k in entry),
        "",
    )
    return LandingFile(entry["name"], name, int(entry.get("size") or 0), str(stamp))


def _files_under(file_system: Any, folder: str, pattern: re.Pattern[str]) -> list[LandingFile]:
    """Files under a folder whose relative name matches; hidden files and ``_SUCCESS`` markers never do."""
    listing = file_system.find(folder, detail=True)
    prefix = folder.rstrip("/") + "/"
    named = [(path.removeprefix(prefix), entry) for path, entry in sorted(listing.items())]
    return [
        _listed(entry, name)
        for name, entry in named
        if pattern.fullmatch(name) and not any(part.startswith((".", "_")) for part in name.split("/"))
    ]


def day_files(settings: Settings, day: date) -> DayFiles:
    """The UBI files of a day: ``ubi_queries*`` and ``ubi_events*``, or folders of those names with parts in them.

    Raises:
        LandingError: The day has not landed, or holds no queries.
    """
    file_system, root = _open_landing(settings)
    folder = f"{root}/dt={day.isoformat()}"
    shown = f"{landing_url(settings)}/dt={day.isoformat()}"
    if not file_system.isdir(folder):
        raise LandingError(f"{day} has not landed: there is no folder {shown}")
    files = _files_under(file_system, folder, _LOG)
    queries = tuple(f for f in files if f.name.startswith("ubi_queries"))
    events = tuple(f for f in files if f.name.startswith("ubi_events"))
    if not queries:
        present = ", ".join(sorted(p.rsplit("/", 1)[-1] for p in file_system.find(folder))[:10]) or "nothing"
        raise LandingError(
            f"{shown} has no queries: expected ubi_queries*.parquet, .ndjson, .jsonl or .json (.gz allowed), or a"
            f" folder ubi_queries/ of them; found {present}"
        )
    return DayFiles(day, queries, events)


def catalog_files(settings: Settings) -> list[tuple[date | None, LandingFile]]:
    """Catalogue files, oldest first, each with the day it landed (None: the one in the landing folder itself)."""
    file_system, root = _open_landing(settings)
    dated: list[tuple[date | None, LandingFile]] = []
    folders: list[tuple[date | None, str]] = [(None, root)]
    folders += [(day, f"{root}/dt={day.isoformat()}") for day in _days_in(settings, file_system, root)]
    for day, folder in folders:
        for entry in file_system.ls(folder, detail=True):
            name = entry["name"].rstrip("/").rsplit("/", 1)[-1]
            if entry["type"] == "file" and _CATALOG.fullmatch(name):
                dated.append((day, _listed(entry, f"dt={day}/{name}" if day else name)))
    return dated


def unreadable_files(settings: Settings, files: Sequence[LandingFile]) -> list[str]:
    """Those files that cannot be opened, each with why; few are asked for, since each is opened."""
    file_system, _ = _open_landing(settings)
    told = []
    for file in files:
        try:
            with file_system.open(file.path, "rb") as opened:
                opened.read(1)
        except OSError as error:
            told.append(f"{file.path}: {error.strerror or error}")
    return told


@contextmanager
def local_copies(settings: Settings, files: Sequence[LandingFile]) -> Iterator[list[Path]]:
    """Local paths of files, in their order: the files themselves, or copies that are removed at the end.

    Raises:
        LandingError: A file cannot be copied.
    """
    file_system, _ = _open_landing(settings)
    if isinstance(file_system, LocalFileSystem):
        yield [Path(f.path) for f in files]
        return
    with TemporaryDirectory(prefix="shelfwise-landing-") as folder:
        copies = [Path(folder, f"{i:05d}-{f.path.rsplit('/', 1)[-1]}") for i, f in enumerate(files)]
        for file, copy in zip(files, copies, strict=True):
            try:
                file_system.get_file(file.path, str(copy))
            except OSError as error:
                raise LandingError(f"{file.path} could not be copied from {landing_url(settings)}: {error}") from error
        yield copies
