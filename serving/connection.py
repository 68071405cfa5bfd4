"""Clients of Milvus, by URI, whose calls end within a time and whose failures are one kind of error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from infra.services import milvus_uri
from infra.settings import Settings
from serving.errors import IndexUnavailable

if TYPE_CHECKING:
    from pymilvus import MilvusClient

CONNECT_TIMEOUT_S = 10.0
"""Longest that a push waits for a connection; a request has ``settings.serving.index_timeout_ms``."""


@contextmanager
def client(settings: Settings, timeout_s: float = CONNECT_TIMEOUT_S) -> Iterator[MilvusClient]:
    """A client for a few calls.

    Raises:
        IndexUnavailable: Milvus does not answer within ``timeout_s``, or a call of the block failed.
    """
    opened = open_client(settings, timeout_s)
    try:
        with failures():
            yield opened
    finally:
        opened.close()


def open_client(settings: Settings, timeout_s: float) -> MilvusClient:
    """A client to keep. It waits ``timeout_s`` for a connection, now and when it has to connect again.

    Raises:
        IndexUnavailable: Milvus does not answer within that time.
    """
    from pymilvus import MilvusClient

    # It logs a traceback for each failed call, the expected ones too; the errors themselves are raised.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    token = settings.index.token.get_secret_value() if settings.index.token else ""
    with failures():
        return MilvusClient(milvus_uri(settings), token=token, timeout=timeout_s, dedicated=True)


@contextmanager
def failures() -> Iterator[None]:
    """Turn what pymilvus and gRPC raise in the block into :class:`IndexUnavailable`."""
    import grpc  # type: ignore[import-untyped]
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (MilvusException, grpc.RpcError) as error:
        message = error.message if isinstance(error, MilvusException) else str(error)
        raise IndexUnavailable(f"Milvus: {message}") from error
