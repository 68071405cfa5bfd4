"""Each rule on the training set and on the catalogue holds on a healthy shop and is broken by its damage."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.quality import check_catalog, check_training_set
from infra.contract import tables
from infra.contract.partitions import drop_partition, write_parquet
from infra.settings import Settings
from tests.features.quality.quality_shop import (
    DAYS,
    ITEMS,
    LAST,
    Change,
    Row,
    at,
    broken_rules,
    catalog_item,
    change,
    put,
    table,
    training_file,
    twice,
)


def test_a_healthy_training_set_meets_every_rule(shop: Settings) -> None:
    result = check_training_set(shop)
    assert broken_rules(result) == set()
    assert result.success


def last(**values: object) -> Change:
    """The random row gets other values."""
    return lambda rows: rows[-1].update(values)


def no_labels(rows: list[Row]) -> None:
    for row in rows:
        row.update(clicked=False, carted=False, ordered=False)
        row["stage"] = "random" if row["stage"] == "random" else "unclicked"


def unclicked_gone(rows: list[Row]) -> None:
    rows[:] = [row for row in rows if row["stage"] != "unclicked"]


CASES: list[tuple[str, Change, set[str]]] = [
    ("rows", put(clicked=False), {"ordered_not_clicked"}),
    ("rows", put(clicked=False, ordered=False, carted=True, stage="carted"), {"carted_not_clicked"}),
    ("rows", put(stage="clicked"), {"stage_differs"}),
    ("rows", put(stage="bought"), {"stage_differs"}),
    ("rows", last(clicked=True), {"random_clicked"}),
    ("rows", last(item_id=ITEMS[0]), {"random_in_request"}),
    ("rows", last(item_id="gone"), {"random_unavailable"}),
    ("rows", put(item_id=ITEMS[1]), {"rows_repeated"}),
    ("rows", put(split="train"), {"rows_differ"}),
    ("rows", put(time=at(LAST, 9)), {"rows_differ"}),
    ("rows", put(query_id="gone"), {"rows_without_request"}),
    ("rows", put(stage=None), {"rows_with_nulls"}),
    ("rows", put(item_id=None), {"rows_with_nulls"}),
    ("rows", put(click_rate=1.5), {"rates_outside"}),
    ("rows", put(click_rate=float("nan")), {"rates_outside"}),
    ("rows", put(clicks_7d=-1), {"counts_negative"}),
    ("rows", no_labels, {"validation_labelled"}),
    ("rows", unclicked_gone, {"validation_unclicked_share"}),
    ("requests", twice, {"requests_repeated"}),
    ("requests", put(query=None), {"requests_with_nulls"}),
    ("requests", put(time=at(LAST, 0) - timedelta(hours=1)), {"validation_outside", "rows_differ"}),
    ("requests", put(split="train"), {"train_outside", "validation_requests", "rows_differ"}),
    ("requests", put(split="test"), {"split_unknown", "validation_requests", "rows_differ"}),
    ("requests", lambda rows: rows.clear(), {"validation_requests", "rows_without_request"}),
]


@pytest.mark.many(2)
@pytest.mark.parametrize(("name", "damage", "broken"), CASES)
def test_damage_to_the_training_set_breaks_its_rule(
    shop: Settings, name: str, damage: Change, broken: set[str]
) -> None:
    change(training_file(shop, name), damage)
    assert broken_rules(check_training_set(shop)) == broken


def test_a_set_without_train_requests_fails(shop: Settings) -> None:
    for day in DAYS[:-1]:
        for name in ("requests", "rows"):
            drop_partition(shop.paths.training_set / name, day)
    assert broken_rules(check_training_set(shop)) == {"train_requests", "train_labelled"}


def test_delisted_items_are_in_order_and_ids_that_do_not_meet_are_not(shop: Settings) -> None:
    def catalogue(*items: str) -> None:
        write_parquet(shop.paths.catalog, table(tables.CATALOG, [catalog_item(i) for i in items]), tables.CATALOG)

    catalogue(*(item for item in ITEMS if item not in ITEMS[1:4]))
    assert broken_rules(check_training_set(shop)) == set()
    catalogue("other")
    assert broken_rules(check_training_set(shop)) == {"unknown_item_share", "random_unavailable"}


def test_an_item_of_the_future_is_no_random_negative(shop: Settings) -> None:
    later = catalog_item("later") | {"available_from": at(LAST, 0) + timedelta(days=3)}
    write_parquet(shop.paths.catalog, table(tables.CATALOG, [later, *(catalog_item(i) for i in ITEMS)]), tables.CATALOG)
    change(training_file(shop, "rows"), last(item_id="later"))
    assert broken_rules(check_training_set(shop)) == {"random_unavailable"}


def test_unclicked_is_not_asked_of_a_log_without_impressions(shop: Settings) -> None:
    for day in DAYS:
        drop_partition(shop.paths.sessions / "impressions", day)
        change(shop.paths.training_set / "rows" / f"dt={day}" / "part.parquet", unclicked_gone)
    result = check_training_set(shop)
    assert broken_rules(result) == set()
    share = next(o for o in result.outcomes if o.column == "train_unclicked_share")
    assert share.observed == "not measured"


def test_no_training_set_is_an_error(shop: Settings) -> None:
    (shop.paths.training_set / "split.json").unlink()
    with pytest.raises(FileNotFoundError, match="build the training set"):
        check_training_set(shop)


CATALOG_CASES: list[tuple[Change, str]] = [
    (put(item_id=" "), "blank_ids"),
    (twice, "repeated"),
    (put(price=-2.0), "negative_share"),
    (put(title=None, category_path=[], price=None), "bare_share"),
    (lambda rows: rows.clear(), "items"),
]


def test_a_healthy_catalogue_meets_every_rule(shop: Settings) -> None:
    assert check_catalog(shop).success


@pytest.mark.many(2)
@pytest.mark.parametrize(("damage", "broken"), CATALOG_CASES)
def test_damage_to_the_catalogue_breaks_its_rule(shop: Settings, damage: Change, broken: str) -> None:
    change(shop.paths.catalog, damage)
    assert broken_rules(check_catalog(shop)) == {broken}


def test_missing_ids_break_the_catalogue(shop: Settings) -> None:
    loose = tables.CATALOG.set(0, tables.CATALOG.field(0).with_nullable(True))
    write_parquet(shop.paths.catalog, table(loose, [catalog_item(ITEMS[0]) | {"item_id": None}]), loose)
    assert broken_rules(check_catalog(shop)) == {"with_nulls"}
