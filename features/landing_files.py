"""The landing folder as a file system: local or behind any fsspec URL, its files, and copies of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from features.file_names import is_hidden
from infra.contract.content import file_hash
from infra.settings import Settings

STOCK_FILES = ("stock.parquet", "stock.csv", "stock.ndjson", "stock.jsonl")
"""Beside the catalogue: what is said of items by day, which serving reads and a run does not."""
_DAY = re.compile(r"dt=(\d{4}-\d{2}-\d{2})")


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
    changed: float | None = None
    """When it was last written, in seconds since 1970; None where the file system does not tell."""
    local: bool = False
    """Whether ``path`` is one of this machine."""

    @property
    def content(self) -> str:
        """Hash of what it holds; of a remote file its stamp, which spares fetching it."""
        return (self.local and file_hash(Path(self.path))) or self.stamp


def landing_url(settings: Settings) -> str:
    """The folder or URL that raw sessions are read from: the given one, else the demo shop's."""
    return (settings.landing or str(settings.paths.landing)).rstrip("/")


def open_landing(settings: Settings) -> tuple[Any, str]:
    """The file system and the root folder on it.

    Raises:
        LandingError: The URL's protocol is not known, or there is no such folder.
    """
    url = landing_url(settings)
    try:
        file_system, root = url_to_fs(url)
        # A listing kept from before would hide the files that landed since.
        file_system.invalidate_cache()
        found, is_file = file_system.isdir(root), file_system.isfile(root)
    except (ImportError, ValueError, OSError) as error:
        raise LandingError(
            f"the landing folder {url} cannot be opened: {error}. Check the URL and its credentials, and that the"
            " fsspec package of its protocol is installed (s3fs for s3://, gcsfs for gs://)"
        ) from error
    if is_file:
        raise LandingError(f"{url} is a file: name the folder that has the days' folders (dt=YYYY-MM-DD) in it")
    if not found:
        todo = "check the path" if settings.landing else "run the demo shop first"
        raise LandingError(f"there is no landing folder at {url}: {todo}")
    return file_system, root.rstrip("/")


def last_of(path: str) -> str:
    """The last name of a path."""
    return path.rstrip("/").rsplit("/", 1)[-1]


def day_named(name: str) -> date | None:
    """The day of a folder ``dt=YYYY-MM-DD``; None of any other name, and of a date that there is not."""
    found = _DAY.fullmatch(name)
    try:
        return date.fromisoformat(found.group(1)) if found else None
    except ValueError:
        return None


def days_in(file_system: Any, root: str) -> list[date]:
    """The days of a landing folder, in order."""
    folders = [last_of(entry["name"]) for entry in file_system.ls(root, detail=True) if entry["type"] == "directory"]
    return sorted(day for name in folders if (day := day_named(name)) is not None)


def listed_file(file_system: Any, entry: dict[str, Any], name: str) -> LandingFile:
    """A file of fsspec's listing, ``name`` being where it is under its day's folder."""
    stamp = next(
        (entry[k] for k in ("ETag", "etag", "md5Hash", "checksum", "LastModified", "mtime", "created") if k in entry),
        "",
    )
    written = next((entry[k] for k in ("mtime", "LastModified", "last_modified", "updated") if entry.get(k)), None)
    if isinstance(written, str):
        written = datetime.fromisoformat(written)
    changed = written.timestamp() if isinstance(written, datetime) else written
    local = isinstance(file_system, LocalFileSystem)
    return LandingFile(entry["name"], name, int(entry.get("size") or 0), str(stamp), changed, local)


def files_under(file_system: Any, folder: str) -> list[LandingFile]:
    """Files under a folder, by name; hidden files and ``_SUCCESS`` markers are none."""
    listing = file_system.find(folder, detail=True)
    prefix = folder.rstrip("/") + "/"
    named = [(path.removeprefix(prefix), entry) for path, entry in sorted(listing.items())]
    return [listed_file(file_system, entry, name) for name, entry in named if not is_hidden(name)]


def unreadable_files(settings: Settings, files: Sequence[LandingFile]) -> list[str]:
    """Those files that cannot be opened, each with why; few are asked for, since each is opened."""
    file_system, _ = open_landing(settings)
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
    file_system, _ = open_landing(settings)
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
