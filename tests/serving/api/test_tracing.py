"""Spans of searches, as a receiver of OTLP over HTTP finds them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from starlette.testclient import TestClient

pytest.importorskip("opentelemetry.sdk", reason="pip install 'shelfwise[otel]'")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from infra.settings import TracingSettings
from serving.api.app import create_app
from tests.serving.api.conftest import LOCAL, wait_until_ready
from tests.serving.small_shop import Shop

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARTS = ["features", "tower", "candidates", "rank"]


@contextmanager
def collecting() -> Iterator[tuple[str, list[Any]]]:
    """A collector on loopback: its URL, and the spans that it was sent."""
    spans: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/x-protobuf"
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            for of_resource in sent.resource_spans:
                names = {one.key: one.value.string_value for one in of_resource.resource.attributes}
                assert (names["service.name"], names["shelfwise.shop"]) == ("shelfwise", "small")
                spans.extend(span for scope in of_resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(shop: Shop, headers: dict[str, str], **tracing: Any) -> list[Any]:
    """What the collector has after a search, a bad one and a probe."""
    with collecting() as (url, spans):
        given = TracingSettings.model_validate({"endpoint": url} | tracing)
        app = create_app(shop.settings.model_copy(update={"tracing": given}))
        with TestClient(app, base_url=LOCAL) as client:
            wait_until_ready(client)
            found = client.post("/search", json={"query": "blue mug", "user": "u1", "k": 5}, headers=headers)
            assert found.status_code == 200
            assert client.post("/search", json={"k": "many"}, headers=headers).status_code == 422
        return spans  # what waited was sent when the server stopped


def values(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_a_search_is_a_span_below_the_callers_with_its_parts_below_it(shop: Shop) -> None:
    spans = asked(shop, {"traceparent": f"00-{TRACE}-{SPAN}-01"})
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    search, bad = sorted((s for s in spans if s.name == "POST /search"), key=lambda span: span.start_time_unix_nano)
    assert search.parent_span_id.hex() == bad.parent_span_id.hex() == SPAN
    parts = [span for span in spans if span.parent_span_id == search.span_id]
    assert set(PARTS[:3]) <= {span.name for span in parts} <= set(PARTS)
    ordered = sorted(parts, key=lambda span: PARTS.index(span.name))
    ends = [search.start_time_unix_nano]
    for part in ordered:
        assert part.start_time_unix_nano >= ends[-1]
        ends.append(part.end_time_unix_nano)
    assert ends == sorted(ends) and ends[-1] <= search.end_time_unix_nano
    told = values(search)
    assert (told["http.response.status_code"], told["shelfwise.k"], told["shelfwise.hits"]) == (200, 5, 5)
    assert told["shelfwise.release"] and values(bad)["http.response.status_code"] == 422
    assert "mug" not in str(spans) and "u1" not in str([values(span) for span in spans])


def test_query_text_is_told_where_a_setting_says_so(shop: Shop) -> None:
    told = [values(span) for span in asked(shop, {}, query_text=True) if span.name == "POST /search"]
    assert [one.get("shelfwise.query") for one in told if one["http.response.status_code"] == 200] == ["blue mug"]


@pytest.mark.parametrize(
    ("headers", "sample", "traced"),
    [
        ({"traceparent": f"00-{TRACE}-{SPAN}-00"}, 1.0, False),
        ({}, 0.0, False),
        ({"traceparent": "nonsense"}, 1.0, True),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, 0.0, True),
    ],
)
def test_the_caller_decides_else_the_share(shop: Shop, headers: dict[str, str], sample: float, traced: bool) -> None:
    assert bool(asked(shop, headers, sample=sample)) == traced


def test_a_collector_that_is_away_harms_no_search(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    tracing = TracingSettings(endpoint="http://127.0.0.1:9/v1/traces")
    with TestClient(create_app(shop.settings.model_copy(update={"tracing": tracing})), base_url=LOCAL) as client:
        wait_until_ready(client)
        assert client.post("/search", json={"query": "blue mug"}).status_code == 200
