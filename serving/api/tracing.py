"""A span per search and one for each of its parts, for OpenTelemetry; opt-in (``tracing.endpoint``).

The parts are timed already (``serving.stopwatch``), so nothing is traced while a search is answered: its spans are made
when it has been. Searches that are answered together share the thread, so where a part began is not known of each: the
parts are laid one after another, in the order in which they are done, so that the last one ends with the answer.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

PARTS = {"features": "features", "tower": "tower", "search": "candidates", "ranking": "rank"}
"""Step of an answer's ``timings_ms`` -> name of its span, in the order in which they are done."""
TRACED = ("/search", "/events")
MILLISECOND = 1_000_000
"""Nanoseconds."""


class TracingError(RuntimeError):
    """What traces are made with is not installed; the message says what to do."""


def provider_of(settings: Settings) -> TracerProvider:
    """Where spans go: to the collector, a batch at a time and from a thread of its own.

    Raises:
        TracingError: the extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise TracingError(
            "tracing.endpoint is set, and OpenTelemetry is not installed: pip install 'shelfwise[otel]', or leave"
            " SHELFWISE_TRACING__ENDPOINT unset"
        ) from error
    named = Resource.create({"service.name": "shelfwise", "shelfwise.shop": settings.shop_name})
    sampler = ParentBased(TraceIdRatioBased(settings.tracing.sample))
    # Not at exit: the application ends it, when it has answered what was in flight.
    provider = TracerProvider(resource=named, sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.tracing.endpoint)))
    return provider


class Tracing:
    """ASGI middleware within ``Observe``, whose notes of a request say what became of it."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Raises as :func:`provider_of`."""
        self._app = app
        self._with_query = settings.tracing.query_text
        self._provider = provider_of(settings)
        self._tracer = self._provider.get_tracer("shelfwise")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then make the spans."""
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                self._provider.shutdown()  # sends what waits
            return
        if scope["type"] != "http" or scope["path"] not in TRACED:
            await self._app(scope, receive, send)
            return
        began, status = time.time_ns(), 500
        bodies: list[bytes] = []

        async def receive_kept() -> Message:
            message = await receive()
            bodies.append(message.get("body", b""))
            return message

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive_kept if self._with_query else receive, send_marked)
        finally:
            try:
                self._trace(scope, began, time.time_ns(), status, b"".join(bodies))
            except Exception:
                log.exception("a request is not traced")  # it was answered all the same

    def _trace(self, scope: Scope, began: int, ended: int, status: int, body: bytes) -> None:
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        told: Mapping[str, Any] = scope.get("shelfwise.log", {})
        headers = Headers(scope=scope)
        # The caller's tracestate is theirs to keep; ours begins at what is in traceparent.
        caller = TraceContextTextMapPropagator().extract({"traceparent": headers.get("traceparent", "")})
        attributes: dict[str, Any] = {
            "http.request.method": scope["method"],
            "http.route": scope["path"],
            "http.response.status_code": status,
        }
        for name in ("release", "k", "hits", "personalized", "fallbacks"):
            if told.get(name) is not None:
                attributes[f"shelfwise.{name}"] = told[name]
        if self._with_query and (query := _query_of(body)) is not None:
            attributes["shelfwise.query"] = query
        span = self._tracer.start_span(
            f"{scope['method']} {scope['path']}", caller, SpanKind.SERVER, attributes, start_time=began
        )
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        if span.is_recording():
            self._parts(span, told.get("steps_ms") or {}, began, ended)
        span.end(ended)

    def _parts(self, parent: Span, steps_ms: Mapping[str, float], began: int, ended: int) -> None:
        from opentelemetry.trace import set_span_in_context

        lasted = {step: int(steps_ms.get(step, 0.0) * MILLISECOND) for step in PARTS}
        at = max(began, ended - sum(lasted.values()))
        for step, name in PARTS.items():
            if lasted[step]:
                part = self._tracer.start_span(name, set_span_in_context(parent), start_time=at)
                at = min(at + lasted[step], ended)
                part.end(at)


def _query_of(body: bytes) -> str | None:
    try:
        query = json.loads(body).get("query")
    except (ValueError, AttributeError):
        return None
    return query if isinstance(query, str) else None
