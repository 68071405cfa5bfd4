"""One line of JSON per request, its metrics, and the headers that every answer carries."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.logs import logged_with
from serving.api.metrics import Metrics
from serving.api.request_id import request_id, trace_ids

log = logging.getLogger("shelfwise.requests")

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
BROKEN = JSONResponse({"detail": "the server failed; its log says why"}, 500)


def note(scope: Scope, **what: Any) -> None:
    """Add to the log line of the request in progress."""
    scope.setdefault("shelfwise.log", {}).update(what)


def asked_for(scope: Scope, path: str) -> None:
    """Say which route a request was meant for that is refused before it gets there."""
    scope["shelfwise.path"] = path


class Observe:
    """ASGI middleware, the outermost one: it also sees what the guard refuses."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        began, asked_as, status, started = time.perf_counter(), request_id(headers), 500, False

        async def send_marked(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                answered = MutableHeaders(scope=message)
                answered.update({**SECURITY_HEADERS, "X-Request-ID": asked_as})
                if "cache-control" not in answered:
                    answered["Cache-Control"] = "no-store"
            await send(message)

        note(scope)
        try:
            with self._metrics.in_flight.track_inprogress(), logged_with(request=asked_as):
                await self._app(scope, receive, send_marked)
        except Exception:
            log.exception("request %s failed", asked_as, extra={"fields": {"request": asked_as}})
            if started:
                raise  # the server closes the connection: half an answer must not look like a whole one
            await BROKEN(scope, receive, send_marked)
        finally:
            seconds = time.perf_counter() - began
            path = _path(scope)
            self._metrics.request(path, scope["method"], status, seconds)
            line = {"id": asked_as, **trace_ids(headers), "method": scope["method"], "path": path, "status": status}
            line |= {"ms": round(seconds * 1000, 2)} | scope["shelfwise.log"]
            told = f"{scope['method']} {path} {status}"
            fields = {name: value for name, value in line.items() if name != "id"}
            log.info("%s", json.dumps(line), extra={"fields": fields | {"message": told, "request": asked_as}})


def _path(scope: Scope) -> str:
    """The route that answered, so that neither logs nor labels grow with what callers make up."""
    if scope["path"].startswith("/page/"):
        return "/page"
    if "shelfwise.path" in scope:
        return str(scope["shelfwise.path"])
    route = scope.get("route")
    return str(getattr(route, "path", "")) or ("refused" if route is None else "other")
