"""A live OpenSearch, by its Python client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from features.adapters import live
from features.adapters.base import AdapterError, ImportRequest, Loaded

NAME = "opensearch"
WHAT = "a live OpenSearch (2.4 or later) by its URL: the indices of its UBI plugin, and the catalogue's"
OPTIONS = live.OPTIONS
MAPPING = live.MAPPING


class OpenSearchEngine:
    """``live.Engine`` by opensearch-py."""

    tiebreak: Sequence[Mapping[str, Any]] = ({"_id": "asc"},)
    resumes = True

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        try:
            from opensearchpy import OpenSearch
        except ImportError as error:
            raise AdapterError(
                "a live OpenSearch is read by its client, which is not installed: pip install 'shelfwise[opensearch]'"
            ) from error
        auth = {"http_auth": options["auth"]} if "auth" in options else {}
        self._url = url
        self._client: Any = OpenSearch(
            [url], verify_certs=options["verify_certs"], ssl_show_warn=False, timeout=60, max_retries=3,
            retry_on_timeout=True, **auth,
        )  # fmt: skip

    def open(self, index: str) -> str:
        """Open a point in time."""
        with self._told(index):
            answer = self._client.create_pit(index=index, params={"keep_alive": live.KEEP_ALIVE})
        return str(answer["pit_id"])

    def search(self, body: dict[str, Any]) -> dict[str, Any]:
        """A page."""
        from opensearchpy.exceptions import NotFoundError

        with self._told(""):
            try:
                return dict(self._client.search(body=body))
            except NotFoundError as error:
                raise live.ExpiredError from error

    def close(self, pit: str) -> None:
        """Close a point in time; one that is gone is closed."""
        from opensearchpy.exceptions import NotFoundError

        try:
            self._client.delete_pit(body={"pit_id": [pit]})
        except NotFoundError:
            return

    def _told(self, index: str) -> Any:
        from opensearchpy.exceptions import ConnectionError as Unreachable
        from opensearchpy.exceptions import NotFoundError, TransportError

        return live.errors_told(self._url, index, NotFoundError if index else (), Unreachable, TransportError)


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read the indices."""
    return live.load_live(connection, request, OpenSearchEngine)
