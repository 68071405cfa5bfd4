"""What forms of words (stems, parts of compounds) change in what BM25 finds.

    python -m benchmarks.lexical_forms CATALOG.parquet JUDGEMENTS.tsv

Judgements as the demo shop reads them (query, item_id, grade or esci_label). Printed are recall@100 of the best grade
and NDCG@10 of all, by words alone and with their forms, and the difference with a 95% bootstrap interval over queries.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demoshop.judgements import read_judgements
from infra.contract.query_text import normalise
from training.evaluation.metrics import MEASURES, per_request
from training.ranking.bm25 import Bm25, catalog_text

K, DRAWS = 100, 1_000


def main(catalog_file: Path, judgements_file: Path) -> None:
    catalog, judgements = pq.read_table(catalog_file), read_judgements(judgements_file)
    item = pc.index_in(judgements["item_id"], catalog["item_id"].cast(pa.string()).combine_chunks())
    judgements = judgements.append_column("item", item).filter(item.is_valid())
    asked = pc.unique(judgements.filter(pc.equal(judgements["grade"], pc.max(judgements["grade"])))["query"])
    judgements = judgements.filter(pc.is_in(judgements["query"], asked))
    row = pc.index_in(judgements["query"], asked).to_numpy().astype(np.int64)
    items, grades = (judgements[name].to_numpy().astype(np.int64) for name in ("item", "grade"))
    best, queries = grades == grades.max(), [normalise(query) for query in asked.to_pylist()]
    texts, values = catalog_text(catalog), []
    for index in (Bm25(texts), Bm25.of_items(texts)):
        found, _ = index.search(queries, K)
        measured = per_request(found, row[best], items[best], measures={"recall@100": MEASURES["recall@100"]})
        measured |= per_request(found, row, items, grades, measures={"ndcg@10": MEASURES["ndcg@10"]})
        values.append(measured)
        words, _ = index.document_frequency()
        told = ", ".join(f"{name} {np.mean(of):.4f}" for name, of in measured.items())
        print(f"{index.language or 'words alone'}: {len(words):,} words; {told}")
    for name, before in values[0].items():
        change = np.asarray(values[1][name]) - np.asarray(before)
        drawn = np.random.default_rng(7).integers(0, len(change), (DRAWS, len(change)))
        low, high = np.quantile(change[drawn].mean(axis=1), (0.025, 0.975))
        print(f"{name}: {change.mean():+.4f} [{low:+.4f}, {high:+.4f}], {len(change)} queries")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
