"""The endpoints."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import Field

from serving.api.backend import Backend
from serving.api.errors import BadInputError
from serving.api.metrics import Metrics, Told
from serving.api.models import (
    SHORT_QUERY,
    TWO_QUERIES,
    EventRequest,
    EventResponse,
    FilterField,
    Filters,
    Health,
    ItemId,
    ItemUpdateCounts,
    ItemUpdateState,
    Ready,
    SearchRequest,
    SearchResponse,
)
from serving.api.observe import note
from serving.api.refusals import NOT_READY, REFUSALS, RETRY_AFTER
from serving.api.ubi import append_rows
from serving.item_updates.rows import ItemUpdate
from serving.ubi_log import UBI_EVENTS, UBI_QUERIES, UbiLog
from serving.ubi_log.rows import event_row, new_id, query_row

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

open_routes = APIRouter(tags=["operation"])
routes = APIRouter(responses=REFUSALS)


# Asynchronous, as FastAPI runs others on a thread.
async def _backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


async def _metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


Behind = Annotated[Backend, Depends(_backend)]
Counted = Annotated[Metrics, Depends(_metrics)]


@open_routes.get("/healthz")
async def healthz(request: Request) -> Health:
    """Whether the process is alive, and whether it can write its log."""
    log: UbiLog | None = request.app.state.ubi_log
    return Health(ubi_log="off" if log is None else "failing" if log.problem else "ok")


@open_routes.get("/readyz", responses=NOT_READY)
async def readyz(backend: Behind) -> Ready:
    """Whether searches are answered, and by which release."""
    release_id = backend.release_id
    if release_id is None:
        raise HTTPException(503, backend.reason, {"Retry-After": RETRY_AFTER})
    return Ready(release_id=release_id)


@routes.post("/search", tags=["search"], response_model=SearchResponse)
async def search(request: Request, asked: SearchRequest, backend: Behind, counted: Counted) -> Response:
    """The k items that fit the query and the user best."""
    raw, settings = request.app.state.settings.raw, request.app.state.settings.api
    if asked.k > settings.max_k:
        raise BadInputError(f"k must be a whole number from 1 to {settings.max_k}, got {asked.k}")
    query_id, asked_at = asked.query_id or new_id(), datetime.now(UTC)
    answer = await backend.search(replace(asked, user=raw.person(asked.user, asked.client_id), query_id=query_id))
    counted.search(answer)
    private = {"query": asked.query, "user": asked.user} if settings.log_queries else {}
    note(
        request.scope,
        release=answer.release_id,
        k=asked.k,
        hits=len(answer.hits),
        personalized=answer.personalized,
        fallbacks=answer.fallbacks,
        steps_ms={step: round(ms, 2) for step, ms in answer.timings_ms.items()},
        **private,
    )
    log: UbiLog | None = request.app.state.ubi_log
    if log and asked.shown != 0 and answer.searched:
        row = query_row(
            asked,
            query_id=query_id,
            hits=answer.hits[: asked.shown],
            time=asked_at,
            client_id=asked.client_id,
            session_id=asked.session_id,
            attributes={
                "release_id": answer.release_id,
                "personalized": answer.personalized,
                "corrected": answer.corrected,
            },
        )
        append_rows(log, UBI_QUERIES, [row])
    return Response(answer.body, media_type="application/json")


@routes.get("/search", tags=["search"], response_model=SearchResponse)
async def quick_search(
    request: Request,
    backend: Behind,
    counted: Counted,
    query: Annotated[str | None, Query(description="What was typed; needed, if `q` is not given.")] = None,
    q: Annotated[str | None, Query(description=SHORT_QUERY, examples=["red sofa"])] = None,
    user: Annotated[str | None, Query(max_length=1_000, description="Whose history counts.")] = None,
    k: Annotated[int, Query(ge=1)] = 10,
    filters: Annotated[str | None, Query(description='JSON, such as {"price": {"lt": 300}}')] = None,
    explain: bool = False,
    items: bool = True,
    personalize: bool = True,
    correct: bool = True,
) -> Response:
    """A quick look with curl or a browser. Query and user end up in histories and logs of proxies: programs POST.
    It is not logged as a search of the shop's."""
    if None not in (query, q) and query != q:
        raise BadInputError(TWO_QUERIES)
    typed = q if query is None else query
    if typed is None:
        raise BadInputError("query: say what to search for, as in /search?query=red+sofa")
    asked = SearchRequest(
        query=typed,
        user=user,
        k=k,
        filters=_parsed(filters),
        explain=explain,
        items=items,
        personalize=personalize,
        correct=correct,
        shown=0,
    )
    return await search(request, asked, backend, counted)


@routes.post("/events", tags=["search"], status_code=202)
async def events(request: Request, event: EventRequest, backend: Behind, counted: Counted) -> EventResponse:
    """Record what a user did: their next search knows of it, and the log has it."""
    person = request.app.state.settings.raw.person(event.user, event.client_id)
    away, unknown_item = await backend.record(person, event.action, event.query, event.item_id, event.time)
    log: UbiLog | None = request.app.state.ubi_log
    logged = 0
    if log:
        row = event_row(
            action=event.action,
            time=event.time or datetime.now(UTC),
            **event.model_dump(include={"user", "client_id", "session_id", "query_id", "query", "item_id", "position"}),
        )
        logged = append_rows(log, UBI_EVENTS, [row])
    counted.fallbacks(away)
    private = {"query": event.query, "user": event.user} if request.app.state.settings.api.log_queries else {}
    note(request.scope, action=event.action, fallbacks=away, **private)
    recorded = person is not None and not away
    return EventResponse(recorded=recorded, logged=bool(logged), unknown_item=unknown_item, fallbacks=away)


@routes.get("/fields", tags=["catalogue"])
async def fields(backend: Behind) -> list[FilterField]:
    """What can be filtered by, each with its most frequent values."""
    return [FilterField.model_validate(field) for field in await backend.fields()]


@routes.get("/users", tags=["catalogue"])
async def users(backend: Behind) -> list[str]:
    """Some known users, to try a search as."""
    return await backend.users()


@routes.get("/items", tags=["catalogue"])
async def items(
    backend: Behind, id: Annotated[list[ItemId], Query(min_length=1, max_length=100)]
) -> list[dict[str, Any]]:
    """What the catalogue says of some items, in the order asked for."""
    return await backend.items(id)


@routes.post("/items", tags=["catalogue"])
async def update_items(
    request: Request, updates: Annotated[list[ItemUpdate], Field(min_length=1)], backend: Behind
) -> ItemUpdateCounts:
    """Say what is new of items: stock, prices, whole new items, removed ones. It counts for the next search, of other
    servers of the shop within two seconds, until a catalogue that landed later is live. All rows are taken, or none."""
    counts = ItemUpdateCounts.model_validate(await backend.update_items(updates))
    note(request.scope, rows=len(updates))
    return counts


@routes.get("/items/updates", tags=["catalogue"])
async def item_updates(backend: Behind) -> ItemUpdateState:
    """What was said of items by day, and what is wrong with it, if anything."""
    told = (await backend.statistics()).get("item_updates")
    if told is None:
        raise HTTPException(503, backend.reason, {"Retry-After": RETRY_AFTER})
    return ItemUpdateState.model_validate(told)


@routes.get("/metrics", tags=["operation"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(backend: Behind, counted: Counted) -> Response:
    """Metrics for Prometheus."""
    told = Told(await backend.statistics(), backend.release_ids, backend.answering, backend.ends, backend.processes)
    # On a thread, as asking the system for the memory of other processes takes a while.
    return Response(await asyncio.to_thread(counted.exposition, told), media_type=PROMETHEUS)


def _parsed(filters: str | None) -> Filters | None:
    if filters is None:
        return None
    try:
        parsed = json.loads(filters)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"filters is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise BadInputError('filters must be a JSON object, such as {"brand": "Acme"}')
    return parsed
