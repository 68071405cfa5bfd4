"""A shop's own log: searches, clicks, carts and orders in any files, under whatever names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from features.adapters.base import AdapterError, ImportRequest, Loaded, Maps, count, watched
from features.adapters.files import local_files
from features.adapters.journeys import create_steps, ubi_of_steps
from features.adapters.json_rows import json_source
from features.adapters.own_fields import FIELDS, Key, assign_keys, keys_of, spelling
from features.adapters.own_shown import FLAGS, Flags, find_flags
from features.adapters.own_shown import MACROS as FLAG_MACROS
from features.adapters.own_sql import MACROS, kinds_sql, steps_sql
from features.adapters.ubi import in_zone
from features.adapters.ubi_rows import PLAIN_MACROS
from features.json_macros import macros_sql
from features.sql_text import quoted

NAME = "own"
WHAT = "A shop's own log of searches and what they led to, in CSV, JSON or Parquet, by whatever names"
AS = {"search": "search", "click": "click", "view": "view", "cart": "cart", "order": "order", "impression": "list"}
OPTIONS = {
    **{name: f"column of the {what} (default: by its name)" for name, what in {
        "time": "time", "query": "text of the search", "action": "action", "item": "item's id",
        "results": "ids of the items shown, a list",
        "clicked": "ids clicked, of a row that is a search, or a flag of a row of one shown item",
        "carted": "flag of a row of one shown item", "ordered": "ids ordered, or a flag, as clicked",
        "position": "item's place in the list",
        "query_id": "search's id", "user": "user", "client": "browser or device", "session": "session",
        "order_id": "order's id", "event_id": "event's id", "agent": "user agent"}.items()},
    "as": f"what a row with an item and no action is: {', '.join(AS)} (default: as the file's name says)",
}  # fmt: skip
MAPPING = (
    Maps("a row whose action is a search, or with a text and no item", "`ubi_queries`",
         "hits: a list, JSON as text, or ids with `|`, `,` or `;` between them"),
    Maps("a row whose action shows items", "hits of the visit's search", "`impression`, `view_item_list`, ..."),
    Maps("`click`, `product_click`, `select_item`, ...", "`click`"),
    Maps("`view`, `product_view`, `view_item`, ...", "`click`",
         "unless the item was clicked in a list in the half hour before"),
    Maps("`add_to_cart`, `atc`, ...; `purchase`, `transaction`, ...", "`add_to_cart`; `purchase`"),
    Maps("another action", "what `raw.actions` says", "else left out, and named"),
    Maps("a row with an item and no action", "as the option `as` or the file's name says", "`clicks.csv`"),
    Maps("the text of an event's row", "`user_query`", "a run makes a request of it where no row is one"),
    Maps("`clicked_ids`, `purchased_ids` of a search's row", "click, purchase", "a second and two after the search"),
    Maps("a row of one item and flags: `clicked`, `add_to_cart`, `ordered`, ...", "an item of a request's list",
         "0 or 1, true or false, yes or no; rows of one search have its id, else its text, person and half hour"),
    Maps("a flag that is set", "click, add_to_cart, purchase", "a second, two and three after the search"),
    Maps("a grade of relevance", "left out", "it is a judgement, and no click"),
    Maps("a search's id, a user, a browser, a session, a place, a time", "those of UBI",
         "named as in most logs, also inside objects or JSON as text; the import says which was read as what"),
)  # fmt: skip


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read rows of any names."""
    default = request.options.get("as")
    if default is not None and default not in AS:
        raise AdapterError(f"--set as={default}: write one of {', '.join(AS)}")
    files = local_files(request)
    create_steps(connection)
    for statements in (macros_sql(), PLAIN_MACROS, MACROS, FLAG_MACROS):
        connection.execute(statements)
    connection.execute("CREATE TABLE own_rows (kind VARCHAR, body JSON)")
    with watched(connection, request.progress, f"reading {len(files)} files"):
        for file in files:
            hint = AS[default] if default else _kind_of_name(file)
            for source in json_source(connection, [file]):
                connection.execute(
                    f"INSERT INTO own_rows SELECT {quoted(hint) if hint else 'NULL'},"
                    f" CASE WHEN json_type(json) = 'OBJECT' THEN body_of(json) END FROM {source}"
                )
    rows_in = count(connection, "SELECT count(*) FROM own_rows")
    keys = _keys(connection)
    given = {name: value for name, value in request.options.items() if name in FIELDS or name in FLAGS}
    flags = find_flags(connection, keys, given)
    fields = _fields(keys, given, flags)
    connection.execute(kinds_sql(request.raw))
    notes = _read_slashes(connection, fields["time"])
    with watched(connection, request.progress, "reading rows"), in_zone(connection, request.zone):
        connection.execute(steps_sql(fields, flags))
        notes += _days_alone(connection)
    read = {**fields, **{f"{field} (0 or 1)": listed for field, listed in flags.keys.items()}}
    return ubi_of_steps(connection, request, rows_in, [*_notes(connection, keys, read), *flags.notes, *notes])


def _kind_of_name(file: Path) -> str | None:
    """What rows without an action are, as their file is called."""
    words = set(re.split(r"[^a-z]+", file.name.lower()))
    named = {
        "click": {"click", "clicks"},
        "cart": {"cart", "carts", "basket", "baskets"},
        "order": {"order", "orders", "purchase", "purchases", "sales", "transactions"},
        "view": {"view", "views"},
    }
    found = [kind for kind, known in named.items() if words & known]
    return found[0] if len(found) == 1 else None


def _keys(connection: duckdb.DuckDBPyConnection) -> list[Key]:
    """The keys of all rows; those of objects that are JSON as text as well."""
    ((structure,),) = connection.execute(
        "SELECT json_group_structure(body)::VARCHAR FROM own_rows WHERE body IS NOT NULL"
    ).fetchall()
    if not structure:
        raise AdapterError("none of the rows is a JSON object or a row of a table: nothing can be read")
    plain = keys_of(structure)
    packed = []
    for key in plain:
        if key.kind == "scalar" and len(key.path) == 1:
            ((inner,),) = connection.execute(
                f"SELECT json_group_structure(opened({key.value}))::VARCHAR FROM own_rows"
                f" WHERE starts_with({key.value} ->> '$', '{{') AND json_valid({key.value} ->> '$')"
            ).fetchall()
            packed += keys_of(inner, key) if inner else []
    return plain + packed


def _fields(keys: Sequence[Key], given: Mapping[str, str], flags: Flags) -> dict[str, list[Key]]:
    found = ", ".join(key.told for key in keys[:40])
    try:
        assign_keys(keys, given)  # each name is one of a column
        flagged = {key.path for listed in (*flags.keys.values(), flags.counts) for key in listed}
        others = [key for key in keys if key.path not in flagged]
        fields = assign_keys(
            others, {field: name for field, name in given.items() if field in FIELDS and field not in flags.keys}
        )
    except KeyError as error:
        option = next(name for name, value in given.items() if value == error.args[0])
        raise AdapterError(f"--set {option}={error.args[0]}: there is no such column. Found: {found}") from error
    for field, what in (("time", "the time"), ("query", "the text of a search")):
        if field not in fields:
            held = _held(keys, field)
            raise AdapterError(
                held
                or f"no column is called as {what}: say which it is by --set {field}=COLUMN. Found: {found}."
                f"{' ' + ' '.join(flags.notes) if flags.notes else ''}"
            )
    return fields


def _held(keys: Sequence[Key], field: str) -> str:
    """A sentence where a field is in the objects of a list: rows of a log that lie inside other rows."""
    for key in keys:
        for name in key.inner:
            if spelling(name) in FIELDS[field]:
                return (
                    f"{key.told} is a list of objects that have {name}: each of them is a row of the log. Write them as"
                    " rows of their own, with the user or visit of the object around them, then import again."
                )
    return ""


def _read_slashes(connection: duckdb.DuckDBPyConnection, times: Sequence[Key]) -> list[str]:
    """Define ``own_slashed``, which reads 31/12/2026 or 12/31/2026 as most of the column must be meant; notes."""
    values = " UNION ALL ".join(f"SELECT as_id({key.value}) AS s FROM own_rows WHERE body IS NOT NULL" for key in times)
    row = connection.execute(
        f"""SELECT count(*) FILTER (a > 12 AND b <= 12), count(*) FILTER (b > 12 AND a <= 12), any_value(s),
            coalesce(bool_or(regexp_matches(s, '(?i)[ap]\\.?m\\.?$')), false)
        FROM (SELECT s, regexp_extract(s, '^(\\d+)/', 1)::INT AS a, regexp_extract(s, '^\\d+/(\\d+)/', 1)::INT AS b
            FROM ({values}) WHERE regexp_matches(s, '^\\d{{1,2}}/\\d{{1,2}}/\\d{{4}}'))"""
    ).fetchone()
    assert row is not None
    days, months, example, by_noon = row
    order = "" if days and months else "%d/%m" if days else "%m/%d" if months or by_noon else ""
    clocks = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %H:%M:%S", ", %I:%M:%S %p")
    formats = [f"{order}/%Y{clock}" for clock in clocks] if order else ["%Y-%m-%d"]
    connection.execute(
        f"CREATE OR REPLACE TEMP MACRO own_slashed(s) AS within_reason(try_strptime(s, {formats})::TIMESTAMPTZ)"
    )
    if example is None or order:
        return []
    return [f"Nothing tells whether {example} has the day or the month first: write times as 2026-12-31 10:00:00."]


def _days_alone(connection: duckdb.DuckDBPyConnection) -> list[str]:
    timed = count(connection, "SELECT count(time) FROM steps WHERE extra IS NOT TRUE")
    if timed < 2 or count(
        connection, "SELECT count(*) FROM steps WHERE extra IS NOT TRUE AND time <> date_trunc('day', time)"
    ):
        return []
    return [
        "All times are midnight: where days alone were logged, nobody knows what came after what. A report by day, of"
        " terms and how often, is no log: export the searches themselves, each with its time and who searched."
    ]


def _notes(
    connection: duckdb.DuckDBPyConnection, keys: Sequence[Key], fields: Mapping[str, Sequence[Key]]
) -> list[str]:
    read = "; ".join(f"{', '.join(key.told for key in listed)} as {field}" for field, listed in fields.items())
    taken = {path[:n] for listed in fields.values() for key in listed for path in [key.path] for n in range(1, 9)}
    others = [key.told for key in keys if key.path not in taken and key.path[:-1] not in taken]
    rest = f" Not read: {', '.join(others[:12])}." if others else ""
    notes = [f"Read: {read}.{rest} If one is another, say so by --set FIELD=COLUMN."]
    unknown = connection.execute(
        "SELECT source_event, count(*) AS rows FROM steps WHERE reason LIKE '%raw.actions%' GROUP BY ALL"
        " ORDER BY rows DESC LIMIT 10"
    ).fetchall()
    if unknown:
        named = ", ".join(f"{action} ({rows:,})" for action, rows in unknown)
        notes.append(f"Left out are {named}: say what they mean in the setting raw.actions if they are of use.")
    if "user" not in fields and "client" not in fields and "session" not in fields:
        notes.append(
            "Nothing says who searched: events without a search's id belong to none, and nobody has a history."
        )
    return notes
