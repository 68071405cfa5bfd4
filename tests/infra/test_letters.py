"""Letters that are the same however they are written."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contract.letters import same_letters

ASCII = st.text(st.characters(max_codepoint=127))
WRITTEN = st.text() | st.text("ＳＯｎｙ１８ﾍﾟﾝペンヽヷ㎒ﬁ™ÅÉéß゛ﾞ가각 -")


@pytest.mark.parametrize(
    ("written", "same"),
    [("ＳＯＮＹ　１８Ｖ", "sony 18v"), ("ﾍﾟﾝ", "ぺん"), ("ペン", "ぺん"), ("㎒", "mhz"), ("ﬁlter", "filter"),
     ("cafe\u0301", "café"), ("Lego™", "lego "), ("ゲームボーイ", "げーむぼーい"), ("バナヽ", "ばなゝ")],
)  # fmt: skip
def test_width_composition_and_kana_are_no_difference(written: str, same: str) -> None:
    assert same_letters(written) == same


@given(ASCII)
def test_plain_text_is_only_put_in_lower_case(text: str) -> None:
    assert same_letters(text) == text.lower()


@given(WRITTEN)
def test_what_is_the_same_stays(text: str) -> None:
    assert same_letters(same_letters(text)) == same_letters(text)


@given(WRITTEN)
def test_no_letter_and_no_digit_is_lost(text: str) -> None:
    def is_letter(c: str) -> bool:
        # a mark of voicing that stands alone is none, though Unicode has its narrow form among the letters
        return c.isalnum() and c not in "ﾞﾟ"

    if any(map(is_letter, text)):
        assert any(map(str.isalnum, same_letters(text)))


@given(st.characters(min_codepoint=0xFF66, max_codepoint=0xFF9D))
def test_narrow_and_wide_katakana_are_one(letter: str) -> None:
    assert same_letters(letter) == same_letters(unicodedata.normalize("NFKC", letter))
