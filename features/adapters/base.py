"""What an adapter is: a module that turns a source's files into tables of UBI rows and a catalogue, in DuckDB."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import duckdb

from infra.settings import RawSettings

ImportProgress = Callable[[str, float | None], None]
"""Called with a sentence and the share of it that is done; None: nobody knows."""

ADAPTERS: Mapping[str, str] = {
    "diginetica": "features.adapters.diginetica",
    "esci": "features.adapters.esci",
    "jdsearch": "features.adapters.jdsearch",
    "jsonld": "features.adapters.jsonld",
    "kuaisearch": "features.adapters.kuaisearch",
    "magento": "features.adapters.magento",
    "merchant": "features.adapters.merchant",
    "own": "features.adapters.own",
    "shopify": "features.adapters.shopify",
    "wands": "features.adapters.wands",
    "woocommerce": "features.adapters.woocommerce",
    "ubi": "features.adapters.ubi",
    "ga4": "features.adapters.ga4",
    "segment": "features.adapters.segment",
    "algolia": "features.adapters.algolia",
    "snowplow": "features.adapters.snowplow",
    "opensearch": "features.adapters.live_opensearch",
    "elasticsearch": "features.adapters.live_elasticsearch",
}
"""Source -> the module that reads it; a module is imported where its source is asked for."""


class AdapterError(ValueError):
    """A source that cannot be imported as it is; the message says what to do."""


class Maps(NamedTuple):
    """A line of the table that the documentation shows."""

    source: str
    """Event or column of the source."""
    becomes: str
    """Row or column of UBI or of the catalogue."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What is to be imported."""

    files: Sequence[str]
    """Local paths, globs, folders and fsspec URLs; a live source: its URL. ``files.local_files`` resolves them."""
    work: Path
    """Folder for temporary files, gone after the import."""
    state: Path
    """Folder that stays, for what a later import of the same source goes on with."""
    days: tuple[date | None, date | None] = (None, None)
    """First and last day to write; the writer leaves the others out, so an adapter may read beyond them for context."""
    zone: str = "UTC"
    """Time zone of times that name none."""
    memory: str = "2GB"
    """What DuckDB may hold in memory."""
    raw: RawSettings = field(default_factory=RawSettings)
    """How a run of the shop will read what is written: its actions, its guests, its windows."""
    wants_catalog: bool = True
    """Whether there is no catalogue in the landing folder, so that what events say of items is of use."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Settings of this source by name, those of the adapter's ``OPTIONS``."""
    progress: ImportProgress = lambda sentence, share: None


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What an adapter made: names of tables or views in the connection, each None where the source has no such rows.

    A table may have a column ``dt`` (DATE): the day folder its rows go to. Without it a row of queries or events goes
    to the UTC day of its ``timestamp``, and the catalogue into the landing folder itself.
    """

    rows_in: int
    """Rows read from the source, counted where they were read."""
    became: str
    """Table ``source_event VARCHAR, became VARCHAR, rows BIGINT, written BIGINT``: every row of the source is counted
    in one line (``rows`` adds up to ``rows_in``), what is left out with why (``left out: no time``). ``written``: the
    rows of ``queries``, ``events`` and ``catalog`` that a line's rows became, together as many as these tables have,
    those of a catalogue by day apart."""
    queries: str | None = None
    """Columns of ``ubi_queries``: query_id, user_id, client_id, session_id, user_query, timestamp (TIMESTAMPTZ),
    query_response_hit_ids (VARCHAR[]), query_attributes."""
    events: str | None = None
    """Columns of ``ubi_events``: action_name, query_id, user_id, client_id, session_id, timestamp, event_id, object_id,
    ``event_attributes.position.ordinal``, user_query."""
    catalog: str | None = None
    """Any columns that ``features.catalog_names`` knows. With ``dt`` it is told from the log's own events: of use only
    where the shop has no better one, it is not written beside a catalogue that is there."""
    judgements: str | None = None
    """Columns query, item_id, grade (0 irrelevant, 1 complement, 2 substitute, 3 exact): ``qrels.tsv`` beside the
    catalogue, which without days makes a judged folder. Its rows count as written."""
    notes: Sequence[str] = ()
    """What the source lacks and what that costs, a sentence each."""
    after: Callable[[], None] | None = None
    """Called once everything is in its place: takes away what a killed import would have gone on with."""


class Adapter(Protocol):
    """The names that an adapter's module has."""

    NAME: str
    WHAT: str
    """What is read, one line."""
    MAPPING: Sequence[Maps]
    OPTIONS: Mapping[str, str]
    """Option -> what it sets, with its default."""

    def load(self, connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
        """Read the source into tables of the connection, whose time zone is UTC.

        Raises:
            AdapterError: the source is not what it should be.
        """


def adapter(source: str) -> Adapter:
    """The adapter of a source.

    Raises:
        AdapterError: there is none of this name.
    """
    if source not in ADAPTERS:
        raise AdapterError(f"there is no adapter {source}; there are: {', '.join(sorted(ADAPTERS)) or 'none'}")
    return cast("Adapter", importlib.import_module(ADAPTERS[source]))


@contextmanager
def watched(connection: duckdb.DuckDBPyConnection, progress: ImportProgress, sentence: str) -> Iterator[None]:
    """Tell how far the statement is that runs inside."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(0.5):
            share = connection.query_progress()
            progress(sentence, share / 100 if share >= 0 else None)

    progress(sentence, None)
    watcher = threading.Thread(target=tell, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """The number that a query of one value gives."""
    ((value,),) = connection.execute(query).fetchall()
    return int(value or 0)
