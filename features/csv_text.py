"""What a CSV file leaves unsaid: its separator and its escapes, told from the text and its header line.

DuckDB tells them from the rows, which one ragged row misleads.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from features.sql_text import quoted
from features.text_files import BLOCK_BYTES, Encoding, utf8_blocks

SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class Dialect:
    """How the rows of a CSV text are written."""

    separator: str
    escape: str
    """What precedes a quotation mark inside a quoted value: another one, or a backslash."""
    columns: tuple[str, ...]
    """Names of the header line, made distinct; none where the text is empty."""
    skipped: int = 0
    """Lines before the header line."""


def rewrite_csv(source: Path, name: str, encoding: Encoding, target: Path) -> Dialect:
    """Write a CSV or TSV file, packed or not, as UTF-8 with plain line ends, and tell its dialect.

    Raises:
        OSError: the file cannot be read.
    """
    start: str | None = None
    carriage = False
    with target.open("w", encoding="utf-8", newline="") as written:
        for block in utf8_blocks(source, name, encoding):
            text = block.removeprefix("\n") if carriage else block  # the mark that ends a line may lie across blocks
            carriage = block.endswith("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
            if start is None:
                text = text.lstrip("\n")
                start = text or None
            written.write(text)
    return _dialect(start or "")


def dialect_of(file: Path) -> Dialect:
    """The dialect of a file that is UTF-8 with plain line ends as it lies there."""
    with file.open("rb") as stream:
        return _dialect(stream.read(BLOCK_BYTES).decode(errors="replace"))


def csv_source(file: Path, dialect: Dialect) -> str:
    """SQL source of the rows of a file that is UTF-8 with plain line ends, each column a text.

    Lines that are no row of the columns go to DuckDB's ``reject_errors``.
    """
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in dialect.columns)
    return f"""read_csv({quoted(file)}, auto_detect = false, header = true, hive_partitioning = false,
        columns = {{{columns}}}, delim = {quoted(dialect.separator)}, quote = '"', escape = {quoted(dialect.escape)},
        skip = {dialect.skipped}, store_rejects = true, rejects_limit = 0)"""


def _dialect(start: str) -> Dialect:
    told = re.match(r'"?sep=(.)"?\n', start)  # Excel's
    if told:
        header = next(csv.reader(_lines(start[told.end() :]), delimiter=told[1]), [])
        return Dialect(told[1], _escape(start, told[1]), _distinct(header), skipped=1)
    headers = {mark: next(csv.reader(_lines(start), delimiter=mark), []) for mark in SEPARATORS}
    separator = max(SEPARATORS, key=lambda mark: len(headers[mark]))
    return Dialect(separator, _escape(start, separator), _distinct(headers[separator]))


def _lines(text: str) -> Iterator[str]:
    """The lines of a text, one after the other: a header needs the first of many."""
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin) + 1 or len(text)
        yield text[begin:end]
        begin = end


def _escape(text: str, separator: str) -> str:
    if '\\"' not in text:
        return '"'
    edge = rf"[{re.escape(separator)}\n]"
    backslashed = len(re.findall(rf'\\"(?!{edge})', text))
    doubled = len(re.findall(rf'(?<!{edge})""(?!{edge})', text))
    return "\\" if backslashed > doubled else '"'


def _distinct(names: list[str]) -> tuple[str, ...]:
    """DuckDB takes no two columns of one name, in any case, and none without a name."""
    taken: dict[str, str] = {}
    for place, name in enumerate(names):
        free = name or f"column{place}"
        while free.lower() in taken:
            free = f"{free}_{place}"
        taken[free.lower()] = free
    return tuple(taken.values())
