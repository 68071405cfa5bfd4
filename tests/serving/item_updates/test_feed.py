"""The stock file of the landing folder: watched, read whole or not at all, once for all processes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from infra.settings import ItemSettings, Settings
from serving import Retriever
from serving.item_updates.feed import FeedError, find_feed, read_feed
from tests.serving.item_updates.test_item_updates import ids, landed, shop_of
from tests.serving.small_shop import Shop
from tests.serving.test_retriever import put_live, wait_for

pytestmark = pytest.mark.server

WATCHED = ItemSettings(feed_seconds=0.2)
CHEAP = {"filters": {"price": {"lt": 0.05, "gt": 0.01}}}


def land(file: Path, table: pa.Table, age_s: float = 5.0) -> None:
    """A file that was written so long ago."""
    part = file.with_name(f".{file.name}")
    pq.write_table(table, part)
    part.replace(file)
    os.utime(file, (time.time() - age_s,) * 2)


def prices(**of: float) -> pa.Table:
    return pa.table({"item_id": list(of), "price": list(of.values())})


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    landing = tmp_path / "landing"
    landing.mkdir()
    shop = shop_of(tmp_path, 100)
    shop = Shop(shop.settings.model_copy(update={"landing": str(landing), "items": WATCHED}), shop.catalog, "hybrid")
    landed(shop, datetime.now(UTC) - timedelta(hours=1))
    put_live(shop, shop.release())
    return shop


@pytest.fixture
def retriever(shop: Shop) -> Iterator[Retriever]:
    with Retriever(shop.settings) as retriever:
        yield retriever


@pytest.fixture
def file(shop: Shop) -> Path:
    return Path(str(shop.settings.landing)) / "stock.parquet"


def test_what_lands_counts_soon_and_what_is_told_later_counts_more(shop: Shop, file: Path) -> None:
    with Retriever(shop.settings) as retriever, Retriever(shop.settings) as other:
        land(file, prices(i3=0.02, i4=0.03, not_known=1.0), age_s=60)
        for one in (retriever, other):
            wait_for(lambda r=one: sorted(ids(r, **CHEAP)) == ["i3", "i4"], seconds=10)
        assert retriever.statistics()["item_updates"]["items"] | {"new": 0} == {
            "known": 2, "new": 0, "removed": 0, "sold_out": 0, "encoding": 0, "unknown": 1,
        }  # fmt: skip
        retriever.update_items([{"item_id": "i4", "price": 9.0}])
        assert ids(retriever, **CHEAP) == ["i3"]
    with Retriever(shop.settings) as retriever:
        time.sleep(1)
        assert ids(retriever, **CHEAP) == ["i3"], "the file is no newer than what was told after it"
        land(file, prices(i4=0.04))
        time.sleep(1)
        assert ids(retriever, **CHEAP) == ["i3"], "written before that was told"
        land(file, prices(i4=0.045), age_s=-0.0)
        wait_for(lambda: sorted(ids(retriever, **CHEAP)) == ["i3", "i4"], seconds=10)


def test_a_file_that_cannot_be_used_is_told_once_and_changes_nothing(
    retriever: Retriever, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def problem() -> str:
        return retriever.statistics()["item_updates"]["problem"] or ""

    land(file, prices(i3=0.02))
    wait_for(lambda: ids(retriever, **CHEAP) == ["i3"], seconds=10)
    file.write_bytes(file.read_bytes()[:-7])
    os.utime(file, (time.time() - 5,) * 2)
    wait_for(lambda: "stock.parquet cannot be used" in problem(), seconds=10)
    time.sleep(1)
    assert caplog.text.count("stock.parquet cannot be used") == 1
    assert ids(retriever, **CHEAP) == ["i3"]
    land(file, pa.table({"item_id": ["i3", "i4"], "price": ["0.03", "cheap"]}))
    wait_for(lambda: "1 of the 2 rows of stock.parquet" in problem() and "cheap" in problem(), seconds=10)
    assert ids(retriever, **CHEAP) == ["i3"]
    many = [{"item_id": f"i{n}", "price": "0.03" if n else "cheap"} for n in range(50)]
    land(file, pa.Table.from_pylist(many))
    wait_for(lambda: len(ids(retriever, **CHEAP)) > 40 and not problem(), seconds=10)
    assert "1 rows were left out, such as row 0: price is no price" in caplog.text


@pytest.mark.parametrize("ending", ["csv", "ndjson", "jsonl"])
def test_texts_are_read_as_well(shop: Shop, file: Path, ending: str) -> None:
    table = pa.table({"item_id": ["007", "8"], "price": ["1.5", None], "availability": ["in stock", "out_of_stock"]})
    target = file.with_suffix(f".{ending}")
    if ending == "csv":
        pa_csv.write_csv(table, target)
    else:
        target.write_text("".join(f"{json.dumps(row)}\n" for row in table.to_pylist()))
    os.utime(target, (time.time() - 5,) * 2)
    found = find_feed(shop.settings)
    assert found is not None
    rows = read_feed(shop.settings, found).updates.select(["item_id", "price", "in_stock"]).to_pylist()
    assert rows == [
        {"item_id": "007", "price": 1.5, "in_stock": True},
        {"item_id": "8", "price": None, "in_stock": False},
    ]


def test_a_landing_folder_behind_a_url_is_watched_and_one_that_is_gone_is_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, landing="memory://feed/logs")
    memory = fsspec.filesystem("memory")
    with pytest.raises(FeedError, match="no landing folder at memory://feed/logs"):
        find_feed(settings)
    memory.makedirs("/feed/logs")
    assert find_feed(settings) is None
    with memory.open("/feed/logs/stock.parquet", "wb") as stream:
        pq.write_table(prices(a=1.0), stream)
    wait_for(lambda: find_feed(settings) is not None, seconds=5)
    found = find_feed(settings)
    assert found is not None
    assert read_feed(settings, found).updates["price"].to_pylist() == [1.0]
    memory.rm("/feed", recursive=True)


def test_a_file_that_is_being_written_waits(shop: Shop, file: Path) -> None:
    land(file, prices(a=1.0), age_s=0.0)
    assert find_feed(shop.settings) is None
    wait_for(lambda: find_feed(shop.settings) is not None, seconds=5)


def test_a_hundred_thousand_rows_take_seconds(retriever: Retriever, file: Path) -> None:
    rng = np.random.default_rng(1)
    count = 100_000
    table = pa.table(
        {"item_id": [f"i{n}" for n in range(count)], "price": rng.random(count), "in_stock": rng.random(count) < 0.9}
    )
    began = time.perf_counter()
    retriever.update_items(table)
    assert time.perf_counter() - began < 10
    assert retriever._live.served.version == 1
