"""A small shop whose catalogue is hard on filters, and real releases of it with untrained towers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from features.store.materialize import materialize
from infra.contract.partitions import write_partition
from infra.contract.tables import TRAINING_ITEM_FEATURES, USER_FEATURES
from infra.settings import Settings, TrainingSettings
from training.data.arrays import prepare_arrays
from training.evaluation import EvaluationReport
from training.ranking.features import PAIR_FEATURES
from training.ranking.fitting import FittedRanker
from training.release.release import Release, load_release
from training.release.writer import write_release
from training.run.candidate import fit_candidate_prior, save_candidate
from training.run.new_towers import new_towers
from training.run.ranking import save_ranker

TIME = pa.timestamp("us", tz="UTC")
IDS = pa.list_(pa.string())
PAIRS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
END = datetime.now(UTC).replace(microsecond=0)
SMALL = TrainingSettings(text_encoder="none", buckets=2**10, token_dim=8, dim=16, hidden=16, device="cpu")
HOSTILE = (
    "Acme", "acme", "ACME ", "o'neil", 'say "hi"', "back\\slash", "ends\\", '\\"', "new\nline", "car\r\nriage", "tab\t",
    '" or brand_1 != "', "in [1, 2]", "%", "_", "A%", "{brand}", "$meta", "null", "true", "3", "é", "e\u0301", "靴",
    "🙂", "\u2028", "\x00nul", "a\x00b", "\x0b", "#", "//", "/*", ";--", "ſ", "\u200b", "(x) and (y)", "\\n", "\\u0041",
)  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """Settings and catalogue of a small shop."""

    settings: Settings
    catalog: pa.Table
    unknown: str = "towers"
    """The rule that serves unknown queries."""

    def release(self, seed: int = 1, evaluation: EvaluationReport | None = None) -> Release:
        """Write a release with random weights, its own per seed, and load it; nothing judged it but ``evaluation``."""
        arrays = prepare_arrays(self.settings)
        torch.manual_seed(seed)
        candidate = self.settings.paths.training / "candidate"
        told = {
            "examples": 0,
            "curve": [],
            "best_epoch": 0,
            "recipe": SMALL.recipe,
            "encoders": [],
            "settings": self.settings.training.model_dump(mode="json"),
        }
        save_candidate(candidate, new_towers(self.settings.training, arrays), told)
        fit_candidate_prior(self.settings, candidate)
        features = (*PAIR_FEATURES, *arrays.item_transform.names)
        save_ranker(candidate, FittedRanker.of_rules(features, {"known": "towers", "unknown": self.unknown}))
        evaluation = evaluation or EvaluationReport(
            truth="orders", requests=0, items=len(self.catalog), rows=[], slices={}
        )
        return load_release(write_release(self.settings, candidate, evaluation))


def make_shop(home: Path, items: int, **changes: object) -> Shop:
    """A shop whose catalogue and training set are on disk."""
    settings = Settings(home=home, shop="small", training=SMALL, **changes)  # type: ignore[arg-type]
    catalog = make_catalog(items)
    _write(settings.paths.catalog, catalog)
    requests = pa.table(
        {
            "query_id": ["q1", "q2"],
            "user_id": ["u1", "u2"],
            "query": ["red shoes", "blue mug"],
            "query_text": ["Red shoes", "blue mug"],
            "time": pa.array([END - timedelta(days=2), END - timedelta(hours=1)], TIME),
            "split": ["train", "validation"],
            **{name: pa.array([[], []], IDS) for name in ("recent_queries", "recent_items", "recent_orders")},
        }
    )
    rows = pa.table(
        {
            "query_id": ["q1", "q2"],
            "item_id": ["i0", "i1"],
            "time": requests["time"],
            "split": requests["split"],
            "stage": ["clicked", "ordered"],
            "clicked": [True, True],
            "carted": [False, True],
            "ordered": [False, True],
            "position": [0, 0],
        }
    )
    _write(settings.paths.training_set / "requests" / "dt=2026-03-01" / "part.parquet", requests)
    _write(settings.paths.training_set / "rows" / "dt=2026-03-01" / "part.parquet", rows)
    window = {"train_start": END - timedelta(days=3), "cut": END - timedelta(days=1), "end": END}
    split = json.dumps({name: time.isoformat() for name, time in window.items()})
    _write(settings.paths.training_set / "items.parquet", catalog.select(["item_id", "available_from"]))
    _write(settings.paths.training_set / "item_features.parquet", TRAINING_ITEM_FEATURES.empty_table())
    (settings.paths.training_set / "split.json").write_text(split, encoding="utf-8")
    return Shop(settings, catalog)


def publish_user(settings: Settings, user: str, queries: list[str], items: list[str], orders: list[str]) -> None:
    """Write a user's features as the pipeline does, and bring them online."""
    lists = {"recent_queries": queries, "recent_items": items, "recent_orders": orders, "order_history": orders}
    row = {
        "user_id": user,
        "event_timestamp": END,
        "created": END,
        **lists,
        **{name: [] for name in ("recent_brands", "ordered_tags")},
        **{name: 1 for name in ("requests_7d", "clicks_7d", "orders_30d")},
    }
    rows = pa.Table.from_pylist([row], USER_FEATURES)
    write_partition(settings.paths.features / "user", END.date(), rows, USER_FEATURES)
    materialize(settings, END)


def make_catalog(items: int, seed: int = 5) -> pa.Table:
    """Items whose brands, categories, tags and attributes are every hostile value, some absent; so is an id in 40."""
    ids = [value for value in HOSTILE if "\x00" not in value]
    rng = np.random.default_rng(seed)

    def some(n: int) -> list[str]:
        return [HOSTILE[i] for i in rng.integers(0, len(HOSTILE), n)]

    def pairs(n: int) -> list[dict[str, str]]:
        keys = ('we"ird \\ key', "colour", "colour")[:n]
        return [{"key": key, "value": value} for key, value in zip(keys, some(n), strict=True)]

    def maybe(value: float) -> float | None:
        return (None, float("nan"), value, value)[rng.integers(0, 4)]

    return pa.table(
        {
            "item_id": [f"i{n}" if (n + 1) % 40 else f"{ids[n // 40 % len(ids)]}{n}" for n in range(items)],
            "title": [f"{('red', 'blue')[n % 2]} {('shoes', 'mug', 'lamp')[n % 3]} {n}" for n in range(items)],
            "description": pa.nulls(items, pa.string()),
            "category_path": pa.array([some(int(rng.integers(0, 4))) for _ in range(items)], IDS),
            "brand": pa.array([HOSTILE[n % len(HOSTILE)] if n % 7 else (None, "")[n % 2] for n in range(items)]),
            "price": pa.array([maybe(float(rng.choice([0.1, 9.99, 50.0, 1e-7, 1e22, -3.0]))) for _ in range(items)]),
            "rating": pa.array([maybe(float(rng.integers(1, 6))) for _ in range(items)]),
            "attributes": pa.array([pairs(int(rng.integers(0, 4))) for _ in range(items)], PAIRS),
            "tags": pa.array([some(int(rng.integers(0, 3))) for _ in range(items)], IDS),
            "available_from": pa.array([END - timedelta(days=9)] * items, TIME),
        }
    )


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
