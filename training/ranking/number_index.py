"""The numbers of items, in order: whole ones, beginnings and parts of them are found without a loop over items."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.ranking.identifiers import Said

I64 = NDArray[np.int64]
MOST_NUMBERS = 200
"""Numbers with a part in common, of one product's variants, beyond which the part finds nothing."""
NOTHING: I64 = np.zeros(0, dtype=np.int64)


class NumberIndex:
    """Items by their folded numbers. Read-only, so threads may share it.

    All numbers lie in one sorted text, a line each: whole ones and beginnings are found by bisection, any other part by
    one pass over the text.

    Args:
        own: numbers of items; said: numbers that texts of theirs say, kept where at most ``few`` say it; items: how
            many there are.
    """

    def __init__(self, own: Said, said: Said, items: int, few: int) -> None:
        distinct, place = _sorted(pa.concat_arrays([own.key, said.key]))
        row = np.concatenate([own.row, said.row])
        # An item's own number is not said by it as well: own ones come first among equals.
        pairs = place * max(items, 1) + row
        order = np.argsort(pairs, kind="stable")
        order = order[np.diff(pairs[order], prepend=-1) > 0]
        pairs, is_own = pairs[order], order < len(own.row)
        key, row = np.divmod(pairs, max(items, 1))
        kept = is_own | (np.bincount(key[~is_own], minlength=len(distinct)) <= few)[key]
        key, self._rows, self._is_own = key[kept], row[kept].astype(np.int32), is_own[kept]
        begin = np.flatnonzero(np.diff(key, prepend=-1))
        self._entries = np.append(begin, len(key)).astype(np.int32)
        lines = pc.binary_join_element_wise(distinct.take(pa.array(key[begin])), "", "\n").cast(pa.large_string())
        self._begin = np.append(np.frombuffer(lines.buffers()[1], np.int64)[: len(lines)], 0)
        self._text = bytes(lines.buffers()[2] or b"")
        self._begin[-1] = len(self._text)

    @property
    def size(self) -> int:
        """How many distinct numbers there are."""
        return len(self._begin) - 1

    @property
    def nbytes(self) -> int:
        """Memory of the numbers, without the ids."""
        arrays = (self._begin, self._rows, self._is_own, self._entries)
        return len(self._text) + sum(int(array.nbytes) for array in arrays)

    def rows_of(self, key: str) -> tuple[I64, I64]:
        """Items whose own number this is, and items that say it."""
        number = key.encode()
        place = self._at(number)
        if not number or place == self.size or self._number(place) != number:
            return NOTHING, NOTHING
        entries = slice(*self._entries[place : place + 2].tolist())
        rows, is_own = self._rows[entries].astype(np.int64), self._is_own[entries]
        return rows[is_own], rows[~is_own]

    def rows_with(self, part: str) -> Iterator[I64]:
        """Items with a number that begins with the part, then those of which it is any part; none for too many."""
        sought = part.encode()
        begin, end = self._at(sought), self._at(sought + b"\xff")
        yield self._rows_at(range(begin, min(end, begin + MOST_NUMBERS + 1)))
        yield self._rows_at(list(self._numbers_with(sought)))

    def _rows_at(self, places: Sequence[int]) -> I64:
        if not 0 < len(places) <= MOST_NUMBERS:
            return NOTHING
        entries = [self._rows[slice(*self._entries[place : place + 2].tolist())] for place in places]
        return np.unique(np.concatenate(entries)).astype(np.int64)

    def _numbers_with(self, part: bytes) -> Iterator[int]:
        """Places of the numbers with ``part`` in them, one more than ``MOST_NUMBERS`` at most."""
        at, found = self._text.find(part), 0
        while at >= 0 and found <= MOST_NUMBERS:
            place = int(np.searchsorted(self._begin, at, side="right")) - 1
            yield place
            found += 1
            at = self._text.find(part, int(self._begin[place + 1]))

    def _at(self, number: bytes) -> int:
        """The place of the first number that is not below it."""
        return bisect_left(range(self.size), number, key=self._number)

    def _number(self, place: int) -> bytes:
        begin, end = self._begin[place : place + 2].tolist()
        return self._text[begin : end - 1]


def _sorted(keys: pa.Array) -> tuple[pa.Array, I64]:
    """The distinct keys in the order of their bytes, and the place of each key among them."""
    encoded = keys.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary.cast(pa.binary())).to_numpy()
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return encoded.dictionary.take(pa.array(order)), place[encoded.indices.to_numpy()]
