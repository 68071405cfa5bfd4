"""What the project wants to show on each shop, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.ablations.results import JUDGED
from benchmarks.ablations.rows import BASELINES, HYBRID, NOT_PERSONALIZED, Line
from benchmarks.ablations.statistics import Estimate, Sample, difference, ratio
from benchmarks.ablations.study import Study
from training.evaluation import BOOSTED
from training.evaluation.measure import ALL_ITEMS
from training.evaluation.methods import WITHIN_MATCHES

Kind = Literal["ratio", "difference"]
Bound = Literal["at least", "above", "interval above"]


@dataclass(frozen=True)
class Aim:
    """``one`` against ``other`` on ``part`` by recall@100: the ratio or the difference, or the whole of its interval,
    is on the right side of ``least``."""

    said: str
    one: Line
    other: Line
    kind: Kind = "difference"
    bound: Bound = "above"
    least: float = 0.0
    part: str = ALL_ITEMS
    other_part: str | None = None
    """Where ``other`` is measured, if not on ``part``."""
    undecided: str | None = None
    """Why this shop cannot tell."""


@dataclass(frozen=True)
class Outcome:
    """An aim as it came out; ``found`` is None where a row of it was not measured."""

    aim: Aim
    found: Estimate | None
    one: float | None = None
    other: float | None = None

    @property
    def verdict(self) -> str:
        """Whether it was reached, and whether the interval leaves a doubt."""
        if self.found is None:
            return "not measured"
        if self.aim.undecided is not None:
            return f"not decided by this shop: {self.aim.undecided}"
        least, found = self.aim.least, self.found
        if self.aim.bound == "interval above":
            return "reached" if found.low > least else "missed"
        if found.value < least or (self.aim.bound == "above" and found.value == least):
            return "missed" + (", within the interval" if found.high > least else "")
        return "reached" + ("" if found.low > least else ", not beyond the interval")


def shelfwise(method: str = "towers") -> Line:
    return Line("shelfwise", "shelfwise", method)


def baseline(method: str) -> Line:
    return Line(method, BASELINES, method)


def _line(row: str) -> Line:
    return Line(row, row)


def _judged(method: str) -> Line:
    """The baselines of the judged queries are measured beside the towers."""
    return Line(method, "shelfwise", method)


# ``shelfwise`` learns from all four objectives, over in-batch and uniform negatives.
AIMS: dict[str, tuple[Aim, ...]] = {
    "demo": (
        Aim("shelfwise / BM25", shelfwise(), baseline("bm25"), "ratio", "at least", 1.29),
        Aim("shelfwise / random walk", shelfwise(), baseline("random walk"), "ratio", "at least", 1.18),
        Aim(
            "shelfwise / random walk, tail",
            shelfwise(), baseline("random walk"), "ratio", "at least", 1.37, "tail queries",
        ),
        Aim("shelfwise above mmse, paired interval", shelfwise(), _line("mmse"), bound="interval above"),
        Aim("shelfwise above ueppr, paired interval", shelfwise(), _line("ueppr"), bound="interval above"),
        Aim(
            "unclicked + order objectives above clicks only",
            shelfwise(), _line("clicks only"), bound="interval above",
            undecided="the order of what was not clicked differs in two requests of a thousand",
        ),
        Aim(
            "hard in-batch + dynamic + schedule / in-batch + uniform",
            _line("+ weighted"), shelfwise(), "ratio", "at least", 1.11,
            undecided="1.3% of the towers' first ten fit nothing asked for: no hard negatives are left",
        ),
        Aim(
            "graph encoder above without", shelfwise(), _line("without graph"), bound="interval above",
            undecided="3.5% of the orders need it",
        ),
        Aim(
            "graph encoder above without, head",
            shelfwise(), _line("without graph"), bound="interval above", part="head queries",
            undecided="3.5% of the orders need it",
        ),
        Aim(
            "personalized above not, returning users",
            shelfwise(), shelfwise(NOT_PERSONALIZED), bound="interval above", part="returning users",
        ),
        Aim(
            "history above without, returning users",
            shelfwise(), _line("without history"), bound="interval above", part="returning users",
        ),
        Aim(
            "boosting above without", shelfwise(BOOSTED), shelfwise(), bound="interval above",
            undecided="to know quality exactly adds .000 at 10 and .013 at 100",
        ),
        Aim("cold items: towers not below BM25", shelfwise(), baseline("bm25"), bound="at least", part="cold items"),
        Aim(
            "unseen queries: towers not below BM25",
            shelfwise(), baseline("bm25"), bound="at least", part="unseen queries",
        ),
    ),
    "esci": (
        Aim("towers above MiniLM zero-shot, judged", _judged("towers"), _judged("zero-shot"), part=JUDGED),
        Aim(
            "hybrid above MiniLM + BM25, judged",
            _judged(HYBRID), _judged("zero-shot + bm25"), part=JUDGED,
        ),
        Aim(
            "hybrid above MiniLM + BM25 over titles, judged",
            _judged(HYBRID), _judged("zero-shot + bm25, titles"), part=JUDGED,
        ),
    ),
    "trivago": (
        Aim("towers above popularity within matches", shelfwise(), baseline(WITHIN_MATCHES)),
        Aim("towers above random walk", shelfwise(), baseline("random walk")),
        Aim(
            "towers, returning users above new ones",
            shelfwise(), shelfwise(), part="returning users", other_part="new users",
        ),
        Aim(
            "personalized above not, returning users",
            shelfwise(), shelfwise(NOT_PERSONALIZED), bound="interval above", part="returning users",
        ),
    ),
}  # fmt: skip


def outcomes(study: Study) -> list[Outcome]:
    """The aims of a study's shop; none where it has none."""
    return [_outcome(aim, study) for aim in AIMS.get(study.shop, ())]


def _outcome(aim: Aim, study: Study) -> Outcome:
    one = study.sample(aim.one, "recall@100", aim.part)
    other = study.sample(aim.other, "recall@100", aim.other_part or aim.part)
    if one is None or other is None:
        return Outcome(aim, None)
    found = (ratio if aim.kind == "ratio" else difference)(one, other)
    return Outcome(aim, found, _mean(one, other), _mean(other, one))


def _mean(sample: Sample, beside: Sample) -> float:
    """Over the seeds that both have."""
    return float(sample.of(tuple(seed for seed in sample.seeds if seed in beside.seeds)).value.mean())
