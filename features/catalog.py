"""The catalogue: whatever columns the shop has, as one table of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from features.catalog_aliases import ALIASES
from features.catalog_entries import load_entries
from features.catalog_fields import FIELDS_SQL, HTML_ENTRIES, UNREADABLE_SQL
from features.catalog_names import assign_fields, plain_name
from features.documents import DocumentError, encodings_read, is_csv
from features.engine import batches_of, from_arrow, open_engine
from features.file_names import format_in, log_source
from features.html_text import strip_html
from features.landing import unread_in_landing
from features.landing_catalogs import catalog_files, passed_over_catalogs
from features.landing_files import LandingError, LandingFile, landing_url, unreadable_files
from features.location import create_place_macros
from features.python_literals import read_literals
from features.variants import ALIASES as VARIANT_ALIASES
from infra.contract.partitions import write_json, write_parquet
from infra.contract.tables import CATALOG, LOCATION_NAMES, QUARANTINE
from infra.settings import Settings


class CatalogError(ValueError):
    """There is no usable catalogue; the message says what was found and what to do."""


class NoCatalogError(CatalogError):
    """There is none at all."""


@dataclass(frozen=True)
class CatalogReport:
    """What became of the catalogue's rows: ``rows_in = items + older_versions + variants + repeats + the reasons``."""

    files: tuple[str, ...]
    rows_in: int
    items: int
    older_versions: int
    """Rows of items that a later day's catalogue describes again."""
    reasons: Mapping[str, int]
    """Refused rows by reason: not_json, ragged_row (not the columns of its CSV file), wrong_type, no_id,
    duplicate_id."""
    columns: Mapping[str, str]
    """Field of the catalogue -> the column it was read from."""
    attribute_columns: tuple[str, ...]
    description_columns: tuple[str, ...]
    unreadable: Mapping[str, int]
    """Items that have a value of a field that could not be read, by field; they count as without one. A creation time
    is read as ISO-8601, epoch or day.month.year."""
    filled: Mapping[str, int]
    """Items that have a value, by field."""
    unused_columns: tuple[str, ...] = ()
    """Columns that nothing is read from."""
    repeats: int = 0
    """Rows that say of an item what a row before in the same file says."""
    variants: int = 0
    """Rows that are a variant of a product that another row stands for."""
    encodings: Mapping[str, str] = field(default_factory=dict)
    """Text files that are not UTF-8 -> the encoding that they were read in."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Catalogue files that were passed over -> why."""
    landed_at: str | None = None
    """When the newest of the files was written, ISO 8601, at the latest when it was read: what is said of items from
    then on (``serving.item_updates``) is newer than the catalogue."""

    def metadata(self) -> dict[str, Any]:
        """The report as plain values, for Dagster."""
        return {
            "items": self.items,
            "rows in": self.rows_in,
            "refused": dict(self.reasons),
            "files": list(self.files),
            "columns": dict(self.columns),
            "read as attributes": list(self.attribute_columns),
            "read as description": list(self.description_columns),
            "columns not read": list(self.unused_columns),
            "unreadable": dict(self.unreadable),
            "repeated": self.repeats,
            "variants": self.variants,
            "filled": dict(self.filled),
            "encodings": dict(self.encodings),
            "not read": dict(self.unread),
        }


def build_catalog(settings: Settings) -> CatalogReport:
    """Write ``settings.paths.catalog`` (schema ``CATALOG``, by item_id) from the landing folder's catalogue files.

    Read are ``catalog.*`` in the landing folder and in its days; of an item that several describe the latest counts.
    ``available_from`` is the item's creation time, at the latest the first day whose catalogue has it; without either,
    or with the first catalogue alone, 1970. An item may still have been shown before: the training set takes the
    earlier of this and its first impression.

    Raises:
        CatalogError: No catalogue, none with an id column, no item, or more refused rows than
            ``settings.raw.max_bad_share``; the catalogue in use stays as it was.
    """
    try:
        dated = find_catalog(settings)
        files = [file for _, file in dated]
        with open_engine(settings) as engine:
            return _build(settings, engine, dated, load_entries(settings, engine, files))
    except (LandingError, DocumentError) as error:
        raise CatalogError(str(error)) from error


def find_catalog(settings: Settings) -> list[tuple[date | None, LandingFile]]:
    """As ``catalog_files``, of which there is at least one.

    Raises:
        CatalogError: there is none (a ``NoCatalogError``), or one that cannot be opened.
        LandingError: there is no such landing folder.
    """
    dated = catalog_files(settings)
    if not dated:
        passed = "".join(f"; {name}: {why}" for name, why in passed_over_catalogs(settings).items())
        raise NoCatalogError(
            f"no catalogue in {landing_url(settings)}: expected catalog.parquet, .ndjson, .jsonl, .json or .csv"
            f" (.gz allowed), there or in a day's folder{passed or _other_names(settings)}"
        )
    unreadable = unreadable_files(settings, [file for _, file in dated])
    if unreadable:
        raise CatalogError(f"the catalogue cannot be opened: {'; '.join(unreadable)}")
    return dated


def _other_names(settings: Settings) -> str:
    """Files of the landing folder that may be meant as the catalogue, by names that do not tell."""
    names = [name for name in unread_in_landing(settings) if format_in(name) and not log_source(name)]
    return f". Found {', '.join(names[:5])}: if one of them is it, name it catalog.*" if names else ""


def _build(
    settings: Settings, engine: Any, dated: Sequence[tuple[date | None, LandingFile]], rows_in: int
) -> CatalogReport:
    create_place_macros(engine)
    connection = engine.con
    landed_at = _landed_at([file for _, file in dated])
    keys = connection.execute(
        "SELECT file, key, count(*) FILTER (coalesce(as_id(value) IS NOT NULL, false) OR no_scalar(value))"
        " FROM entries GROUP BY ALL ORDER BY file, key"
    ).fetchall()
    rows = dict(connection.execute("SELECT file, count(*) FROM bodies WHERE NOT not_json GROUP BY file").fetchall())
    fields = assign_fields(keys, rows, settings.raw.item_id, {str(f): c for f, c in settings.raw.columns.items()})
    found = sorted({key for _, key, _ in keys})
    if not found:
        names = [file.name for _, file in dated]
        ragged = rows_in > 0 and all(is_csv(name) for name in names)
        told = "has no row with as many values as its header line has names" if ragged else "is empty"
        raise CatalogError(f"the catalogue in {landing_url(settings)} {told}: {', '.join(names)}")
    if not {"item_id", "product"} & set(fields["field"].to_pylist()):
        *most, last = ALIASES["item_id"][:8]
        raise CatalogError(
            f"the catalogue has no id column. Found: {', '.join(found[:30])}; rename one of them to"
            f" {', '.join(most)} or {last}, or say which it is by SHELFWISE_RAW__ITEM_ID=COLUMN"
        )
    _check_named(settings, found)
    _copy_table(engine, "fields", fields)
    connection.execute("CREATE TABLE versions (file BIGINT, landed DATE, unread VARCHAR)")
    versions = [[i, day, "ragged_row" if is_csv(f.name) else "not_json"] for i, (day, f) in enumerate(dated)]
    connection.executemany("INSERT INTO versions VALUES (?, ?, ?)", versions)
    read_literals(connection, "entries")
    strip_html(connection, "entries", HTML_ENTRIES)
    for statement in FIELDS_SQL:
        connection.execute(statement)

    reasons = dict(connection.execute("SELECT reason, count(*) FROM refused GROUP BY ALL ORDER BY ALL").fetchall())
    refused = engine.table("refused").order_by("row_id")
    write_parquet(settings.paths.catalog.with_name("quarantine.parquet"), batches_of(engine, refused), QUARANTINE)
    items = engine.table("items").order_by("item_id")
    count = int(items.count().execute())
    bad_share = sum(reasons.values()) / max(1, rows_in)
    if count == 0 or bad_share > settings.raw.max_bad_share:
        counts = ", ".join(f"{reason} {n:,}" for reason, n in sorted(reasons.items(), key=lambda item: -item[1]))
        kept = " The catalogue in use stays as it was." if settings.paths.catalog.exists() else ""
        example = connection.execute("SELECT left(raw, 200) FROM refused ORDER BY row_id LIMIT 1").fetchone()
        once = _once(connection) if "duplicate_id" in reasons else ""
        raise CatalogError(
            f"{bad_share:.1%} of the catalogue's {rows_in:,} rows were refused ({counts or 'none left'})"
            f"{f', such as {example[0]}' if example else ''}.{once}{kept} Columns found: {', '.join(found[:30])}. Mend"
            " the files and run again, or raise SHELFWISE_RAW__MAX_BAD_SHARE"
        )
    write_parquet(settings.paths.catalog, batches_of(engine, items), CATALOG)
    aliases = engine.table("aliases").order_by("alias_id")
    write_parquet(settings.paths.item_aliases, batches_of(engine, aliases), VARIANT_ALIASES)
    report = replace(
        _report(engine, dated, rows_in, count, reasons),
        encodings=encodings_read(engine, "documents"),
        unread=passed_over_catalogs(settings),
        landed_at=landed_at.isoformat(),
    )
    write_json(settings.paths.reports / "catalog.json", asdict(report))
    return report


def _once(connection: Any) -> str:
    """What to do about ids that are there twice."""
    unique = connection.execute(
        "SELECT key FROM keyed WHERE slot = 'other_id' GROUP BY key HAVING count(DISTINCT text) = (SELECT count(*)"
        " FROM bodies WHERE NOT not_json) ORDER BY key LIMIT 1"
    ).fetchall()
    named = f" {unique[0][0]} has another value in each row: SHELFWISE_RAW__ITEM_ID={unique[0][0]}." if unique else ""
    return f" Each id may be there once.{named}"


def _check_named(settings: Settings, found: Sequence[str]) -> None:
    """Refuse settings that name a column which no file has."""
    by_setting = {f"SHELFWISE_RAW__COLUMNS ({field})": name for field, name in settings.raw.columns.items()}
    for setting, name in {"SHELFWISE_RAW__ITEM_ID": settings.raw.item_id, **by_setting}.items():
        if name and plain_name(name) not in map(plain_name, found):
            raise CatalogError(
                f"the catalogue has no column {name}, which {setting} names. Found: {', '.join(found[:30])}"
            )


def _landed_at(files: Sequence[LandingFile]) -> datetime:
    now = datetime.now(UTC)
    written = [file.changed for file in files if file.changed is not None]
    return min(datetime.fromtimestamp(max(written), UTC), now) if written else now


def _copy_table(engine: Any, name: str, table: Any) -> None:
    """Copy an Arrow table into a table of the engine."""
    engine.con.execute(f"CREATE TABLE {name} AS FROM {from_arrow(engine, table).get_name()}")


def _report(
    engine: Any,
    dated: Sequence[tuple[date | None, LandingFile]],
    rows_in: int,
    items: int,
    reasons: Mapping[str, int],
) -> CatalogReport:
    def rows(query: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = engine.con.execute(query).fetchall()
        return found

    lines = rows_in - rows("SELECT count(*) FROM bodies")[0][0]
    texts = ("title", "description", "brand", "price", "rating", "rating_count", *LOCATION_NAMES)
    lists = ("category_path", "attributes", "tags")
    filled = [f"count({name})" for name in texts] + [f"count(*) FILTER (len({name}) > 0)" for name in lists]
    variants = int(rows("SELECT count(*) FROM candidates WHERE reason IS NULL AND is_variant")[0][0])
    repeats = int(rows("SELECT count(*) FROM candidates WHERE reason IS NULL AND is_repeat")[0][0])
    roles = rows("SELECT role, key FROM roles ORDER BY ALL")
    used = {key for _, key in roles} | {key for (key,) in rows("SELECT key FROM fields WHERE field IS NOT NULL")}
    return CatalogReport(
        files=tuple(file.name for _, file in dated),
        rows_in=rows_in - lines,
        items=items,
        older_versions=rows_in - lines - items - variants - repeats - sum(reasons.values()),
        reasons=reasons,
        columns=dict(
            rows(
                "SELECT field, arg_min(key, (rank, key)) FROM fields WHERE field IS NOT NULL GROUP BY ALL ORDER BY ALL"
            )
        ),
        attribute_columns=tuple(key for role, key in roles if role == "attribute"),
        description_columns=tuple(key for role, key in roles if role == "description"),
        unused_columns=tuple(
            key
            for (key,) in rows("SELECT DISTINCT key FROM entries ORDER BY key")
            if key not in used and not any(other.startswith(f"{key}.") for other in used)
        ),
        unreadable=dict(rows(UNREADABLE_SQL)),
        filled=dict(zip((*texts, *lists), rows(f"SELECT {', '.join(filled)} FROM items")[0], strict=True)),
        repeats=repeats,
        variants=variants,
    )
