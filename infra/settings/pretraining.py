"""Settings of text encoders trained on the shop's own text."""

from __future__ import annotations

from pydantic import Field

from infra.settings.base import Count, Group, Positive


class PretrainingSettings(Group):
    """Text encoders that are trained on the shop's own text, from scratch: small, so that two cores suffice."""

    checkpoint: str | None = None
    """Folder or hub name of a checkpoint to resume from; None: a small configuration from scratch."""
    vocabulary: int = Field(8_000, ge=300)
    """Tokens of the vocabulary: the 256 bytes and the special ones are always in it."""
    width: Count = 128
    """Width of the layers."""
    layers: Count = 4
    """Transformer layers."""
    heads: Count = 4
    """Attention heads per layer."""
    steps: Count = 1_000
    """Training steps."""
    batch_size: Count = 64
    """Texts per step."""
    learning_rate: Positive = 1e-3
    """Highest learning rate."""
