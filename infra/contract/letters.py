"""Letters that are the same but for how they are written: by width, by composition, in one kana or the other."""

from __future__ import annotations

import unicodedata

_KATAKANA = {point: point - 0x60 for point in (*range(0x30A1, 0x30F7), 0x30FD, 0x30FE)}
"""Each letter of katakana that hiragana has, as this."""
_MARKS = {ord(mark): " " for mark in "™℠"}
"""Would become letters of the word before them."""


def same_letters(text: str) -> str:
    """The text in lower case and NFKC, katakana as hiragana: ``ＳＯＮＹ`` is ``sony``, ``ﾍﾟﾝ`` and ``ペン`` ``ぺん``."""
    if text.isascii():
        return text.lower()
    # once more: of ``㎒`` the letters are capitals
    return unicodedata.normalize("NFKC", text.translate(_MARKS).lower()).lower().translate(_KATAKANA)
