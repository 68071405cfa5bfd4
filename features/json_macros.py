"""How JSON values of any type are read as ids, texts and times: DuckDB macros shared by the readers."""

from __future__ import annotations

from typing import Any

import duckdb

from infra.contract.ubi import EPOCH_BOUNDS, NO_VALUES

_SECONDS, _MILLISECONDS, _MICROSECONDS = EPOCH_BOUNDS
_AGREED = f"""
CREATE OR REPLACE TEMP MACRO says_none(t) AS lower(t) IN {NO_VALUES};
CREATE OR REPLACE TEMP MACRO epoch_to_us(x) AS CASE
    WHEN abs(x) < {_SECONDS:g} THEN x * 1e6 WHEN abs(x) < {_MILLISECONDS:g} THEN x * 1e3
    WHEN abs(x) < {_MICROSECONDS:g} THEN x ELSE x / 1e3 END;
"""
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
CREATE OR REPLACE TEMP MACRO as_key(j) AS list_filter([as_id(j)], lambda t: NOT says_none(t))[1];
CREATE OR REPLACE TEMP MACRO first_id(listed) AS
    list_filter(list_transform(listed, lambda e: as_id(e)), lambda t: t IS NOT NULL)[1];
CREATE OR REPLACE TEMP MACRO first_key(listed) AS
    list_filter(list_transform(listed, lambda e: as_key(e)), lambda t: t IS NOT NULL)[1];
CREATE OR REPLACE TEMP MACRO is_blank(j) AS is_absent(j) OR NOT no_scalar(j) AND as_key(j) IS NULL;
-- the list with nulls for blanks; one lambda for all elements, where a macro for each would be copied out
CREATE OR REPLACE TEMP MACRO unless_blank(listed) AS
    list_transform(listed, lambda e: CASE WHEN NOT is_blank(e) THEN e END);
CREATE OR REPLACE TEMP MACRO as_person(j, guests) AS list_filter([as_key(j)],
    lambda t: NOT list_contains(guests, lower(t)))[1];
-- PHP writes false for the user who is not logged in
CREATE OR REPLACE TEMP MACRO no_person(j) AS no_scalar(j) AND j::VARCHAR <> 'false';
-- years that nanoseconds cannot hold break readers of these tables, and no log is that old or new
CREATE OR REPLACE TEMP MACRO within_reason(t) AS CASE
    WHEN t BETWEEN TIMESTAMPTZ '1970-01-01 00:00:00+00' AND TIMESTAMPTZ '2200-01-01 00:00:00+00' THEN t END;
CREATE OR REPLACE TEMP MACRO epoch_time(s) AS list_transform(
    list_transform([try_cast(s AS DOUBLE)], lambda x: make_timestamptz(try_cast(round(epoch_to_us(x)) AS BIGINT))),
    lambda t: within_reason(t))[1];
-- 20260510T100000,123Z and 20260510100000 as 2026-05-10T10:00:00.123Z; "10:00:00 -0400" and "+02:00[Europe/Berlin]"
CREATE OR REPLACE TEMP MACRO spaced_time(s) AS regexp_replace(s,
    '^((?:19|20)\d\d)(\d\d)(\d\d)[T ]?(\d\d)(\d\d)(\d\d)', '\1-\2-\3T\4:\5:\6');
CREATE OR REPLACE TEMP MACRO mended_time(s) AS regexp_replace(regexp_replace(regexp_replace(spaced_time(s),
    '(:\d\d),(\d+)', '\1.\2'), '\s*\[[\w/+-]+\]$', ''), '(:\d\d(?:\.\d+)?)\s+([+-]\d\d:?\d\d)$', '\1\2');
-- HTTP (RFC 1123, 850), mail, JavaScript's toString, Apache's and Kibana's times
CREATE OR REPLACE TEMP MACRO named_month_time(s) AS try_strptime(
    regexp_replace(regexp_replace(regexp_replace(s, '^[A-Za-z]+,?\s+', ''), '\s*\([^)]*\)$', ''),
        '(?:\s+)(?:GMT|UTC|UT|Z)([+-]\d{4})?$', ' +0000\1'),
    ['%d %b %Y %H:%M:%S %z', '%d-%b-%y %H:%M:%S %z', '%d/%b/%Y:%H:%M:%S %z']);
CREATE OR REPLACE TEMP MACRO other_time(s) AS coalesce(
    named_month_time(s),
    try_strptime(regexp_replace(s, '^[A-Za-z]{3} ([A-Za-z]{3} \d+ \d{4} [\d:]{8}) GMT([+-]\d{4}).*$', '\1 \2'),
        '%b %d %Y %H:%M:%S %z'),
    try_strptime(s || ' +0000', ['%b %d, %Y @ %H:%M:%S.%g %z', '%a %b %d %H:%M:%S %Y %z']));
CREATE OR REPLACE TEMP MACRO parsed_time(s) AS CASE
    WHEN regexp_full_match(s, '-?\d+(\.\d+)?([eE]\+?\d+)?')
    THEN coalesce(epoch_time(s), try_cast(spaced_time(s) AS TIMESTAMPTZ))
    ELSE coalesce(try_cast(s AS TIMESTAMPTZ), try_cast(mended_time(s) AS TIMESTAMPTZ), other_time(s)) END;
-- MongoDB's {"$date": ...}, which holds a text, a number or {"$numberLong": "..."}
CREATE OR REPLACE TEMP MACRO undated(j) AS CASE
    WHEN json_type(j) <> 'OBJECT' THEN j
    ELSE coalesce(json_extract(j, '$."$date"."$numberLong"'), json_extract(j, '$."$date"'),
        json_extract(j, '$."$numberLong"'), j) END;
-- a macro's argument is copied to each place that names it: the lambdas keep the plan small
CREATE OR REPLACE TEMP MACRO as_time(j) AS list_transform(
    list_transform(list_transform([j], lambda e: as_id(undated(e))), lambda s: parsed_time(s)),
    lambda t: within_reason(t))[1];
CREATE OR REPLACE TEMP MACRO field_is(name, j) AS concat(name, ' ', left(j::VARCHAR, 80));
CREATE OR REPLACE TEMP MACRO unreadable_time(j, read) AS read IS NULL AND NOT is_absent(j)
    AND NOT coalesce(json_type(j) = 'VARCHAR' AND as_id(j) IS NULL, false);
CREATE OR REPLACE TEMP MACRO opened(j) AS CASE
    WHEN json_type(j) <> 'VARCHAR' THEN j WHEN json_valid(j ->> '$') THEN (j ->> '$')::JSON END;
-- the same, but a text that is no object or list stays the text it is
CREATE OR REPLACE TEMP MACRO unfolded(j) AS CASE
    WHEN json_type(opened(j)) IN ('OBJECT', 'ARRAY') THEN opened(j) ELSE j END;
CREATE OR REPLACE TEMP MACRO body_of(d) AS CASE
    WHEN json_type(d, '$._source') = 'OBJECT' THEN json_extract(d, '$._source') ELSE d END;
CREATE OR REPLACE TEMP MACRO has_object(d, path) AS coalesce(json_type(d, path) = 'OBJECT', false);
CREATE OR REPLACE TEMP MACRO is_action_line(d) AS coalesce(len(json_keys(d)) = 1, false)
    AND (has_object(d, '$.index') OR has_object(d, '$.create')
        OR has_object(d, '$.update') OR has_object(d, '$.delete'));
-- what a bulk action line says of the row after it: {"_index": ..., "_id": ...}
CREATE OR REPLACE TEMP MACRO action_of(d) AS CASE WHEN is_action_line(d) THEN json_extract(d, '$.*')[1] END;
CREATE OR REPLACE TEMP MACRO source_of_index(name) AS CASE
    WHEN contains(lower(name), 'quer') AND NOT contains(lower(name), 'event') THEN 'ubi_queries'
    WHEN contains(lower(name), 'event') AND NOT contains(lower(name), 'quer') THEN 'ubi_events' END;
-- whether an object has a key that may be the text of the search
CREATE OR REPLACE TEMP MACRO names_text(t) AS
    regexp_matches(t, '(?i)"[a-z_. -]*(search[_ -]?(term|query)|query[_ -]?text|user[_ -]?query|query)"\s*:');
-- how a key is compared: queryId, query_id, "Query ID" and query-id are one
CREATE OR REPLACE TEMP MACRO spelling(k) AS regexp_replace(lower(k), '[^a-z0-9.]', '', 'g');
"""


def macros_sql() -> str:
    """The macros of ``create_macros`` as SQL statements."""
    return _AGREED + _MACROS


def create_macros(engine: Any) -> None:
    """Define the macros in an Ibis DuckDB backend; its time zone must be UTC, for a time without a zone is read in it.

    ``as_id`` and ``as_text`` take texts and numbers, ``as_key`` the same except what means "none", ``as_person`` the
    same except guests, ``as_time`` ISO-8601, HTTP and log times and epochs of any unit, ``opened`` JSON or JSON inside
    a text, ``body_of`` a document or what is under its ``_source``. All give null for what does not fit.
    """
    try:
        engine.con.execute("SELECT spelling('')")  # the last of them
    except duckdb.CatalogException:
        engine.con.execute(macros_sql())
