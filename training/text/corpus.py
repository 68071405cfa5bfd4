"""The shop's own text: what an encoder is pre-trained on, of the train window alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.contract.partitions import table_files
from infra.settings import Settings
from training.data.availability import available_from
from training.text.errors import TextEncoderError
from training.text.item_text import item_texts

PAIRS = """
WITH led AS (
    SELECT item_id, query, count(*) FILTER (ordered) AS orders, count(*) FILTER (clicked) AS clicks
    FROM read_parquet(?, hive_partitioning = false) rows
    JOIN read_parquet(?, hive_partitioning = false) requests USING (query_id)
    WHERE rows.split = 'train' AND rows.clicked AND trim(query) <> '' GROUP BY item_id, query
)
SELECT source, query AS target FROM led JOIN items USING (item_id)
QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY orders DESC, clicks DESC, query) = 1
ORDER BY item_id
"""
QUERIES = """
SELECT DISTINCT query FROM read_parquet(?, hive_partitioning = false)
WHERE split = 'train' AND trim(query) <> '' ORDER BY query
"""


@dataclass(frozen=True)
class Corpus:
    """Texts to train on.

    ``texts``: titles, descriptions and queries, distinct. ``sources`` and ``targets``: an item's text, and the query
    that it was ordered by most.
    """

    texts: pa.Array
    sources: pa.Array
    targets: pa.Array

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content."""
        digest = hashlib.sha256()
        for column in (self.texts, self.sources, self.targets):
            with pa.ipc.new_stream(_Digest(digest), pa.schema([("text", pa.string())])) as stream:
                stream.write_table(pa.table({"text": column.cast(pa.string())}))
        return digest.hexdigest()


class _Digest:
    """A file that keeps nothing but the hash of what is written."""

    closed = False

    def __init__(self, digest: hashlib._Hash) -> None:
        self._digest = digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return len(data)


def read_corpus(settings: Settings) -> Corpus:
    """Text of the items that could be found before the cut, and of the requests that train.

    The query of an item is the one that led to most of its orders; clicks break ties, and stand in where it was never
    ordered.

    Raises:
        TextEncoderError: there is no training set or no catalogue.
    """
    folder = settings.paths.training_set
    requests, rows = (table_files(folder / name) for name in ("requests", "rows"))
    files = (folder / "split.json", folder / "items.parquet", settings.paths.catalog)
    if not (requests and rows and all(file.exists() for file in files)):
        raise TextEncoderError(f"no training set under {folder}, or no catalogue: build them before the text encoder")
    cut = json.loads((folder / "split.json").read_text(encoding="utf-8"))["cut"]
    catalog = pq.read_table(settings.paths.catalog)
    with duckdb.connect() as db:
        db.execute(f"SET TimeZone='UTC'; SET memory_limit='{settings.training.build_memory}'")
        db.register("catalog", catalog.append_column("found_from", available_from(settings, catalog)))
        catalog = db.sql(
            "SELECT * FROM catalog WHERE found_from < ?::TIMESTAMPTZ ORDER BY item_id", params=[cut]
        ).to_arrow_table()
        db.register("items", pa.table({"item_id": catalog["item_id"], "source": item_texts(catalog)}).drop_null())
        pairs = db.sql(PAIRS, params=[_names(rows), _names(requests)]).to_arrow_table()
        queries = db.sql(QUERIES, params=[_names(requests)]).to_arrow_table()["query"]
    parts = [item_texts(catalog), *_column(catalog, "description"), *queries.cast(pa.string()).chunks]
    texts = pc.unique(pc.drop_null(pa.chunked_array(parts, pa.string())))
    return Corpus(texts.take(pc.sort_indices(texts)), *(pairs[n].combine_chunks() for n in ("source", "target")))


def _column(catalog: pa.Table, name: str) -> list[pa.Array]:
    return catalog[name].cast(pa.string()).chunks if name in catalog.column_names else []


def _names(files: list[Path]) -> list[str]:
    return [str(file) for file in files]
