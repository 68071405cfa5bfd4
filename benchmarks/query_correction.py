"""How much of a query's recall a slip of the keyboard costs, and how much of it the correction gives back.

    python -m benchmarks.query_correction CATALOG.parquet JUDGEMENTS.tsv [seed]

Judgements as the demo shop reads them (query, item_id, grade or esci_label). Slips of each kind are made of every
query that can have one, by a seed; what finds is BM25 over the catalogue. The correction knows the catalogue alone: a
shop's log adds its queries. At last the processor time per query with an unknown word, by distinct words of the shop.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demoshop.judgements import read_judgements
from infra.contract.query_text import normalise
from training.ranking.bm25 import LEXICAL_FIELDS, Bm25, catalog_text
from training.ranking.shop_words import SCHEMA
from training.ranking.spelling import Spelling

K = 100
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORD = re.compile(r"[^\W\d_]{4,}")
SIZES = (20_000, 100_000, 500_000)


def main(catalog_file: Path, judgements_file: Path, seed: int = 7) -> None:
    catalog, judgements = pq.read_table(catalog_file), read_judgements(judgements_file)
    texts = catalog_text(catalog, LEXICAL_FIELDS)
    lexical = Bm25.of_items(texts)
    begin = time.perf_counter()
    spelling = Spelling.of_catalog(lexical, texts)
    print(f"{len(texts):,} items, {len(lexical.document_frequency()[0]):,} words, {time.perf_counter() - begin:.2f} s")

    relevant = judgements.filter(pc.equal(judgements["grade"], 3))
    wanted: dict[str, set[int]] = {}
    rows = pc.index_in(relevant["item_id"], catalog["item_id"].cast(pa.string()).combine_chunks())
    for query, row in zip(relevant["query"].to_pylist(), rows.to_pylist(), strict=True):
        if row is not None:
            wanted.setdefault(normalise(query), set()).add(row)
    queries = list(wanted)

    def recalls(asked: Sequence[str], meant: Sequence[str]) -> np.ndarray:
        if not asked:
            return np.zeros(0)
        found, _ = lexical.search(list(asked), K)
        pairs = zip(found.tolist(), meant, strict=True)
        return np.array([len(wanted[query].intersection(row)) / len(wanted[query]) for row, query in pairs])

    print(f"{'slip':12} {'queries':>7} {'as meant':>8} {'clean':>6} {'slip':>6} {'corrected':>9} {'kept':>6}")
    for name, slip in SLIPS.items():
        made = [(query, wrong) for query in queries if (wrong := slip(query, random.Random(f"{seed} {name} {query}")))]
        meant, typed = [query for query, _ in made], [wrong for _, wrong in made]
        corrected = [spelling.corrected(wrong) for wrong in typed]
        right = np.mean([a == b for a, b in zip(corrected, meant, strict=True)])
        clean, without, with_ = (recalls(asked, meant).mean() for asked in (meant, typed, corrected))
        print(f"{name:12} {len(made):7} {right:8.1%} {clean:6.3f} {without:6.3f} {with_:9.3f} {with_ / clean:6.1%}")
    changed = [(query, better) for query in queries if (better := spelling.corrected(query)) != query]
    meant = [query for query, _ in changed]
    before, after = recalls(meant, meant), recalls([better for _, better in changed], meant)
    print(f"clean queries changed: {len(changed)} of {len(queries)}; found less: {int((after < before).sum())}")
    for (query, better), a, b in zip(changed, before, after, strict=True):
        print(f"  {query!r} -> {better!r}  recall {a:.3f} -> {b:.3f}")
    _latency(lexical, queries, seed)


def _edited(word: str, rng: random.Random) -> str:
    """One letter too many, too few, wrong, or swapped with the next."""
    place, letter = rng.randrange(len(word)), rng.choice(LETTERS)
    swapped = min(place, len(word) - 2)
    return rng.choice(
        [
            word[:place] + letter + word[place:],
            word[:place] + word[place + 1 :],
            word[:place] + letter + word[place + 1 :],
            word[:swapped] + word[swapped + 1] + word[swapped] + word[swapped + 2 :],
        ]
    )


def _with_word(query: str, rng: random.Random, letters: int, change: Callable[[str], str]) -> str | None:
    """The query with one of its words changed; None where none has so many letters or the change is none."""
    words = [found for found in WORD.finditer(query) if len(found[0]) >= letters]
    if not words:
        return None
    chosen = rng.choice(words)
    wrong = query[: chosen.start()] + change(chosen[0]) + query[chosen.end() :]
    return wrong if wrong != query else None


def _one_edit(query: str, rng: random.Random) -> str | None:
    return _with_word(query, rng, 4, lambda word: _edited(word, rng))


def _two_edits(query: str, rng: random.Random) -> str | None:
    return _with_word(query, rng, 8, lambda word: _edited(_edited(word, rng), rng))


def _split(query: str, rng: random.Random) -> str | None:
    def apart(word: str) -> str:
        place = rng.randrange(3, len(word) - 2)
        return f"{word[:place]} {word[place:]}"

    return _with_word(query, rng, 6, apart)


def _joined(query: str, rng: random.Random) -> str | None:
    gaps = [found.start() + 3 for found in re.finditer(r"(?=[^\W\d_]{3} [^\W\d_]{3})", query)]
    place = rng.choice(gaps) if gaps else -1
    return query[:place] + query[place + 1 :] if gaps else None


SLIPS: dict[str, Callable[[str, random.Random], str | None]] = {
    "one edit": _one_edit,
    "two edits": _two_edits,
    "split": _split,
    "joined": _joined,
}


def _latency(lexical: Bm25, queries: Sequence[str], seed: int) -> None:
    """Words of the shop, and edits of them up to the size."""
    rng = random.Random(seed)
    own = [word for word in lexical.document_frequency()[0] if len(word) >= 4 and word.isalpha()]
    typed = [wrong for query in queries if (wrong := _one_edit(query, rng))]
    for size in SIZES:
        words = dict.fromkeys(own[:size])
        while len(words) < size:
            words[_edited(_edited(_edited(rng.choice(own), rng), rng), rng) + rng.choice(LETTERS)] = None
        counts = np.ones(size, dtype=np.int64)
        nothing, none = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.bool_)
        table = pa.table([pa.array(words), counts, nothing, pa.nulls(size, pa.string()), nothing, none], schema=SCHEMA)
        begin = time.perf_counter()
        spelling = Spelling(table)
        loaded = time.perf_counter() - begin
        spelling.corrected("wamrup")
        p50, p99 = np.percentile([_milliseconds(spelling, query) for query in typed], (50, 99))
        known = [_milliseconds(spelling, " ".join(rng.sample(own, 3))) for _ in queries]
        print(
            f"{size:7,} words: load {loaded:.2f} s; a slip p50 {p50:.3f} ms  p99 {p99:.3f} ms; known words p50"
            f" {np.median(known):.3f} ms"
        )


def _milliseconds(spelling: Spelling, query: str) -> float:
    """Of processor time: what else runs on the machine is not counted."""
    begin = time.thread_time()
    spelling.corrected(query)
    return (time.thread_time() - begin) * 1e3


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
