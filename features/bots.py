"""Clients that no person can be, told by what they call themselves and by what they do on a landing day."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from features.user_agents import EXAMPLE, agents_of_bots
from infra.settings import BotSettings

SHOP = 0.5
"""Share of a day's requests above which a client is an id that the log gives to everybody, and above which a rule would
hit the shop as a whole; likewise the share of all clients, for words in ids."""
CLICKED = 0.5
"""Share of what was shown to everybody else above which clicks tell nobody: the log lists little else."""
NAMED = 8
"""Clients that a report names."""
NOBODY = "(no id)"


@dataclass(frozen=True)
class Bot:
    """A client whose rows are left out, and what told it."""

    client: str
    requests: int
    """Rows of queries."""
    rows: int
    """Of queries and events."""
    why: str


@dataclass(frozen=True)
class Bots:
    """The bots of a day."""

    clients: int
    named: Sequence[Bot]
    """Those with the most rows."""
    spared: Sequence[str]
    """Whom a rule would have hit, and why it was not applied: a sentence each."""
    agents: int
    """Rows of queries with a user agent."""


def find_bots(engine: Any, rules: BotSettings) -> Bots:
    """Tell the bots of a day, and leave their rows in the tables ``bot_queries`` and ``bot_events`` (``row_id``).

    A client is who sent a row: its client id, else its user id. A user agent takes the requests that have it, and all
    rows of a client that has no other; a word in an id takes the rows with that id; requests a day and the share of
    clicked items take all rows of the client.

    Args:
        engine: Ibis DuckDB backend with ``judged_ubi_queries`` (``screen_requests``), ``opened_ubi_events``
            (``open_baskets``) and ``typed_ahead``.
        rules: ``settings.raw.bots``.
    """
    spared: list[str] = []
    counts = dict(_rows(engine, _AGENTS))
    agents: list[str] = []
    if rules.known_agents or rules.agent_words:
        ((requests,),) = _rows(engine, "SELECT count(*) FROM judged_ubi_queries WHERE NOT action_line")
        agents, spared = agents_of_bots(counts, requests, rules)
    words = _id_pattern(engine, rules, spared)
    engine.con.register("bot_agents", pa.table({"agent": pa.array(agents, pa.string())}))
    _execute(engine, _ASKED, words=words, example=EXAMPLE)
    _execute(engine, _CLIENTS)
    if rules.requests_per_day:
        _by_requests(engine, rules.requests_per_day, spared)
    if rules.clicked_share:
        _by_clicks(engine, rules.clicked_share, rules.least_shown, spared)
    _execute(engine, _BOT_QUERIES)
    _execute(engine, _BOT_EVENTS, words=words)
    engine.con.unregister("bot_agents")
    named = [Bot(*row) for row in _rows(engine, _NAMED, nobody=NOBODY)]
    return Bots(len(named), tuple(named[:NAMED]), tuple(dict.fromkeys(spared)), sum(counts.values()))


def largest(bots: Iterable[Bot]) -> tuple[Bot, ...]:
    """The clients of several days that have the most rows, each once, with what told it on its busiest day."""
    of_client: dict[tuple[str, str], list[Bot]] = {}
    for bot in bots:
        of_client.setdefault((bot.client, bot.why if bot.client == NOBODY else ""), []).append(bot)
    summed = [
        replace(
            max(found, key=lambda bot: bot.rows),
            requests=sum(bot.requests for bot in found),
            rows=sum(bot.rows for bot in found),
        )
        for found in of_client.values()
    ]
    return tuple(sorted(summed, key=lambda bot: (-bot.rows, bot.client, bot.why))[:NAMED])


_AGENTS = "SELECT agent, count(*) FROM judged_ubi_queries WHERE agent IS NOT NULL AND NOT action_line GROUP BY agent"

_IDS = """
WITH ids AS (
    SELECT DISTINCT coalesce(client_id, logged_id) AS client FROM judged_ubi_queries
    UNION SELECT DISTINCT coalesce(client_id, user_id) FROM opened_ubi_events
)
SELECT count(*) FILTER (regexp_matches(lower(client), $words)), count(client), min(client) FILTER (
    regexp_matches(lower(client), $words)) FROM ids
"""

_ASKED = """
CREATE TABLE bot_asked AS
SELECT row_id, query_id, coalesce(client_id, logged_id) AS client, time,
    leads AND query_id NOT IN (SELECT query_id FROM typed_ahead) AS counts,
    CASE WHEN regexp_matches(lower(client_id), $words) OR regexp_matches(lower(logged_id), $words) THEN 'its id'
        WHEN agent IN (SELECT agent FROM bot_agents) THEN 'its user agent: ' || left(agent, $example) END AS why,
    agent IS NULL OR agent IN (SELECT agent FROM bot_agents) AS no_other_agent, agent
FROM judged_ubi_queries WHERE NOT action_line
"""

_CLIENTS = """
CREATE TABLE bot_clients AS
SELECT client, min(why) AS why FROM bot_asked WHERE client IS NOT NULL GROUP BY client
HAVING bool_and(no_other_agent) AND count(agent) > 0
"""

_PERSONS = """
SELECT client, row_id, query_id, time FROM bot_asked
WHERE counts AND why IS NULL AND (client IS NULL OR client NOT IN (SELECT client FROM bot_clients))
"""

_BY_REQUESTS = f"""
WITH days AS (SELECT client, time::DATE AS day, count(*) AS n FROM ({_PERSONS}) GROUP BY ALL)
SELECT client, max(n), sum(n)::BIGINT, (SELECT sum(n) FROM days)::BIGINT FROM days GROUP BY client
HAVING max(n) >= $least AND client IS NOT NULL ORDER BY client
"""

_MANY_CLICKS = f"""
SELECT count(*) FROM (
    SELECT client FROM ({_PERSONS}) JOIN (
        SELECT DISTINCT query_id, item_id FROM opened_ubi_events WHERE kind = 'click') USING (query_id)
    GROUP BY client HAVING count(*) >= $clicks
)
"""

_BY_CLICKS = f"""
WITH done AS (
    SELECT query_id, count(DISTINCT item_id) FILTER (kind = 'impression') AS logged,
        count(DISTINCT item_id) FILTER (kind = 'click') AS clicked
    FROM opened_ubi_events WHERE kind IN ('impression', 'click') AND query_id IS NOT NULL GROUP BY query_id
), listed AS (
    SELECT query_id, sum(n) AS hits FROM (
        SELECT DISTINCT query_id, hits, len(hits) AS n FROM judged_ubi_queries WHERE reason IS NULL) GROUP BY query_id
), seen AS (
    SELECT client, count(*) AS requests, sum(shown)::BIGINT AS shown, sum(least(clicked, shown))::BIGINT AS clicked
    FROM (
        SELECT client, coalesce(clicked, 0) AS clicked,
            CASE WHEN logged > 0 THEN logged ELSE coalesce(hits, 0) END AS shown
        FROM ({_PERSONS}) LEFT JOIN done USING (query_id) LEFT JOIN listed USING (query_id)
    ) GROUP BY client
), told AS (SELECT *, shown >= $least AND clicked >= $share * shown AS eager FROM seen)
SELECT client, clicked, shown, requests, (SELECT sum(requests) FROM seen)::BIGINT,
    (SELECT sum(clicked) / nullif(sum(shown), 0) FROM told WHERE NOT coalesce(eager AND client IS NOT NULL, false))
FROM told WHERE eager AND client IS NOT NULL ORDER BY client
"""

_BOT_QUERIES = """
CREATE TABLE bot_queries AS
SELECT row_id, client, coalesce(a.why, c.why) AS why
FROM bot_asked AS a LEFT JOIN bot_clients AS c USING (client) WHERE a.why IS NOT NULL OR c.why IS NOT NULL
"""

_BOT_EVENTS = """
CREATE TABLE bot_events AS
WITH sent AS (
    SELECT DISTINCT row_id, coalesce(client_id, user_id) AS client,
        CASE WHEN regexp_matches(lower(client_id), $words) OR regexp_matches(lower(user_id), $words) THEN 'its id' END
            AS why
    FROM opened_ubi_events WHERE NOT action_line
)
SELECT row_id, client, coalesce(s.why, c.why) AS why
FROM sent AS s LEFT JOIN bot_clients AS c USING (client) WHERE s.why IS NOT NULL OR c.why IS NOT NULL
"""

_NAMED = """
SELECT coalesce(client, $nobody), count(*) FILTER (asked)::BIGINT, count(*), min(why) FROM (
    SELECT client, why, true AS asked FROM bot_queries WHERE row_id >= 0 -- rebuilt requests are no rows
    UNION ALL SELECT client, why, false FROM bot_events
) GROUP BY client, CASE WHEN client IS NULL THEN why END ORDER BY count(*) DESC, 1, 4
"""


def _id_pattern(engine: Any, rules: BotSettings, spared: list[str]) -> str | None:
    """A regular expression for the ids (in lower case) that say bot; None where none does, or most do."""
    if not rules.id_words:
        return None
    words = "|".join(map(re.escape, rules.id_words))
    pattern = rf"(^|[^a-z])({words})([^a-z]|$)"
    ((told, clients, example),) = _rows(engine, _IDS, words=pattern)
    if told > SHOP * clients:
        spared.append(
            f"{told:,} of {clients:,} clients have an id such as {example}: that is how the shop names them, and"
            " nobody is left out for a word in the id (raw.bots.id_words)"
        )
        return None
    return pattern


def _by_requests(engine: Any, least: int, spared: list[str]) -> None:
    found = _rows(engine, _BY_REQUESTS, least=least)
    busy = []
    for client, most, requests, of_all in found:
        if requests > SHOP * of_all:
            spared.append(_one_id_for_all(client, requests / of_all))
        elif client is not None:
            busy.append((client, f"{most:,} requests on one day", requests, of_all))
    made = sum(requests for _, _, requests, _ in busy)
    if busy and made > SHOP * busy[0][3]:
        spared.append(
            f"{len(busy)} clients with at least {least:,} requests a day make {made / busy[0][3]:.0%} of all: they"
            " are left in. Raise raw.bots.requests_per_day to what no person of this shop makes"
        )
        return
    _add(engine, [(client, why) for client, why, _, _ in busy])


def _by_clicks(engine: Any, share: float, least: int, spared: list[str]) -> None:
    ((many,),) = _rows(engine, _MANY_CLICKS, clicks=share * least)
    if not many:
        return
    eager = []
    for client, clicked, shown, requests, of_all, others in _rows(engine, _BY_CLICKS, share=share, least=least):
        if requests > SHOP * of_all:
            spared.append(_one_id_for_all(client, requests / of_all))
        elif others is not None and others > CLICKED:
            spared.append(
                f"{others:.0%} of all that was shown was clicked: the log lists little else, and nobody is left out for"
                " clicking everything (raw.bots.clicked_share)"
            )
            return
        else:
            why = f"{clicked / shown:.0%} of the {shown:,} items that it was shown were clicked"
            eager.append((client, why, requests / of_all))
    if sum(part for _, _, part in eager) > SHOP:
        spared.append(
            f"{len(eager)} clients who clicked at least {share:.0%} of what they saw make most requests: they"
            " are left in"
        )
        return
    _add(engine, [(client, why) for client, why, _ in eager])


def _one_id_for_all(client: str | None, share: float) -> str:
    return (
        f"{client} makes {share:.0%} of the requests, as an id does that a log gives to everybody: they are used. If"
        " it is that, log a client id of each browser, or name it in raw.guest_ids"
    )


def _add(engine: Any, bots: Sequence[tuple[str, str]]) -> None:
    if bots:
        engine.con.executemany("INSERT INTO bot_clients VALUES (?, ?)", bots)


def _execute(engine: Any, query: str, **values: Any) -> None:
    engine.con.execute(query, values) if values else engine.con.execute(query)


def _rows(engine: Any, query: str, **values: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = engine.con.execute(query, values or None).fetchall()
    return found
