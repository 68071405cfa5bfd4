"""Servability: can a fresh process load a release and answer with its pushed collection?"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from infra.settings import Settings

TIMEOUT_S = 180.0


def probe(settings: Settings, release_id: str, query: str) -> str:
    """Load a pushed release in a fresh process and search once; return the best item's id.

    Raises:
        ReleaseError: the release's folder is missing or corrupt.
        IndexUnavailable: Milvus is away, or has no such collection.
        BrokenProcessPool: the process died.
        TimeoutError: no answer within ``TIMEOUT_S``.
    """
    # spawn, not fork: what this process has loaded already must not help.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_answer, settings, release_id, query).result(timeout=TIMEOUT_S)


def _answer(settings: Settings, release_id: str, query: str) -> str:
    from serving.connection import client
    from serving.filters import Filter
    from serving.served import load_served, warm

    served = load_served(settings, release_id)
    with client(settings) as milvus:
        warm(served, milvus, TIMEOUT_S)
        vector = served.release.encode_query(query)
        return served.search_index(milvus, vector, 1, Filter(), TIMEOUT_S)[0].item_id
