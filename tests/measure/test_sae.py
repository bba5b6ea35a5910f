import json
import math

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from isoenergy.embed.store import open_store
from isoenergy.encode.codes import open_codes
from isoenergy.errors import InputError
from isoenergy.measure.blockwise import cross_covariance
from isoenergy.measure.energy import atom_energies
from isoenergy.measure.sae import (
    SAE_METRICS,
)
from isoenergy.render.tables import TABLES


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
    # Kept from the 255th smallest of 256 covariances on are those of a bias and another atom, whose
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


def test_masking_unimodal_atoms_away_loses_recall_and_gap_as_computed_directly(measure, ordinary):
    _, weights, codes = ordinary
    metrics, _ = measure(*ordinary, tau=0.2)
    read, dictionary = open_codes(codes), load_file(weights)["dictionary"]
    groups = atom_energies(read.image, read.text).groups(0.2)
    kept = groups == "bimodal"
    assert 0 < kept.sum() < len(kept)
    for form, mask in (("reconstruction", np.ones(len(kept))), ("masked", kept)):
        image, text = ((z[:].toarray() * mask) @ dictionary for z in (read.image, read.text))
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


def test_masked_metrics_tell_the_share_of_images_and_texts_that_are_zero(
    measure, save_store, save_dictionary, encoded
):
    axes = np.eye(16)
    # Of eight pairs two share an axis; the other images and texts have nothing but their own.
    image, text = axes[[2, 2, 0, 0, 0, 0, 3, 0]], axes[[2, 2, 1, 1, 1, 1, 1, 3]]
    store = save_store("apart", image, text)
    weights = save_dictionary("apart-sae", axes, l0=1)
    metrics, _ = measure(store, weights, encoded("apart-codes", weights, store))
    share = {"image": 5 / 8, "text": 5 / 8}
    for name in ("recall_at_1_masked", "difference_in_mean_masked", "delta_r_at_1"):
        assert metrics[name].zero_share == share
    for name in ("recall_at_1_reconstruction", "difference_in_mean_reconstruction", "r2", "l0"):
        assert metrics[name].zero_share == {"image": 0, "text": 0}
    assert metrics["rho"].zero_share == {}


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
    sides = [(opened.image[:], read.image[:].toarray()), (opened.text[:], read.text[:].toarray())]
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
