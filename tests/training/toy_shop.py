"""A small shop with something to learn: queries name a colour and a kind of thing, users like a brand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.settings import Paths

TIME = pa.timestamp("us", tz="UTC")
IDS = pa.list_(pa.string())
PAIRS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
PLACE = {"country": pa.string(), "language": pa.string(), "zip": pa.string(), "latitude": pa.float64(),
         "longitude": pa.float64()}  # fmt: skip
ITEM_FIGURES = {name: pa.int64() for name in ("impressions_30d", "clicks_30d", "orders_30d")} | {
    name: pa.float64() for name in ("click_rate", "price", "rating", "age_days")
}
REQUEST_FIGURES = ("requests_7d", "clicks_7d", "query_requests_30d", "query_clicks_30d")
COLOURS = ("red", "blue", "green", "black", "white", "yellow")
KINDS = ("shoes", "jacket", "lamp", "table", "phone", "mug", "bicycle", "pillow")
BRANDS = ("acme", "borealis", "cumulus", "dorado")
CITIES = (("de", "de-AT", "10115", 52.5, 13.4), ("fr", "fr", "75001", 48.9, 2.35), ("jp", None, None, 35.7, 139.7))
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = 86_400
DELAY = timedelta(seconds=2)
"""After a request or an event, until somebody could know it."""


@dataclass(frozen=True)
class ToyShop:
    """Sizes of the toy shop, and what its logs have."""

    items: int = 600
    users: int = 80
    requests: int = 3_000
    days: int = 6
    texts: bool = True
    orders: bool = True
    figures: bool = True
    """Counts of items, users and queries, brands and tags of histories."""
    places: bool = True
    sessions: bool = True
    seed: int = 3


@dataclass
class _Log:
    """What the shop has seen so far."""

    shop: ToyShop
    rng: np.random.Generator
    colour: NDArray[np.int64]
    kind: NDArray[np.int64]
    brand: NDArray[np.int64]
    items: list[dict[str, Any]]
    requests: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    snapshots: list[list[dict[str, Any]]] = field(default_factory=list)
    of_user: dict[str, dict[int, list[Any]]] = field(
        default_factory=lambda: {name: {} for name in ("searches", "clicks", "orders")}
    )
    of_query: dict[str, list[int]] = field(default_factory=dict)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))

    def step(self, number: int, second: float, user: int, brand: int) -> None:
        """One request of ``user``, who likes ``brand``."""
        day = int(second // DAY)
        while len(self.snapshots) <= day:
            self.snapshots.append(self.snapshot(len(self.snapshots)))
        target = int(self.rng.integers(0, self.shop.items))
        query = f"{COLOURS[self.colour[target]]} {KINDS[self.kind[target]]}"
        fitting = np.flatnonzero((self.colour == self.colour[target]) & (self.kind == self.kind[target]))
        liked = fitting[self.brand[fitting] == brand]
        shown = self.rng.permutation(np.union1d(self.rng.choice(fitting, 4), self.rng.integers(0, self.shop.items, 4)))
        bought = int(self.rng.choice(liked if len(liked) else fitting))
        ordered = self.shop.orders and self.rng.random() < 0.5
        stages = [(bought, "ordered" if ordered else "clicked")] if self.rng.random() < 0.8 else []
        acted = bool(stages)
        stages += [(int(i), "unclicked") for i in shown if i != bought]
        stages += [(int(i), "random") for i in self.rng.integers(0, self.shop.items, 4)]
        request = self._request(number, second, user, query)
        self.requests.append(request)
        self.rows += [self._row(request, item, stage, place, day) for place, (item, stage) in enumerate(stages)]
        for item, stage in stages:
            self.counts[0, item] += stage != "random"
        self._learn(request, user, query, bought if acted else None, acted and ordered)

    def _request(self, number: int, second: float, user: int, query: str) -> dict[str, Any]:
        known = {name: histories.get(user, []) for name, histories in self.of_user.items()}
        time = START + timedelta(seconds=second)
        request = {
            "query_id": f"q{number:06}", "user_id": f"u{user}", "query": query, "query_text": query.title(),
            "time": time, "split": "validation" if second >= (self.shop.days - 1) * DAY else "train",
            "recent_queries": known["searches"][:5],
            "recent_items": [f"i{i}" for i in known["clicks"][:10]],
            "recent_orders": [f"i{i}" for i in known["orders"][:10]],
        }  # fmt: skip
        if self.shop.figures:
            brands = [self.items[i]["brand"] for i in known["clicks"]]
            tags = [tag for i in known["orders"] for tag in self.items[i]["tags"]]
            searched, clicked = self.of_query.get(query, (None, None))
            request |= {
                "order_history": [f"i{i}" for i in known["orders"][:200]],
                "recent_brands": [b for b in dict.fromkeys(brands) if b][:10],
                "ordered_tags": list(dict.fromkeys(tags)),
                "requests_7d": len(known["searches"]) or None,
                "clicks_7d": len(known["clicks"]) if known["searches"] else None,
                "query_requests_30d": searched,
                "query_clicks_30d": clicked,
            }
        if self.shop.places:
            request |= _place(user % 4)
        return request

    def _row(self, request: dict[str, Any], item: int, stage: str, place: int, day: int) -> dict[str, Any]:
        clicked, ordered = stage in ("clicked", "ordered"), stage == "ordered"
        row = {
            "query_id": request["query_id"], "item_id": f"i{item}", "time": request["time"],
            "split": request["split"], "stage": stage, "clicked": clicked, "carted": ordered, "ordered": ordered,
            "position": place,
        }  # fmt: skip
        if self.shop.figures:
            row |= {name: self.snapshots[day][item][name] for name in ITEM_FIGURES}
        return row

    def _learn(self, request: dict[str, Any], user: int, query: str, clicked: int | None, ordered: bool) -> None:
        self.of_user["searches"].setdefault(user, []).insert(0, query)
        counts = self.of_query.setdefault(query, [0, 0])
        counts[0] += 1
        if clicked is None:
            return
        counts[1] += 1
        for name, action, happened in (("clicks", "click", True), ("orders", "order", ordered)):
            if happened:
                self.of_user[name].setdefault(user, []).insert(0, clicked)
                self.counts[1 if name == "clicks" else 2, clicked] += 1
                self.events.append(
                    {
                        "event_id": f"e{len(self.events)}", "action": action, "query_id": request["query_id"],
                        "user_id": f"u{user}", "item_id": f"i{clicked}",
                        "time": request["time"], "known_at": request["time"] + 2 * DELAY,
                    }
                )  # fmt: skip

    def snapshot(self, day: int) -> list[dict[str, Any]]:
        shown, clicks, orders = self.counts.copy()
        return [
            {
                "item_id": f"i{n}", "event_timestamp": START + timedelta(days=day), "created": START,
                "impressions_30d": int(shown[n]), "clicks_30d": int(clicks[n]), "orders_30d": int(orders[n]),
                "click_rate": float(clicks[n] / shown[n]) if shown[n] else None,
                "price": item["price"], "rating": float(1 + n % 5) if n % 2 else None, "age_days": float(10 + day),
            }
            for n, item in enumerate(self.items)
        ]  # fmt: skip


def write_toy_shop(paths: Paths, shop: ToyShop) -> None:
    """Write catalogue, training set and, where the shop has them, sessions under ``paths``."""
    rng = np.random.default_rng(shop.seed)
    colour, kind, brand = (rng.integers(0, len(names), shop.items) for names in (COLOURS, KINDS, BRANDS))
    log = _Log(shop, rng, colour, kind, brand, _items(shop, rng, colour, kind, brand))
    log.counts = np.zeros((3, shop.items), dtype=np.int64)
    taste = rng.integers(0, len(BRANDS), shop.users)
    for number, second in enumerate(np.sort(rng.uniform(0, shop.days * DAY, shop.requests))):
        user = int(rng.integers(0, shop.users))
        log.step(number, float(second), user, int(taste[user]))
    _write(paths.catalog, _catalog(shop, log.items))
    types: dict[str, pa.DataType] = {"time": TIME, "known_at": TIME, "event_timestamp": TIME, "created": TIME, **PLACE}
    types |= ITEM_FIGURES | {name: pa.int64() for name in REQUEST_FIGURES}
    types |= {
        name: IDS for name in log.requests[0] if name.startswith("recent_") or name in ("order_history", "ordered_tags")
    }
    written = {"training_set/requests": log.requests, "training_set/rows": log.rows}
    if shop.sessions:
        written |= {"sessions/requests": _session_requests(log), "sessions/events": _session_events(log)}
    if shop.figures:
        written |= {"features/item": [row for snapshot in log.snapshots for row in snapshot]}
    for name, rows in written.items():
        _write(paths.root / name / f"dt={START.date()}" / "part.parquet", _table(rows, types))
    _write(paths.training_set / "item_features.parquet", _table(_as_of_split(shop, log), types))
    split = {
        "train_start": START.isoformat(),
        "cut": (START + timedelta(days=shop.days - 1)).isoformat(),
        "end": (START + timedelta(days=shop.days)).isoformat(),
    }
    available = pq.read_table(paths.catalog, columns=["item_id", "available_from"])
    pq.write_table(available, paths.training_set / "items.parquet")
    (paths.training_set / "split.json").write_text(json.dumps(split), encoding="utf-8")


def _as_of_split(shop: ToyShop, log: _Log) -> list[dict[str, Any]]:
    """The item features as of the cut and as of the end."""
    names = ("item_id", "event_timestamp", *(ITEM_FIGURES if shop.figures else ()))
    snapshots = (log.snapshots[shop.days - 1], log.snapshot(shop.days))
    return [{name: row[name] for name in names} for snapshot in snapshots for row in snapshot]


def _session_requests(log: _Log) -> list[dict[str, Any]]:
    """Those of the training set, and one before it whose text is nowhere else."""
    names = ("query_id", "user_id", "query", "query_text", "time")
    kept = [{name: request[name] for name in names} for request in log.requests]
    before = {"query_id": "before", "user_id": "u0", "query": "ancient relic", "query_text": "Ancient relic",
              "time": START - timedelta(days=3)}  # fmt: skip
    return [{**request, "known_at": request["time"] + DELAY} for request in [before, *kept]]


def _session_events(log: _Log) -> list[dict[str, Any]]:
    then = START - timedelta(days=3)
    before = {"event_id": "before", "action": "cart", "query_id": "before", "user_id": "u0", "item_id": "i0",
              "time": then, "known_at": then + DELAY}  # fmt: skip
    return [before, *log.events]


def _items(
    shop: ToyShop,
    rng: np.random.Generator,
    colour: NDArray[np.int64],
    kind: NDArray[np.int64],
    brand: NDArray[np.int64],
) -> list[dict[str, Any]]:
    prices, days = rng.lognormal(3, 1, shop.items), rng.uniform(0, shop.days, shop.items)
    items = [
        {
            "item_id": f"i{n}",
            "title": f"{BRANDS[b].title()} {COLOURS[c]} {KINDS[k]}" if shop.texts else None,
            "category_path": ["home" if k % 2 else "outdoor", KINDS[k]],
            "brand": BRANDS[b] if shop.texts else None,
            "price": float(prices[n]),
            "attributes": [{"key": "colour", "value": COLOURS[c]}] if shop.texts else [],
            "tags": ["sale" if n % 8 else "gift"] if shop.texts and shop.figures and n % 4 == 0 else [],
            "available_from": START - timedelta(days=10) if n % 10 else START + timedelta(days=float(days[n])),
        }
        for n, (c, k, b) in enumerate(zip(colour, kind, brand, strict=True))
    ]
    return [{**item, **_place(n % 5)} for n, item in enumerate(items)] if shop.places else items


def _catalog(shop: ToyShop, items: list[dict[str, Any]]) -> pa.Table:
    types = {"title": pa.string(), "brand": pa.string(), "category_path": IDS, "tags": IDS, "attributes": PAIRS}
    table = _table(items, {**types, **PLACE, "available_from": TIME})
    return table.append_column("description", pa.nulls(len(table), pa.string()))


def _place(number: int) -> dict[str, Any]:
    """One of a few cities; beyond them nowhere."""
    return dict(zip(PLACE, CITIES[number] if number < len(CITIES) else (None,) * len(PLACE), strict=True))


def _table(rows: list[dict[str, Any]], types: dict[str, pa.DataType]) -> pa.Table:
    return pa.table({name: pa.array([r[name] for r in rows], types.get(name)) for name in rows[0]})


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
