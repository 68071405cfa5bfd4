"""The verdict on a day's tables: by rules that hold for every shop, and by the shop's own accepted days."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from features.day_report import DayReport
from features.publishing import Verdict
from features.quality.history import Bounds, History, PastDay, Value, history_of
from features.quality.outcomes import figure
from features.quality.remedies import NO_REQUESTS, TOO_ANONYMOUS, remedy
from features.quality.results import ExpectationOutcome, SuiteResult
from features.quality.session_measures import RATES, session_measures, unknown_shares
from features.quality.sessions import OWN_DAYS, session_suite
from features.quality.unmet_ids import UnmetIds
from features.quality.validation import validate
from infra.contract.content import file_hash
from infra.settings import Settings

TOLD_BY_REPORT = ("held", "bad_share")
"""Measures of a held day whose own report says it better."""
FIGURES = ("requests", *RATES, "anonymous_share")
"""What later days are compared with."""
UNKNOWN = {
    "unknown_shown_share": ("impressions", "of its impressions are"),
    "unknown_acted_share": ("events", "of its clicks, carts and orders are"),
}
"""Measure -> what it is a share of, and that in words."""
Seen = Mapping[str, float]
"""Measures of the day; NaN where one is not known."""


@dataclass(frozen=True)
class SessionJudge:
    """Judges days of a shop; give it those of one run in order.

    ``own_history`` is off where the days before a day are missing, as in a sample. Up to the day ``explained_until``
    what differs from the days before is told, and holds nothing: of the days of a shop's first run nobody knows yet
    which are the odd ones.
    """

    own_history: bool = True
    explained_until: date = date.min
    _unmet: UnmetIds = field(default_factory=UnmetIds, compare=False)

    def key(self, settings: Settings, day: date) -> str:
        """Hash of the bounds, the catalogue and the days that a day is compared with."""
        past = [(str(p.day), dict(p.figures)) for p in self._history(settings, day).past]
        bounds = settings.checks.model_dump(mode="json", exclude={"kept_validations"})
        content = [bounds, file_hash(settings.paths.catalog), past, day <= self.explained_until]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def judge(
        self, settings: Settings, report: DayReport, tables: Mapping[str, Path], earlier: Sequence[date]
    ) -> Verdict:
        """Count the day's tables and judge the counts; see ``publishing.Judge``."""
        measures = session_measures(settings, report, tables, earlier)
        seen: Seen = {str(name): value for name, value in measures.iloc[0].items()}
        own = {} if report.held else dict(_own_bounds(settings, self._history(settings, report.day), seen))
        if report.day <= self.explained_until:
            own = {name: bounds.told_only for name, bounds in own.items()}
        suite = session_suite(settings, own)
        measured = replace(suite, rules=tuple(rule for rule in suite.rules if rule.measure in measures))
        result = validate(settings, measured, measures, report.day.isoformat())
        if report.held:
            failed = [o for o in result.failed if o.column not in TOLD_BY_REPORT]
            return Verdict(tuple(_sentence(o, report.day) for o in failed), checked=result.to_json())
        of_items = [o for o in result.failed if o.column in ("known_share", *UNKNOWN)]
        sentences = [_sentence(o, report.day) for o in result.failed if o not in of_items]
        if of_items:
            unmet = self._unmet.told(settings, report.day, tables, remedy(of_items[0].column, report.day))
            sentences.append(f"{'; '.join(map(_seen, of_items))}. {unmet}")
        figures = {name: float(seen[name]) for name in FIGURES if not math.isnan(seen[name])}
        warnings = [*_unusual(seen, own, result), *self._unknown(settings, report.day, seen, result, tables)]
        return Verdict(tuple(sentences), tuple(warnings), figures, result.to_json())

    def _history(self, settings: Settings, day: date) -> History:
        return history_of(settings, day) if self.own_history else History(day, (), settings.checks)

    def _unknown(
        self, settings: Settings, day: date, seen: Seen, result: SuiteResult, tables: Mapping[str, Path]
    ) -> Iterator[str]:
        """That items are not in the catalogue, where no rule is broken by it."""
        if any(o.column in ("known_share", *UNKNOWN) for o in result.failed):
            return
        told = [f"{seen[m]:.1%} {w}" for m, (_, w) in UNKNOWN.items() if _above(settings, seen, m)]
        if told:
            yield (
                f"{' and '.join(told)} on items that the catalogue does not have"
                f" ({self._unmet.example(settings, day, tables)}). Goods that are no longer sold are normal in a log"
                " with today's catalogue; if these are sold, bring a catalogue that has them"
            )


def _own_bounds(settings: Settings, history: History, seen: Seen) -> Iterator[tuple[str, Bounds]]:
    """Where the day's figures lie by the shop's own days, by measure of ``OWN_DAYS``."""
    requests = seen["requests"]
    yield "requests", history.requests()
    for name in RATES:
        yield f"{name}_per_request", history.rate(_per_request(name), requests)
    yield "anonymous_share", history.share(lambda past: past.figures.get("anonymous_share"), requests)
    above = [measure for measure in UNKNOWN if _above(settings, seen, measure)]
    if above and history.peers:
        # By the catalogue of today: what was sold when those days were judged may be delisted since.
        shares = unknown_shares(settings, [past.day for past in history.peers])
        for measure in above:
            yield measure, history.share(_known_of(shares, measure), seen[UNKNOWN[measure][0]])


def _per_request(name: str) -> Value:
    return lambda past: past.figures[name] / past.figures["requests"] if past.figures["requests"] else None


def _known_of(shares: Mapping[date, Mapping[str, float]], measure: str) -> Value:
    def value(past: PastDay) -> float | None:
        share = shares.get(past.day, {}).get(measure, math.nan)
        return None if math.isnan(share) else share

    return value


def _above(settings: Settings, seen: Seen, measure: str) -> bool:
    """Whether more items than need no word are not in the catalogue."""
    return seen[measure] > settings.checks.max_unknown_item_share


def _unusual(seen: Seen, own: Mapping[str, Bounds], result: SuiteResult) -> Iterator[str]:
    """Figures that lie outside what the shop's own days say, where no rule is broken by it."""
    broken = {outcome.column for outcome in result.failed}
    for measure, bounds in own.items():
        value = seen[measure]
        low, high = bounds.usual_low, bounds.usual_high
        if measure in broken or measure in UNKNOWN or math.isnan(value):
            continue
        if (low is not None and value < low) or (high is not None and value > high):
            yield f"{OWN_DAYS[measure]}: {figure(value)}, against {bounds.against}. It is in use all the same"


def _seen(outcome: ExpectationOutcome) -> str:
    return f"{outcome.rule}: {outcome.error or outcome.observed} (expected: {outcome.expected})"


def _sentence(outcome: ExpectationOutcome, day: date) -> str:
    """What a rule saw, what it is held against, and the one thing to change."""
    told = remedy(outcome.column, day)
    if "own days" not in outcome.rule:
        told = {"requests": NO_REQUESTS, "anonymous_share": TOO_ANONYMOUS}.get(outcome.column, told)
    return f"{_seen(outcome)}; {told}"
