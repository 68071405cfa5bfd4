"""From the vectors of a step to its loss: which scores are positives, which are negatives, and what each weighs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from infra.settings import TrainingSettings
from training import losses
from training.data.batches import Batch

PARTS = ("click", "unclicked", "click_over_unclicked", "order_over_unclicked", "fused", "multi_part_hinge")
SOURCES = ("in_batch", "uniform", "hard_in_batch", "dynamic")
ORDER_GAIN = 4.0
"""What an ordered item weighs beside a clicked one in the fused softmax [D]; the graph's stage weights are alike."""


@dataclass(frozen=True)
class Negatives:
    """The columns of one source: scores [B, C], log of how often each is expected, and which are no negative of a
    row, bool [B, C]."""

    weight: float
    scores: Tensor
    log_q: Tensor | float
    excluded: Tensor

    def without(self, excluded: Tensor) -> Negatives:
        return Negatives(self.weight, self.scores, self.log_q, self.excluded | excluded)


@dataclass(frozen=True)
class BatchVectors:
    """What the towers made of a step: queries [B, d], targets [T, d], and the mined negatives [M, d]."""

    queries: Tensor
    targets: Tensor
    mined: Tensor
    mined_item: Tensor
    """Item of each mined negative, [M]."""


class Objective:
    """The weighted sum of the objectives of the settings."""

    def __init__(self, settings: TrainingSettings, click_share: Tensor, items: int) -> None:
        """``click_share``: how often each item is a drawn positive, [items], sums to 1."""
        self._settings = settings
        self._click_share = click_share
        self._items = items
        self.weights = torch.tensor([getattr(settings, f"weight_{part}") for part in PARTS], device=click_share.device)

    def weight_of(self, source: str, done: float) -> float:
        """Weight of a source of negatives when ``done`` [0, 1] of the run's steps are; see ``ramp_share``."""
        first, last = getattr(self._settings, source)
        ramp = self._settings.ramp_share
        return float(first + (last - first) * (done / ramp if done < ramp else 1.0))

    def parts(self, batch: Batch, vectors: BatchVectors, done: float) -> Tensor:
        """The objectives over a batch, in the order of ``PARTS``, not weighted; 0 for one whose weight is 0."""
        s, device = self._settings, vectors.queries.device
        item = batch.item.to(device)
        clicked, ordered, unclicked = (t.to(device) for t in (batch.clicked, batch.ordered, batch.unclicked))
        queries, targets = vectors.queries, vectors.targets
        s_clicked = (queries * targets[clicked]).sum(1)
        s_ordered = (queries * targets[ordered.clamp(min=0)]).sum(1)
        s_unclicked = torch.einsum("bd,bud->bu", queries, targets[unclicked.clamp(min=0)])
        has_order, has_unclicked = ordered >= 0, unclicked >= 0
        always = torch.ones_like(has_order)
        sources = list(self._sources(batch, vectors, done))
        shown = torch.where(has_unclicked, item[unclicked.clamp(min=0)], -1)
        columns = [self._columns_of(name, batch, vectors) for name, _ in sources]
        of_unclicked = [
            (name, part.without((own[None, None] == shown[..., None]).any(1)))
            for (name, part), own in zip(sources, columns, strict=True)
        ]

        def against(scores: Tensor, valid: Tensor, negatives: list[tuple[str, Negatives]]) -> Tensor:
            found = [
                (n.weight, losses.sampled_softmax(scores, valid, self._mass(n), s.temperature)) for _, n in negatives
            ]
            return _weighted(found, scores)

        computed = {
            "click": lambda: against(s_clicked, always, sources),
            "unclicked": lambda: against(s_unclicked, has_unclicked, of_unclicked),
            "click_over_unclicked": lambda: losses.hinge_above(s_clicked, s_unclicked, has_unclicked, s.click_margin),
            "order_over_unclicked": lambda: losses.hinge_above(
                s_ordered, s_unclicked, has_unclicked & has_order[:, None], s.order_margin
            ),
            "fused": lambda: self._fused(s_clicked, s_ordered, s_unclicked, has_order, has_unclicked, of_unclicked),
            "multi_part_hinge": lambda: (
                losses.above_threshold(s_ordered, has_order, s.threshold_ordered)
                + losses.above_threshold(s_clicked, always, s.threshold_clicked)
                + losses.above_threshold(s_unclicked, has_unclicked, s.threshold_unclicked)
                + _weighted(
                    [
                        (n.weight, losses.below_threshold(n.scores, n.excluded, s.threshold_negative))
                        for _, n in sources
                    ],
                    s_clicked,
                )
            ),
        }
        nothing = s_clicked.new_zeros(())
        on = self.weights.tolist()
        return torch.stack([computed[part]() if weight else nothing for part, weight in zip(PARTS, on, strict=True)])

    def excluded(self, batch: Batch, columns: Tensor) -> Tensor:
        """Which items ``columns`` [C] anybody chose for a request's query, or its user for any, bool [B, C]: they are
        no hard negative of it."""
        by_query = self._chosen(batch.query, batch.chosen_by_query, columns)
        return by_query | self._chosen(batch.user, batch.chosen_by_user, columns)

    def excluded_at_random(self, batch: Batch, places: Tensor) -> Tensor:
        """Which targets ``places`` [C] are no negative of each request where targets are drawn for all, bool [B, C].

        With ``others_choices``: its own, those of its user, and those whose neighbours name its query. What another
        chose for the query, and this user did not, is what tells users apart.
        """
        columns = batch.item[places].to(self._click_share.device)
        if not self._settings.others_choices:
            return self.excluded(batch, columns)
        own = self._chosen(torch.arange(len(batch.query)), batch.chosen_by_request, columns)
        named = losses.named_by_neighbours(batch.query.to(columns.device), batch.neighbours[places].to(columns.device))
        return own | named | self._chosen(batch.user, batch.chosen_by_user, columns)

    @staticmethod
    def _chosen(key: Tensor, pairs: tuple[Tensor, Tensor], columns: Tensor) -> Tensor:
        chosen_by, chosen = (part.to(columns.device) for part in pairs)
        return losses.known_positives(key.to(columns.device), chosen_by, chosen, columns)

    def _mass(self, negatives: Negatives) -> Tensor:
        return losses.negative_mass(negatives.scores, negatives.log_q, negatives.excluded, self._settings.temperature)

    def _columns_of(self, source: str, batch: Batch, vectors: BatchVectors) -> Tensor:
        device = vectors.queries.device
        if source == "dynamic":
            return vectors.mined_item
        place = batch.uniform if source == "uniform" else batch.clicked
        return batch.item.to(device)[place.to(device)]

    def _sources(self, batch: Batch, vectors: BatchVectors, done: float) -> Iterator[tuple[str, Negatives]]:
        """The sources that weigh something at this step."""
        weights = {name: self.weight_of(name, done) for name in SOURCES}
        total = sum(weights.values()) or 1.0
        queries, targets, device = vectors.queries, vectors.targets, vectors.queries.device
        columns = self._columns_of("in_batch", batch, vectors)
        in_batch_q = losses.log_q_in_batch(self._click_share[columns], len(queries))
        scores = queries @ targets[batch.clicked.to(device)].T
        if weights["in_batch"]:
            excluded = self.excluded_at_random(batch, batch.clicked)
            yield "in_batch", Negatives(weights["in_batch"] / total, scores, in_batch_q, excluded)
        if weights["hard_in_batch"]:
            hard = losses.hardest(scores, self.excluded(batch, columns), self._settings.hard_in_batch_kept)
            yield "hard_in_batch", Negatives(weights["hard_in_batch"] / total, scores, in_batch_q, hard)
        if weights["uniform"] and len(batch.uniform):
            uniform = queries @ targets[batch.uniform.to(device)].T
            log_q = losses.log_q_uniform(len(batch.uniform), self._items)
            excluded = self.excluded_at_random(batch, batch.uniform)
            yield "uniform", Negatives(weights["uniform"] / total, uniform, log_q, excluded)
        if weights["dynamic"] and len(vectors.mined):
            dynamic = queries @ vectors.mined.T
            picked = losses.hardest(dynamic, self.excluded(batch, vectors.mined_item), self._settings.dynamic_kept)
            log_q = losses.log_q_uniform(len(batch.pool_item), self._items)
            yield "dynamic", Negatives(weights["dynamic"] / total, dynamic, log_q, picked)

    def _fused(
        self,
        s_clicked: Tensor,
        s_ordered: Tensor,
        s_unclicked: Tensor,
        has_order: Tensor,
        has_unclicked: Tensor,
        negatives: list[tuple[str, Negatives]],
    ) -> Tensor:
        staged = torch.cat([s_ordered[:, None], s_clicked[:, None], s_unclicked], dim=1)
        valid = torch.cat([has_order[:, None], torch.ones_like(has_order)[:, None], has_unclicked], dim=1)
        gains = torch.zeros_like(staged)
        gains[:, 0], gains[:, 1] = ORDER_GAIN, 1.0
        temperature = self._settings.temperature
        found = [
            (n.weight, losses.fused_softmax(staged, gains, valid, self._mass(n), temperature)) for _, n in negatives
        ]
        return _weighted(found, s_clicked)


def _weighted(found: list[tuple[float, Tensor]], like: Tensor) -> Tensor:
    # nothing found still has a gradient, of zeros: a step may have no negative at all
    return sum((weight * value for weight, value in found), 0.0 * like.sum())
