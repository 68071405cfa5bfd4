"""The benchmarks of serving run, and every row of their tables is filled; what they say depends on the machine."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import index_search, online_features, serving_latency
from tests.serving.small_shop import END, Shop, make_shop, publish_user
from tests.serving.test_retriever import PATIENT, put_live

pytestmark = pytest.mark.slow

ROW = re.compile(r"p50 +\d+\.\d+ (?:ms)? *p99 +\d+\.\d+ ms")


def rows(text: str) -> list[str]:
    """The lines of a table, each of which has its figures."""
    found = [line for line in text.splitlines() if "p50" in line]
    assert all(ROW.search(line) and not re.search(r"\b(?:nan|inf)\b", line) for line in found), text
    return found


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A small shop with a log, live."""
    shop = make_shop(tmp_path, items=60, online=PATIENT)
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i0"], orders=[])
    put_live(shop, shop.release())
    asked = [(f"q{n}", "u1", ("red shoes", "blue mug")[n % 2], END - timedelta(minutes=n)) for n in range(60)]
    columns = ("query_id", "user_id", "query_text", "time")
    log = shop.settings.paths.sessions / "requests" / f"dt={END.date()}" / "part.parquet"
    log.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in asked]), log)
    monkeypatch.setattr(serving_latency, "get_settings", lambda: shop.settings)
    monkeypatch.setattr(serving_latency, "WARM_UP", 1)
    # A fresh process that answers takes longer than all else here.
    monkeypatch.setattr(serving_latency, "FIRST", serving_latency.IMPORT)
    return shop


def test_latency_of_a_live_shop(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    serving_latency.main(requests=5, k=10)
    told = capsys.readouterr().out
    assert re.search(r"first answer in a fresh process: \d+ ms", told)
    assert f"{len(shop.catalog)} items, k = 10, 5 requests, 100% personalized" in told
    names = [line.split("  ")[0] for line in rows(told)]
    steps = [f"- {step}" for step in serving_latency.STEPS]
    assert names[: len(steps) + 1] == ["retrieve()", *steps]
    assert len(names) == 10


def test_index_types_against_bare_faiss(capsys: pytest.CaptureFixture[str]) -> None:
    index_search.main(items=1_200, queries=12)
    told = rows(capsys.readouterr().out)
    assert {line.split()[0] for line in told} >= {"FLAT", "IVF_FLAT"}
    assert len(told) % len(index_search.KS) == 0


def test_features_of_a_request_against_bare_redis(capsys: pytest.CaptureFixture[str]) -> None:
    online_features.main(requests=5, users=6)
    assert len(rows(capsys.readouterr().out)) == 3 + len(online_features.EVENTS)
