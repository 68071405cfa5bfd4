"""The file that the night's figures lie in, and a small server of it for a Prometheus that collects no files.

Not the API's ``/metrics``: several API processes would each tell of the one night, and none would while they are down.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from infra.settings import Settings


def figures_file(settings: Settings) -> Path:
    """Where the figures lie."""
    return settings.night.metrics_file or settings.paths.reports / "night.prom"


class FileFigures(Collector):
    """The figures as they are in the file at each scrape; none before the first run, which is what alarms then."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        if self._file.exists():
            yield from text_string_to_metric_families(self._file.read_text(encoding="utf-8"))


def serve_figures(file: Path, host: str, port: int) -> tuple[int, threading.Thread]:
    """Answer ``/metrics`` on a thread of its own; return the port, which is a free one for 0.

    Raises:
        OSError: the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(FileFigures(file))
    server, thread = start_http_server(port, host, registry)
    return server.server_port, thread
