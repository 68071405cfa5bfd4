"""Losses over scores ``s`` = dot products of unit vectors, each a function; ``objective`` weighs and sums them.

Roles of MMSE's objectives are from a note on the paper, their formulas ours (the paper's are not public), marked [D];
the multi-part hinge is UEPPR's. Shapes: B requests, C columns of negatives that the batch shares, U unclicked items per
request.

| function | reference | what it asks for |
| --- | --- | --- |
| :func:`sampled_softmax` | MMSE, global: click, or unclicked, against negatives | the item above the catalogue |
| :func:`hinge_above` | MMSE, local: click, or order, above unclicked | one stage above another by a margin |
| :func:`fused_softmax` | MMSE, post-fusion of the scores of all stages | all stages in one distribution |
| :func:`above_threshold`, :func:`below_threshold` | UEPPR, multi-part hinge | each stage above its threshold |

Every loss but the multi-part hinge, which adds up within a request, is a mean over its valid terms; 0 where there is
none.
"""

from training.losses.hinge import above_threshold, below_threshold, hinge_above
from training.losses.negatives import hardest, known_positives, log_q_in_batch, log_q_uniform, named_by_neighbours
from training.losses.softmax import fused_softmax, negative_mass, sampled_softmax

__all__ = [
    "above_threshold",
    "below_threshold",
    "fused_softmax",
    "hardest",
    "hinge_above",
    "known_positives",
    "log_q_in_batch",
    "log_q_uniform",
    "named_by_neighbours",
    "negative_mass",
    "sampled_softmax",
]
