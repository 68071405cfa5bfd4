"""The shares that a report shows, each with what it is of and from which value on it is good."""

from __future__ import annotations

from dataclasses import dataclass

from features.readiness.report import Ratio, Readiness


@dataclass(frozen=True)
class Share:
    """One line of the table of joins; a share below ``good`` is marked."""

    what: str
    of: str
    ratio: Ratio
    good: float

    @property
    def low(self) -> bool:
        return self.ratio.share is not None and self.ratio.share < self.good


def shares_of(report: Readiness) -> list[Share]:
    """The shares of a report, those of the joins first; none where no session was accepted."""
    joins = report.joins
    if joins is None or not joins.requests:
        return []
    return [
        Share("meet a request", "impressions, clicks, carts, orders", joins.events_with_request, 0.98),
        Share("meet the catalogue", "items shown", joins.shown_known, 0.98),
        Share("meet the catalogue", "items clicked, carted, ordered", joins.acted_known, 0.98),
        Share("belong to a request", "clicks", joins.attributed["click"], 0.8),
        Share("belong to a request", "carts", joins.attributed["cart"], 0.8),
        Share("belong to a request", "orders", joins.attributed["order"], 0.8),
        Share("have impressions", "requests", joins.with_impressions, 0.9),
        Share("have a known position", "clicks", joins.positions, 0.8),
        Share("have a text", "requests", joins.with_text, 0.95),
        Share("were asked before, by anybody", "requests with a text", joins.asked_before, 0.0),
        Share("have a user or client", "requests", joins.with_user, 0.7),
        Share("have a session", "requests", joins.with_session, 0.5),
        Share("are of somebody who clicked or ordered before", "requests", joins.with_history, 0.2),
        Share("clicked or ordered before one of their requests", "users", joins.users_with_history, 0.0),
        Share("were shown or acted on", "items of the catalogue", joins.items_met, 0.0),
    ]
