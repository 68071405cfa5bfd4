"""Texts, names and files as they are written in DuckDB's SQL."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def quoted(text: str | Path) -> str:
    """A text or path as a literal."""
    return "'" + str(text).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name of a column or key."""
    return '"' + name.replace('"', '""') + '"'


def listed(texts: Iterable[str | Path]) -> str:
    """Texts or paths as a list of literals."""
    return f"[{', '.join(quoted(text) for text in texts)}]"
