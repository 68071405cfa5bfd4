"""Checks of the catalogue, on all rows."""

from __future__ import annotations

from typing import Any

import ibis
import pandas as pd

from features.engine import open_engine, read_catalog
from features.quality.results import SuiteResult
from features.quality.rules import Between, Suite, none_of
from features.quality.tables import any_null, counts
from features.quality.validation import validate
from infra.settings import CheckSettings, Settings

KEY = "table"
NEEDED = ("item_id", "available_from")
WORDS = ("title", "description", "brand")


def catalog_suite(checks: CheckSettings) -> Suite:
    """The rules: integrity holds for every item, plausibility for nearly all (a real catalogue has odd rows)."""
    odd = checks.max_odd_item_share
    return Suite(
        "catalog",
        KEY,
        (
            Between("items", "The catalogue has items", low=1),
            none_of("with_nulls", f"Each item has {' and '.join(NEEDED)}"),
            none_of("blank_ids", "No item id is blank"),
            none_of("repeated", "An item id occurs once"),
            Between("negative_share", "Share of items with a negative price, rating or number of ratings", high=odd),
            Between("bare_share", "Share of items with no text, brand, category, attribute, tag or price", high=odd),
        ),
    )


def check_catalog(settings: Settings) -> SuiteResult:
    """Judge the catalogue: ids, bounds, and that an item can be told from another. All rows are counted."""
    return validate(settings, catalog_suite(settings.checks), catalog_measures(settings), "catalog")


def catalog_measures(settings: Settings) -> pd.DataFrame:
    """One row of counts over all items."""
    with open_engine(settings) as backend:
        items = read_catalog(backend, settings)
        row = counts(
            items,
            items=items.count(),
            with_nulls=any_null(items, NEEDED).sum(),
            blank_ids=(items.item_id.strip() == "").sum(),
            repeated=items.item_id.count() - items.item_id.nunique(),
            negative_share=ibis.or_(
                *(items[name].fill_null(0) < 0 for name in ("price", "rating", "rating_count"))
            ).mean(),
            bare_share=_bare(items).mean(),
        )
    return pd.DataFrame([{KEY: "catalog", **row}])


def _bare(items: Any) -> Any:
    """Whether an item has nothing that an encoder could read."""
    lists = [items[name].length().fill_null(0) == 0 for name in ("category_path", "attributes", "tags")]
    return ibis.and_(*(items[name].isnull() for name in WORDS), items.price.isnull(), *lists)
