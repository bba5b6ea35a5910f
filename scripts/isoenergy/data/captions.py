"""A small grammar that puts scenes into words: captions, class prompts and relative captions.

Text-only factors (phrasing, tail, adjective) choose the wording; shared factors fill it in, each
left out now and then as real captions do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isoenergy.data.factors import BY_NAME, SHARED

# How often a caption tells a shared factor; like real captions, ours leave much unsaid.
MENTION_PROBABILITY: Mapping[str, float] = {
    "shape": 1.0,
    "colour": 1.0,
    "size": 0.55,
    "place": 0.55,
    "background": 0.55,
    "texture": 0.55,
}


@dataclass(frozen=True)
class Phrasing:
    """One way to word a scene: what opens it, how it names place and background, in what order."""

    opener: str
    place: str
    background: str
    order: str  # of o(bject), p(lace), b(ackground)


# The wordings of the training sets and, apart from them, those of the shifted set.
PHRASINGS = {
    "plain": (
        Phrasing("a photo of", "in the {}", "on a {} background", "opb"),
        Phrasing("there is", "at the {}", "and the background is {}", "opb"),
        Phrasing("", "placed {}", "over {}", "opb"),
        Phrasing("picture showing", "in the {} part", "against {}", "obp"),
        Phrasing("we see", "towards the {}", "in front of {}", "obp"),
        Phrasing("graphic with", "{} of the frame", "{} backdrop,", "bop"),
        Phrasing("illustration :", "position {}", "background {}", "opb"),
        Phrasing("look at", "located {}", "set on {}", "pob"),
    ),
    "other": (
        Phrasing("an image of", "sitting {}", "with {} behind it", "opb"),
        Phrasing("this shows", "near the {}", "on {}", "obp"),
        Phrasing("drawing of", "{} area", "{} ground", "pob"),
        Phrasing("you can find", "by the {}", "upon a {} surface", "opb"),
        Phrasing("just", "{}", "{} canvas", "opb"),
        Phrasing("design with", "on the {} side", "on {} colour", "bop"),
        Phrasing("pictured is", "in {} position", "{} all around", "opb"),
        Phrasing("snapshot of", "at {}", "behind it {}", "opb"),
    ),
}
TEMPLATES = (
    "a photo of a {}.",
    "a bad photo of a {}.",
    "a picture of a {}.",
    "picture showing a {}.",
    "there is a {}.",
    "we see a {}.",
    "look at a {}.",
    "a photo of a small {}.",
    "a photo of a medium {}.",
    "a photo of a large {}.",
    "a photo of a plain {}.",
    "a photo of a striped {}.",
    "a photo of a dotted {}.",
    "a photo of a chequered {}.",
    "a {} in the top.",
    "a {} in the centre.",
    "a {} in the bottom.",
    "a {} in the left.",
    "a {} in the right.",
    "a {} on a white background.",
    "a {} on a black background.",
    "a {} on a grey background.",
    "graphic with a {}.",
    "illustration : a {}.",
    "a {} stock photo.",
    "a lovely {}.",
    "a simple {}.",
    "a modern {}.",
)


def _word(name: str, code: int) -> str:
    return BY_NAME[name].values[code]


def caption(
    scene: Mapping[str, int], mentioned: Mapping[str, bool], phrasings: Sequence[Phrasing]
) -> str:
    """Word one scene.

    Parameters
    ----------
    scene : mapping of str to int
        Codes of the shared and text-only factors.
    mentioned : mapping of str to bool
        Which shared factors the caption tells.
    phrasings : sequence of Phrasing
        The wordings that the ``phrasing`` factor chooses from.

    Returns
    -------
    str
        Lower case, words separated by single spaces.
    """
    phrasing = phrasings[scene["phrasing"]]
    words = ["a"]
    if scene["adjective"]:
        words.append(_word("adjective", scene["adjective"]))
    words += [
        _word(name, scene[name])
        for name in ("size", "texture", "colour", "shape")
        if mentioned[name]
    ]
    parts = {"o": " ".join(words), "p": "", "b": ""}
    if mentioned["place"]:
        parts["p"] = phrasing.place.format(_word("place", scene["place"]))
    if mentioned["background"]:
        parts["b"] = phrasing.background.format(_word("background", scene["background"]))
    tail = _word("tail", scene["tail"]) if scene["tail"] else ""
    pieces = [phrasing.opener, *(parts[letter] for letter in phrasing.order), tail]
    return " ".join(piece for piece in pieces if piece)


def draw_mentions(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Which shared factors each of ``n`` captions tells: boolean arrays of shape (n,)."""
    return {factor.name: rng.random(n) < MENTION_PROBABILITY[factor.name] for factor in SHARED}


def captions(
    factors: Mapping[str, np.ndarray], mentions: Mapping[str, np.ndarray], wording: str
) -> list[str]:
    """Word many scenes: arrays of shape (n,) in, ``n`` captions out (see :func:`caption`)."""
    names = ("shape", "colour", "size", "place", "background", "texture")
    names += ("phrasing", "tail", "adjective")
    n = len(factors["shape"])
    return [
        caption(
            {name: int(factors[name][i]) for name in names},
            {name: bool(told[i]) for name, told in mentions.items()},
            PHRASINGS[wording],
        )
        for i in range(n)
    ]


def relative_captions(
    source: Mapping[str, int], target: Mapping[str, int], rng: np.random.Generator
) -> tuple[str, str]:
    """Two wordings of the change from one scene to another, such as "same but blue and smaller".

    Parameters
    ----------
    source, target : mapping of str to int
        Codes of the shared factors; they differ in at least one.
    rng : numpy.random.Generator
        Chooses the order in which the changes are told.

    Returns
    -------
    tuple of two str

    Raises
    ------
    ValueError
        If nothing changes.
    """
    changes = [name for name in (f.name for f in SHARED) if source[name] != target[name]]
    if not changes:
        raise ValueError("source and target scene are the same; an edit changes something")
    told = [_change(name, source[name], target[name]) for name in rng.permutation(changes)]
    short, long = zip(*told, strict=True)
    return f"same but {' and '.join(short)}", f"{' and '.join(long)} , otherwise the same"


def _change(name: str, before: int, after: int) -> tuple[str, str]:
    old, new = _word(name, before), _word(name, after)
    if name == "size":
        relative = "larger" if after > before else "smaller"
        return relative, f"is {new} instead of {old}"
    if name == "shape":
        return f"a {new}", f"is a {new} instead of a {old}"
    if name == "place":
        return f"in the {new}", f"is in the {new} not {old}"
    if name == "background":
        return f"on a {new} background", f"has a {new} background not {old}"
    return new, f"is {new} not {old}"
