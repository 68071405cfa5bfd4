"""Online retrieval: ``serving.retrieve(user, query)`` over the live release.

Importing this package loads nothing heavy: torch, Feast and pymilvus come with the first retriever.
"""

from __future__ import annotations

import atexit
import importlib
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

if TYPE_CHECKING:
    import pyarrow as pa

    from features.store.errors import OnlineStoreUnavailable
    from infra.contract.request import Request, RequestOptions
    from serving.errors import IncompleteCollection, IndexUnavailable, NoLiveRelease
    from serving.hits import Hit
    from serving.retrieval import Retrieval
    from serving.retriever import Retriever

__all__ = [
    "Hit",
    "IncompleteCollection",
    "IndexUnavailable",
    "NoLiveRelease",
    "OnlineStoreUnavailable",
    "Request",
    "Retrieval",
    "Retriever",
    "record",
    "retrieve",
    "update_items",
]

_LAZY = {
    "Hit": "serving.hits",
    "IncompleteCollection": "serving.errors",
    "IndexUnavailable": "serving.errors",
    "NoLiveRelease": "serving.errors",
    "OnlineStoreUnavailable": "features.store.errors",
    "Request": "infra.contract.request",
    "Retrieval": "serving.retrieval",
    "Retriever": "serving.retriever",
}

_default: Retriever | None = None
_making = threading.Lock()


def retrieve(user: str | None, query: str, **options: Unpack[RequestOptions]) -> Retrieval:
    """Retrieve with a retriever that is made on the first call and stays warm; see :meth:`Retriever.retrieve`.

    Raises:
        ValueError: a bad query, user, k, filter or location.
        NoLiveRelease: nothing was promoted yet.
    """
    return _default_retriever().retrieve(user, query, **options)


def record(user: str, action: str, query: str | None = None, item_id: str | None = None) -> None:
    """Record what a user just did, so that their next request counts it; see :meth:`Retriever.record`.

    Raises:
        ValueError: an unknown action, or one without its query or item.
        NoLiveRelease: nothing was promoted yet.
        OnlineStoreUnavailable: Redis is away; nothing was recorded.
    """
    _default_retriever().record(user, action, query, item_id)


def update_items(updates: Sequence[Mapping[str, Any]] | pa.Table) -> dict[str, int]:
    """Say what is new of items: stock, prices, new and removed ones; see :meth:`Retriever.update_items`.

    Raises:
        ValueError: a row is wrong; the message says which and why, and none was taken.
        NoLiveRelease: nothing was promoted yet.
        OnlineStoreUnavailable: Redis is away; nothing was taken.
    """
    return _default_retriever().update_items(updates)


def _default_retriever() -> Retriever:
    global _default  # noqa: PLW0603 - one warm retriever per process
    with _making:
        if _default is None:
            from infra.settings import get_settings
            from serving.retriever import Retriever

            _default = Retriever(get_settings())
            # Before the embedded services are left: else its thread finds them gone and says so.
            atexit.register(_default.close)
        return _default


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
