"""A live OpenSearch and Elasticsearch: their real clients against a server that speaks what paging needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytest

from features.adapters.base import AdapterError
from features.adapters.live import MAX_AGE, Cursor, Engine, Pages
from features.adapters.run import import_logs
from infra.contract.partitions import write_json
from tests.features.adapters.engine_server import Documents, engine_server
from tests.features.adapters.shop_of import Shop, shop_of

pytest.importorskip("opensearchpy", reason="pip install 'shelfwise[opensearch]'")
pytest.importorskip("elasticsearch", reason="pip install 'shelfwise[elasticsearch]'")

SOURCES = ("opensearch", "elasticsearch")
START = 1778407200000
pytestmark = pytest.mark.server


def shop_documents(requests: int = 25) -> Documents:
    """A request every second, two of them in the same one, a click on each; a catalogue whose ids are its ``_id``."""
    queries, events = [], []
    for n in range(requests):
        when = START + 1000 * (n // 2)
        query: dict[str, Any] = {"query_id": f"q{n}", "client_id": f"c{n % 3}", "user_query": "lamp", "timestamp": when,
                 "query_response_hit_ids": ["a", "b"]}  # fmt: skip
        event: dict[str, Any] = {"action_name": "click", "query_id": f"q{n}", "client_id": f"c{n % 3}",
                                 "timestamp": when + 500, "object_id": "a"}  # fmt: skip
        queries.append({"_id": f"{n:05d}", "_source": query})
        events.append({"_id": f"{n:05d}", "_source": event})
    products = [{"_id": key, "_source": {"title": f"Lamp {key}", "price": 3}} for key in "abc"]
    return {"ubi_queries": queries, "my_events": events, "products": products}


HOW = {"events": "my_events", "catalog": "products", "page": "10"}


def checked(shop: Shop, requests: int) -> None:
    assert shop.reasons() == {}
    assert len(shop.rows("requests")) == len(shop.rows("events")) == requests
    assert len(shop.rows("impressions")) == 2 * requests
    assert {i["item_id"] for i in shop.items()} == {"a", "b", "c"}


@pytest.mark.parametrize("source", SOURCES)
def test_all_indices_page_by_page(tmp_path: Path, source: str) -> None:
    with engine_server(shop_documents()) as server:
        shop = shop_of(source, tmp_path, server.url, options=HOW)  # type: ignore[arg-type]
        assert server.pits == {}
    checked(shop, 25)
    assert server.pages == [10, 10, 5, 0, 10, 10, 5, 0, 3, 0]
    assert list((tmp_path / "logs/.import").glob("*")) == []


@pytest.mark.parametrize("source", SOURCES)
def test_a_point_in_time_that_expires(tmp_path: Path, source: str) -> None:
    with engine_server(shop_documents()) as server:
        server.expire_after = 2
        shop = shop_of(source, tmp_path, server.url, options=HOW)  # type: ignore[arg-type]
    checked(shop, 25)
    twice = shop.became().get(("ubi_queries", "left out: came again when the paging was resumed"), 0)
    assert twice == (0 if source == "opensearch" else 2)


@pytest.mark.parametrize("source", SOURCES)
def test_what_came_since_a_refused_import_is_read(tmp_path: Path, source: str) -> None:
    before, after = shop_documents(25), shop_documents(40)
    with engine_server(before) as server:
        shop_of(source, tmp_path, server.url, options=HOW)  # type: ignore[arg-type]
        with pytest.raises(AdapterError, match="add --replace"):
            import_logs(source, [server.url], tmp_path / "logs", options=HOW)
        server.documents = after
        shop = shop_of(source, tmp_path, server.url, options=HOW, replace=True)  # type: ignore[arg-type]
    checked(shop, 40)


def test_paging_goes_on_only_where_it_stood_a_short_while_ago(tmp_path: Path) -> None:
    pages = Pages(tmp_path, cast("Engine", None))

    def stood(**more: Any) -> None:
        for part in range(3):
            (tmp_path / f"{part:07d}.json").write_text("[]")
        write_json(tmp_path / "cursor", asdict(Cursor("i", "pit", [1], 2, 20, **more)))

    stood()
    assert pages.read_cursor("i").parts == len(pages.files) == 2
    long_ago = time.time() - MAX_AGE.total_seconds() - 60
    os.utime(tmp_path / "cursor", (long_ago, long_ago))
    assert (pages.read_cursor("i"), pages.files) == (Cursor("i"), [])
    stood(complete=True)
    assert (pages.read_cursor("i"), pages.files) == (Cursor("i"), [])


@pytest.mark.kill
@pytest.mark.parametrize("source", SOURCES)
def test_a_killed_import_goes_on_where_it_stood(tmp_path: Path, source: str) -> None:
    with engine_server(shop_documents(200), delay=0.05) as server:
        code = (
            "from pathlib import Path; from features.adapters.run import import_logs\n"
            f"import_logs({source!r}, [{server.url!r}], Path({str(tmp_path / 'logs')!r}), options={HOW!r})"
        )
        process = subprocess.Popen([sys.executable, "-c", code])
        deadline = time.monotonic() + 60
        while len(server.pages) < 8 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        before = len(server.pages)
        assert 8 <= before < 20
        assert not list((tmp_path / "logs").glob("dt=*"))
        server.delay = 0.0
        shop = shop_of(source, tmp_path, server.url, options=HOW)  # type: ignore[arg-type]
        assert len(server.pages) <= 45  # 21 + 21 + 2 pages, and one that the kill lost
        assert server.opened == 3
    checked(shop, 200)
    assert not list((tmp_path / "logs").glob(".import-*"))


@pytest.mark.parametrize("source", SOURCES)
def test_errors_say_what_to_do(tmp_path: Path, source: str) -> None:
    with engine_server(shop_documents()) as server, pytest.raises(AdapterError, match="has no index ubi_events"):
        import_logs(source, [server.url], tmp_path / "logs")
    with pytest.raises(AdapterError, match="cannot be reached"):
        import_logs(source, [server.url], tmp_path / "logs")
    with pytest.raises(AdapterError, match="write the engine's URL"):
        import_logs(source, ["dump.ndjson"], tmp_path / "logs")
    with pytest.raises(AdapterError, match="page=many"):
        import_logs(source, [server.url], tmp_path / "logs", options={"page": "many"})


def test_a_missing_client_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source, module in (("opensearch", "opensearchpy"), ("elasticsearch", "elasticsearch")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(AdapterError, match=rf"pip install 'shelfwise\[{source}\]'"):
            import_logs(source, ["http://127.0.0.1:9"], tmp_path / "logs")
