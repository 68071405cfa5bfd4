"""What of a feature view is in the online store already, and what has changed on disk since.

The record lies in Redis beside the rows that it speaks of: a Redis that lost its data, or another one, has no record; a
Redis Cluster of which one shard lost its rows lacks :mod:`features.store.shards`' marks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.store.definitions import View
from features.store.shards import are_marked, write_marks
from infra.contract.content import file_hash
from infra.contract.tables import EVENT_TIME

if TYPE_CHECKING:
    from redis import Redis


@dataclass(frozen=True)
class FileState:
    """A file of features by its content, and the event times in it (None: no rows)."""

    sha256: str
    first: str | None
    last: str | None


@dataclass(frozen=True)
class Progress:
    """How far a feature view has been materialized, and from which files."""

    until: datetime
    features: list[str]
    files: dict[str, FileState]

    def earliest_change(self, files: dict[str, FileState]) -> datetime | None:
        """The earliest time whose rows may differ from those that were read, or None if no file changed."""
        changed = {name for name in self.files.keys() | files.keys() if self.files.get(name) != files.get(name)}
        return _earliest(state for name in changed for state in (self.files.get(name), files.get(name)))


def read_files(view: View, known: Progress | None) -> dict[str, FileState]:
    """The files of a view as they are now; those that ``known`` has seen already are not opened again."""
    seen = known.files if known else {}
    return {(name := _name_of(path)): _file_state(path, seen.get(name)) for path in view.files()}


def load(client: Redis, project: str, view: View, marks: Sequence[str] = ()) -> Progress | None:
    """The record of a view, or None where nothing has been materialized, or a shard lost some of it.

    Args:
        client: of the online store. project: the shop's. view: the view.
        marks: of a Redis Cluster, :func:`features.store.shards.mark_keys`.
    """
    record = cast("bytes | None", client.get(_key(project, view)))
    if record is None or not are_marked(client, marks, record.decode()):
        return None
    value = json.loads(record)
    files = value["files"]
    return Progress(
        until=datetime.fromisoformat(value["until"]),
        features=value["features"],
        # The state of an earlier version went by modification time: such a file counts as changed.
        files={
            name: FileState(state.get("sha256", ""), state["first"], state["last"]) for name, state in files.items()
        },
    )


def save(client: Redis, project: str, view: View, progress: Progress, marks: Sequence[str] = ()) -> None:
    """Replace the record of a view, and beside it the time alone, which readers of sessions need at every request.

    The record last: where it is not written, the same is materialized again. Not in one transaction, as the two keys
    may lie on two servers.
    """
    key = until_key(project, view)
    reached = read_until(cast("bytes | None", client.get(key)))
    # A batch that brings nothing new must not set the shop's clock back.
    at = reached.at if reached and reached.at and reached.until == progress.until else datetime.now(UTC)
    record = json.dumps(asdict(progress), default=datetime.isoformat)
    write_marks(client, marks, record)
    client.set(key, f"{progress.until.isoformat()} {at.isoformat()}")
    client.set(_key(project, view), record)


class Reached(NamedTuple):
    """Up to which time a view has been materialized, and when that was done."""

    until: datetime
    at: datetime | None
    """None where it was written by a version that did not note it."""


def read_until(value: bytes | None) -> Reached | None:
    """What lies at :func:`until_key`."""
    if not value:
        return None
    until, _, at = value.decode().partition(" ")
    return Reached(datetime.fromisoformat(until), datetime.fromisoformat(at) if at else None)


def until_key(project: str, view: View) -> str:
    """Where :class:`Reached` of a view lies, two times in ISO format; absent where it was never materialized."""
    return f"shelfwise:materialized_until:{view.name}:{project}"


def _key(project: str, view: View) -> str:
    return f"shelfwise:materialized:{view.name}:{project}"


def _name_of(path: Path) -> str:
    """A day's only file goes by its day, as in the records of every version."""
    day = path.parent.name
    return day if path.name == "part.parquet" else f"{day}/{path.name}"


def _file_state(path: Path, seen: FileState | None) -> FileState:
    content = str(file_hash(path))
    if seen and seen.sha256 == content:
        return seen
    times = pc.min_max(pq.read_table(path, columns=[EVENT_TIME], partitioning=None)[EVENT_TIME]).as_py()
    return FileState(content, _text(times["min"]), _text(times["max"]))


def _text(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat() if time else None


def _earliest(states: Iterable[FileState | None]) -> datetime | None:
    return min((datetime.fromisoformat(s.first) for s in states if s and s.first), default=None)
