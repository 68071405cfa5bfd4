"""What goes wrong with an engine of tables."""

from __future__ import annotations


class SparkUnavailable(RuntimeError):  # noqa: N818 - it names a state
    """Spark cannot be started or reached; the message says what to do."""
