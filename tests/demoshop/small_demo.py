"""Settings of a small demo shop, and its logs as tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.settings import DemoSettings, Settings

SMALL = DemoSettings(users=50, items=200, days=4, new_items_per_day=3, requests_per_user_day=3.0)


def shop_settings(home: Path, **changes: object) -> Settings:
    """Settings of a small shop under ``home``."""
    return Settings(home=home, demo=DemoSettings(**(SMALL.model_dump() | changes)))


def read_days(landing: Path, name: str) -> pa.Table:
    """A UBI table of all days, in order."""
    return pa.concat_tables([pq.read_table(f) for f in sorted(landing.glob(f"dt=*/{name}.parquet"))])
