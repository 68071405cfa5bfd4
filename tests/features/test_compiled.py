"""Tables made by expressions that are compiled once: the same rows as the expression's own, whatever changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis.backends.duckdb import Backend

from features import compiled
from features.build_sessions import build_sessions
from features.compiled import engine_table, make_table, make_view, with_variables
from features.engine import open_engine, view_days
from features.screening import DayWindow
from infra.contract.tables import LEFT_OUT
from infra.settings import RawSettings, Settings
from tests.features.raw_log import DAY, event, files_of, land, next_day, query, shop

NOON = datetime(2026, 5, 10, 12, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    with open_engine(Settings(home=tmp_path, shop="test")) as opened:
        opened.con.execute(
            "CREATE TABLE told AS SELECT range AS n, ? + range * INTERVAL 1 DAY AS time FROM range(4)", [NOON]
        )
        yield opened


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is compiled from here on."""
    compile_, seen = Backend.compile, list[Any]()

    def counted(self: Any, expression: Any, *args: Any, **more: Any) -> Any:
        seen.append(expression)
        return compile_(self, expression, *args, **more)

    monkeypatch.setattr(Backend, "compile", counted)
    monkeypatch.setattr(compiled, "_STATEMENTS", {})
    return seen


def within(told: Any, window: DayWindow) -> Any:
    return told.filter(told.time >= window.earliest, told.time < window.latest).mutate(
        since=ibis.greatest(told.time, window.start)
    )


def named(told: Any, names: Mapping[str, int]) -> Any:
    return told.mutate(name=told.n.cases(*((n, name) for name, n in names.items())))


def total(told: Any) -> Any:
    return told.agg(total=told.n.sum())


@pytest.mark.slow
def test_later_days_compile_nothing_and_have_the_tables_of_a_process_of_their_own(
    tmp_path: Path, compilations: list[Any]
) -> None:
    kept, alone = shop(tmp_path / "kept"), shop(tmp_path / "alone")
    days = [DAY, next_day()]
    for settings in (kept, alone):
        for n, day in enumerate(days):
            events = [event("click", "a", day=day, user_query="blue"), event("order", "b", "11:00:00", day=day)]
            land(settings, [query(f"q{n}", day=day), query(f"late{n}", "23:00:00")], events, day=day)
    build_sessions(kept, days[:1])
    first_day = len(compilations)
    build_sessions(kept, days[1:])
    assert len(compilations) == first_day > 0
    build_sessions(alone, days[:1])
    compiled._STATEMENTS.clear()
    build_sessions(alone, days[1:])
    assert files_of(kept) == files_of(alone)


def test_a_window_of_variables_means_what_its_moments_mean(engine: Any, compilations: list[Any]) -> None:
    told = engine_table(engine, "told")
    assert not compilations
    for days in range(4):
        window = DayWindow.of((NOON + timedelta(days=days)).date(), RawSettings(late_window=timedelta(days=1)))
        variables = with_variables(engine, window)
        make_table(engine, "found", within, told, variables)
        assert engine.table("found").to_pyarrow() == within(engine.table("told"), window).to_pyarrow()
    assert len(compiled._STATEMENTS) == 1
    wider = with_variables(engine, DayWindow.of(DAY, RawSettings(attribution_window=timedelta(days=3))))
    make_table(engine, "found", within, told, wider)
    assert len(compiled._STATEMENTS) == 2, "the attribution window is part of the statement"


def test_other_values_and_other_columns_are_compiled_anew(engine: Any) -> None:
    told = engine_table(engine, "told")

    def names() -> list[Any]:
        return [name for (name,) in engine.con.execute("SELECT name FROM found ORDER BY n").fetchall()]

    make_view(engine, "found", named, told, {"one": 1})
    assert names() == [None, "one", None, None]
    make_view(engine, "found", named, told, {"uno": 1, "two": 2})
    assert names() == [None, "uno", "two", None]
    engine.con.execute("ALTER TABLE told ADD COLUMN more TEXT")
    assert "more" not in [name for name, _ in make_view(engine, "found", named, told, {"one": 1}).columns]
    told = engine_table(engine, "told")
    assert "more" in [name for name, _ in make_view(engine, "found", named, told, {"one": 1}).columns]


def test_a_table_has_the_types_of_its_expression(engine: Any) -> None:
    """DuckDB sums BIGINT as HUGEINT, which no later expression takes for a count."""
    for make in (make_table, make_view):
        assert make(engine, make.__name__, total, engine_table(engine, "told")).columns == (("total", "BIGINT"),)


@pytest.mark.parametrize("written", [[], [DAY]])
def test_days_that_hold_nothing_have_the_columns_of_others(engine: Any, tmp_path: Path, written: list[Any]) -> None:
    """Else the first day of a shop, and each after it, were compiled apart."""
    for day in written:
        folder = tmp_path / "left_out" / f"dt={day}"
        folder.mkdir(parents=True)
        rows = pa.Table.from_pylist([{"query_id": "q", "reason": "bot"}], LEFT_OUT)
        pq.write_table(rows.drop_columns(["client_id"]), folder / "part.parquet")
    view_days(engine, "before", tmp_path / "left_out", [DAY], LEFT_OUT)
    kinds = {**dict.fromkeys(LEFT_OUT.names, "VARCHAR"), "landed": "DATE"}
    assert engine_table(engine, "before").columns == tuple(kinds.items())
