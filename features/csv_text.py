"""What a CSV file leaves unsaid: its encoding, its separator and its escapes, told from the text and its header line.

DuckDB tells them from the rows, which one ragged row misleads.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fsspec.implementations.local import LocalFileSystem

BLOCK_BYTES = 16 * 2**20
SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class Dialect:
    """How the rows of a CSV text are written."""

    separator: str
    escape: str
    """What precedes a quotation mark inside a quoted value: another one, or a backslash."""
    columns: tuple[str, ...]
    """Names of the header line, made distinct; none where the text is empty."""


def rewrite_csv(source: Path, target: Path) -> Dialect:
    """Write a CSV file, also with ``.gz``, as UTF-8 with plain line ends, and tell its dialect.

    Read are UTF-8, UTF-16 with its mark and, where most of the letters beyond ASCII are no UTF-8, Windows-1252 (of
    which Latin-1 is a part). Bytes that fit none of them become U+FFFD.

    Raises:
        OSError, EOFError, zlib.error: the file cannot be read.
    """
    encoding = _encoding(source)
    with _opened(source) as stream, target.open("w", encoding="utf-8", newline="") as written:
        text = io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline=None)
        start = text.read(BLOCK_BYTES).lstrip("\n")
        block = start
        while block:
            written.write(block.replace("\x00", "\ufffd"))
            block = text.read(BLOCK_BYTES)
    return _dialect(start)


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    with LocalFileSystem().open(str(file), "rb", compression="infer") as stream:
        yield stream


def _encoding(file: Path) -> str:
    with _opened(file) as stream:
        block = stream.read(BLOCK_BYTES)
        if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        return "utf-8-sig" if _mostly_utf8(stream, block) else "cp1252"


def _mostly_utf8(stream: BinaryIO, block: bytes) -> bool:
    """One damaged byte does not turn the other letters of a file of UTF-8 into those of another encoding."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    letters = bad = 0
    while block:
        text = decoder.decode(block)
        if not text.isascii():
            letters += len(text) - len(text.encode("ascii", "ignore"))
            bad += text.count("\ufffd")
        block = stream.read(BLOCK_BYTES)
    return 2 * bad <= letters


def _dialect(start: str) -> Dialect:
    headers = {mark: next(csv.reader(io.StringIO(start), delimiter=mark), []) for mark in SEPARATORS}
    separator = max(SEPARATORS, key=lambda mark: len(headers[mark]))
    edge = rf"[{re.escape(separator)}\n]"
    backslashed = len(re.findall(rf'\\"(?!{edge})', start))
    doubled = len(re.findall(rf'(?<!{edge})""(?!{edge})', start))
    return Dialect(separator, "\\" if backslashed > doubled else '"', _distinct(headers[separator]))


def _distinct(names: list[str]) -> tuple[str, ...]:
    """DuckDB takes no two columns of one name, in any case, and none without a name."""
    taken: dict[str, str] = {}
    for place, name in enumerate(names):
        free = name or f"column{place}"
        while free.lower() in taken:
            free = f"{free}_{place}"
        taken[free.lower()] = free
    return tuple(taken.values())
