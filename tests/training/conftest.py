"""A small shop with something to learn: queries name a colour and a kind of thing, users like a brand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.settings import Paths, Settings, TrainingSettings

TIME = pa.timestamp("us", tz="UTC")
IDS = pa.list_(pa.string())
PAIRS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
COLOURS = ("red", "blue", "green", "black", "white", "yellow")
KINDS = ("shoes", "jacket", "lamp", "table", "phone", "mug", "bicycle", "pillow")
BRANDS = ("acme", "borealis", "cumulus", "dorado")
START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ToyShop:
    """Sizes of the toy shop."""

    items: int = 600
    users: int = 80
    requests: int = 3_000
    days: int = 6
    texts: bool = True
    orders: bool = True
    seed: int = 3


def write_toy_shop(paths: Paths, shop: ToyShop) -> None:
    """Write catalogue, requests, rows and split under ``paths``."""
    rng = np.random.default_rng(shop.seed)
    colour, kind, brand = (rng.integers(0, len(names), shop.items) for names in (COLOURS, KINDS, BRANDS))
    _write(paths.catalog, _catalog(shop, rng, colour, kind, brand))
    taste = rng.integers(0, len(BRANDS), shop.users)
    when = np.sort(rng.uniform(0, shop.days * 86_400, shop.requests))
    cut = (shop.days - 1) * 86_400
    clicks: dict[int, list[int]] = {}
    orders: dict[int, list[int]] = {}
    searches: dict[int, list[str]] = {}
    requests, rows = [], []
    for number in range(shop.requests):
        user = int(rng.integers(0, shop.users))
        target = int(rng.integers(0, shop.items))
        query = f"{COLOURS[colour[target]]} {KINDS[kind[target]]}"
        fitting = np.flatnonzero((colour == colour[target]) & (kind == kind[target]))
        liked = fitting[brand[fitting] == taste[user]]
        time, split = START + timedelta(seconds=float(when[number])), "validation" if when[number] >= cut else "train"
        shown = rng.permutation(np.union1d(rng.choice(fitting, 4), rng.integers(0, shop.items, 4)))
        request = {
            "query_id": f"q{number:06}", "user_id": f"u{user}", "query": query, "query_text": query.title(),
            "time": time, "split": split, "recent_queries": searches.get(user, [])[:5],
            "recent_items": [f"i{i}" for i in clicks.get(user, [])[:10]],
            "recent_orders": [f"i{i}" for i in orders.get(user, [])[:10]],
        }  # fmt: skip
        requests.append(request)
        bought = int(rng.choice(liked)) if len(liked) else int(rng.choice(fitting))
        ordered = shop.orders and rng.random() < 0.5
        stages = [(bought, "ordered" if ordered else "clicked")] if rng.random() < 0.8 else []
        stages += [(int(i), "unclicked") for i in shown if i != bought]
        stages += [(int(i), "random") for i in rng.integers(0, shop.items, 4)]
        for position, (item, stage) in enumerate(stages):
            rows.append(
                {
                    "query_id": request["query_id"], "item_id": f"i{item}", "time": time, "split": split,
                    "stage": stage,
                    "clicked": stage in ("clicked", "ordered"), "carted": stage == "ordered",
                    "ordered": stage == "ordered", "position": position,
                }
            )  # fmt: skip
        searches.setdefault(user, []).insert(0, query)
        if stages[0][1] != "unclicked":
            clicks.setdefault(user, []).insert(0, bought)
        if stages[0][1] == "ordered":
            orders.setdefault(user, []).insert(0, bought)
    lists = {name: IDS for name in ("recent_queries", "recent_items", "recent_orders")}
    request_table = _table(requests, {"time": TIME, **lists})
    row_table = _table(rows, {"time": TIME})
    _write(paths.training_set / "requests" / "dt=2026-03-01" / "part.parquet", request_table)
    _write(paths.training_set / "rows" / "dt=2026-03-01" / "part.parquet", row_table)
    split_file = {
        "train_start": START.isoformat(),
        "cut": (START + timedelta(seconds=cut)).isoformat(),
        "end": (START + timedelta(days=shop.days)).isoformat(),
    }
    (paths.training_set / "split.json").write_text(json.dumps(split_file), encoding="utf-8")


def _catalog(
    shop: ToyShop, rng: np.random.Generator, colour: np.ndarray, kind: np.ndarray, brand: np.ndarray
) -> pa.Table:
    items = [
        {
            "item_id": f"i{n}",
            "title": f"{BRANDS[b].title()} {COLOURS[c]} {KINDS[k]}" if shop.texts else None,
            "category_path": ["home" if k % 2 else "outdoor", KINDS[k]],
            "brand": BRANDS[b] if shop.texts else None,
            "price": float(price),
            "attributes": [{"key": "colour", "value": COLOURS[c]}] if shop.texts else [],
            "tags": [],
            "available_from": START - timedelta(days=10) if n % 10 else START + timedelta(days=float(days)),
        }
        for n, (c, k, b, price, days) in enumerate(
            zip(
                colour, kind, brand, rng.lognormal(3, 1, shop.items), rng.uniform(0, shop.days, shop.items), strict=True
            )
        )
    ]
    types = {"title": pa.string(), "brand": pa.string(), "category_path": IDS, "tags": IDS, "attributes": PAIRS}
    table = _table(items, {**types, "available_from": TIME})
    for missing in ("description",):
        table = table.append_column(missing, pa.nulls(len(table), pa.string()))
    return table


def _table(rows: list[dict[str, object]], types: dict[str, pa.DataType]) -> pa.Table:
    return pa.table({name: pa.array([r[name] for r in rows], types.get(name)) for name in rows[0]})


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


SMALL = TrainingSettings(
    buckets=2**12,
    token_dim=16,
    dim=16,
    hidden=32,
    batch_size=128,
    epochs=3,
    least_steps=1,
    learning_rate=5e-3,
    device="cpu",
    threads=1,
)


@pytest.fixture
def make_shop(tmp_path: Path) -> Callable[..., Settings]:
    """Writes a toy shop of given sizes (the fields of ``ToyShop``) and returns its settings."""

    def make(name: str = "toy", **sizes: object) -> Settings:
        settings = Settings(home=tmp_path, shop=name, training=SMALL)
        write_toy_shop(settings.paths, ToyShop(**sizes))  # type: ignore[arg-type]
        return settings

    return make
