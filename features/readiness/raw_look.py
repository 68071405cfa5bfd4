"""A second look at the raw rows of a day, for an example of what was ignored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from features.day_screening import screen_day, tables_before
from features.engine import open_engine
from features.landing import day_files
from features.log_documents import load_log
from features.screening import IGNORED
from features.ubi import read_events, read_queries
from features.variants import item_aliases
from infra.contract.partitions import written_days
from infra.settings import Settings

_EXAMPLES = """
SELECT reason, left(arg_min(raw, row_id), 300) FROM (
    SELECT reason, row_id, raw FROM screened_ubi_queries JOIN documents_ubi_queries USING (row_id)
    UNION ALL SELECT reason, row_id, raw FROM screened_ubi_events JOIN documents_ubi_events USING (row_id)
) WHERE list_contains(?, reason) GROUP BY reason
"""


def ignored_examples(settings: Settings, day: date) -> Mapping[str, str]:
    """Reason -> a row of a built day that was ignored for it."""
    with open_engine(settings) as engine:
        load_log(settings, engine, day_files(settings, day))
        read_queries(engine, "documents_ubi_queries", "raw_ubi_queries", settings.raw.guest_ids)
        read_events(engine, "documents_ubi_events", "raw_ubi_events", settings.raw.guest_ids)
        days = [d for d in written_days(settings.paths.sessions / "requests") if d < day]
        screen_day(settings, engine, day, tables_before(settings, engine, days), item_aliases(engine, settings))
        return dict(engine.con.execute(_EXAMPLES, [list(IGNORED)]).fetchall())
