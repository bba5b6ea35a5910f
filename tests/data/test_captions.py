from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoenergy.data.captions import (
    MENTION_PROBABILITY,
    PHRASINGS,
    TEMPLATES,
    caption,
    captions,
    draw_mentions,
    relative_captions,
)
from isoenergy.data.factors import BY_NAME, SHARED, TEXT, draw_factors

ALL = dict.fromkeys(MENTION_PROBABILITY, True)
NAMES = [factor.name for factor in SHARED]


def code(name, value):
    return BY_NAME[name].values.index(value)


def scene(**values):
    told = {
        "shape": "star",
        "colour": "red",
        "size": "large",
        "place": "top left",
        "background": "navy",
        "texture": "striped",
        "phrasing": "phrasing 0",
        "tail": "none",
        "adjective": "none",
        **values,
    }
    return {name: code(name, value) for name, value in told.items()}


STAR = "a large striped red star"
WORDED = {
    "plain": (
        f"a photo of {STAR} in the top left on a navy background",
        f"there is {STAR} at the top left and the background is navy",
        f"{STAR} placed top left over navy",
        f"picture showing {STAR} against navy in the top left part",
        f"we see {STAR} in front of navy towards the top left",
        f"graphic with navy backdrop, {STAR} top left of the frame",
        f"illustration : {STAR} position top left background navy",
        f"look at located top left {STAR} set on navy",
    ),
    "other": (
        f"an image of {STAR} sitting top left with navy behind it",
        f"this shows {STAR} on navy near the top left",
        f"drawing of top left area {STAR} navy ground",
        f"you can find {STAR} by the top left upon a navy surface",
        f"just {STAR} top left navy canvas",
        f"design with on navy colour {STAR} on the top left side",
        f"pictured is {STAR} in top left position navy all around",
        f"snapshot of {STAR} at top left behind it navy",
    ),
}


@pytest.mark.parametrize("wording", WORDED)
def test_every_phrasing_words_the_scene_its_own_way(wording):
    found = tuple(
        caption(scene(phrasing=f"phrasing {i}"), ALL, PHRASINGS[wording]) for i in range(8)
    )
    assert found == WORDED[wording]


def test_what_is_not_told_is_left_out_with_its_words():
    told = {**dict.fromkeys(ALL, False), "shape": True, "colour": True}
    full = scene(tail="stock photo", adjective="lovely")
    assert caption(full, told, PHRASINGS["plain"]) == "a photo of a lovely red star stock photo"
    assert caption(full, {**told, "place": True}, PHRASINGS["plain"]) == (
        "a photo of a lovely red star in the top left stock photo"
    )


codes = st.fixed_dictionaries({f.name: st.integers(0, len(f.values) - 1) for f in (*SHARED, *TEXT)})


@given(codes, st.fixed_dictionaries(dict.fromkeys(ALL, st.booleans())), st.sampled_from([*WORDED]))
def test_a_caption_has_the_words_of_what_it_tells_and_of_nothing_else(scene, told, wording):
    text = caption(scene, told, PHRASINGS[wording])
    words = text.split(" ")
    assert "" not in words
    assert text == text.lower()
    for factor in SHARED:
        value = factor.values[scene[factor.name]].split() if told[factor.name] else []
        vocabulary = {word for each in factor.values for word in each.split()}
        assert [word for word in words if word in vocabulary] == value


def test_many_scenes_are_worded_one_by_one():
    rng = np.random.default_rng(0)
    drawn = draw_factors(40, 0.25, rng, (*SHARED, *TEXT))
    told = draw_mentions(40, rng)
    expected = [
        caption(
            {name: values[i] for name, values in drawn.items()},
            {name: values[i] for name, values in told.items()},
            PHRASINGS["other"],
        )
        for i in range(40)
    ]
    assert captions(drawn, told, "other") == expected
    assert len(set(expected)) > 35


def test_factors_are_told_as_often_as_they_should():
    n = 10_000
    told = draw_mentions(n, np.random.default_rng(3))
    assert set(told) == set(NAMES)
    for name, values in told.items():
        share = MENTION_PROBABILITY[name]
        assert abs(values.mean() - share) <= 4.5 * sqrt(share * (1 - share) / n)
    assert told["shape"].all()
    assert told["colour"].all()


def change(source, target, seed=0):
    return relative_captions(scene(**source), scene(**target), np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("name", "before", "after", "short", "long"),
    [
        ("size", "small", "large", "larger", "is large instead of small"),
        ("size", "large", "medium", "smaller", "is medium instead of large"),
        ("shape", "star", "heart", "a heart", "is a heart instead of a star"),
        ("place", "top", "bottom left", "in the bottom left", "is in the bottom left not top"),
        (
            "background",
            "navy",
            "white",
            "on a white background",
            "has a white background not navy",
        ),
        ("colour", "red", "blue", "blue", "is blue not red"),
        ("texture", "plain", "dotted", "dotted", "is dotted not plain"),
    ],
)
def test_one_change_is_told_in_short_and_at_length(name, before, after, short, long):
    assert change({name: before}, {name: after}) == (
        f"same but {short}",
        f"{long} , otherwise the same",
    )


def test_two_changes_are_told_in_either_order_and_nothing_that_stays():
    source, target = {"colour": "red", "size": "large"}, {"colour": "pink", "size": "small"}
    assert {change(source, target, seed) for seed in range(20)} == {
        (
            "same but pink and smaller",
            "is pink not red and is small instead of large , otherwise the same",
        ),
        (
            "same but smaller and pink",
            "is small instead of large and is pink not red , otherwise the same",
        ),
    }


def test_an_edit_that_changes_nothing_is_refused():
    with pytest.raises(ValueError, match="source and target scene are the same"):
        change({}, {})


def test_every_template_takes_one_name_and_they_differ():
    assert all(template.count("{}") == 1 for template in TEMPLATES)
    assert len(set(TEMPLATES)) == len(TEMPLATES)
