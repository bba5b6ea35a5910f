import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

from isoenergy.embed.store import open_store
from isoenergy.encode.codes import open_codes
from isoenergy.errors import InputError
from isoenergy.measure.embeddings import draw_shown
from isoenergy.measure.energy import AtomEnergies, atom_energies
from isoenergy.measure.gap import difference_in_mean
from isoenergy.measure.layout import lay_out, layout_table, measure_layout, nearest_atoms
from isoenergy.measure.opened import read_dictionary


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def three_bundles():
    """Three bundles of 25 atoms, each about an axis of its own."""
    rng = np.random.default_rng(4)
    axes = np.repeat(np.eye(8)[:3], 25, axis=0)
    return unit(axes + 0.1 * rng.standard_normal(axes.shape))


@pytest.fixture
def measure_map(tmp_path):
    def run(store, weights, codes, gap=10**6, seed=3, name="map"):
        paths = [tmp_path / name / f"{table}.parquet" for table in ("layout", "pca_masked")]
        measure_layout(store, weights, codes, *paths, 0.05, gap, seed)
        return paths

    return run


def test_neighbours_are_those_of_scikit_learn(three_bundles):
    indices, distances = nearest_atoms(three_bundles, 6)
    oracle = NearestNeighbors(n_neighbors=6, metric="cosine", algorithm="brute").fit(three_bundles)
    expected_distances, expected = oracle.kneighbors(three_bundles)
    np.testing.assert_array_equal(indices, expected)
    assert distances == pytest.approx(expected_distances, abs=1e-6)
    assert (distances[:, 0] == 0).all()


def test_an_atom_comes_before_its_copies():
    same = unit(np.ones((7, 3)))
    indices, distances = nearest_atoms(same, 3)
    assert indices[:, 0].tolist() == list(range(7))
    assert indices[5].tolist() == [5, 0, 1]
    assert distances == pytest.approx(np.zeros((7, 3)), abs=1e-6)


def test_atoms_of_a_bundle_stay_together(three_bundles):
    places = lay_out(three_bundles, seed=0)
    middles = places.reshape(3, 25, 2).mean(axis=1)
    away = np.linalg.norm(places[:, None] - middles, axis=2)
    assert (away.argmin(axis=1) == np.repeat([0, 1, 2], 25)).all()
    np.testing.assert_array_equal(lay_out(three_bundles, seed=0), places)
    assert not np.array_equal(lay_out(three_bundles, seed=1), places)


@pytest.mark.parametrize("n", [0, 1, 2, 4, 5, 6, 15, 16, 17])
def test_few_atoms_have_places(n):
    atoms = unit(np.random.default_rng(n).standard_normal((n, 6)))
    for some in (atoms, np.repeat(atoms[:1], n, axis=0)):
        places = lay_out(some, seed=0)
        assert places.shape == (n, 2)
        assert places.dtype == np.float32
        assert np.isfinite(places).all()


def test_two_atoms_lie_as_far_apart_as_they_are():
    # Orthogonal unit vectors are the root of 2 apart, in any plane that holds both.
    places = lay_out(np.eye(3, dtype=np.float32)[:2], seed=0)
    assert np.linalg.norm(places[0] - places[1]) == pytest.approx(2**0.5)


def test_dead_atoms_and_ones_active_too_often_are_left_out():
    frequency = np.array([0.59, 0.6, 0.2, 0.0, 0.9, 0.1])
    image, text = np.array([1.0, 1, 3, 0, 1, 0]), np.array([1.0, 1, 1, 0, 1, 2])
    live = np.array([True, True, True, False, True, True])
    table = layout_table(
        np.eye(6, dtype=np.float32), AtomEnergies(image, text, frequency, live), 0.05, seed=0
    )
    assert table["atom"].tolist() == [0, 2, 5]
    assert table["energy"].tolist() == [1, 2, 1]
    assert table["modality_score"].tolist() == [0.5, 0.75, 0]
    assert table["group"].tolist() == ["bimodal", "bimodal", "text"]


def test_masked_vectors_are_sums_of_bimodal_atoms_of_the_pairs_drawn(measure_map, ordinary):
    store, weights, codes = ordinary
    _, masked = map(pd.read_parquet, measure_map(*ordinary, gap=40))
    opened, dictionary = open_codes(codes), read_dictionary(weights)
    kept = atom_energies(opened.image, opened.text).groups(0.05) == "bimodal"
    assert 0 < kept.sum() < len(kept)
    rows, _ = draw_shown(len(open_store(store)), 40, 3)
    image, text = (
        (side[:].toarray() * kept @ dictionary)[rows] for side in (opened.image, opened.text)
    )
    assert masked["modality"].tolist() == ["image"] * 40 + ["text"] * 40
    along = masked.groupby("modality")["along"].mean()
    gap = difference_in_mean(image, text)
    assert along["image"] - along["text"] == pytest.approx(gap, rel=1e-4)
    # A plane of most variance: no single coordinate of the vectors varies more than its first axis.
    both = np.concatenate([image, text])
    assert masked["x"].var() >= both.var(axis=0).max()
    spread = np.linalg.svd(both - both.mean(axis=0), compute_uv=False)[:2]
    assert np.sqrt((masked[["x", "y"]] ** 2).sum()).tolist() == pytest.approx(spread, rel=1e-4)


def test_ideal_pairs_are_the_same_once_their_biases_are_gone(measure_map, ideal):
    layout, masked = map(pd.read_parquet, measure_map(*ideal))
    # The two biases are in half of all codes each, so that they are drawn as well.
    assert layout["group"].tolist() == ["image", "text", *["bimodal"] * 14]
    image, text = (
        masked[masked["modality"] == m][["x", "y"]].to_numpy() for m in ("image", "text")
    )
    np.testing.assert_allclose(image, text, atol=1e-6)
    assert masked["along"].abs().max() < 1e-6


def test_same_seed_same_bytes(measure_map, ordinary):
    one, two, other = (
        [path.read_bytes() for path in measure_map(*ordinary, gap=30, seed=seed, name=name)]
        for name, seed in (("one", 1), ("two", 1), ("three", 2))
    )
    assert one == two
    assert one[0] != other[0]
    assert one[1] != other[1]


def test_codes_of_another_store_are_refused(measure_map, ordinary, ideal):
    with pytest.raises(InputError):
        measure_map(ordinary[0], ordinary[1], ideal[2])
