"""Which user agents no person has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from crawleruseragents import is_crawler

from infra.settings import BotSettings

OWN_AGENT = 0.9
"""Share of the requests with a user agent above which one is that of the shop's own server, whatever its version."""
OF_ALL = 0.5
"""And share of all requests: a log may name the agent of bots alone."""
EXAMPLE = 80
"""Characters of an agent that a sentence has."""


def agents_of_bots(counts: Mapping[str, int], requests: int, rules: BotSettings) -> tuple[list[str], list[str]]:
    """The user agents that no person has, and why others that look so were spared.

    Args:
        counts: User agent -> rows of queries that have it.
        requests: Rows of queries, with an agent or without.
        rules: ``settings.raw.bots``.

    Returns:
        Agents in order, and sentences.
    """
    suspects = {agent: n for agent, n in counts.items() if says_bot(agent, rules)}
    with_agent, spared = sum(counts.values()), []

    def too_many(rows: int) -> bool:
        return rows > OWN_AGENT * with_agent and rows > OF_ALL * requests

    kinds: Counter[str] = Counter()
    for agent, n in suspects.items():
        kinds[_kind(agent)] += n
    for kind, n in kinds.items():
        if too_many(n):
            suspects = {agent: rows for agent, rows in suspects.items() if _kind(agent) != kind}
            spared.append(
                f"{n / with_agent:.0%} of the user agents are {kind[:EXAMPLE]}: taken for the shop's own server, nobody"
                " is left out for it"
            )
    if too_many(n := sum(suspects.values())):
        spared.append(
            f"{n / with_agent:.0%} of the user agents say bot, such as {min(suspects)[:EXAMPLE]}: taken for the shop's"
            " own servers, nobody is left out for it"
        )
        suspects = {}
    return sorted(suspects), spared


def says_bot(agent: str, rules: BotSettings) -> bool:
    """Whether a user agent is that of a program that asks for itself."""
    return _says_bot(agent, rules.known_agents, tuple(rules.agent_words), tuple(rules.agents_of_people))


@lru_cache(maxsize=100_000)  # the list takes 0.1 ms, and each day has much the same agents
def _says_bot(agent: str, known: bool, words: Sequence[str], people: Sequence[str]) -> bool:
    rest = re.sub("|".join(map(re.escape, people)), "", agent, flags=re.IGNORECASE) if people else agent
    lowered = rest.lower()
    return any(word in lowered for word in words) or (known and is_crawler(rest))


def _kind(agent: str) -> str:
    """An agent without its versions."""
    return re.sub(r"[\d.]+", "#", agent)
