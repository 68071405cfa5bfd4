"""Online retrieval: ``serving.retrieve(user, query)`` over the live release.

Importing this package loads nothing heavy: torch, Feast and pymilvus come with the first retriever.
"""

from __future__ import annotations

import atexit
import importlib
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.errors import IncompleteCollection, IndexUnavailable, NoLiveRelease
    from serving.retriever import Retrieval, Retriever
    from serving.served import Hit

__all__ = ["Hit", "IncompleteCollection", "IndexUnavailable", "NoLiveRelease", "Retrieval", "Retriever", "retrieve"]

_LAZY = {
    "Hit": "serving.served",
    "IncompleteCollection": "serving.errors",
    "IndexUnavailable": "serving.errors",
    "NoLiveRelease": "serving.errors",
    "Retrieval": "serving.retriever",
    "Retriever": "serving.retriever",
}

_default: Retriever | None = None
_making = threading.Lock()


def retrieve(
    user: str | None, query: str, k: int = 100, filters: Mapping[str, Any] | None = None, explain: bool = False
) -> Retrieval:
    """Retrieve with a retriever that is made on the first call and stays warm; see :meth:`Retriever.retrieve`.

    Raises:
        ValueError: a bad query, user, k or filter.
        NoLiveRelease: nothing was promoted yet.
    """
    return _default_retriever().retrieve(user, query, k=k, filters=filters, explain=explain)


def _default_retriever() -> Retriever:
    global _default  # noqa: PLW0603 - one warm retriever per process
    with _making:
        if _default is None:
            from infra.settings import get_settings
            from serving.retriever import Retriever

            _default = Retriever(get_settings())
            # Before the embedded services are let go of: else its thread finds them gone and says so.
            atexit.register(_default.close)
        return _default


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
