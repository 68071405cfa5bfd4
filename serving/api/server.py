"""uvicorn around the application."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack, suppress

import uvicorn

from infra.settings import Settings
from serving.api.app import create_app
from serving.api.auth import check_exposure
from serving.api.logs import write_logs
from serving.api.running import noted


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in flight are finished first.

    Raises:
        OpenToOthersError: it would listen beyond loopback without a key.
    """
    check_exposure(settings.api)
    app = create_app(settings)
    write_logs(settings, lambda: app.state.backend.release_id)
    config = uvicorn.Config(
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
    server = _Server(config, settings)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(3)  # as uvicorn.run does


class _Server(uvicorn.Server):
    """Says in the shop's folder where it serves, from when it listens until it is told to stop: by a signal it ends
    where nothing behind it runs any more."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings
        self._noted = ExitStack()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._noted.enter_context(noted(self._settings, host, port))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._noted.close()
        await super().shutdown(sockets)
