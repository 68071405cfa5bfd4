"""JSON of other shapes as one document a line: arrays, pretty-printed objects, an object around a list.

The text is cut in blocks at brackets and commas outside texts, in numpy, so that a file of any size streams and a
broken document costs a row and not the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

HEAD_CHARS = 1 << 20
"""How much of a file tells of which kind it is."""
MAX_VALUE_BYTES = 64 * 2**20
_ROW_KEYS = frozenset(
    {"_id", "_index", "_source", "action_name", "asin", "client_id", "event_attributes", "id", "index", "create"}
    | {"item_id", "product_id", "query_attributes", "query_id", "sku", "timestamp", "@timestamp", "user_query"}
)
"""Keys of a document itself: an object that has one before its list is a row with a list, not a list of rows."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]')
_PRETTY_END = ("{", "[", ",", ":")


class JsonListError(ValueError):
    """A list in a JSON file that does not end, or is not the only one; the message says which."""


@dataclass(frozen=True)
class Shape:
    """How documents lie in a JSON text."""

    kind: str
    """``lines``: one a line; ``values``: one after the other; ``list``: elements of a list."""
    start: int = 0
    """Of a list: where its first element begins."""
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
    around = _list_inside(text)
    if around is not None:
        return Shape("list", skipped + around[0], around[1])
    return Shape("lines") if first is not None or not line.rstrip().endswith(_PRETTY_END) else Shape("values")


def _list_inside(text: str) -> tuple[int, str] | None:
    """Where the first element of the first list of objects begins that only objects are around, and its name."""
    keys: list[str] = []
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
            if depth_of_lists == 0 and text[token.end() : token.end() + 200].lstrip()[:1] == "{":
                return token.end(), last
            depth_of_lists += 1
        elif mark == "]":
            depth_of_lists -= 1
        elif mark == ":" and depth_of_lists == 0 and len(keys) == 1 and last in _ROW_KEYS:
            return None
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
        if shape.kind == "list" and ended:
            tail = (tail + text)[:HEAD_CHARS]
            continue
        lines, kept, done = _cut(kept + text.encode(), shape.kind)
        if done:
            ended, tail, kept = True, kept.decode(errors="replace")[:HEAD_CHARS], b""
        if lines:
            yield lines.decode(errors="replace")
        if len(kept) > MAX_VALUE_BYTES:
            raise JsonListError(f"a value in it is over {MAX_VALUE_BYTES:,} bytes long, or a text never ends")
    if not ended or kept.strip():
        raise JsonListError("its list never ends: the file was cut short" if not ended else "its last value never ends")
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
