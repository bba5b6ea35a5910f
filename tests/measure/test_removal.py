import numpy as np
import pandas as pd
import pytest

from isoenergy.errors import InputError
from isoenergy.measure.opened import open_measured
from isoenergy.measure.ranking import draw_pairs, reorder
from isoenergy.measure.reconstruction import reconstruct
from isoenergy.measure.removal import (
    QUERIES,
    RANKING_METRICS,
    REMOVALS,
    margins_table,
    measure_ranking,
    ranking_metrics,
    remove,
    reorder_sides,
    spreads_table,
)

KEYS = [(removal, query) for removal in REMOVALS for query in QUERIES]


@pytest.fixture
def measure_files(tmp_path, read_metrics):
    def run(files, saes=1, name="out", seed=0):
        store, weights, codes = files
        folder = tmp_path / name
        tables = folder / "margins.parquet", folder / "spreads.parquet"
        measure_ranking(store, [weights] * saes, [codes] * saes, folder, *tables, 0.05, seed)
        metrics = {key: read_metrics(folder.joinpath(*key)) for key in KEYS}
        return metrics, *map(pd.read_parquet, tables)

    return run


def test_on_ideal_pairs_a_constant_projection_keeps_every_order(ideal, measure_files):
    # Modality information is one axis that no candidate has, so epsilon is 0 and K.1 holds.
    metrics, margins, spreads = measure_files(ideal)
    for key in KEYS:
        value = {name: metric.value for name, metric in metrics[key].items()}
        assert set(value) == set(RANKING_METRICS)
        assert value["share_flipped"] == 0
        assert np.isnan(value["share_of_flips_meeting_condition"])
        assert np.isnan(value["largest_flip_over_spread"])
    for query in QUERIES:
        atoms = metrics["atoms", query]
        assert atoms["spread"].value == pytest.approx(0, abs=1e-6)
        assert atoms["modality_over_content"].value == pytest.approx(0, abs=1e-6)
        assert atoms["share_of_guaranteed_flipped"].value == 0
        # Of 181 * 182 / 2 pairs each query has 500 drawn; candidates lose the same length.
        assert atoms["share_flipped"].n == {
            "candidate_pairs": 182 * 500, "queries": 182, "candidates": 182, "seeds": 1,
        }  # fmt: skip
        assert atoms["share_flipped_both"].value == 0
    assert not margins["flipped"].any()
    assert len(margins) == 4 * 1000
    assert len(spreads) == 4 * 182
    assert spreads["largest_flip"].isna().all()


def test_on_ordinary_pairs_flips_are_those_that_the_propositions_allow(ordinary, measure_files):
    metrics, margins, spreads = measure_files(ordinary, saes=2)
    for key in KEYS:
        value = {name: metric.value for name, metric in metrics[key].items()}
        assert value["share_flipped"] > 0.01
        assert value["share_of_flips_meeting_condition"] == 1
        assert value["share_meeting_condition"] == value["share_flipped"]
        assert value["share_of_guaranteed_flipped"] == 0
        assert 0 < value["largest_flip_over_spread"] <= 1
        assert metrics[key]["share_flipped"].protocol == "paper"
        # The same SAE twice.
        assert metrics[key]["share_flipped"].sd == 0
    # What is drawn: in the order before, and a flip where removal takes more than there was.
    assert (margins["before"] >= 0).all()
    flips = margins["before"] + margins["change"] < 0
    np.testing.assert_array_equal(margins["flipped"], flips)
    np.testing.assert_array_equal(margins["flipped"], margins["foretold"])
    told = spreads.dropna()
    assert (told["largest_flip"] <= told["spread"]).all()
    assert len(told) > len(spreads) / 2


def test_shares_are_those_of_rankings_of_reconstructions_by_plain_cosines(ordinary):
    store, weights, codes = ordinary
    measured = open_measured(store, weights, codes)
    bimodal = measured.energies.groups(0.05) == "bimodal"
    found = reorder_sides(measured, 0.05, 3)
    whole = {name: reconstruct(getattr(measured.codes, name), measured.dictionary).astype(float)
             for name in QUERIES}  # fmt: skip
    bare = {
        ("atoms", name): reconstruct(getattr(measured.codes, name), measured.dictionary, bimodal)
        for name in QUERIES
    }
    bare |= {("mean", name): whole[name] - whole[name].mean(axis=0) for name in QUERIES}

    def ranks(queries, candidates):
        lengths = np.linalg.norm(candidates, axis=1, keepdims=True)
        return queries @ (candidates / lengths).T

    i, j = np.triu_indices(150, k=1)
    for removal, query in KEYS:
        other = QUERIES[query == "image"]
        before = ranks(whole[query], whole[other])
        for after, flipped in (
            (ranks(bare[removal, query], whole[other]), found[removal, query][0].flipped),
            (ranks(bare[removal, query], bare[removal, other]), found[removal, query][1]),
        ):
            opposite = (before[:, i] - before[:, j]) * (after[:, i] - after[:, j]) < 0
            # Every pair here, a drawn part there: 75,000 pairs.
            assert opposite.mean() == pytest.approx(flipped.mean(), abs=0.01)


def test_content_and_modality_sum_to_the_reconstruction(ordinary):
    measured = open_measured(*ordinary)
    codes, mean = measured.codes.text[:], np.arange(16.0)
    bimodal = np.arange(34) % 3 == 0
    rebuilt = codes.toarray().astype(float) @ measured.dictionary.astype(float)
    kept = (codes.toarray() * bimodal).astype(float) @ measured.dictionary.astype(float)
    for removal, expected in (("atoms", kept), ("mean", rebuilt - mean)):
        removed = remove(removal, codes, measured.dictionary, bimodal, mean)
        np.testing.assert_allclose(removed.whole, rebuilt, atol=1e-12)
        np.testing.assert_allclose(removed.content, expected, atol=1e-12)


def test_metrics_by_hand():
    axes = np.eye(2)
    first, second = draw_pairs(2, 3, 3, np.random.default_rng(0))
    candidates = np.array([[0.8, 0.6], [0, 1], [0.6, -0.8]])
    # Of the first query see test_ranking; the second is zero.
    content, modality = np.array([0.5 * axes[1], 0 * axes[1]]), np.array([axes[0], 0 * axes[0]])
    outcome = reorder(content, modality, candidates, first, second)
    found = ranking_metrics(outcome, np.zeros((2, 3), dtype=bool))
    length = np.sqrt(1.25)
    assert found == pytest.approx(
        {
            "share_flipped": 1 / 6,
            "share_tied": 3 / 6,
            "share_meeting_condition": 1 / 6,
            "share_of_flips_meeting_condition": 1,
            "share_guaranteed": 1 / 6,
            "share_of_guaranteed_flipped": 0,
            "spread": 0.8 / length,
            "largest_flip_over_spread": 0.2 / 0.8,
            "modality_over_content": np.sqrt((0.64 + 0.04 + 0.36) / (0.04 + 0.49 + 0.81)),
            "share_flipped_both": 0,
        }
    )
    margins = margins_table(outcome, np.random.default_rng(0))
    assert (margins["before"] * length).tolist() == pytest.approx([0.6, 0.9, 0.3])
    assert (margins["change"] * length).tolist() == pytest.approx([-0.8, -0.2, 0.6])
    assert margins["flipped"].tolist() == [True, False, False]
    spreads = spreads_table(outcome)
    assert (spreads * length).to_numpy().tolist() == [pytest.approx([0.8, 0.2])]


def test_a_single_pair_leaves_nothing_to_rank(save_store, save_dictionary, encoded, measure_files):
    axes = np.eye(4)
    store = save_store("one", axes[:1], axes[1:2])
    weights = save_dictionary("one-sae", axes, l0=1)
    files = store, weights, encoded("one-codes", weights, store)
    metrics, margins, spreads = measure_files(files)
    for key in KEYS:
        assert metrics[key]["share_flipped"].n["candidate_pairs"] == 0
        assert np.isnan(metrics[key]["share_flipped"].value)
        assert metrics[key]["spread"].value == 0
    assert margins.empty
    assert list(margins) == ["before", "change", "flipped", "foretold", "removal", "query"]
    assert len(spreads) == 4


def test_equal_seeds_give_equal_bytes_and_missing_codes_are_refused(ordinary, tmp_path):
    store, weights, codes = ordinary
    made = []
    for name in ("a", "b"):
        folder = tmp_path / name
        tables = folder / "margins.parquet", folder / "spreads.parquet"
        measure_ranking(store, [weights], [codes], folder, *tables, 0.05, 4)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        made.append([(path.relative_to(folder), path.read_bytes()) for path in paths])
    assert made[0] == made[1]
    assert len(made[0]) == len(KEYS) * len(RANKING_METRICS) + 2
    with pytest.raises(InputError, match="there are 2 SAEs and codes of 1; give codes of every"):
        measure_ranking(store, [weights] * 2, [codes], folder, *tables, 0.05, 4)
