"""An HTTP server that answers what a paging import asks of OpenSearch and Elasticsearch: point in time, search."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Documents = Mapping[str, Sequence[Mapping[str, Any]]]


class EngineServer(ThreadingHTTPServer):
    """Indices of documents with ``_id`` and ``_source``, sorted by ``timestamp`` (milliseconds) and then by id."""

    daemon_threads = True

    def __init__(self, documents: Documents, delay: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.documents = documents
        self.delay = delay
        self.pits: dict[str, str] = {}
        self.opened = 0
        self.pages: list[int] = []
        self.expire_after: int | None = None
        """Forget all points in time once so many pages were given."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def open_pit(self, index: str) -> str:
        self.opened += 1
        pit = f"pit-{self.opened}-{index}"
        self.pits[pit] = index
        return pit

    def page(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """A page; None where the point in time is gone."""
        if self.expire_after is not None and len(self.pages) >= self.expire_after:
            self.pits.clear()
            self.expire_after = None
        pit = body["pit"]["id"]
        if pit not in self.pits:
            return None
        time.sleep(self.delay)
        listed = self.documents[self.pits[pit]]
        by_time = any(isinstance(key, dict) and "timestamp" in key for key in body["sort"])
        by_id = any(isinstance(key, dict) and "_id" in key for key in body["sort"])
        rows = []
        for place, document in enumerate(listed):
            when = [document["_source"].get("timestamp", 2**63 - 1)] if by_time else []
            rows.append((when + ([document["_id"]] if by_id else [place]), document))
        rows.sort(key=lambda row: row[0])
        since = json.dumps(body["query"])
        if '"gte"' in since:
            bound = body["query"]["bool"]["filter"]["bool"]["should"][0]["range"]["timestamp"]["gte"]
            rows = [row for row in rows if row[0][0] >= bound]
        total = len(rows)
        if "search_after" in body:
            rows = [row for row in rows if row[0] > body["search_after"]]
        rows = rows[: body["size"]]
        self.pages.append(len(rows))
        hits = [{**document, "_index": self.pits[pit], "_score": None, "sort": keys} for keys, document in rows]
        return {"pit_id": pit, "hits": {"total": {"value": total, "relation": "eq"}, "hits": hits}}


class _Handler(BaseHTTPRequestHandler):
    server: EngineServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        path = urlsplit(self.path).path.strip("/").split("/")
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        if path[1:] in (["_search", "point_in_time"], ["_pit"]):
            if path[0] not in self.server.documents:
                return self._answer(404, {"error": {"type": "index_not_found_exception"}, "status": 404})
            pit = self.server.open_pit(path[0])
            return self._answer(200, {"pit_id": pit, "id": pit})
        page = self.server.page(body)
        if page is None:
            return self._answer(404, {"error": {"type": "search_context_missing_exception"}, "status": 404})
        return self._answer(200, page)

    def do_DELETE(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        for pit in body.get("pit_id", [body.get("id")]):
            self.server.pits.pop(pit, None)
        self._answer(200, {"succeeded": True})

    def _answer(self, status: int, body: Mapping[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        sent = self.headers.get("Accept", "application/json").split(",")[0]
        self.send_header("Content-Type", sent if "json" in sent else "application/json")
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def engine_server(documents: Documents, delay: float = 0.0) -> Iterator[EngineServer]:
    """A server on a free port."""
    server = EngineServer(documents, delay)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
