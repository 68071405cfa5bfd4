"""Rows of different lengths in two flat arrays (compressed sparse rows)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """Row ``i`` is ``ids[offsets[i]:offsets[i + 1]]``; ``offsets`` is int64 [n + 1], ``ids`` int32 or int64."""

    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> Ints:
        """Entries per row, [n]."""
        return np.diff(self.offsets)

    def take(self, rows: Ints) -> Ragged:
        """The rows at ``rows`` [m], in that order."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        offsets = offsets_of(lengths)
        positions = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Ragged(offsets, np.asarray(self.ids[positions]))

    def without(self, rows: NDArray[np.bool_]) -> Ragged:
        """The same with nothing in the rows that are marked, [n]."""
        lengths = np.where(rows, 0, self.lengths)
        return Ragged(offsets_of(lengths), np.asarray(self.ids[~np.repeat(rows, self.lengths)]))

    def where(self, kept: NDArray[np.bool_]) -> Ragged:
        """The rows with those entries alone whose number is marked in ``kept``."""
        chosen = kept[self.ids]
        lengths = np.bincount(self.rows_of_entries()[chosen], minlength=len(self))
        return Ragged(offsets_of(lengths), np.asarray(self.ids[chosen]))

    def rows_of_entries(self) -> Ints:
        """The row of each entry, [len(ids)]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def padded(self) -> NDArray[np.int32]:
        """The rows as one array, as wide as the longest of them, -1 pads, [n, width]."""
        lengths = self.lengths
        out = np.full((len(self), int(lengths.max(initial=0))), -1, dtype=np.int32)
        out[np.arange(out.shape[1]) < lengths[:, None]] = self.ids[self.offsets[0] : self.offsets[-1]]
        return out

    def sample(self, rows: Ints, count: int, rng: np.random.Generator) -> Ints:
        """Places in ``ids`` of ``count`` entries of each of ``rows``, uniform and with repeats, [m, count]; -1 where
        the row is empty."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        places = self.offsets[rows][:, None] + (rng.random((len(rows), count)) * lengths[:, None]).astype(np.int64)
        return np.where(lengths[:, None] == 0, -1, places)

    def first(self, rows: Ints, count: int) -> Ints:
        """Places in ``ids`` of the first ``count`` entries of each of ``rows``, [m, count]; -1 beyond a row's end."""
        places = self.offsets[rows][:, None] + np.arange(count)
        return np.where(places < self.offsets[rows + 1][:, None], places, -1)


def offsets_of(lengths: Ints) -> Ints:
    """Row lengths [n] to offsets [n + 1]."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def empty_rows(count: int) -> Ragged:
    """``count`` rows without entries."""
    return Ragged(np.zeros(count + 1, dtype=np.int64), np.zeros(0, dtype=np.int32))


def stack(parts: Sequence[Ragged]) -> Ragged:
    """The rows of each part, one part below the other."""
    return Ragged(
        offsets_of(np.concatenate([p.lengths for p in parts])),
        np.concatenate([p.ids[p.offsets[0] : p.offsets[-1]] for p in parts]),
    )


def join(parts: Sequence[Ragged], limit: int | None = None) -> Ragged:
    """Row ``i`` of the result is row ``i`` of each part, one after the other, cut to ``limit`` entries.

    Raises:
        ValueError: the parts differ in their number of rows.
    """
    if len({len(p) for p in parts}) > 1:
        raise ValueError(f"parts have {[len(p) for p in parts]} rows; give parts of equal length")
    lengths = np.stack([p.lengths for p in parts])
    starts = np.cumsum(lengths, axis=0) - lengths
    total = lengths.sum(axis=0)
    kept = total if limit is None else np.minimum(total, limit)
    offsets = offsets_of(kept)
    ids = np.empty(offsets[-1], dtype=np.int32)
    for part, start, length in zip(parts, starts, lengths, strict=True):
        rank = np.arange(len(part.ids)) - np.repeat(part.offsets[:-1] - start, length)
        target = rank + np.repeat(offsets[:-1], length)
        if limit is None:
            ids[target] = part.ids
        else:
            inside = rank < limit
            ids[target[inside]] = part.ids[inside]
    return Ragged(offsets, ids)
