"""How many rows of a landing day became what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.completeness import bad_actions, wrong_fields
from features.day_report import SourceCounts
from features.day_screening import SOURCES
from features.rebuilt_requests import rebuilt_counts
from features.screening import ACTION_LINE, IGNORED
from infra.settings import RawSettings

EXAMPLES = 5
"""Rows of each reason that a report has."""


@dataclass(frozen=True)
class DayCounts:
    """What became of how many rows of a day."""

    sources: Mapping[str, SourceCounts]
    reasons: Mapping[str, int]
    examples: Mapping[str, Sequence[str]]
    rows_out: Mapping[str, int]
    attribution: Mapping[str, Mapping[str, int]]
    unknown_actions: Mapping[str, int]
    ignored_reasons: Mapping[str, int]
    basket_items: int
    rebuilt_requests: Mapping[str, int]
    named_by_text: int
    bad_actions: Mapping[str, str]
    wrong_fields: Sequence[str]

    @property
    def bad_share(self) -> float:
        """Refused among the rows that meant something: a log full of ignored hovers does not hide broken clicks."""
        refused = sum(c.refused for c in self.sources.values())
        return refused / max(1, refused + sum(c.clean for c in self.sources.values()))


def count_day(engine: Any, tables: Mapping[str, str], raw: RawSettings) -> DayCounts:
    """Count a day's rows by what became of them.

    Args:
        engine: Ibis DuckDB backend as ``screen_day`` leaves it, with ``day_events``.
        tables: What the engine calls the session tables of the day.
        raw: Settings of the log.
    """

    def rows(query: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = engine.con.execute(query).fetchall()
        return found

    ((basket_items,),) = rows(
        """SELECT (SELECT count(*) FROM screened_ubi_events) - (SELECT count(*) FROM raw_ubi_events)"""
    )
    sources = {}
    left_out: dict[str, int] = {}
    for source in SOURCES:
        logged = f"FROM screened_{source} WHERE row_id >= 0"
        by_reason = dict(rows(f"SELECT coalesce(reason, ''), count(*) {logged} GROUP BY ALL"))
        clean, lines = (by_reason.pop(key, 0) for key in ("", ACTION_LINE))
        ignored_rows = {key: by_reason.pop(key) for key in IGNORED if key in by_reason}
        for key, n in ignored_rows.items():
            left_out[key] = left_out.get(key, 0) + n
        ignored = sum(ignored_rows.values())
        refused = sum(by_reason.values())
        rows_in = clean + ignored + refused - (basket_items if source == "ubi_events" else 0)
        sources[source] = SourceCounts(rows_in, clean, ignored, refused, lines)
    examples = rows(
        f"""SELECT reason, list(left(raw, 300) ORDER BY source, row_id)
        FROM (FROM quarantine QUALIFY row_number() OVER (PARTITION BY reason ORDER BY source, row_id) <= {EXAMPLES})
        GROUP BY reason ORDER BY reason"""
    )
    attribution: dict[str, dict[str, int]] = {}
    for action, how, n in rows("SELECT action, attribution, count(*) FROM day_events GROUP BY ALL ORDER BY ALL"):
        attribution.setdefault(action, {})[how] = n
    rebuilt, named_by_text = rebuilt_counts(engine)
    return DayCounts(
        sources=sources,
        ignored_reasons=dict(sorted(left_out.items())),
        basket_items=basket_items,
        rebuilt_requests=rebuilt,
        named_by_text=named_by_text,
        bad_actions=bad_actions(engine, raw),
        wrong_fields=wrong_fields(engine),
        reasons=dict(rows("SELECT reason, count(*) FROM quarantine GROUP BY ALL ORDER BY ALL")),
        examples=dict(examples),
        rows_out={name: rows(f"SELECT count(*) FROM {table}")[0][0] for name, table in tables.items()},
        attribution=attribution,
        unknown_actions=dict(
            rows(
                """SELECT coalesce(action, ''), count(*) FROM screened_ubi_events WHERE reason = 'unknown_action'
                GROUP BY ALL ORDER BY count(*) DESC, 1 LIMIT 50"""
            )
        ),
    )
