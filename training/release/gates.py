"""What may go live: the rules, over an evaluation that compared what a candidate serves with live, with baselines and
with its own parts.

All compare recall@100 on the same later requests, request by request, so what is hard for everybody cancels out. With
``d`` the candidate's recall less the rival's, ``[low, high]`` the 95% bootstrap interval of its mean, n the requests:

| rule | blocks where | what it is for |
|---|---|---|
| surely worse | high < 0, from 20 users on | a fall that the data prove, however small |
| far worse | d < -max(``max_drop``, 1 / sqrt(n)) | a disaster on data too few to prove it |
| slice | surely, d < -``max_slice_drop`` against live, from ``min_slice_requests`` on | one part pays for the rest |

Live that is the catalogue alone gives way only to what finds no less, d >= 0: whoever trained on a small log would else
lose by it, few orders being no proof of a fall.

Against a part of what is served, surely worse blocks only with d < -``max_slice_drop``: less is no reason to serve
nothing.

An example, of 56 orders. A candidate that finds 2 fewer of them than live has d = -.04 [-.09, .00]: it may go live, a
night's noise is of that size. One that finds .41 of them where BM25 finds all has d = -.59 [-.71, -.46]: both rules
block it. Of 5 orders the interval says nothing (resampling five values makes it too narrow), and the allowed drop is
1 / sqrt(5) = .45, since one order is .2 already: a candidate that loses one passes, one that loses three is blocked.
Users are what is resampled, so they are what has to be many: two users with 60 requests who lost an order each would
give [-.03, -.03].

No rule has a random part: the same evaluation gives the same verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite, sqrt
from typing import Any

from infra.settings import GateSettings
from training.evaluation import EvaluationReport

LEAST_FOR_INTERVAL = 20
"""Users from whom on the bootstrap interval is believed."""
PARTS = ("random walk", "zero-shot + bm25", "towers", "towers, boosted", "hybrid")
"""What is served has to hold against each of these too: a list that one of its parts beats is not the one to serve."""
RIVALS = ("live", "bm25", "popularity", *PARTS)
NAMES = (*(f"recall against {rival}" for rival in RIVALS), "slices", "ann recall", "servability", "index")
"""Every gate; a release is proven when all of them were passed."""
BEFORE_PARTS = tuple(name for name in NAMES if name.removeprefix("recall against ") not in PARTS)
"""Every gate of a verdict of before the parts had theirs."""
ANN_DEPTHS = (100, 1000)


@dataclass(frozen=True)
class Gate:
    """One thing that had to hold: whether it does, and why in a sentence with the figures."""

    name: str
    passed: bool
    reason: str
    figures: Mapping[str, float | int | str]


@dataclass(frozen=True)
class Verdict:
    """What the gates said of a release, as far as they ran."""

    release: str
    gates: tuple[Gate, ...] = ()
    required: tuple[str, ...] = NAMES
    """The gates that there were when it was judged: an upgrade takes nothing from a release that passed all."""

    @property
    def blocked(self) -> list[Gate]:
        """The gates that it did not pass."""
        return [gate for gate in self.gates if not gate.passed]

    @property
    def missing(self) -> list[str]:
        """The gates that never ran: an earlier one stopped the run, or somebody did."""
        ran = {gate.name for gate in self.gates}
        return [name for name in self.required if name not in ran]

    @property
    def proven(self) -> bool:
        return not self.blocked and not self.missing

    @property
    def reasons(self) -> list[str]:
        """Why it may not go live, a sentence each; empty for one that may."""
        if self.blocked:
            return [gate.reason for gate in self.blocked]
        return [f"these gates did not run: {', '.join(self.missing)}"] if self.missing else []

    def with_gates(self, *gates: Gate) -> Verdict:
        """The same with ``gates`` in place of those of their names."""
        new = {gate.name for gate in gates}
        return replace(self, gates=(*(gate for gate in self.gates if gate.name not in new), *gates))

    def to_json(self) -> dict[str, Any]:
        gates = [asdict(gate) for gate in self.gates]
        return {
            "release": self.release,
            "blocked": [g.name for g in self.blocked],
            "gates": gates,
            "required": list(self.required),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Verdict:
        """What :meth:`to_json` wrote."""
        gates = tuple(Gate(**gate) for gate in value["gates"])
        return cls(value["release"], gates, tuple(value.get("required", BEFORE_PARTS)))


def recall_gate(report: EvaluationReport, rival: str, settings: GateSettings) -> Gate:
    """Recall@100 against one of ``RIVALS``; passed, with the reason, where the rival was not measured."""
    name = f"recall against {rival}"
    if rival not in report.differences:
        told = report.measured.get("live", {}).get("left_out") if rival == "live" else None
        return Gate(name, True, f"Not compared with {rival}: {told or 'it was not measured'}.", {})
    d, n = report.differences[rival], report.requests
    allowed = max(settings.max_drop, 1 / sqrt(n))
    figures = {
        "candidate": report.value(report.serving, "recall@100"), rival: report.value(rival, "recall@100"),
        "difference": d["value"], "low": d["low"], "high": d["high"], "requests": n, "allowed drop": allowed,
    }  # fmt: skip
    if report.users is not None:
        figures["users"] = report.users
    if not all(isfinite(d[name]) for name in ("value", "low", "high")):
        return Gate(name, False, f"recall@100 against {rival} is not a number: look at the evaluation.", figures)
    surely, far = _surely_worse(d, report.users, n), d["value"] < -allowed
    if rival in PARTS:
        surely = surely and d["value"] < -settings.max_slice_drop
    pays = d["value"] >= 0 or rival != "live" or not report.measured.get("live", {}).get("catalog_alone")
    verdict = (
        "surely worse" if surely
        else f"worse by more than the {allowed:.2f} allowed over so many" if far
        else "less than the catalogue alone, which stays until what learned from the log finds no less" if not pays
        else "good enough"
    )  # fmt: skip
    reason = (
        f"recall@100 is {figures['candidate']:.3f}, {figures[rival]:.3f} of {rival}: "
        f"{d['value']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}] over {n:,} requests, {verdict}."
    )
    return Gate(name, not (surely or far) and pays, reason, figures)


def slice_gate(report: EvaluationReport, settings: GateSettings) -> Gate:
    """Whether no slice surely falls, and by more than ``max_slice_drop``, against live."""
    sizes = {name: part["requests"] for name, part in report.slices.items()}
    compared = {
        name: part["differences"]["live"]
        for name, part in report.slices.items()
        if sizes[name] >= settings.min_slice_requests and "live" in part["differences"]
    }
    if not compared:
        why = f"no slice has {settings.min_slice_requests} requests" if "live" in report.differences else "no live"
        return Gate("slices", True, f"No slice was compared with live: {why}.", {})
    fallen = {
        name: d for name, d in compared.items()
        if not isfinite(d["value"])
        or (d["value"] < -settings.max_slice_drop and _surely_worse(d, report.slices[name].get("users"), sizes[name]))
    }  # fmt: skip
    told = "; ".join(
        f"{name} {d['value']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]" for name, d in (fallen or compared).items()
    )
    reason = (
        f"recall@100 against live surely falls, and by more than {settings.max_slice_drop:g}, on {told}."
        if fallen
        else f"no slice surely falls, and by more than {settings.max_slice_drop:g}, against live: {told}."
    )
    return Gate("slices", not fallen, reason, {name: d["value"] for name, d in compared.items()})


def _surely_worse(difference: Mapping[str, float], users: int | None, requests: int) -> bool:
    """Whether the interval is below 0 and of enough users; where they were not counted, each request is one."""
    return difference["high"] < 0 and (requests if users is None else users) >= LEAST_FOR_INTERVAL


def ann_gate(lost: Mapping[int, float], allowed: float) -> Gate:
    """Recall that the index loses against exact search.

    Args:
        lost: share of exact search's items that it misses, by K; empty where it was not measured.
        allowed: share that may be missed (``index.max_recall_loss``).
    """
    if not lost:
        return Gate("ann recall", True, "Not measured: the release says nothing of how its index searches.", {})
    figures = {f"loss at {k}": float(lost[k]) for k in ANN_DEPTHS if k in lost}
    passed = all(loss <= allowed for loss in figures.values()) and len(figures) == len(ANN_DEPTHS)
    told = ", ".join(f"{loss:.4f} at {name.removeprefix('loss at ')}" for name, loss in figures.items())
    verdict = "within" if passed else "not all within"
    return Gate(
        "ann recall", passed, f"the index loses {told} of exact search's items, {verdict} {allowed:g}.",
        figures,
    )  # fmt: skip
