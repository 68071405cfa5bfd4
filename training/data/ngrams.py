"""Hashed word unigrams, word bigrams and character trigrams of a batch of texts, without a loop per text or token.

All words of a batch are laid out in one code-point buffer, one space around each:  ``_red_shoes_blue_hat_``. With
``H[i] = sum_{j<i} c_j B^j mod 2^64`` any substring ``[s, e)`` has the position-free hash ``(H[e] - H[s]) B^-s``
(B is odd, so it has an inverse), and every n-gram is such a substring: a word, two neighbouring words of one text,
three code points whose middle one is not a space. A salted finaliser turns it into a bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infra.contract.hashing import GOLDEN_GAMMA, mix
from training.data.ragged import Ragged, offsets_of, stack

SPACE = 0x20
CODE_POINTS = 0x110000
ASSIGNED = 0x32400
"""No letter or digit has a code point above this (Unicode 17)."""
BASE = GOLDEN_GAMMA
MASK = 2**64 - 1
UNIGRAM, BIGRAM, TRIGRAM, LABEL = (0xA0761D6478BD642F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3, 0x589965CC75374CC3)
CHUNK_CHARS = 2**20
"""Code points that are laid out at once: bounds the memory of a large batch."""

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Hasher:
    """Texts and labels to rows of bucket ids in ``[0, buckets)``.

    A row holds the text's unigrams, then its bigrams, then its trigrams (those of ``kinds``), each in reading order,
    cut to ``max_tokens``.
    """

    buckets: int
    max_tokens: int
    kinds: tuple[str, ...] = ("words", "pairs", "trigrams")

    def ngrams(self, texts: pa.Array | Sequence[str], trigrams: bool = True) -> Ragged:
        """N-grams of each text, without the characters' where not ``trigrams``; null and empty texts have none."""
        return self._in_chunks(_strings(texts), lambda chunk: self._ngrams(chunk, trigrams))

    def labels(self, labels: pa.Array | Sequence[str]) -> Ragged:
        """One bucket per label (``#brand acme``), taken whole after normalisation; no bucket for an empty one."""
        return self._in_chunks(_strings(labels), self._labels)

    def _in_chunks(self, texts: pa.Array, encode: Callable[[pa.Array], Ragged]) -> Ragged:
        lengths = pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False)
        ends = np.cumsum(lengths)
        if len(texts) == 0 or ends[-1] <= CHUNK_CHARS:
            return encode(texts)
        bounds = [0, *(np.flatnonzero(np.diff(ends // CHUNK_CHARS)) + 1).tolist(), len(texts)]
        return stack([encode(texts.slice(a, b - a)) for a, b in pairwise(bounds)])

    def _ngrams(self, texts: pa.Array, trigrams: bool) -> Ragged:
        layout = _lay_out(texts)
        if len(layout.word_starts) == 0:
            return _grouped([], len(texts), self.max_tokens)
        prefix, inverse = _prefix_hashes(layout.buffer)
        starts, ends, rows = layout.word_starts, layout.word_ends, layout.word_rows
        paired = np.flatnonzero(rows[1:] == rows[:-1])
        kinds = [(UNIGRAM, starts, ends, rows)] if "words" in self.kinds else []
        if "pairs" in self.kinds:
            kinds.append((BIGRAM, starts[paired], ends[paired + 1], rows[paired]))
        if trigrams and "trigrams" in self.kinds:
            middles = np.flatnonzero(layout.buffer != SPACE)
            kinds.append((TRIGRAM, middles - 1, middles + 2, np.repeat(rows, ends - starts)))
        hashed = [
            (row, self._bucket((prefix[end] - prefix[start]) * inverse[start], salt)) for salt, start, end, row in kinds
        ]
        return _grouped(hashed, len(texts), self.max_tokens)

    def _labels(self, labels: pa.Array) -> Ragged:
        layout = _lay_out(labels, whole=True)
        if len(layout.word_starts) == 0:
            return _grouped([], len(labels), self.max_tokens)
        prefix, inverse = _prefix_hashes(layout.buffer)
        starts, ends = layout.word_starts, layout.word_ends
        bucket = self._bucket((prefix[ends] - prefix[starts]) * inverse[starts], LABEL)
        return _grouped([(layout.word_rows, bucket)], len(labels), self.max_tokens)

    def _bucket(self, hashes: U64, salt: int) -> NDArray[np.int32]:
        """The mixed hash, then the remainder: the low bits of a polynomial hash alone are weak."""
        return (mix(hashes ^ np.uint64(salt)) % np.uint64(self.buckets)).astype(np.int32)


@dataclass(frozen=True)
class _Layout:
    """The words of a batch: ``buffer`` uint32, and per word its span in it and the row of its text."""

    buffer: NDArray[np.uint32]
    word_starts: I64
    word_ends: I64
    word_rows: I64


def _strings(texts: pa.Array | Sequence[str]) -> pa.Array:
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string())
    return array if array.type == pa.string() else array.cast(pa.string())


def _code_points(texts: pa.Array) -> tuple[NDArray[np.uint32], I64]:
    """All code points of NFKC texts in one buffer, and the length of each text (0 for null)."""
    texts = pc.utf8_normalize(pc.fill_null(texts, ""), form="NFKC")
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = texts.buffers()[2]
    encoded = b"" if data is None else memoryview(data)[offsets[0] : offsets[-1]]
    points = np.frombuffer(str(encoded, "utf-8").encode("utf-32-le"), np.uint32)
    return points, pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)


def _lay_out(texts: pa.Array, whole: bool = False) -> _Layout:
    """Words of each text; with ``whole`` a text is one word, its code points folded but none of them dropped."""
    points, lengths = _code_points(texts)
    if whole:
        folded, is_letter = _lower_table()[points], np.ones(len(points), dtype=bool)
    else:
        folded = _word_table()[points]
        is_letter = folded != SPACE
    ends = np.cumsum(lengths)
    begins = is_letter.copy()
    if not whole:
        begins[1:] &= ~is_letter[:-1]
    else:
        begins[:] = False
    filled = lengths > 0
    text_starts = (ends - lengths)[filled]
    begins[text_starts] = is_letter[text_starts]
    word_of_point = np.cumsum(begins)[is_letter] - 1
    buffer = np.full(len(word_of_point) + int(begins.sum()) + 1, SPACE, dtype=np.uint32)
    buffer[np.arange(1, len(word_of_point) + 1) + word_of_point] = folded[is_letter]
    word_lengths = np.bincount(word_of_point, minlength=int(begins.sum()))
    starts = 1 + np.cumsum(word_lengths + 1) - (word_lengths + 1)
    rows = np.repeat(np.arange(len(texts)), lengths)[begins]
    return _Layout(buffer, starts, starts + word_lengths, rows)


def _prefix_hashes(buffer: NDArray[np.uint32]) -> tuple[U64, U64]:
    """``H`` [len + 1] and ``B^-i`` [>= len + 1], both mod 2^64."""
    powers, inverse = _powers(1 << int(len(buffer) + 1).bit_length())
    prefix = np.zeros(len(buffer) + 1, dtype=np.uint64)
    np.cumsum(buffer * powers[: len(buffer)], out=prefix[1:])
    return prefix, inverse


def _grouped(kinds: Sequence[tuple[I64, NDArray[np.int32]]], rows: int, limit: int) -> Ragged:
    """Kinds of (row of each token, its bucket), rows ascending, to rows of tokens kind by kind, cut to ``limit``."""
    counts = [np.bincount(row, minlength=rows) for row, _ in kinds]
    total = np.sum(counts, axis=0, dtype=np.int64) if kinds else np.zeros(rows, dtype=np.int64)
    offsets = offsets_of(np.minimum(total, limit))
    ids = np.empty(offsets[-1], dtype=np.int32)
    before = np.zeros(rows, dtype=np.int64)
    for (row, bucket), count in zip(kinds, counts, strict=True):
        rank = np.arange(len(row)) - (np.cumsum(count) - count - before)[row]
        inside = rank < limit
        ids[(offsets[:-1][row] + rank)[inside]] = bucket[inside]
        before += count
    return Ragged(offsets, ids)


@lru_cache(maxsize=32)
def _powers(count: int) -> tuple[U64, U64]:
    """``B^i`` and ``B^-i`` mod 2^64 for i < count."""
    return tuple(
        np.cumprod(np.concatenate([np.ones(1, np.uint64), np.full(count - 1, base, np.uint64)]), dtype=np.uint64)
        for base in (BASE, pow(BASE, -1, MASK + 1))
    )  # type: ignore[return-value]


@lru_cache(maxsize=1)
def _letters() -> pa.Array:
    """One string per code point below ``ASSIGNED``; surrogates as spaces."""
    points = np.arange(ASSIGNED, dtype=np.uint32)
    points[(points >= 0xD800) & (points < 0xE000)] = SPACE
    encoded = points.astype("<u4").tobytes().decode("utf-32-le").encode()
    widths = 1 + (points >= 0x80) + (points >= 0x800) + (points >= 0x10000)
    offsets = offsets_of(widths.astype(np.int64)).astype(np.int32)
    return pa.StringArray.from_buffers(ASSIGNED, pa.py_buffer(offsets), pa.py_buffer(encoded))


@lru_cache(maxsize=1)
def _lower_table() -> NDArray[np.uint32]:
    """Code point -> its lower case (the simple mapping: one code point to one)."""
    table = np.arange(CODE_POINTS, dtype=np.uint32)
    lowered = pc.utf8_lower(_letters())
    table[:ASSIGNED] = np.frombuffer("".join(lowered.to_pylist()).encode("utf-32-le"), np.uint32)
    return table


@lru_cache(maxsize=1)
def _word_table() -> NDArray[np.uint32]:
    """Code point -> its lower case, or a space where it is no letter, mark or digit."""
    is_word = pc.match_substring_regex(_letters(), r"[\p{L}\p{M}\p{N}]").to_numpy(zero_copy_only=False)
    table = np.full(CODE_POINTS, SPACE, dtype=np.uint32)
    table[:ASSIGNED] = np.where(is_word, _lower_table()[:ASSIGNED], SPACE)
    return table
