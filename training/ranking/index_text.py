"""A text as an index reads it, of queries as of items: letters and measures that are written in several ways in one.

``18 V``, ``18-V``, ``18 Volt`` and ``18V`` are one word, and so are ``6 x 40 mm``, ``6x40mm`` and ``6mm × 40mm``. Items
keep the words as they are written as well, so that a number alone finds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from infra.contract.letters import same_letters

AT_ONCE = 10_000
"""Texts that are read as one."""
UNITS = {
    **{"mm": "mm|millimet(?:er|re)s?", "cm": "cm|[cz]entimet(?:er|re)s?", "m": "m|met(?:er|re)s?", "km": "km"},
    **{"in": r"""in(?![ -]?\d)|inch(?:es)?|zoll|["″]|''""", "ft": "ft|feet|foot", "yd": "yds?|yards?"},
    **{"ml": "ml|millilit(?:er|re)s?", "cl": "cl", "dl": "dl", "l": "l|ltr|lit(?:er|re)s?", "floz": r"fl\.? ?oz"},
    **{"mg": "mg", "g": "g|gr|grams?|gramm", "kg": "kgs?|kilos?|kilograms?|kilogramm", "oz": "oz|ounces?"},
    **{"lb": "lbs?|pounds?", "v": "v|volts?", "w": "w|watts?", "kw": "kw", "wh": "wh", "kwh": "kwh"},
    **{"a": "a|amps?|amperes?", "ah": "ah", "mah": "mah", "hz": "hz|hertz", "khz": "khz", "mhz": "mhz", "ghz": "ghz"},
    **{"kb": "kb", "mb": "mb", "gb": "gb", "tb": "tb", "mp": "mp", "px": "px", "k": "k", "lm": "lm|lumens?"},
    **{"db": "db", "bar": "bar", "psi": "psi", "nm": "nm", "rpm": "rpm", "dpi": "dpi", "fps": "fps"},
    **{"pk": "pk|packs?", "pc": "pcs?|pieces?|stk|stück|stuks|st", "ct": "ct|count"},
}
"""Unit -> how it is written, in lower case."""
_KINDS = [(unit, re.compile(written)) for unit, written in UNITS.items()]
_UNIT = rf"(?:[ -]?({'|'.join(UNITS.values())})(?:(?![^\W_])|(?=[x×*]\d)|(?<=[\"″'])))?"
_PART = re.compile(rf"(\d+(?:[.,/]\d+)?){_UNIT}")
_NUMBER = _PART.pattern.replace("(\\d", "(?:\\d", 1).replace("]?(", "]?(?:", 1)
_MEASURE = re.compile(rf"(?<![\w.,/])[a-z]?{_NUMBER}(?: ?[x×*] ?{_NUMBER})*(?![^\W_])")
_CANONICAL = re.compile(rf"([a-z]?\d[\d_]*(?:x\d[\d_]*)*)(?:{'|'.join(UNITS)})?$")
_SEVERAL_DIGITS, _WORD = re.compile(r"\d\d+"), re.compile(r"\b\w\w+\b")


def query_text(text: str) -> str:
    """A query's text in lower case, each measure as one word."""
    return _MEASURE.sub(lambda found: _words(found[0])[0], same_letters(text.lower()))


def item_texts(texts: Sequence[str]) -> Iterator[str]:
    """The texts of items in lower case, after each measure the other words that it is found by."""
    for start in range(0, len(texts), AT_ONCE):
        whole = "\0".join(text.replace("\0", " ") for text in texts[start : start + AT_ONCE])
        yield from _MEASURE.sub(_with_words, same_letters(whole.lower())).split("\0")


def looser(word: str) -> list[str]:
    """What a measure of :func:`query_text` may be searched by where no item has it: without its unit, then its
    numbers."""
    found = _CANONICAL.match(word)
    return [found[1], *_SEVERAL_DIGITS.findall(word)] if found else []


def _with_words(found: re.Match[str]) -> str:
    written = found[0]
    words = _words(written)
    if len(words) == 1 and words[0] == written:
        return written
    there = set(_WORD.findall(written))
    return " ".join([written, *(word for word in dict.fromkeys(words) if word not in there)])


def _words(written: str) -> list[str]:
    """What a measure is as one word, and further words that it is found by: without its unit, its last number with it,
    its numbers; what is none as it is."""
    parts = [(number.replace("/", "__").replace(",", "_").replace(".", "_"), _unit(unit))
             for number, unit in _PART.findall(written)]  # fmt: skip
    (*_, (last, unit)) = parts
    prefix = "" if written[0].isdigit() else written[0]
    if len(parts) == 1 and (prefix or not unit):
        return [written]
    bare = prefix + "x".join(number + (of if of != unit else "") for number, of in parts)
    several = [] if len(parts) == 1 else [bare, last + unit]
    return [bare + unit, *several, *_SEVERAL_DIGITS.findall(written)]


@lru_cache(maxsize=1 << 10)
def _unit(written: str) -> str:
    return next((unit for unit, pattern in _KINDS if pattern.fullmatch(written)), "")
