"""What a check of a shop's data found: plain values, for the terminal, the page and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

from features.bots import Bot
from features.catalog import CatalogReport

DayState = Literal["read", "held", "failed", "left out", "not read"]
PartState = Literal["on", "weak", "off"]
Verdict = Literal["ready", "ready with gaps", "a run would stop"]

MINOR = 20.0
"""A gap that weighs less leaves a shop ready."""


@dataclass(frozen=True)
class DayLine:
    """A landing day: ``why`` says what is wrong with one that is not simply ``read``.

    ``held``: nothing of it would be used; ``failed``: its tables break a rule; ``left out``: it has no rows, or is
    not over, so a run passes it by; ``not read``: not in the sample.
    """

    day: date
    state: DayState
    requests: int = 0
    impressions: int = 0
    events: int = 0
    rows_in: int = 0
    why: str = ""


@dataclass(frozen=True)
class Reason:
    """Rows that were refused or ignored for one reason, with one of them as it came (cut to 300 characters)."""

    reason: str
    rows: int
    example: str = ""


@dataclass(frozen=True)
class Rows:
    """Rows of the logs of the days that were read."""

    rows_in: int = 0
    clean: int = 0
    basket_items: int = 0
    rebuilt_requests: Mapping[str, int] = field(default_factory=dict)
    """Requests made of events that carry their text, by ``rebuilt_requests.KINDS``; in no count of rows."""
    named_by_text: int = 0
    """Events without a query id that took one by their text and person."""
    days_rebuilt: tuple[date, ...] = ()
    """Days without a row of queries, whose requests are all of that kind."""
    refused: tuple[Reason, ...] = ()
    ignored: tuple[Reason, ...] = ()
    unknown_actions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Ratio:
    """``part`` of ``whole``."""

    part: int
    whole: int

    @property
    def share(self) -> float | None:
        """None of nothing."""
        return self.part / self.whole if self.whole else None

    @property
    def percent(self) -> str:
        """``12.3%``; never 0% of something, nor 100% of what lacks something."""
        if self.share is None:
            return "–"
        if 0 < self.part < 0.0005 * self.whole:
            return "<0.1%"
        if 0 < self.whole - self.part < 0.0005 * self.whole:
            return ">99.9%"
        return f"{self.share:.0%}" if self.part in (0, self.whole) else f"{self.share:.1%}"

    @property
    def told(self) -> str:
        """``12.3% of 4,567``."""
        return f"{self.percent} of {self.whole:,}" if self.whole else "none"


def counted(n: int, one: str, many: str = "") -> str:
    """``1 day``, ``2,000 days``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """A text with a capital, unless it begins with the name of a file or column."""
    first = text.split(" ", 1)[0].rstrip(".,:;")
    named = any(mark in first for mark in "./=_-")
    return text if named else text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Joins:
    """What meets what, over the accepted days."""

    requests: int
    with_text: Ratio
    with_user: Ratio
    with_session: Ratio
    with_impressions: Ratio
    with_location: Ratio
    asked_before: Ratio
    """Requests with a text that somebody asked before."""
    with_history: Ratio
    """Requests of a user who clicked, carted or ordered before."""
    users_with_history: Ratio
    """Users with such a request."""
    events_with_request: Ratio
    """Of clicks, carts, orders and impressions that name a request or could follow one; refused ones are in the
    whole."""
    attributed: Mapping[str, Ratio]
    """click, cart, order -> those that belong to a request."""
    positions: Ratio
    """Clicks on an item whose place in the list is known."""
    impressions: int
    shown_known: Ratio
    """Impressions of items that the catalogue has."""
    acted_known: Ratio
    """Clicks, carts and orders on items that the catalogue has."""
    items_met: Ratio
    """Items of the catalogue that were shown or acted on."""
    items_in_graph: Ratio
    """Items of the catalogue that some query led to."""
    funnel: Mapping[str, int]
    """Requests: all, with impressions, and that led to a click, a cart, an order."""
    unknown_ids: tuple[str, ...]
    """Up to three ids of the log that the catalogue does not have."""
    catalog_ids: tuple[str, ...]
    """Up to three ids of the catalogue."""
    ids_found_in: str = ""
    """The column of the catalogue that holds those ids of the log, where there is one."""


@dataclass(frozen=True)
class Learning:
    """What a training set of the accepted days would hold, by split (train, validation)."""

    requests: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Split -> stage -> rows."""
    clicked: Mapping[str, int] = field(default_factory=dict)
    """Requests that led to a click (a cart and an order count)."""
    ordered: Mapping[str, int] = field(default_factory=dict)
    clicked_and_unclicked: Mapping[str, int] = field(default_factory=dict)
    """Requests with an item clicked and another shown and not clicked: pairs to rank."""
    ordered_and_unclicked: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """An encoder, the quality prior or an objective: what it needs and whether the data can feed it."""

    kind: Literal["encoder", "prior", "objective"]
    name: str
    needs: str
    state: PartState
    why: str


@dataclass(frozen=True)
class Gap:
    """What is missing, what it costs, and how to close it: a sentence each. ``weight`` orders them, 0 to 100."""

    weight: float
    what: str
    cost: str
    remedy: str


@dataclass(frozen=True)
class Readiness:
    """The whole report."""

    landing: str
    kind: Literal["logs", "judged"]
    """``judged``: a catalogue with human judgements, for which the demo shop makes sessions."""
    days: tuple[DayLine, ...]
    sampled: bool
    rows: Rows
    catalog: CatalogReport | None
    joins: Joins | None
    learning: Learning | None
    bots: tuple[Bot, ...]
    """Clients whose rows were left out, those with the most."""
    spared: tuple[str, ...]
    """Whom a rule for bots would have hit, and why it was not applied."""
    agents: bool
    """Whether the log carries user agents."""
    parts: tuple[Part, ...]
    gaps: tuple[Gap, ...]
    stops: tuple[str, ...]
    """Why a run would stop, and what to do: a sentence each; empty where it would not."""
    unread: Mapping[str, Sequence[str]]
    """Why -> the files and folders that are not read."""
    encodings: Mapping[str, str]
    judged: str = ""
    """What the judgements are, where there are some."""
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        if self.stops:
            return "a run would stop"
        return "ready with gaps" if any(gap.weight >= MINOR for gap in self.gaps) else "ready"

    @property
    def read(self) -> tuple[DayLine, ...]:
        """The days that were read, held and failed ones included."""
        return tuple(line for line in self.days if line.state in ("read", "held", "failed"))

    def to_json(self) -> dict[str, Any]:
        """As plain values; dates become text where they are written."""
        return {"verdict": self.verdict, **asdict(self)}
