"""Clients that behave as no person does, from the session tables."""

from __future__ import annotations

from features.engine import open_engine, read_days
from features.readiness.raw_look import ID_WORDS, SHOWN
from features.readiness.report import Bot
from infra.contract.partitions import written_days
from infra.contract.tables import SESSION_TABLES
from infra.settings import Settings

MANY_A_DAY = 1_000
"""Requests of a client on one day that no person makes."""
EVERYTHING = 0.9
"""Share of what was shown that a client clicked."""
LEAST_SHOWN = 100
"""Impressions from which that share says something."""

_SUSPECTS = """
WITH busy AS (
    SELECT user_id, max(n) AS most, sum(n) AS requests FROM (
        SELECT user_id, time::DATE AS day, count(*) AS n FROM requests WHERE user_id IS NOT NULL GROUP BY ALL
    ) GROUP BY user_id
), seen AS (
    SELECT user_id, count(*) AS shown FROM impressions WHERE user_id IS NOT NULL GROUP BY user_id
    HAVING count(*) >= $shown
), chosen AS (
    SELECT user_id, count(*) AS clicked
    FROM (SELECT DISTINCT user_id, query_id, item_id FROM events WHERE query_id IS NOT NULL) GROUP BY user_id
)
SELECT user_id, requests, CASE
    WHEN regexp_matches(lower(user_id), $words) THEN 'its id'
    WHEN most >= $many THEN format('{:,} requests on one day', most)
    ELSE format('{:.0f}% of the {:,} items that it was shown were clicked', 100 * least(1, clicked / shown), shown) END
FROM busy LEFT JOIN seen USING (user_id) LEFT JOIN chosen USING (user_id)
WHERE regexp_matches(lower(user_id), $words) OR most >= $many OR clicked >= $share * shown
ORDER BY requests DESC, user_id LIMIT $limit
"""


def suspected_bots(settings: Settings) -> list[Bot]:
    """The busiest clients (or users) whose id says bot, that ask thousands of times a day, or click all they see."""
    with open_engine(settings) as engine:
        for name, schema in SESSION_TABLES.items():
            table = settings.paths.sessions / name
            engine.create_view(name, read_days(engine, table, written_days(table), schema))
        rows = engine.con.execute(
            _SUSPECTS,
            {"words": ID_WORDS, "many": MANY_A_DAY, "share": EVERYTHING, "shown": LEAST_SHOWN, "limit": SHOWN},
        ).fetchall()
    return [Bot(str(client), int(requests), str(why)) for client, requests, why in rows]
