"""By which ids a request is known: the caller's own, where they can stand in a log and a header as they are."""

from __future__ import annotations

import re
import secrets

from starlette.datastructures import Headers

GIVEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=-]{0,127}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
"""https://www.w3.org/TR/trace-context/#traceparent-header: version, trace, parent, flags; later ones may have more."""


def request_id(headers: Headers) -> str:
    """The caller's ``X-Request-ID``, or a new one."""
    given = headers.get("x-request-id", "")
    return given if GIVEN.fullmatch(given) else secrets.token_hex(8)


def trace_ids(headers: Headers) -> dict[str, str]:
    """``trace`` and ``span`` of the caller's ``traceparent``; empty where there is none that can be read."""
    found = TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if found is None or found[0].startswith("ff") or (found[0].startswith("00") and found[3]):
        return {}
    if not (found[1].strip("0") and found[2].strip("0")):
        return {}
    return {"trace": found[1], "span": found[2]}
