"""The vectorised hashing against a slow, obvious reference."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data import ngrams
from training.data.ngrams import Hasher

ALPHABETS = st.one_of(
    st.text(alphabet="abc -'", max_size=30),
    st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=20),
    st.sampled_from(
        ["東京 シューズ", "नमस्ते दुनिया", "Ünïcode ÉÀ", "ﬁsh&chips", "ﷺ", "  ", "", "İstanbul ΣΑΣ", "😀 mug"]
    ),
)


def words_of(text: str) -> list[str]:
    lowered = pc.utf8_lower(pc.utf8_normalize(pa.array([text]), "NFKC"))
    return pc.replace_substring_regex(lowered, r"[^\p{L}\p{M}\p{N}]+", " ")[0].as_py().split(" ")


def bucket(text: str, salt: int, buckets: int) -> int:
    value = sum(ord(c) * pow(ngrams.BASE, i, 2**64) for i, c in enumerate(text)) % 2**64 ^ salt
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return (value ^ value >> 31) % buckets


def slow_ngrams(text: str, buckets: int, limit: int) -> list[int]:
    words = [w for w in words_of(text) if w]
    pairs = [f"{a} {b}" for a, b in pairwise(words)]
    trigrams = [f" {w} "[i : i + 3] for w in words for i in range(len(w))]
    kinds = ((ngrams.UNIGRAM, words), (ngrams.BIGRAM, pairs), (ngrams.TRIGRAM, trigrams))
    return [bucket(gram, salt, buckets) for salt, grams in kinds for gram in grams][:limit]


@given(st.lists(ALPHABETS, max_size=6), st.sampled_from([3, 7, 1000]), st.sampled_from([97, 2**17]))
def test_equals_the_obvious_reference(texts: list[str], limit: int, buckets: int) -> None:
    rows = Hasher(buckets, limit).ngrams(texts)
    assert [rows[i].tolist() for i in range(len(texts))] == [slow_ngrams(t, buckets, limit) for t in texts]


@given(st.lists(ALPHABETS, min_size=1, max_size=8))
def test_a_batch_is_its_texts_one_by_one(texts: list[str]) -> None:
    hasher = Hasher(2**17, 40)
    together = hasher.ngrams(texts)
    for i, text in enumerate(texts):
        np.testing.assert_array_equal(together[i], hasher.ngrams([text])[0])


@given(st.lists(st.text(max_size=12), max_size=6))
def test_a_label_is_one_token_and_whole(labels: list[str]) -> None:
    rows = Hasher(2**17, 8).labels(pa.array(labels, pa.string()))
    folded = pc.utf8_lower(pc.utf8_normalize(pa.array(labels, pa.string()), "NFKC")).to_pylist()
    assert [r.tolist() for r in (rows[i] for i in range(len(labels)))] == [
        [bucket(text, ngrams.LABEL, 2**17)] if text else [] for text in folded
    ]


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"word{i} other words of text {i % 7}" for i in range(300)] + ["", None]
    whole = Hasher(1000, 20).ngrams(pa.array(texts))
    monkeypatch.setattr(ngrams, "CHUNK_CHARS", 50)
    parts = Hasher(1000, 20).ngrams(pa.array(texts))
    np.testing.assert_array_equal(whole.offsets, parts.offsets)
    np.testing.assert_array_equal(whole.ids, parts.ids)


def test_sliced_and_chunked_columns_are_read_where_they_start() -> None:
    column = pa.chunked_array([["a b", "red shoes"], ["x", "blue hat"]])
    hasher = Hasher(2**17, 20)
    np.testing.assert_array_equal(hasher.ngrams(column.combine_chunks()[3:])[0], hasher.ngrams(["blue hat"])[0])
    np.testing.assert_array_equal(hasher.ngrams(column)[1], hasher.ngrams(["red shoes"])[0])


def test_word_order_and_kind_matter() -> None:
    hasher = Hasher(2**30, 50)
    first, second = hasher.ngrams(["red shoes", "shoes red"]).ids.reshape(2, -1)
    assert set(first) != set(second)
    assert len(set(hasher.ngrams(["abc"]).ids) | set(hasher.labels(["abc"]).ids)) == 5
