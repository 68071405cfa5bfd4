"""JSON of other shapes as one document a line: arrays, pretty-printed objects, an object around a list or keyed by id.

The text is cut in blocks at brackets and commas outside texts, in numpy, so that a file of any size streams and a
broken document costs a row and not the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from features.catalog_aliases import ALIASES

HEAD_CHARS = 1 << 20
"""How much of a file tells of which kind it is."""
MAX_VALUE_BYTES = 64 * 2**20
_ROW_KEYS = frozenset(
    {"_id", "_index", "_source", "action_name", "asin", "client_id", "event_attributes", "id", "index", "create"}
    | {"item_id", "product_id", "query_attributes", "query_id", "sku", "timestamp", "@timestamp", "user_query"}
    | {"action", "event", "event_name", "eventName", "event_type", "price", "session_id", "sessionId", "ts", "user_id"}
)
"""Keys of a document itself: an object that has one before its list is a row with a list, not a list of rows."""
_LISTS_OF_ROWS = frozenset(
    {"articles", "artikel", "catalog", "catalogue", "data", "docs", "documents", "entries", "events", "goods", "hits"}
    | {"items", "list", "nodes", "objects", "productlist", "products", "produkte", "queries", "records", "results"}
    | {"rows", "productos", "produits", "response", "payload", "content"}
)
"""Names under which whole catalogues and logs lie, also beside a name or title of their own."""
_LISTS_IN_ROWS = frozenset(
    {"additionalproperty", "attributes", "attrs", "breadcrumbs", "categories", "category", "colors", "features"}
    | {"hasvariant", "images", "inventory", "keywords", "labels", "media", "metafields", "offers", "options", "photos"}
    | {"pictures", "prices", "properties", "related", "reviews", "sizes", "specifications", "specs", "stock", "tags"}
    | {"translations", "variants", "variations", "values"}
)
"""Names of lists that a row has: what is in them is no row."""
MOST_TITLED = 0.8
"""Share of the values keyed by ids that have a title, a text or a price."""
_SAMPLE = 50
"""Rows keyed by id that are looked at."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]')
_PRETTY_END = ("{", "[", ",", ":")
_MEMBER = re.compile(r'^[ \t]*("(?:[^"\\]|\\.)*")[ \t]*:[ \t]*(\{.*\})[ \t]*$', re.MULTILINE)


def _spelt(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.casefold())


_TITLES = frozenset(_spelt(name) for name in ALIASES["title"]) | {"handle"}
_TEXTS = _TITLES | {_spelt(name) for field in ("description", "price") for name in ALIASES[field]}
_NO_IDS = (
    _TEXTS | _LISTS_OF_ROWS | _LISTS_IN_ROWS | {"user", "customer", "client", "session", "item", "product", "search"}
    | {"query", "event", "context", "device", "brand", "shop"}
)  # fmt: skip
"""Names that no item is keyed by."""


class JsonListError(ValueError):
    """A list in a JSON file that does not end, or is not the only one; the message says which."""


@dataclass(frozen=True)
class Shape:
    """How documents lie in a JSON text."""

    kind: str
    """``lines``: one a line; ``values``: one after the other; ``list``: elements of a list; ``members``: the values of
    an object, their keys being their ids."""
    start: int = 0
    """Of a list or members: where the first begins."""
    name: str = ""


def shape_of(head: str) -> Shape:
    """Tell the shape from the first ``HEAD_CHARS`` of a text."""
    text = head.lstrip()
    skipped = len(head) - len(text)
    line, _, rest = text.partition("\n")
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        following = rest.lstrip()[:1]
        if not (line.rstrip().endswith(_PRETTY_END) or following in ("}", "]", ",") or not rest.strip()):
            return Shape("lines")
        first = None
    if isinstance(first, dict) and rest.strip():
        return Shape("lines")
    if text.startswith("["):
        holds_rows = first is None or all(isinstance(element, dict) for element in first)
        return Shape("list", skipped + 1) if holds_rows else Shape("lines")
    if not text.startswith("{"):
        return Shape("lines")
    for kind, find in (("members", _members_inside), ("list", _list_inside)):
        if (around := find(text)) is not None:
            return Shape(kind, skipped + around[0], around[1])
    return Shape("lines") if first is not None or not line.rstrip().endswith(_PRETTY_END) else Shape("values")


def _members(text: str, start: int) -> Iterator[tuple[str, str, int]]:
    """The members of the object that begins at ``start``: name, first letter of the value, where the value begins."""
    depth = 0
    last = ""
    for token in _TOKEN.finditer(text, start):
        mark = token.group()
        if mark in "{[":
            depth += 1
        elif mark in "}]":
            depth -= 1
            if depth == 0:
                return
        elif mark == ":" and depth == 1:
            after = text[token.end() : token.end() + 200]
            value = token.end() + len(after) - len(after.lstrip())
            yield last, text[value : value + 1], value
        elif mark[0] == '"' and depth == 1:
            last = mark[1:-1]


def _members_inside(text: str, start: int = 0, name: str = "") -> tuple[int, str] | None:
    """Where the members of an object of rows begin, which the object at ``start`` is or holds, and its name."""
    members = list(islice(_members(text, start), _SAMPLE))
    names = {_spelt(key) for key, _, _ in members}
    if any(key in _ROW_KEYS for key, _, _ in members):
        return None
    if len(members) > 1 and not names & _NO_IDS and all(mark == "{" for _, mark, _ in members):
        inside = [{_spelt(key) for key, _, _ in islice(_members(text, at), _SAMPLE)} for _, _, at in members]
        said = [bool(keys & _TEXTS) for keys in inside if keys]
        if len(said) > 1 and sum(said) >= MOST_TITLED * len(said):
            return start + 1, name
    held = [(key, at) for key, mark, at in members if mark == "{" and _spelt(key) in _LISTS_OF_ROWS]
    return next(filter(None, (_members_inside(text, at, key) for key, at in held)), None)


def _list_inside(text: str) -> tuple[int, str] | None:
    """Where the first element of the first list of rows begins that only objects are around, and its name."""
    keys: list[str] = []
    titled = False
    depth_of_lists = 0
    last = ""
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark == "{" and depth_of_lists == 0:
            keys.append(last)
        elif mark == "}" and depth_of_lists == 0:
            keys.pop()
            if not keys:
                return None
        elif mark == "[":
            name = _spelt(last)
            holds_rows = name in _LISTS_OF_ROWS or not (titled or name in _LISTS_IN_ROWS)
            if depth_of_lists == 0 and holds_rows and text[token.end() : token.end() + 200].lstrip()[:1] == "{":
                return token.end(), last
            depth_of_lists += 1
        elif mark == "]":
            depth_of_lists -= 1
        elif mark == ":" and depth_of_lists == 0 and len(keys) == 1:
            if last in _ROW_KEYS:
                return None
            titled |= _spelt(last) in _TITLES and text[token.end() : token.end() + 200].lstrip()[:1] not in "{["
        elif mark[0] == '"':
            last = mark[1:-1]
    return None


def document_lines(blocks: Iterable[str], shape: Shape) -> Iterator[str]:
    """Blocks of text, each of whole documents with a line for each.

    Raises:
        JsonListError: The list never ends (a file cut short), a value is over ``MAX_VALUE_BYTES``, or after the list
            comes another list of objects.
    """
    kept = b""
    skip = shape.start
    ended = shape.kind == "values"
    tail = ""
    for block in blocks:
        text = block[skip:]
        skip = max(0, skip - len(block))
        if shape.kind in ("list", "members") and ended:
            tail = (tail + text)[:HEAD_CHARS]
            continue
        lines, kept, done = _cut(kept + text.encode(), shape.kind)
        if done:
            ended, tail, kept = True, kept.decode(errors="replace")[:HEAD_CHARS], b""
        if lines:
            told = lines.decode(errors="replace")
            yield _MEMBER.sub(r'{"_id": \1, "_source": \2}', told) if shape.kind == "members" else told
        if len(kept) > MAX_VALUE_BYTES:
            raise JsonListError(f"a value in it is over {MAX_VALUE_BYTES:,} bytes long, or a text never ends")
    if not ended or kept.strip():
        raise JsonListError(
            f"its {'list' if shape.kind == 'list' else 'object'} never ends: the file was cut short"
            if not ended
            else "its last value never ends"
        )
    if another := re.search(r'"([^"]*)"\s*:\s*\[\s*\{', tail):
        raise JsonListError(
            f"it holds more than one list, {shape.name or 'the first'} and {another.group(1)}: land each as a file"
        )


def _cut(text: bytes, kind: str) -> tuple[bytes, bytes, bool]:
    """The whole values of a text that begins between two, a line each; what is left; whether the list ended."""
    raw = np.frombuffer(text, np.uint8).copy()
    raw[(raw == ord("\n")) | (raw == ord("\r"))] = ord(" ")
    quote = raw == ord('"')
    if b"\\" in text:
        place = np.arange(len(raw), dtype=np.int32)
        plain = np.maximum.accumulate(np.where(raw != ord("\\"), place, -1))
        before = np.concatenate([[0], place[:-1] - plain[:-1]])  # backslashes that stand right before
        quote &= before % 2 == 0
    outside = np.cumsum(quote, dtype=np.int32) % 2 == 0
    opens = outside & ((raw == ord("[")) | (raw == ord("{")))
    closes = outside & ((raw == ord("]")) | (raw == ord("}")))
    depth = np.cumsum(opens.astype(np.int8) - closes.astype(np.int8), dtype=np.int32)
    if kind == "values":
        ends = np.flatnonzero(closes & (depth == 0)) + 1
        if not len(ends):
            return b"", text, False
        return np.insert(raw[: ends[-1]], ends, ord("\n")).tobytes(), text[ends[-1] :], False
    over = np.flatnonzero(closes & (depth < 0))
    stop = int(over[0]) if len(over) else len(raw)
    commas = np.flatnonzero(outside[:stop] & (raw[:stop] == ord(",")) & (depth[:stop] == 0))
    raw[commas] = ord("\n")
    if len(over):
        return raw[:stop].tobytes(), text[stop + 1 :], True
    last = int(commas[-1]) + 1 if len(commas) else 0
    return raw[:last].tobytes(), text[last:], False
