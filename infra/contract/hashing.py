"""The finaliser of SplitMix64 (Steele, Lea and Flood, 2014), which scatters 64-bit words evenly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
"""The step of SplitMix64's counter; odd, so that multiplying by it loses nothing."""

Words = npt.NDArray[np.uint64]


def mix(words: Words) -> Words:
    """A bijection of 64-bit words, of any shape: each bit of the result depends on all bits of the word."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def next_word(words: Words) -> Words:
    """SplitMix64's output for each state: the state, one step on, mixed."""
    return mix(words + np.uint64(GOLDEN_GAMMA))
