"""Posting to the webhook."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import SecretStr

from infra.settings import WebhookSettings
from infra.settings.webhook import is_http
from orchestration.night.messages import message
from orchestration.night.notices import Notice

WAITS = (0.5, 2.0)
"""Seconds before a second and a third attempt, for what passes in a moment; what does not is the outbox's."""


class WebhookError(RuntimeError):
    """The webhook did not take a message; the sentence says why, without the URL, which is a secret."""


class WebhookDownError(WebhookError):
    """It takes nothing at the moment: another attempt may mend it."""


class _NoRedirects(HTTPRedirectHandler):
    """A redirected POST arrives as a GET without its body, and would count as told."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str) -> None:
        return None


_opener = build_opener(_NoRedirects)


def tell(settings: WebhookSettings, notice: Notice) -> None:
    """Post a notice, three times at most.

    Raises:
        WebhookError: it was not taken.
    """
    url = _secret(settings.url, settings.url_file, "webhook.url")
    if not is_http(url):
        raise WebhookError(f"what {settings.url_file} holds is no URL: write https://...")
    key = (
        _secret(settings.routing_key, settings.routing_key_file, "webhook.routing_key")
        if settings.format == "pagerduty"
        else ""
    )
    body = message(notice, settings.format, key)
    for wait in WAITS:
        try:
            return _post(url, body, settings.timeout_seconds)
        except WebhookDownError:
            time.sleep(wait)
    _post(url, body, settings.timeout_seconds)


def _post(url: str, body: Mapping[str, Any], timeout_s: float) -> None:
    host = urlsplit(url).hostname
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", "User-Agent": "shelfwise"})
    try:
        with _opener.open(request, timeout=timeout_s):
            return
    except HTTPError as error:
        with error:
            told = f"the webhook at {host} answered {error.code}"
            if error.code >= 500 or error.code == 429:
                raise WebhookDownError(told) from None
            raise WebhookError(f"{told}: is its URL or key right?") from None
    except (OSError, HTTPException, ValueError) as error:
        # The error's own text may hold the URL.
        reason = getattr(error, "reason", error)
        raise WebhookDownError(f"the webhook at {host} cannot be reached: {type(reason).__name__}") from None


def _secret(value: SecretStr | None, file: Path | None, name: str) -> str:
    if value is not None:
        return value.get_secret_value()
    if file is None:
        raise WebhookError(f"{name} is not set")
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WebhookError(f"{name}_file={file} cannot be read: {type(error).__name__}") from None
