"""The ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles

from infra.settings import Settings
from serving.api.backend import Backend
from serving.api.errors import BadInputError, NotReadyError, OverloadedError
from serving.api.guard import Guard
from serving.api.metrics import Metrics
from serving.api.observe import Observe
from serving.api.refusals import RETRY_AFTER
from serving.api.routes import open_routes, routes
from serving.api.tracing import Tracing
from serving.api.ubi import UBI_PATHS, UbiCors, ubi_routes
from serving.ubi_log import UbiLog, log_folder

if TYPE_CHECKING:
    from serving.api.workers import Make

PAGE = Path(__file__).with_name("page")


def create_app(settings: Settings, make: Make | None = None) -> FastAPI:
    """The API over the live release of a shop; it warms up when it is started. ``make``: see
    :func:`serving.api.workers.workers_of`.

    Raises:
        UbiLogError: the log is on, and there is no folder to write it to.
        TracingError: when it starts, where traces are asked for and what they are made with is not installed.
    """
    backend = Backend(settings, make)
    folder = log_folder(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        backend.start()
        app.state.ubi_log = UbiLog(folder, settings.ubi_log) if folder else None
        try:
            yield
        finally:
            await backend.close()
            if app.state.ubi_log:
                await asyncio.to_thread(app.state.ubi_log.close)

    app = FastAPI(
        title="Shelfwise",
        version=_version(),
        description="Personalized retrieval for shop search. `/` is a page to try it on.",
        lifespan=lifespan,
        # Its spans would carry query strings to whatever exporter the environment names.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        docs_url=None,  # Swagger UI comes from a CDN; page/docs.html does not
        redoc_url=None,
    )
    app.state.ubi_log = None

    def log_statistics() -> dict[str, Any]:
        return app.state.ubi_log.statistics() if app.state.ubi_log else {}

    metrics = Metrics(log_statistics)
    app.state.settings, app.state.backend, app.state.metrics = settings, backend, metrics
    # The guard checks the key before a body is read; this tells OpenAPI of it.
    key = [Security(HTTPBearer(auto_error=False, description="`api.key`"))] if settings.api.has_key else []
    app.include_router(routes, dependencies=key)
    app.include_router(ubi_routes, dependencies=key)
    app.include_router(open_routes)
    app.add_api_route("/", _page("index.html"), include_in_schema=False)
    app.add_api_route("/docs", _page("docs.html"), include_in_schema=False)
    app.mount("/page", StaticFiles(directory=PAGE))
    keyless = {path: settings.ubi_log.origins for path in UBI_PATHS}
    app.add_middleware(Guard, settings=settings.api, keyless=keyless, overloaded=backend.overloaded)
    if settings.ubi_log.origins:
        app.add_middleware(UbiCors, origins=settings.ubi_log.origins)
    if settings.tracing.endpoint:
        app.add_middleware(Tracing, settings=settings)
    app.add_middleware(Observe, metrics=metrics)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(BadInputError, _refused)
    app.add_exception_handler(NotReadyError, _not_now)
    app.add_exception_handler(OverloadedError, _not_now)
    return app


def _page(name: str) -> Callable[[], Any]:
    async def page() -> FileResponse:
        return FileResponse(PAGE / name)

    return page


async def _unreadable(_: Request, error: Exception) -> JSONResponse:
    """What does not have the form of the endpoint's input, without what was sent."""
    assert isinstance(error, RequestValidationError)
    return _problem(422, "; ".join(_sentence(e["loc"], e["msg"]) for e in error.errors()[:5]))


def _sentence(place: Sequence[str | int], message: str) -> str:
    if len(place) > 2 and isinstance(place[1], int):
        return f"row {place[1]}: {_sentence(place[1:], message)}"
    where = ".".join(str(part) for part in place[1:])
    return f"{where}: {message}" if where else message


async def _refused(_: Request, error: Exception) -> JSONResponse:
    return _problem(422, str(error))


async def _not_now(_: Request, error: Exception) -> JSONResponse:
    return _problem(503, str(error), {"Retry-After": RETRY_AFTER})


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    # A sentence may quote what was sent, half a surrogate pair included, which UTF-8 has no bytes for.
    return JSONResponse({"detail": detail.encode("utf-8", "backslashreplace").decode()}, status, headers)


def _version() -> str:
    try:
        return version("shelfwise")
    except PackageNotFoundError:
        return "0"
