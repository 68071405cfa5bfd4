"""The landing folder: which days it holds, and the UBI files of a day, local or behind any fsspec URL."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from features.file_names import READ, day_for, is_catalog, is_hidden, log_source, version_in, why_unread
from infra.contract.content import file_hash
from infra.settings import Settings

_DAY = re.compile(r"dt=(\d{4}-\d{2}-\d{2})")
_OWN = frozenset({"qrels.tsv", "queries.tsv"})
"""Judgements beside a catalogue: no logs, and read elsewhere."""

NEAR = 7
"""Days beside one that tell whether its log should have events; each is listed."""


class LandingError(ValueError):
    """The landing folder, or a day in it, is not as expected; the message says what to do."""


class NoLogError(LandingError):
    """The landing folder holds no day, nor a folder that may be meant as one."""


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


def landing_days(settings: Settings) -> list[date]:
    """The days that have landed, in order.

    Raises:
        LandingError: No such folder, or no day in it (a ``NoLogError`` where nothing is near to one).
    """
    file_system, root = _open_landing(settings)
    days = _days_in(file_system, root)
    if not days:
        near = {name: why for name, why in unread_in_landing(settings).items() if "rename it" in why}
        found = "".join(f"; {name} {why}" for name, why in list(near.items())[:5])
        raise (LandingError if near else NoLogError)(
            f"{landing_url(settings)} holds no day: expected folders dt=YYYY-MM-DD, each with ubi_queries and"
            f" ubi_events files ({READ}){found}"
        )
    return days


def _last(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def _day_named(name: str) -> date | None:
    found = _DAY.fullmatch(name)
    try:
        return date.fromisoformat(found.group(1)) if found else None
    except ValueError:
        return None


def _days_in(file_system: Any, root: str) -> list[date]:
    """The days of a landing folder, in order."""
    folders = [_last(entry["name"]) for entry in file_system.ls(root, detail=True) if entry["type"] == "directory"]
    return sorted(day for name in folders if (day := _day_named(name)) is not None)


def unread_in_landing(settings: Settings) -> dict[str, str]:
    """What lies in the landing folder itself and is not read -> why, and what to do; hidden names are left alone."""
    file_system, root = _open_landing(settings)
    taken, unread = _catalogs_of(file_system, root, None)
    read = {_top(file.name) for file in taken}
    for entry in file_system.ls(root, detail=True):
        name = _last(entry["name"])
        folder = entry["type"] == "directory"
        if is_hidden(name) or name in read or name in _OWN or name in unread or (folder and _day_named(name)):
            continue
        if folder and (better := day_for(name)):
            real = _day_named(better) is not None
            unread[name] = (
                f"is no day's folder: rename it {better}" if real else "is named after no real date; rename it"
            )
        elif folder:
            unread[name] = "is no day's folder (dt=YYYY-MM-DD)"
        elif log_source(name):
            unread[name] = "lies in no day's folder: move it into its dt=YYYY-MM-DD"
        else:
            unread[name] = why_unread(name) or "is neither a catalogue by its name (catalog.*) nor a day's folder"
    return dict(sorted(unread.items()))


def _top(name: str) -> str:
    """The file or folder right under the landing folder, or under a day's, that a name begins with."""
    parts = name.split("/")
    return parts[1] if _day_named(parts[0]) and len(parts) > 1 else parts[0]


def _listed(file_system: Any, entry: dict[str, Any], name: str) -> LandingFile:
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


def _files_under(file_system: Any, folder: str) -> list[LandingFile]:
    """Files under a folder, by name; hidden files and ``_SUCCESS`` markers are none."""
    listing = file_system.find(folder, detail=True)
    prefix = folder.rstrip("/") + "/"
    named = [(path.removeprefix(prefix), entry) for path, entry in sorted(listing.items())]
    return [_listed(file_system, entry, name) for name, entry in named if not is_hidden(name)]


def day_files(settings: Settings, day: date) -> DayFiles:
    """The files of a day: ``ubi_queries*``, ``ubi_events*``, folders of those names with parts in them, and exports of
    any name whose rows say what they are; a file of no bytes counts as absent.

    Raises:
        LandingError: The day has not landed, or holds neither queries nor events.
    """
    file_system, root = _open_landing(settings)
    folder = f"{root}/dt={day.isoformat()}"
    shown = f"{landing_url(settings)}/dt={day.isoformat()}"
    if not file_system.isdir(folder):
        raise LandingError(f"{day} has not landed: there is no folder {shown}")
    _, unread = _catalogs_of(file_system, folder, day)
    unread = {_top(name): why for name, why in unread.items()}
    sources: dict[str | None, list[LandingFile]] = {"ubi_queries": [], "ubi_events": [], None: []}
    empty = []
    for file in _files_under(file_system, folder):
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
        present = ", ".join(sorted(_last(p) for p in file_system.find(folder))[:10]) or "nothing"
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


def catalog_files(settings: Settings) -> list[tuple[date | None, LandingFile]]:
    """Catalogue files, oldest first, each with the day it landed (None: the one in the landing folder itself).

    Of several in one place the newest counts, see ``passed_over_catalogs``; the parts of a folder count together.

    Raises:
        LandingError: Nothing tells which of several is the newest.
    """
    file_system, root = _open_landing(settings)
    dated: list[tuple[date | None, LandingFile]] = []
    for day, folder in _places(file_system, root):
        dated += [(day, file) for file in _catalogs_of(file_system, folder, day)[0]]
    return dated


def passed_over_catalogs(settings: Settings) -> dict[str, str]:
    """Catalogue files that a newer one in the same place stands for -> why they are not read."""
    file_system, root = _open_landing(settings)
    told: dict[str, str] = {}
    for day, folder in _places(file_system, root):
        told |= _catalogs_of(file_system, folder, day)[1]
    return told


def _places(file_system: Any, root: str) -> list[tuple[date | None, str]]:
    days = _days_in(file_system, root)
    return [(None, root), *((day, f"{root}/dt={day.isoformat()}") for day in days)]


def _catalogs_of(file_system: Any, folder: str, day: date | None) -> tuple[list[LandingFile], dict[str, str]]:
    """The catalogue that counts in a folder, its parts, and the others by name with why not."""
    within = f"dt={day}/" if day else ""
    found: dict[str, list[LandingFile]] = {}
    unread: dict[str, str] = {}
    for entry in file_system.ls(folder, detail=True):
        name = _last(entry["name"])
        if is_hidden(name) or not is_catalog(name):
            continue
        folder_of_parts = entry["type"] == "directory"
        parts = _files_under(file_system, entry["name"]) if folder_of_parts else [_listed(file_system, entry, "")]
        named = [replace(part, name=f"{within}{name}/{part.name}".rstrip("/")) for part in parts]
        unread |= {part.name: why for part in named if (why := why_unread(part.name))}
        if readable := [part for part in named if part.name not in unread]:
            found[within + name] = readable
    plain = {
        name: parts for name, parts in found.items() if re.match(r"catalog(ue)?\b|catalog(ue)?_", _last(name).lower())
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
