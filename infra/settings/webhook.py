"""Settings of the webhook that is told of what went wrong at night."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from infra.settings.base import Group

WebhookFormat = Literal["json", "slack", "pagerduty"]


class WebhookSettings(Group):
    """Whom a failed run, a blocked release, a held day and a missed night are told to; nobody where there is no URL."""

    format: WebhookFormat = "json"
    """``slack``: an incoming webhook, which Mattermost and Rocket.Chat have too; ``pagerduty``: its Events API v2;
    ``json``: all that is known, as an object."""
    url: SecretStr | None = None
    """Where it is posted; for PagerDuty ``https://events.pagerduty.com/v2/enqueue``, or that of its EU region."""
    url_file: Path | None = None
    """A file that holds the URL, as secrets are mounted; it is read anew for each message."""
    routing_key: SecretStr | None = None
    """PagerDuty's integration key."""
    routing_key_file: Path | None = None
    """A file that holds it."""
    timeout_seconds: float = Field(5.0, gt=0, le=15)
    """Longest wait for a connection, and for each part of an answer."""

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_http(value.get_secret_value()):
            raise ValueError("a URL that begins with https:// (or http://) and names a host")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> WebhookSettings:
        for name in ("url", "routing_key"):
            if getattr(self, name) and getattr(self, f"{name}_file"):
                raise ValueError(f"set {name} or {name}_file, not both")
        if self.on and self.format == "pagerduty" and not (self.routing_key or self.routing_key_file):
            raise ValueError("format pagerduty needs its routing_key, or routing_key_file")
        return self

    @property
    def on(self) -> bool:
        """Whether anybody is told."""
        return self.url is not None or self.url_file is not None


def is_http(url: str) -> bool:
    """Whether a text is a URL that can be posted to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
