"""A notice as each kind of receiver takes it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC
from typing import Any

from infra.settings import WebhookFormat
from orchestration.night.notices import Notice

LONGEST = 1_000
"""Characters of a sentence; PagerDuty cuts a summary at 1,024, Slack hides a text of more than some lines."""
SEVERITY = {"failed_run": "error", "blocked_release": "warning", "held_day": "warning", "missed_night": "error"}
"""By kind, in PagerDuty's words: live still answers in each of them, so none is critical."""


def message(notice: Notice, format: WebhookFormat, routing_key: str = "") -> dict[str, Any]:
    """The body that is posted, as JSON."""
    made = {"json": _json, "slack": _slack}
    return _pagerduty(notice, routing_key) if format == "pagerduty" else made[format](notice)


def _json(notice: Notice) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(notice).items() if value is not None}
    return fields | {"at": _time(notice), "severity": SEVERITY[notice.kind]}


def _slack(notice: Notice) -> dict[str, Any]:
    """https://docs.slack.dev/messaging/formatting-message-text: &, < and > are escaped, nothing else."""
    shop, sentence, command = (_escaped(text) for text in (notice.shop, _cut(notice.sentence), notice.command))
    return {"text": f"*{shop}*: {notice.kind.replace('_', ' ')}. {sentence}\n`{command}`"}


def _pagerduty(notice: Notice, routing_key: str) -> dict[str, Any]:
    """https://developer.pagerduty.com/docs/events-api-v2/trigger-events/."""
    return {
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": f"shelfwise/{notice.shop}/{notice.key}"[:255],
        "payload": {
            "summary": _cut(notice.sentence),
            "source": notice.shop,
            "severity": SEVERITY[notice.kind],
            "timestamp": _time(notice),
            "component": "shelfwise",
            "group": notice.shop,
            "class": notice.kind,
            "custom_details": _json(notice),
        },
    }


def _time(notice: Notice) -> str:
    return notice.at.astimezone(UTC).isoformat(timespec="seconds")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
