"""Where the log's items are not in the catalogue: an id of each side, and the column of the catalogue that has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from features.catalog import find_catalog
from features.catalog_entries import load_entries
from features.catalog_names import plain_name
from features.engine import open_engine, view_days, view_item_ids
from infra.contract.content import file_hash
from infra.contract.tables import SESSION_TABLES
from infra.settings import Settings

_LOGGED_SQL = """
CREATE TABLE logged AS
    SELECT item_id, item_id IN (SELECT item_id FROM catalogued) AS met, count(*) AS times
    FROM (SELECT item_id FROM shown UNION ALL SELECT item_id FROM done) WHERE item_id IS NOT NULL GROUP BY ALL
"""
# ids are also compared without case, leading zeros and what precedes the last slash or colon (gid://shopify/Product/7)
_COLUMNS_SQL = """
CREATE MACRO bare_id(t) AS regexp_replace(regexp_replace(lower(t), '^.*[/:](.)', '\\1'), '^0+(.)', '\\1');
CREATE TABLE unmet AS SELECT item_id, bare_id(item_id) AS bare FROM logged WHERE NOT met;
CREATE TABLE found AS
    WITH ids AS (
        SELECT DISTINCT key, as_id(id) AS id FROM (
            SELECT key, unnest(CASE WHEN json_type(value) = 'ARRAY' THEN json_extract(value, '$[*]') ELSE [value] END)
                AS id FROM entries
        ) WHERE as_id(id) IS NOT NULL
    )
    SELECT key, count(DISTINCT unmet.item_id) AS ids, true AS alike, min(id) AS here, min(unmet.item_id) AS there
    FROM ids JOIN unmet ON id = unmet.item_id GROUP BY key
    UNION ALL
    SELECT key, count(DISTINCT unmet.item_id), false, min_by(id, unmet.item_id), min(unmet.item_id)
    FROM ids JOIN unmet ON bare_id(id) = bare GROUP BY key
"""


@dataclass
class UnmetIds:
    """What to know and do where days name items that the catalogue does not have.

    The catalogue's files are read again, with all their columns, once for the days of one run.
    """

    _found: dict[str | None, tuple[date, tuple[Any, ...] | None]] = field(default_factory=dict)
    """By the content of the catalogue: the day that was looked for, and the column that has its ids."""

    def told(self, settings: Settings, day: date, tables: Mapping[str, Path], otherwise: str) -> str:
        """An id of each side, how many do not meet, and the one thing to change; empty where all meet.

        Args:
            settings: All settings.
            day: The day that names items.
            tables: Folder of each session table that holds the day.
            otherwise: What to do where these items are no longer sold.
        """
        with open_engine(settings) as engine:
            total, unmet, examples = _meet(engine, settings, day, tables)
            if not unmet:
                return ""
            catalog, column = file_hash(settings.paths.catalog), _id_column(settings)
            if catalog not in self._found:
                self._found[catalog] = (day, _best_column(engine, settings, unmet))
        says = f"{unmet:,} of the {total:,} items that the log names are not in the catalogue: {examples}"
        looked, best = self._found[catalog]
        whose = "them" if looked == day else f"those of {looked}"
        return f"{says}. {_remedy(best, column, whose, otherwise)}"

    def example(self, settings: Settings, day: date, tables: Mapping[str, Path]) -> str:
        """An id of each side."""
        with open_engine(settings) as engine:
            return _meet(engine, settings, day, tables)[2]


def column_of_ids(settings: Settings, ids: Sequence[str]) -> str:
    """The column of the catalogue's files that has at least half of some ids as they are; empty where none has."""
    with open_engine(settings) as engine:
        engine.con.execute("CREATE TABLE logged AS SELECT unnest(?::VARCHAR[]) AS item_id, false AS met", [list(ids)])
        best = _best_column(engine, settings, len(ids))
    return str(best[0]) if best and best[2] else ""


def _meet(engine: Any, settings: Settings, day: date, tables: Mapping[str, Path]) -> tuple[int, int, str]:
    """How many items the log names, how many of them do not meet, and an id of each side; leaves ``logged``."""
    connection = engine.con
    view_item_ids(engine, "catalogued", settings)
    for name, table in (("shown", "impressions"), ("done", "events")):
        view_days(engine, name, tables[table], [day], SESSION_TABLES[table])
    connection.execute(_LOGGED_SQL)
    ((total, unmet, example),) = connection.execute(
        "SELECT count(*), count(*) FILTER (NOT met), arg_max(item_id, (times, item_id)) FILTER (NOT met) FROM logged"
    ).fetchall()
    ((known,),) = connection.execute("SELECT min(item_id) FROM catalogued").fetchall()
    return total, unmet, f"the log has {example!r}, the catalogue {known!r} (its column {_id_column(settings)})"


def _id_column(settings: Settings) -> str:
    stored = json.loads((settings.paths.reports / "catalog.json").read_text(encoding="utf-8"))
    column: str = stored["columns"].get("item_id") or stored["columns"].get("product", "")
    return column


def _best_column(engine: Any, settings: Settings, unmet: int) -> tuple[Any, ...] | None:
    """The column of the catalogue's files that has most of the ids that do not meet; None where none has half."""
    load_entries(settings, engine, [file for _, file in find_catalog(settings)])
    engine.con.execute(_COLUMNS_SQL)
    best: tuple[Any, ...] | None = engine.con.execute(
        "FROM found WHERE ids >= ? ORDER BY alike DESC, ids DESC, key LIMIT 1", [unmet / 2]
    ).fetchone()
    return best


def _remedy(best: tuple[Any, ...] | None, column: str, whose: str, otherwise: str) -> str:
    if best is None:
        return (
            "No column of the catalogue has them: land the catalogue of the days of the log, or, if these items are no"
            f" longer sold, {otherwise}"
        )
    key, ids, alike, here, there = best
    if not alike:
        return (
            f"The catalogue's column {key} has {ids:,} of {whose} written otherwise ({here!r} is {there!r}): write them"
            " alike, in the log or in the catalogue"
        )
    if plain_name(key) == plain_name(column):
        return f"Its column {key} has {ids:,} of {whose}: the catalogue was landed after it was built, build it again"
    return f"The log's ids are in its column {key} ({ids:,} of {whose}): set SHELFWISE_RAW__ITEM_ID={key}"
