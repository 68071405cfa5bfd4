"""What meets what: shares over the session tables, counted by DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.engine import open_engine, view_days, view_item_ids
from features.quality.unmet_ids import column_of_ids
from features.readiness.report import Joins, Ratio
from infra.contract.names import INTERACTIONS
from infra.contract.partitions import written_days
from infra.contract.tables import SESSION_TABLES
from infra.settings import Settings

SHOWN_IDS = 3
LITTLE = 0.5
"""Below this share of known ids the log probably names items by another column."""

_REQUESTS = """
WITH acted AS (SELECT user_id, min(known_at) AS since FROM events WHERE user_id IS NOT NULL GROUP BY user_id),
asked AS (
    SELECT requests.*, since < time AS known,
        row_number() OVER (PARTITION BY query ORDER BY time, query_id) > 1 AS again
    FROM requests LEFT JOIN acted USING (user_id)
)
SELECT count(*), count(*) FILTER (coalesce(query, '') <> ''), count(user_id), count(session_id),
    count(*) FILTER (shown > 0), count(*) FILTER (coalesce(country, language, zip) IS NOT NULL OR latitude IS NOT NULL),
    count(*) FILTER (again AND coalesce(query, '') <> ''), count(*) FILTER (known),
    count(DISTINCT user_id), count(DISTINCT user_id) FILTER (known)
FROM asked
"""

_LED_TO = """
WITH led AS (
    SELECT query_id, bool_or(action IN ('cart', 'order')) AS carted, bool_or(action = 'order') AS ordered
    FROM events WHERE query_id IS NOT NULL GROUP BY query_id
)
SELECT count(*), count(*) FILTER (carted), count(*) FILTER (ordered) FROM led SEMI JOIN requests USING (query_id)
"""

_KNOWN = "SELECT count(*) FILTER (catalog.item_id IS NOT NULL), count(*) FROM {table} LEFT JOIN catalog USING (item_id)"

_UNKNOWN_IDS = f"""
SELECT item_id FROM (SELECT item_id FROM impressions UNION ALL SELECT item_id FROM events)
ANTI JOIN catalog USING (item_id) WHERE item_id IS NOT NULL
GROUP BY item_id ORDER BY count(*) DESC, item_id LIMIT {SHOWN_IDS}
"""


def measure_joins(settings: Settings, refused: Mapping[str, int]) -> Joins:
    """Shares over the accepted days of ``settings.home``.

    Args:
        settings: sessions are built; the catalogue may be missing, then its shares are of nothing.
        refused: refused rows by reason, of the same days: events of a request that is not there are among them.
    """
    with open_engine(settings) as engine:
        _create_views(engine, settings)
        connection = engine.con

        def row(query: str) -> tuple[int, ...]:
            found: tuple[int, ...] = connection.execute(query).fetchone()
            return found

        requests, text, user, session, shown, located, again, known, users, users_known = row(_REQUESTS)
        clicked, carted, ordered = row(_LED_TO)
        by_action: dict[str, Ratio] = {action: Ratio(0, 0) for action in INTERACTIONS}
        for action, joined, whole in connection.execute(
            "SELECT action, count(query_id), count(*) FROM events GROUP BY action"
        ).fetchall():
            by_action[action] = Ratio(joined, whole)
        impressions = row("SELECT count(*) FROM impressions")[0]
        met = impressions + sum(ratio.part for ratio in by_action.values())
        whole = impressions + sum(ratio.whole for ratio in by_action.values()) + refused.get("unknown_request", 0)
        items = row("SELECT count(*) FROM catalog")[0]
        seen = row(
            "SELECT count(*) FROM catalog SEMI JOIN"
            " (SELECT item_id FROM impressions UNION ALL SELECT item_id FROM events) USING (item_id)"
        )[0]
        led_to = row(
            "SELECT count(*) FROM catalog SEMI JOIN"
            " (SELECT item_id FROM events WHERE query_id IS NOT NULL) USING (item_id)"
        )[0]
        nothing = (0, 0)
        shown_known = Ratio(*(row(_KNOWN.format(table="impressions")) if items else nothing))
        acted_known = Ratio(*(row(_KNOWN.format(table="events")) if items else nothing))
        unknown = tuple(str(item) for (item,) in connection.execute(_UNKNOWN_IDS).fetchall()) if items else ()
        ours = connection.execute(f"SELECT item_id FROM catalog ORDER BY item_id LIMIT {SHOWN_IDS}").fetchall()
        positions = row("SELECT count(position), count(*) FROM events WHERE action = 'click'")
    little = any(r.share is not None and r.share < LITTLE for r in (shown_known, acted_known))
    return Joins(
        requests=requests,
        with_text=Ratio(text, requests),
        with_user=Ratio(user, requests),
        with_session=Ratio(session, requests),
        with_impressions=Ratio(shown, requests),
        with_location=Ratio(located, requests),
        asked_before=Ratio(again, text),
        with_history=Ratio(known, requests),
        users_with_history=Ratio(users_known, users),
        events_with_request=Ratio(met, whole),
        attributed=by_action,
        positions=Ratio(*positions),
        impressions=impressions,
        shown_known=shown_known,
        acted_known=acted_known,
        items_met=Ratio(seen, items),
        items_in_graph=Ratio(led_to, items),
        funnel={"requests": requests, "shown": shown, "clicked": clicked, "carted": carted, "ordered": ordered},
        unknown_ids=unknown,
        catalog_ids=tuple(str(item) for (item,) in ours),
        ids_found_in=column_of_ids(settings, unknown) if little and unknown else "",
    )


def _create_views(engine: Any, settings: Settings) -> None:
    for name, schema in SESSION_TABLES.items():
        table = settings.paths.sessions / name
        view_days(engine, name, table, written_days(table), schema)
    if settings.paths.catalog.exists():
        view_item_ids(engine, "catalog", settings)
    else:
        engine.create_table("catalog", schema={"item_id": "string"})
