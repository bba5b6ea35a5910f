"""Tables that measure_sae writes for figures."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from scipy.sparse import csr_matrix

from isoenergy.embed.store import open_store
from isoenergy.encode.codes import Codes, open_codes, write_codes
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
    SAE_TABLES,
)


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
    # As its rho: both covariances kept are of a bias and another atom, whose cosine is 0.
    shares = tables(*ideal)["bridge_shares"]
    assert shares.groupby("pair").size().tolist() == [100] * 6
    assert shares["share"].isna().all()
    assert set(shares["tau"]) == {0.05}


def test_bridge_shares_agree_with_direct_computation(tables, ordinary, save_dictionary, encoded):
    # So many atoms that bridges are left above both limits.
    atoms = np.random.default_rng(0).standard_normal((300, 16))
    weights = save_dictionary("wide", atoms / np.linalg.norm(atoms, axis=1, keepdims=True), 12)
    codes = encoded("wide-codes", weights, ordinary[0])
    read, dictionary = open_codes(codes), load_file(weights)["dictionary"]
    covariance = read.image[:].toarray().T @ read.text[:].toarray() / len(read)
    bridge = np.ones_like(covariance)
    for factor, share in ((covariance, 0.999), (dictionary @ dictionary.T, 0.9)):
        limit = np.sort(factor, axis=None)[int(share * factor.size) - 1]
        bridge *= np.where(np.abs(factor) >= limit, np.abs(factor), 0)
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
