"""The words of a shop: what its catalogue says and what is asked for, as the correction reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.ranking.bm25 import Bm25

I64 = NDArray[np.int64]
ASKED_OFTEN = 3
"""Events from which a word that no item has is known outside the queries that have it, and one to correct to. Below, it
may be a query's own slip: what was clicked after a corrected query is logged under the query as it was typed."""
SCHEMA = pa.schema(
    [
        ("word", pa.string()),
        ("items", pa.int64()),
        ("asked", pa.int64()),
        ("written", pa.string()),
        ("apart", pa.int64()),
        ("is_query", pa.bool_()),
    ]
)
"""Each word once: how many items have it; how often an event followed a query that has it; how it is ``written`` where
it is no word of the index but a compound of such (``tshirt``: ``t-shirt``); and how many items write it, but for its
ending, with a letter ``apart``. General words have neither items nor events. A row that ``is_query`` is the text of a
query that led to an item though it has a word that is not known."""
_WORDS, _COMPOUNDS, _SHORT_PART = r"[\p{L}\p{N}_]+", r"\p{L}+(?:-\p{L}+)+", r"(?:^|-)[^-]{1,2}(?:-|$)"
_GAP = r"[^\p{L}\p{N}_]"
_LETTER_FIRST, _LETTER_LAST = rf"{_GAP}\p{{L}}{_GAP}\p{{L}}{{2,}}", rf"\p{{L}}{{2,}}{_GAP}\p{{L}}{_GAP}"

_SQL = """
WITH queries AS (
    SELECT query, unnest(list_distinct(regexp_extract_all(query, $words))) AS word, events FROM asked
), known AS (
    SELECT word, coalesce(items, 0) AS items, coalesce(events, 0) AS asked, NULL::VARCHAR AS written
    FROM catalog FULL JOIN (SELECT word, sum(events) AS events FROM queries GROUP BY word) USING (word)
    WHERE items > 0 OR events >= $often
), letters AS (
    SELECT unnest(list_distinct(list_transform(
        regexp_extract_all(said, $letter_first) || regexp_extract_all(said, $letter_last),
        lambda pair: regexp_replace(pair, $gap, '', 'g')))) AS word
    FROM (SELECT ' ' || lower(text) || ' ' AS said FROM texts)
), apart AS (
    SELECT word, count(*) AS apart FROM letters GROUP BY word
), with_an_ending AS (
    SELECT left(word, -1) AS word, sum(apart) AS apart FROM apart GROUP BY ALL
), compounds AS (
    SELECT unnest(list_distinct(regexp_extract_all(lower(text), $compounds))) AS written FROM texts
    UNION ALL SELECT unnest(list_distinct(regexp_extract_all(query, $compounds))) FROM asked
    WHERE events >= $often
), counted AS (
    SELECT replace(written, '-', '') AS word, written, count(*) AS items FROM compounds GROUP BY written
), joined AS (
    SELECT word, max(items) AS items, 0 AS asked, arg_max(written, (items, written)) AS written
    FROM counted ANTI JOIN known USING (word) ANTI JOIN general USING (word) GROUP BY word
)
SELECT word, items::BIGINT AS items, asked::BIGINT AS asked, CASE
    WHEN regexp_matches(written, $short) THEN written ELSE replace(written, '-', ' ') END AS written,
    (coalesce(a.apart, 0) + coalesce(e.apart, 0) + coalesce(s.apart, 0))::BIGINT AS apart, is_query
FROM (
    SELECT *, false AS is_query FROM (FROM known UNION ALL FROM joined)
    UNION ALL SELECT word, 0, 0, NULL, false FROM general ANTI JOIN known USING (word)
    UNION ALL SELECT DISTINCT query, 0, 0, NULL, true FROM queries ANTI JOIN known USING (word)
) LEFT JOIN apart a USING (word) LEFT JOIN with_an_ending e USING (word)
LEFT JOIN apart s ON s.word = left(word, -1) ORDER BY word, is_query
"""


def shop_words(lexical: Bm25, texts: Sequence[str], queries: pa.Array, events: I64, general: pa.Array) -> pa.Table:
    """The words that a shop's queries are corrected by, of ``SCHEMA``.

    Args:
        lexical: the index over ``texts``; queries: normalised, [queries]; events: that followed each, [queries];
        general: words that are no slip though the shop has none of it.
    """
    words, items = lexical.document_frequency()
    tables = {
        "catalog": pa.table({"word": pa.array(words, pa.string()), "items": items}),
        "asked": pa.table({"query": queries.cast(pa.string()), "events": events}).filter(pa.array(events > 0)),
        "texts": pa.table({"text": pa.array(texts, pa.string())}),
        "general": pa.table({"word": general}),
    }
    import duckdb  # here: serving reads what was found

    with duckdb.connect() as db:
        for name, table in tables.items():
            db.register(name, table)
        found = db.sql(
            _SQL,
            params={
                "words": _WORDS,
                "compounds": _COMPOUNDS,
                "short": _SHORT_PART,
                "often": ASKED_OFTEN,
                "gap": _GAP,
                "letter_first": _LETTER_FIRST,
                "letter_last": _LETTER_LAST,
            },
        ).to_arrow_table()
    return found.cast(SCHEMA)
