"""One request is one query vector: as a row of the log that training reads, and as serving sees it when it comes in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.build_sessions import build_sessions
from features.catalog import build_catalog
from features.snapshots import build_item_features, build_query_features, build_user_features
from features.store import OnlineFeatures, SessionEvent, materialize
from features.training_set import build_training_set
from infra import services
from infra.contract.partitions import table_files
from infra.contract.request import NO_CONTEXT, Request
from infra.services import supervisor
from infra.settings import OnlineSettings, Settings
from serving.request_features import RequestFeatures
from tests.features.raw_log import Row, event, land, moment, ndjson, next_day, query, shop
from tests.training.conftest import SMALL
from tests.training.model.test_query_encoder import encoder_of, untrained
from training.model.encoding import encode_requests

DAYS = [next_day(n) for n in range(5)]
TODAY = DAYS[-1]
BERLIN = {"country": "de", "latitude": 52.5, "longitude": 13.4}
COLOURS = {"a": ("red", "acme"), "b": ("blue", "borealis"), "c": ("green", "cumulus")}
ITEMS = {
    i: {"title": f"{colour} shoes", "brand": brand, "tags": [brand, "sale"]} for i, (colour, brand) in COLOURS.items()
}
EARLIER = [("search", "Red  Shoes", "09:00:00"), ("click", "a", "09:01:00"), ("order", "b", "09:02:00")]
"""What u1 did today before the request."""


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    given = shop(tmp_path).model_copy(update={"online": OnlineSettings(timeout_ms=500), "training": SMALL})
    yield given
    services.stop_all(given)
    supervisor.leave_all()


def land_log(settings: Settings) -> None:
    """Days on which two users search, click and buy, the last of them with ``EARLIER`` and the request ``asked``."""
    for day in DAYS:
        queries = [
            query(f"{day}-{user}", "08:00:00", user=user, day=day, user_query="blue shoes") for user in ("u1", "u2")
        ]
        events = [
            event("click", "c", "08:01:00", user=user, day=day, query_id=f"{day}-{user}") for user in ("u1", "u2")
        ]
        if day == TODAY:
            asked = query("asked", "10:00:00", day=day, user_query="blue shoes", query_attributes=BERLIN)
            queries = [query("earlier", "09:00:00", day=day), asked]
            logged: list[Row] = [event(kind, what, at, day=day) for kind, what, at in EARLIER[1:]]
            events = [*logged, event("click", "b", "10:01:00", day=day, query_id="asked")]
        land(settings, queries, events, day=day)
    Path(str(settings.landing), "catalog.ndjson").write_text(
        ndjson([{"item_id": i, **says} for i, says in ITEMS.items()])
    )


def build_features(settings: Settings) -> None:
    build_catalog(settings)
    build_sessions(settings, DAYS)
    for build in (build_user_features, build_item_features, build_query_features):
        build(settings, DAYS)
    build_training_set(settings)


def event_of(kind: str, what: str, at: str) -> SessionEvent:
    """As serving records it, with what the catalogue says of the item."""
    time = moment(f"{TODAY}T{at}+00:00")
    if kind == "search":
        return SessionEvent("search", query=what, time=time)
    return SessionEvent(kind, item_id=what, time=time, brand=ITEMS[what]["brand"], tags=tuple(ITEMS[what]["tags"]))  # type: ignore[arg-type]


def row_of(settings: Settings, query_id: str) -> int:
    """The number that the arrays give a request: in order of time, then id."""
    tables = [
        pq.ParquetFile(file).read(["time", "query_id"])
        for file in table_files(settings.paths.training_set / "requests")
    ]
    rows = sorted((row["time"], row["query_id"]) for table in tables for row in table.to_pylist())
    return [name for _, name in rows].index(query_id)


def test_a_request_is_one_vector_in_training_and_serving(settings: Settings) -> None:
    land_log(settings)
    build_features(settings)
    arrays, towers = untrained(settings)
    (trained_on,) = encode_requests(towers, arrays, np.array([row_of(settings, "asked")]))

    materialize(settings, moment(f"{TODAY}T00:00:00+00:00"))
    online, request = OnlineFeatures(settings), Request(user="u1", query="blue shoes", location=BERLIN)
    for done in EARLIER:
        online.record("u1", event_of(*done))
    now = moment(f"{TODAY}T10:00:00+00:00") + timedelta(microseconds=1)
    (context,) = RequestFeatures(online, settings.serving).read("r", [request], ["blue shoes"], now) or []
    online.close()

    encoder = encoder_of(settings, arrays, towers)
    assert context.recent_items[:2] == ("b", "a"), "the request knows what was done today"
    np.testing.assert_allclose(encoder.encode("blue shoes", context), trained_on, atol=1e-5)
    assert np.abs(encoder.encode("blue shoes", NO_CONTEXT) - trained_on).max() > 1e-3, "all of it counts"
