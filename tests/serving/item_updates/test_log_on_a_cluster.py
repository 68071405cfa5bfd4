"""What was said of items, on a real Redis Cluster: a transaction of three keys, and a list written anew."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.services import redis_address
from infra.settings import OnlineSettings, Settings
from serving.item_updates.log import MOST_BATCHES, UpdateLog
from serving.item_updates.rows import from_objects
from tests.redis_servers import HOST, servers_in

pytestmark = pytest.mark.server

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_it_is_read_added_to_and_written_anew(tmp_path: Path) -> None:
    with servers_in(tmp_path / "servers") as servers:
        ports = servers.cluster(3)
        url = SecretStr(f"redis+cluster://{HOST}:{ports[0]},{HOST}:{ports[1]}")
        settings = Settings(home=tmp_path / "shop", online=OnlineSettings(redis_url=url))
        writer, reader, other = UpdateLog(settings), UpdateLog(settings), UpdateLog(settings)
        assert not reader.read()
        for price in range(MOST_BATCHES + 2):
            writer.add(from_objects([{"item_id": "lamp", "price": float(price)}], NOW), feed=f"stock {price}")
        assert reader.read()
        assert not reader.read()
        assert reader.updates["price"].to_pylist() == [MOST_BATCHES + 1.0]
        assert reader.feed() == f"stock {MOST_BATCHES + 1}"
        reader.shorten(datetime(2026, 1, 1, tzinfo=UTC))
        client = redis_address(settings).connect(2_000)
        (key,) = client.scan_iter("*item_updates*:batches")
        assert client.llen(key) == 1
        assert other.read()
        assert other.updates["price"].to_pylist() == [MOST_BATCHES + 1.0]
        for one in (writer, reader, other, client):
            one.close()
