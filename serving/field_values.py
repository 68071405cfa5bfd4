"""The values that a text field holds, found as people write them, and those nearest to one that it does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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
    is_only: NDArray[np.bool_]
    """Whether no other text has the key, [texts]."""


class FieldValues:
    """Distinct values of one text field of a release, built when first asked for. Read-only, so threads may share it.

    Args:
        columns: values of the items, ``""`` where an item has none.
        are_levels: the columns are the levels of a category from its root: its paths are values, too.
    """

    def __init__(self, columns: Sequence[pa.ChunkedArray], *, are_levels: bool = False) -> None:
        self._columns, self._are_levels = columns, are_levels
        self.nearest = lru_cache(maxsize=1024)(self._nearest)

    def frequent(self, count: int) -> list[str]:
        """The values that most items have, at most ``count``."""
        values: list[str] = self._values.texts.slice(0, count).to_pylist()
        return values

    def resolve(self, texts: Sequence[str]) -> list[str | Path | None]:
        """Of each text the value that it is, else the only one that it is but for case and spaces; where columns are
        levels, else the path of levels from the root that it writes (``A > B``, ``A/B``). None where there is none."""
        found: list[str | Path | None] = [None] * len(texts)
        asked = pa.array(texts, pa.string())
        exact = _rows(asked, self._values.texts)
        for at in np.flatnonzero(exact >= 0).tolist():
            found[at] = texts[at]
        left = np.flatnonzero(exact < 0)
        if not len(left):
            return found
        alike = _rows(_keys(asked.take(pa.array(left))), self._values.keys)
        one = _at(self._values.is_only, alike)
        values = self._values.texts.take(pa.array(alike[one])).to_pylist()
        for at, value in zip(left[one].tolist(), values, strict=True):
            found[at] = value
        left = left[alike < 0]
        for at, path in zip(left.tolist(), self.resolve_paths([texts[i] for i in left.tolist()]), strict=True):
            found[at] = path
        return found

    def spellings(self, text: str) -> tuple[str, ...]:
        """All values that a text is but for case and spaces."""
        (key,) = _keys(pa.array([text], pa.string())).to_pylist()
        return tuple(self._values.texts.filter(pc.equal(self._values.keys, key)).to_pylist()) if key else ()

    def resolve_paths(self, texts: Sequence[str]) -> list[Path | None]:
        """The path that each text writes, None where there is none, or several that differ in case."""
        if not self._are_levels or not texts:
            return [None] * len(texts)
        asked = pa.array(texts, pa.string())
        alike, exact = _rows(_path_keys(asked), self._paths.keys), _rows(asked, self._paths.texts)
        is_exact = _at(self._written_once, exact)
        is_one = _at(self._paths.is_only, alike)
        rows = np.where(is_one, alike, np.where(is_exact & (alike >= 0), exact, -1))
        found: list[Path | None] = [None] * len(texts)
        at = np.flatnonzero(rows >= 0)
        for place, levels in zip(at.tolist(), self._levels.take(pa.array(rows[at])).to_pylist(), strict=True):
            found[place] = tuple(level for level in levels.values() if level is not None)
        return found

    def warm(self) -> None:
        """Build what finds its values now, which the first filter would do."""
        self.resolve([" "])

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
        keys = _keys(texts)
        return _Texts(texts, keys, _is_only(keys))

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
        keys = _path_keys(joined)
        return _Texts(joined, keys, _is_only(keys))

    @cached_property
    def _written_once(self) -> NDArray[np.bool_]:
        """Whether no other path is written as it is, [paths]."""
        return _is_only(self._paths.texts)


def _rows(asked: pa.Array, held: pa.Array) -> NDArray[np.int64]:
    """Where each of texts is first held, [asked]; -1: nowhere, and where it is empty."""
    rows = pc.fill_null(pc.index_in(asked, value_set=held), -1).to_numpy(zero_copy_only=False)
    return np.where(pc.equal(asked, "").to_numpy(zero_copy_only=False), -1, rows).astype(np.int64)


def _at(flags: NDArray[np.bool_], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The flags at rows, False at -1."""
    return np.append(flags, False)[rows]


def _is_only(keys: pa.Array) -> NDArray[np.bool_]:
    """Whether each key is there once, [keys]."""
    first = pc.index_in(keys, value_set=keys).to_numpy(zero_copy_only=False)
    return np.asarray(np.bincount(first, minlength=len(keys))[first] == 1)


def _keys(texts: pa.Array) -> pa.Array:
    """Without case and spaces at the ends, single spaces within."""
    lower = pc.utf8_lower(pc.utf8_normalize(texts.cast(pa.string()), "NFC"))
    return pc.utf8_trim(pc.replace_substring_regex(lower, SPACES, " "), " ")


def _path_keys(texts: pa.Array) -> pa.Array:
    """Keys of paths, whatever is written between their levels."""
    return pc.utf8_trim(pc.replace_substring_regex(_keys(texts), _LEVELS, ">"), ">")
