import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix

from isoenergy.embed.store import open_store
from isoenergy.encode.codes import Codes, open_codes, write_codes
from isoenergy.errors import InputError
from isoenergy.measure.blockwise import cross_covariance
from isoenergy.measure.energy import atom_energies
from isoenergy.measure.opened import Measured
from isoenergy.measure.panels import (
    bridge_shares_table,
    ranks_table,
    scores_table,
    transport_table,
    unimodal_table,
)
from isoenergy.measure.sae import (
    FACTOR_METRICS,
    SAE_METRICS,
    SAE_TABLES,
    SaeSettings,
    measure_factors,
    measure_sae,
)
from isoenergy.render.tables import TABLES

ALL = 10**6


@pytest.fixture
def measure(tmp_path, read_metrics):
    def run(store, weights, codes, tau=0.05, probe=ALL, gap=ALL, seed=0, name="metrics"):
        folder = tmp_path / name
        settings = SaeSettings(tau, probe, gap)
        measure_sae(store, weights, codes, folder, folder / "atoms.parquet", settings, seed)
        return read_metrics(folder), pd.read_parquet(folder / "atoms.parquet")

    return run


@pytest.fixture
def factors(tmp_path, read_metrics):
    def run(store, weights, codes, tau=0.05):
        folder = tmp_path / "factors"
        measure_factors(store, weights, codes, folder, folder / "atoms.parquet", tau)
        return read_metrics(folder), pd.read_parquet(folder / "atoms.parquet")

    return run


def test_every_promised_metric_is_written_and_no_other(measure, ideal):
    metrics, _ = measure(*ideal)
    assert set(metrics) == set(SAE_METRICS)
    assert len(set(SAE_METRICS)) == len(SAE_METRICS)


def test_the_table_of_readings_holds_every_metric_with_several_protocols(measure, ideal):
    metrics, _ = measure(*ideal)
    several = {name for name, metric in metrics.items() if len(metric.protocols) > 1}
    # What a sweep selects is measured apart, see test_selection.py.
    assert several | {"selected_beta"} == set(TABLES["table_readings"].metrics())


IDEAL = {
    # Each of 182 pairs: three atoms of 1, 1 and 1/2 over 3/2.
    "mse": 0.0,
    "r2": 1.0,
    "l0": 3.0,
    "l1": 2.5 / 1.5,
    "energy": 1.0,
    # The bias has 1 / 2.25 of the energy of its side.
    "energy_share_image": 1 / 4.5,
    "energy_share_text": 1 / 4.5,
    "energy_share_bimodal": 1.25 / 2.25,
    "energy_share_degenerate": 0.0,
    "atoms_live": 16,
    "atoms_bimodal": 14,
    "p_acc": 1.0,
    # Only the image bias and the text bias, at cosine 0, must be moved to each other.
    "transport_cost": 1 / 2.25,
    "fda": math.inf,
    "recall_at_1_reconstruction": 1.0,
    "recall_at_1_masked": 1.0,
    "delta_r_at_1": 0.0,
    "difference_in_mean_reconstruction": 2**0.5 / 1.5,
    "difference_in_mean_masked": 0.0,
}


@pytest.mark.parametrize("name", sorted(IDEAL))
def test_ideal_case_has_the_numbers_worked_by_hand(measure, ideal, name):
    metrics, _ = measure(*ideal)
    assert metrics[name].value == pytest.approx(IDEAL[name], abs=2e-5)


def test_ideal_rho_is_infinite_as_printed_and_undefined_after_thresholding(measure, ideal):
    # The one covariance above the 99.9th percentile of 256 is that of the two biases, whose
    # cosine is 0; without a threshold the diagonal counts, and it is bimodal.
    rho = measure(*ideal)[0]["rho"]
    assert math.isnan(rho.protocols["code"])
    assert rho.protocols["paper"] == math.inf


def test_ideal_fda_as_printed_is_negative(measure, ideal):
    # alpha = epsilon = 1.25 / 2.25, so the printed denominator is 1 / 2.25 - 1.25 / 2.25.
    fda = measure(*ideal)[0]["fda"]
    assert fda.protocols["paper"] == pytest.approx((1 / 2.25) / (-0.25 / 2.25), rel=1e-4)


def test_ideal_atoms_table_says_what_each_atom_is(measure, ideal):
    _, atoms = measure(*ideal)
    assert atoms["atom"].tolist() == list(range(16))
    assert atoms["group"].tolist() == ["image", "text", *["bimodal"] * 14]
    assert atoms["modality_score"].tolist() == pytest.approx([1.0, 0.0, *[0.5] * 14], abs=1e-5)
    assert atoms["energy_image"].tolist()[:2] == pytest.approx([1 / 2.25, 0.0])
    assert atoms["frequency"].tolist() == pytest.approx([0.5, 0.5, *[26 / 182] * 14])
    assert atoms["along_image"].argmax() == 0
    assert atoms["along_text"].argmax() == 1
    assert atoms["along_bimodal"].iloc[2:].min() > atoms["along_bimodal"].iloc[:2].max()


@pytest.fixture
def tables(measure, tmp_path):
    def run(*sources, **more):
        measure(*sources, **more)
        return {name: pd.read_parquet(tmp_path / f"metrics/{name}.parquet") for name in SAE_TABLES}

    return run


def test_ideal_atoms_tell_images_from_texts_as_their_group_says(measure, ideal):
    # Only the two biases tell anything; the others are above their mean in as many of both.
    _, atoms = measure(*ideal)
    assert atoms["accuracy"].tolist() == pytest.approx([1, 1, *[0.5] * 14])


def test_every_promised_table_is_written_and_no_other(measure, ideal, tmp_path):
    measure(*ideal)
    found = {path.stem for path in (tmp_path / "metrics").glob("*.parquet")}
    assert found == {"atoms", *SAE_TABLES}


def test_ideal_bridge_has_no_mass_left_after_thresholding(tables, ideal):
    # As its rho: the one covariance kept is of the two biases, whose cosine is 0.
    shares = tables(*ideal)["bridge_shares"]
    assert shares.groupby("pair").size().tolist() == [100] * 6
    assert shares["share"].isna().all()
    assert set(shares["tau"]) == {0.05}


def test_bridge_shares_agree_with_direct_computation(tables, ordinary, save_dictionary, encoded):
    # So many atoms that bridges are left above both percentiles.
    atoms = np.random.default_rng(0).standard_normal((300, 16))
    weights = save_dictionary("wide", atoms / np.linalg.norm(atoms, axis=1, keepdims=True), 12)
    codes = encoded("wide-codes", weights, ordinary[0])
    read, dictionary = open_codes(codes), load_file(weights)["dictionary"]
    covariance = read.image.toarray().T @ read.text.toarray() / len(read)
    bridge = np.ones_like(covariance)
    for factor, percent in ((covariance, 99.9), (dictionary @ dictionary.T, 90)):
        bridge *= np.where(np.abs(factor) >= np.percentile(factor, percent), np.abs(factor), 0)
    energies = atom_energies(read.image, read.text)
    shares = tables(ordinary[0], weights, codes)["bridge_shares"]
    seen = set()
    for limit, some in shares.groupby("threshold"):
        group = energies.groups(limit)
        text, neither = group == "text", group == "bimodal"
        expected = {
            "B-B": bridge[neither][:, neither].sum() / bridge.sum(),
            "T-T": bridge[text][:, text].sum() / bridge.sum(),
        }
        found = some.set_index("pair")["share"]
        for pair, value in expected.items():
            assert found[pair] == pytest.approx(value, abs=1e-6)
        seen.add(round(found["B-B"], 3))
    assert len(seen) > 1


def test_ideal_transport_moves_the_image_bias_alone(tables, ideal):
    moved = tables(*ideal)["transport"]
    axes = ["along_image", "along_bimodal", "along_text"]
    targets = [f"target_{name}" for name in axes]
    own, target = moved[axes].to_numpy(), moved[targets].to_numpy()
    assert target[2:] == pytest.approx(own[2:])
    assert target[0] == pytest.approx(own[1])
    assert np.isnan(target[1]).all()
    assert moved["target_modality_score"].tolist() == pytest.approx(
        [0, np.nan, *[0.5] * 14], abs=1e-5, nan_ok=True
    )


def test_transport_keeps_the_mean_of_the_text_distribution(tables, ordinary):
    # Whatever the plan: the images' energies at their targets balance where the texts' lie.
    moved = tables(*ordinary)["transport"]
    live = moved["energy_image"] > 0
    for name in ("along_image", "along_text"):
        target = np.average(
            moved.loc[live, f"target_{name}"], weights=moved.loc[live, "energy_image"]
        )
        assert target == pytest.approx(np.average(moved[name], weights=moved["energy_text"]))


def test_ideal_scores_are_those_of_the_shared_atoms(tables, ideal):
    scores = tables(*ideal)["scores"]
    # All shared atoms are alike, so the two are some of them; pairs without one score 0.
    assert set(scores["which"]) == {"high", "low"}
    assert scores["atom"].min() >= 2
    assert scores["activity"].unique() == pytest.approx([26 / 182])
    for (_, on), some in scores.groupby(["which", "active"]):
        assert some["count"].sum() == 2 * (26 if on else 156)
        lowest = some.loc[some["count"] > 0, "left"].min()
        assert lowest == pytest.approx(0.5 / 1.5 if on else 0, abs=1 / 100)


def test_ideal_biases_are_the_unimodal_atoms(tables, ideal):
    found = tables(*ideal)["unimodal"].set_index("side")
    assert found["row_atom"].to_dict() == {"image": 0, "text": 1}
    assert found["cosine"].tolist() == found["mean_cosine"].tolist() == [1, 1]
    assert found["frequency"].tolist() == [0.5, 0.5]
    assert found["energy_share"].tolist() == pytest.approx([1 / 4.5, 1 / 4.5])
    assert not found["strict"].any()


def test_unimodal_pairs_are_cosines_of_the_atoms_they_name(tables, ordinary):
    found = tables(*ordinary)["unimodal"]
    dictionary = load_file(ordinary[1])["dictionary"].astype(np.float64)
    assert len(found) > 4
    expected = (dictionary[found["row_atom"]] * dictionary[found["column_atom"]]).sum(axis=1)
    assert found["cosine"].to_numpy() == pytest.approx(expected)
    for _, side in found.groupby("side"):
        assert side["row"].max() == side["column"].max()
        assert len(side) == (side["row"].max() + 1) ** 2
        assert side["mean_cosine"].unique() == pytest.approx([side["cosine"].mean()])


def test_ranks_are_the_atoms_by_energy(measure, tables, ordinary):
    ranks = tables(*ordinary)["ranks"]
    atoms = measure(*ordinary)[1].set_index("atom")
    assert sorted(ranks["atom"]) == sorted(atoms.index)
    assert ranks["energy"].is_monotonic_decreasing
    own = atoms.loc[ranks["atom"]]
    live = (own["group"] != "dead").to_numpy()
    assert ranks["energy"].tolist() == np.where(live, own["energy"], 0).tolist()
    assert ranks["frequency"].tolist() == own["frequency"].tolist()
    assert ranks["energy_smooth"].notna().tolist() == live.tolist()


@pytest.mark.parametrize("side", ["image", "text"])
def test_modality_without_codes_has_tables_and_nothing_to_transport(
    measure, tables, ideal, tmp_path, side
):
    store, weights, codes = ideal
    read = open_codes(codes)
    empty = csr_matrix(read.image.shape, dtype=np.float32)
    changed = tmp_path / "half/codes.json"
    write_codes(changed, dataclasses.replace(read, **{side: empty}))
    found = tables(store, weights, changed)
    metrics, _ = measure(store, weights, changed)
    assert math.isnan(metrics["fda"].value)
    assert "no live atom" in metrics["transport_cost"].note
    assert found["transport"]["target_along_image"].isna().all()
    assert found["bridge_shares"]["share"].isna().all()
    assert set(found["unimodal"]["side"]) == {"image", "text"} - {side}
    assert found["scores"]["activity"].max() > 0
    assert (found["ranks"]["energy"] > 0).sum() == 15


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_dead_dictionary_has_tables(ideal, save_store):
    opened, n = open_store(ideal[0]), 182
    empty = csr_matrix((n, 16), dtype=np.float32)
    measured = Measured(opened, Codes(empty, empty, ""), np.eye(16), atom_energies(empty, empty))
    along = {"along_image": np.zeros(16)}
    assert bridge_shares_table(measured, 0.05)["share"].isna().all()
    assert transport_table(measured, 0.05, along, None)["target_along_image"].isna().all()
    assert scores_table(measured, 0.05).groupby("active")["count"].sum().to_dict() == {
        False: 4 * n,
        True: 0,
    }
    assert unimodal_table(measured, 0.05).empty
    assert (ranks_table(measured)["energy"] == 0).all()


def test_masking_unimodal_atoms_away_loses_recall_and_gap_as_computed_directly(measure, ordinary):
    _, weights, codes = ordinary
    metrics, _ = measure(*ordinary, tau=0.2)
    read, dictionary = open_codes(codes), load_file(weights)["dictionary"]
    groups = atom_energies(read.image, read.text).groups(0.2)
    kept = groups == "bimodal"
    assert 0 < kept.sum() < len(kept)
    for form, mask in (("reconstruction", np.ones(len(kept))), ("masked", kept)):
        image, text = ((z.toarray() * mask) @ dictionary for z in (read.image, read.text))
        gap = np.linalg.norm(image.mean(axis=0) - text.mean(axis=0))
        assert metrics[f"difference_in_mean_{form}"].value == pytest.approx(gap, rel=1e-4)
        unit = [
            x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-8) for x in (image, text)
        ]
        cosines = unit[0] @ unit[1].T
        own = np.diag(cosines)
        hits = (
            (own >= cosines.max(axis=1) - 1e-6).mean(),
            (own >= cosines.max(axis=0) - 1e-6).mean(),
        )
        assert metrics[f"recall_at_1_{form}"].value == pytest.approx(np.mean(hits), abs=0.01)
    lost = metrics["recall_at_1_reconstruction"].value - metrics["recall_at_1_masked"].value
    assert metrics["delta_r_at_1"].value == pytest.approx(lost)
    assert lost != 0


def test_masking_where_every_atom_is_bimodal_changes_nothing(measure, ordinary):
    metrics, atoms = measure(*ordinary, tau=1e-9)
    assert set(atoms["group"]) <= {"bimodal", "dead"}
    assert metrics["delta_r_at_1"].value == 0.0
    assert (
        metrics["difference_in_mean_masked"].value
        == metrics["difference_in_mean_reconstruction"].value
    )


def test_numbers_of_an_ordinary_case_agree_with_direct_computation(measure, ordinary):
    store, weights, codes = ordinary
    metrics, atoms = measure(*ordinary, tau=0.2)
    opened, read = open_store(store), open_codes(codes)
    dictionary = load_file(weights)["dictionary"].astype(np.float64)
    sides = [(opened.image[:], read.image.toarray()), (opened.text[:], read.text.toarray())]
    errors = [((x - z @ dictionary) ** 2).sum(axis=1).mean() for x, z in sides]
    assert metrics["mse"].value == pytest.approx(np.mean(errors), rel=1e-5)
    explained = [
        1 - ((x - z @ dictionary) ** 2).mean() / (x.astype(np.float64).var() + 1e-6)
        for x, z in sides
    ]
    assert metrics["r2"].value == pytest.approx(np.mean(explained), rel=1e-5)
    assert metrics["l0"].value == pytest.approx(np.mean([(z != 0).sum(1).mean() for _, z in sides]))
    assert metrics["l1"].value == pytest.approx(
        np.mean([np.abs(z).sum(1).mean() for _, z in sides])
    )
    energy = np.mean([(z.astype(np.float64) ** 2).mean(axis=0) for _, z in sides], axis=0)
    assert atoms["energy"].to_numpy() == pytest.approx(energy)
    shares = atoms.groupby("group")["energy"].sum() / energy.sum()
    for group in ("image", "text", "bimodal"):
        assert metrics[f"energy_share_{group}"].value == pytest.approx(shares.get(group, 0.0))
    always = np.mean([(z != 0).mean(axis=0) for _, z in sides], axis=0) > 0.9
    assert metrics["energy_share_degenerate"].value == pytest.approx(
        energy[always].sum() / energy.sum()
    )
    bimodal = (atoms["group"] == "bimodal").to_numpy()
    assert metrics["atoms_bimodal"].value == bimodal.sum()
    assert metrics["atoms_live"].value == (energy > 1e-12).sum()
    covariance = cross_covariance(read.image, read.text).dense()
    bridge = np.abs(covariance * (dictionary @ dictionary.T))
    neither = bridge[~bimodal][:, ~bimodal].sum()
    expected = (bridge.sum() - neither) / neither
    assert metrics["rho"].protocols["paper"] == pytest.approx(expected, rel=1e-4)


def test_p_acc_of_an_ordinary_case_agrees_with_direct_computation(measure, ordinary):
    store, weights, _ = ordinary
    metrics, atoms = measure(*ordinary, tau=0.2)
    opened, dictionary = open_store(store), load_file(weights)["dictionary"].astype(np.float64)
    x = np.concatenate([opened.image[:], opened.text[:]]).astype(np.float64)
    is_image = np.arange(len(x)) < len(opened)
    energy, group = atoms["energy"].to_numpy(), atoms["group"].to_numpy()
    for protocol, centre in (("code", energy @ dictionary / energy.sum()), ("paper", x.mean(0))):
        accuracy = (((x - centre) @ dictionary.T > 0) == is_image[:, None]).mean(axis=0)
        score = np.where(group == "image", accuracy, 1 - accuracy)
        best = np.maximum(accuracy, 1 - accuracy)
        between = {"code": 1.5 - best, "paper": 1 - 2 * (best - 0.5)}[protocol]
        score = np.where(group == "bimodal", between, score)
        expected = (energy * score).sum() / energy.sum()
        assert metrics["p_acc"].protocols[protocol] == pytest.approx(expected, abs=2e-3)


def test_sample_sizes_and_seed_are_told(measure, ordinary):
    metrics, _ = measure(*ordinary, probe=40, gap=50, seed=3)
    assert metrics["p_acc"].n == {"images": 40, "texts": 40}
    assert metrics["p_acc"].seed == 3
    assert metrics["difference_in_mean_masked"].n == {"images": 50, "texts": 50}
    assert metrics["mse"].n == {"pairs": 150}
    assert metrics["mse"].seed is None
    assert metrics["fda"].n == {"pairs": 150, "atoms": 34}
    assert "duality gap" in metrics["fda"].note


def test_same_seed_same_bytes_and_other_seed_other_sample(measure, ordinary, tmp_path):
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        measure(*ordinary, probe=40, gap=40, seed=seed, name=name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    name = "difference_in_mean_reconstruction.json"
    assert (tmp_path / "one" / name).read_bytes() != (tmp_path / "three" / name).read_bytes()


def test_codes_of_another_store_are_refused(measure, ideal, ordinary):
    with pytest.raises(InputError, match="was not made from"):
        measure(ordinary[0], ideal[1], ideal[2])


def test_codes_of_other_ids_are_refused(measure, ideal, save_store):
    opened = open_store(ideal[0])
    other = save_store("renamed", opened.image[:], opened.text[:])
    with pytest.raises(InputError, match="was not made from"):
        measure(other, *ideal[1:])


def test_codes_of_another_dictionary_are_refused(measure, ideal, save_dictionary):
    with pytest.raises(InputError, match="was not made with"):
        measure(ideal[0], save_dictionary("turned", np.eye(16)[::-1].copy(), 3), ideal[2])


def test_codes_of_fewer_atoms_are_refused_where_no_checkpoint_is_told(
    measure, ideal, save_dictionary
):
    told = json.loads(ideal[2].read_text())
    ideal[2].write_text(json.dumps(told | {"checkpoint": ""}))
    with pytest.raises(InputError, match="different atoms"):
        measure(ideal[0], save_dictionary("small", np.eye(16)[:9], 3), ideal[2])


def test_weights_without_a_dictionary_are_refused(measure, ideal):
    save_file({"encoder": np.eye(16)}, ideal[1])
    with pytest.raises(InputError, match="holds no dictionary"):
        measure(*ideal)


def test_every_promised_factor_metric_is_written_and_no_other(factors, ideal):
    metrics, _ = factors(*ideal)
    assert set(metrics) == set(FACTOR_METRICS)
    assert len(set(FACTOR_METRICS)) == len(FACTOR_METRICS)


def test_coefficients_of_the_ideal_case_are_those_of_its_atoms(factors, ideal):
    metrics, atoms = factors(*ideal)
    shared = atoms.iloc[2:]
    expected = np.average(shared["factor_shape"], weights=shared["energy"])
    assert metrics["coefficient_shared_bimodal"].value == pytest.approx(expected)
    assert expected > 0.1
    assert metrics["coefficient_shared_image"].value == 0.0
    assert metrics["coefficient_picture_bimodal"].value == 0.0


def test_bimodal_atoms_of_the_ideal_case_follow_the_shared_factor(factors, ideal):
    # Each shape has its atom on at full strength; the constant biases follow nothing.
    metrics, atoms = factors(*ideal)
    assert metrics["follows_shared_bimodal"].value == pytest.approx(1.0)
    assert metrics["follows_none_image"].value == 1.0
    assert metrics["follows_none_text"].value == 1.0
    assert metrics["follows_picture_bimodal"].value == 0.0
    assert atoms["best_factor"].tolist() == ["shape"] * 16
    assert atoms["followed"].tolist() == ["none", "none", *["shared"] * 14]
    assert atoms["coefficient"].to_numpy() == pytest.approx(atoms["factor_shape"].to_numpy())
    assert atoms["coefficient"].iloc[0] == 0.0


def test_atoms_follow_the_side_that_shows_a_factor(factors, save_store, save_dictionary, encoded):
    rng = np.random.default_rng(0)
    noise, tail, shape = rng.integers(2, size=(3, 600))
    axes = np.eye(6)
    image = axes[2 + shape] + 0.8 * axes[0] * noise[:, None]
    text = axes[2 + shape] + 0.8 * axes[1] * tail[:, None]
    image, text = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (image, text))
    store = save_store(
        "sided", image, text, factor_noise=noise, factor_tail=tail, factor_shape=shape
    )
    weights = save_dictionary("sided-sae", axes, l0=2)
    metrics, atoms = factors(store, weights, encoded("sided-codes", weights, store))
    assert atoms["group"].tolist() == ["image", "text", "bimodal", "bimodal", "dead", "dead"]
    for kind, group in (("picture", "image"), ("text", "text"), ("shared", "bimodal")):
        assert metrics[f"follows_{kind}_{group}"].value == pytest.approx(1.0)
    assert atoms["best_factor"].tolist()[:4] == ["noise", "tail", "shape", "shape"]
    assert atoms["coefficient"].iloc[:4].min() > 0.99


def test_store_without_factors_is_refused(factors, ordinary):
    with pytest.raises(InputError, match="has no known factors"):
        factors(*ordinary)
