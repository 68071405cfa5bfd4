"""The normalised form of a query's text: the key of query features, the same in Python, on DuckDB and on Spark."""

from __future__ import annotations

import re
from typing import Any

SPACES = "[\t\n\x0b\x0c\r\x85\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff ]+"
"""Spelt out, because what ``\\s`` and ``strip`` cover differs between the engines."""

# The two letters whose lower case depends on the engine: Java and Python lower a final capital sigma to its final form
# and a dotted capital I to two characters, DuckDB does neither.
_BEFORE_LOWER = (("Σ", "σ"), ("İ", "i"))


def normalise(text: str) -> str:
    """Lower case, single spaces, none at the ends."""
    for capital, small in _BEFORE_LOWER:
        text = text.replace(capital, small)
    return re.sub(SPACES, " ", text.lower()).strip(" ")


def is_searchable(text: str) -> bool:
    """Whether a query has anything that can be searched for: a letter or a number of any script."""
    return any(map(str.isalnum, text))


def normalised(text: Any) -> Any:
    """The same for an Ibis string column."""
    for capital, small in _BEFORE_LOWER:
        text = text.replace(capital, small)
    return text.lower().re_replace(SPACES, " ").strip()
