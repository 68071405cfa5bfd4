"""What to do about a broken rule: one thing each."""

from __future__ import annotations

from datetime import date

NEW_LEVEL = "land the day again if it is not whole; if it is right, set SHELFWISE_CHECKS__HISTORY_FROM={day}"
LABELS = "log clicks and orders with the query id of their search, or bring more days"
UNCLICKED = "log all items that were shown, or lower SHELFWISE_CHECKS__MIN_UNCLICKED_SHARE"
LESS_KNOWN = "lower SHELFWISE_CHECKS__MIN_KNOWN_ITEM_SHARE"
REMEDIES = {
    "requests": NEW_LEVEL,
    "impressions_per_request": NEW_LEVEL,
    "clicks_per_request": NEW_LEVEL,
    "carts_per_request": NEW_LEVEL,
    "orders_per_request": NEW_LEVEL,
    "anonymous_share": "log a user or client id as before, or raise SHELFWISE_CHECKS__MAX_SHARE_RISE",
    "unknown_shown_share": "set SHELFWISE_CHECKS__HISTORY_FROM={day}",
    "unknown_acted_share": "set SHELFWISE_CHECKS__HISTORY_FROM={day}",
    "known_share": LESS_KNOWN,
    "unknown_item_share": f"name items by the catalogue's ids, or {LESS_KNOWN}",
    "negative_share": "mend these prices or ratings, or raise SHELFWISE_CHECKS__MAX_ODD_ITEM_SHARE",
    "bare_share": "bring titles, categories or prices for them, or raise SHELFWISE_CHECKS__MAX_ODD_ITEM_SHARE",
    "train_labelled": LABELS,
    "validation_labelled": LABELS,
    "train_unclicked_share": UNCLICKED,
    "validation_unclicked_share": UNCLICKED,
}
"""Measure -> what to do where its rule is broken."""
NO_REQUESTS = "remove the day's folder if the shop was closed, or land it again"
TOO_ANONYMOUS = "log a user or client id, or raise SHELFWISE_CHECKS__MAX_ANONYMOUS_SHARE"
ANY_REMEDY = "land the day's files again: no setting makes tables right that contradict themselves"
OF_TABLES = "mend the files, or the bound under [checks] in shelfwise.toml"


def remedy(measure: str, day: date | None = None) -> str:
    """What to do where the rule on a measure is broken, of a day or of a table."""
    other = ANY_REMEDY if day else OF_TABLES
    return REMEDIES.get(measure, other).format(day=day)
