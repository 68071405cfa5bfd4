"""Feast's point-in-time join against an independent as-of oracle."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.store import apply, offline, point_in_time
from features.store.definitions import views
from features.store.repository import open_store
from infra.contract.names import FEATURE_SERVICE
from infra.contract.tables import ENTITY_KEYS, ITEM_FACTS, TIME, Entity, feature_names
from infra.settings import Settings
from tests.features.feature_tables import START, Row, latest, value_of, write

DAY = timedelta(days=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def entities(key: str, rows: list[tuple[Any, Any]]) -> pa.Table:
    return pa.table(
        {
            key: pa.array([entity for entity, _ in rows], pa.string()),
            "event_timestamp": pa.array([time for _, time in rows], TIME),
        }
    )


def expected(settings: Settings, name: Entity, rows: list[Row], asked: list[tuple[Any, Any]]) -> dict[str, list[Any]]:
    view, never = views(settings)[name], timedelta(days=10_000)
    found = {
        lasts: [latest(rows, entity, time, never if lasts else view.ttl) for entity, time in asked]
        for lasts in (False, True)
    }
    return {
        feature: [
            value_of(view.schema.field(feature).type, row.number) if row else None
            for row in found[feature in ITEM_FACTS]
        ]
        for feature in feature_names(view.schema)
    }


@pytest.mark.parametrize("name", ENTITY_KEYS)
@pytest.mark.parametrize("chunk_rows", [64, 100_000])
def test_equals_the_oracle(settings: Settings, name: Entity, chunk_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "CHUNK_ROWS", chunk_rows)
    rng = np.random.default_rng(5)
    view = views(settings)[name]
    rows = [
        Row(f"e{rng.integers(8)}", START + DAY * int(d) * 3 + timedelta(hours=int(rng.integers(72))), int(i))
        for i, d in enumerate(rng.integers(0, 60, 150))
    ]
    same = [Row(row.entity, row.time, 1_000 + i, START + DAY) for i, row in enumerate(rows[:20])]
    for day in range(4):
        write(settings, name, day, [*rows[day::4], *same[day::4]])
    asked = [(f"e{rng.integers(10)}", START + timedelta(hours=int(rng.integers(-48, 24 * 300)))) for _ in range(400)]
    asked += asked[:50]
    asked += [(row.entity, row.time) for row in rows[:20]]
    asked += [(row.entity, row.time - timedelta(microseconds=1)) for row in rows[:20]]
    asked += [(row.entity, row.time + view.ttl) for row in rows[:20]]
    asked += [(row.entity, row.time + view.ttl + timedelta(microseconds=1)) for row in rows[:20]]
    order = rng.permutation(len(asked))
    asked = [asked[i] for i in order]
    table = entities(view.key, asked)

    joined = point_in_time(settings, table, [name])

    assert joined.select(table.column_names).equals(table)
    assert joined.select(feature_names(view.schema)).to_pydict() == expected(settings, name, [*rows, *same], asked)


@pytest.mark.parametrize("batch_rows", [7, 100_000])
def test_rows_of_files_are_joined_like_rows_in_memory(settings: Settings, batch_rows: int, tmp_path: Path) -> None:
    """Also where some files of features are older than the TTL of all that is asked, or later."""
    days = [START + DAY * 40 * number for number in range(5)]
    for number, day in enumerate(days):
        rows = [Row(f"e{i % 9}", day + timedelta(hours=i % 5), 100 * number + i) for i in range(40)]
        for name in ("user", "query", "item"):
            write(settings, name, number, rows)
    asked = [(f"e{i % 11}", days[3] + timedelta(hours=i % 7 - 2)) for i in range(60)]
    users = entities("user_id", asked).append_column("query", pa.array([entity for entity, _ in asked[::-1]]))
    for table, of in ((users, ["user", "query"]), (entities("item_id", asked), ["item"])):
        given = table.append_column("number", pa.array(range(60), pa.int64()))
        files = [tmp_path / f"{part}.parquet" for part in range(3)]
        for part, file in enumerate(files):
            pq.write_table(given.slice(20 * part, 20), file)
        joined = pa.concat_tables(offline.as_of_their_time(settings, files, of, batch_rows))
        assert joined.equals(point_in_time(settings, given, of))
        assert joined["number"].to_pylist() == list(range(60))
        measured = joined["requests_7d" if "user" in of else "impressions_7d"]
        assert 0 < measured.null_count < 60


def test_rows_of_files_without_feature_rows_yet(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(entities("query", [("shoes", START), (None, START)]), file)
    (joined,) = offline.as_of_their_time(settings, [file], ["query"], 10)
    assert joined.to_pydict() == point_in_time(settings, pq.read_table(file), ["query"]).to_pydict()
    with pytest.raises(ValueError, match="lack user_id"):
        next(offline.as_of_their_time(settings, [file], ["user"], 10))


def test_joins_several_views_and_keeps_other_columns(settings: Settings) -> None:
    write(settings, "item", 0, [Row("i", START, 3)])
    write(settings, "user", 0, [Row("u", START, 5)])
    table = pa.table(
        {
            "position": [2, 1],
            "user_id": ["u", "new"],
            "item_id": ["i", "i"],
            "event_timestamp": pa.array([START + DAY] * 2, TIME),
        }
    )
    item, facts, user = (views(settings)[name] for name in ("item", "item_facts", "user"))
    with pytest.raises(ValueError, match=r"clicks_7d, orders_30d.*one view at a time"):
        point_in_time(settings, table, ["user", "item"])
    joined = point_in_time(settings, table, ["item"])
    assert joined.column_names == ["position", "user_id", "item_id", "event_timestamp", *item.features, *facts.features]
    assert joined["position"].to_pylist() == [2, 1]
    assert point_in_time(settings, table, ["user"])["recent_items"].to_pylist() == [["value, 5", "value, 6"], None]
    assert user.features[0] == "recent_queries"


def test_late_row_counts_from_when_it_was_known(settings: Settings) -> None:
    seen_late = START + 3 * DAY
    write(settings, "user", 0, [Row("u", START, 1)])
    write(settings, "user", 3, [Row("u", seen_late + timedelta(microseconds=1), 3, seen_late)])
    asked = [("u", seen_late), ("u", seen_late + timedelta(microseconds=1))]
    joined = point_in_time(settings, entities("user_id", asked), ["user"])
    assert joined["requests_7d"].to_pylist() == [1, 3]


def test_no_feature_rows_yet(settings: Settings) -> None:
    asked = entities("query", [("shoes", START), (None, START)])
    joined = point_in_time(settings, asked, ["query"])
    assert joined["query_orders_30d"].to_pylist() == [None, None]
    assert joined.schema.field("query_orders_30d").type == pa.int64()
    assert point_in_time(settings, asked.slice(0, 0), ["query"]).num_rows == 0
    write(settings, "query", 0, [Row("shoes", START, 1)])
    assert point_in_time(settings, asked, ["query"])["query_requests_30d"].to_pylist() == [1, None]
    assert point_in_time(settings, asked.slice(0, 0), ["query"]).num_rows == 0


def test_null_values_stay_null(settings: Settings) -> None:
    write(settings, "item", 0, [Row("i", START, None), Row("j", START, 4)])
    joined = point_in_time(settings, entities("item_id", [("i", START), ("j", START)]), ["item"])
    assert joined["price"].to_pylist() == [None, 2.0]
    assert joined["clicks_7d"].to_pylist() == [None, 4]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"event_timestamp": pa.array([START], TIME)}), "lack user_id"),
        (pa.table({"user_id": ["u"]}), "lack event_timestamp"),
        (entities("user_id", [("u", None)]), "1 entity rows have no event_timestamp"),
    ],
)
def test_bad_entity_rows(settings: Settings, table: pa.Table, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        point_in_time(settings, table, ["user"])


def test_apply_is_idempotent_and_follows_the_settings(settings: Settings) -> None:
    registry = apply(settings)
    written = Path(registry["path"]).stat().st_mtime_ns
    assert apply(settings) == registry
    assert Path(registry["path"]).stat().st_mtime_ns == written
    shorter = settings.features.model_copy(update={"user_ttl": DAY})
    changed = settings.model_copy(update={"features": shorter})
    assert apply(changed) != registry
    assert open_store(changed).get_feature_view("user_features").ttl == DAY
    assert [s.name for s in open_store(settings).list_feature_services()] == [FEATURE_SERVICE]


def test_a_user_with_most_of_the_log_fits_in_the_memory_limit(settings: Settings) -> None:
    """Paired with one another, 6,000 requests and 6,000 feature rows of one user are 36 million wide rows."""
    count = 6_000
    small = settings.features.model_copy(update={"build_memory": "200MB"})
    settings = settings.model_copy(update={"features": small})
    rows = [Row("crawler", START + timedelta(seconds=i), i) for i in range(count)]
    write(settings, "user", 0, rows)
    asked = entities("user_id", [("crawler", row.time) for row in reversed(rows)])

    joined = point_in_time(settings, asked, ["user"])

    assert joined["requests_7d"].to_pylist() == list(reversed(range(count)))
