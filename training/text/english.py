"""How much of a shop's texts is English, which is what MiniLM reads."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from infra.settings import Settings
from training.text.general_words import general_words
from training.text.item_text import item_texts

LEAST_WORDS = 100
"""Of at least four letters, without which nothing is said."""
MOST_TEXTS = 20_000
"""Items, and queries, that are looked at."""
_QUERIES = "SELECT query AS text FROM (SELECT DISTINCT query FROM read_parquet(?)) ORDER BY hash(query) LIMIT ?"
_COUNTED = r"""
WITH words AS (SELECT unnest(regexp_extract_all(lower(text), '\p{L}{4,}')) AS word FROM texts)
SELECT count(*), avg((word IN (SELECT word FROM general))::INT) FROM words
"""


def english_share(settings: Settings) -> float | None:
    """Share of the words of items' texts and of queries that MiniLM's tokenizer does not take apart: shops in English
    had .64 (names of games) to .86, a German grocer .25; None where there are too few words to tell."""
    with duckdb.connect() as con:
        con.execute("CREATE TABLE texts (text VARCHAR)")
        if settings.paths.catalog.exists():
            con.register("items", pa.table({"text": item_texts(pq.read_table(settings.paths.catalog))}))
            con.execute("INSERT INTO texts SELECT text FROM items ORDER BY hash(text) LIMIT ?", [MOST_TEXTS])
        if requests := sorted(map(str, (settings.paths.sessions / "requests").glob("dt=*/*.parquet"))):
            con.execute(f"INSERT INTO texts {_QUERIES}", [requests, MOST_TEXTS])
        con.register("general", pa.table({"word": general_words()}))
        words, share = con.execute(_COUNTED).fetchall()[0]
    return None if words < LEAST_WORDS else float(share)
