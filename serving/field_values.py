"""The values that a text field holds, found as people write them, and those nearest to one that it does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from infra.contract.query_text import SPACES

MOST_COMPARED = 20_000
"""A value that is not there is compared with so many, the most frequent ones: some 20 ms."""
NEAREST, LEAST_ALIKE = 3, 70.0
"""Values that are named as the nearest, and how alike they are at least, of 100."""
_LEVELS = r" ?(?:->|::|[>»›→/|]) ?"
"""What people write between the levels of a category."""

BETWEEN = " > "
"""What we write there."""

Path = tuple[str, ...]
"""Levels of a category, root first."""


class _Texts(NamedTuple):
    texts: pa.Array
    keys: pa.Array
    """Of texts that people take for the same, the same."""


class FieldValues:
    """Distinct values of one text field of a release, built when first asked for. Read-only, so threads may share it.

    Args:
        columns: values of the items, ``""`` where an item has none.
        are_levels: the columns are the levels of a category from its root: its paths are values, too.
    """

    def __init__(self, columns: Sequence[pa.ChunkedArray], *, are_levels: bool = False) -> None:
        self._columns, self._are_levels = columns, are_levels
        self.find = lru_cache(maxsize=1024)(self._find)
        self.find_path = lru_cache(maxsize=1024)(self._find_path)
        self.nearest = lru_cache(maxsize=1024)(self._nearest)

    def frequent(self, count: int) -> list[str]:
        """The values that most items have, at most ``count``."""
        values: list[str] = self._values.texts.slice(0, count).to_pylist()
        return values

    def _find(self, text: str) -> str | Path | None:
        """The value that is ``text``, else the only one that it is but for case and spaces; where columns are levels,
        else the path of levels from the root that it writes (``A > B``, ``A/B``). None where there is none."""
        if pc.index(self._values.texts, text).as_py() >= 0:
            return text
        (key,) = _keys(pa.array([text])).to_pylist()
        rows = pc.indices_nonzero(pc.equal(self._values.keys, key)).to_pylist() if key else []
        if len(rows) == 1:
            value: str = self._values.texts[rows[0]].as_py()
            return value
        return None if len(rows) else self._find_path(text)

    def _find_path(self, text: str) -> Path | None:
        """The path that ``text`` writes, None where there is none, or several that differ in case."""
        if not self._are_levels:
            return None
        (key,) = _path_keys(pa.array([text])).to_pylist()
        rows = pc.indices_nonzero(pc.equal(self._paths.keys, key)).to_pylist() if key else []
        written = [row for row in rows if self._paths.texts[row].as_py() == text] if len(rows) > 1 else rows
        if len(written) != 1:
            return None
        (row,) = self._levels.slice(written[0], 1).to_pylist()
        return tuple(level for level in row.values() if level is not None)

    def _nearest(self, text: str) -> tuple[str, ...]:
        """What may have been meant by a text that is not found, the likeliest first."""
        from rapidfuzz import fuzz, process

        known = [self._values, *([self._paths] if self._are_levels else [])]
        texts = [text for held in known for text in held.texts.slice(0, MOST_COMPARED).to_pylist()]
        keys = [key for held in known for key in held.keys.slice(0, MOST_COMPARED).to_pylist()]
        (key,) = (_path_keys if self._are_levels else _keys)(pa.array([text])).to_pylist()
        found = process.extract(key, keys, scorer=fuzz.WRatio, limit=NEAREST, score_cutoff=LEAST_ALIKE)
        return tuple(dict.fromkeys(texts[row] for _, _, row in found))

    @cached_property
    def _values(self) -> _Texts:
        held = pa.chunked_array([chunk for column in self._columns for chunk in column.chunks], pa.string())
        counted = pa.table({"value": held.filter(pc.not_equal(held, ""))}).group_by("value")
        order = [("count_all", "descending"), ("value", "ascending")]
        texts = counted.aggregate([([], "count_all")]).sort_by(order)["value"].combine_chunks()
        return _Texts(texts, _keys(texts))

    @cached_property
    def _levels(self) -> pa.Table:
        """Each path from the root that some item's begins with, once: a level per column, null beyond its end."""
        names = [str(depth) for depth in range(len(self._columns))]
        whole = pa.table(dict(zip(names, self._columns, strict=True))).group_by(names).aggregate([])
        begun = [
            whole.filter(pc.not_equal(whole[last], "")).group_by(names[: depth + 1]).aggregate([])
            for depth, last in enumerate(names)
        ]
        return pa.concat_tables(begun, promote_options="default").select(names)

    @cached_property
    def _paths(self) -> _Texts:
        joined = pc.binary_join_element_wise(*self._levels.columns, BETWEEN, null_handling="skip").combine_chunks()
        return _Texts(joined, _path_keys(joined))


def _keys(texts: pa.Array) -> pa.Array:
    """Without case and spaces at the ends, single spaces within."""
    lower = pc.utf8_lower(pc.utf8_normalize(texts.cast(pa.string()), "NFC"))
    return pc.utf8_trim(pc.replace_substring_regex(lower, SPACES, " "), " ")


def _path_keys(texts: pa.Array) -> pa.Array:
    """Keys of paths, whatever is written between their levels."""
    return pc.utf8_trim(pc.replace_substring_regex(_keys(texts), _LEVELS, ">"), ">")
