"""What the name of a landed file says: its format, and whether it is of the log or a catalogue."""

from __future__ import annotations

import re

FORMATS = {
    **{"parquet": "parquet", "pq": "parquet", "csv": "csv", "tsv": "csv"},
    **{"ndjson": "json", "jsonl": "json", "json": "json"},
}
PACKED = ("gz", "zst", "zstd", "bz2")
READ = "parquet, csv, tsv, ndjson, jsonl or json, the texts also with .gz, .zst or .bz2"
_PARTS = frozenset(["snappy", "c000"])
_TEXTS = frozenset(["txt", "log"])
_CATALOG_WORDS = ("catalog", "catalogue", "product", "item")
CATALOG_INDEXES = (*_CATALOG_WORDS, "article", "goods", "sku")
"""What the name of a search engine's index of a catalogue holds."""
_NO_CATALOG = frozenset(
    {"basket", "baskets", "cart", "carts", "click", "clicks", "event", "events", "log"}
    | {"logs", "order", "orders", "purchase", "purchases", "queries", "query", "recommendation", "recommendations"}
    | {"review", "reviews", "search", "searches", "sessions", "similar", "sold", "ubi", "user"}
    | {"users", "view", "views"}
)


def _endings(name: str) -> list[str]:
    return name.rsplit("/", 1)[-1].lower().split(".")[1:]


def format_in(name: str) -> str | None:
    """``parquet``, ``csv`` or ``json`` as a file's name says; None where it does not."""
    return next((FORMATS[e] for e in reversed(_endings(name)) if e in FORMATS), None)


def why_unread(name: str) -> str | None:
    """Why a file of this name cannot be read; None where it can, or where its content must tell."""
    endings = _endings(name)
    kind = format_in(name)
    if kind == "parquet" and endings[-1] in PACKED:
        return "Parquet is packed inside: land it unpacked"
    if kind is not None and endings[-1] in (*FORMATS, *PACKED):
        return None
    foreign = [
        e for e in endings if re.fullmatch(r"[a-z]+\w{0,5}", e) and e not in (*FORMATS, *PACKED, *_PARTS, *_TEXTS)
    ]
    return f".{foreign[-1]} is not read: land it as {READ}" if foreign else None


def log_source(name: str) -> str | None:
    """``ubi_queries`` or ``ubi_events`` as a path under a day's folder says; None where it says neither, or both."""
    for part in name.lower().split("/"):
        words = set(re.split(r"[^a-z]+", part))
        queries, events = bool(words & {"queries", "query"}), bool(words & {"events", "event"})
        if queries != events:
            return "ubi_queries" if queries else "ubi_events"
        if queries:
            return None
    return None


def is_catalog(name: str) -> bool:
    """Whether a file or folder of this name is a catalogue: ``catalog.csv``, ``products_export_1.csv``, ..."""
    words = set(re.split(r"[^a-z]+", name.lower().split(".", 1)[0]))
    return any({word, f"{word}s"} & words for word in _CATALOG_WORDS) and not words & _NO_CATALOG


def version_in(name: str) -> str | None:
    """The date that a catalogue's name carries, as digits; None where it carries none."""
    found = re.search(r"(20\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)(?:[-_T]?(\d{6}))?", name)
    return "".join(part or "" for part in found.groups()) if found else None


def is_hidden(name: str) -> bool:
    """Whether a path is of those that writers leave for themselves: ``_SUCCESS``, ``.part.crc``."""
    return any(part.startswith((".", "_")) for part in name.split("/"))


def day_for(name: str) -> str | None:
    """The name that a folder should have which is nearly that of a day; None where it is not near."""
    found = re.fullmatch(r"(?:(?:dt|date|day|ds)[=_-]?)?(\d{4})[-_./]?(\d{1,2})[-_./]?(\d{1,2})", name, re.IGNORECASE)
    if not found:
        return None
    year, month, day = (int(part) for part in found.groups())
    return f"dt={year:04d}-{month:02d}-{day:02d}" if 1 <= month <= 12 and 1 <= day <= 31 else None
