"""What of a catalogue is an identifier: a number or a code that one product has, not a word, a size or a version."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

I64 = NDArray[np.int64]
_UNITS = (
    "ml|cl|dl|fl|oz|floz|kg|mg|mcg|gr|lb|lbs|ft|in|inch|inches|cm|mm|km|yd|yds|mi|qt|gal|pt|kw|kwh|wh|mah|ah|hz|khz|mhz|ghz|"
    "gb|tb|mb|kb|gbps|mbps|px|mp|dpi|ppi|fps|rpm|psi|bar|lm|db|ct|pc|pcs|pk|pack|pair|pairs|count|piece|pieces|ply|"
    "sheet|sheets|th|st|nd|rd|yr|yrs|yo|hr|hrs|min|mins|sec|month|months|day|days|week|weeks|gsm|tc|cal|kcal|deg|way|"
    "er|stk|stuck|liter|litre|zoll|watt|watts|volt|amp|to|and|x"
)
_SIZE = rf"(?:\d+(?:{_UNITS})x?)*\d+(?:{_UNITS}|[acdfghklmnpstvw])?|\p{{L}}+\d+(?:{_UNITS})"
_FEW_DIGITS_FIRST, _WITH_YEAR = r"\d{1,3}\p{L}+", r"\p{L}{3,}(?:19|20)\d\d"
_VERSION, _LONG_VERSION = r"\p{L}{2,}\d{1,2}", r"\p{L}{4,}\d{1,2}"
NO_IDENTIFIER = rf"^(?:{_SIZE}|{_FEW_DIGITS_FIRST}|{_WITH_YEAR}|{_VERSION})$"
"""``500ml``, ``12x16in``, ``4in1``, ``1080p``, ``macbook2019``, ``usb30``: of folded texts with a letter."""
NO_PART = rf"^(?:{_SIZE}|{_WITH_YEAR}|{_LONG_VERSION})$"
"""As above of what may be a part of an identifier, which begins with a few letters or digits more often."""
_MIXED = r"^(?:\p{L}*\d){2,}\p{L}*$"
_NO_PART = re.compile(NO_PART.replace(r"\p{L}", r"[^\W\d_]"))
SHORTEST, LONGEST = 5, 32
"""Characters of an identifier that a title or an attribute says; an item's own id may have any number."""
_BARE_NUMBER, _HYPHENED_NUMBER = r"^\d{6,14}$", r"^(?:\d{10}|\d{12,14})$"
"""Digits alone: a part's number or a GTIN; with hyphens an ISBN or a GTIN, since years and telephones have them too."""
_ROUND = re.compile(r"[1-9]\d?0+$")
_CHUNK_ENDS = r"^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$"
_NEITHER = r"[^\p{L}\p{N}]+"


class Said(NamedTuple):
    """Identifiers and the row of the item that each is of, m of each."""

    row: I64
    key: pa.Array
    """Folded."""


def folded(texts: pa.Array) -> pa.Array:
    """Letters and digits of each text in lower case, which is how identifiers are compared: ``BP-1107/7`` is
    ``bp11077``."""
    if pc.all(pc.string_is_ascii(texts)).as_py() is not False:
        return pc.replace_substring_regex(pc.ascii_lower(texts), "[^a-z0-9]+", "")
    return pc.replace_substring_regex(pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC")), _NEITHER, "")


def folded_text(text: str) -> str:
    """As :func:`folded`, of one text: without a thousandth's wait for a pattern where it is ASCII."""
    return re.sub(r"[\W_]+", "", text.lower()) if text.isascii() else str(folded(pa.array([text]))[0].as_py())


def own_identifiers(catalog: pa.Table) -> Said:
    """The ids of the items of a catalogue and of their variants (``variant_ids``, where there are any)."""
    row = np.arange(len(catalog))
    texts = catalog["item_id"].combine_chunks().cast(pa.string())
    if "variant_ids" in catalog.column_names:
        variants = catalog["variant_ids"].combine_chunks()
        row = np.concatenate([row, pc.list_parent_indices(variants).to_numpy()])
        texts = pa.concat_arrays([texts, pc.list_flatten(variants).cast(pa.string())])
    return _without_empty(Said(row, folded(texts)))


def said_identifiers(catalog: pa.Table) -> Said:
    """What titles and values of attributes have between two spaces that looks like an identifier."""
    found = []
    if "title" in catalog.column_names:
        found.append(_identifiers(np.arange(len(catalog)), catalog["title"].combine_chunks().cast(pa.string())))
    if "attributes" in catalog.column_names:
        attributes = catalog["attributes"].combine_chunks()
        values = pc.list_flatten(attributes).field("value").cast(pa.string())
        found.append(_identifiers(pc.list_parent_indices(attributes).to_numpy(), values))
    if not found:
        return Said(np.zeros(0, dtype=np.int64), pa.array([], pa.string()))
    return Said(np.concatenate([f.row for f in found]), pa.concat_arrays([f.key for f in found]))


def _identifiers(row: I64, texts: pa.Array) -> Said:
    row, texts = _where(_has(texts, r"\d\S*\d"), row, texts)
    chunks = pc.split_pattern_regex(texts, r"[\s,;|()\[\]]+")
    row, chunks = row[pc.list_parent_indices(chunks).to_numpy()], pc.list_flatten(chunks)
    row, chunks = _where(_has(chunks, r"\d.*\d"), row, chunks)
    chunks = pc.replace_substring_regex(chunks, _CHUNK_ENDS, "")
    keys = folded(chunks)
    lengths = pc.utf8_length(keys).to_numpy()
    is_bare = pc.utf8_length(chunks).to_numpy() == lengths
    is_long = (lengths >= SHORTEST) & (lengths <= LONGEST)
    (row, keys), is_bare = _where(is_long, row, keys), is_bare[is_long]
    is_digits = pc.utf8_is_decimal(keys).to_numpy(zero_copy_only=False)
    numbers = _where(is_digits, row, keys)
    is_number = np.where(is_bare[is_digits], _has(numbers[1], _BARE_NUMBER), _has(numbers[1], _HYPHENED_NUMBER))
    codes = _where(~is_digits, row, keys)
    codes = _where(_has(codes[1], _MIXED), *codes)
    codes = _where(~_has(codes[1], NO_IDENTIFIER), *codes)
    numbers = _where(is_number, *numbers)
    return Said(np.concatenate([numbers[0], codes[0]]), pa.concat_arrays([numbers[1], codes[1]]))


def _without_empty(said: Said) -> Said:
    return Said(*_where(pc.utf8_length(said.key).to_numpy() > 0, said.row, said.key))


def _where(keep: NDArray[np.bool_], row: I64, texts: pa.Array) -> tuple[I64, pa.Array]:
    return row[keep].astype(np.int64), texts.filter(pa.array(keep))


def _has(texts: pa.Array, pattern: str) -> NDArray[np.bool_]:
    """Whether each text has the pattern; an absent one has none."""
    return np.asarray(pc.fill_null(pc.match_substring_regex(texts, pattern), False).to_numpy(zero_copy_only=False))


def may_be_part(key: str) -> bool:
    """Whether a folded text may be a part of an identifier, and not a size or a word with its version."""
    if key.isdigit():
        return len(key) >= SHORTEST and not _ROUND.match(key)
    return len(key) >= SHORTEST - 1 and not _NO_PART.match(key)
