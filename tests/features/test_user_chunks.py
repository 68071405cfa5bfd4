"""User features of chunks of users are those of all users together."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import features.engines.duckdb_engine as building
import features.user_chunks as chunking
from features.engine import from_arrow, open_engine
from features.snapshots import build_user_features
from features.user_chunks import user_chunks
from infra.contract.partitions import partition_file, table_files
from infra.settings import FeatureSettings, Settings
from tests.features.small_log import Log, small_log

ODD = ["", "o'hara", 'a"b\\c', "Zoë", "zoe", "x\0y", "%_", "\uffff", "\U0001f600", "NULL"]


def with_users(log: Log, ids: list[str | None]) -> Log:
    """The log with other names for its users ``u0``, ``u1``..."""

    def named(table: pa.Table) -> pa.Table:
        names = pa.array(ids, pa.string()).take(pc.cast(pc.utf8_slice_codeunits(table["user_id"], 1), pa.int64()))
        return table.set_column(table.column_names.index("user_id"), table.schema.field("user_id"), names)

    return replace(log, requests=named(log.requests), events=named(log.events))


def build(home: Path, log: Log, days: list[date], **chosen: int) -> tuple[dict[str, pa.Table], list[float]]:
    settings = Settings(home=home, shop="toy", features=FeatureSettings(**chosen))
    log.write(settings)
    said: list[float] = []
    build_user_features(settings, days, lambda _, share: said.append(share))
    table = settings.paths.features / "user"
    assert table_files(table) == [partition_file(table, day) for day in days]
    # By itself: a dataset's reader would hide that rows of one file come in another order.
    return {file.parent.name: pq.read_table(file, partitioning=None) for file in table_files(table)}, said


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 30, 150])
@pytest.mark.parametrize("ids", [ODD, [*ODD[:6], None, *ODD[7:]]], ids=["every row has a user", "some have none"])
def test_chunks_leave_the_same_rows_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, ids: list[str | None]
) -> None:
    log = with_users(small_log(users=len(ids), requests_per_day=40), ids)
    days = sorted({day.as_py() for day in log.requests["landed"]})
    whole, _ = build(tmp_path / "whole", log, days)
    made: list[int] = []

    def counted(*tables: Any) -> Any:
        made.append(len(user_chunks(*tables)))
        return user_chunks(*tables)

    monkeypatch.setattr(building, "user_chunks", counted)
    monkeypatch.setattr(chunking, "CHUNK_ROWS", rows)
    chunked, said = build(tmp_path / "chunked", log, days, build_days=3)
    assert chunked == whole
    assert len(made) == 2 and min(made) > 1
    assert said == sorted(said) and said[-1] == pytest.approx(1.0) and len(said) == sum(made)


@pytest.mark.parametrize("rows", [1, 7, 100, 10_000])
def test_a_user_is_in_one_chunk_and_a_chunk_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(chunking, "CHUNK_ROWS", rows)
    counts = dict(zip(ODD, [1, 90, 2, 3, 5, 250, 1, 8, 13, 40], strict=True))
    ids = [user for user, n in counts.items() for _ in range(n)]
    requests, events = ids[::3], [user for at, user in enumerate(ids) if at % 3]
    with open_engine(Settings(home=tmp_path, shop="toy")) as engine:
        tables = [from_arrow(engine, pa.table({"user_id": users})) for users in (requests, events)]
        chunks = [
            [user for part in chunk for user in engine.to_pyarrow(part)["user_id"].to_pylist()]
            for chunk in user_chunks(engine, *tables)
        ]
    assert sorted(user for chunk in chunks for user in chunk) == sorted(ids)
    assert [user for chunk in chunks for user in sorted(set(chunk))] == sorted(counts)
    assert all(len(chunk) < rows + max(counts.values()) for chunk in chunks)
    assert len(chunks) >= min(len(counts), len(ids) // (rows + max(counts.values())))
    assert len(chunks) > 1 or rows > len(ids)


@pytest.mark.parametrize("users", [[], [None, None], ["u"], ["u"] * 500])
def test_what_is_small_or_one_users_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: list[str | None]
) -> None:
    monkeypatch.setattr(chunking, "CHUNK_ROWS", 10)
    with open_engine(Settings(home=tmp_path, shop="toy")) as engine:
        table = from_arrow(engine, pa.table({"user_id": pa.array(users, pa.string())}))
        assert user_chunks(engine, table, table) == [(table, table)]
