"""How JSON values of any type are read as ids, texts and times: DuckDB macros shared by the readers."""

from __future__ import annotations

from typing import Any

_MACROS = r"""
CREATE OR REPLACE TEMP MACRO is_nan(j) AS json_type(j) = 'DOUBLE' AND lower(j::VARCHAR) IN ('nan', '-nan');
CREATE OR REPLACE TEMP MACRO is_absent(j) AS j IS NULL OR json_type(j) = 'NULL' OR is_nan(j);
CREATE OR REPLACE TEMP MACRO is_number(j) AS json_type(j) IN ('UBIGINT', 'BIGINT', 'DOUBLE');
CREATE OR REPLACE TEMP MACRO no_scalar(j) AS coalesce(json_type(j) IN ('OBJECT', 'ARRAY', 'BOOLEAN'), false);
-- pandas writes a gap in a column of numbers as NaN, and the whole numbers beside it as 12.0
CREATE OR REPLACE TEMP MACRO as_text(j) AS CASE
    WHEN is_nan(j) THEN NULL WHEN json_type(j) = 'DOUBLE' THEN regexp_replace(j ->> '$', '^(-?\d+)\.0$', '\1')
    WHEN json_type(j) = 'VARCHAR' OR is_number(j) THEN j ->> '$' END;
CREATE OR REPLACE TEMP MACRO as_id(j) AS nullif(trim(as_text(j)), '');
-- the magnitude tells the unit: 1e11 seconds are the year 5138, 1e11 milliseconds 1973
CREATE OR REPLACE TEMP MACRO epoch_to_us(x) AS CASE
    WHEN abs(x) < 1e11 THEN x * 1e6 WHEN abs(x) < 1e14 THEN x * 1e3 WHEN abs(x) < 1e17 THEN x ELSE x / 1e3 END;
CREATE OR REPLACE TEMP MACRO parsed_time(s) AS CASE
    WHEN regexp_full_match(s, '-?\d+(\.\d+)?([eE]\+?\d+)?')
    THEN make_timestamptz(try_cast(round(epoch_to_us(try_cast(s AS DOUBLE))) AS BIGINT))
    ELSE try_cast(s AS TIMESTAMPTZ) END;
-- years that nanoseconds cannot hold break readers of these tables, and no log is that old or new
CREATE OR REPLACE TEMP MACRO within_reason(t) AS CASE
    WHEN t BETWEEN TIMESTAMPTZ '1970-01-01 00:00:00+00' AND TIMESTAMPTZ '2200-01-01 00:00:00+00' THEN t END;
CREATE OR REPLACE TEMP MACRO as_time(j) AS within_reason(parsed_time(as_id(j)));
CREATE OR REPLACE TEMP MACRO unreadable_time(j) AS NOT is_absent(j) AND as_time(j) IS NULL
    AND NOT coalesce(json_type(j) = 'VARCHAR' AND as_id(j) IS NULL, false);
CREATE OR REPLACE TEMP MACRO opened(j) AS CASE
    WHEN json_type(j) <> 'VARCHAR' THEN j WHEN json_valid(j ->> '$') THEN (j ->> '$')::JSON END;
CREATE OR REPLACE TEMP MACRO body_of(d) AS CASE
    WHEN json_type(d, '$._source') = 'OBJECT' THEN json_extract(d, '$._source') ELSE d END;
CREATE OR REPLACE TEMP MACRO has_object(d, path) AS coalesce(json_type(d, path) = 'OBJECT', false);
CREATE OR REPLACE TEMP MACRO is_action_line(d) AS coalesce(len(json_keys(d)) = 1, false)
    AND (has_object(d, '$.index') OR has_object(d, '$.create')
        OR has_object(d, '$.update') OR has_object(d, '$.delete'));
"""


def create_macros(engine: Any) -> None:
    """Define the macros in an Ibis DuckDB backend; its time zone must be UTC, for a time without a zone is read in it.

    ``as_id`` and ``as_text`` take texts and numbers, ``as_time`` ISO-8601 and epochs of any unit, ``opened`` JSON or
    JSON inside a text, ``body_of`` a document or what is under its ``_source``. All give null for what does not fit.
    """
    engine.con.execute(_MACROS)
