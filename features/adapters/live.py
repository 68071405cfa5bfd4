"""Paging of a live search engine: point in time and ``search_after``, a page at a time onto disk, resumable."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from time import time as clock
from typing import Any, Protocol

import duckdb

from features.adapters import ubi
from features.adapters.base import AdapterError, ImportRequest, Loaded, Maps, count, watched
from features.sql_text import listed
from infra.contract.partitions import write_json

OPTIONS = {
    "queries": "index or pattern of the queries (default ubi_queries)",
    "events": "index or pattern of the events (default ubi_events)",
    "catalog": "index of the catalogue (default: none is read)",
    "time": "field that documents are sorted and chosen by (default timestamp)",
    "page": "documents a page (default 1000)",
    "user": "user; the password is read from the environment, SHELFWISE_IMPORT_PASSWORD",
    "verify": "no: accept any TLS certificate (default yes)",
}
MAPPING = (
    Maps("documents of the index `queries`", "`ubi_queries`", "read as a dump of UBI is"),
    Maps("documents of the index `events`", "`ubi_events`"),
    Maps("documents of the index `catalog`", "catalogue rows", "`_id` is the id of one that has none"),
)
KEEP_ALIVE = "10m"
"""How long the engine keeps a point in time between two pages; a later run of a killed import opens a new one."""

MAX_AGE = timedelta(hours=12)
"""How long after its last page the paging of a killed import is gone on with."""


class ExpiredError(Exception):
    """The engine no longer has the point in time."""


class Engine(Protocol):
    """What differs between the two engines' clients."""

    @property
    def tiebreak(self) -> Sequence[Mapping[str, Any]]:
        """Sort keys after the time that make the order total; none where the engine adds its own."""

    @property
    def resumes(self) -> bool:
        """Whether the sort values of a hit mean the same in a later point in time, also without a time."""

    def open(self, index: str) -> str:
        """Open a point in time."""

    def search(self, body: dict[str, Any]) -> dict[str, Any]:
        """A page. Raises ``ExpiredError``."""

    def close(self, pit: str) -> None:
        """Close a point in time."""


@dataclass(frozen=True)
class Cursor:
    """Where the paging of an index stands; ``after`` is null before the first page."""

    index: str
    pit: str | None = None
    after: Sequence[Any] | None = None
    parts: int = 0
    rows: int = 0
    total: int | None = None
    since: Any = None
    """Sort value of the time from which a later point in time went on: its documents may come twice."""
    reopened: bool = False
    complete: bool = False


@dataclass(frozen=True)
class Pages:
    """The pages of an index on disk."""

    folder: Path
    engine: Engine
    body: Mapping[str, Any] = field(default_factory=dict)
    time: str | None = None
    size: int = 1000

    @property
    def files(self) -> list[Path]:
        """Pages in order, each a JSON list of hits."""
        return sorted(self.folder.glob("*.json"))

    def read_cursor(self, index: str) -> Cursor:
        """Where an import stood that was killed within ``MAX_AGE``, else the beginning; pages after it are dropped.

        An index that was read to its end is read anew: what came into it since would be missing.
        """
        file = self.folder / "cursor"
        cursor = Cursor(index)
        if file.exists() and clock() - file.stat().st_mtime < MAX_AGE.total_seconds():
            stood = Cursor(**json.loads(file.read_text()))
            cursor = cursor if stood.complete else stood
        for page in self.files[cursor.parts :]:
            page.unlink()
        return cursor

    def fetch(self, index: str, tell: Callable[[Cursor], None]) -> Cursor:
        """Page through an index from where its cursor stands to its end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        cursor = self.read_cursor(index)
        while not cursor.complete:
            try:
                cursor = self._page(cursor)
            except ExpiredError:
                cursor = self._reopened(cursor)
            write_json(self.folder / "cursor", asdict(cursor))
            tell(cursor)
        return cursor

    def _page(self, cursor: Cursor) -> Cursor:
        if cursor.pit is None:
            cursor = replace(cursor, pit=self.engine.open(cursor.index))
        timed: list[Any] = (
            [{self.time: {"order": "asc", "missing": "_last", "unmapped_type": "date"}}] if self.time else []
        )
        sort = [*timed, *self.engine.tiebreak] or ["_shard_doc"]
        body: dict[str, Any] = {"size": self.size, "sort": sort, "pit": {"id": cursor.pit, "keep_alive": KEEP_ALIVE}}
        body |= {"track_total_hits": cursor.total is None, "query": self._query(cursor.since)}
        if cursor.after is not None:
            body["search_after"] = list(cursor.after)
        answer = self.engine.search(body)
        hits = answer["hits"]["hits"]
        total = cursor.total
        if total is None:
            total = answer["hits"].get("total", {}).get("value", 0)
        cursor = replace(cursor, pit=answer.get("pit_id", cursor.pit), total=total)
        if not hits:
            assert cursor.pit is not None
            self.engine.close(cursor.pit)
            return replace(cursor, complete=True, pit=None)
        page = self.folder / f"{cursor.parts:07d}.json"
        page.write_text(json.dumps(hits), encoding="utf-8")
        return replace(cursor, parts=cursor.parts + 1, rows=cursor.rows + len(hits), after=hits[-1]["sort"])

    def _query(self, since: Any) -> Mapping[str, Any]:
        given: Mapping[str, Any] = self.body.get("query", {"match_all": {}})
        if since is None:
            return given
        later = {"range": {self.time: {"gte": since, "format": "epoch_millis"}}}
        timeless = {"bool": {"must_not": {"exists": {"field": self.time}}}}
        return {"bool": {"must": [given], "filter": {"bool": {"should": [later, timeless]}}}}

    def _reopened(self, cursor: Cursor) -> Cursor:
        """Go on in a new point in time: by the sort values where they still mean something, else by the time."""
        if cursor.after is None or self.engine.resumes:
            return replace(cursor, pit=None, reopened=True)
        if self.time and isinstance(cursor.after[0], int) and cursor.after[0] < 2**62:
            return replace(cursor, pit=None, after=None, since=cursor.after[0], reopened=True)
        for page in self.files:
            page.unlink()
        return Cursor(cursor.index)


@contextmanager
def errors_told(url: str, index: str, absent: Any, unreachable: Any, other: Any) -> Iterator[None]:
    """Turn a client's errors into sentences; ``absent``, ``unreachable``, ``other``: its exceptions."""
    try:
        yield
    except absent as error:
        raise AdapterError(
            f"{url} has no index {index}: name those of your log, --set queries=... --set events=..."
        ) from error
    except unreachable as error:
        raise AdapterError(f"{url} cannot be reached or answers with an error ({error}): check the URL") from error
    except other as error:
        raise AdapterError(f"{url} refused: {error}; check the user, and SHELFWISE_IMPORT_PASSWORD") from error


def load_live(
    connection: duckdb.DuckDBPyConnection, request: ImportRequest, connect: Callable[[str, Mapping[str, Any]], Engine]
) -> Loaded:
    """Read the indices of a live engine as a dump of UBI.

    Args:
        connection: DuckDB.
        request: ``files`` is one URL.
        connect: From the URL and the client's keyword arguments to an engine.
    """
    if len(request.files) != 1 or not request.files[0].startswith(("http://", "https://")):
        raise AdapterError(f"{' '.join(request.files)}: write the engine's URL, such as https://search.example:9200")
    (url,) = request.files
    given = request.options
    try:
        size = int(given.get("page", "1000"))
    except ValueError as error:
        raise AdapterError(f"--set page={given['page']}: write a number of documents") from error
    engine = connect(url, _client_options(given))
    time = given.get("time", "timestamp")
    indices = {
        "ubi_queries": given.get("queries", "ubi_queries"),
        "ubi_events": given.get("events", "ubi_events"),
        "catalog": given.get("catalog"),
    }
    rows_engine = ubi.start(connection, request.raw)
    rows_in = 0
    folders = []
    for target, index in indices.items():
        if index is None:
            continue
        body = {} if target == "catalog" else _days_query(request, time)
        key = hashlib.sha256(json.dumps([url, index, body, time]).encode()).hexdigest()[:16]
        pages = Pages(request.state / f"{target}-{key}", engine, body, None if target == "catalog" else time, size)

        def tell(cursor: Cursor) -> None:
            share = cursor.rows / cursor.total if cursor.total else None
            request.progress(f"{cursor.index}: {cursor.rows:,} documents", min(share, 1.0) if share else None)

        cursor = pages.fetch(index, tell)
        folders.append(pages.folder)
        if pages.files:
            with watched(connection, request.progress, f"reading {index}"), ubi.in_zone(connection, request.zone):
                rows_in += _read(connection, request, pages, cursor, target)
    loaded = ubi.finish(connection, rows_engine, request, rows_in)

    def forget() -> None:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    return replace(loaded, after=forget)


def _client_options(given: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {"verify_certs": given.get("verify", "yes") != "no"}
    if "user" in given:
        options["auth"] = (given["user"], os.environ.get("SHELFWISE_IMPORT_PASSWORD", ""))
    return options


def _days_query(request: ImportRequest, time: str) -> dict[str, Any]:
    first, last = request.days
    if first is None and last is None:
        return {}
    bounds = {"gte": first.isoformat()} if first else {}
    bounds |= {"lt": (last + timedelta(days=1)).isoformat()} if last else {}
    return {"query": {"range": {time: bounds | {"format": "strict_date_optional_time"}}}}


def _read(
    connection: duckdb.DuckDBPyConnection, request: ImportRequest, pages: Pages, cursor: Cursor, target: str
) -> int:
    """Read pages into the tables of ``ubi``; documents that came twice are counted."""
    source = f"(SELECT json FROM read_json_objects({listed(pages.files)}, format = 'array'))"
    again = 0
    if cursor.reopened:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE live_hits AS SELECT any_value(json) AS json FROM {source}"
            " GROUP BY json_extract_string(json, ['$._index', '$._id'])"
        )
        rows = count(connection, f"SELECT count(*) FROM {source}")
        source = "live_hits"
        again = rows - count(connection, "SELECT count(*) FROM live_hits")
        connection.execute(
            "INSERT INTO ubi_other VALUES (?, 'left out: came again when the paging was resumed', ?)", [target, again]
        )
    if target == "catalog":
        return again + count(
            connection,
            f"INSERT INTO documents_untold SELECT 'catalog', json ->> '$._index', json ->> '$._id', json FROM {source}",
        )
    return again + ubi.read_rows(connection, source, target, request.raw)
