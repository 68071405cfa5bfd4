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
        IncompleteCollection: the collection is not what the release says.
        BrokenProcessPool: the process died.
        TimeoutError: no answer within ``TIMEOUT_S``.
    """
    # spawn, not fork: what this process has loaded already must not help.
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    before = set(multiprocessing.active_children())
    try:
        return pool.submit(_answer, settings, release_id, query).result(timeout=TIMEOUT_S)
    finally:
        # A child that hangs would be waited for without end.
        for child in set(multiprocessing.active_children()) - before:
            child.kill()
        pool.shutdown(wait=False, cancel_futures=True)


def _answer(settings: Settings, release_id: str, query: str) -> str:
    from serving.connection import Connection
    from serving.filters import Filter
    from serving.loading import load_served, serving_anyway, warm
    from serving.served import ServedRelease

    connection = Connection(settings, TIMEOUT_S)
    connection.open()
    try:

        def load(*, second_stage: bool) -> ServedRelease:
            served = load_served(settings, release_id, connection, second_stage=second_stage)
            warm(served, connection, TIMEOUT_S)
            return served

        served = serving_anyway(settings, release_id, load)
        found = served.index.search(served.release.encoder.encode(query)[None], 1, Filter())
    finally:
        connection.close()
    return str(served.release.items.ids[found.rows[0, 0]])
