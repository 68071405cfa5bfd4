"""Reading human relevance judgements (qrels) as tab-separated text."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from demoshop.randomness import stream
from infra.settings import DemoSettings

HELD_OUT = 0.34
"""Share of the judged queries that get no sessions."""
QUERY = ("query", "query_text")
ITEM = ("item_id", "asin", "product_id")
LABELS = pa.array(["I", "C", "S", "E"])
"""ESCI labels by grade: irrelevant 0, complement 1, substitute 2, exact 3."""

JUDGEMENTS = pa.schema([("query", pa.string()), ("item_id", pa.string()), ("grade", pa.int64())])


def read_judgements(qrels_file: Path) -> pa.Table:
    """Judgements as ``JUDGEMENTS``, one per query and item (the highest grade where there are several).

    The columns are found by name: query; asin, item_id or product_id; grade (0 to 3) or esci_label (E, S, C, I).

    Raises:
        ValueError: no such column, an empty cell, a grade or label that is none, or a line with more or fewer cells.
    """
    try:
        table = csv.read_csv(
            qrels_file,
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(default_column_type=pa.string(), strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(f"{qrels_file} is not a table of tab-separated judgements: {error}") from error
    query, item = (required(table, names, qrels_file) for names in (QUERY, ITEM))
    if "grade" in table.column_names:
        text = table["grade"]
        grade = pc.index_in(pc.utf8_trim_whitespace(text), pa.array(["0", "1", "2", "3"]))
    else:
        text = required(table, ("grade", "esci_label"), qrels_file)
        grade = pc.index_in(pc.utf8_upper(pc.utf8_trim_whitespace(text)), LABELS)
    bad = table.filter(pc.is_null(grade))
    if bad.num_rows:
        raise ValueError(
            f"{qrels_file}: {bad.num_rows} judgements have no grade 0 to 3 (or label E, S, C, I), "
            f"the first: {bad.slice(0, 1).to_pylist()[0]}"
        )
    judged = pa.table([query, item, grade.cast(pa.int64())], schema=JUDGEMENTS)
    empty = judged.filter(pc.or_(pc.equal(judged["query"], ""), pc.equal(judged["item_id"], "")))
    if empty.num_rows:
        raise ValueError(f"{qrels_file}: {empty.num_rows} judgements lack the query or the item")
    best = judged.group_by(["query", "item_id"], use_threads=False).aggregate([("grade", "max")])
    return best.rename_columns(["query", "item_id", "grade"]).cast(JUDGEMENTS)


def held_out_queries(judgements: pa.Table, settings: DemoSettings) -> pa.Table:
    """The judged queries (column ``query``) that get no sessions: a model is judged on what it never saw."""
    queries = pc.unique(judgements["query"]).sort()
    order = stream(settings.seed, "held out").permutation(len(queries))
    return pa.table({"query": queries.take(pa.array(order[: int(len(queries) * HELD_OUT)]))})


def required(table: pa.Table, names: tuple[str, ...], qrels_file: Path) -> pa.ChunkedArray:
    """The first of the columns that the table has."""
    for name in names:
        if name in table.column_names:
            return table[name]
    raise ValueError(f"{qrels_file} has no column {' or '.join(names)}, but {table.column_names}")
