"""What the towers are measured against, on the same rows and over the catalogue of the request's time."""

from training.baselines.available import available_first, search_distinct
from training.baselines.bm25 import bm25_top
from training.baselines.fusion import reciprocal_rank_fusion
from training.baselines.popularity import popular_top
from training.baselines.quality import item_quality
from training.baselines.random_walk import random_walk_top
from training.baselines.within_matches import popular_within_matches
from training.baselines.zero_shot import sentence_vectors, zero_shot_top

__all__ = [
    "available_first",
    "bm25_top",
    "item_quality",
    "popular_top",
    "popular_within_matches",
    "random_walk_top",
    "reciprocal_rank_fusion",
    "search_distinct",
    "sentence_vectors",
    "zero_shot_top",
]
