"""The figures of the night, as a Prometheus textfile: they stay to be scraped after the run has ended.

All are gauges: a file is read anew at each scrape, and what a run counted is not added to the run before.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from features.day_report import DayReport, built_days, read_report, totals
from features.landing import LandingError, NoLogError, landing_days
from features.unclicked import unclicked_requests
from infra.contract.partitions import written_days
from infra.settings import Settings
from orchestration.disk_room import free_bytes, needed_bytes
from orchestration.night.ended_run import NIGHTLY, EndedRun
from orchestration.night.textfile import figures_file
from orchestration.releases import read_verdict
from serving.index import last_known_live
from training.evaluation import EvaluationReport
from training.evaluation.report import MAIN_MEASURE
from training.release.manifest import list_releases

logger = logging.getLogger("shelfwise.figures")

EVALUATION = "evaluation.json"
USUAL_DAYS = 28
"""Accepted days, the last included, that the last one is held against: four of each weekday."""
Labels = Mapping[str, str]


def write_figures(settings: Settings, last: Sequence[EndedRun], succeeded: Mapping[str, datetime]) -> None:
    """Replace the file in one step.

    Args:
        last: the last run of each job.
        succeeded: when the last one that succeeded ended, by job.

    Raises:
        OSError: the file cannot be written.
    """
    file = figures_file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    registry = CollectorRegistry()
    registry.register(NightFigures(settings, last, succeeded))
    write_to_textfile(str(file), registry)


class NightFigures(Collector):
    """What is on disk of a shop when a run has ended, and what Dagster knew of the run."""

    def __init__(self, settings: Settings, last: Sequence[EndedRun], succeeded: Mapping[str, datetime]) -> None:
        self._settings = settings
        self._last = last
        self._succeeded = succeeded

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._runs()
        yield from self._disk()
        yield from self._days()
        yield from self._releases()

    def _gauge(self, name: str, help: str, values: Sequence[tuple[Labels, float]]) -> Iterator[Metric]:
        """A family, each sample with the shop; none without a sample."""
        if not values:
            return
        family = GaugeMetricFamily(f"shelfwise_{name}", help, labels=["shop", *values[0][0]])
        for labels, value in values:
            family.add_metric([self._settings.shop_name, *labels.values()], value)
        yield family

    def _runs(self) -> Iterator[Metric]:
        by_job = [({"job_name": run.job}, run) for run in self._last]
        yield from self._gauge(
            "run_started_timestamp_seconds", "When the last run began.", [(j, r.started.timestamp()) for j, r in by_job]
        )
        yield from self._gauge(
            "run_ended_timestamp_seconds",
            "When the last run ended, however it did.",
            [(j, r.ended.timestamp()) for j, r in by_job],
        )
        yield from self._gauge(
            "run_succeeded", "1 where the last run succeeded.", [(j, float(r.outcome == "success")) for j, r in by_job]
        )
        yield from self._gauge(
            "run_succeeded_timestamp_seconds",
            "When the last run ended that succeeded.",
            [({"job_name": job}, ended.timestamp()) for job, ended in self._succeeded.items()],
        )
        yield from self._gauge(
            "run_step_seconds",
            "Time of each step of the last run.",
            [({**j, "step": step.name}, step.seconds) for j, r in by_job for step in r.steps],
        )

    def _disk(self) -> Iterator[Metric]:
        yield from self._gauge(
            "disk_free_bytes",
            "Free where the shop lies, when the run had ended.",
            [({}, float(free_bytes(self._settings)))],
        )
        needed = [(job, needed_bytes(self._settings, job)) for job in NIGHTLY]
        yield from self._gauge(
            "disk_needed_bytes",
            "What has to be free for a run of a day, by what the last one that succeeded took.",
            [({"job_name": job}, float(size)) for job, size in needed if size is not None],
        )

    def _days(self) -> Iterator[Metric]:
        settings = self._settings
        reports = [report for day in built_days(settings) if (report := read_report(settings, day))]
        landed = self._landed({report.day for report in reports})
        held = {report.day for report in reports if report.held} & landed
        over = {day for day in landed if day < datetime.now(UTC).date()}
        if over:
            yield from self._gauge(
                "log_until_timestamp_seconds",
                "The end of the last day that landed, accepted or not, and is over.",
                [({}, _end_of(max(over)))],
            )
        yield from self._gauge("days_held", "Days of the landing folder that are held.", [({}, float(len(held)))])
        accepted = written_days(settings.paths.sessions / "requests")
        if accepted:
            yield from self._gauge(
                "data_until_timestamp_seconds", "The end of the last accepted day.", [({}, _end_of(accepted[-1]))]
            )
            yield from self._unclicked(accepted)
        known = written_days(settings.paths.features / "user")
        if known:
            yield from self._gauge(
                "features_until_timestamp_seconds",
                "The end of the last day that users' features know of.",
                [({}, _end_of(known[-1]))],
            )
        yield from self._rows(self._of_last_run(reports))

    def _unclicked(self, accepted: Sequence[date]) -> Iterator[Metric]:
        """Of the last accepted day, and beside it what is usual."""
        counted = list(unclicked_requests(self._settings, accepted[-USUAL_DAYS:]).values())
        over = {1: counted[-1:], USUAL_DAYS: counted}
        sums = {days: (sum(c.requests for c in of), sum(c.unclicked for c in of)) for days, of in over.items()}
        yield from self._gauge(
            "unclicked_requests_share",
            "Share of the searches to which no click, cart or order is attributed, over the last accepted days.",
            [({"days": str(days)}, unclicked / all_) for days, (all_, unclicked) in sums.items() if all_],
        )
        yield from self._gauge(
            "day_requests",
            "Searches of the last accepted day, and the mean of the days that are there of the last ones.",
            [({"days": str(days)}, sums[days][0] / max(len(of), 1)) for days, of in over.items()],
        )

    def _landed(self, otherwise: set[date]) -> set[date]:
        """The days that lie in the landing folder: a held one that somebody took out of it holds nothing up."""
        try:
            return set(landing_days(self._settings))
        except NoLogError:
            return set()
        except (LandingError, OSError) as error:
            logger.warning("every held day counts, since the landing folder cannot be read: %s", error)
            return otherwise

    def _of_last_run(self, reports: Sequence[DayReport]) -> list[DayReport]:
        runs = sorted((run for run in self._last if run.days), key=lambda run: run.ended)
        days = runs[-1].days if runs else None
        return [report for report in reports if days and days[0] <= report.day <= days[1]]

    def _rows(self, reports: Sequence[DayReport]) -> Iterator[Metric]:
        """Of the days of the last run: what came in, what became of it, and why it was refused."""
        if not reports:
            return
        rows_in, refused = sum(report.rows_in for report in reports), totals(report.reasons for report in reports)
        became = {
            "clean": sum(report.clean for report in reports),
            "ignored": sum(report.ignored for report in reports),
            "refused": sum(refused.values()),
        }
        yield from self._gauge("rows_in", "Rows of the logs of the last run's days.", [({}, float(rows_in))])
        yield from self._gauge(
            "rows", "What became of them.", [({"outcome": name}, float(rows)) for name, rows in became.items()]
        )
        yield from self._gauge(
            "rows_out",
            "Rows of the tables that were made of them.",
            [({"table": name}, float(rows)) for name, rows in sorted(totals(r.rows_out for r in reports).items())],
        )
        yield from self._gauge(
            "quarantine_share",
            "Share of the rows that was refused, by reason.",
            [({"reason": reason}, rows / max(rows_in, 1)) for reason, rows in sorted(refused.items())],
        )

    def _releases(self) -> Iterator[Metric]:
        releases, live = list_releases(self._settings), last_known_live(self._settings)
        if not releases:
            return
        newest = releases[0]
        trained = {release.id: release.trained_at.timestamp() for release in releases}
        yield from self._gauge(
            "release_trained_timestamp_seconds",
            "When the newest release and the live one were trained.",
            [
                ({"state": state, "release": found}, trained[found])
                for state, found in (("newest", newest.id), ("live", live))
                if found in trained
            ],
        )
        verdict = read_verdict(self._settings, newest.id)
        yield from self._gauge(
            "release_blocked",
            "1 where the gates blocked the newest release and it is not live all the same.",
            [({}, float(bool(verdict.blocked) and newest.id != live))],
        )
        yield from self._gauge(
            "gate_passed",
            "1 where the newest release passed the gate.",
            [({"gate": gate.name}, float(gate.passed)) for gate in verdict.gates],
        )
        yield from self._gauge(
            "gate_figure",
            "What the gate compared.",
            [
                ({"gate": gate.name, "figure": name}, float(value))
                for gate in verdict.gates
                for name, value in gate.figures.items()
                if isinstance(value, (int, float)) and math.isfinite(value)
            ],
        )
        report = _evaluation(newest.path)
        if report is None:
            return
        yield from self._gauge(
            "recall_at_100",
            "Recall@100 of each method on the requests that judged the newest release; `live` is the release that was"
            " live then.",
            [({"method": method}, report.value(method, MAIN_MEASURE)) for method in report.methods],
        )
        yield from self._gauge(
            "slice_recall_at_100",
            "The same on parts of these requests, of the newest release and of what was live then.",
            [
                ({"slice": name, "method": row["method"]}, row[MAIN_MEASURE]["value"])
                for name, part in report.slices.items()
                for row in part["rows"]
                if row["method"] in {report.serving, "live"}
            ],
        )
        yield from self._gauge(
            "slice_requests",
            "How many requests each part has.",
            [({"slice": name}, float(part["requests"])) for name, part in report.slices.items()],
        )


def _evaluation(folder: Path) -> EvaluationReport | None:
    """None of a release that nothing judged, or that is damaged."""
    try:
        report = EvaluationReport.from_json(json.loads((folder / EVALUATION).read_text(encoding="utf-8")))
        for method in report.methods:
            report.value(method, MAIN_MEASURE)
        return report
    except (OSError, ValueError, TypeError, LookupError) as error:
        logger.warning("no recall of release %s is exported: %s", folder.name, error)
        return None


def _end_of(day: date) -> float:
    """Seconds since 1970."""
    return datetime.combine(day + timedelta(days=1), time(), UTC).timestamp()
