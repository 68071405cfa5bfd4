"""One import: open DuckDB aside, let the adapter load, write, clear up."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import duckdb
import pyarrow as pa
from filelock import FileLock, Timeout

from features.adapters.base import AdapterError, ImportProgress, ImportRequest, adapter
from features.adapters.writer import PREFIX, Written, catalogs, recover, write
from features.documents import DocumentError
from infra.settings import RawSettings

MIN_DAYS = 3
"""Days from which it is told that the first or the last is not whole."""


@dataclass(frozen=True)
class Imported:
    """What became of a source."""

    rows_in: int
    became: Sequence[tuple[str, str, int, int]]
    """Event of the source, what it became, rows of the source, rows written."""
    written: Written
    notes: Sequence[str]

    @property
    def left_out(self) -> int:
        """Rows of the source that came to nothing."""
        return sum(rows for _, became, rows, _ in self.became if became.startswith("left out"))

    @property
    def succeeded(self) -> bool:
        """Whether days were written, or a catalogue of at least half of the rows: else they were rows of a log."""
        return bool(self.written.days) or (self.written.catalog is not None and self.left_out <= self.rows_in / 2)


def import_logs(
    source: str,
    files: Sequence[str],
    logs: Path,
    *,
    days: tuple[date | None, date | None] = (None, None),
    zone: str = "UTC",
    replace: bool = False,
    memory: str = "2GB",
    raw: RawSettings | None = None,
    options: Mapping[str, str] | None = None,
    progress: ImportProgress | None = None,
) -> Imported:
    """Turn files of a source into UBI day folders and a catalogue under ``logs``.

    Args:
        source: A name of ``ADAPTERS``.
        files: Local paths, globs, folders and fsspec URLs.
        logs: A local landing folder; made where it is missing.
        days: First and last day to write.
        zone: Time zone of times that name none, such as ``Europe/Berlin``.
        replace: Write days anew that are there.
        memory: What DuckDB may hold; beyond it, it spills under ``logs``.
        raw: The shop's settings of reading logs; None: the defaults.
        options: Settings of the source.
        progress: Called with a sentence and the share that is done.

    Raises:
        AdapterError: the source, or the landing folder, is not what it should be.
    """
    module = adapter(source)
    _check(source, module.OPTIONS, options or {}, days, zone)
    if re.match(r"\w{2,}:/", str(logs)):  # a Path of a URL has one of its slashes
        url = re.sub(":/+", "://", str(logs), count=1)
        raise AdapterError(f"--to {url}: name a local folder, and copy it to its bucket afterwards")
    logs = logs.expanduser().absolute()
    logs.mkdir(parents=True, exist_ok=True)
    with _locked(logs):
        recover(logs)
        work = logs / f"{PREFIX}{uuid.uuid4().hex}"
        work.mkdir()
        request = ImportRequest(
            files=files,
            work=work,
            state=logs / ".import",
            days=days,
            zone=zone,
            memory=memory,
            raw=raw or RawSettings(),
            wants_catalog=not catalogs(logs),
            options=options or {},
            progress=progress or (lambda sentence, share: None),
        )
        try:
            with open_duckdb(work, memory) as connection:
                with _errors_told(memory):
                    loaded = module.load(connection, request)
                    written = write(connection, loaded, request, logs, replace=replace)
                if loaded.after is not None:
                    loaded.after()
                became = connection.execute(
                    f"SELECT source_event, became, sum(rows)::BIGINT, sum(written)::BIGINT FROM {loaded.became}"
                    " GROUP BY ALL HAVING sum(rows) > 0 OR sum(written) > 0 ORDER BY 1, 3 DESC, 2"
                ).fetchall()
        finally:
            recover(logs)
    return Imported(loaded.rows_in, became, written, [*loaded.notes, *written.notes, *cut_days(written)])


def cut_days(written: Written) -> list[str]:
    """Notes on a first or last day that has few requests beside the others: files often begin or end within a day."""
    rows = [(day, tables.get("queries", 0)) for day, tables in written.days.items()]
    if len(rows) < MIN_DAYS:
        return []
    usual = median(count for _, count in rows[1:-1])
    told = {"--from": (rows[0], timedelta(days=1)), "--until": (rows[-1], timedelta(days=-1))}
    return [
        f"{day} has {count:,} requests where {usual:,.0f} are usual: if the files hold only a part of that day, leave"
        f" it out by {option} {day + step}, or a run may hold it."
        for option, ((day, count), step) in told.items()
        if count < usual / 2
    ]


@contextmanager
def _errors_told(memory: str) -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        told = str(error).splitlines()[0]
        raise AdapterError(
            f"{memory} of memory do not suffice, or the disk is full ({told}): raise --memory"
        ) from error
    except (DocumentError, duckdb.InvalidInputException, duckdb.IOException, pa.ArrowException, EOFError) as error:
        raise _damaged(error) from error
    except OSError as error:
        if error.errno is not None:  # of the disk, or the network; what a packed file lacks has no number
            raise
        raise _damaged(error) from error


def _damaged(error: Exception) -> AdapterError:
    told = (str(error).splitlines() or [type(error).__name__])[0]
    return AdapterError(f"the files cannot be read, one is damaged or not what its name says ({told})")


@contextmanager
def open_duckdb(work: Path, memory: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own in UTC, its tables on disk and what it spills under ``work``."""
    config = {"memory_limit": memory, "temp_directory": str(work / "spill")}
    try:
        connection = duckdb.connect(str(work / "import.duckdb"), config=config)
    except (duckdb.ParserException, duckdb.InvalidInputException) as error:
        raise AdapterError(f"--memory {memory}: write a size such as 2GB") from error
    try:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")  # the folder is thrown away
        yield connection
    finally:
        connection.close()


@contextmanager
def _locked(logs: Path) -> Iterator[None]:
    try:
        with FileLock(logs / ".import.lock", timeout=0):
            yield
    except Timeout as error:
        raise AdapterError(f"another import into {logs} is under way: wait for its end") from error


def _check(
    source: str,
    known: Mapping[str, str],
    given: Mapping[str, str],
    days: tuple[date | None, date | None],
    zone: str,
) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        there_are = f"there are: {', '.join(known)}" if known else "it has none"
        raise AdapterError(f"{source} has no option {', '.join(unknown)}; {there_are}")
    first, last = days
    if first and last and first > last:
        raise AdapterError(f"--from {first} is after --until {last}")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise AdapterError(f"--zone {zone} is no time zone; write one such as Europe/Berlin") from error
