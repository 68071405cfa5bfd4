"""Logs with a row per shown item, whose flags say what came of it: which columns are flags, and rows as steps.

Rows of one search are those with its id; without one those of a person and a text, each within half an hour of the one
before, and of nobody those of a text and a time. An id that rows of several people or times have names a text and no
search: then both tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from features.adapters.own_fields import FIELDS, Key
from features.sql_text import quoted

FLAGS: Mapping[str, Sequence[str]] = {
    "clicked": ("clicked", "click", "isclick", "isclicked", "wasclicked", "hasclick", "hasclicked", "clickflag",
                "clicks", "geklickt", "clic", "clique"),
    "carted": ("carted", "addtocart", "addedtocart", "isaddtocart", "isaddedtocart", "atc", "isatc", "cart", "incart",
               "iscart", "iscarted", "cartadd", "cartadded", "addtobasket", "addedtobasket", "basket", "inbasket",
               "addtobag", "cartflag", "warenkorb", "panier"),
    "ordered": ("ordered", "order", "isorder", "isordered", "purchased", "purchase", "ispurchase", "ispurchased",
                "waspurchased", "bought", "isbought", "conversion", "isconversion", "converted", "isconverted", "sold",
                "transaction", "purchaseflag", "orderflag", "gekauft", "bestellt", "achat"),
}  # fmt: skip
"""What a flag says of the item of its row -> names of columns that hold it, as ``own_fields.spelling`` has them."""
GRADES = ("relevance", "relevancy", "relevancegrade", "relevancelabel", "relevancescore", "rel", "grade", "judgement",
          "judgment", "gain", "label", "esci", "escilabel")  # fmt: skip
"""Names of columns that hold grades of relevance, which people gave and nobody clicked."""
LEAST_SAID = 0.1
"""Share of yes and no from which other numbers beside them are grades or counts, below it ids."""
MOST_ODD = 0.01
"""Share of a column's values that may be neither yes nor no where it holds flags; the rows are left out."""
_LETTERS = "'e', 's', 'c', 'i', 'exact', 'substitute', 'complement', 'irrelevant'"
"""ESCI's grades."""
_YES = ("1", "1.0", "true", "t", "yes", "y", "x", "ja", "oui", "si", "sí", "sim", "wahr", "vrai")
_NO = ("0", "0.0", "false", "f", "no", "n", "nein", "non", "nao", "não", "nee", "falsch", "faux")

MACROS = f"""
CREATE OR REPLACE TEMP MACRO flag_text(j) AS CASE WHEN NOT is_absent(j) THEN nullif(lower(trim(j ->> '$')), '') END;
CREATE OR REPLACE TEMP MACRO own_flag(j) AS CASE
    WHEN list_contains([{", ".join(map(quoted, _YES))}], flag_text(j)) THEN true
    WHEN list_contains([{", ".join(map(quoted, _NO))}], flag_text(j)) THEN false END;
CREATE OR REPLACE TEMP MACRO odd_flag(j) AS flag_text(j) IS NOT NULL AND own_flag(j) IS NULL AND as_key(j) IS NOT NULL;
"""


@dataclass(frozen=True)
class Flags:
    """The columns that say yes or no of the item of their row."""

    keys: Mapping[str, Sequence[Key]]
    """What is said -> its columns."""
    counts: Sequence[Key]
    """Columns of such names that hold numbers beyond 0 and 1."""
    grades: Sequence[Key]
    """Columns of grades."""
    notes: Sequence[str]
    """What of these is not read, and what to do."""


def find_flags(connection: duckdb.DuckDBPyConnection, keys: Sequence[Key], given: Mapping[str, str]) -> Flags:
    """Which columns of ``own_rows`` are flags, by their names and by what they hold.

    Args:
        connection: DuckDB with the table ``own_rows`` and the macros.
        keys: Those of the rows.
        given: Field -> a key by its dotted name, which alone is of the field.
    """
    flags: dict[str, list[Key]] = {}
    counts: list[Key] = []
    notes: list[str] = []
    scalars = [key for key in keys if key.kind == "scalar"]
    other_fields = {name.casefold() for field, name in given.items() if field not in FLAGS}
    free = [key for key in scalars if key.told.casefold() not in other_fields]
    for field, names in FLAGS.items():
        if field in given:
            named = [key for key in scalars if key.told.casefold() == given[field].casefold()]
        else:
            named = [key for name in names for key in free if key.spelt[-1] == name]
        for key in named:
            said, odd, number = _values(connection, key)
            if said and odd <= MOST_ODD * (said + odd):
                flags.setdefault(field, []).append(key)
            elif number is not None and said > LEAST_SAID * (said + odd):
                counts.append(key)
                notes.append(
                    f"{key.told} is not read as {field}: it holds {number} beside 0 and 1, as grades or counts do."
                    " Where it counts, land it as 0 and 1."
                )
            elif field in given and field not in FIELDS:
                notes.append(f"{key.told} is not read as {field}: it holds neither 0 and 1 nor true and false.")
    graded = [
        key
        for name in GRADES
        for key in free
        if key.spelt[-1] == name and key not in _all(flags) and _holds_grades(connection, key)
    ]
    notes += [
        f"{key.told} is read as no click: grades of relevance are what people judged, not what they did. A file"
        " qrels.tsv (query, item_id, grade 0 to 3) beside the catalogue holds judgements. If it says what was clicked"
        f" by 0 and 1, say so by --set clicked={key.told}."
        for key in graded
    ]
    return Flags(flags, counts, graded, notes)


def _all(flags: Mapping[str, Sequence[Key]]) -> list[Key]:
    return [key for listed in flags.values() for key in listed]


def _holds_grades(connection: duckdb.DuckDBPyConnection, key: Key) -> bool:
    """Whether a column's values are small numbers or ESCI's letters, as most grades are, and no words."""
    row = connection.execute(
        f"""SELECT count(g), count(*) FILTER (try_cast(g AS DOUBLE) BETWEEN -1 AND 100 OR g IN ({_LETTERS}))
        FROM (SELECT flag_text({key.value}) AS g FROM own_rows WHERE body IS NOT NULL)"""
    ).fetchone()
    assert row is not None
    held, grades = row
    return bool(held and grades >= (1 - MOST_ODD) * held)


def _values(connection: duckdb.DuckDBPyConnection, key: Key) -> tuple[int, int, str | None]:
    """How many values of a column are yes or no, how many neither, and the largest number of these."""
    row = connection.execute(
        f"""SELECT count(own_flag(v)), count(*) FILTER (odd_flag(v)),
            arg_max(as_id(v), try_cast(as_id(v) AS DOUBLE)) FILTER (odd_flag(v))
        FROM (SELECT {key.value} AS v FROM own_rows WHERE body IS NOT NULL)"""
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), row[2]


def flags_sql(flags: Flags) -> str:
    """SQL of the columns that rows have of their flags: ``flags`` (a struct of truths, null where a row has no such
    column), ``odd_flag`` and ``graded``."""
    listed = _all(flags.keys)
    values = ", ".join(
        f"'{field}': coalesce({', '.join(f'own_flag({key.value})' for key in flags.keys.get(field, ()))}"
        f"{', ' if flags.keys.get(field) else ''}false)"
        for field in FLAGS
    )
    there = " OR ".join(f"{key.value} IS NOT NULL" for key in listed) or "false"
    odd = " OR ".join(f"coalesce(odd_flag({key.value}), false)" for key in listed) or "false"
    graded = " OR ".join(f"as_key({key.value}) IS NOT NULL" for key in flags.grades) or "false"
    return f"CASE WHEN {there} THEN {{{values}}} END AS flags, {odd} AS odd_flag, {graded} AS graded"


SHOWN_SQL = """
CREATE TABLE own_asked AS
SELECT query_id, min(time) AS time, arg_min(text, row_id) AS text FROM own_read
WHERE kind IN ('search', 'shown') AND reason IS NULL AND query_id IS NOT NULL GROUP BY query_id;
CREATE TABLE own_runs AS
WITH members AS (
    SELECT row_id, r.kind, query_id, coalesce(r.time, a.time) AS time, coalesce(r.text, a.text) AS text,
        concat_ws(chr(31), user_id, client_id, session_id) AS who,
        CASE WHEN query_id IS NULL OR r.kind = 'shown' THEN lower(trim(coalesce(r.text, a.text))) END AS asked
    FROM own_read AS r LEFT JOIN own_asked AS a USING (query_id)
    WHERE r.reason IS NULL AND (r.kind = 'shown' OR r.kind = 'search' AND query_id IS NULL AND r.text IS NOT NULL)
), marked AS (
    SELECT *, coalesce(time - lag(time) OVER runs > CASE WHEN who = '' AND query_id IS NULL THEN INTERVAL 0 SECOND
        ELSE INTERVAL 30 MINUTE END, true) AS is_new
    FROM members WHERE time IS NOT NULL WINDOW runs AS (PARTITION BY query_id, who, asked ORDER BY time, row_id)
), runs AS (
    SELECT *, max(CASE WHEN is_new THEN row_id END) OVER (PARTITION BY query_id, who, asked ORDER BY time, row_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS turn FROM marked
), first AS (
    SELECT *, hash(query_id, who, asked, turn) AS run, bool_or(kind = 'shown') OVER w AS shows,
        min(time) OVER w AS shown_at, count(DISTINCT run) OVER (PARTITION BY query_id) AS times
    FROM runs WINDOW w AS (PARTITION BY hash(query_id, who, asked, turn))
)
SELECT row_id, kind, text, shown_at AS time,
    CASE WHEN query_id IS NOT NULL AND times = 1 THEN query_id
        ELSE md5(concat_ws(chr(31), query_id, who, epoch_us(shown_at), asked)) END AS query_id
FROM first WHERE shows;
UPDATE own_read SET query_id = own_runs.query_id, time = CASE own_read.kind WHEN 'shown' THEN own_runs.time
    ELSE own_read.time END FROM own_runs WHERE own_read.row_id = own_runs.row_id;
CREATE TABLE own_items AS
SELECT r.query_id, items[1] AS item, min(r.row_id) AS row_id, min(position) AS position,
    bool_or(flags.clicked) AS clicked, bool_or(flags.carted) AS carted, bool_or(flags.ordered) AS ordered
FROM own_read AS r JOIN own_runs USING (row_id) WHERE r.kind = 'shown' GROUP BY ALL;
CREATE TABLE own_lists AS
WITH people AS (
    SELECT query_id, min(time) AS time, arg_min(user_id, row_id) AS user_id, arg_min(client_id, row_id) AS client_id,
        arg_min(session_id, row_id) AS session_id, arg_min(agent, row_id) AS agent,
        arg_min(own_runs.text, row_id) AS text
    FROM own_read AS r JOIN (FROM own_runs WHERE kind = 'shown') AS own_runs USING (row_id, query_id, time) GROUP BY ALL
), start AS (
    SELECT CASE WHEN bool_or(position = 0) THEN 0 ELSE 1 END AS first FROM own_read
), items AS (
    SELECT query_id, list(item ORDER BY position, row_id) AS shown, count(position) = 0 OR count(position) = count(*)
            AND count(DISTINCT position) = count(*) AND min(position) = any_value(start.first)
            AND max(position) = any_value(start.first) + count(*) - 1 AS in_order
    FROM own_items, start GROUP BY query_id
)
FROM people JOIN items USING (query_id);
UPDATE own_read SET kind = 'hit' WHERE kind = 'shown'
    AND query_id IN (SELECT query_id FROM own_lists WHERE in_order);
INSERT INTO steps BY NAME
SELECT 'rows of one search' AS source_event, CASE WHEN text IS NULL THEN 'list' ELSE 'search' END AS kind,
    true AS extra, time, user_id, client_id, session_id, query_id, text AS query_text, agent AS user_agent,
    shown AS item_ids, list_transform(shown, lambda i: NULL::BIGINT) AS positions
FROM own_lists;
INSERT INTO steps BY NAME
SELECT 'flag of a shown item' AS source_event, what AS kind, true AS extra, time + after AS time, user_id, client_id,
    session_id, query_id, agent AS user_agent, [item] AS item_ids, [position] AS positions
FROM (
    SELECT query_id, item, position, unnest(list_filter([
        CASE WHEN clicked THEN {'what': 'click', 'after': INTERVAL 1 SECOND} END,
        CASE WHEN carted THEN {'what': 'cart', 'after': INTERVAL 2 SECOND} END,
        CASE WHEN ordered THEN {'what': 'order', 'after': INTERVAL 3 SECOND} END
    ], lambda e: e IS NOT NULL), recursive := true) FROM own_items
) JOIN own_lists USING (query_id)
"""
"""Fills ``steps`` from the rows of ``own_read`` whose kind is ``shown``; those of lists whose order says all that their
positions say become ``hit``."""
