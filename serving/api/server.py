"""uvicorn around the application."""

from __future__ import annotations

import logging

import uvicorn

from infra.logs import log_as_json
from infra.settings import Settings
from serving.api.app import create_app
from serving.api.auth import check_exposure


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in flight are finished first.

    Raises:
        OpenToOthersError: it would listen beyond loopback without a key.
    """
    check_exposure(settings.api)
    app = create_app(settings)
    if settings.log.format == "json":
        log_as_json(settings, lambda: {"release": app.state.backend.release_id})
        logging.getLogger("uvicorn").setLevel(logging.INFO)
    else:
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("serving").setLevel(logging.INFO)
        _log_requests_as_they_are()
    uvicorn.run(
        app,
        host=settings.api.host,
        port=settings.api.port,
        # The request log takes its place: it has neither query strings nor addresses in it.
        access_log=False,
        # Its own handlers write text.
        log_config=None if settings.log.format == "json" else uvicorn.config.LOGGING_CONFIG,
        server_header=False,
        proxy_headers=bool(settings.api.proxies),
        forwarded_allow_ips=list(settings.api.proxies),
        timeout_graceful_shutdown=settings.api.shutdown_seconds,
        log_level="info",
    )


def _log_requests_as_they_are() -> None:
    """A line of the request log is JSON and nothing else, on standard output."""
    import sys

    lines = logging.StreamHandler(sys.stdout)
    lines.setFormatter(logging.Formatter("%(message)s"))
    requests = logging.getLogger("shelfwise.requests")
    requests.handlers, requests.propagate = [lines], False
    requests.setLevel(logging.INFO)
