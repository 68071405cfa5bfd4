"""Whom the sample results are shown as."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa

from infra.contract.partitions import write_partition
from infra.settings import Settings
from orchestration.samples import busiest_users


def test_an_event_without_a_user_makes_no_user(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    events = pa.table({"user_id": pa.array([None, None, None, "b", "b", "a"], pa.string())})
    write_partition(settings.paths.sessions / "events", date(2026, 3, 1), events, events.schema)
    assert busiest_users(settings) == ["b", "a"]
