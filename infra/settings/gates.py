"""Settings of the gates."""

from __future__ import annotations

from infra.settings.base import Count, Group, Share


class GateSettings(Group):
    """What a new release has to reach to go live; the rules are in ``training.release.gates``."""

    max_drop: Share = 0.1
    """Recall@100 below that of one of ``training.release.gates.RIVALS`` (live, BM25, popularity, random walk, zero-shot
    with BM25, towers, towers boosted, hybrid) by more than this blocks, proven or not; with under 100 requests the
    allowed drop is one over their root."""
    max_slice_drop: Share = 0.05
    """A slice whose recall@100 surely falls by more than this against live blocks; and what is served where it surely
    falls by more than this against one of ``training.release.gates.PARTS``."""
    min_slice_requests: Count = 50
    """A slice with fewer requests says too little to block."""
