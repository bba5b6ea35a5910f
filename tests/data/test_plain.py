import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoenergy.data.plain import plain_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  two\tlines\r\nof  text\u2028", "two lines of text"),
        ("a\x00b\x1b[31mc\x7f", "ab[31mc"),
        ("safe \u202egnp.exe\u202c \u2066x\u2069", "safe gnp.exe x"),
        ("soft\u00adhyphen \u200bzero\ufeff", "softhyphen zero"),
        ("\ud800 \ue000 \U000e0041 ok", "ok"),
        ("$x^2$ costs \\$5", "$x^2$ costs \\$5"),
        ("e\u0301te\u0301", "été"),
        ("z" + "\u0335" * 50 + "!", "z\u0335\u0335!"),
        ("", ""),
        (None, ""),
        (float("nan"), ""),
        (b"bytes", ""),
    ],
)
def test_what_cannot_be_seen_or_does_harm_is_dropped(text, expected):
    assert plain_text(text, 80) == expected


def test_a_long_text_is_cut_and_says_so():
    assert plain_text("abcdefgh", 8) == "abcdefgh"
    assert plain_text("abcdefghi", 8) == "abcdefg…"
    assert plain_text("abcdef hi", 8) == "abcdef…"
    assert len(plain_text("x" * 10**6, 200)) == 200


@given(st.text(), st.integers(2, 50))
def test_every_text_becomes_one_short_line_of_visible_letters(text, limit):
    plain = plain_text(text, limit)
    assert len(plain) <= limit
    assert plain == " ".join(plain.split())
    assert all(letter == " " or unicodedata.category(letter)[0] not in "CZ" for letter in plain)
