"""Names with synonyms, and text put together column by column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demoshop.randomness import Bools, Ints, Longs
from demoshop.vocabulary import first


class Names:
    """A list of names, each with synonyms (``sofa|couch``), looked up by code."""

    def __init__(self, names: Sequence[str]) -> None:
        synonyms = [name.split("|") for name in names]
        self.count = np.array([len(s) for s in synonyms], np.int32)
        self.start = np.concatenate([[0], np.cumsum(self.count)[:-1]]).astype(np.int32)
        self.texts = pa.array([text for s in synonyms for text in s], pa.string())
        self.firsts = pa.array([first(name) for name in names], pa.string())

    def pick(self, rng: np.random.Generator, codes: Ints, commonest: float) -> pa.Array:
        """A synonym for each code, null for codes below 0; the commonest one with probability ``commonest``."""
        variant = np.minimum(rng.geometric(commonest, len(codes)) - 1, self.count[codes] - 1)
        return self.texts.take(nullable(self.start[codes] + variant, codes < 0))

    def common(self, codes: Ints) -> pa.Array:
        """The commonest synonym for each code, null for codes below 0."""
        return self.firsts.take(nullable(codes, codes < 0))


def nullable(codes: Ints | Longs, absent: Bools) -> pa.Array:
    """Codes as an Arrow array, null where absent."""
    return pa.array(codes.astype(np.int64), mask=absent)


def keep(texts: pa.Array, kept: Bools) -> pa.Array:
    """The texts, null where not kept."""
    return pc.if_else(pa.array(kept), texts, pa.scalar(None, pa.string()))


def join(parts: Sequence[pa.Array | str], separator: str = " ") -> pa.Array:
    """The parts of each row joined, absent ones left out."""
    return pc.binary_join_element_wise(*parts, separator, null_handling="skip")


def phrase(before: str, texts: pa.Array, after: str = "") -> pa.Array:
    """``before`` + text + ``after``, null where the text is."""
    return pc.binary_join_element_wise(before, texts, after, "")


def gather(columns: Sequence[pa.Array], kept: Bools) -> tuple[pa.Array, pa.Array]:
    """Lists of the kept values of each row: the offsets, and the values' rows in ``concat(columns)``.

    ``kept`` is [rows, columns].
    """
    rows, width = kept.shape
    offsets = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
    row, column = np.nonzero(kept)
    if width != len(columns):
        raise ValueError(f"kept has {width} columns, given are {len(columns)}")
    return pa.array(offsets), pa.array(column.astype(np.int64) * rows + row)
