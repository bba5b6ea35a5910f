import numpy as np
import pandas as pd
import pytest

from isoenergy.embed.store import open_store
from isoenergy.errors import InputError
from isoenergy.measure.classifier import ClassifierTraining
from isoenergy.measure.embeddings import (
    CLASS_METRICS,
    CLASSIFIER_METRICS,
    PAIR_METRICS,
    Samples,
    draw_rows,
    measure_classifier,
    measure_embeddings,
)
from isoenergy.measure.gap import relative_modality_gap, wasserstein
from isoenergy.measure.geometry import COSINE_KINDS
from isoenergy.measure.outliers import ood_scores

ALL = Samples(gap=10**6, wasserstein=10**6, recall=10**6)
TRAINING = ClassifierTraining(epochs=30, batch_size=32, rate=3e-2, warm_up_steps=10)


@pytest.fixture
def measure(tmp_path, read_metrics):
    def run(store, samples=ALL, seed=0, name="metrics"):
        folder = tmp_path / name
        paths = [folder / "figures" / f"{figure}.parquet" for figure in ("pca", "cosines")]
        measure_embeddings(store, folder, *paths, samples, seed)
        return read_metrics(folder), *map(pd.read_parquet, paths)

    return run


@pytest.fixture
def labelled(save_store):
    """Images of four classes around their class vectors, some nearer to a wrong one."""

    def make(name, n=160, seed=0, n_classes=4, noise=0.2, dim=8):
        rng = np.random.default_rng(seed)
        classes = np.eye(dim, dtype=np.float32)[:n_classes]
        labels = rng.integers(n_classes, size=n)
        image = classes[labels] + noise * rng.standard_normal((n, dim))
        image /= np.linalg.norm(image, axis=1, keepdims=True)
        return save_store(name, image, classes[labels], classes, label=labels)

    return make


def test_pairs_get_every_promised_metric_and_no_other(measure, ordinary):
    assert set(measure(ordinary[0])[0]) == set(PAIR_METRICS)


def test_classes_get_zero_shot_too(measure, labelled):
    assert set(measure(labelled("classes"))[0]) == {*PAIR_METRICS, *CLASS_METRICS}


def test_numbers_agree_with_direct_computation(measure, ordinary):
    metrics, *_ = measure(ordinary[0])
    opened = open_store(ordinary[0])
    image, text = opened.image[:].astype(np.float64), opened.text[:].astype(np.float64)
    gap = np.linalg.norm(image.mean(axis=0) - text.mean(axis=0))
    assert metrics["difference_in_mean"].value == pytest.approx(gap, rel=1e-5)
    assert metrics["wasserstein"].value == pytest.approx(wasserstein(image, text).cost, rel=1e-5)
    cosines = image @ text.T
    rank = [(c > np.diag(c)[:, None]).sum(axis=1) for c in (cosines, cosines.T)]
    for k in (1, 5):
        expected = (np.concatenate(rank) < k).mean()
        assert metrics[f"recall_at_{k}"].value == pytest.approx(expected, abs=1e-9)
    assert 0 < metrics["recall_at_1"].value < metrics["recall_at_5"].value < 1
    assert metrics["separability"].protocol == "paper"
    assert metrics["separability"].value > 0.9
    assert metrics["rmg"].protocol == "paper"
    assert metrics["rmg"].value == pytest.approx(relative_modality_gap(image, text))
    assert metrics["ood_score"].protocols == ood_scores(image, text)
    assert metrics["ood_score"].value > 0.9


def test_zero_shot_agrees_with_direct_computation(measure, labelled):
    store = labelled("classes", noise=0.6, n_classes=6)
    metrics, *_ = measure(store)
    opened = open_store(store)
    order = np.argsort(-opened.image[:] @ opened.classes.T, axis=1)
    labels = opened.metadata()["label"].to_numpy()[:, None]
    for k in (1, 5):
        expected = (order[:, :k] == labels).any(axis=1).mean()
        assert metrics[f"zero_shot_at_{k}"].value == pytest.approx(expected)
    assert metrics["zero_shot_at_1"].value < metrics["zero_shot_at_5"].value < 1
    assert metrics["zero_shot_at_1"].n == {"images": 160}


def test_sample_sizes_are_told(measure, ordinary):
    metrics, pca, _ = measure(ordinary[0], Samples(gap=60, wasserstein=20, recall=70), seed=5)
    assert metrics["difference_in_mean"].n == {"images": 60, "texts": 60}
    assert metrics["wasserstein"].n == {"images": 20, "texts": 20}
    assert metrics["separability"].n == {"images": 60, "texts": 60}
    assert metrics["rmg"].n == {"pairs": 60}
    assert metrics["ood_score"].n == {"images": 60, "texts": 60}
    assert metrics["recall_at_1"].n == {"pairs": 70}
    assert metrics["wasserstein"].seed == 5
    assert len(pca) == 120


def test_same_seed_same_bytes_and_other_seed_other_sample(measure, ordinary, tmp_path):
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        measure(ordinary[0], Samples(40, 20, 40), seed, name)
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == len(PAIR_METRICS) + 2
    for path in files:
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()
    name = "wasserstein.json"
    assert (tmp_path / "one" / name).read_bytes() != (tmp_path / "three" / name).read_bytes()


def test_figure_data_show_the_gap(measure, ordinary):
    metrics, pca, cosines = measure(ordinary[0])
    middles = pca.groupby("modality")[["x", "y"]].mean()
    spread = pca.groupby("modality")[["x", "y"]].std().to_numpy().max()
    assert np.linalg.norm(middles.loc["image"] - middles.loc["text"]) > spread
    along = pca.groupby("modality")["along"].mean()
    dim = metrics["difference_in_mean"].value
    assert along["image"] - along["text"] == pytest.approx(dim, rel=1e-5)
    assert pca["modality"].value_counts().to_dict() == {"image": 150, "text": 150}
    assert set(cosines["kind"]) == set(COSINE_KINDS)
    area = (
        (cosines["density"] * (cosines["right"] - cosines["left"])).groupby(cosines["kind"]).sum()
    )
    assert area.to_numpy() == pytest.approx(1.0)


def test_drawn_rows_are_different_and_at_most_all():
    rng = np.random.default_rng(0)
    assert sorted(draw_rows(7, 100, rng)) == list(range(7))
    drawn = draw_rows(100, 30, rng)
    assert len(set(drawn.tolist())) == 30
    assert not np.array_equal(drawn, draw_rows(100, 30, rng))


def test_classifier_gets_every_promised_metric(labelled, tmp_path, read_metrics):
    measure_classifier(
        labelled("train", seed=0), labelled("test", 90, seed=1), tmp_path / "m", TRAINING, 2
    )
    metrics = read_metrics(tmp_path / "m")
    assert set(metrics) == set(CLASSIFIER_METRICS)
    assert metrics["classifier_at_1"].value > 0.9
    assert metrics["classifier_at_5"].value == 1.0
    assert metrics["classifier_at_1"].n == {"train": 160, "test": 90}
    assert metrics["classifier_at_1"].seed == 2


@pytest.mark.parametrize("changed", [{"n_classes": 5}, {"dim": 9}])
def test_classifier_refuses_other_classes(labelled, tmp_path, changed):
    with pytest.raises(InputError, match="same labelled classes"):
        measure_classifier(
            labelled("train"), labelled("test", **changed), tmp_path / "m", TRAINING, 0
        )


def test_classifier_refuses_a_store_without_classes(labelled, ordinary, tmp_path):
    for stores in ((labelled("train"), ordinary[0]), (ordinary[0], labelled("test"))):
        with pytest.raises(InputError, match="same labelled classes"):
            measure_classifier(*stores, tmp_path / "m", TRAINING, 0)
