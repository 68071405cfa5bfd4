"""Towers, objectives, trainer, evaluation, baselines and the release they end in."""
