"""Where log and catalogue name items by other ids: what is said of it, and that doing what it says cures it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.build_sessions import build_sessions
from features.catalog import CatalogError, build_catalog
from features.publishing import accepted_tables
from features.quality.unmet_ids import UnmetIds
from infra.settings import Settings
from tests.features.catalog_files import items, landing
from tests.features.raw_log import DAY, event, land, ndjson, query, shop, stored

CATALOG: list[dict[str, Any]] = [
    {"sku": f"S-{n}", "Product No": n, "title": f"Lamp {n}", "variants": [{"ean": f"40{n}"}, {"ean": f"41{n}"}]}
    for n in range(1, 6)
]


def message(settings: Settings, hits: list[str], catalog: list[dict[str, Any]] = CATALOG) -> str:
    (landing(settings) / "catalog.ndjson").write_text(ndjson(catalog))
    build_catalog(settings)
    land(settings, [query("q1", query_response_hit_ids=hits)], [event("click", hits[0], query_id="q1")])
    build_sessions(settings, [DAY])
    return UnmetIds().told(settings, DAY, accepted_tables(settings), "do otherwise")


def test_ids_that_meet_are_no_word_worth(tmp_path: Path) -> None:
    assert message(shop(tmp_path), ["S-1", "S-2"]) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hits", "column", "found"),
    [(["1", "2", "3"], "Product No", ["1", "2", "3"]), (["401", "412"], "variants.ean", ["S-1", "S-2"])],
)
def test_the_setting_that_is_named_cures_it(tmp_path: Path, hits: list[str], column: str, found: list[str]) -> None:
    says = message(shop(tmp_path), hits)
    assert f"{len(hits)} of the {len(hits)} items that the log names are not in the catalogue: the log has" in says
    assert repr(hits[0]) in says and "the catalogue 'S-1' (its column sku)" in says
    assert f"in its column {column} ({len(hits)} of them): set SHELFWISE_RAW__ITEM_ID={column}" in says

    cured = shop(tmp_path / "cured", item_id=column)
    assert message(cured, hits) == ""
    assert [row["item_id"] for row in stored(cured, "impressions")] == found


def test_ids_written_otherwise(tmp_path: Path) -> None:
    says = message(shop(tmp_path), ["s-1", "s-2"])
    assert "column sku has 2 of them written otherwise ('S-1' is 's-1'): write them alike" in says
    padded = [{"id": f"gid://shop/Product/000{n}"} for n in range(5)]
    assert "written otherwise ('gid://shop/Product/0001' is '1')" in message(shop(tmp_path / "2"), ["1", "2"], padded)


def test_ids_that_no_column_has(tmp_path: Path) -> None:
    says = message(shop(tmp_path), ["S-1", "S-2", "gone"])
    assert says.startswith("1 of the 3 items that the log names are not in the catalogue: the log has 'gone'")
    assert says.endswith("or, if these items are no longer sold, do otherwise")


def test_rows_without_the_chosen_id_keep_the_one_they_had(tmp_path: Path) -> None:
    settings = shop(tmp_path, item_id="Product No")
    message(settings, ["1"], [*CATALOG, {"sku": "S-6", "title": "No number"}, {"sku": "S-7", "Product No": ""}])
    assert [row["item_id"] for row in items(settings)] == ["1", "2", "3", "4", "5", "S-6", "S-7"]


def test_a_chosen_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no column ean, which SHELFWISE_RAW__ITEM_ID names\. Found: Product No, "):
        message(shop(tmp_path, item_id="ean"), ["1"])
