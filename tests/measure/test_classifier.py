import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from isoenergy.measure.classifier import ClassifierTraining, classifier_accuracy

TRAINING = ClassifierTraining(epochs=30, batch_size=32, rate=3e-2, warm_up_steps=10)


def clusters(n, seed, n_classes=4, noise=0.1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    return (np.eye(8)[labels] + noise * rng.standard_normal((n, 8))).astype(np.float32), labels


def accuracy(train, test, training=TRAINING, n_classes=4, ks=(1,), seed=0):
    return classifier_accuracy(*train, *test, n_classes, ks, training, seed)


def test_separable_classes_are_told_apart():
    assert accuracy(clusters(200, 0), clusters(100, 1), ks=(1, 2)) == {1: 1.0, 2: 1.0}


def test_classes_are_told_apart_whatever_the_offset_and_scale_of_the_rows():
    (train, labels), (test, truth) = clusters(200, 0), clusters(100, 1)
    found = accuracy((0.05 * train + 3, labels), (0.05 * test + 3, truth))
    assert found[1] > 0.95


def test_random_labels_are_told_apart_by_chance():
    train, test = clusters(400, 0, noise=1), clusters(800, 1, noise=1)
    shuffled = train[0], np.random.default_rng(5).permutation(train[1])
    assert accuracy(shuffled, test)[1] == pytest.approx(0.25, abs=0.12)


def test_labels_known_to_be_wrong_are_counted_as_wrong():
    x, labels = clusters(100, 1)
    assert accuracy(clusters(200, 0), (x, (labels + 1) % 4))[1] == 0.0


def test_top_all_is_certain_even_beyond_the_number_of_classes():
    found = accuracy(clusters(40, 0), clusters(40, 1, noise=3), ks=(1, 4, 5))
    assert found[4] == found[5] == 1.0
    assert found[1] < 1.0


def test_same_seed_same_accuracy_whatever_the_global_generator():
    train, test = clusters(150, 0, noise=1), clusters(500, 1, noise=1)
    short = ClassifierTraining(epochs=1, batch_size=32, rate=1e-3, warm_up_steps=2)
    torch.manual_seed(1)
    first = accuracy(train, test, short, seed=3)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert accuracy(train, test, short, seed=3) == first
    assert torch.equal(torch.get_rng_state(), before)
    assert any(accuracy(train, test, short, seed=seed) != first for seed in (4, 5, 6))


def test_last_batch_of_one_row_is_no_obstacle():
    assert accuracy(clusters(161, 0), clusters(60, 1))[1] == 1.0


def test_rate_warms_up_then_falls_as_a_cosine(monkeypatch):
    rates, step = [], torch.optim.Adam.step

    def watch(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", watch)
    training = ClassifierTraining(epochs=4, batch_size=32, rate=0.1, warm_up_steps=4)
    accuracy(clusters(96, 0), clusters(10, 1), training)
    decay = [0.05 * (1 + np.cos(np.pi * i / 8)) for i in range(8)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, *decay])


def test_trained_long_enough_it_is_as_good_as_a_logistic_regression():
    train, test = clusters(600, 0, noise=0.6), clusters(2000, 1, noise=0.6)
    probe = LogisticRegression(C=1e6, max_iter=2000).fit(*train)
    assert 0.6 < probe.score(*test) < 0.95
    long = ClassifierTraining(epochs=40, batch_size=200, rate=3e-2, warm_up_steps=10)
    assert accuracy(train, test, long)[1] == pytest.approx(probe.score(*test), abs=0.02)
