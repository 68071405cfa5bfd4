"""Letters that are the same but for how they are written: by width, by composition, in one kana or the other."""

from __future__ import annotations

import unicodedata

_KATAKANA = {point: point - 0x60 for point in range(0x30A1, 0x30F7)}
"""Each letter of katakana that hiragana has, as this."""
_MARKS = {ord(mark): " " for mark in "™℠"}
"""Would become letters of the word before them."""


def same_letters(text: str) -> str:
    """The text in NFKC, katakana as hiragana: ``ＳＯＮＹ`` is ``SONY``, ``ﾍﾟﾝ`` and ``ペン`` are ``ぺん``.

    An ASCII NUL stays between what it separates, so that many texts are written so at once.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", text.translate(_MARKS)).translate(_KATAKANA)
