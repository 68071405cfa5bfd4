"""The Shopping Queries Dataset (Amazon ESCI), whole: products and judgements of a locale, no log."""

from __future__ import annotations

from pathlib import Path

import duckdb

from features.adapters.base import AdapterError, ImportRequest, Loaded, Maps, count, watched
from features.adapters.research_files import named_files
from features.sql_text import quoted

NAME = "esci"
WHAT = "ESCI (Amazon Shopping Queries): shopping_queries_dataset_products.parquet and …_examples.parquet"
OPTIONS: dict[str, str] = {
    "locale": "us, es or jp (default us): an id may be another product elsewhere",
    "version": "large, or small for the queries of task 1 (default large)",
    "split": "train, test or all (default all)",
}
MAPPING = (
    Maps("`…_products.parquet`: `product_id`, `product_title`", "`item_id`, `title`", "of one locale"),
    Maps("`product_description`, `product_bullet_point`", "`description`"),
    Maps("`product_brand`, `product_color`", "`brand`, the attribute `color`"),
    Maps("`…_examples.parquet`: `esci_label` E, S, C, I", "judgements of grade 3, 2, 1, 0", "with its `query`"),
    Maps("products and examples of other locales, versions and splits", "left out"),
)
_LABELS = {"E": 3, "S": 2, "C": 1, "I": 0}
_COLUMNS = {
    "products": ("product_id", "product_title", "product_locale"),
    "examples": ("query", "product_id", "product_locale", "esci_label", "large_version", "small_version", "split"),
}


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read products and examples of a locale."""
    locale = request.options.get("locale", "us")
    version, split = request.options.get("version", "large"), request.options.get("split", "all")
    if locale not in ("us", "es", "jp") or version not in ("large", "small") or split not in ("train", "test", "all"):
        raise AdapterError(f"locale={locale}, version={version}, split={split}: {'; '.join(OPTIONS.values())}")
    files, unread = named_files(request, {"products": r".*_products\.parquet", "examples": r".*_examples\.parquet"}, {})
    sources = {role: _source(connection, role, file) for role, file in files.items()}
    grade = " ".join(f"WHEN '{label}' THEN {value}" for label, value in _LABELS.items())
    wanted = f"{version}_version = 1" + ("" if split == "all" else f" AND split = {quoted(split)}")
    with watched(connection, request.progress, "products and judgements"):
        connection.execute(
            f"""
            CREATE TABLE esci_products AS
            SELECT product_id AS item_id, product_title AS title, concat_ws(chr(10), nullif(product_description, ''),
                nullif(product_bullet_point, '')) AS description, nullif(product_brand, '') AS brand,
                nullif(product_color, '') AS color, product_locale AS locale FROM {sources["products"]};
            CREATE TABLE esci_examples AS
            SELECT query, product_id AS item_id, esci_label AS label, CASE esci_label {grade} END AS grade, CASE
                WHEN product_locale <> {quoted(locale)} THEN 'another locale'
                WHEN NOT ({wanted}) THEN 'another version or split'
                WHEN coalesce(trim(query), '') = '' THEN 'no query'
                WHEN product_id IS NULL THEN 'no product' END AS why
            FROM {sources["examples"]};
            CREATE VIEW esci_catalog AS SELECT * EXCLUDE (locale) FROM esci_products
                WHERE locale = {quoted(locale)} AND item_id IS NOT NULL;
            CREATE VIEW esci_judgements AS SELECT query, item_id, grade FROM esci_examples
                WHERE why IS NULL AND grade IS NOT NULL;
            CREATE TABLE esci_became AS
            SELECT 'product' AS source_event, CASE WHEN item_id IS NULL THEN 'left out: no id'
                WHEN locale = {quoted(locale)} THEN 'item' ELSE 'left out: another locale' END AS became,
                count(*) AS rows, count(item_id) FILTER (locale = {quoted(locale)}) AS written
            FROM esci_products GROUP BY ALL
            UNION ALL
            SELECT 'example ' || coalesce(label, ''), CASE WHEN why IS NOT NULL THEN 'left out: ' || why
                WHEN grade IS NULL THEN 'left out: a label of no known meaning'
                ELSE 'judgement of grade ' || grade END, count(*),
                count(*) FILTER (why IS NULL AND grade IS NOT NULL)
            FROM esci_examples GROUP BY ALL;
            """
        )
    if not count(connection, "SELECT count(*) FROM esci_catalog"):
        raise AdapterError(f"there is no product of locale {locale} in {files['products'].name}")
    return Loaded(
        rows_in=sum(count(connection, f"SELECT count(*) FROM esci_{role}") for role in files),
        became="esci_became",
        catalog="esci_catalog",
        judgements="esci_judgements",
        notes=[
            *unread,
            "ESCI has no log: a run makes sessions over the judged queries, see `demoshop.judged`.",
        ],
    )


def _source(connection: duckdb.DuckDBPyConnection, role: str, file: Path) -> str:
    source = f"read_parquet({quoted(file)})"
    there = {name for name, *_ in connection.execute(f"DESCRIBE FROM {source}").fetchall()}
    missing = [name for name in _COLUMNS[role] if name not in there]
    if missing:
        raise AdapterError(f"{file.name} has no column {', '.join(missing)}: its authors' release has; found: {there}")
    return source
