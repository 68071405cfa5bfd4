"""Against human judgements: what people said of items, not what an engine showed them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.baselines import reciprocal_rank_fusion
from training.evaluation.intervals import summary_rows
from training.evaluation.metrics import DEPTH, MEASURES, Values, per_request
from training.model.search import exact_top
from training.ranking.bm25 import Bm25, catalog_text

I64 = NDArray[np.int64]
Served = Callable[[list[str]], I64]


@dataclass(frozen=True)
class VectorSearch:
    """Items and queries as vectors whose dot product is the score."""

    items: NDArray[np.float32]
    """[items, width]."""
    encode_query: Callable[[str], NDArray[np.float32]]
    """A text to [width]."""

    def search(self, texts: list[str], k: int) -> I64:
        """The best ``k`` items of each text, [n, k]."""
        return exact_top(np.stack([self.encode_query(text) for text in texts]), self.items, k)[0]


def judge(
    item_vectors: NDArray[np.float32],
    item_ids: pa.Array,
    encode_query: Callable[[str], NDArray[np.float32]],
    queries: pa.Table | None,
    judgements: pa.Table,
    catalog: pa.Table,
    *,
    zero_shot: VectorSearch | None = None,
    served: Served | None = None,
    grade: int = 3,
    seed: int = 7,
) -> list[dict[str, Any]]:
    """Recall@100 of a grade and NDCG@10 of all grades, each with a 95% bootstrap interval over queries.

    Args and errors as of :func:`judged_values`; ``seed``: of the bootstrap.
    """
    values, texts = judged_values(
        item_vectors,
        item_ids,
        encode_query,
        queries,
        judgements,
        catalog,
        zero_shot=zero_shot,
        served=served,
        grade=grade,
    )
    rows = summary_rows(values, np.zeros(len(texts), dtype=np.int64), seed)
    return [{**r, "queries": len(texts)} for r in rows]


def judged_values(
    item_vectors: NDArray[np.float32],
    item_ids: pa.Array,
    encode_query: Callable[[str], NDArray[np.float32]],
    queries: pa.Table | None,
    judgements: pa.Table,
    catalog: pa.Table,
    *,
    zero_shot: VectorSearch | None = None,
    served: Served | None = None,
    grade: int = 3,
) -> tuple[dict[str, Values], pa.Array]:
    """Per method the recall@100 of a grade and the NDCG@10 of all grades of each query [n], and the queries [n].

    Methods: what is ``served`` (where given), the towers (of an unknown user), BM25 over all text and over titles
    alone, the sentence encoder as it comes (``zero_shot``, where given) and its rank fusions with either BM25; and the
    hybrid of towers and BM25 over all text.

    Args:
        item_vectors: of the items ``item_ids``, [items, width];
        encode_query: a text to its query vector, [width];
        queries: column ``query``: the queries to judge on; None: all of the judgements';
        judgements: columns ``query``, ``item_id``, ``grade`` (0 is irrelevant);
        catalog: the whole catalogue, in which everything is searched;
        zero_shot: items in the order of ``item_ids``;
        served: queries to the items that a retriever would answer with, rows of ``item_ids`` [n, 1000].

    Raises:
        ValueError: the vectors are not those of the catalogue's items, or no judgement of ``grade`` is left.
    """
    catalog = _in_order(catalog, item_ids, item_vectors)
    kept, texts = _judged(judgements, item_ids, queries, grade)
    asked = texts.to_pylist()
    found = {} if served is None else {"served": served(asked)}
    found |= {
        "towers": VectorSearch(item_vectors, encode_query).search(asked, DEPTH),
        "bm25": Bm25.of_items(catalog_text(catalog)).search(asked, DEPTH)[0],
        "bm25, titles": Bm25.of_items(catalog_text(catalog, ("title",))).search(asked, DEPTH)[0],
    }
    if zero_shot is not None:
        found["zero-shot"] = zero_shot.search(asked, DEPTH)
        for lexical in ("bm25", "bm25, titles"):
            found[f"zero-shot + {lexical}"] = reciprocal_rank_fusion([found["zero-shot"], found[lexical]], DEPTH)
    found["hybrid"] = reciprocal_rank_fusion([found["towers"], found["bm25"]], DEPTH)
    row, item, grades = _entries(kept, texts)
    return {method: _values(top, row, item, grades, grade) for method, top in found.items()}, texts


def _values(found: I64, row: I64, item: I64, grades: I64, grade: int) -> Values:
    best = grades == grade
    recall = per_request(found, row[best], item[best], measures={"recall@100": MEASURES["recall@100"]})
    return recall | per_request(found, row, item, grades, measures={"ndcg@10": MEASURES["ndcg@10"]})


def _in_order(catalog: pa.Table, item_ids: pa.Array, vectors: NDArray[np.float32]) -> pa.Table:
    """The catalogue's rows in the order of ``item_ids``."""
    place = pc.index_in(item_ids, catalog["item_id"].combine_chunks())
    if place.null_count or len(item_ids) != len(catalog) or len(vectors) != len(item_ids):
        raise ValueError(
            f"{len(vectors)} vectors of {len(item_ids)} items are not those of a catalogue of {len(catalog)}: "
            "encode the catalogue that is judged"
        )
    return catalog.take(place)


def _judged(
    judgements: pa.Table, item_ids: pa.Array, queries: pa.Table | None, grade: int
) -> tuple[pa.Table, pa.Array]:
    """Judgements of queries that have one of ``grade``, with the row of their ``item``; and these queries."""
    row_of = pc.index_in(judgements["item_id"], item_ids)
    kept = judgements.append_column("item", row_of).filter(row_of.is_valid())
    if queries is not None:
        kept = kept.filter(pc.is_in(kept["query"], queries["query"].combine_chunks()))
    texts = pc.unique(kept.filter(pc.equal(kept["grade"], grade))["query"])
    if len(texts) == 0:
        raise ValueError(f"no judgement of grade {grade} names an item of the catalogue")
    return kept.filter(pc.is_in(kept["query"], texts)), texts


def _entries(judgements: pa.Table, texts: pa.Array) -> tuple[I64, I64, I64]:
    """Row of the query, item and grade of each judgement."""
    rows = pc.index_in(judgements["query"], texts)
    row, item, grade = (c.to_numpy().astype(np.int64) for c in (rows, judgements["item"], judgements["grade"]))
    return row, item, grade
