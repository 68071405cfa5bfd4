"""Tables of a DuckDB engine made by Ibis expressions, each of which is built and compiled once in a process.

That takes longer than running it over a small day, and from day to day little changes in the SQL: tables keep their
names, and the times of the day's window are variables of the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import ibis
import ibis.expr.datatypes as dt

from features.screening import DayWindow
from features.sql_text import identifier


@dataclass(frozen=True)
class EngineTable:
    """A table or view of an engine."""

    name: str
    columns: tuple[tuple[str, str], ...]
    """Names, and types as DuckDB writes them."""


def engine_table(engine: Any, name: str) -> EngineTable:
    """The table or view ``name`` of an Ibis DuckDB backend."""
    described = engine.con.execute(f"FROM {identifier(name)} LIMIT 0").description
    return EngineTable(name, tuple((column, str(kind)) for column, kind, *_ in described))


def make_table(engine: Any, name: str, build: Callable[..., Any], *inputs: Any) -> EngineTable:
    """Create the table that ``build(*inputs)`` is, replacing one of that name.

    Args:
        engine: Ibis DuckDB backend.
        name: Of the table.
        build: A function of a module that makes an Ibis expression of its arguments and of nothing else.
        inputs: ``EngineTable``, which ``build`` gets as Ibis tables, and values that its expression depends on.
    """
    statement = _statement(engine, build, inputs)
    engine.con.execute(f"CREATE OR REPLACE TABLE {identifier(name)} AS {statement.sql}")
    return EngineTable(name, statement.columns)


def make_view(engine: Any, name: str, build: Callable[..., Any], *inputs: Any) -> EngineTable:
    """As ``make_table``, a view."""
    statement = _statement(engine, build, inputs)
    engine.con.execute(f"CREATE OR REPLACE VIEW {identifier(name)} AS {statement.sql}")
    return EngineTable(name, statement.columns)


def with_variables(engine: Any, window: DayWindow) -> DayWindow:
    """The same window, its times as variables of the engine, which are set."""
    for name in _MOMENTS:
        engine.con.execute(f"SET VARIABLE {name} = ?", [getattr(window, name)])
    return replace(window, **{name: _variable(name) for name in _MOMENTS})


MOST = 1_000
"""Statements that are kept; settings that change make new ones."""
_STATEMENTS: dict[Any, _Statement] = {}
_MOMENTS = ("start", "earliest", "latest")


def _time(variable: Any) -> Any:
    """A time among the variables of a DuckDB, which plans with it as with a literal."""


_variable = ibis.udf.scalar.builtin(_time, name="getvariable", signature=((dt.string,), dt.Timestamp("UTC")))


@dataclass(frozen=True)
class _Statement:
    sql: str
    columns: tuple[tuple[str, str], ...]


def _statement(engine: Any, build: Callable[..., Any], inputs: tuple[Any, ...]) -> _Statement:
    key = (build, *map(_key, inputs))
    statement = _STATEMENTS.get(key)
    if statement is None:
        tables = (engine.table(value.name) if isinstance(value, EngineTable) else value for value in inputs)
        statement = _compiled(engine, build(*tables))
        if len(_STATEMENTS) >= MOST:
            _STATEMENTS.clear()
        _STATEMENTS[key] = statement
    return statement


def _compiled(engine: Any, rows: Any) -> _Statement:
    """The SQL of an expression, in the types that Ibis knows it by: DuckDB's own sums of BIGINT are wider."""
    kinds = tuple((name, engine.compiler.type_mapper.to_string(kind)) for name, kind in rows.schema().items())
    columns = ", ".join(f"{identifier(name)}::{kind} AS {identifier(name)}" for name, kind in kinds)
    return _Statement(f"SELECT {columns} FROM ({engine.compile(rows)})", kinds)


def _key(value: Any) -> Any:
    """A value by which dictionaries find what was compiled with an equal one."""
    if isinstance(value, ibis.Expr):
        return value.op()
    if is_dataclass(value):
        return (type(value), *(_key(getattr(value, field.name)) for field in fields(value)))
    if isinstance(value, Mapping):
        return tuple((key, _key(item)) for key, item in value.items())
    return value
