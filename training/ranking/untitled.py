"""Items without a title, which BM25 would take for those that a query is about.

Their few words say little of them, but BM25 takes each word of a short text for what it is about.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.ranking.word_forms import FORM

UNTITLED = 2.0
"""What a text without a title counts as at least, in times of the average length."""
_PAD = FORM
"""A word that nobody asks for."""


def untitled(catalog: pa.Table) -> NDArray[np.bool_]:
    """Which items have no title, [items]; none where most have none."""
    if "title" not in catalog.column_names:
        return np.zeros(len(catalog), dtype=np.bool_)
    said = pc.fill_null(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(catalog["title"])), 0), False)
    lacking = ~said.to_numpy()
    return np.asarray(lacking & (2 * lacking.sum() < len(catalog)))


def padded(tokens: Any, lacking: NDArray[np.bool_] | None) -> Any:
    """The tokens of each text as ``bm25s.tokenize`` gives them, those without a title as long as ``UNTITLED`` says."""
    if lacking is None or not lacking.any():
        return tokens
    vocab, ids = dict(tokens.vocab), list(tokens.ids)
    pad, lengths = vocab.setdefault(_PAD, len(vocab)), np.array(list(map(len, ids)))
    least = int(UNTITLED * lengths.mean())
    for row in np.flatnonzero(lacking & (lengths < least) & (lengths > 0)).tolist():
        ids[row] = [*ids[row], *[pad] * (least - int(lengths[row]))]
    return type(tokens)(ids, vocab)
