import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from isoenergy.measure.energy import AtomEnergies, atom_energies


@pytest.fixture
def worked(sparse):
    return atom_energies(sparse([[1, 0, 2, 0], [3, 0, 0, 0]]), sparse([[0, 1, 2, 0], [0, 1, 4, 0]]))


def scored(image, text):
    image, text = np.asarray(image, float), np.asarray(text, float)
    return AtomEnergies(image, text, np.ones(len(image)), np.ones(len(image), bool))


def test_worked_energies(worked):
    assert worked.image.tolist() == [5.0, 0.0, 2.0, 0.0]
    assert worked.text.tolist() == [0.0, 1.0, 10.0, 0.0]
    assert worked.both.tolist() == [2.5, 0.5, 6.0, 0.0]


def test_worked_frequencies(worked):
    assert worked.frequency.tolist() == [0.5, 0.5, 0.75, 0.0]
    assert worked.live.tolist() == [True, True, True, False]


def test_worked_modality_scores(worked):
    assert worked.modality_score.tolist() == pytest.approx([1.0, 0.0, 1 / 6, -1.0])


def test_worked_groups_and_shares(worked):
    assert worked.groups(0.05).tolist() == ["image", "text", "bimodal", "dead"]
    assert worked.shares(0.05) == pytest.approx(
        {"text": 0.5 / 9, "bimodal": 6 / 9, "image": 2.5 / 9}
    )


def test_wider_threshold_moves_an_atom_to_text(worked):
    assert worked.groups(0.2).tolist() == ["image", "text", "text", "dead"]


def test_scores_at_the_threshold_are_bimodal():
    energies = scored([0.05, 0.95, 0.049, 0.951], [0.95, 0.05, 0.951, 0.049])
    assert energies.groups(0.05).tolist() == ["bimodal", "bimodal", "text", "image"]


def test_energy_squares_negative_codes_too(sparse):
    assert atom_energies(sparse([[-3.0], [1.0]]), sparse([[4.0], [0.0]])).image[0] == 5.0


def test_faint_atom_is_dead(sparse):
    energies = atom_energies(sparse([[1e-10, 1e-8]]), sparse([[1e-10, 1e-8]]))
    assert energies.live.tolist() == [False, True]
    assert energies.groups(0.05).tolist() == ["dead", "bimodal"]
    assert energies.modality_score.tolist() == pytest.approx([-1.0, 0.5])


def test_dead_atoms_do_not_change_the_shares(sparse):
    image, text = [[1.0, 2.0, 0.5]], [[0.0, 1.0, 3.0]]
    wider = [[*row[0], 0.0, 0.0] for row in (image, text)]
    shares = atom_energies(sparse(image), sparse(text)).shares(0.1)
    assert atom_energies(*(sparse([row]) for row in wider)).shares(0.1) == pytest.approx(shares)
    assert sum(shares.values()) == pytest.approx(1.0)


def matrices(seed):
    rng = np.random.default_rng(seed)
    z = rng.random((2, 15, 7)) * (rng.random((2, 15, 7)) < 0.5)
    return z.astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), scale=st.floats(0.1, 10))
def test_scaling_codes_scales_energy_and_leaves_scores(seed, scale):
    z = matrices(seed)
    one = atom_energies(*map(csr_matrix, z))
    other = atom_energies(*map(csr_matrix, scale * z))
    assert np.allclose(other.both, scale**2 * one.both, rtol=1e-5)
    assert np.allclose(other.modality_score, one.modality_score, atol=1e-6)
    assert np.array_equal(other.frequency, one.frequency)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_permuting_atoms_permutes_everything(seed):
    z = matrices(seed)
    order = np.random.default_rng(seed).permutation(7)
    one = atom_energies(*map(csr_matrix, z))
    other = atom_energies(*map(csr_matrix, z[:, :, order]))
    for name in ("image", "text", "frequency", "live", "modality_score"):
        assert np.array_equal(getattr(one, name)[order], getattr(other, name))
    assert one.shares(0.05) == pytest.approx(other.shares(0.05))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_swapping_the_sides_mirrors_the_scores(seed):
    z = matrices(seed)
    one, other = atom_energies(*map(csr_matrix, z)), atom_energies(*map(csr_matrix, z[::-1]))
    live = one.live
    assert np.allclose(one.modality_score[live], 1 - other.modality_score[live])
    assert one.shares(0.1)["image"] == pytest.approx(other.shares(0.1)["text"])


def test_an_atom_with_negative_codes_alone_is_live(sparse):
    energies = atom_energies(sparse([[-3.0, 1], [-1, 1]]), sparse([[3.0, 1], [0, 1]]))
    assert energies.live.tolist() == [True, True]
    assert sum(energies.shares(0.05).values()) == pytest.approx(1.0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_energies_are_those_of_a_loop_over_codes(seed):
    z = matrices(seed)
    found = atom_energies(*map(csr_matrix, z))
    for atom in range(7):
        image, text = ([float(row[atom]) for row in side] for side in z)
        energy = [sum(value**2 for value in side) / 15 for side in (image, text)]
        assert [found.image[atom], found.text[atom]] == pytest.approx(energy)
        active = sum(value != 0 for value in image + text)
        assert found.frequency[atom] == pytest.approx(active / 30)
        assert found.live[atom] == (active > 0)
        score = energy[0] / sum(energy) if active else -1.0
        assert found.modality_score[atom] == pytest.approx(score)


def test_share_of_some_atoms(worked):
    assert worked.share(np.array([True, True, False, False])) == pytest.approx(3 / 9)
    assert np.isnan(scored([0, 0], [0, 0]).share(np.array([True, False])))


def test_energy_can_be_transported_only_from_live_atoms_of_both_sides():
    assert scored([1, 0], [0, 1]).transportable
    assert not scored([1, 1], [0, 0]).transportable
    faint = AtomEnergies(np.ones(2), np.array([0.0, 1]), np.ones(2), np.array([True, False]))
    assert not faint.transportable
