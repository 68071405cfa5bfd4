"""What a request may be. Anything else is a ValueError before a model or a store sees it."""

from __future__ import annotations

from typing import Any

from infra.settings import ServingSettings


def check_request(limits: ServingSettings, user: Any, query: Any, k: Any) -> None:
    """Check a request's user, query and k.

    Raises:
        ValueError: says which of them is wrong, and what it may be.
    """
    if not isinstance(query, str):
        raise ValueError(f"query must be a str, not {type(query).__name__}")
    if len(query) > limits.max_query_chars:
        raise ValueError(f"query has {len(query)} characters, at most {limits.max_query_chars} are taken")
    if not any(c.isalnum() for c in query):
        raise ValueError("query must have at least one letter or number")
    if user is not None and not isinstance(user, str):
        raise ValueError(f"user must be a str or None, not {type(user).__name__}")
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= limits.max_k:
        raise ValueError(f"k must be a whole number from 1 to {limits.max_k}, got {k!r}")
    for name, text in (("query", query), ("user", user or "")):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{name} is not valid Unicode: {error.reason}") from error
