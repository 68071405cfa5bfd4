"""Static weights of the quality prior by Bayesian optimisation of order recall after the train window (UEPPR).

The requests are split by user, seeded, into a half to fit on and a half that confirms. Trials maximise the fit half's
recall under the guard: the mean cosine of the first ten hits, over all requests, keeps ``least_relevance`` of what it
was. No weights are among the trials, so what is chosen is never worse on the half it was fitted on. It is in force
only where the other half gains as well, by ``LEAST_GAIN`` standard errors. Weights are not negative: each
feature is turned so that more is better, which halves every dimension of the search.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.contract.names import LEAST_PRIOR_REQUESTS
from infra.settings import QualityPriorSettings, TrainingSettings
from training.data.ragged import Ragged
from training.quality_prior.reranking import Outcome, Problem, Reranking

Floats = NDArray[np.float32]

CANDIDATES = 500
"""Nearest items of each request that a trial ranks again; the weights that win are measured on all items."""
LEAST_GAIN = 1.64
"""Standard errors by which recall must rise on the half that confirms: one-sided, 95%."""


@dataclass(frozen=True)
class Measured:
    """Means over ``requests`` requests, all items searched: (without the prior, with the weights found)."""

    requests: int
    recall_10: tuple[float, float]
    recall_100: tuple[float, float]
    relevance: tuple[float, float]
    """Mean cosine of the first ten hits."""


@dataclass(frozen=True)
class PriorWeights:
    """Weights in force, how they were found, and what they do."""

    weights: tuple[float, ...]
    """One per quality feature; all 0 where none are in force."""
    reason: str
    """Why none are in force; empty where they are."""
    proposed: tuple[float, ...] = ()
    """What the search found, in force or not; the figures below are of these."""
    fitted: Measured | None = None
    confirmed: Measured | None = None
    proven: float = 1.0
    """Share of requests for which the search's candidates were certainly enough."""
    seconds: float = 0.0
    trials: tuple[Mapping[str, Any], ...] = ()
    """``{"weights", "objective", "relevance", "allowed"}`` of each trial, in order."""

    @property
    def on(self) -> bool:
        return any(self.weights)

    def to_json(self) -> dict[str, Any]:
        """Without ``seconds``: the same input gives the same content."""
        return {name: value for name, value in asdict(self).items() if name != "seconds"}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PriorWeights:
        """What :meth:`to_json` wrote."""
        return cls(
            weights=tuple(value["weights"]),
            reason=value["reason"],
            proposed=tuple(value["proposed"]),
            fitted=_measured_from(value["fitted"]),
            confirmed=_measured_from(value["confirmed"]),
            proven=value["proven"],
            trials=tuple(trial | {"weights": tuple(trial["weights"])} for trial in value["trials"]),
        )


def no_prior(features: int, reason: str) -> PriorWeights:
    """Zero for each of ``features`` quality features, and why."""
    return PriorWeights((0.0,) * features, reason)


def find_weights(
    queries: Floats,
    items: Floats,
    quality: Floats,
    wanted: Ragged,
    asked_at: NDArray[np.int64],
    available_from: NDArray[np.int64],
    settings: TrainingSettings,
    users: NDArray[np.integer[Any]] | None = None,
) -> PriorWeights:
    """Weights of the quality features that find more of what was wanted.

    Args:
        queries, items: unit vectors [n, d] and [m, d]; ``quality`` [m, f] in [0, 1].
        wanted: the items ordered after each request; a request without any is left out.
        asked_at, available_from: [n] and [m], microseconds since 1970.
        settings: ``quality_prior`` and the seed.
        users: [n], -1 where unknown; a user's requests are all in one half. None: each request is a user of its own.
    """
    started, prior = time.perf_counter(), settings.quality_prior
    features = quality.shape[1]
    if features == 0:
        return no_prior(0, "no quality feature differs between items")
    rng = np.random.default_rng(settings.seed)
    rows = np.flatnonzero(wanted.lengths > 0)
    rows = np.sort(rng.permutation(rows)[: prior.requests])
    people = rows if users is None else np.where(users[rows] >= 0, users[rows], -1 - rows)
    fits = _first_half(people, rng)
    if min(fits.sum(), (~fits).sum()) < LEAST_PRIOR_REQUESTS:
        reason = f"{len(rows)} requests with an order: each half needs {LEAST_PRIOR_REQUESTS}"
        return no_prior(features, reason)
    problem = Problem(queries, items, quality, wanted, asked_at, available_from).take(rows)
    reranking = Reranking(problem, min(CANDIDATES, len(items)))
    trials = _search(reranking, fits, features, settings)
    before = problem.outcome(np.zeros(features, dtype=np.float32))
    floor = _floor(before, prior)
    for trial in sorted((t for t in trials if t["allowed"]), key=_best_first):
        chosen = np.asarray(trial["weights"], dtype=np.float32)
        after = problem.outcome(chosen)
        gain = float((after.objective - before.objective)[fits].mean())
        # a trial saw only its candidates; zero weights hold both on all items, so the loop ends with an outcome
        if after.relevance.mean() >= floor and gain >= 0:
            break
    reason = _objection(chosen, (after.objective - before.objective)[~fits], people[~fits], prior)
    proposed = tuple(trial["weights"])
    return PriorWeights(
        weights=(0.0,) * features if reason else proposed,
        reason=reason,
        proposed=proposed,
        fitted=_measured(before, after, fits),
        confirmed=_measured(before, after, ~fits),
        proven=reranking.proven(chosen),
        seconds=time.perf_counter() - started,
        trials=tuple(trials),
    )


def _first_half(people: NDArray[np.integer[Any]], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whether a request's user is of the seeded half that is fitted on, [n]."""
    order = rng.permutation(np.unique(people))
    return np.isin(people, order[: (len(order) + 1) // 2])


def _floor(before: Outcome, settings: QualityPriorSettings) -> float:
    """Least mean cosine of the first ten hits; the allowance is taken from its size, so it holds below 0 too."""
    relevance = float(before.relevance.mean())
    return relevance - (1 - settings.least_relevance) * abs(relevance)


def _best_first(trial: Mapping[str, Any]) -> tuple[float, float]:
    """Higher recall first; of equals the smaller weights."""
    return -trial["objective"], float(np.abs(trial["weights"]).sum())


def _search(
    reranking: Reranking, fits: NDArray[np.bool_], features: int, settings: TrainingSettings
) -> list[dict[str, Any]]:
    """The trials in order, the first without weights."""
    import optuna

    prior = settings.quality_prior
    floor = _floor(reranking.outcome(np.zeros(features, dtype=np.float32)), prior)
    trials: list[dict[str, Any]] = []

    def objective(trial: optuna.Trial) -> float:
        shares = np.array([trial.suggest_float(str(f), 0, 1) for f in range(features)], dtype=np.float32)
        # what helps is small beside the largest weight: the cube looks there first and still reaches it
        weights = prior.max_weight * shares**3
        outcome = reranking.outcome(weights)
        value, relevance = float(outcome.objective[fits].mean()), float(outcome.relevance.mean())
        trial.set_constraint("relevance", floor - relevance)
        trials.append(
            {
                "weights": tuple(weights.tolist()),
                "objective": value,
                "relevance": relevance,
                "allowed": relevance >= floor,
            }
        )
        return value

    with _silent(optuna):
        sampler = optuna.samplers.TPESampler(seed=settings.seed, multivariate=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.enqueue_trial({str(f): 0.0 for f in range(features)})
        study.optimize(objective, n_trials=prior.trials)
    return trials


@contextmanager
def _silent(optuna: Any) -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _objection(
    chosen: Floats, gain: NDArray[np.float64], people: NDArray[np.integer[Any]], settings: QualityPriorSettings
) -> str:
    """Why the weights must not be in force, given what each confirming request of ``people`` gains; empty where they
    may. The standard error is over users: what one of them asks is alike."""
    if not chosen.any():
        return f"none of {settings.trials} trials found more of what was wanted without losing relevance"
    _, number = np.unique(people, return_inverse=True)
    beyond = np.bincount(number, weights=gain - gain.mean())
    users = len(beyond)
    error = float(np.sqrt((beyond**2).sum() * users / max(users - 1, 1)) / len(gain))
    if gain.mean() <= LEAST_GAIN * error:
        return (
            f"not confirmed: on {len(gain)} requests of other users recall moves by {gain.mean():+.4f}"
            f" with a standard error of {error:.4f}"
        )
    return ""


def _measured(before: Outcome, after: Outcome, rows: NDArray[np.bool_]) -> Measured:
    def pair(name: str) -> tuple[float, float]:
        return float(getattr(before, name)[rows].mean()), float(getattr(after, name)[rows].mean())

    return Measured(int(rows.sum()), pair("recall_10"), pair("recall_100"), pair("relevance"))


def _measured_from(value: Mapping[str, Any] | None) -> Measured | None:
    if value is None:
        return None
    pairs = {name: tuple(value[name]) for name in ("recall_10", "recall_100", "relevance")}
    return Measured(requests=value["requests"], **pairs)
