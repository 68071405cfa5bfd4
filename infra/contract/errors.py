"""Errors that more than one room raises."""

from __future__ import annotations


class TrainingSetError(ValueError):
    """Sessions and features that make no sound training set, or a training set that cannot be trained on; the message
    says what to do."""
