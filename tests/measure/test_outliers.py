import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve
from sklearn.neighbors import NearestNeighbors

from isoenergy.measure.outliers import (
    PROTOCOLS,
    WITH_COPIES,
    neighbour_distances,
    ood_metric,
    ood_scores,
    youden_accuracy,
)


def clouds(seed, n=60, dim=5, apart=0.5):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, n, dim)) + np.eye(2, dim)[:, None] * apart
    return a.astype(np.float32), b.astype(np.float32)


def angle(degrees):
    turned = np.radians(np.asarray(degrees, dtype=float))
    return np.stack([np.cos(turned), np.sin(turned)], axis=1)


def distance(degrees):
    return 1 - math.cos(math.radians(degrees))


def test_worked_neighbour_distances():
    reference = angle([0, 10, 40, 90])
    found = neighbour_distances(angle([12, 80]), reference, (1, 3))
    expected = [[distance(2), distance(28)], [distance(10), distance(70)]]
    assert np.allclose(found, expected, atol=1e-6)


def test_worked_distances_within_the_reference_leave_a_row_itself_out():
    reference = angle([0, 10, 40, 90])
    found = neighbour_distances(reference, reference, (2, 1), within=True)
    expected = [(40, 10), (30, 10), (40, 30), (80, 50)]
    assert np.allclose(found, [[distance(d) for d in row] for row in expected], atol=1e-6)


def test_missing_neighbours_have_no_distance():
    rows = angle([0, 10, 40])
    assert np.isnan(neighbour_distances(rows, rows, (3, 4))).tolist() == [[False, True]] * 3
    assert np.isnan(neighbour_distances(rows, rows, (2, 3), within=True))[0].tolist() == [
        False,
        True,
    ]


def test_equal_rows_have_distance_zero_and_zero_rows_one():
    rows = np.random.default_rng(0).standard_normal((1, 37)).repeat(50, axis=0)
    assert (neighbour_distances(rows, rows, (1, 30)) == 0).all()
    assert (neighbour_distances(0 * rows, rows, (1, 30)) == 1).all()


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_neighbour_distances_are_those_of_scikit_learn(within, block):
    reference, queries = clouds(1)
    queries = reference if within else queries
    found = neighbour_distances(queries, reference, (5, 1, 10), within, block)
    search = NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(reference)
    expected = search.kneighbors(None if within else queries)[0][:, [4, 0, 9]]
    assert np.allclose(found, expected, atol=2e-6)


def test_worked_youden_accuracy():
    # Up to 2: all three inside, one of three outside, J = 2 / 3. Below 2 lie two and one: the
    # threshold's own element counts as out, so 2 + 2 of 6 are right.
    assert youden_accuracy(np.array([0.0, 1, 2]), np.array([1.5, 3, 4])) == pytest.approx(4 / 6)
    # Apart: only the element at the threshold is wrong.
    assert youden_accuracy(np.array([0.0, 1, 2]), np.array([5.0, 6, 7])) == pytest.approx(5 / 6)


def test_of_equally_good_thresholds_the_smallest_is_taken():
    # J is 1 / 2 up to 0 and up to 2. Below 0 lies nothing, so all is called out.
    assert youden_accuracy(np.array([0.0, 2]), np.array([1.0, 3])) == 0.5


def test_nothing_is_told_apart_where_distances_tie_or_lie_the_wrong_way_round():
    assert youden_accuracy(np.ones(4), np.ones(4)) == 0.5
    assert youden_accuracy(np.arange(4) + 9.0, np.arange(4.0)) == 0.5
    assert math.isnan(youden_accuracy(np.array([1.0, np.nan]), np.ones(2)))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**20), ties=st.booleans())
def test_youden_accuracy_is_that_of_a_roc_curve(seed, ties):
    rng = np.random.default_rng(seed)
    inside, outside = rng.random(rng.integers(1, 20)), rng.random(rng.integers(1, 20)) + 0.2
    if ties:
        inside, outside = inside.round(1), outside.round(1)
    label = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    distances = np.concatenate([inside, outside])
    wrong, right, thresholds = roc_curve(label, -distances)
    limit = -thresholds[(right - wrong).argmax()]
    expected = ((distances < limit) == (label == 1)).mean()
    assert youden_accuracy(inside, outside) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_ood_scores_are_those_of_scikit_learn(seed):
    reference, queries = clouds(seed)
    found = ood_scores(reference, queries)
    search = NearestNeighbors(metric="cosine", algorithm="brute").fit(reference)
    for name, (k, itself) in PROTOCOLS.items():
        outside = search.kneighbors(queries, k)[0][:, -1]
        # Asked about given rows, scikit-learn counts them; asked about its own, it does not.
        inside = search.kneighbors(*((reference, k) if itself else (None, k)))[0][:, -1]
        distances = np.concatenate([inside, outside])
        label = np.arange(len(distances)) < len(inside)
        wrong, right, thresholds = roc_curve(label, -distances)
        limit = -thresholds[(right - wrong).argmax()]
        assert found[name] == pytest.approx(((distances < limit) == label).mean())
    assert len(set(found.values())) > 1


def test_clouds_apart_score_one_and_copies_one_half():
    reference, queries = clouds(0, n=200, apart=40)
    # One of 400 is at the threshold.
    assert ood_scores(reference, queries) == pytest.approx(dict.fromkeys(PROTOCOLS, 399 / 400))
    assert ood_scores(reference, reference)["code"] < 0.7
    found = ood_scores(reference, reference.copy())
    # Queries that are in the reference count themselves, as the reference does under "code".
    assert found["code"] == found["paper"] == 0.5


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_ood_scores_ignore_order_lengths_and_rotation(seed):
    reference, queries = clouds(seed, n=30)
    rng = np.random.default_rng(seed)
    found = ood_scores(reference, queries)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    lengths = rng.uniform(0.5, 2, (2, 30, 1))
    order = rng.permutation(30)
    moved = ood_scores((reference * lengths[0])[order] @ turn, (queries * lengths[1]) @ turn)
    # A distance on the edge of rounding may change sides.
    assert moved == pytest.approx(found, abs=2 / 60)
    assert all(0.4 < score <= 1 for score in found.values())


def test_reference_of_too_few_rows_has_no_score():
    reference, queries = clouds(0, n=5)
    found = ood_scores(reference, queries)
    for name in ("code", WITH_COPIES):
        assert 0 <= found.pop(name) <= 1
    assert all(math.isnan(score) for score in found.values())


def test_rows_that_are_all_copies_have_no_neighbours_and_zero_rows_are_all_alike():
    rows = np.ones((12, 3))
    found = ood_scores(rows, rows)
    assert found.pop(WITH_COPIES) == 0.5
    assert all(math.isnan(score) for score in found.values())
    assert set(ood_scores(0 * rows, 0 * rows).values()) == {0.5}


@pytest.mark.parametrize("noise", [0, 3e-5])
def test_five_captions_of_a_picture_do_not_make_captions_of_elsewhere_look_alike(noise):
    pictures, captions = clouds(0, n=40, dim=16, apart=40)
    rows = np.repeat(pictures, 5, axis=0)
    # Stored in float16 by other batches, the copies of a picture differ by a little.
    rows = rows * (1 + noise * np.random.default_rng(1).standard_normal(rows.shape))
    found = ood_metric(rows, np.repeat(captions, 5, axis=0), {"images": 200}, 0)
    scores = dict(found.protocols)
    # Counting copies, all inner distances are 0.
    assert scores.pop(WITH_COPIES) == 0.5
    # The five copies of one picture may lie at the threshold.
    assert all(395 / 400 <= score < 1 for score in scores.values())
    assert found.note == "200 of 200 reference rows have copies, which do not count"


def test_distances_with_copies_are_those_of_a_sort():
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((30, 4)).astype(np.float32)[rng.integers(0, 12, 60)]
    queries = rng.standard_normal((60, 4)).astype(np.float32)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rows, queries)]
    inner, outer = (1 - side @ unit[0].T for side in unit)
    expected = youden_accuracy(
        np.sort(inner, axis=1)[:, 4].round(6).clip(0), np.sort(outer, axis=1)[:, 4].round(6)
    )
    assert ood_scores(rows, queries)[WITH_COPIES] == pytest.approx(expected)
    others = neighbour_distances(rows, rows, (1, 4), within=True)
    apart = np.sort(np.where(inner < 1e-6, np.inf, inner), axis=1)
    np.testing.assert_allclose(others, apart[:, [0, 3]], atol=2e-6)


def test_queries_wholly_apart_score_what_the_authors_notebook_prints():
    # SPEC 4: 0.99997 for 16,854 captions against as many images, all but one of 33,708.
    inside = np.arange(16854.0)
    assert youden_accuracy(inside, inside + 1e6) == pytest.approx(0.99997, abs=5e-7)
