import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from isoenergy.measure.retrieval import (
    expected_hits,
    recall_at,
    unit_rows,
    zero_shot_accuracy,
)


class InOrder:
    """Stands for a generator whose permutation changes nothing."""

    permutation = staticmethod(np.arange)


def rng(seed=0):
    return np.random.default_rng(seed)


A = np.array([[1, 0], [0, 1], [0.6, 0.8]])
B = np.array([[1, 0], [0.6, 0.8], [0, 1]])


def test_worked_recall():
    # Pair 0 finds itself; pairs 1 and 2 prefer each other's partner, in both directions.
    assert recall_at(A, B, (1, 2), rng()) == {1: pytest.approx(1 / 3), 2: 1.0}


def test_recall_averages_both_directions():
    # a_0 finds b_0; a_1 prefers b_0; b_0 and b_1 both prefer a_0 and a_1 as (1, .8) and (0, .6).
    a, b = np.array([[1.0, 0], [0.8, 0.6]]), np.array([[1.0, 0], [0, 1.0]])
    assert recall_at(a, b, (1,), rng())[1] == pytest.approx((1 + 2) / 4)


def test_of_equal_columns_each_is_found_by_chance():
    a, b = np.eye(4), np.ones((4, 4))
    assert recall_at(a, b, (1, 2, 4), InOrder) == {1: 1 / 4, 2: 2 / 4, 4: 1.0}


def test_expected_hits_by_hand():
    similarities = np.array(
        [[0.5, 0.5, 0.5, 0.1], [0.9, 0.5, 0.5, 0.1], [0.9, 0.8, 0.5, 0.5], [0.2, 0.2, 0.2, 0.1]]
    )
    own = np.array([[0.5], [0.5], [0.5], [0.1]])
    # One of three, of two and of two equal ones, behind none, one and two others; the last is last.
    assert expected_hits(similarities, own, (1, 2, 3, 4)) == {
        1: pytest.approx(1 / 3),
        2: pytest.approx(2 / 3 + 1 / 2),
        3: 1 + 1 + 1 / 2,
        4: 4.0,
    }


def test_similarities_are_equal_to_a_millionth():
    own = np.array([[0.3]])
    for apart, hits in ((4e-7, 1 / 2), (-4e-7, 1 / 2), (3e-6, 0), (-3e-6, 1)):
        assert expected_hits(np.array([[0.3, 0.3 + apart]]), own, (1,))[1] == hits


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dim", [3, 96, 768])
def test_64_equal_vectors_give_two_hits_whatever_rounding_does(seed, dim):
    row = rng(seed).standard_normal((1, dim)).astype(np.float32)
    found = recall_at(row.repeat(64, axis=0), row.repeat(64, axis=0), (1, 8), rng(seed))
    # One in each of both directions, of 64 asked in each.
    assert found == {1: 2 / 128, 8: 16 / 128}


def test_order_does_not_decide_among_copies():
    a = rng(0).standard_normal((60, 6)).astype(np.float32)
    b = a[rng(1).integers(0, 20, 60)] + 0
    found = recall_at(a, b, (1, 5), InOrder, batch=60)
    for seed in range(3):
        order = rng(seed).permutation(60)
        moved = recall_at(a[order], b[order], (1, 5), InOrder, batch=60)
        assert moved == pytest.approx(found, abs=1e-12)


def test_zero_rows_are_found_by_chance():
    assert recall_at(np.eye(5), np.zeros((5, 5)), (1,), InOrder)[1] == 1 / 5


def test_last_partial_batch_is_dropped():
    a = np.eye(5)
    b = a.copy()
    b[4] = -1
    assert recall_at(a, b, (1,), InOrder, batch=2)[1] == 1.0
    assert recall_at(a, b, (1,), InOrder, batch=5)[1] < 1.0


def test_neighbours_outside_the_batch_do_not_count():
    # Copies in another batch do no harm; in the same batch, either is found for a half.
    a = np.concatenate([np.eye(3), np.eye(3)])
    assert recall_at(a, a, (1,), InOrder, batch=3)[1] == 1.0
    assert recall_at(a, a, (1,), InOrder, batch=6)[1] == 0.5


def test_fewer_pairs_than_a_batch_are_one_batch():
    x = rng(1).standard_normal((7, 20))
    assert recall_at(x, x, (1,), rng())[1] == 1.0


def test_unrelated_rows_are_found_by_chance():
    a, b = rng(1).standard_normal((2, 2048, 24))
    found = recall_at(a, b, (1, 10), rng())
    assert found[1] == pytest.approx(1 / 256, abs=0.004)
    assert found[10] == pytest.approx(10 / 256, abs=0.015)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_recall_is_a_monotone_share_and_forgets_length(seed):
    draw = rng(seed)
    a, b = draw.standard_normal((2, 30, 5))
    ks = (1, 2, 5, 12)
    found = recall_at(a, b, ks, rng(seed), batch=12)
    lengths = draw.uniform(0.5, 2.0, (30, 1))
    assert recall_at(a * lengths, b * 3, ks, rng(seed), batch=12) == pytest.approx(found)
    assert recall_at(b, a, ks, rng(seed), batch=12) == pytest.approx(found)
    values = [found[k] for k in ks]
    assert values == sorted(values)
    assert 0 <= values[0] <= values[-1] == 1.0


def test_unit_rows_leaves_zero_rows_zero():
    assert unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[0.6, 0.8], [0.0, 0.0]]


def test_worked_zero_shot():
    classes = np.array([[2.0, 0], [0, 0.5], [-1, 0]])
    image = np.array([[3.0, 0.1], [1, 2], [1, 2], [-1, 0.5]])
    labels = np.array([0, 1, 0, 0])
    # Rankings of classes: 0 1 2; 1 0 2; 1 0 2; 2 1 0.
    assert zero_shot_accuracy(image, classes, labels, (1, 2, 3)) == {1: 0.5, 2: 0.75, 3: 1.0}


def test_equal_classes_are_found_by_chance():
    image, classes = np.ones((4, 2)), np.ones((3, 2))
    found = zero_shot_accuracy(image, classes, np.array([0, 1, 2, 2]), (1, 2, 3))
    assert found == {1: pytest.approx(1 / 3), 2: pytest.approx(2 / 3), 3: 1.0}


def test_zero_shot_counts_images_beyond_one_block():
    image = np.tile(np.eye(3), (3000, 1))
    labels = np.tile([0, 1, 2], 3000)
    labels[-1] = 0
    found = zero_shot_accuracy(image, np.eye(3), labels, (1,))[1]
    assert found == pytest.approx(8999 / 9000, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20), copies=st.booleans())
def test_recall_is_that_of_a_loop_over_batches(seed, copies):
    draw = rng(seed)
    a, b = draw.standard_normal((2, 23, 3))
    if copies:
        b = b[draw.integers(4, size=23)]
    found = recall_at(a, b, (1, 3), rng(seed), batch=7)
    order, hits, asked = rng(seed).permutation(23), {1: 0, 3: 0}, 0
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    for start in (0, 7, 14):  # two rows are left over
        rows = order[start : start + 7]
        for own, other in (unit, unit[::-1]):
            for place, row in enumerate(rows):
                cosines = [(own[row : row + 1] @ other[r : r + 1].T).item() for r in rows]
                ahead = sum(cosine > cosines[place] + 1e-6 for cosine in cosines)
                tied = sum(abs(cosine - cosines[place]) <= 1e-6 for cosine in cosines)
                asked += 1
                for k in hits:
                    hits[k] += min(max(k - ahead, 0), tied) / tied
    assert found == pytest.approx({k: count / asked for k, count in hits.items()})


@pytest.mark.parametrize("seed", range(3))
def test_zero_shot_is_the_top_k_accuracy_of_scikit_learn(seed):
    draw = rng(seed)
    image, classes = draw.standard_normal((90, 4)), draw.standard_normal((6, 4))
    labels = draw.integers(6, size=90)
    cosines = unit_rows(image) @ unit_rows(classes).T
    found = zero_shot_accuracy(image, classes, labels, (1, 2, 5))
    for k, value in found.items():
        expected = top_k_accuracy_score(labels, cosines, k=k, labels=range(6))
        assert value == pytest.approx(expected)
    order, names = draw.permutation(90), draw.permutation(6)
    moved = zero_shot_accuracy(
        3 * image[order], classes[names], np.argsort(names)[labels[order]], (1, 2, 5)
    )
    assert moved == pytest.approx(found)


def test_recall_of_a_sample_is_that_of_the_pairs_drawn():
    drawn = np.random.default_rng(3)
    a, b = drawn.standard_normal((2, 60, 5))
    rows = np.random.default_rng(8).permutation(60)[:20]
    found = recall_at(a, b, (1, 3), np.random.default_rng(8), batch=10, most=20)
    assert found == recall_at(a[rows], b[rows], (1, 3), InOrder, batch=10)
    assert found != recall_at(a, b, (1, 3), np.random.default_rng(8), batch=10)
