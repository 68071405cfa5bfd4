"""Measures in texts, which people write together and apart: ``18 V``, ``18-V``, ``18 Volt`` and ``18V``.

Both sides get words beside those that are written, never in place of them. A query is asked by all ways of writing its
measures. An item gets one where it would have none: an index has no words of one letter, so that it would have nothing
of ``9 V``. More words would make items long for BM25, which costs more than it finds.
"""

from __future__ import annotations

import re
from functools import lru_cache

_WRITTEN = {
    **{"mm": "mm|millimet(?:er|re)s?", "cm": "cm|[cz]entimet(?:er|re)s?", "m": "m|met(?:er|re)s?", "km": "km"},
    **{"in": r"""in|inch(?:es)?|zoll|["″]|''""", "ft": "ft|feet|foot", "yd": "yds?|yards?"},
    **{"ml": "ml|millilit(?:er|re)s?", "cl": "cl", "dl": "dl", "l": "l|ltr|lit(?:er|re)s?", "floz": r"fl\.? ?oz"},
    **{"mg": "mg", "g": "g|gr|grams?|gramm", "kg": "kgs?|kilos?|kilograms?|kilogramm", "oz": "oz|ounces?"},
    **{"lb": "lbs?|pounds?", "v": "v|volts?", "w": "w|watts?", "kw": "kw", "wh": "wh", "kwh": "kwh"},
    **{"a": "a|amps?|amperes?", "ah": "ah", "mah": "mah", "hz": "hz|hertz", "khz": "khz", "mhz": "mhz", "ghz": "ghz"},
    **{"kb": "kb", "mb": "mb", "gb": "gb", "tb": "tb", "mp": "mp", "px": "px", "k": "k", "lm": "lm|lumens?"},
    **{"db": "db", "bar": "bar", "psi": "psi", "nm": "nm", "rpm": "rpm", "dpi": "dpi", "fps": "fps"},
    **{"pk": "pk|packs?", "pc": "pcs?|pieces?|stk|stück|stuks|st", "ct": "ct|count"},
}
"""Unit -> how it is written, in lower case."""
_UNITS = {unit: re.compile(written) for unit, written in _WRITTEN.items()}
_DIGITS = r"\d+(?:[.,/]\d+)?"
_UNIT = rf"(?:[ -]?({'|'.join(_WRITTEN.values())})(?:(?![^\W_])|(?=[x×*]\d)|(?<=[\"″'])))?"
_PART = re.compile(rf"({_DIGITS}){_UNIT}")
_NUMBER = _DIGITS + _UNIT.replace("]?(", "]?(?:", 1)
_MEASURE = re.compile(rf"(?<![\w.,/])[a-z]?{_NUMBER}(?: ?[x×*] ?{_NUMBER})*(?![^\W_])")
_DIGIT, _WORD, _PIECE = re.compile(r"\d"), re.compile(r"\w+"), re.compile(r"\d+|[^\W\d_]+")
_POINTS = str.maketrans({"/": "__", ",": "_", ".": "_"})


def item_text(text: str) -> str:
    """An item's text in lower case, with the measures that have no word of two letters as one word behind them."""
    return _MEASURE.sub(_with_lacking, text) if _DIGIT.search(text) else text


def query_text(text: str) -> str:
    """A query's text in lower case, with the other ways of writing its measures behind them."""
    return _MEASURE.sub(_with_all, text) if _DIGIT.search(text) else text


def _with_lacking(found: re.Match[str]) -> str:
    written, words = found[0], _WORD.findall(found[0])
    joined = _joined(written)
    return " ".join([written, *joined[:1]]) if max(map(len, words)) == 1 else written


def _with_all(found: re.Match[str]) -> str:
    written, words = found[0], _WORD.findall(found[0])
    if not (joined := _joined(written)):
        return written
    ways = dict.fromkeys([*joined, *_PIECE.findall(written)])
    return " ".join([written, *(word for word in ways if word not in words)])


def _joined(written: str) -> list[str]:
    """A measure as one word, of several numbers (``6x40mm``) without its unit as well; nothing of what is none."""
    parts = [(number.translate(_POINTS), _unit(unit)) for number, unit in _PART.findall(written)]
    prefix = "" if written[0].isdigit() else written[0]
    last = parts[-1][1]
    if len(parts) == 1:
        return [] if prefix or not last else [parts[0][0] + last]
    bare = prefix + "x".join(number + (unit if unit != last else "") for number, unit in parts)
    return list(dict.fromkeys([bare + last, bare]))


@lru_cache(maxsize=1 << 10)
def _unit(written: str) -> str:
    return next((unit for unit, pattern in _UNITS.items() if pattern.fullmatch(written)), "")
