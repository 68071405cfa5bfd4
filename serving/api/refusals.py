"""What every endpoint may refuse, for its description."""

from __future__ import annotations

from typing import Any

from serving.api.models import Problem

RETRY_AFTER = "2"
"""Seconds after which one that was not answered now is to ask again."""

_says: dict[int, str] = {
    400: "The body is not even text.",
    401: "The API key is missing or wrong.",
    403: "The API key has not the scope that this takes; the sentence says which.",
    413: "The body is larger than `api.max_body_bytes`.",
    422: "Bad input; the sentence says which and why.",
    429: "Too many requests of this client; `Retry-After` says when to come back.",
    503: "Not warmed up yet, or too many requests wait; `Retry-After` says when to ask again.",
}
_COME_BACK = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text, **({"headers": _COME_BACK} if status in {429, 503} else {})}
    for status, text in _says.items()
}
NOT_READY: dict[int | str, dict[str, Any]] = {
    503: REFUSALS[503] | {"description": "Not warmed up yet, and why; `Retry-After` says when to ask again."}
}
