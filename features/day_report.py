"""What became of a landing day's rows: kept beside the tables, shown in the UI, judged by the checks."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any

from features.bots import Bot
from infra.contract.partitions import write_json
from infra.contract.tables import DAY_TABLES, columns_of
from infra.settings import Settings

VERSION = 7
"""Raised where the same logs give other tables than before: days built by an older version are built again."""
MOST_ROWS = 0.5
"""Share of refused rows above which no bound is to be raised: the log is not read as it was meant."""


@dataclass(frozen=True)
class SourceCounts:
    """Rows of ``ubi_queries`` or of ``ubi_events``: ``rows_in = clean + ignored + refused`` (less ``basket_items``)."""

    rows_in: int
    clean: int
    ignored: int
    refused: int
    action_lines: int
    """Lines of a bulk export that are no rows; not in ``rows_in``."""


@dataclass(frozen=True)
class DayReport:
    """The counts of a day. Rows in + ``basket_items`` = clean + ignored + the sum of the reasons."""

    day: date
    fingerprint: str
    """Hash of what the landing files held that were read."""
    stamps: str
    """Hash of their stamps: where they are the same, their content need not be looked at."""
    files: tuple[str, ...]
    sources: Mapping[str, SourceCounts]
    rows_in: int
    clean: int
    ignored: int
    reasons: Mapping[str, int]
    """Refused rows by reason."""
    examples: Mapping[str, Sequence[str]]
    """Up to five rows of each reason, cut to 300 characters."""
    bad_share: float
    """Refused rows among the clean and the refused ones."""
    held: bool
    kept_previous: bool
    """A held day whose tables are those of its last accepted version."""
    rows_out: Mapping[str, int]
    """Rows of ``requests``, ``impressions`` and ``events`` as this run made them; a held day's are not stored."""
    attribution: Mapping[str, Mapping[str, int]]
    """Action -> how its events were attributed -> count."""
    unknown_actions: Mapping[str, int]
    inputs: str
    """Hash of all that the tables follow from: the files, the settings, the earlier days that were read."""
    output: str | None
    """Hash of the tables of the day that are in use; None where none are."""
    settings: str
    """``settings_hash`` of the run that built or last looked at the day."""
    seconds: float
    aliases: str = ""
    """Hash of the variants' ids that led to products of the tables; see ``variants.aliases_key``."""
    ignored_reasons: Mapping[str, int] = field(default_factory=dict)
    """Rows that were left out though nothing is wrong with them, by why."""
    basket_items: int = 0
    """Events that rows of several items (baskets) gave besides one for each row."""
    rebuilt_requests: Mapping[str, int] = field(default_factory=dict)
    """Requests that no row tells, made of events that carry their text, by how these were told to be of one (see
    ``rebuilt_requests.KINDS``); in no count of rows."""
    named_by_text: int = 0
    """Events without a query id that took one by their text and person."""
    bad_actions: Mapping[str, str] = field(default_factory=dict)
    """Action of which too many rows were refused -> how many, why, and an example."""
    wrong_fields: tuple[str, ...] = ()
    """Which fields are not what they should be, or are named otherwise than they are looked for: a sentence each."""
    bots: Sequence[Bot] = ()
    """The clients that no person can be whose rows were left out, those with the most rows."""
    bot_clients: int = 0
    """How many there are."""
    spared: Sequence[str] = ()
    """Whom a rule for bots would have hit, and why it was not applied."""
    agents: int = 0
    """Rows of queries that carry a user agent."""
    failed_rules: tuple[str, ...] = ()
    """Rules that the day's tables broke, for which they were not published: a sentence each."""
    warnings: tuple[str, ...] = ()
    """What is unusual about the day and holds nothing back: a sentence each."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Counts of the tables that are in use, which later days are compared with; empty where none are."""
    checked: Mapping[str, Any] = field(default_factory=dict)
    """What each rule came to; empty where nothing judged the day."""
    judged: str = ""
    """Hash of what the rules' verdict follows from besides the tables."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """What lies in the day's folder and was not read -> why; names that begin with ``_`` or ``.`` are left alone."""
    encodings: Mapping[str, str] = field(default_factory=dict)
    """Text files that are not UTF-8 -> the encoding that they were read in."""
    incomplete: str = ""
    """What the day lacks, for which it is held; empty where it lacks nothing."""

    @property
    def message(self) -> str:
        """What to know and what to do, in a sentence or two."""
        parts = []
        rest = "its last accepted version stays in use" if self.kept_previous else "nothing of it is used"
        if self.failed_rules:
            parts.append(f"{self.day} is held, {rest}: {'; '.join(self.failed_rules)}. Then run again")
        elif self.incomplete:
            parts.append(f"{self.day} is held, {rest}: {self.incomplete}")
        elif self.held:
            counts = ", ".join(f"{reason} {n:,}" for reason, n in _largest_first(self.reasons))
            setting = "SHELFWISE_RAW__MAX_BAD_ACTION_SHARE" if self.bad_actions else "SHELFWISE_RAW__MAX_BAD_SHARE"
            actions = "".join(f"; {action}: refused {what}" for action, what in self.bad_actions.items())
            wrong = "".join(f"; {sentence}" for sentence in self.wrong_fields)
            bound = f", or raise {setting}," if self.bad_share <= MOST_ROWS else ""
            parts.append(
                f"{self.day} is held: {self.bad_share:.1%} of its rows were refused ({counts}){wrong}{actions}; {rest}."
                f" Mend the files{bound} and run again"
            )
        if self.wrong_fields and (self.failed_rules or self.incomplete or not self.held):
            parts.append(f"{self.day}: {'; '.join(self.wrong_fields)}")
        if self.rebuilt_requests and not self.sources["ubi_queries"].rows_in:
            parts.append(
                f"{self.day} has no row of queries: its {sum(self.rebuilt_requests.values()):,} requests were rebuilt"
                " from events that carry their text. Land its ubi_queries if there are any"
            )
        if self.unknown_actions:
            named = ", ".join(f"{name or '(no name)'} {n:,}" for name, n in _largest_first(self.unknown_actions))
            parts.append(
                f"unknown actions: {named}. Say in shelfwise.toml, under [raw.actions], what each is, such as"
                f' "{next(iter(self.unknown_actions))}" = "ignore" (or impression, click, cart, order)'
            )
        return ". ".join(parts)


def _largest_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def totals(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    """Counts of several days added up, such as their ``reasons``."""
    added = Counter[str]()
    for of_day in counts:
        added.update(of_day)
    return added


def settings_hash(settings: Settings) -> str:
    """Changes with what decides what becomes of a day's rows: settings, the code's version, the tables' columns."""
    columns = [columns_of(schema) for schema in DAY_TABLES.values()]
    content = [VERSION, settings.raw.model_dump(mode="json"), settings.checks.model_dump(mode="json"), columns]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def report_path(settings: Settings, day: date) -> Path:
    """Where the report of a day lies; it is there exactly where the day was built to its end."""
    return settings.paths.reports / "sessions" / f"{day.isoformat()}.json"


def write_report(settings: Settings, report: DayReport) -> None:
    """Replace the report of a day."""
    write_json(report_path(settings, report.day), written_report(report))


def written_report(report: DayReport) -> dict[str, Any]:
    """A report as it is kept: its columns and its message."""
    return asdict(report) | {"message": report.message}


def read_report(settings: Settings, day: date) -> DayReport | None:
    """The report of a day; None where the day was not built, not to its end, or by another version of Shelfwise."""
    path = report_path(settings, day)
    return report_from(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def report_from(stored: Mapping[str, Any]) -> DayReport | None:
    """What ``written_report`` gave; None where another version of Shelfwise did."""
    names = {column.name for column in fields(DayReport)}
    if not names <= stored.keys():
        return None
    values = {name: stored[name] for name in names}
    values["day"] = date.fromisoformat(values["day"])
    for name in ("files", "failed_rules", "warnings", "spared", "wrong_fields"):
        values[name] = tuple(values[name])
    values["bots"] = tuple(Bot(**bot) for bot in values["bots"])
    values["sources"] = {name: SourceCounts(**counts) for name, counts in values["sources"].items()}
    return DayReport(**values)


def built_days(settings: Settings) -> list[date]:
    """The days that have a report, held ones included, in order."""
    paths = (settings.paths.reports / "sessions").glob("*.json")
    return sorted(date.fromisoformat(path.stem) for path in paths if not path.name.startswith("."))
