"""A second look at the raw rows of few days: user agents, and an example of what was ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from features.engine import open_engine, read_days
from features.landing import day_files
from features.log_documents import load_log
from features.readiness.report import Bot
from features.rebuilt_requests import rebuild_requests
from features.screening import HARMLESS, DayWindow, open_baskets, screen_events, screen_requests
from features.ubi import read_events, read_queries
from infra.contract.partitions import written_days
from infra.contract.tables import SESSION_TABLES
from infra.settings import Settings

AGENT_WORDS = r"bot|crawl|spider|slurp|monitor|pingdom|uptime|headless|scrapy|curl/|wget|python-requests"
NO_BOT = "cubot"
"""A maker of telephones, whose name user agents carry."""
ID_WORDS = r"(^|[^a-z])(google|bing|yandex)?(bot|crawler|spider|monitor|healthcheck)([^a-z]|$)"
SHOWN = 8

_AGENTS = """
SELECT coalesce(client_id, user_id, '(nobody)') AS client, count(*), any_value(agent)
FROM raw_ubi_queries WHERE NOT action_line AND regexp_matches(replace(lower(agent), ?, ''), ?)
GROUP BY ALL ORDER BY count(*) DESC, client LIMIT ?
"""
_EXAMPLES = """
SELECT reason, left(arg_min(raw, row_id), 300) FROM (
    SELECT reason, row_id, raw FROM screened_ubi_queries JOIN documents_ubi_queries USING (row_id)
    UNION ALL SELECT reason, row_id, raw FROM screened_ubi_events JOIN documents_ubi_events USING (row_id)
) WHERE list_contains(?, reason) GROUP BY reason
"""


@dataclass(frozen=True)
class Look:
    """What the raw rows of a day say."""

    agents: int
    """Queries with a user agent."""
    bots: tuple[Bot, ...]
    examples: Mapping[str, str]
    """Reason -> a row that was ignored for it; only where they were asked for."""


def look_at(settings: Settings, day: date, *, examples: bool) -> Look:
    """Read the raw rows of a built day again."""
    with open_engine(settings) as engine:
        load_log(settings, engine, day_files(settings, day))
        queries = read_queries(engine, "documents_ubi_queries", "raw_ubi_queries", settings.raw.guest_ids)
        agents = int(engine.con.execute("SELECT count(agent) FROM raw_ubi_queries").fetchall()[0][0])
        bots = engine.con.execute(_AGENTS, [NO_BOT, AGENT_WORDS, SHOWN]).fetchall() if agents else []
        found = _examples(settings, engine, day, queries) if examples else {}
    return Look(agents, tuple(Bot(client, n, f"its user agent: {agent[:80]}") for client, n, agent in bots), found)


def _examples(settings: Settings, engine: Any, day: date, queries: Any) -> dict[str, str]:
    window = DayWindow.of(day, settings.raw)
    table = settings.paths.sessions
    days = [d for d in written_days(table / "requests") if d < day]
    before = {name: read_days(engine, table / name, days, schema) for name, schema in SESSION_TABLES.items()}
    events = read_events(engine, "documents_ubi_events", "raw_ubi_events", settings.raw.guest_ids)
    rebuild_requests(engine, before, window, settings.raw.actions)
    requests = engine.create_table("screened_ubi_queries", screen_requests(queries, before["requests"], window))
    asked = requests.filter(requests.leads).select("query_id", "user_id")
    asked = asked.union(before["requests"].select("query_id", "user_id"))
    opened = open_baskets(events, settings.raw.actions)
    engine.create_table("screened_ubi_events", screen_events(opened, asked, before["events"], window))
    return dict(engine.con.execute(_EXAMPLES, [list(HARMLESS)]).fetchall())
