"""Schemathesis: whatever the schema allows, and much that it does not, is answered and never with a 500."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.settings import OnlineSettings, Settings
from serving.api.app import create_app
from serving.index import promote, push
from tests.serving.api.conftest import LOCAL, OPEN, wait_until_ready
from tests.serving.small_shop import make_shop

pytestmark = [pytest.mark.server, pytest.mark.slow]

LOCALLY = {"Host": "localhost"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


class Running:
    """The application that a fixture started and stops: Schemathesis would start and stop it again."""

    app: ASGIApp = create_app(Settings(api=OPEN))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.app(scope, receive, send)


running = Running()
# A body that is too large is refused before it is read, whatever is wrong in it.
REFUSED = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": ["4xx", "5xx"]}}})
schema = schemathesis.openapi.from_asgi("/openapi.json", running, config=REFUSED, headers=LOCALLY)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A shop of its own: what is posted to ``/items`` changes it."""
    shop = make_shop(tmp_path_factory.mktemp("schema"), items=100, online=OnlineSettings(timeout_ms=500), api=OPEN)
    release = shop.release()
    push(shop.settings, release)
    promote(shop.settings, release.id)
    with TestClient(create_app(shop.settings), base_url=LOCAL) as client:
        wait_until_ready(client)
        running.app = client.app
        yield


@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_input_breaks_the_api(case: schemathesis.Case, api: None) -> None:
    case.call_and_validate(checks=CHECKS, headers=LOCALLY)
