"""Clients of Milvus, by URI, whose calls end within a time and whose failures are one kind of error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
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


class Connection:
    """A client that is made again after Milvus was away. Threads may share it; one of them opens it."""

    def __init__(self, settings: Settings, timeout_s: float) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._client: MilvusClient | None = None
        self.up = False
        """Whether Milvus answered when it was asked last."""

    def open(self, prove: Callable[[MilvusClient], object] | None = None) -> None:
        """Connect, by a client that ``prove`` accepts, and close the client before it.

        Raises:
            IndexUnavailable: Milvus does not answer, or ``prove`` raised it.
            ServiceError: the embedded Milvus cannot be started.
        """
        fresh = open_client(self._settings, self._timeout_s)
        try:
            if prove is not None:
                prove(fresh)
        except IndexUnavailable:
            fresh.close()
            raise
        old, self._client = self._client, fresh
        self.up = True
        if old is not None:
            old.close()

    def client(self) -> MilvusClient:
        """The client.

        Raises:
            IndexUnavailable: Milvus is known to be away; at once.
        """
        if self._client is None or not self.up:
            raise IndexUnavailable("Milvus is away")
        return self._client

    def lost(self, client: MilvusClient | None = None) -> None:
        """Note that Milvus does not answer; by a client that was replaced meanwhile, that says nothing."""
        if client is None or client is self._client:
            self.up = False

    def close(self) -> None:
        """Close the client."""
        self.up = False
        if self._client is not None:
            self._client.close()
