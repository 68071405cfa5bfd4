"""What a request has to pass before a route sees it: host, rate, key and size."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.settings import ApiSettings
from serving.api.auth import LOOPBACK_NAMES, holds_key, is_loopback
from serving.api.rates import Rates

PROBES = ("/healthz", "/readyz")
"""Asked by an orchestrator, often and without a key."""
OPEN = ("/", "/docs", "/openapi.json", "/favicon.ico", *PROBES)
"""Paths that need no key: the page asks for one itself. ``/page/`` is open as well; all other paths need it."""


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, settings: ApiSettings, keyless: Mapping[str, Collection[str]]) -> None:
        """``keyless``: paths that scripts of pages may ask without the key, each with the origins of those pages."""
        self._app = app
        self._keyless = keyless
        self._settings = settings
        self._rates = Rates(settings.rate_per_second, settings.rate_burst)
        local = settings.key is None and is_loopback(settings.host)
        self._hosts = {*LOOPBACK_NAMES, settings.host} if local else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, _bounded(receive, self._settings.max_body_bytes), send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers, path = Headers(scope=scope), scope["path"]
        # Not by starlette's TrustedHostMiddleware: its answer does not say what to do.
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            return _refuse(421, "this server answers to localhost only; api.host and api.key open it to others")
        client = scope["client"][0] if scope.get("client") else ""
        is_known = self._is_known(client, headers)
        wait = 0.0 if is_known or path in PROBES else self._rates.take(client)
        if wait > 0:
            return _refuse(429, f"too many requests, come back in {wait:.2f} s", {"Retry-After": str(math.ceil(wait))})
        from_page = headers.get("origin", "") in self._keyless.get(path, ())
        needs_key = path not in OPEN and not path.startswith("/page/") and not from_page
        if needs_key and self._settings.key is not None and not is_known:
            return _refuse(401, "send the API key as Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._settings.max_body_bytes:
            return _refuse(413, _too_large(self._settings.max_body_bytes))
        return None

    def _is_known(self, client: str, headers: Headers) -> bool:
        """Whether it holds the key or, where there is none, asks from this machine: the shop's own, for which no rate
        is kept."""
        if self._settings.key is None:
            return is_loopback(client)
        return holds_key(headers.get("authorization", "").encode("latin-1"), self._settings.key)


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
