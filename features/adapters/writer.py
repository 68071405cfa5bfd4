"""Tables of UBI rows as day folders of a landing folder: written aside in one pass, moved in a day at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from features.adapters.base import AdapterError, ImportRequest, Loaded, count, watched
from features.adapters.day_tables import DayTable, columns_of, day_table, join_strays
from features.file_names import is_catalog, is_hidden
from features.sql_text import quoted

PREFIX = ".import-"
"""Folders in the landing folder that an import works in; what a killed one left is cleared by the next."""
LOG_FILES = {"queries": "ubi_queries.parquet", "events": "ubi_events.parquet"}
CATALOG_FILE = "catalog.parquet"
JUDGEMENTS_FILE = "qrels.tsv"
_OWN = frozenset([*LOG_FILES.values(), CATALOG_FILE])
_IMPORTED = "shelfwise_import"
"""Key in the metadata of a day's ``catalog.parquet`` that an import made, which tells it from the shop's own."""


@dataclass(frozen=True)
class Written:
    """What an import wrote."""

    days: Mapping[date, Mapping[str, int]]
    """Day -> rows by table (``queries``, ``events``, ``catalog``)."""
    catalog: int | None
    """Rows of the catalogue in the landing folder itself; None where none was written."""
    outside: int
    """Rows of days that were not asked for."""
    notes: Sequence[str]


def refuse_existing(logs: Path, days: Sequence[date], catalog: bool, judgements: bool, replace: bool) -> None:
    """Refuse to write over what is there: days, a catalogue, judgements.

    Raises:
        AdapterError: one of them is there and ``replace`` was not asked for; or it holds files that no
            import wrote, which would count twice beside the new ones.
    """
    there = [day for day in days if _folder(logs, day).exists()]
    if there and not replace:
        told = ", ".join(map(str, there[:5])) + (f" and {len(there) - 5} more" if len(there) > 5 else "")
        raise AdapterError(
            f"{logs} already holds {told}: add --replace to write these days anew from the files given here alone, or"
            " leave them out by --from and --until"
        )
    for day in there:
        foreign = [n for n in _names(_folder(logs, day)) if n not in _OWN and not is_catalog(n)]
        if foreign:
            raise AdapterError(
                f"{_folder(logs, day)} holds {', '.join(foreign[:5])}, which no import wrote and whose rows would count"
                " besides the new ones: take it away first"
            )
    present = catalogs(logs) if catalog else []
    if present and (not replace or present != [CATALOG_FILE]):
        todo = "add --replace to write it anew" if present == [CATALOG_FILE] else "take it away first"
        raise AdapterError(f"{logs} already has a catalogue ({', '.join(present)}): {todo}")
    if judgements and (logs / JUDGEMENTS_FILE).exists() and not replace:
        raise AdapterError(f"{logs} already has {JUDGEMENTS_FILE}: add --replace to write it anew")


def catalogs(logs: Path) -> list[str]:
    """The catalogues in a landing folder itself."""
    return [name for name in _names(logs) if is_catalog(name)]


def write(
    connection: duckdb.DuckDBPyConnection, loaded: Loaded, request: ImportRequest, logs: Path, *, replace: bool
) -> Written:
    """Write what an adapter loaded into ``logs``; a day appears whole or not at all.

    Raises:
        AdapterError: as ``refuse_existing``; nothing was written then.
        RuntimeError: a row would be lost: the adapter's counts and what it made differ.
    """
    stage = request.work / "stage"
    tables, outside, notes = _by_day(connection, loaded, request, logs)
    days: dict[date, dict[str, int]] = {}
    for name, table in tables.items():
        for day, rows in table.days.items():
            days.setdefault(day, {})[name] = rows
    has_catalog = loaded.catalog is not None and "dt" not in columns_of(connection, loaded.catalog)
    refuse_existing(logs, sorted(days), has_catalog, loaded.judgements is not None, replace)
    made = outside
    for name, table in tables.items():
        with watched(connection, request.progress, f"writing {name}"):
            _write_days(connection, table, stage, LOG_FILES.get(name, CATALOG_FILE))
        made += table.total if name in LOG_FILES else 0
    if loaded.events is not None:
        _write_eventless(connection, loaded.events, stage, [day for day, rows in days.items() if "events" not in rows])
    catalog = None
    if has_catalog:
        stage.mkdir(parents=True, exist_ok=True)
        target = quoted(stage / CATALOG_FILE)
        with watched(connection, request.progress, "writing catalog"):
            catalog = count(connection, f"COPY (FROM {loaded.catalog}) TO {target} (FORMAT parquet, COMPRESSION zstd)")
        made += catalog
    if loaded.judgements is not None:
        made += _write_judgements(connection, loaded.judgements, stage)
    _verify(connection, loaded, made)
    notes += [
        f"{day} had {before:,} rows of {name} and has {rows:,} now: the files given hold less of that day than those of"
        " the import before."
        for day, tables_of in sorted(days.items())
        for name, rows in tables_of.items()
        if (before := _rows_there(connection, logs, day, name)) > rows
    ]
    for day in sorted(days):
        _move_day(connection, stage, request.work, logs, day)
    for file in (CATALOG_FILE, JUDGEMENTS_FILE):
        if (stage / file).exists():
            (stage / file).replace(logs / file)
    return Written({day: days[day] for day in sorted(days)}, catalog, outside, notes)


def recover(logs: Path) -> None:
    """Clear what killed imports left: a day that one had taken out to replace it and not yet put back returns."""
    for left in sorted(logs.glob(f"{PREFIX}*")):
        for old in (left / "old").glob("dt=*"):
            if not (logs / old.name).exists():
                old.replace(logs / old.name)
        shutil.rmtree(left, ignore_errors=True)


def _by_day(
    connection: duckdb.DuckDBPyConnection, loaded: Loaded, request: ImportRequest, logs: Path
) -> tuple[Mapping[str, DayTable], int, list[str]]:
    """The tables that go into day folders, of the days asked for, how many rows are of others, and notes."""
    notes = []
    first, last = request.days
    named = {"queries": loaded.queries, "events": loaded.events}
    if loaded.catalog is not None and "dt" in columns_of(connection, loaded.catalog):
        if catalogs(logs):
            told = "stays as it is: what the events say of items is not needed beside it."
            notes.append(f"The catalogue in {logs} {told}")
        else:
            named["catalog"] = loaded.catalog
    found = {name: day_table(connection, table) for name, table in named.items() if table is not None}
    asked = {
        name: table.only(lambda day: (first is None or day >= first) and (last is None or day <= last))
        for name, table in found.items()
    }
    outside = sum(found[name].total - asked[name].total for name in LOG_FILES if name in found)
    tables, told_of_strays = join_strays(connection, asked, request.raw.ahead_window)
    if "catalog" in tables:
        derived = tables["catalog"].only(lambda day: not _own_catalogs(connection, _folder(logs, day)))
        tables = {**tables, "catalog": derived}
    return tables, outside, notes + told_of_strays


def _write_days(connection: duckdb.DuckDBPyConnection, table: DayTable, stage: Path, file: str) -> None:
    """Write the days of a table, one file each, in one pass over it."""
    if not table.days:
        return
    between = f"dt BETWEEN DATE '{min(table.days)}' AND DATE '{max(table.days)}'"
    parts = stage / f"by-day-{file}"
    parts.parent.mkdir(parents=True, exist_ok=True)
    how = f"FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{_IMPORTED}: 'yes'}}"
    connection.execute(f"COPY (FROM {table.rows} WHERE {between}) TO {quoted(parts)} ({how}, PARTITION_BY (dt))")
    written = 0
    for one in table.days:
        pieces = sorted((parts / f"dt={one}").iterdir())
        target = stage / f"dt={one}" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if len(pieces) == 1:
            pieces[0].replace(target)
        else:
            source = f"read_parquet({quoted(parts / f'dt={one}' / '*.parquet')}, hive_partitioning = false)"
            connection.execute(f"COPY (FROM {source}) TO {quoted(target)} ({how})")
        written += _rows_in(connection, target)
    shutil.rmtree(parts)
    if written != table.total:
        raise RuntimeError(f"{table.total:,} rows of {file} were to be written, and {written:,} were")


def _write_eventless(connection: duckdb.DuckDBPyConnection, table: str, stage: Path, days: Sequence[date]) -> None:
    """Write a file of no events: without one a day counts as one whose events did not land."""
    kept = "* EXCLUDE (dt)" if "dt" in columns_of(connection, table) else "*"
    for day in days:
        target = stage / f"dt={day}" / LOG_FILES["events"]
        connection.execute(f"COPY (SELECT {kept} FROM {table} LIMIT 0) TO {quoted(target)} (FORMAT parquet)")


def _write_judgements(connection: duckdb.DuckDBPyConnection, table: str, stage: Path) -> int:
    """Write judgements as their reader takes them: no quotation marks, no tab or line end inside a query."""
    stage.mkdir(parents=True, exist_ok=True)
    return count(
        connection,
        f"COPY (SELECT regexp_replace(query, '[\\t\\r\\n]+', ' ', 'g') AS query, item_id, grade FROM {table}"
        f" ORDER BY query, item_id) TO {quoted(stage / JUDGEMENTS_FILE)}"
        " (FORMAT csv, DELIMITER '\t', QUOTE '', HEADER)",
    )


def _verify(connection: duckdb.DuckDBPyConnection, loaded: Loaded, made: int) -> None:
    rows = count(connection, f"SELECT sum(rows) FROM {loaded.became}")
    if rows != loaded.rows_in:
        raise RuntimeError(
            f"{loaded.rows_in:,} rows were read and what became of {rows:,} is known: please report this"
        )
    written = count(connection, f"SELECT sum(written) FROM {loaded.became}")
    if written != made:
        raise RuntimeError(f"{made:,} rows were made where {written:,} are accounted for: please report this")


def _rows_in(connection: duckdb.DuckDBPyConnection, file: Path) -> int:
    return count(connection, f"SELECT sum(num_rows) FROM parquet_file_metadata({quoted(file)})")


def _rows_there(connection: duckdb.DuckDBPyConnection, logs: Path, day: date, name: str) -> int:
    file = _folder(logs, day) / LOG_FILES.get(name, CATALOG_FILE)
    return _rows_in(connection, file) if name in LOG_FILES and file.exists() else 0


def _own_catalogs(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[str]:
    """The catalogues in a day's folder that no import made of the day's events."""
    return [name for name in _names(folder) if is_catalog(name) and not _is_imported(connection, folder / name)]


def _is_imported(connection: duckdb.DuckDBPyConnection, catalog: Path) -> bool:
    if catalog.name != CATALOG_FILE or not catalog.is_file():
        return False
    keys = f"SELECT count(*) FROM parquet_kv_metadata({quoted(catalog)}) WHERE key = '{_IMPORTED}'::BLOB"
    try:
        return count(connection, keys) > 0
    except duckdb.Error:  # it is no Parquet at all
        return False


def _move_day(connection: duckdb.DuckDBPyConnection, stage: Path, work: Path, logs: Path, day: date) -> None:
    """Put a day in the place of the one that is there, which takes the shop's own catalogue along."""
    new, target, old = stage / f"dt={day}", _folder(logs, day), work / "old" / f"dt={day}"
    if target.exists():
        for name in _own_catalogs(connection, target):
            _copy(target / name, new / name)
        old.parent.mkdir(parents=True, exist_ok=True)
        target.replace(old)
    new.replace(target)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def _names(folder: Path) -> list[str]:
    return sorted(_visible(folder)) if folder.is_dir() else []


def _visible(folder: Path) -> Iterator[str]:
    for entry in folder.iterdir():
        if not is_hidden(entry.name) and not (entry.is_dir() and entry.name.startswith("dt=")):
            yield entry.name


def _folder(logs: Path, day: date) -> Path:
    return logs / f"dt={day.isoformat()}"
