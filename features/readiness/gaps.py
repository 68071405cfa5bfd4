"""What is missing, what that costs and how to close it, the most important first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from features.catalog import CatalogReport
from features.catalog_aliases import ALIASES
from features.readiness.parts import FEW_REQUESTS
from features.readiness.report import DayLine, Gap, Joins, Learning, Ratio, Rows, counted, sentence
from infra.settings import Settings

FEW_DAYS = 14
NOTABLE = 0.02
"""A share of rows or items from which its loss is worth a word."""


def _minus(ratio: Ratio) -> Ratio:
    """The part that is not of the ratio."""
    return Ratio(ratio.whole - ratio.part, ratio.whole)


def _lacks(ratio: Ratio, most: float) -> bool:
    """Whether more than ``most`` of a whole that is there is missing."""
    return bool(ratio.whole) and ratio.part < (1 - most) * ratio.whole


def log_gaps(settings: Settings, joins: Joins, learning: Learning | None) -> Iterator[Gap]:
    """Gaps of what meets what."""
    yield from _identity_gaps(joins)
    yield from _item_gaps(joins)
    yield from _event_gaps(settings, joins)
    if learning:
        yield from _size_gaps(learning)


def no_log_gap(why: str) -> Gap:
    """Of a catalogue without logs."""
    return Gap(
        100,
        why,
        "A run serves the catalogue alone, by a pretrained text encoder and BM25: the same for everybody, and nothing"
        " is learned.",
        "Put days of logs beside the catalogue; `shelfwise serve --log` writes one of what is searched and chosen.",
    )


def _item_gaps(joins: Joins) -> Iterator[Gap]:
    for ratio, what in ((joins.shown_known, "impressions"), (joins.acted_known, "clicks, carts and orders")):
        if _lacks(ratio, NOTABLE):
            unknown = _minus(ratio)
            other = joins.ids_found_in
            column = f"The catalogue's column {other} has the log's ids: set SHELFWISE_RAW__ITEM_ID={other}"
            sides = (
                f"The log has {', '.join(joins.unknown_ids)}, the catalogue {', '.join(joins.catalog_ids)}:"
                " name items alike, or bring a catalogue that still has the delisted ones"
            )
            yield Gap(
                60 + 35 * (unknown.share or 0),
                f"{unknown.told} {what} are of items that the catalogue does not have",
                "Their rows are left out of training, and a request that led to none but these is no example.",
                f"{column if other else sides}.",
            )
            return


def _event_gaps(settings: Settings, joins: Joins) -> Iterator[Gap]:
    if _lacks(joins.with_impressions, 0.1):
        lacking = _minus(joins.with_impressions)
        yield Gap(
            50 + 35 * (lacking.share or 0),
            f"{lacking.told} requests do not say what they showed",
            "Nothing tells what was seen and passed over: the objectives over unclicked items go without them, click"
            " rates have no base, and orders elsewhere in the session cannot be attributed.",
            "Log query_response_hit_ids with each query, or an impression event for each item shown.",
        )
    if _lacks(joins.events_with_request, NOTABLE):
        lost = _minus(joins.events_with_request)
        yield Gap(
            35 + 40 * (lost.share or 0),
            f"{lost.told} impressions, clicks, carts and orders meet no request",
            "They say what people like, and nothing of what they searched for: no objective learns from them.",
            "Send the query_id of the search with each event, and land the day of the search as well.",
        )
    orders = joins.attributed["order"]
    if not any(ratio.whole for ratio in joins.attributed.values()):
        yield Gap(
            95,
            "There are no clicks, carts or orders",
            "Nothing says what a query led to: there is nothing to learn from, and nothing to judge by.",
            "Land ubi_events beside ubi_queries; say under [raw.actions] what the shop's own action names mean.",
        )
    elif not orders.whole:
        yield Gap(
            45,
            "There are no orders",
            "Clicks alone choose the epoch and judge a release; ordered over unclicked and the quality prior are off.",
            "Log purchases with the ids of the items bought and a user, client or session id; if the log has them, say"
            " under [raw.actions] by which name.",
        )
    elif _lacks(orders, 0.2):
        hours = settings.raw.attribution_window / timedelta(hours=1)
        yield Gap(
            30 + 40 * (_minus(orders).share or 0),
            f"{_minus(orders).told} orders belong to no request",
            "Each is an order that no query gets credit for; they stay in the histories of users.",
            "Log the same user, client or session id with searches and orders; an order counts within"
            f" {hours:g} hours of the search that showed the item (raw.attribution_window).",
        )
    if _lacks(joins.positions, 0.2):
        yield Gap(
            15,
            f"{_minus(joins.positions).told} clicks are on items whose place in the list is not known",
            "What was looked at and passed over cannot be told from what was never reached.",
            "Log position.ordinal with events, or the hits of a query in the order shown.",
        )
    if _lacks(joins.with_text, 0.05):
        yield Gap(
            22,
            f"{_minus(joins.with_text).told} requests have no text",
            "Browsing without a query is no example for search; it stays in the histories.",
            "Nothing, if they are category pages; else log user_query.",
        )


def _identity_gaps(joins: Joins) -> Iterator[Gap]:
    if _lacks(joins.with_user, 0.3):
        yield Gap(
            40 + 20 * (_minus(joins.with_user).share or 0),
            f"{_minus(joins.with_user).told} requests are of nobody: neither a user nor a client id",
            "They are answered and trained without personalization, and their orders are harder to attribute.",
            "Log client_id, a first-party cookie that lasts, with every query and event.",
        )
    elif joins.requests and (joins.with_history.share or 0) < 0.2:
        yield Gap(
            28,
            f"{joins.with_history.told} requests are of somebody who clicked or ordered before",
            "Histories are what personalization reads: little of it can be learned, or shown, yet.",
            "Bring more days, and make sure that client ids outlive a session.",
        )
    if _lacks(joins.with_session, 0.5):
        yield Gap(
            8,
            f"{_minus(joins.with_session).told} requests have no session id",
            "Carts and orders are attributed by user or client within the window of time alone.",
            "Log session_id where the shop has one.",
        )


def _size_gaps(learning: Learning) -> Iterator[Gap]:
    judged = learning.ordered["validation"] or learning.clicked["validation"]
    what = "an order" if learning.ordered["validation"] else "a click"
    if judged < FEW_REQUESTS:
        yield Gap(
            25,
            f"Only {counted(judged, 'request')} of the validation days led to {what}",
            f"Figures over so few are coarse: the gates let recall drop by {1 / max(1, judged) ** 0.5:.0%} before they"
            " block, and small gains cannot be told from noise.",
            "Bring more days, or raise SHELFWISE_TRAINING__VALIDATION_DAYS.",
        )


FIELD_GAPS: tuple[tuple[str, float, str], ...] = (
    ("title", 55, "Queries share no words with such items: the text and term encoders have little to read."),
    ("description", 18, "Words that only descriptions have cannot be searched for; titles must say all."),
    ("category_path", 24, "No category tells a sofa from a sofa cover, and nothing can be filtered by it."),
    ("price", 22, "Taste for cheap or dear goods cannot be learned, and nothing can be filtered by price."),
    ("brand", 16, "Loyalty to a brand is seen only through titles, and there is no filter by brand."),
    ("attributes", 12, "Colour, size and material are seen only where titles say them."),
    ("rating", 6, "The quality prior has one feature less."),
)
"""Field -> weight where it is absent, and what that costs."""


_CALLED = {"category_path": "category", "attributes": "attributes such as colour or size"}


def catalog_gaps(catalog: CatalogReport) -> Iterator[Gap]:
    """Fields that the catalogue lacks, values that could not be read, rows that were refused."""
    for field, weight, cost in FIELD_GAPS:
        filled = Ratio(catalog.filled[field], catalog.items)
        if _lacks(filled, 0.2):
            names = list(dict.fromkeys([*(name for name in ALIASES[field] if name == field), *ALIASES[field]]))[:4]
            name = _CALLED.get(field, field)
            one = name if field == "attributes" else f"a {name}"
            what = f"{_minus(filled).told} items have no {name}" if filled.part else f"No item has {one}"
            column = f"Name the column {', '.join(names[:-1])} or {names[-1]}" if not filled.part else "Fill the column"
            told = "" if filled.part or field == "attributes" else f", or say which it is by raw.columns ({field})"
            yield Gap(weight * (_minus(filled).share or 0), what, cost, f"{column}{told}, if the shop has it.")
    for field, n in catalog.unreadable.items():
        share = n / max(1, catalog.items)
        yield Gap(
            10 + 30 * share,
            f"{counted(n, 'value')} of {field} could not be read",
            f"Those items count as without {field}.",
            f"See the column {catalog.columns.get(field, field)} of the catalogue, and write one form throughout.",
        )
    refused = sum(catalog.reasons.values())
    if refused:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in catalog.reasons.items())
        yield Gap(
            10 + 100 * refused / max(1, catalog.rows_in),
            f"{counted(refused, 'row')} of the catalogue refused ({reasons})",
            "These items cannot be found.",
            "Mend these rows: each item once, with an id.",
        )


def day_gaps(days: Sequence[DayLine], misnamed: Mapping[str, str]) -> Iterator[Gap]:
    """Days that are missing, left out or misnamed, and logs that are short."""
    for name, why in misnamed.items():
        yield Gap(
            46, f"{name} {why.split(':')[0]}", "Nothing of it is read.", f"{sentence(why.split(': ')[-1].rstrip('.'))}."
        )
    for line in days:
        if line.state == "left out":
            yield Gap(38, f"{line.day} is passed over", "Nothing of it is used.", f"{sentence(line.why.rstrip('.'))}.")
    unusual = [line for line in days if line.state == "read" and line.why]
    if unusual and unusual[-1] == days[-1] and days[-1].why.startswith("Requests: "):
        last = unusual.pop()
        yield Gap(
            72,
            f"The last day, {last.day}, is not like those before, and it judges what they taught",
            f"{last.why}.",
            "If it is not whole, leave it out: take its folder away, or import with --until the day before.",
        )
    if unusual:
        named = ", ".join(str(line.day) for line in unusual[:3]) + (", ..." if len(unusual) > 3 else "")
        yield Gap(
            18,
            f"Something is unusual about {counted(len(unusual), 'day')}: {named}",
            " ".join(f"{line.day}: {line.why}." for line in unusual[:3]),
            "Land a day again that is not whole. A first run takes them as they are; from then on days are held that"
            " differ as much from the days before.",
        )
    used = [line.day for line in days if line.state in ("read", "not read")]
    gone = missing_days(used)
    if gone:
        named = ", ".join(str(day) for day in gone[:3]) + (f" and {len(gone) - 3} more" if len(gone) > 3 else "")
        yield Gap(
            20 if len(gone) > 1 else 14,
            f"{counted(len(gone), 'day')} between the first and the last not there, or not used: {named}",
            "Histories and counts over seven and thirty days have a hole.",
            "Land them, unless the shop was closed.",
        )
    if 0 < len(used) < FEW_DAYS:
        yield Gap(
            30 if len(used) < FEW_DAYS // 2 else 16,
            f"There {'is' if len(used) == 1 else 'are'} {counted(len(used), 'day')} of logs",
            "Histories are short, the last day judges what the ones before taught, and no whole fortnight shows how"
            " weekends differ.",
            f"Begin with these, and bring at least {FEW_DAYS} days; each night adds one.",
        )


def missing_days(days: Sequence[date]) -> list[date]:
    """The days between the first and the last that are not among ``days``."""
    if not days:
        return []
    there, first = set(days), min(days)
    between = (first + timedelta(days=n) for n in range((max(days) - first).days))
    return [day for day in between if day not in there]


def row_gaps(rows: Rows) -> Iterator[Gap]:
    """Rows that were refused, and actions that nobody named."""
    refused = sum(reason.rows for reason in rows.refused)
    share = refused / max(1, refused + rows.clean)
    if refused:
        worst = max(rows.refused, key=lambda reason: reason.rows)
        yield Gap(
            min(70.0, 8 + 400 * share),
            f"{counted(refused, 'row')} of the logs refused ({share:.1%}), most for {worst.reason} ({worst.rows:,})",
            "They are kept in quarantine and teach nothing; more of them than raw.max_bad_share hold their day.",
            "See the examples under Rows, and mend what writes them.",
        )
    if rows.unknown_actions:
        named = ", ".join(f"{name or '(no name)'} {n:,}" for name, n in list(rows.unknown_actions.items())[:4])
        first = next(iter(rows.unknown_actions))
        yield Gap(
            32 if sum(rows.unknown_actions.values()) > NOTABLE * max(1, rows.rows_in) else 21,
            f"Actions that Shelfwise does not know: {named}",
            "Their rows are left out; a click, cart or order by another name is lost to every objective.",
            f'Say in shelfwise.toml, under [raw.actions], what each is, such as "{first}" = "ignore"'
            " (or impression, click, cart, order).",
        )


def other_gaps(spared: Sequence[str], unread: Mapping[str, Sequence[str]], guessed: bool) -> Iterator[Gap]:
    """Rules for bots that were not applied, files that are not read, encodings that were guessed."""
    if spared:
        yield Gap(
            21,
            "A rule for bots would hit most of the shop, so it was not applied",
            "If these are bots, what they ask and click is learned and judged like a person's.",
            f"{spared[0]}.",
        )
    names = [name for listed in unread.values() for name in listed]
    if names:
        in_days = any(name.startswith("dt=") for name in names)
        yield Gap(
            34 if in_days else 12,
            f"{counted(len(names), 'file')} or folders not read, such as {names[0]}"
            if len(names) > 1
            else f"{names[0]} is not read",
            "Whatever is in there is not used.",
            "The page says under Files why, and what to do.",
        )
    if guessed:
        yield Gap(
            21,
            "The encoding of some files was guessed",
            "A wrong guess turns letters into others, and words that no query matches.",
            "Set SHELFWISE_RAW__ENCODING if the texts look wrong.",
        )
