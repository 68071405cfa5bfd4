"""A client of a Redis Cluster that fails fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, ClusterPipeline, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry


class FailFastCluster(RedisCluster):
    """redis-py's client without retries at a node that does not answer, and without sleeping.

    A slot that moved is followed. Where a node is away, one command fails within a few time-outs and asks the nodes
    anew who has which slots: once the cluster has put a replica in its place, the next command finds it.
    """

    def __init__(self, nodes: Sequence[tuple[str, int]], options: dict[str, Any]) -> None:
        """Asks ``nodes`` for all others; ``options`` are a connection's. Raises RedisClusterException."""
        startup = [ClusterNode(host, port) for host, port in nodes]
        super().__init__(startup_nodes=startup, retry=Retry(NoBackoff(), 0), **options)
        self._ask_also_those_that_were_named(nodes)

    def pipeline(self, transaction: bool | None = None, shard_hint: None = None) -> ClusterPipeline:
        """As redis-py's, but that commands without an answer are not sent again one by one, a time-out each."""
        pipeline: ClusterPipeline = super().pipeline(transaction, shard_hint)
        send = pipeline.parent_execute_command
        lost: list[RedisError] = []

        def send_once(*command: Any, **options: Any) -> Any:
            if lost:
                raise lost[0]
            try:
                return send(*command, **options)
            except (RedisConnectionError, RedisTimeoutError) as error:
                lost.append(error)
                raise

        pipeline.parent_execute_command = send_once
        return pipeline

    def _ask_also_those_that_were_named(self, nodes: Sequence[tuple[str, int]]) -> None:
        """redis-py forgets them for the addresses that the nodes say of themselves, which may all have changed."""
        manager = self.nodes_manager
        initialize = manager.initialize

        def initialize_also(additional_startup_nodes_info: Sequence[Any] | None = None, **options: Any) -> None:
            known = {(node.host, node.port) for node in manager.startup_nodes.values()}
            more = [node for node in nodes if node not in known]
            initialize([*(additional_startup_nodes_info or ()), *more], **options)

        manager.initialize = initialize_also  # type: ignore[assignment]
