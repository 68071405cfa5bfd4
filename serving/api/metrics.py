"""What Prometheus reads. Nothing here names a user, a query or an item."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.api.memory import memory_limit, used_memory

if TYPE_CHECKING:
    from serving.api.outcomes import Answered

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.018, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Bounds of the histograms; 18 ms is what a search is held to."""


class Told(NamedTuple):
    """What a scrape is told that the server does not count itself."""

    statistics: Mapping[str, Any]
    """Of the retrievers; empty: nothing serves yet."""
    release_ids: list[str]
    """The releases that answer."""
    answering: int
    """How many processes answer searches."""
    ends: int
    """How often one that searches beside the server's own ended without being told to."""
    processes: list[int]
    """Ids of those."""


NOTHING = Told({}, [], 0, 0, [])


class Metrics:
    """The metrics of one server, in a registry of its own: of all its processes together."""

    def __init__(self, log_statistics: Callable[[], Mapping[str, Any]] = dict) -> None:
        """``log_statistics`` is asked at each scrape; empty: no log."""
        self._registry = CollectorRegistry()
        self._told = NOTHING
        self._steps = Histogram(
            "shelfwise_step_seconds",
            "Time of each step of a search.",
            ["step"],
            registry=self._registry,
            buckets=SECONDS,
        )
        self._http = Histogram(
            "shelfwise_http_seconds", "Time of a request.", ["path"], registry=self._registry, buckets=SECONDS
        )
        self._requests = Counter(
            "shelfwise_requests", "Requests answered.", ["path", "method", "status"], registry=self._registry
        )
        self._searches = Counter("shelfwise_searches", "Searches answered.", ["personalized"], registry=self._registry)
        self._degraded = Counter(
            "shelfwise_degraded_searches",
            "Searches answered without something that was away, whatever it was.",
            registry=self._registry,
        )
        self._fallbacks = Counter(
            "shelfwise_fallbacks",
            "Answers given without something that was away.",
            ["fallback"],
            registry=self._registry,
        )
        self._cached = Counter(
            "shelfwise_cached_answers", "Searches whose context was answered lately.", registry=self._registry
        )
        self.in_flight = Gauge("shelfwise_requests_in_flight", "Requests in progress.", registry=self._registry)
        self._registry.register(_Asked(lambda: self._told))
        self._registry.register(_Logged(log_statistics))
        self._registry.register(_Processes(lambda: self._told.processes))
        Gauge("shelfwise_memory_limit_bytes", "Memory that the server may have.", registry=self._registry).set_function(
            memory_limit
        )

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """Count a request. ``path`` is a route, not what the caller wrote."""
        method = method if method in {"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"} else "other"
        self._requests.labels(path, method, str(status)).inc()
        self._http.labels(path).observe(seconds)

    def search(self, answer: Answered) -> None:
        """Count a search and time its steps."""
        self._searches.labels(str(answer.personalized).lower()).inc()
        for step, ms in answer.timings_ms.items():
            self._steps.labels(step).observe(ms / 1000)
        self.fallbacks(answer.fallbacks)
        if answer.fallbacks:
            self._degraded.inc()
        if answer.cached:
            self._cached.inc()

    def fallbacks(self, names: list[str]) -> None:
        """Count what an answer had to do without."""
        for name in names:
            self._fallbacks.labels(name).inc()

    def exposition(self, told: Told) -> bytes:
        """All of it, as Prometheus reads it."""
        self._told = told
        return generate_latest(self._registry)


class _Asked(Collector):
    """What the retrievers told when Prometheus asks."""

    def __init__(self, told: Callable[[], Told]) -> None:
        self._told = told

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        statistics, release_ids, answering, ends, _ = self._told()
        yield GaugeMetricFamily("shelfwise_ready", "1 once searches are answered.", value=float(bool(release_ids)))
        live = InfoMetricFamily("shelfwise_live_release", "The release that answers.", labels=[])
        for release_id in release_ids:
            live.add_metric([], {"release": release_id})
        yield live
        yield GaugeMetricFamily("shelfwise_search_processes", "Processes that answer searches now.", answering)
        yield CounterMetricFamily(
            "shelfwise_search_processes_ended", "Processes that searched and ended without being told to.", ends
        )
        yield from _of_live(statistics.get("live", {}))
        hits = CounterMetricFamily("shelfwise_cache_hits", "Look-ups that a cache answered.", labels=["cache"])
        misses = CounterMetricFamily("shelfwise_cache_misses", "Look-ups that it did not.", labels=["cache"])
        for cache, counts in statistics.get("cache", {}).items():
            hits.add_metric([cache], counts["hits"])
            misses.add_metric([cache], counts["misses"])
        yield hits
        yield misses
        if told := statistics.get("item_updates"):
            updated = GaugeMetricFamily(
                "shelfwise_updated_items", "Items of which something was said since the catalogue.", labels=["kind"]
            )
            for kind, count in told["items"].items():
                updated.add_metric([kind], count)
            yield updated
            for name, value, help in (
                ("item_updates_up", told["up"], "1 while updates of items can be read."),
                ("stock_file_failing", told["problem"] is not None, "1 while the stock file cannot be used."),
            ):
                yield GaugeMetricFamily(f"shelfwise_{name}", help, value=float(value))


def _of_live(live: Mapping[str, Any]) -> Iterator[Metric]:
    """What is known of the release that answers and of what it reads; nothing before there is one."""
    if not live:
        return
    yield GaugeMetricFamily(
        "shelfwise_live_trained_timestamp_seconds", "When the release that answers was trained.", live["trained_at"]
    )
    yield GaugeMetricFamily(
        "shelfwise_release_refused",
        "1 while a newer release is live that cannot be loaded here.",
        float(live["refused"] is not None),
    )
    up = GaugeMetricFamily("shelfwise_part_up", "1 while it answered when last asked.", labels=["part"])
    for part, answers in live["up"].items():
        up.add_metric([part], float(answers))
    yield up


class _Processes(Collector):
    """What the system counts of the server's own process, with the memory of those beside it."""

    def __init__(self, others: Callable[[], list[int]]) -> None:
        self._own, self._others = ProcessCollector(registry=None), others

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        others = self._others()
        for metric in self._own.collect():
            if metric.name == "process_resident_memory_bytes" and others:
                help = "Resident memory size in bytes, of all processes of the server."
                yield GaugeMetricFamily(metric.name, help, used_memory([os.getpid(), *others]))
            else:
                yield metric


class _Logged(Collector):
    """What is read off the log when Prometheus asks."""

    def __init__(self, statistics: Callable[[], Mapping[str, Any]]) -> None:
        self._statistics = statistics

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        now = self._statistics()
        if not now:
            return
        for name, help, label in (
            ("rows", "Rows of the UBI log that are on disk.", "source"),
            ("dropped", "Rows of the UBI log that were dropped.", "reason"),
        ):
            counted = CounterMetricFamily(f"shelfwise_ubi_log_{name}", help, labels=[label])
            for value, count in now[name].items():
                counted.add_metric([value], count)
            yield counted
        yield CounterMetricFamily("shelfwise_ubi_log_bytes", "Bytes of the UBI log written.", value=now["bytes"])
        waiting = "Bytes of the UBI log that are not on disk yet."
        yield GaugeMetricFamily("shelfwise_ubi_log_waiting_bytes", waiting, value=now["waiting_bytes"])
        failing = "1 while the UBI log cannot be written."
        yield GaugeMetricFamily("shelfwise_ubi_log_failing", failing, value=float(now["failing"]))
