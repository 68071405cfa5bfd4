"""A small shop with a live release, and the API over it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from infra.settings import ApiSettings, OnlineSettings, ServingSettings, Settings
from serving.api.app import create_app
from serving.index import promote, push
from tests.serving.small_shop import Shop, make_shop, publish_user

OPEN = ApiSettings(processes=0, rate_per_second=0, max_body_bytes=400_000, max_k=150)
LOCAL = "http://127.0.0.1"


def with_api(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"api": ApiSettings.model_validate(OPEN.model_dump() | changes)})


def wait_until_ready(client: TestClient, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline, client.get("/readyz").json()
        time.sleep(0.05)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    quick, patient = ServingSettings(refresh_seconds=0.2), OnlineSettings(timeout_ms=500)
    shop = make_shop(tmp_path_factory.mktemp("api"), items=200, serving=quick, online=patient, api=OPEN)
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i0", "i6"], orders=["i6"])
    release = shop.release()
    push(shop.settings, release)
    promote(shop.settings, release.id)
    return shop


@pytest.fixture(scope="session")
def client(shop: Shop) -> Iterator[TestClient]:
    with TestClient(create_app(shop.settings), base_url=LOCAL) as client:
        wait_until_ready(client)
        yield client
