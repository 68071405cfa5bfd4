"""The objectives against loops, gradient checks, and the sign of the logQ correction."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training import losses

TAU = 0.2


def example(seed: int, requests: int = 5, draws: int = 4, unclicked: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1

    return {
        "positive": uniform(requests),
        "unclicked": uniform(requests, unclicked),
        "scores": uniform(requests, requests + draws),
        "log_q": uniform(requests + draws),
        "excluded": uniform(requests, requests + draws) > 0.6,
        "valid": uniform(requests, unclicked) > -0.5,
        "staged": uniform(requests, 1 + unclicked) > -0.5,
        "gains": torch.tensor([4.0, 1.0] + [0.0] * (unclicked - 1), dtype=torch.float64).repeat(requests, 1),
    }


@pytest.mark.parametrize("seed", range(5))
def test_click_softmax_equals_loops(seed: int) -> None:
    e = example(seed)
    terms = []
    for i in range(5):
        negatives = sum(
            math.exp(e["scores"][i, j] / TAU - e["log_q"][j])
            for j in range(e["scores"].shape[1])
            if not e["excluded"][i, j]
        )
        own = math.exp(e["positive"][i] / TAU)
        terms.append(-math.log(own / (own + negatives)))
    mass = losses.negative_mass(e["scores"], e["log_q"], e["excluded"], TAU)
    got = losses.sampled_softmax(e["positive"], torch.ones(5, dtype=torch.bool), mass, TAU)
    assert got.item() == pytest.approx(sum(terms) / 5)


@pytest.mark.parametrize("seed", range(5))
def test_unclicked_softmax_equals_loops(seed: int) -> None:
    e = example(seed)
    mass = losses.negative_mass(e["scores"], e["log_q"], e["excluded"], TAU)
    terms = [
        -math.log(math.exp(e["unclicked"][i, u] / TAU) / (math.exp(e["unclicked"][i, u] / TAU) + math.exp(mass[i])))
        for i in range(5)
        for u in range(3)
        if e["valid"][i, u]
    ]
    got = losses.sampled_softmax(e["unclicked"], e["valid"], mass, TAU)
    assert got.item() == pytest.approx(sum(terms) / len(terms))


@pytest.mark.parametrize("seed", range(5))
def test_hinge_equals_loops(seed: int) -> None:
    e = example(seed)
    terms = [
        max(0.0, 0.1 - float(e["positive"][i]) + float(e["unclicked"][i, u]))
        for i in range(5)
        for u in range(3)
        if e["valid"][i, u]
    ]
    got = losses.hinge_above(e["positive"], e["unclicked"], e["valid"], 0.1)
    assert got.item() == pytest.approx(sum(terms) / len(terms))


@pytest.mark.parametrize("seed", range(5))
def test_fused_softmax_equals_loops(seed: int) -> None:
    e = example(seed)
    mass = losses.negative_mass(e["scores"], e["log_q"], e["excluded"], TAU)
    staged = torch.cat([e["positive"][:, None], e["unclicked"]], 1)
    terms = []
    for i in range(5):
        gains = [float(g) if there else 0.0 for g, there in zip(e["gains"][i], e["staged"][i], strict=True)]
        if not any(gains):
            continue
        shares = [math.exp(s / TAU) if there else 0.0 for s, there in zip(staged[i], e["staged"][i], strict=True)]
        total = sum(shares) + math.exp(mass[i])
        terms.append(
            -sum(g * math.log(share / total) for g, share in zip(gains, shares, strict=True) if g) / sum(gains)
        )
    got = losses.fused_softmax(staged, e["gains"], e["staged"], mass, TAU)
    assert got.item() == pytest.approx(sum(terms) / len(terms))


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_equal_loops(seed: int) -> None:
    e = example(seed)
    above = sum(max(0.0, 0.3 - float(s)) for s in e["unclicked"][e["valid"]]) / len(e["unclicked"])
    assert losses.above_threshold(e["unclicked"], e["valid"], 0.3).item() == pytest.approx(above)
    below = sum(max(0.0, float(s) - 0.2) for s in e["scores"][~e["excluded"]]) / len(e["scores"])
    assert losses.below_threshold(e["scores"], e["excluded"], 0.2).item() == pytest.approx(below)


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_the_hardest_are_the_highest_that_are_no_positive(seed: int, kept: int) -> None:
    e = example(seed)
    left = ~losses.hardest(e["scores"], e["excluded"], kept)
    for row, excluded, chosen in zip(e["scores"], e["excluded"], left, strict=True):
        allowed = sorted((float(s) for s, out in zip(row, excluded, strict=True) if not out), reverse=True)
        assert sorted(row[chosen].tolist(), reverse=True) == allowed[:kept]
        assert not (chosen & excluded).any()


def test_gradients() -> None:
    e = example(11)
    positive, scores, unclicked = (e[n].clone().requires_grad_() for n in ("positive", "scores", "unclicked"))

    def objective(positive: torch.Tensor, scores: torch.Tensor, unclicked: torch.Tensor) -> torch.Tensor:
        mass = losses.negative_mass(scores, e["log_q"], e["excluded"], TAU)
        return (
            losses.sampled_softmax(positive, torch.ones(5, dtype=torch.bool), mass, TAU)
            + losses.sampled_softmax(unclicked, e["valid"], mass, TAU)
            + losses.hinge_above(positive, unclicked, e["valid"], 0.1)
            + losses.fused_softmax(torch.cat([positive[:, None], unclicked], 1), e["gains"], e["staged"], mass, TAU)
            + losses.above_threshold(unclicked, e["valid"], 0.3)
            + losses.below_threshold(scores, e["excluded"], 0.2)
        )

    assert torch.autograd.gradcheck(objective, (positive, scores, unclicked))


NONE = torch.zeros(2, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    "loss",
    [
        lambda scores: losses.hinge_above(torch.zeros(2), scores, NONE, 0.1),
        lambda scores: losses.sampled_softmax(scores, NONE, torch.zeros(2), TAU),
        lambda scores: losses.fused_softmax(scores, torch.ones(2, 3), NONE, torch.zeros(2), TAU),
        lambda scores: losses.above_threshold(scores, NONE, 2.0),
        lambda scores: losses.below_threshold(scores, ~NONE, -2.0),
    ],
)
def test_nothing_valid_is_zero_and_has_a_gradient(loss: Callable[[torch.Tensor], torch.Tensor]) -> None:
    scores = torch.ones(2, 3, requires_grad=True)
    value = loss(scores)
    torch.autograd.backward(value)
    assert value.item() == 0
    assert torch.equal(scores.grad, torch.zeros(2, 3))  # type: ignore[arg-type]


def test_all_columns_excluded_is_zero_loss() -> None:
    mass = losses.negative_mass(torch.zeros(2, 3), torch.zeros(3), torch.ones(2, 3, dtype=torch.bool), TAU)
    assert losses.sampled_softmax(torch.zeros(2), torch.ones(2, dtype=torch.bool), mass, TAU).item() == 0


def test_log_q_makes_the_sampled_softmax_unbiased() -> None:
    """Sampling by popularity and subtracting log Q estimates the full sum; adding it, or leaving it out, does not."""
    generator = torch.Generator().manual_seed(0)
    items, draws = 50, 200_000
    share = torch.rand(items, generator=generator, dtype=torch.float64) ** 3 + 0.01
    share = share / share.sum()
    scores = torch.rand(items, generator=generator, dtype=torch.float64) - share * 5
    columns = torch.multinomial(share, draws, replacement=True, generator=generator)
    log_q = losses.log_q_in_batch(share, draws)
    full = torch.logsumexp(scores / TAU, 0)

    def estimate(sign: float) -> float:
        none_excluded = torch.zeros(1, draws, dtype=torch.bool)
        return losses.negative_mass(scores[columns][None], sign * log_q[columns], none_excluded, TAU).item()

    assert estimate(1) == pytest.approx(full.item(), abs=0.02)
    assert abs(estimate(-1) - full.item()) > 1
    assert abs(estimate(0) - full.item()) > 1


def test_uniform_draws_estimate_the_full_sum() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.rand(40, generator=generator, dtype=torch.float64)
    columns = torch.randint(0, 40, (100_000,), generator=generator)
    log_q = losses.log_q_uniform(100_000, 40)
    mass = losses.negative_mass(scores[columns][None], log_q, torch.zeros(1, 100_000, dtype=torch.bool), TAU)
    assert mass.item() == pytest.approx(torch.logsumexp(scores / TAU, 0).item(), abs=0.02)


@given(st.integers(0, 10_000))
def test_false_negatives_are_found(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    key = torch.randint(-1, 5, (6,), generator=generator)
    pairs = int(torch.randint(0, 9, (1,), generator=generator))
    pair_key = torch.randint(0, 7, (pairs,), generator=generator)
    pair_item, columns = (torch.randint(0, 9, (n,), generator=generator) for n in (pairs, 8))
    got = losses.known_positives(key, pair_key, pair_item, columns)
    chosen = set(zip(pair_key.tolist(), pair_item.tolist(), strict=True))
    assert got.tolist() == [[(k, c) in chosen for c in columns.tolist()] for k in key.tolist()]
