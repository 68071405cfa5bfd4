"""Settings of which clients no person can be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from infra.settings.base import Count, Group, Share


class BotSettings(Group):
    """Clients that no person can be: what they do on a day is left out of it, counted and named. No rule is applied
    where it would hit the shop as a whole: an agent that over 90% carry is that of the shop's own server, a client with
    over half of the requests an id that the log gives to everybody; the reports say so."""

    known_agents: bool = True
    """Leave out requests whose user agent is on the list of the package crawler-user-agents."""
    agent_words: tuple[str, ...] = (
        "bot", "crawl", "spider", "slurp", "monitor", "pingdom", "uptime", "headless", "scrapy", "curl/", "wget",
        "python-requests",
    )  # fmt: skip
    """Leave out requests whose user agent has one of these (any case). Empty, and ``known_agents`` false: user agents
    are not looked at."""
    agents_of_people: tuple[str, ...] = (
        "cubot", "okhttp", "axios", "node-fetch", "undici", "got (", "sindresorhus/got", "go-http-client",
        "apache-httpclient", "ahc/", "jetty", "guzzlehttp", "aiohttp", "httpx", "amazon cloudfront", "wordpress/",
        "whatsapp", "viber",
    )  # fmt: skip
    """Taken out of a user agent before it is judged: a maker of telephones, and programs that ask for people, in apps
    and in shops' servers."""
    id_words: tuple[str, ...] = (
        "bot", "crawler", "spider", "monitor", "healthcheck", "googlebot", "bingbot", "yandexbot",
    )  # fmt: skip
    """Leave out rows whose client or user id has one of these as a word of its own (any case). Empty: never."""
    requests_per_day: Annotated[int, Field(ge=0)] = 1_000
    """Leave out a client with at least so many requests on a day. 0: never."""
    clicked_share: Share = 0.9
    """Leave out a client that clicked at least this share of the items that its requests of a day showed. 0: never."""
    least_shown: Count = 100
    """Items shown to a client on a day from which ``clicked_share`` judges it."""

    @field_validator("agent_words", "agents_of_people", "id_words")
    @classmethod
    def _in_lower_case(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """In lower case, without empty words, which every text would have."""
        return tuple(word for word in (text.strip().lower() for text in value) if word)
