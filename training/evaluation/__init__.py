"""Towers against baselines on the same rows, and against human judgements."""

from training.evaluation.judgements import VectorSearch, judge, judged_values
from training.evaluation.measure import evaluate, measure
from training.evaluation.methods import ALL, BASELINES, BOOSTED, Searches, nightly_methods, searches_of
from training.evaluation.report import EvaluationReport, as_text, read_evaluation

__all__ = [
    "ALL",
    "BASELINES",
    "BOOSTED",
    "EvaluationReport",
    "Searches",
    "VectorSearch",
    "as_text",
    "evaluate",
    "judge",
    "judged_values",
    "measure",
    "nightly_methods",
    "read_evaluation",
    "searches_of",
]
