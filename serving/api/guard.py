"""What a request has to pass before a route sees it: host, rate, key, size; for a search there has to be time."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from infra.settings import ApiSettings
from infra.settings.api import ALL_SCOPES, Scope
from serving.api.auth import LOOPBACK_NAMES, Keys, is_loopback
from serving.api.observe import asked_for, note
from serving.api.rates import Rates
from serving.api.refusals import RETRY_AFTER

PROBES = ("/healthz", "/readyz")
"""Asked by an orchestrator, often and without a key."""
OPEN = ("/", "/docs", "/openapi.json", "/favicon.ico", *PROBES)
"""Paths that need no key: the page asks for one itself. ``/page/`` is open as well; all other paths need it."""


SCOPES: Mapping[tuple[str, str], Scope] = {
    ("GET", "/search"): "search",
    ("POST", "/search"): "search",
    ("GET", "/fields"): "search",
    ("GET", "/users"): "search",
    ("GET", "/items"): "search",
    ("POST", "/events"): "events",
    ("POST", "/ubi_events"): "events",
    ("POST", "/ubi_queries"): "events",
    ("POST", "/items"): "items",
    ("GET", "/items/updates"): "items",
    ("GET", "/metrics"): "metrics",
}
"""What a key needs for a path; what is not named here takes a key that may all."""


class Guard:
    """ASGI middleware."""

    def __init__(
        self,
        app: ASGIApp,
        settings: ApiSettings,
        keyless: Mapping[str, Collection[str]],
        overloaded: Callable[[], str | None],
    ) -> None:
        """
        Args:
            keyless: paths that scripts of pages may ask without the key, each with the origins of those pages.
            overloaded: why a search would not be answered in time now; None where it would.
        """
        self._app = app
        self._overloaded = overloaded
        self._keyless = keyless
        self._settings = settings
        self._rates = Rates(settings.rate_per_second, settings.rate_burst)
        self._keys = Keys(settings) if settings.has_key else None
        local = self._keys is None and is_loopback(settings.host)
        self._hosts = {*LOOPBACK_NAMES, settings.host} if local else None

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, _bounded(receive, self._settings.max_body_bytes), send)

    def _refusal(self, scope: AsgiScope) -> JSONResponse | None:
        headers, path = Headers(scope=scope), scope["path"]
        # Not by starlette's TrustedHostMiddleware: its answer does not say what to do.
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            return _refuse(421, "this server answers to localhost only; api.host and api.key open it to others")
        client = scope["client"][0] if scope.get("client") else ""
        held = self._keys.scopes(headers.get("authorization", "").encode("latin-1")) if self._keys else None
        # The shop's own, for whom no rate is kept: who holds a key or, where there is none, asks from this machine.
        is_known = is_loopback(client) if self._keys is None else held is not None
        wait = 0.0 if is_known or path in PROBES else self._rates.take(client)
        if wait > 0:
            return _refuse(429, f"too many requests, come back in {wait:.2f} s", {"Retry-After": str(math.ceil(wait))})
        if held:
            note(scope, key=held[0])
        if self._keys and not self._is_open(scope, headers):
            if held is None:
                return _refuse(401, "send the API key as Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"})
            needed = SCOPES.get((scope["method"], path))
            if not ({needed} if needed else ALL_SCOPES) <= held[1]:
                return _refuse(
                    403, f"this key may {', '.join(sorted(held[1]))}; this takes one that may {needed or 'all'}"
                )
        return self._too_much(scope, headers.get("content-length", ""))

    def _too_much(self, scope: AsgiScope, length: str) -> JSONResponse | None:
        """The refusal of what is too large, or more than there is time for."""
        if length.isdecimal() and int(length[:20]) > self._settings.max_body_bytes:
            return _refuse(413, _too_large(self._settings.max_body_bytes))
        if scope["path"] == "/search" and (overloaded := self._overloaded()):
            # Before its body is read: what a refusal costs is what is missing to those who are answered.
            asked_for(scope, "/search")
            return _refuse(503, overloaded, {"Retry-After": RETRY_AFTER})
        return None

    def _is_open(self, scope: AsgiScope, headers: Headers) -> bool:
        """Whether it needs no key."""
        path = scope["path"]
        from_page = headers.get("origin", "") in self._keyless.get(path, ())
        return path in OPEN or path.startswith("/page/") or from_page


def _bounded(receive: Receive, most: int) -> Receive:
    """Count a body that does not say its length as it comes in. FastAPI's own limit answers before our log sees it."""
    size = 0

    async def receive_counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(413, _too_large(most))
        return message

    return receive_counted


def _refuse(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)


def _too_large(most: int) -> str:
    return f"the body is larger than {most} bytes"


def _name(host: str) -> str:
    """``Host`` without its port, in lower case."""
    return (host if host.endswith("]") else host.rpartition(":")[0] or host).lower()
