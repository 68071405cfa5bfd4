"""How often an item is named by its numbers, and what real queries name.

    python -m benchmarks.item_numbers CATALOG.parquet [QUERIES.parquet column] [seed]

CATALOG as ``shelfwise run`` writes it (``.shelfwise/SHOP/catalog/items.parquet``). Asked for are ids as they are,
without punctuation, beside two words of the item, and parts of five or more characters that few items have (named is
then an item that has the part); then, where queries are given, those that name something.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.contract.query_text import normalise
from training.ranking.bm25 import Bm25, catalog_text, words_of
from training.ranking.identifiers import folded, may_be_part, own_identifiers
from training.ranking.item_numbers import ItemNumbers
from training.ranking.second_stage import LEXICAL_FIELDS

ASKED = 1_000


def main(catalog_file: Path, queries_file: Path | None = None, column: str = "user_query", seed: int = 7) -> None:
    catalog = pq.read_table(catalog_file)
    lexical = Bm25.of_items(catalog_text(catalog, LEXICAL_FIELDS))
    begin = time.perf_counter()
    numbers = ItemNumbers(catalog, lexical)
    took = time.perf_counter() - begin
    size, memory = numbers.index.size, numbers.index.nbytes / 1e6
    print(f"{len(catalog):,} items, {size:,} numbers, {memory:.1f} MB, built in {took:.2f} s")
    rng = random.Random(seed)
    rows = rng.sample(range(len(catalog)), min(ASKED, len(catalog)))
    ids = [normalise(i) for i in catalog["item_id"].take(pa.array(rows)).to_pylist()]
    texts = catalog_text(catalog.take(pa.array(rows)), ("title", "category_path", "brand"))
    beside = [_two_words(text, rng) for text in texts]
    _told("id", numbers, ids, rows)
    _told("id, of 5 characters or more", numbers, *_kept(ids, rows, (len(i) >= 5 for i in ids)))
    _told("id without punctuation", numbers, [re.sub(r"\W", "", i) for i in ids], rows)
    _told("id beside two words", numbers, [f"{i} {w}" for i, w in zip(ids, beside, strict=True)], rows)
    _told("two words, then the id", numbers, [f"{w} {i}" for i, w in zip(ids, beside, strict=True)], rows)
    own = own_identifiers(catalog).key.to_pylist()
    every, whole = " ".join(own), set(own)
    for name, cut in (("beginning", _beginning), ("part", _inside)):
        parts = [cut(key, rng) for key in folded(pa.array(ids)).to_pylist()]
        few = [
            p not in whole and any(map(str.isdigit, p)) and may_be_part(p) and every.count(p) <= numbers.few
            for p in parts
        ]
        kept, of = _kept(parts, rows, few)
        _told(f"{name} of an id that few have", numbers, kept, of, kept, own)
        with_words = [f"{p} {w}" for p, w in zip(parts, beside, strict=True)]
        _told(f"{name} beside two words", numbers, *_kept(with_words, rows, few), kept, own)
    if queries_file is not None:
        asked = (
            pc.unique(pq.read_table(queries_file, columns=[column])[column].combine_chunks()).drop_null().to_pylist()
        )
        _fired(numbers, lexical, sorted({normalise(text) for text in asked}), catalog)


def _fired(numbers: ItemNumbers, lexical: Bm25, queries: Sequence[str], catalog: pa.Table) -> None:
    named = numbers.named(queries, np.zeros(len(queries), dtype=np.bool_))
    fired = [(query, rows) for query, rows in zip(queries, named, strict=True) if len(rows)]
    print(f"{len(queries):,} distinct queries, {len(fired)} name something")
    texts = catalog_text(catalog, ("title", "item_id"))
    for query, rows in fired[:40]:
        print(f"  {query!r}: {len(rows)}, such as {texts[rows[0]][:100]}")


def _told(
    name: str,
    numbers: ItemNumbers,
    asked: Sequence[str],
    rows: Sequence[int],
    parts: Sequence[str] = (),
    own: Sequence[str] = (),
) -> None:
    """How often the item is named; of ``parts`` some item whose ``own`` number has it."""
    begin = time.thread_time()
    found = [numbers.named([text], np.zeros(1, dtype=np.bool_))[0] for text in asked]
    took = (time.thread_time() - begin) / max(len(asked), 1) * 1e3
    among = [
        any(parts[i] in own[item] for item in named.tolist()) if parts else row in named
        for i, (row, named) in enumerate(zip(rows, found, strict=True))
    ]
    alone = [a and len(named) == 1 for a, named in zip(among, found, strict=True)]
    if not asked:
        print(f"  {name:32} none")
        return
    missed = [text for text, is_there in zip(asked, among, strict=True) if not is_there][:3]
    print(
        f"  {name:32} {len(asked):5}  named {np.mean(among):6.1%}, alone {np.mean(alone):6.1%}  {took:.3f} ms {missed}"
    )


def _kept(texts: Sequence[str], rows: Sequence[int], keep: Iterable[bool]) -> tuple[list[str], list[int]]:
    kept = [(text, row) for text, row, is_kept in zip(texts, rows, keep, strict=True) if is_kept]
    return [text for text, _ in kept], [row for _, row in kept]


def _two_words(text: str, rng: random.Random) -> str:
    words = [word for word in words_of(text) if word.isalpha()]
    return " ".join(rng.sample(words, min(2, len(words))))


def _beginning(key: str, rng: random.Random) -> str:
    return key[: rng.randint(5, len(key) - 1)] if len(key) > 5 else ""


def _inside(key: str, rng: random.Random) -> str:
    if len(key) < 7:
        return ""
    start = rng.randint(1, len(key) - 6)
    return key[start : start + rng.randint(5, len(key) - start)]


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]), *map(Path, given[1:2]), *given[2:3], *map(int, given[3:]))
