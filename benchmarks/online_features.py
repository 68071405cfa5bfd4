"""A request's features as served, with and without a session, against redis-py reading the same hashes.

    python benchmarks/online_features.py [requests] [users]

Makes a shop of its own in a temporary folder, on the embedded Redis. Read the ratios; milliseconds depend on the
machine and on what else it does. The first calls are left out.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from features.store import OnlineFeatures, SessionEvent, materialize
from features.store.definitions import SERVED, View, views
from features.store.repository import open_store
from infra import services
from infra.contract.names import FEATURE_SERVICE
from infra.contract.partitions import write_partition
from infra.services import redis_address
from infra.settings import OnlineSettings, Settings

UNTIL = datetime(2026, 3, 1, tzinfo=UTC)
EVENTS = (0, 20, 200)
"""Events of a session: none, a lively one, and as many as are kept."""
WARM_UP = 50


def main(requests: int = 2_000, users: int = 5_000) -> None:
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), online=OnlineSettings(timeout_ms=2_000))
        try:
            _measure(settings, requests, users)
        finally:
            services.stop_all(settings)


def _measure(settings: Settings, requests: int, users: int) -> None:
    described = views(settings)
    for name in SERVED:
        write_partition(described[name].table, UNTIL.date(), _rows(described[name], users), described[name].schema)
    materialize(settings, UNTIL + timedelta(hours=1))
    online, now = OnlineFeatures(settings), UNTIL + timedelta(hours=2)
    asked = random.Random(7).choices(range(users // len(EVENTS)), k=requests + WARM_UP)
    for group, count in enumerate(EVENTS):
        for n in set(asked):
            for at in range(count):
                online.record(_user(n, group), _event(at, UNTIL + timedelta(hours=1, seconds=at)))
    feast = _feast(settings)
    hmget = _hmget(settings, [described[name] for name in SERVED])
    calls: dict[str, Callable[[int], Any]] = {
        "peer: redis-py HMGET, pipelined": lambda n: hmget(_user(n, 0), "query 1"),
        "Feast alone": lambda n: feast(_user(n, 0), "query 1"),
    }
    for group, count in enumerate(EVENTS):
        calls[f"request(), session of {count}"] = lambda n, group=group: online.request(_user(n, group), "query 1", now)
    calls["record()"] = lambda n: online.record(_user(n, 1), _event(n, now))
    milliseconds = _interleaved(calls, asked)
    peer = np.median(milliseconds["peer: redis-py HMGET, pipelined"])
    print(f"{users:,} users, {requests:,} requests, one user and one query each")
    for name, values in milliseconds.items():
        p50, p99 = np.percentile(values, [50, 99])
        print(f"{name:34} p50 {p50:6.3f} ms   p99 {p99:6.3f} ms   x HMGET {p50 / peer:5.2f}")


def _user(n: int, group: int) -> str:
    return f"user {n * len(EVENTS) + group}"


def _event(at: int, moment: datetime) -> SessionEvent:
    if at % 4 == 0:
        return SessionEvent("search", query=f"red shoes {at % 9}", time=moment)
    action = "order" if at % 20 == 1 else "click"
    return SessionEvent(action, item_id=f"item {at % 50}", time=moment, brand=f"brand {at % 5}", tags=("gift", "red"))


def _rows(view: View, count: int) -> pa.Table:
    """Rows as full as those of a busy shop: ten values in every list."""
    columns: dict[str, Any] = {view.key: [f"{view.entity} {n}" for n in range(count)]}
    for field in view.schema:
        if pa.types.is_list(field.type):
            text = pa.types.is_string(field.type.value_type)
            columns[field.name] = [[f"value {n + i}" if text else float(i) for i in range(10)] for n in range(count)]
        elif field.name != view.key:
            columns[field.name] = [UNTIL if pa.types.is_timestamp(field.type) else 3] * count
    return pa.table(columns, schema=view.schema)


def _hmget(settings: Settings, read: list[View]) -> Callable[[str, str], Any]:
    """The same fields of the same hashes by bare redis-py, in one pipeline, nothing decoded."""
    from feast.infra.online_stores.helpers import _mmh3, _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    client, project = redis_address(settings).connect(1_000), settings.project
    fields = [[*(_mmh3(f"{view.name}:{name}") for name in view.features), f"_ts:{view.name}"] for view in read]

    def call(*entities: str) -> Any:
        with client.pipeline(transaction=False) as pipeline:
            for view, names, entity in zip(read, fields, entities, strict=True):
                key = EntityKey(join_keys=[view.key], entity_values=[Value(string_val=entity)])
                pipeline.hmget(_redis_key(project, key, 3), names)
            return pipeline.execute()

    assert all(value is not None for row in call("user 0", "query 1") for value in row)
    return call


def _feast(settings: Settings) -> Callable[[str, str], Any]:
    store = open_store(settings, redis_address(settings))
    service = store.get_feature_service(FEATURE_SERVICE)

    def call(user: str, query: str) -> Any:
        rows = {"user_id": [user], "query": [query]}
        return store.get_online_features(features=service, entity_rows=rows, full_feature_names=True)

    return call


def _interleaved(calls: dict[str, Callable[[int], Any]], asked: list[int]) -> dict[str, np.ndarray]:
    """Milliseconds per call, the first ones left out: one of each in turn, so that other load is shared by all."""
    milliseconds = np.zeros((len(calls), len(asked)))
    for i, n in enumerate(asked):
        for row, call in enumerate(calls.values()):
            began = time.perf_counter()
            call(n)
            milliseconds[row, i] = (time.perf_counter() - began) * 1000
    return dict(zip(calls, milliseconds[:, WARM_UP:], strict=True))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
