"""Why a request is not answered; the sentence is what the caller reads."""

from __future__ import annotations


class BadInputError(ValueError):
    """Input that the retriever refuses, in its own sentence."""


class NotReadyError(RuntimeError):
    """Nothing can be answered yet; the message says why."""


class OverloadedError(RuntimeError):
    """More requests wait than can be answered in time."""
