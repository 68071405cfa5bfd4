"""Users with a history, to try a shop with."""

from __future__ import annotations

import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.contract.partitions import partition_files, written_days
from infra.settings import Settings


def active_users(settings: Settings, count: int) -> list[str]:
    """The users with most clicks of the last built day, at most ``count``; none where this machine has no features."""
    table = settings.paths.features / "user"
    last = partition_files(table, written_days(table)[-1:])
    if not last or count < 1:
        return []
    rows = pq.read_table(last, columns=["user_id", "clicks_7d"])
    most = rows.group_by("user_id").aggregate([("clicks_7d", "max")])
    chosen = pc.select_k_unstable(
        most, min(count, len(most)), sort_keys=[("clicks_7d_max", "descending"), ("user_id", "ascending")]
    )
    return [str(user) for user in most["user_id"].take(chosen).to_pylist()]
