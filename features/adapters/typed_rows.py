"""Files as rows of named, typed columns in DuckDB: what is not there is null, what is of another type is null."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import duckdb

from features.adapters.base import AdapterError
from features.adapters.json_rows import MAX_LINE_BYTES, way_of
from features.documents import load_documents
from features.file_names import why_unread
from features.json_macros import macros_sql
from features.sql_text import identifier, listed, quoted


def typed_source(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], columns: Mapping[str, str]) -> list[str]:
    """SQL sources that have these columns, a row per document; a line that is no JSON object has nulls alone.

    Args:
        connection: DuckDB; files that neither stream nor are Parquet are loaded into its table ``documents``.
        files: JSON (a document a line, lists of them), Parquet and CSV, the texts packed or not.
        columns: Column -> DuckDB type; texts and numbers as ``VARCHAR``, what may be anything as ``JSON``.

    Raises:
        AdapterError: a file of a form that is not read. DocumentError: one that is damaged.
    """
    refused = {file.name: why for file in files if (why := why_unread(file.name))}
    if refused:
        raise AdapterError("; ".join(f"{name}: {why}" for name, why in refused.items()))
    by_way: dict[str, list[Path]] = {}
    for file in files:
        by_way.setdefault(way_of(file, columns), []).append(file)
    sources = []
    if lines := by_way.get("lines"):
        named = ", ".join(f"{identifier(name)}: {quoted(kind)}" for name, kind in columns.items())
        sources.append(
            f"read_json({listed(lines)}, format = 'newline_delimited', ignore_errors = true,"
            f" maximum_object_size = {MAX_LINE_BYTES}, columns = {{{named}}})"
        )
    if parquet := by_way.get("parquet"):
        sources.append(_parquet(connection, parquet, columns))
    if others := by_way.get("documents"):
        connection.execute(macros_sql())
        load_documents(SimpleNamespace(con=connection), "documents", others, [file.name for file in others])
        picked = ", ".join(f"{_from_document(name, kind)} AS {identifier(name)}" for name, kind in columns.items())
        sources.append(f"(SELECT {picked} FROM documents)")
    return sources


def _from_document(name: str, kind: str) -> str:
    """A key of a document as a value; what is nested may be JSON as text, as in a CSV file."""
    found = f"json_extract(document, {quoted('$.' + identifier(name))})"
    if kind == "JSON":
        return found
    if kind.endswith(("]", ")")):
        return f"json_transform(unfolded({found}), {quoted(json.dumps(kind))})"
    return f"TRY_CAST(json_extract_string({found}, '$') AS {kind})"


def _parquet(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], columns: Mapping[str, str]) -> str:
    source = f"read_parquet({listed(files)}, union_by_name = true, hive_partitioning = false, binary_as_string = true)"
    there = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE FROM {source}").fetchall()}
    by_lower = {name.lower(): name for name in there}
    picked = []
    for name, kind in columns.items():
        found = by_lower.get(name.lower())
        value = "NULL" if found is None else _value(identifier(found), there[found], kind)
        picked.append(f"{value}::{kind} AS {identifier(name)}")
    return f"(SELECT {', '.join(picked)} FROM {source})"


def _value(column: str, there: str, wanted: str) -> str:
    """A column as a value of the wanted type."""
    if wanted == "JSON":
        is_text = there == "VARCHAR"
        return f"CASE WHEN json_valid({column}) THEN {column} END" if is_text else f"to_json({column})"
    if there == "VARCHAR" and wanted.endswith(("]", ")")):
        return f"json_transform(CASE WHEN json_valid({column}) THEN {column} END, {quoted(json.dumps(wanted))})"
    # BigQuery and old Spark write a repeated field as a struct of a list of structs of one field
    wrapped = re.match(r'STRUCT\("?list"? STRUCT\("?(element|item|array|array_element)"? ', there)
    if wrapped:
        column = f"list_transform({column}.list, lambda x: x.{wrapped[1]})"
    return f"TRY_CAST({column} AS {wanted})"
