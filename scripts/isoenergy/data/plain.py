"""Texts of data sets made safe to draw: no control characters, no stacks of marks, not too long."""

from __future__ import annotations

import unicodedata

# Marks on one letter; scripts of the world need no more.
_MARKS = 2


def plain_text(text: object, limit: int) -> str:
    """One line of visible characters.

    Parameters
    ----------
    text : object
        Anything but a str is an empty text.
    limit : int
        Characters kept; a longer text ends in an ellipsis.

    Returns
    -------
    str
        Without control, formatting (such as those that turn the direction of writing), private
        and unassigned characters; white space of any kind is single spaces.
    """
    if not isinstance(text, str):
        return ""
    kept: list[str] = []
    marks = 0
    # So much is enough for the limit, however much of it is dropped in a text meant to be read.
    for letter in unicodedata.normalize("NFC", text[: 20 * limit]):
        kind = unicodedata.category(letter)[0]
        marks = marks + 1 if kind == "M" else 0
        if letter.isspace():
            kept.append(" ")
        elif kind != "C" and marks <= _MARKS:
            kept.append(letter)
    words = " ".join("".join(kept).split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"
