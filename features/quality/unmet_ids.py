"""Where the log's items are not in the catalogue: an id of each side, and the column of the catalogue that has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from features.catalog import find_catalog
from features.catalog_entries import load_entries
from features.catalog_names import plain_name
from features.engine import open_engine, read_catalog, read_days
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


def unmet_ids(settings: Settings, days: Sequence[date]) -> str:
    """What to know and do where days name items that the catalogue does not have; empty where it has all.

    The catalogue's files are read again, with all their columns.
    """
    with open_engine(settings) as engine:
        connection = engine.con
        _create(engine, "catalogued", read_catalog(engine, settings).select("item_id"))
        for name, table in (("shown", "impressions"), ("done", "events")):
            rows = read_days(engine, settings.paths.sessions / table, days, SESSION_TABLES[table])
            _create(engine, name, rows.select("item_id"))
        connection.execute(_LOGGED_SQL)
        ((total, unmet, example),) = connection.execute(
            "SELECT count(*), count(*) FILTER (NOT met), arg_max(item_id, (times, item_id)) FILTER (NOT met)"
            " FROM logged"
        ).fetchall()
        if not unmet:
            return ""
        ((known,),) = connection.execute("SELECT min(item_id) FROM catalogued").fetchall()
        stored = json.loads((settings.paths.reports / "catalog.json").read_text(encoding="utf-8"))
        column = stored["columns"].get("item_id") or stored["columns"].get("product", "")
        load_entries(settings, engine, [file for _, file in find_catalog(settings)])
        connection.execute(_COLUMNS_SQL)
        best = connection.execute(
            "FROM found WHERE ids >= ? ORDER BY alike DESC, ids DESC, key LIMIT 1", [unmet / 2]
        ).fetchone()
    says = (
        f"{unmet:,} of the {total:,} items that the log names are not in the catalogue: the log has {example!r}, the"
        f" catalogue {known!r} (its column {column})"
    )
    return f"{says}. {_remedy(best, column)}"


def _create(engine: Any, name: str, rows: Any) -> None:
    engine.create_table(name, rows)


def _remedy(best: tuple[Any, ...] | None, column: str) -> str:
    if best is None:
        return (
            "No column of the catalogue has them: land the catalogue of the days of the log, or, if these items are no"
            " longer sold, raise SHELFWISE_CHECKS__MAX_UNKNOWN_ITEM_SHARE"
        )
    key, ids, alike, here, there = best
    if not alike:
        return (
            f"The catalogue's column {key} has {ids:,} of them written otherwise ({here!r} is {there!r}): write them"
            " alike, in the log or in the catalogue"
        )
    if plain_name(key) == plain_name(column):
        return f"Its column {key} has {ids:,} of them: the catalogue was landed after it was built, build it again"
    return f"The log's ids are in its column {key} ({ids:,} of them): set SHELFWISE_RAW__ITEM_ID={key} and run again"
