import numpy as np
import pandas as pd
import pytest

from isoenergy.encode.codes import open_codes
from isoenergy.errors import InputError
from isoenergy.measure.intervened import (
    CLASS_METRICS,
    FORMS,
    PAIR_METRICS,
    InterventionSettings,
    mean_reconstructions,
    measure_interventions,
)
from isoenergy.measure.opened import read_dictionary
from isoenergy.measure.reconstruction import reconstruct

SETTINGS = InterventionSettings(
    tau=0.05, means="train", gap=1000, wasserstein=100, ood=100, recall=1000
)


def measure(folder, files, train_codes=None, settings=SETTINGS, seed=0):
    store, weights, codes = files
    measure_interventions(
        store,
        weights,
        codes,
        train_codes or codes,
        folder,
        folder / "neighbours.parquet",
        settings,
        seed,
    )


@pytest.fixture
def metrics(read_metrics):
    return lambda folder: {form: read_metrics(folder / form) for form in FORMS}


def test_on_ideal_pairs_the_mask_leaves_what_is_shared_and_nothing_else(ideal, tmp_path, metrics):
    measure(tmp_path / "out", ideal)
    found = metrics(tmp_path / "out")
    assert {name for form in found.values() for name in form} == set(PAIR_METRICS)
    value = {form: {name: m.value for name, m in found[form].items()} for form in FORMS}
    # Rows of norm 1 hold the modality's axis with weight 2/3: the means differ by sqrt(2) * 2/3.
    assert value["reconstruction"]["difference_in_mean"] == pytest.approx(np.sqrt(8) / 3, rel=1e-5)
    for form in ("centered", "masked", "shifted"):
        assert value[form]["difference_in_mean"] == pytest.approx(0, abs=1e-6)
    # Without the modality's axis an image and its text are the same vector.
    assert value["masked"]["rmg"] == pytest.approx(0, abs=1e-6)
    assert value["masked"]["wasserstein"] < value["reconstruction"]["wasserstein"] / 2
    assert value["masked"]["recall_at_1"] == 1
    assert value["reconstruction"]["separability"] == 1
    assert value["reconstruction"]["ood_score"] > 0.95


def test_the_mask_tells_which_reconstructions_it_leaves_zero(
    save_store, save_dictionary, encoded, tmp_path, metrics
):
    axes = np.eye(6)
    weights = save_dictionary("axes", axes, l0=1)
    store = save_store("apart", axes[[2, 0, 0, 3]], axes[[2, 1, 3, 1]])
    measure(tmp_path / "out", (store, weights, encoded("apart-codes", weights, store)))
    for form, found in metrics(tmp_path / "out").items():
        share = {"image": 0.5, "text": 0.5} if form == "masked" else {"image": 0, "text": 0}
        assert {name: metric.zero_share for name, metric in found.items()} == dict.fromkeys(
            found, share
        ), form


def test_means_are_those_of_the_training_set_or_the_set_s_own(
    ideal, save_store, encoded, tmp_path, metrics
):
    _, weights, codes = ideal
    rng = np.random.default_rng(3)
    other = save_store(
        "other", *(x / np.linalg.norm(x, axis=1)[:, None] for x in rng.random((2, 80, 16)) + 0.1)
    )
    files = other, weights, encoded("other-codes", weights, other)
    gap = {}
    for means in ("train", "own"):
        settings = InterventionSettings(0.05, means, 1000, 50, 50, 1000)
        measure(tmp_path / means, files, codes, settings)
        gap[means] = metrics(tmp_path / means)["centered"]["difference_in_mean"].value
    assert gap["own"] == pytest.approx(0, abs=1e-6)
    assert gap["train"] > 0.1


def test_means_from_mean_codes_are_means_of_reconstructions(ordinary):
    _, weights, codes = ordinary
    read, dictionary = open_codes(codes), read_dictionary(weights)
    means = mean_reconstructions(read, dictionary)
    np.testing.assert_allclose(
        means.image, reconstruct(read.image, dictionary).mean(0, dtype=np.float64), atol=1e-6
    )
    np.testing.assert_allclose(
        means.text, reconstruct(read.text, dictionary).mean(0, dtype=np.float64), atol=1e-6
    )


def test_classes_add_zero_shot_accuracy_with_reconstructed_class_vectors(
    save_store, save_dictionary, encoded, tmp_path, metrics
):
    axes = np.eye(6)
    labels = np.array([0, 1, 2, 2, 1, 0])
    classes = axes[[1, 2, 3]].astype(np.float32)
    image = axes[[1, 2, 3, 3, 2, 1]] + 0.5 * axes[0]
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    store = save_store("classes", image, classes[labels], classes, label=labels)
    weights = save_dictionary("axes", axes, l0=2)
    files = store, weights, encoded("class-codes", weights, store)
    measure(tmp_path / "out", files)
    for form, found in metrics(tmp_path / "out").items():
        assert set(found) == {*PAIR_METRICS, *CLASS_METRICS}, form
    assert metrics(tmp_path / "out")["masked"]["zero_shot_at_1"].value == 1

    fewer = save_store("fewer", image[:2], classes[labels[:2]], classes, label=labels[:2])
    files = fewer, weights, encoded("fewer-codes", weights, fewer)
    with pytest.raises(InputError, match="class 2 of 3 has no picture"):
        measure(tmp_path / "fewer-out", files)


def test_densities_hold_every_form_and_sum_to_one(ordinary, tmp_path):
    measure(tmp_path, ordinary)
    table = pd.read_parquet(tmp_path / "neighbours.parquet")
    mass = table.assign(mass=table.density * (table.right - table.left))
    sums = mass.groupby(["form", "modality"], sort=False).mass.sum()
    assert list(dict.fromkeys(table.form)) == list(FORMS)
    np.testing.assert_allclose(sums, 1)


def test_equal_seeds_give_equal_numbers_and_an_unknown_choice_is_refused(
    ordinary, tmp_path, metrics
):
    for name in ("a", "b"):
        measure(tmp_path / name, ordinary, seed=4)
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    with pytest.raises(InputError, match="means is 'laion'; allowed are train and own"):
        measure(tmp_path, ordinary, settings=InterventionSettings(0.05, "laion", 10, 10, 10, 256))
