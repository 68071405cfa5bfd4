"""Text part of the vectors: one projection of a text encoder's vectors, shared by queries and items [D].

The projection starts as the leading directions of the catalogue's own texts (a truncated singular value
decomposition), so that before the first step its dot product is the encoder's own similarity.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.model.tower_config import LEAST_UNKNOWN_GAIN

TEXT_GAIN = 1.3
UNKNOWN_GAIN = 2.6
"""A query out of the vocabulary leans on its text from the start: what its words mean was seen little or never."""
SAMPLE = 20_000
"""Texts that the leading directions are read off."""


class TextPart(nn.Module):
    """Text vectors [n, width] to their part of a tower's vector, [n, dim]: items of length 1, queries of a length that
    weighs the text against the learned part; zeros without text."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, dim, bias=False)
        nn.init.orthogonal_(self.project.weight)
        self.gains = nn.Parameter(torch.tensor([UNKNOWN_GAIN, TEXT_GAIN]).log())
        """Logs of the weight of the text of an out-of-vocabulary, and of an in-vocabulary query."""

    def queries(self, text: Tensor, vocabulary_share: Tensor) -> Tensor:
        """``vocabulary_share`` in [0, 1], [n, 1]: the gain lies between that of a query
        out of the vocabulary and of one within it."""
        unknown, known = self.gains.exp()
        unknown = unknown if self.training else unknown.clamp(min=LEAST_UNKNOWN_GAIN)
        gain = unknown + vocabulary_share * (known - unknown)
        part: Tensor = gain * F.normalize(self.project(text), dim=1)
        return part

    def items(self, text: Tensor) -> Tensor:
        """Of each item by its own text alone: that of its neighbour queries brought known queries nothing and cost the
        others."""
        return F.normalize(self.project(text), dim=1)

    @torch.no_grad()
    def start_from(self, texts: NDArray[np.float32], seed: int) -> None:
        """Set the projection to the leading directions of ``texts`` [n, width]."""
        filled = texts[texts.any(axis=1)]
        chosen = np.random.default_rng(seed).permutation(len(filled))[:SAMPLE]
        _, _, directions = np.linalg.svd(filled[np.sort(chosen)].astype(np.float64), full_matrices=False)
        found = torch.from_numpy(directions[: len(self.project.weight)].astype(np.float32))
        self.project.weight[: len(found)] = found
