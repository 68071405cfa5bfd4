"""A small shop of raw logs that a run takes, to be broken in one way by a test."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from infra.settings import Settings
from tests.features.raw_log import DAY, Row, event, land, query

DAYS = [DAY + timedelta(days=n) for n in range(4)]
ITEMS = ("a", "b", "c", "d")


def new_shop(folder: Path, **settings: Any) -> Settings:
    """A landing folder with a catalogue and four days of eight requests, each with a click and some with an order."""
    made = Settings(home=folder / "home", landing=str(folder / "logs"), **settings)
    for day in DAYS:
        land(made, queries(day), events(day), day=day)
    catalogue(
        made, ["sku,name,price,category", *(f"{item},red shoe {item},{n}.5,Shoes" for n, item in enumerate(ITEMS))]
    )
    return made


def catalogue(settings: Settings, lines: Sequence[str]) -> None:
    """Write the catalogue, as CSV."""
    Path(str(settings.landing), "catalog.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")


def queries(day: date, **more: Any) -> list[Row]:
    """Eight searches of four clients."""
    return [query(f"{day}-{n}", f"10:0{n}:00", user=f"u{n % 4}", day=day, **more) for n in range(8)]


def events(day: date, **more: Any) -> list[Row]:
    """A click of each search, and an order of every other."""
    rows = []
    for n in range(8):
        who: dict[str, Any] = {"user": f"u{n % 4}", "day": day, "query_id": f"{day}-{n}"} | more
        rows.append(event("click", "b", f"10:0{n}:10", **who))
        if n % 2:
            rows.append(event("purchase", "b", f"10:0{n}:40", **who))
    return rows
