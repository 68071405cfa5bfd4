"""bm25s, which the lexical source is, beside tantivy (``pip install tantivy``, for this benchmark alone).

    python -m benchmarks.lexical_engines CATALOG.parquet [items ...]

Made items: as many words each as an item of CATALOG has (30 at most), drawn by how often it has them. Queries: two
words of an item. Each engine runs in a process of its own; printed are the seconds to build, the memory that the
process takes on, the milliseconds of a query's best 100 (and of bm25s those of a score for every item, which
the second stage reads), and the share of bm25s' best 10 that are among tantivy's 100.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq

from training.ranking.bm25 import Bm25, catalog_text, words_of

QUERIES, K, MOST_WORDS = 200, 100, 30
SIZES = (20_600, 106_866, 1_000_000)


def main(catalog: Path, sizes: tuple[int, ...]) -> None:
    said = [words_of(text)[:MOST_WORDS] for text in catalog_text(pq.read_table(catalog))]
    words, counts = np.unique([word for item in said for word in item], return_counts=True)
    lengths = np.array([len(item) for item in said if item])
    print(f"{'items':>9} {'engine':8} {'build s':>8} {'memory MB':>9} {'best 100 ms':>11} {'all scores ms':>13}")
    for size in sizes:
        found: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as folder:
            for engine in (_bm25s, _tantivy):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    told = pool.apply(_measured, (engine, size, words, counts / counts.sum(), lengths, folder))
                name, seconds, memory, best, every, found[engine.__name__] = told
                print(f"{size:9,} {name:8} {seconds:8.1f} {memory:9.0f} {best:11.2f} {every:13.2f}", flush=True)
        pairs = list(zip(found["_bm25s"], found["_tantivy"], strict=True))
        alike = np.mean([len(set(ours[:10]) & set(theirs)) / max(len(ours[:10]), 1) for ours, theirs in pairs])
        print(f"{size:9,} of bm25s' best 10 among tantivy's 100: {alike:.1%}")


def _measured(engine: Any, size: int, words: Any, share: Any, lengths: Any, folder: str) -> tuple[Any, ...]:
    rng = np.random.default_rng(7)
    long = rng.choice(lengths, size)
    drawn = words[rng.choice(len(words), int(long.sum()), p=share)]
    texts = [" ".join(item) for item in np.split(drawn, np.cumsum(long)[:-1])]
    queries = [" ".join(rng.choice(texts[i].split(" "), 2)) for i in rng.choice(size, QUERIES)]
    del drawn
    return tuple(engine(texts, queries, Path(folder)))


def _memory() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


def _times(search: Any, queries: list[str]) -> tuple[float, list[list[int]]]:
    took, found = [], []
    for query in queries:
        begin = time.thread_time()
        found.append(search(query))
        took.append((time.thread_time() - begin) * 1e3)
    return float(np.median(took)), found


def _bm25s(texts: list[str], queries: list[str], folder: Path) -> tuple[Any, ...]:
    before, begin = _memory(), time.process_time()
    Bm25(texts).save(folder / "bm25s")
    seconds = time.process_time() - begin
    index = Bm25.load(folder / "bm25s")
    best, found = _times(lambda query: [i for i in index.search([query], K)[0][0].tolist() if i >= 0], queries)
    every, _ = _times(lambda query: index.scores([query]).shape, queries)
    return "bm25s", seconds, _memory() - before, best, every, found


def _tantivy(texts: list[str], queries: list[str], folder: Path) -> tuple[Any, ...]:
    import tantivy

    before, begin = _memory(), time.process_time()
    fields = tantivy.SchemaBuilder().add_text_field("text", stored=False)
    schema = fields.add_integer_field("row", stored=False, fast=True).build()
    (folder / "tantivy").mkdir()
    made = tantivy.Index(schema, str(folder / "tantivy"))
    writer = made.writer(heap_size=200_000_000, num_threads=1)
    for row, text in enumerate(texts):
        writer.add_document(tantivy.Document(text=" ".join(words_of(text)), row=row))
    writer.commit()
    writer.wait_merging_threads()
    made.reload()
    seconds, searcher = time.process_time() - begin, made.searcher()

    def search(query: str) -> list[int]:
        wanted = [(tantivy.Occur.Should, tantivy.Query.term_query(schema, "text", word)) for word in words_of(query)]
        hits = searcher.search(tantivy.Query.boolean_query(wanted), K).hits
        return [int(row) for row in searcher.fast_field_values("row", [address for _, address in hits])]

    best, found = _times(search, queries)
    return "tantivy", seconds, _memory() - before, best, float("nan"), found


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(map(int, sys.argv[2:])) or SIZES)
