import numpy as np
import pandas as pd
import pytest

from isoenergy.errors import InputError
from isoenergy.measure.energy import atom_energies
from isoenergy.measure.selection import SELECTION_METRICS
from isoenergy.measure.sweep import energy_shares, measure_sweep

# Every row is 0.6 of a bias that both sides share and 0.8 of one of seven other directions.
DIM, BIAS, OTHER = 9, 0.6, 0.8


@pytest.fixture
def store(save_store):
    rows = np.zeros((70, DIM), dtype=np.float32)
    rows[:, 0] = BIAS
    rows[np.arange(70), 1 + np.arange(70) % 7] = OTHER
    return save_store("pairs", rows, rows)


@pytest.fixture
def sae(save_dictionary):
    """An SAE that knows the bias or does not."""

    def make(name, with_bias):
        atoms = np.eye(DIM, dtype=np.float32)
        return save_dictionary(name, atoms if with_bias else atoms[1:], 2 if with_bias else 1)

    return make


@pytest.fixture
def measured(tmp_path, read_metrics):
    def run(store, weights, betas, tau=0.05):
        table = tmp_path / "sweep.parquet"
        measure_sweep(store, weights, betas, table, tmp_path / "metrics", 16, tau, "sweep")
        return pd.read_parquet(table), read_metrics(tmp_path / "metrics")

    return run


def test_an_always_on_atom_counts_as_degenerate_and_not_as_bimodal(store, sae, measured):
    with_bias, without = sae("with", True), sae("without", False)
    table, _ = measured(store, [with_bias, without], [1.0, 0.0])
    assert table["beta"].tolist() == [0, 1]
    assert table["mse"].to_numpy() == pytest.approx([BIAS**2, 0], abs=1e-6)
    assert table["r2"].iloc[1] == pytest.approx(1, abs=1e-6)
    assert table["energy"].to_numpy() == pytest.approx([OTHER**2, 1])
    assert table["share_degenerate"].to_numpy() == pytest.approx([0, BIAS**2])
    assert table["share_bimodal"].to_numpy() == pytest.approx([1, OTHER**2])
    assert table["atoms_degenerate"].tolist() == [0, 1]


def test_the_readings_differ_where_the_largest_beta_is_degenerate(store, sae, measured):
    with_bias, without = sae("with", True), sae("without", False)
    table, metrics = measured(store, [without, without, with_bias], [0.0, 1e-3, 1e-2])
    assert set(metrics) == set(SELECTION_METRICS)
    assert metrics["selected_beta"].protocols == {"no_degenerate": 1e-3, "paper": 1e-2}
    assert metrics["selected_beta_share_degenerate"].protocols == pytest.approx(
        {"no_degenerate": 0, "paper": BIAS**2}
    )
    assert metrics["selected_beta"].n == {"pairs": 70, "betas": 3}
    assert metrics["sweep_r2_bound"].value == table["r2"].iloc[0] - 0.05
    assert table["selected_no_degenerate"].tolist() == [False, True, False]
    assert table["selected_paper"].tolist() == [False, False, True]


def test_unimodal_energy_is_in_neither_share(sparse):
    image = sparse([[1, 2, 0, 1]] * 19 + [[0, 0, 0, 0]])
    text = sparse([[1, 0, 3, 1]] * 19 + [[0, 0, 0, 0]])
    # Atoms 0 and 3 are active in 38 of 40 codes; mu of atoms 1 and 2 is 1 and 0.
    shares = energy_shares(atom_energies(image, text), tau=0.05)
    total = 1 + 2 + 4.5 + 1
    assert shares == pytest.approx({"share_degenerate": 2 / total, "share_bimodal": 0})


def test_a_frequency_of_exactly_nine_tenths_is_not_degenerate(sparse):
    codes = sparse([[1.0]] * 9 + [[0.0]])
    assert energy_shares(atom_energies(codes, codes), 0.05)["share_bimodal"] == 1


def test_a_checkpoint_of_another_width_is_refused(store, save_dictionary, measured):
    narrow = save_dictionary("narrow", np.eye(4, dtype=np.float32), 1)
    with pytest.raises(InputError, match=r"9 wide and .* was trained on 4"):
        measured(store, [narrow], [0.0])


def test_a_sweep_without_a_beta_that_qualifies_selects_none(store, sae, measured):
    with_bias = sae("with", True)
    table, metrics = measured(store, [with_bias, with_bias], [0.0, 1e-3])
    assert np.isnan(metrics["selected_beta"].value)
    assert metrics["selected_beta"].protocols["paper"] == 1e-3
    assert not table["selected_no_degenerate"].any()
