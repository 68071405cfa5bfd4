"""Where a shop's pages and servers send UBI rows: the paths that OpenSearch's ``ubi.js`` posts to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.api.backend import Backend
from serving.api.errors import BadInputError, NotReadyError, OverloadedError
from serving.api.metrics import Metrics
from serving.api.models import RowProblem, UbiResponse
from serving.api.observe import note
from serving.api.refusals import REFUSALS
from serving.retrieval import ONLINE_STORE_UNAVAILABLE
from serving.ubi_log import UBI_EVENTS, UBI_QUERIES, Source, UbiLog
from serving.ubi_log.intake import RowError, UserEvent, checked_row, parse_rows, user_event_of

UBI_PATHS = (f"/{UBI_EVENTS}", f"/{UBI_QUERIES}")
NOT_READY, OVERLOADED = "not_ready", "overloaded"
PREFLIGHT_SECONDS = 3_600
MAX_PROBLEMS = 20
"""Refused rows that an answer names; the rest are counted."""

ubi_routes = APIRouter(responses=REFUSALS, tags=["events"])


def _body(what: str) -> dict[str, Any]:
    rows = {"type": "array", "items": {"type": "object"}}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": rows}}, "description": what}}


async def _parts(request: Request) -> tuple[Backend, Metrics, UbiLog | None]:
    state = request.app.state
    return state.backend, state.metrics, state.ubi_log


Parts = Annotated[tuple[Backend, Metrics, "UbiLog | None"], Depends(_parts)]


@ubi_routes.post("/ubi_events", status_code=202, openapi_extra=_body("An array of UBI events."))
async def ubi_events(request: Request, response: Response, parts: Parts) -> UbiResponse:
    """Take an array of UBI events: the log keeps them, and the next search of whoever did it knows of it.

    The base URL of this server is what `new UbiClient(URL)` of `ubi.js` takes.
    """
    return await _take(UBI_EVENTS, request, response, parts)


@ubi_routes.post("/ubi_queries", status_code=202, openapi_extra=_body("An array of UBI queries."))
async def ubi_queries(request: Request, response: Response, parts: Parts) -> UbiResponse:
    """Take an array of UBI queries: searches that were answered elsewhere, each with the items that it showed
    (`query_response_hit_ids`). What `/search` answers is logged already.
    """
    return await _take(UBI_QUERIES, request, response, parts)


async def _take(
    source: Source, request: Request, response: Response, parts: tuple[Backend, Metrics, UbiLog | None]
) -> UbiResponse:
    backend, counted, log = parts
    settings = request.app.state.settings
    try:
        sent = parse_rows(await request.body())
    except RowError as error:
        raise BadInputError(str(error)) from error
    now, rows, problems = datetime.now(UTC), [], []
    for place, row in enumerate(sent):
        try:
            rows.append(checked_row(source, row, settings.raw, now))
        except RowError as error:
            problems.append(RowProblem(row=place, detail=str(error)))
    if sent and not rows:
        raise BadInputError("; ".join(f"row {p.row}: {p.detail}" for p in problems[:5]))
    fallbacks = await _record(backend, [h for row in rows if (h := user_event_of(source, row, settings.raw))])
    logged = append_rows(log, source, rows) if log else 0
    counted.fallbacks(fallbacks)
    note(request.scope, rows=len(rows), logged=logged, refused=len(problems), fallbacks=fallbacks)
    return UbiResponse(
        accepted=len(rows),
        logged=logged,
        refused=len(problems),
        problems=problems[:MAX_PROBLEMS],
        fallbacks=fallbacks,
    )


def append_rows(log: UbiLog, source: Source, rows: Sequence[Mapping[str, Any]]) -> int:
    """Log rows; how many the log took.

    Raises:
        BadInputError: one of them is no JSON that others could read; none is logged then.
    """
    try:
        return log.append_all(source, rows)
    except ValueError as error:
        raise BadInputError(f"a number that is not finite, or a text that is not Unicode: {error}") from error


async def _record(backend: Backend, events: Sequence[UserEvent]) -> list[str]:
    """Have the next searches know of it; what was away, if anything. The log is kept all the same."""
    if not events:
        return []
    try:
        return [ONLINE_STORE_UNAVAILABLE] if await backend.record_all(events) else []
    except NotReadyError:
        return [NOT_READY]
    except OverloadedError:
        return [OVERLOADED]


class UbiCors:
    """ASGI middleware: the pages of some origins may post UBI rows, and read nothing else."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._cors = CORSMiddleware(
            app,
            allow_origins=list(origins),
            allow_methods=["POST"],
            allow_headers=["authorization", "content-type"],
            max_age=PREFLIGHT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        to_ubi = scope["type"] == "http" and scope["path"] in UBI_PATHS
        await (self._cors if to_ubi else self._app)(scope, receive, send)
