"""A live Elasticsearch, by its Python client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from features.adapters import live
from features.adapters.base import AdapterError, ImportRequest, Loaded

NAME = "elasticsearch"
WHAT = "a live Elasticsearch (7.12 or later; its client's major version must fit) by its URL: UBI and catalogue indices"
OPTIONS = live.OPTIONS
MAPPING = live.MAPPING


class ElasticsearchEngine:
    """``live.Engine`` by the ``elasticsearch`` package."""

    tiebreak: Sequence[Mapping[str, Any]] = ()  # the engine adds _shard_doc, which means nothing in a later pit
    resumes = False

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        try:
            from elasticsearch import Elasticsearch
        except ImportError as error:
            raise AdapterError(
                "a live Elasticsearch is read by its client, which is not installed:"
                " pip install 'shelfwise[elasticsearch]'"
            ) from error
        more: dict[str, Any] = {"basic_auth": options["auth"]} if "auth" in options else {}
        if url.startswith("https://"):
            more |= {"verify_certs": options["verify_certs"], "ssl_show_warn": False}
        self._url = url
        self._client: Any = Elasticsearch(url, request_timeout=60, max_retries=3, retry_on_timeout=True, **more)

    def open(self, index: str) -> str:
        """Open a point in time."""
        with self._told(index):
            answer = self._client.open_point_in_time(index=index, keep_alive=live.KEEP_ALIVE)
        return str(answer["id"])

    def search(self, body: dict[str, Any]) -> dict[str, Any]:
        """A page."""
        from elasticsearch import NotFoundError

        with self._told(""):
            try:
                return dict(self._client.search(**body).body)
            except NotFoundError as error:
                raise live.ExpiredError from error

    def close(self, pit: str) -> None:
        """Close a point in time; one that is gone is closed."""
        from elasticsearch import NotFoundError

        try:
            self._client.close_point_in_time(id=pit)
        except NotFoundError:
            return

    def _told(self, index: str) -> Any:
        from elasticsearch import ApiError, NotFoundError, TransportError

        return live.errors_told(self._url, index, NotFoundError if index else (), TransportError, ApiError)


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read the indices."""
    return live.load_live(connection, request, ElasticsearchEngine)
