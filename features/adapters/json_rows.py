"""Files of any form as JSON rows in DuckDB: lines of JSON and Parquet stream, what is harder goes by ``documents``."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from types import SimpleNamespace

import duckdb

from features.adapters.base import AdapterError
from features.documents import load_documents
from features.file_names import format_in, why_unread
from features.json_values import HEAD_CHARS, shape_of
from features.sql_text import listed
from features.text_files import opened

MAX_LINE_BYTES = 32 * 2**20
EXAMPLE_CHARS = 80


def json_source(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> list[str]:
    """SQL sources of one column ``json``, a row per document in the order of the files; null where it is no JSON.

    Raises:
        AdapterError: a file of a form that is not read. DocumentError: one that is damaged.
    """
    refused = {file.name: why for file in files if (why := why_unread(file.name))}
    if refused:
        raise AdapterError("; ".join(f"{name}: {why}" for name, why in refused.items()))
    by_way: dict[str, list[Path]] = {}
    for file in files:
        by_way.setdefault(way_of(file), []).append(file)
    sources = []
    if lines := by_way.get("lines"):
        sources.append(
            f"(SELECT json FROM read_ndjson_objects({listed(lines)}, ignore_errors = true,"
            f" maximum_object_size = {MAX_LINE_BYTES}))"
        )
    if parquet := by_way.get("parquet"):
        sources.append(
            f"(SELECT to_json(r) AS json FROM read_parquet({listed(parquet)}, union_by_name = true,"
            " hive_partitioning = false, binary_as_string = true) AS r)"
        )
    if others := by_way.get("documents"):
        load_documents(SimpleNamespace(con=connection), "documents", others, [file.name for file in others])
        sources.append("(SELECT document AS json FROM documents ORDER BY row_id)")
    return sources


def way_of(file: Path, keys: Collection[str] = ()) -> str:
    """How a file is read: ``lines`` (JSON that DuckDB streams), ``parquet``, or by ``documents``.

    ``keys``: those of a row; a single line that has one is a row and no object around a list of rows.
    """
    kind = format_in(file.name)
    if kind in ("parquet", "csv"):
        return "parquet" if kind == "parquet" else "documents"
    with opened(file, file.name) as stream:
        head = stream.read(HEAD_CHARS)
    if head.startswith(b"PAR1"):
        return "parquet"
    try:
        text = head[: head.rfind(b"\n") + 1 or len(head)].decode()
    except UnicodeDecodeError:
        return "documents"
    packed = file.suffix.lower() in (".bz2", ".zstd") or (kind is None and not text.lstrip().startswith("{"))
    if packed or text.startswith("\ufeff"):
        return "documents"
    return "lines" if _is_row(text, keys) or shape_of(text).kind == "lines" else "documents"


def _is_row(text: str, keys: Collection[str]) -> bool:
    """Whether a text begins with a row of one line."""
    try:
        first = json.loads(text.lstrip().partition("\n")[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and not first.keys().isdisjoint(keys)


def odd_line(files: Sequence[Path]) -> str:
    """A sentence that shows the first line of text files that is no JSON object; empty where their heads have none."""
    for file in (file for file in files if way_of(file) == "lines"):
        with opened(file, file.name) as stream:
            head = stream.read(HEAD_CHARS)
        lines = head.decode(errors="replace").lstrip("\ufeff").splitlines()
        if (line := next((line for line in lines if line.strip() and not _is_object(line)), None)) is not None:
            return f"{file.name} has lines that are none, such as {shown(line)}"
    return ""


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def shown(text: str) -> str:
    """The beginning of a text for a sentence, what moves a terminal's cursor written out."""
    short = text.strip()[:EXAMPLE_CHARS]
    rest = "..." if len(text.strip()) > EXAMPLE_CHARS else ""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short) + rest
