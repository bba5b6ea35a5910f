"""Propositions 2 and 3, Corollary 1 and Remark 1 of Appendix K, by hand and as properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isoenergy.measure.ranking import (
    draw_pairs,
    is_guaranteed,
    meets_condition,
    projection_spread,
    reorder,
)

AXES = np.eye(3)


def reorder_all(content, modality, candidates):
    """The outcome for every ordered pair of different candidates."""
    n = len(candidates)
    first, second = np.divmod(np.arange(n * n), n)
    pairs = (first[first != second], second[first != second])
    tiled = (np.tile(side, (len(content), 1)) for side in pairs)
    return reorder(np.asarray(content, float), np.asarray(modality, float), candidates, *tiled)


def unit(rows):
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


# Whole and half numbers bring ties, constant projections and zero vectors; the others do not.
_ELEMENTS = st.one_of(
    st.integers(-4, 4).map(lambda i: i / 2),
    st.floats(-100, 100).filter(lambda x: x == 0 or abs(x) > 1e-12),
)
VECTORS = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(
        arrays(float, (shape[1], shape[0]), elements=_ELEMENTS),
        arrays(float, (shape[1], shape[0]), elements=_ELEMENTS),
        arrays(float, (shape[2], shape[0]), elements=_ELEMENTS).map(unit),
    )
)


@given(VECTORS)
def test_a_pair_flips_where_proposition_3_says_so_and_nowhere_else(vectors):
    found = reorder_all(*vectors)
    assert found.foretold[found.flipped].all()
    # The other way round but for margins that rounding hides, which tie.
    assert (found.flipped | found.tied)[found.foretold].all()


@given(VECTORS)
def test_the_condition_is_opposite_signs_and_a_larger_modality_margin(vectors):
    found = reorder_all(*vectors)
    opposite = np.sign(found.content) * np.sign(found.modality) == -1
    larger = np.abs(found.modality) > np.abs(found.content)
    np.testing.assert_array_equal(found.foretold, opposite & larger)


@given(VECTORS)
def test_beyond_the_spread_no_pair_flips_and_no_flip_is_beyond_it(vectors):
    found = reorder_all(*vectors)
    assert not (found.guaranteed & found.flipped).any()
    assert not (found.guaranteed & found.foretold).any()
    reach = np.where(found.flipped, np.abs(found.content), 0)
    assert (reach <= found.spread[:, None]).all()


@given(VECTORS)
def test_orders_are_those_of_cosines_computed_one_by_one(vectors):
    content, modality, candidates = vectors
    found = reorder_all(*vectors)
    n = len(candidates)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    for query, (gamma, omega) in enumerate(zip(content, modality, strict=True)):
        for column, (i, j) in enumerate(pairs):
            for told, v in ((found.before, gamma + omega), (found.after, gamma)):
                margin = sum(v * candidates[i]) - sum(v * candidates[j])
                if abs(margin) > 3 * found.resolution[query]:
                    assert told[query, column] == np.sign(margin)
                elif margin == 0:
                    assert told[query, column] == 0


@given(VECTORS, st.floats(-3, 3))
def test_proposition_2_a_constant_projection_changes_no_order(vectors, alpha):
    content, _, candidates = vectors
    # A further coordinate that all candidates share; modality information lies along it alone.
    shared = np.hstack([candidates * 0.6, np.full((len(candidates), 1), 0.8)])
    content = np.hstack([content, np.zeros((len(content), 1))])
    modality = np.zeros_like(content)
    modality[:, -1] = alpha
    found = reorder_all(content, modality, shared)
    np.testing.assert_array_equal(found.spread, 0)
    assert not found.flipped.any()
    clear = np.abs(found.content) > 3 * found.resolution[:, None]
    np.testing.assert_array_equal(found.before[clear], found.after[clear])


def test_three_candidates_by_hand():
    # Along axis 0 modality, along axis 1 content; candidates of norm 1 (3-4-5).
    candidates = np.array([[0.8, 0.6, 0], [0, 1, 0], [0.6, -0.8, 0]])
    first, second = draw_pairs(1, 3, 3, np.random.default_rng(0))
    assert (first.tolist(), second.tolist()) == ([[0, 0, 1]], [[1, 2, 2]])
    found = reorder(AXES[1:2] * 0.5, AXES[:1], candidates, first, second)
    assert found.content[0].tolist() == pytest.approx([-0.2, 0.7, 0.9])
    assert found.modality[0].tolist() == pytest.approx([0.8, 0.2, -0.6])
    # Whole scores are 1.1, 0.5 and 0.2, those of content 0.3, 0.5 and -0.4.
    assert found.before.tolist() == [[1, 1, 1]]
    assert found.after.tolist() == [[-1, 1, 1]]
    assert found.flipped.tolist() == found.foretold.tolist() == [[True, False, False]]
    assert found.spread.tolist() == pytest.approx([0.8])
    # The second pair keeps its order although the corollary does not say so; the third as it says.
    assert found.guaranteed.tolist() == [[False, False, True]]
    assert found.length.tolist() == pytest.approx([np.sqrt(1.25)])


def test_remark_1_ties_content_whatever_its_length_and_flips_with_another_candidate():
    candidates = np.array([[1.0, 1, 0], [-1, 1, 0]]) / np.sqrt(2)
    for length in (0.5, 0.4, 0, -0.1):
        found = reorder_all(length * AXES[1:2], AXES[:1], candidates)
        # Candidates differ along e_1 alone, so no content along e_2 can tell them apart: moving it
        # towards -e_2, as the remark does, brings no strict flip.
        np.testing.assert_array_equal(found.content, 0)
        np.testing.assert_allclose(found.modality, [[np.sqrt(2), -np.sqrt(2)]])
        assert found.before.tolist() == [[1, -1]]
        assert found.after.tolist() == [[0, 0]]
        assert not found.flipped.any()
    turned = np.array([candidates[0], [-0.6, 0.8, 0]])
    found = reorder_all(0.5 * AXES[1:2], AXES[:1], turned)
    assert found.flipped.all()
    assert found.foretold.all()


def test_orthogonal_parts_do_not_save_orders_when_candidates_lose_theirs_too():
    # Images hold e_0, texts e_1, content lies along e_2 and e_3: all orthogonal, as Proposition 1
    # asks. Removal from the query alone keeps every order.
    axes = np.eye(4)
    texts = unit(np.array([[0, 3, 1, 0], [0, 0, 1, 1.0]]))
    content, modality = axes[2:3], axes[:1]
    alone = reorder_all(content, modality, texts)
    assert alone.spread.tolist() == [0]
    np.testing.assert_array_equal(alone.before, alone.after)
    # Without e_1 the first text is all e_2: of unit norm again it comes first.
    bare = unit(texts * [1, 0, 1, 1])
    both = reorder_all(content, 0 * modality, bare)
    assert (alone.before[0, 0], both.after[0, 0]) == (-1, 1)


def test_zero_removal_flips_nothing_and_zero_content_ties_all():
    rng = np.random.default_rng(0)
    candidates, queries = unit(rng.standard_normal((7, 3))), rng.standard_normal((4, 3))
    kept = reorder_all(queries, 0 * queries, candidates)
    np.testing.assert_array_equal(kept.before, kept.after)
    assert not kept.tied.any()
    assert kept.guaranteed.all()
    bare = reorder_all(0 * queries, queries, candidates)
    assert bare.tied.all()
    assert not (bare.flipped | bare.foretold | bare.guaranteed).any()
    nothing = reorder_all(0 * queries, 0 * queries, candidates)
    assert nothing.tied.all()
    assert (nothing.before == 0).all()


def test_parts_that_cancel_to_rounding_tie_instead_of_flipping_at_random():
    rng = np.random.default_rng(1)
    content = rng.standard_normal((50, 40))
    # Sums are the rounding of the last digit, with no meaning.
    modality = -content * (1 + 2.0**-52)
    found = reorder_all(content, modality, unit(rng.standard_normal((6, 40))))
    assert (found.before == 0).all()
    assert not found.flipped.any()


def test_candidates_that_differ_by_rounding_alone_tie():
    rng = np.random.default_rng(3)
    # The same numbers in another order: sums of them differ in the last digit, or not at all.
    numbers = unit(rng.standard_normal((1, 40)))[0]
    candidates = np.array([rng.permutation(numbers) for _ in range(30)])
    content = np.full((1, 40), 0.1)
    sums = candidates @ content[0]
    assert len(np.unique(sums)) > 1
    found = reorder_all(content, 0.3 * content, candidates)
    assert found.tied.all()
    # A candidate that differs by a little more does not.
    found = reorder_all(content, 0.3 * content, np.vstack([candidates[0], candidates[0] + 1e-12]))
    assert found.before.tolist() == found.after.tolist() == [[-1, 1]]


def test_one_candidate_has_no_pairs_and_no_spread():
    first, second = draw_pairs(4, 1, 500, np.random.default_rng(0))
    assert first.shape == second.shape == (4, 0)
    found = reorder(np.ones((4, 3)), np.ones((4, 3)), AXES[:1], first, second)
    assert found.flipped.shape == (4, 0)
    assert found.spread.tolist() == [0] * 4


@given(st.integers(1, 4), st.integers(0, 9), st.integers(1, 20), st.integers(0, 5))
def test_drawn_pairs_are_of_different_candidates_and_all_where_they_are_few(
    queries, candidates, most, seed
):
    first, second = draw_pairs(queries, candidates, most, np.random.default_rng(seed))
    every = candidates * (candidates - 1) // 2
    assert first.shape == second.shape == (queries, min(every, most))
    assert (first != second).all()
    assert ((first >= 0) & (first < candidates) & (second >= 0) & (second < candidates)).all()
    if every <= most:
        for row in zip(first, second, strict=True):
            assert len({frozenset(pair) for pair in zip(*row, strict=True)}) == every


def test_every_ordered_pair_is_equally_likely():
    first, second = draw_pairs(3000, 5, 9, np.random.default_rng(2))
    counts = np.bincount((5 * first + second).ravel(), minlength=25).reshape(5, 5)
    assert (np.diagonal(counts) == 0).all()
    off = counts[~np.eye(5, dtype=bool)]
    # 27,000 pairs over 20: 1,350 each, standard deviation 36.
    assert np.abs(off - 1350).max() < 5 * 36


def test_conditions_at_their_bounds():
    content, modality = np.array([1.0, -1, 1, 0, 1]), np.array([-1.0, 1, -1.5, 2, 0])
    assert meets_condition(content, modality).tolist() == [False, False, True, False, False]
    # Products that float64 cannot hold.
    tiny = np.array([1e-200])
    assert meets_condition(tiny, -2 * tiny).tolist() == [True]
    spread = projection_spread(np.array([[0.25, -0.5, 0.5]]))
    assert spread.tolist() == [1]
    assert is_guaranteed(np.array([[1.0, -1.5, 0.5]]), spread).tolist() == [[False, True, False]]
