"""Settings of reading raw logs, and what the actions of a log mean."""

from __future__ import annotations

import codecs
import re
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field, field_validator

from infra.contract.ubi import NO_VALUES
from infra.settings.base import Count, Duration, Group, Share
from infra.settings.bots import BotSettings

Meaning = Literal["impression", "click", "cart", "order", "ignore"]
CatalogField = Literal[
    "title", "description", "category_path", "brand", "price", "rating", "rating_count", "tags", "available_from"
]
ACTIONS: dict[str, Meaning] = {
    "impression": "impression",
    "view": "impression",
    "click": "click",
    "item_click": "click",
    "product_click": "click",
    "add_to_cart": "cart",
    "cart": "cart",
    "purchase": "order",
    "order": "order",
    "buy": "order",
    "search": "ignore",
    "on_search": "ignore",
    "product_hover": "ignore",
    "item_hover": "ignore",
    "page_exit": "ignore",
    "page_view": "ignore",
    "login": "ignore",
    "logout": "ignore",
    "scroll": "ignore",
    "type_filter": "ignore",
    "brand_filter": "ignore",
    "filter": "ignore",
    "sort": "ignore",
    "product_sort": "ignore",
    "remove_from_cart": "ignore",
}


GUEST_IDS = ("0", "-1", "null", "none", "undefined", "nan", "nil", "guest", "anonymous", "anon", "unknown", "n/a", "-",
             "00000000-0000-0000-0000-000000000000")  # fmt: skip


def action_key(name: str) -> str:
    """How action names are compared: ``Add-to Cart`` and ``add_to_cart`` are one. DuckDB's ``\\s`` is ASCII's."""
    return re.sub(r"[ \t\n\f\r_-]", "", _lower(name))


def _lower(text: str) -> str:
    """Lower case as DuckDB has it: letter by letter, for ``str.lower`` of a word ends it in another sigma."""
    return "".join(letter.lower()[0] for letter in text)


@lru_cache(maxsize=16)
def _by_key(actions: tuple[tuple[str, Meaning], ...]) -> dict[str, Meaning]:
    return {action_key(name): meaning for name, meaning in actions}


class RawSettings(Group):
    """Reading UBI logs: what an action means, and when a day is held."""

    actions: dict[str, Meaning] = ACTIONS
    """UBI action name -> what it is. Names are compared without case, blanks, hyphens and underscores. What you set
    comes on top of ``ACTIONS``; rows of an action that is not listed are left out, counted and named."""
    attribution_window: Duration = timedelta(hours=2)
    """An order or cart belongs to the user's last request that showed the item, at most this long before it."""
    late_window: Duration = timedelta(days=7)
    """A row older than its landing day by more than this goes to quarantine; a younger one counts from its arrival."""
    ahead_window: Duration = timedelta(days=1)
    """A row that claims to be later than the end of its landing day by more than this goes to quarantine."""
    max_bad_share: Share = 0.05
    """A day with a larger share of quarantined rows is held: its last accepted version, if any, stays in use."""
    max_bad_action_share: Share = 0.5
    """A day is held as well where a larger share of one action's rows (impressions, clicks, carts or orders) is
    quarantined, however few they are; never stricter than ``max_bad_share``."""
    min_action_rows: Count = 2
    """Rows of an action from which ``max_bad_action_share`` judges it: one bad row alone holds no day."""
    typing_window: Duration = Field(timedelta(seconds=3), ge=timedelta(0))
    """Search as you type: of a client's requests that follow one another within this, each text the start of the other,
    the last one counts, and those that led to a click, cart or order. 0: all count."""
    guest_ids: tuple[str, ...] = GUEST_IDS
    """User and client ids (any case) that many people share: they name nobody."""
    item_id: str | None = None
    """Column of the catalogue whose ids the log names. None: the first of the usual names that every row has."""
    columns: dict[CatalogField, str] = Field(default_factory=dict)
    """Field of the catalogue -> the column that it is read from, whatever that is called: ``{"title": "prod_nm"}``.
    Fields that are not named are read by the usual names, as is what a row lacks in the column named."""
    encoding: str | None = None
    """Encoding of text files without a byte-order mark, such as ``cp1251``. None: UTF-8, and for a file that is not
    UTF-8 the one that charset-normalizer finds likeliest, which the reports name."""

    bots: BotSettings = BotSettings()

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            b"a".decode(value)
            return codecs.lookup(value).name
        except LookupError as error:
            raise ValueError(f"{value!r} is no text encoding that Python knows, such as utf-8 or cp1251") from error

    @field_validator("actions", mode="before")
    @classmethod
    def _on_top_of_the_known_ones(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        given = {_lower(str(name).strip()): meaning for name, meaning in value.items()}
        spelt = {action_key(name) for name in given}
        return {name: meaning for name, meaning in ACTIONS.items() if action_key(name) not in spelt} | given

    @field_validator("guest_ids")
    @classmethod
    def _in_lower_case(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(text.strip().lower() for text in value)

    def meaning(self, action: str) -> Meaning | None:
        """What an action of the log means; None where ``actions`` does not say."""
        return _by_key(tuple(self.actions.items())).get(action_key(action))

    def person(self, user_id: str | None, client_id: str | None) -> str | None:
        """Whose history a row or a request belongs to: the user's, else the client's; None where both are absent or ids
        that name nobody. The nightly run reads the logs alike."""
        return next((text for text in map(self._named, (user_id, client_id)) if text), None)

    def _named(self, text: str | None) -> str | None:
        trimmed = (text or "").strip()
        return None if trimmed.lower() in (*NO_VALUES, *self.guest_ids) else trimmed
