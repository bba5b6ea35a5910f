import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from isoenergy.measure.gap import difference_in_mean
from isoenergy.measure.geometry import (
    COSINE_KINDS,
    along_gap,
    barycentres,
    cosine_histograms,
    modality_directions,
    principal_plane,
)

NAMES = ("image", "bimodal", "text")


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def planted():
    """Forty atoms a group about the first three axes of five dimensions."""
    rng = np.random.default_rng(0)
    group = np.repeat(NAMES, 40)
    dictionary = unit(np.eye(5)[np.repeat(range(3), 40)] + 0.3 * rng.standard_normal((120, 5)))
    return dictionary, rng.random(120), group


def test_worked_directions():
    # w.D_0 + b = 1, w.D_1 + b = 0 with the smallest w and b: (2/3, -1/3), b = 1/3.
    found = modality_directions(np.eye(2), np.array([1.0, 4.0]), np.array(["image", "text"]))
    assert found["image"] == pytest.approx(np.array([2, -1]) / 5**0.5)
    assert found["text"] == pytest.approx(np.array([-1, 2]) / 5**0.5)
    assert found["bimodal"].tolist() == [0, 0]


def test_directions_are_those_of_a_weighted_regression(planted):
    dictionary, energy, group = planted
    found = modality_directions(*planted)
    for name in NAMES:
        inside = group == name
        weight = np.where(inside, energy / energy[inside].sum(), energy / energy[~inside].sum())
        fitted = LinearRegression().fit(dictionary, inside.astype(float), sample_weight=weight)
        assert found[name] == pytest.approx(fitted.coef_ / np.linalg.norm(fitted.coef_))


def test_directions_point_to_their_groups(planted):
    dictionary, _, group = planted
    for name, direction in modality_directions(*planted).items():
        along = dictionary @ direction
        assert np.linalg.norm(direction) == pytest.approx(1.0)
        assert along[group == name].mean() > along[group != name].mean() + 0.5


def test_dead_atoms_and_the_scale_of_energy_do_not_count(planted):
    dictionary, energy, group = planted
    wild = np.concatenate([dictionary, 50 * np.ones((3, 5))])
    found = modality_directions(
        wild, np.append(7 * energy, [9, 9, 9]), np.append(group, ["dead"] * 3)
    )
    expected = modality_directions(*planted)
    for name in NAMES:
        assert found[name] == pytest.approx(expected[name])


def test_faint_atom_hardly_turns_a_direction(planted):
    dictionary, energy, group = planted
    energy = energy.copy()
    energy[0] = 0.0
    moved = dictionary.copy()
    moved[0] = -moved[0]
    one, other = (modality_directions(d, energy, group)["image"] for d in (dictionary, moved))
    assert one == pytest.approx(other)


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix])
def test_worked_barycentres(kind):
    plan = np.array([[0.1, 0.3, 0], [0, 0, 0], [0, 0, 0.6]])
    points = np.array([[0.0, 4], [8, 0], [1, 2]])
    found = barycentres(kind(plan), points)
    assert found[[0, 2]] == pytest.approx(np.array([[6.0, 1.0], [1, 2]]))
    assert np.isnan(found[1]).all()


def test_along_the_gap_the_means_are_dim_apart_about_0():
    # Means (3, 0) and (0, 4): DiM 5 along (3, -4) / 5, midpoint (1.5, 2).
    image, text = np.array([[2.0, 1], [4, -1]]), np.array([[0.0, 4], [0, 4]])
    found = along_gap(image, text)
    assert found[0] == pytest.approx([(0.5 * 3 + 1 * 4) / 5, (2.5 * 3 + 3 * 4) / 5])
    assert found[1] == pytest.approx([-2.5, -2.5])
    assert found[0].mean() - found[1].mean() == pytest.approx(difference_in_mean(image, text))


def test_without_a_gap_all_lie_at_0_along_it():
    image = np.array([[1.0, 2], [3, 4]])
    assert [side.tolist() for side in along_gap(image, image[::-1])] == [[0, 0], [0, 0]]


def test_principal_plane_is_that_of_pca():
    rng = np.random.default_rng(1)
    image = rng.standard_normal((60, 5)) * [5, 3, 1, 0.5, 0.1]
    text = rng.standard_normal((40, 5)) * [5, 3, 1, 0.5, 0.1] + [1, 0, 0, 2, 0]
    found = np.concatenate(principal_plane(image, text))
    expected = PCA(2).fit_transform(np.concatenate([image, text]))
    signs = np.sign((found * expected).sum(axis=0))
    assert found == pytest.approx(signs * expected, abs=1e-9)


def test_sign_of_the_plane_is_that_of_the_largest_loading():
    # The data vary along (3, -1) most, then along (1, 3): largest loadings must be positive.
    along, across = np.array([[3.0, -1], [1, 3]]) / 10**0.5
    image = np.array([[4.0], [-4.0]]) * along
    text = np.array([[1.0], [-1.0]]) * across
    found = np.concatenate(principal_plane(image, text))
    assert found == pytest.approx(np.array([[4.0, 0], [-4, 0], [0, 1], [0, -1]]), abs=1e-12)


def test_plane_does_not_depend_on_the_order_of_rows():
    image, text = np.random.default_rng(2).standard_normal((2, 30, 4)) * [4, 2, 1, 1]
    order = np.random.default_rng(3).permutation(30)
    one, other = principal_plane(image, text), principal_plane(image[order], text[order])
    assert one[0][order] == pytest.approx(other[0])
    assert one[1][order] == pytest.approx(other[1])


@pytest.fixture
def histograms():
    rng = np.random.default_rng(4)
    shared = rng.standard_normal((400, 12))
    image, text = (
        unit(shared + 0.5 * rng.standard_normal((400, 12)) + side) for side in (0.4, -0.4)
    )
    return cosine_histograms(image, text, rng), image, text


def mean(histograms, kind):
    edges = histograms["edges"]
    return (histograms[kind] * np.diff(edges) * (edges[1:] + edges[:-1]) / 2).sum()


def test_histograms_integrate_to_one(histograms):
    found, *_ = histograms
    assert found["edges"].shape == (100,)
    for kind in COSINE_KINDS:
        assert found[kind].shape == (99,)
        assert (found[kind] * np.diff(found["edges"])).sum() == pytest.approx(1.0)


def test_histogram_means_are_those_of_the_cosines(histograms):
    found, image, text = histograms
    width = np.diff(found["edges"])[0]
    assert mean(found, "I-T (aligned)") == pytest.approx(
        (image * text).sum(1).mean(), abs=width / 2
    )
    assert mean(found, "I-I") == pytest.approx((image @ image.T).mean(), abs=0.05)
    assert mean(found, "I-T") == pytest.approx((image @ text.T).mean(), abs=0.05)
    assert mean(found, "random") == pytest.approx(0.0, abs=0.05)


def test_aligned_pairs_are_closer_than_others(histograms):
    found, *_ = histograms
    assert mean(found, "I-T (aligned)") > mean(found, "I-T") + 0.4
    assert mean(found, "I-I") > mean(found, "I-T") + 0.1


def test_row_left_in_place_by_the_permutation_is_no_pair():
    class Fixed:
        standard_normal = staticmethod(np.random.default_rng(0).standard_normal)

        @staticmethod
        def permutation(n):
            return np.array([0, 2, 1, *range(3, n)])

    rows = unit(np.eye(6) + 0.01)
    found = cosine_histograms(rows, rows, Fixed)
    # Only rows 1 and 2 change places; their cosine is far below 1.
    assert mean(found, "I-I") < 0.1
    assert mean(found, "I-T (aligned)") > 0.9


def test_histograms_are_those_of_the_cosines_of_each_kind():
    class Turned:
        standard_normal = staticmethod(np.random.default_rng(0).standard_normal)
        permutation = staticmethod(lambda n: np.roll(np.arange(n), 1))

    rng = np.random.default_rng(9)
    image, text = unit(rng.standard_normal((60, 4))), unit(rng.standard_normal((60, 4)) + 0.5)
    found = cosine_histograms(image, text, Turned)
    sides = {"I-I": (image, image), "T-T": (text, text), "I-T": (image, text)}
    for kind, (a, b) in sides.items():
        cosines = [float(a[i] @ b[i - 1]) for i in range(60)]
        expected = np.histogram(cosines, bins=found["edges"], density=True)[0]
        assert found[kind] == pytest.approx(expected)
    aligned = np.histogram((image * text).sum(1), bins=found["edges"], density=True)[0]
    assert found["I-T (aligned)"] == pytest.approx(aligned)


def test_histograms_do_not_depend_on_a_rotation():
    rng = np.random.default_rng(9)
    image, text = unit(rng.standard_normal((60, 4))), unit(rng.standard_normal((60, 4)) + 0.5)
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    one, other = (
        cosine_histograms(*sides, np.random.default_rng(0))
        for sides in ((image, text), (image @ turn, text @ turn))
    )
    assert mean(other, "I-I") == pytest.approx(mean(one, "I-I"), abs=1e-3)
    assert other["edges"] == pytest.approx(one["edges"])


def test_directions_do_not_depend_on_the_order_of_atoms(planted):
    dictionary, energy, group = planted
    order = np.random.default_rng(5).permutation(len(group))
    found = modality_directions(dictionary[order], energy[order], group[order])
    for name, direction in modality_directions(*planted).items():
        assert found[name] == pytest.approx(direction)
