"""Read a shop's data as a run would, and say what it can be trained on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from features.bots import Bot, largest
from features.build_sessions import build_sessions
from features.catalog import CatalogError, CatalogReport, NoCatalogError, build_catalog
from features.day_report import DayReport, totals
from features.landing import LandingError, NoLogError, day_files, landing_days, landing_url, unread_in_landing
from features.quality.day_judge import SessionJudge
from features.readiness.fields import field_gaps
from features.readiness.gaps import catalog_gaps, day_gaps, log_gaps, no_log_gap, other_gaps, row_gaps
from features.readiness.joins import measure_joins
from features.readiness.judge import catalog_stops, learning_stops, session_stops
from features.readiness.language import language_gaps
from features.readiness.learning import what_can_be_learned
from features.readiness.parts import parts_of
from features.readiness.raw_look import ignored_examples
from features.readiness.rebuilt import rebuilt_gaps
from features.readiness.report import DayLine, Joins, Learning, Readiness, Reason, Rows, sentence
from features.readiness.sample import sampled_days
from infra.contract.errors import TrainingSetError
from infra.progress import Progress
from infra.settings import Settings

RENAME = "rename it"


@dataclass
class _Found:
    """What the reading has come to so far."""

    stops: list[str] = field(default_factory=list)
    no_log: str = ""
    """Why there is no day of logs, where nothing is near to one."""
    catalog: CatalogReport | None = None
    broken_catalog: bool = False
    """There is one that no run can use: what to mend first."""
    days: dict[date, DayLine] = field(default_factory=dict)
    reports: list[DayReport] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    """File or folder -> why it is not read."""
    misnamed: dict[str, str] = field(default_factory=dict)
    joins: Joins | None = None
    learning: Learning | None = None
    bots: tuple[Bot, ...] = ()
    examples: Mapping[str, str] = field(default_factory=dict)
    """Reason -> a row that was ignored for it."""


def assess(
    settings: Settings, *, sample: float | int | None = None, judged: str = "", progress: Progress | None = None
) -> Readiness:
    """Say whether a run over a landing folder would go through, and what its data can feed.

    Args:
        settings: ``landing`` is read; ``home`` is written to, so give one that no run sees.
        sample: see ``sampled_days``.
        judged: what the judgements beside the catalogue are, where a run makes sessions for them; then no day is asked
            for.
        progress: called with a sentence and the share that is done.

    Returns:
        The report; what would stop a run is in it, not raised.
    """
    started = time.perf_counter()
    tell = progress or (lambda message, share: None)
    found = _Found()
    tell("the catalogue", 0.0)
    try:
        found.unread = unread_in_landing(settings)
        found.misnamed = {name: why for name, why in found.unread.items() if RENAME in why}
        landed = [] if judged else landing_days(settings)
    except NoLogError as error:
        found.no_log, landed = _sentence(error), []
    except LandingError as error:
        found.stops.append(_sentence(error))
        landed = []
    _read_catalog(settings, found)
    chosen = _choose(settings, landed, sample, found)
    if found.no_log and not (found.catalog or found.broken_catalog):
        found.stops.append(found.no_log)
    _read_days(settings, chosen, found, tell)
    if found.reports:
        _measure(settings, found, tell)
    rows = _rows(found)
    unread: dict[str, tuple[str, ...]] = {}
    for name, why in sorted(found.unread.items(), key=lambda item: (item[1], item[0])):
        unread[why] = (*unread.get(why, ()), name)
    encodings = _encodings(found)
    spared = tuple(dict.fromkeys(why for report in found.reports for why in report.spared))
    gaps = [
        *(log_gaps(settings, found.joins, found.learning) if found.joins and found.joins.requests else ()),
        *(catalog_gaps(found.catalog) if found.catalog else ()),
        *(language_gaps(settings) if found.catalog else ()),
        *([no_log_gap(found.no_log)] if found.no_log and found.catalog else ()),
        *day_gaps(list(found.days.values()), found.misnamed),
        *row_gaps(rows),
        *field_gaps(found.reports),
        *(rebuilt_gaps(rows, found.joins, len(found.reports)) if found.joins and found.joins.requests else ()),
        *other_gaps(
            spared,
            {why: names for why, names in unread.items() if RENAME not in why},
            guessed=any("guessed" in how for how in encodings.values()),
        ),
    ]
    return Readiness(
        landing=landing_url(settings),
        kind="judged" if judged else "logs",
        days=tuple(found.days[day] for day in sorted(found.days)),
        sampled=any(line.state == "not read" for line in found.days.values()),
        rows=rows,
        catalog=found.catalog,
        joins=found.joins,
        learning=found.learning,
        bots=found.bots,
        spared=spared,
        agents=any(report.agents for report in found.reports),
        parts=parts_of(settings, found.catalog, found.joins, found.learning),
        gaps=tuple(sorted(gaps, key=lambda gap: -gap.weight)),
        stops=tuple(dict.fromkeys(found.stops)),
        unread=unread,
        encodings=encodings,
        judged=judged,
        seconds=round(time.perf_counter() - started, 1),
    )


def _read_catalog(settings: Settings, found: _Found) -> None:
    try:
        found.catalog = build_catalog(settings)
        found.unread |= found.catalog.unread
        found.stops += catalog_stops(settings)
    except NoCatalogError as error:
        found.stops.append(_sentence(error))
    except CatalogError as error:
        found.broken_catalog = True
        found.stops.append(_sentence(error))


def _choose(settings: Settings, landed: Sequence[date], sample: float | int | None, found: _Found) -> list[date]:
    """The days to read; the others get their line."""
    today = datetime.now(UTC).date()
    usable = []
    for day in landed:
        try:
            if day >= today:
                raise LandingError("it is not over: a run takes it tomorrow")
            day_files(settings, day)
            usable.append(day)
        except LandingError as error:
            found.days[day] = DayLine(day, "left out", why=str(error))
    if landed and landed[0] >= today:
        found.no_log = f"No day of the logs is over: they begin with {landed[0]}"
    elif landed and not usable:
        whys = "; ".join(dict.fromkeys(line.why for line in found.days.values()))
        found.stops.append(f"No day of the logs, {landed[0]} to {landed[-1]}, is over and has its queries: {whys}")
    chosen = sampled_days(usable, sample)
    for day in set(usable) - set(chosen):
        found.days[day] = DayLine(day, "not read", why="not in the sample")
    return chosen


def _read_days(settings: Settings, days: Sequence[date], found: _Found, tell: Progress) -> None:
    sampled = any(line.state == "not read" for line in found.days.values())
    # The rules look items up in the catalogue; where there is none, that is what to mend first.
    judge = SessionJudge(own_history=not sampled, explained_until=max(days, default=date.min))
    for done, day in enumerate(days):
        tell(f"{day}", 0.05 + 0.75 * done / len(days))
        try:
            (report,) = build_sessions(settings, [day], judge=judge if found.catalog else None)
        except LandingError as error:
            found.days[day] = DayLine(day, "held", why=str(error))
            found.stops.append(_sentence(error))
            continue
        found.reports.append(report)
        found.unread |= {f"dt={day}/{name}": why for name, why in report.unread.items()}
        found.days[day] = DayLine(
            day,
            "failed" if report.failed_rules else "held" if report.held else "read",
            requests=report.rows_out["requests"],
            impressions=report.rows_out["impressions"],
            events=report.rows_out["events"],
            rows_in=report.rows_in,
            why=report.message if report.held else "; ".join(report.warnings),
        )


def _measure(settings: Settings, found: _Found, tell: Progress) -> None:
    failed = [report.day for report in found.reports if report.failed_rules]
    for day in failed:  # unjudged, to be measured: what ids it has, and what could be learned from it
        build_sessions(settings, [day])
    tell("what meets what", 0.82)
    told = totals(report.reasons for report in found.reports if not report.held or report.failed_rules)
    found.joins = measure_joins(settings, told)
    with_examples = _most_ignored(found.reports)
    if with_examples:
        found.examples = ignored_examples(settings, with_examples.day)
    found.bots = largest(bot for report in found.reports for bot in report.bots)
    tell("the rules of a run", 0.9)
    sampled = any(line.state == "not read" for line in found.days.values())
    found.stops += session_stops(found.reports)
    if found.catalog and found.joins.requests:
        _learn(settings, found, found.joins, judge=not (found.stops or sampled))


def _learn(settings: Settings, found: _Found, joins: Joins, *, judge: bool) -> None:
    """``judge``: say what would stop a run here; not where it stops before, nor of a sample, which holds too little."""
    try:
        found.learning = what_can_be_learned(settings)
    except TrainingSetError as error:
        if judge:
            found.stops.append(_sentence(error))
        return
    if judge:
        found.stops += learning_stops(settings, found.learning, joins)


def _most_ignored(reports: Sequence[DayReport]) -> DayReport | None:
    """The day on which rows were ignored for the most reasons, None where none were."""
    best = max(reports, key=lambda report: len(report.ignored_reasons))
    return best if best.ignored_reasons else None


def _rows(found: _Found) -> Rows:
    samples: dict[str, str] = {}
    for report in found.reports:
        for reason, examples in report.examples.items():
            samples.setdefault(reason, str(examples[0]) if examples else "")
    samples |= found.examples
    return Rows(
        rows_in=sum(report.rows_in for report in found.reports),
        clean=sum(report.clean for report in found.reports),
        basket_items=sum(report.basket_items for report in found.reports),
        rebuilt_requests=dict(totals(report.rebuilt_requests for report in found.reports if not report.held)),
        named_by_text=sum(report.named_by_text for report in found.reports if not report.held),
        days_rebuilt=tuple(
            report.day
            for report in found.reports
            if report.rebuilt_requests and not (report.held or report.sources["ubi_queries"].rows_in)
        ),
        refused=_reasons(totals(report.reasons for report in found.reports), samples),
        ignored=_reasons(totals(report.ignored_reasons for report in found.reports), samples),
        unknown_actions=dict(totals(report.unknown_actions for report in found.reports).most_common()),
    )


def _reasons(counts: Counter[str], samples: Mapping[str, str]) -> tuple[Reason, ...]:
    return tuple(Reason(reason, n, samples.get(reason, "")) for reason, n in counts.most_common())


def _encodings(found: _Found) -> dict[str, str]:
    of_catalog = found.catalog.encodings if found.catalog else {}
    return {**of_catalog} | {f"dt={r.day}/{name}": how for r in found.reports for name, how in r.encodings.items()}


def _sentence(error: Exception) -> str:
    return sentence("".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in str(error)))
