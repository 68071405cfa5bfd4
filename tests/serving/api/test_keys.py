"""Several keys at a time, each for what it may, over the real application."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from infra.settings import ApiSettings
from serving.api.app import create_app
from serving.api.auth import KeyFileError, Keys
from serving.api.guard import OPEN, SCOPES
from tests.serving.api.conftest import LOCAL, with_api
from tests.serving.small_shop import Shop

KEYS = {
    "shop": {"key": "of the shop", "scopes": ["search", "events"]},
    "prometheus": {"key": "of prometheus", "scopes": ["metrics"]},
}
ASKED = {scope: (method, path) for (method, path), scope in reversed(SCOPES.items())}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_may_what_its_scopes_say(shop: Shop) -> None:
    client = TestClient(create_app(with_api(shop.settings, key="all", keys=KEYS)), base_url=LOCAL)
    for scope, (method, path) in ASKED.items():
        assert client.request(method, path).status_code == 401
        assert client.request(method, path, headers=bearer("all")).status_code not in {401, 403}
        for name, one in KEYS.items():
            answer = client.request(method, path, headers=bearer(str(one["key"])))
            assert (answer.status_code == 403) == (scope not in one["scopes"]), (name, path)
            if answer.status_code == 403:
                assert f"this takes one that may {scope}" in answer.json()["detail"]
    assert client.get("/nothing", headers=bearer("of the shop")).status_code == 403
    assert client.get("/nothing", headers=bearer("all")).status_code == 404
    told = client.get("/metrics", headers=bearer("of prometheus")).text
    assert "of the shop" not in told and 'key="' not in told


def test_every_endpoint_has_a_scope_or_is_open(shop: Shop) -> None:
    paths = create_app(with_api(shop.settings)).openapi()["paths"]
    asked = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert {(method, path) for method, path in asked if path not in OPEN} == set(SCOPES)


def test_keys_of_a_file_change_without_a_restart(tmp_path: Path) -> None:
    file, now = tmp_path / "keys", [0.0]
    file.write_text("old\n", encoding="utf-8")
    keys = Keys(ApiSettings(key_file=file), lambda: now[0])

    def may(key: str) -> bool:
        return keys.scopes(f"Bearer {key}".encode()) is not None

    assert may("old") and not may("new") and not may("")
    file.write_text("old\nnew\n", encoding="utf-8")
    now[0] += 2
    assert may("old") and may("new")
    file.write_text("new\n", encoding="utf-8")
    now[0] += 2
    assert may("new") and not may("old")
    file.unlink()
    now[0] += 2
    assert not may("new") and not may("")


def test_a_file_without_a_key_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be read"):
        Keys(ApiSettings(key_file=tmp_path / "none"))
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    with pytest.raises(KeyFileError, match="no key in it"):
        Keys(ApiSettings(key_file=tmp_path / "empty"))
