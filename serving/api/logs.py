"""How the processes of a server write what they log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from infra.logs import log_as_json
from infra.settings import Settings


def write_logs(settings: Settings, release_id: Callable[[], str | None]) -> None:
    """Write the records of this process in the form that the settings name; ``release_id`` is asked at each."""
    if settings.log.format == "json":
        log_as_json(settings, lambda: {"release": release_id()})
        logging.getLogger("uvicorn").setLevel(logging.INFO)
    else:
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("serving").setLevel(logging.INFO)
        _log_requests_as_they_are()


def _log_requests_as_they_are() -> None:
    """A line of the request log is JSON and nothing else, on standard output."""
    lines = logging.StreamHandler(sys.stdout)
    lines.setFormatter(logging.Formatter("%(message)s"))
    requests = logging.getLogger("shelfwise.requests")
    requests.handlers, requests.propagate = [lines], False
    requests.setLevel(logging.INFO)
