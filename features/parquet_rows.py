"""Rows of Parquet logs in the types that their files give them, so that most need no JSON.

``keep_rows`` keeps a file's rows as a table of structs where the file's columns may say all that a reader looks for.
There a row is *plain* where reading its document would find no more and refuse nothing: every field at a usual place
and of a type that has no other readings. ``read_plain`` types these. The others become documents, for
``features.ubi`` to read, and so do all rows of a file with a column that may be a field in another spelling.
``event_attributes`` that are a map or JSON as text are read as JSON: that column alone.

A document of a plain row is made where one is asked for, such as for the quarantine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from features.parquet_fields import MACROS, Value, all_of, columns_of_row, first_of, leaves_of, value_at
from features.sql_text import quoted

Paths = Mapping[str, Sequence[str]]
ENVELOPES = ("_index", "_source")
"""Columns of a search engine's dump: what they hold is told from the document."""


def keep_rows(connection: Any, table: str, source: str, offset: int, index: int) -> bool:
    """Keep the rows of a Parquet file beside the documents of ``table``; ``join_rows`` puts them together.

    Args:
        connection: DuckDB's.
        table: Name of the table of documents.
        source: SQL of the file's rows.
        offset: Number of the first row.
        index: The file's.

    Returns:
        False, and nothing is kept, where the columns are an envelope around rows, or an action line.
    """
    names = connection.sql(f"FROM {source} LIMIT 0").columns
    if len(names) < 2 or set(ENVELOPES) & set(names):
        return False
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE {table}_rows_{index} AS
        SELECT row_number() OVER () - 1 + {offset} AS row_id, row_of_file AS "row" FROM {source} row_of_file
        """
    )
    return True


def forget_rows(connection: Any, table: str) -> None:
    """Drop what an earlier load kept under this name."""
    for rows in kept_rows(connection, table):
        connection.execute(f"DROP TABLE {rows}")
    kind = connection.execute("SELECT table_type FROM information_schema.tables WHERE table_name = ?", [table])
    if kind.fetchall() == [("VIEW",)]:
        connection.execute(f"DROP VIEW {table}; DROP TABLE {table}_read")


def join_rows(connection: Any, table: str, most_chars: int) -> None:
    """Make ``table`` a view that also has the rows that are kept, each with its document where it is asked for.

    Args:
        connection: DuckDB's.
        table: Table of ``load_documents``; its own rows are in ``<table>_read`` then.
        most_chars: What ``raw`` holds of a row.
    """
    kept = kept_rows(connection, table)
    if not kept:
        return
    documents = " UNION ALL ".join(
        f'SELECT row_id, {rows.rsplit("_", 1)[1]}::BIGINT AS file, left(to_json("row")::VARCHAR, {most_chars}) AS raw,'
        f' to_json("row") AS document FROM {rows}'
        for rows in kept
    )
    connection.execute(
        f"""
        ALTER TABLE {table} RENAME TO {table}_read;
        CREATE VIEW {table} AS FROM {table}_read UNION ALL {documents}
        """
    )


def kept_rows(connection: Any, table: str) -> list[str]:
    """The tables that ``keep_rows`` made, in the order of their files."""
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE regexp_full_match(table_name, ?)", [rf"{table}_rows_\d+"]
    ).fetchall()
    return sorted((name for (name,) in found), key=lambda name: int(name.rsplit("_", 1)[1]))


def last_row(connection: Any, table: str) -> int:
    """The highest row id of a table of documents and of what is kept beside it; -1 where there is none."""
    every = " UNION ALL ".join(
        f"SELECT max(row_id) AS last FROM {rows}" for rows in (table, *kept_rows(connection, table))
    )
    ((last,),) = connection.execute(f"SELECT coalesce(max(last), -1) FROM ({every})").fetchall()
    return int(last)


def read_plain(engine: Any, source: str, target: str, paths: Paths, odd_keys: str, guests: Sequence[str]) -> None:
    """Read the rows that are plain.

    Creates the table ``<target>_plain``, their fields as ``features.ubi`` names them, without what it takes from
    several of them, and the view ``<target>_rest`` (``row_id, document``) of all other rows.

    Args:
        engine: Ibis DuckDB backend with the macros of ``json_macros`` and ``names_text``.
        source: Table of ``load_documents``.
        target: What the new ones are named after.
        paths: Field -> usual places.
        odd_keys: SQL over a list ``keys``: whether one may be a field though it is none that is usual.
        guests: As for ``ubi.read_queries``.
    """
    connection = engine.con
    connection.execute(MACROS)
    fields_sql = _event_sql if "action" in paths else _query_sql
    empty = """(SELECT NULL::BIGINT AS row_id, NULL::STRUCT(x BIGINT) AS "row" WHERE false)"""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {target}_plain AS
        SELECT * EXCLUDE (plain) FROM ({fields_sql(connection, empty, {}, paths, guests)});
        CREATE OR REPLACE TEMP TABLE {target}_unplain (row_id BIGINT, document JSON)
        """
    )
    kept = kept_rows(connection, source)
    for rows in kept:
        columns = _columns(connection, rows)
        odd = connection.execute(f"SELECT {odd_keys} FROM (SELECT ? AS keys)", [list(columns)]).fetchall() == [(True,)]
        if not odd:
            judged = fields_sql(connection, rows, columns, paths, guests)
            connection.execute(
                f"""
                INSERT INTO {target}_plain BY NAME WITH judged AS MATERIALIZED ({judged})
                SELECT * EXCLUDE (plain) FROM judged WHERE plain
                """
            )
        others = f"{rows} ANTI JOIN {target}_plain USING (row_id)"
        connection.execute(f'INSERT INTO {target}_unplain SELECT row_id, to_json("row") FROM {others}')
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW {target}_rest AS
        SELECT row_id, document FROM {source}{"_read" if kept else ""} UNION ALL FROM {target}_unplain
        """
    )


def column_documents(engine: Any, source: str, target: str, column: str) -> str:
    """SQL of ``row_id, document`` of the rows that ``read_plain`` took, with no more than a column and ``column.*``."""
    found = ["SELECT NULL::BIGINT AS row_id, NULL::JSON AS document WHERE false"]
    for rows in kept_rows(engine.con, source):
        columns = _columns(engine.con, rows)
        pairs = ", ".join(f"{quoted(n)}, {v.sql}" for n, v in columns.items() if n.split(".")[0] == column)
        if pairs:
            found.append(f"SELECT row_id, json_object({pairs}) FROM {rows} SEMI JOIN {target}_plain USING (row_id)")
    return " UNION ALL ".join(found)


def _columns(connection: Any, rows: str) -> dict[str, Value]:
    (kind,) = connection.sql(f'SELECT "row" FROM {rows}').types
    return columns_of_row(kind)


class _Fields:
    """SQL of the fields of a row."""

    def __init__(self, columns: Mapping[str, Value], paths: Paths, guests: Sequence[str]) -> None:
        self._guests = list(guests)
        self.at = {
            field: [value for path in places if (value := value_at(columns, path)) is not None]
            for field, places in paths.items()
        }
        """Field -> what is at its places, best first, where anything can be."""

    def text(self, field: str) -> str:
        return first_of(value.text for value in self.at[field])

    def id(self, field: str) -> str:
        return first_of(value.id for value in self.at[field])

    def key(self, field: str) -> str:
        return first_of(value.key for value in self.at[field])

    def people(self) -> str:
        """Columns of all persons' ids; those that guests share are null."""
        keys = {field: self.key(field) for field in ("user_id", "client_id", "session_id")}
        return ", ".join(
            f"CASE WHEN NOT list_contains({self._guests}, lower({key})) THEN {key} END AS {field}"
            for field, key in keys.items()
        )

    def time(self) -> str:
        """The first time that is not blank."""
        cases = " ".join(f"WHEN {value.key} IS NOT NULL THEN {value.time}" for value in self.at["time"])
        return f"CASE {cases} END" if cases else "NULL::TIMESTAMPTZ"

    def are_scalars(self, *fields: str) -> str:
        """Whether nothing stands there that is an object, a list or a truth value."""
        return all_of(value.is_none_or_scalar for field in fields for value in self.at[field])

    def shared(self) -> str:
        """Columns of queries and events alike."""
        return f"""row_id, false AS not_json, false AS action_line, NULL::VARCHAR AS wrong_field, false AS wrong_type,
            md5(to_json("row")::VARCHAR) AS content, {self.key("query_id")} AS query_id, {self.people()},
            {self.time()} AS time, {self.id("agent")} AS agent"""

    def plain(self, *fields: str) -> str:
        """Whether the fields that queries and events have, and others, need no second look."""
        scalars = self.are_scalars("query_id", "user_id", "client_id", "session_id", "time", *fields)
        return f"{scalars} AND (time IS NOT NULL OR {self.id('time')} IS NULL)"


def _query_sql(connection: Any, rows: str, columns: Mapping[str, Value], paths: Paths, guests: Sequence[str]) -> str:
    """SQL of the queries in ``rows``, and whether each is ``plain``."""
    fields = _Fields(columns, paths, guests)
    lists = [value for value in fields.at["hits"] if value.form == "list" and value.element.is_scalar]
    others = all_of(f"{value.sql} IS NULL" for value in fields.at["hits"] if value not in lists)
    return f"""
    SELECT {fields.shared()}, coalesce({fields.text("query_text")}, '') AS query_text,
        coalesce({first_of((value.ids for value in lists), "VARCHAR[]")}, []) AS hits,
        {fields.plain("query_text")} AND {others} AS plain
    FROM {rows}
    """


def _event_sql(connection: Any, rows: str, columns: Mapping[str, Value], paths: Paths, guests: Sequence[str]) -> str:
    """SQL of the events in ``rows``, and whether each is ``plain``.

    None is whose attributes must be looked through: for an item, a list of items or the text of the search.
    """
    opened, more = "NULL::JSON", "false"
    if attributes := columns.get("event_attributes"):
        leaves = [(name, leaf) for name, leaf in leaves_of(attributes) if leaf.form != "struct"]
        if attributes.form == "struct" and all(leaf.is_scalar or leaf.form == "list" for _, leaf in leaves):
            names = "".join(f'"{name}":' for name, _ in leaves_of(attributes))
            ((says_text,),) = connection.execute("SELECT names_text(?)", [names]).fetchall()
            texts = [leaf.sql for _, leaf in leaves if leaf.form == "text"]
            lists = [f"{leaf.sql} IS NOT NULL" for _, leaf in leaves if leaf.form == "list"]
            listed = " OR ".join([*lists, *(f"coalesce(contains({text}::VARCHAR, '['), false)" for text in texts)])
        else:
            opened = f"opened(to_json({attributes.sql}))"
            says_text = f"names_text(to_json({attributes.sql})::VARCHAR)"
            listed = f"contains(to_json({attributes.sql})::VARCHAR, '[')"
            columns = {**columns, "event_attributes": Value("attributes", "json", None)}
        more = f"{attributes.sql} IS NOT NULL AND (item_id IS NULL OR {listed or 'false'}" + (
            f" OR query_text IS NULL AND {says_text})"
        )
    fields = _Fields(columns, paths, guests)
    return f"""
    SELECT {fields.shared()}, {fields.id("event_id")} AS logged_id, lower({fields.id("action")}) AS action,
        {fields.key("item_id")} AS item_id, try_cast({fields.id("position")} AS BIGINT) AS position,
        {fields.key("query_text")} AS query_text, NULL::STRUCT(item_id VARCHAR, position BIGINT)[] AS basket,
        false AS names_object, {fields.plain("action", "item_id")} AND NOT coalesce({more}, false) AS plain
    FROM (SELECT *, {opened} AS attributes FROM {rows})
    """
