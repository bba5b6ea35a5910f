"""Several SAEs of one store in one call: each as it would come out alone."""

import numpy as np
import pytest

from isoenergy.embed.rows import Rows
from isoenergy.train import fit as fitting
from isoenergy.train import pairs, saes
from isoenergy.train.pairs import Pairs
from isoenergy.train.saes import train_saes

FILES = ("sae.safetensors", "history.parquet", "config.json")
ALIGNED = {"alignment": "masked_cosine", "beta": 1e-3}
# A sweep, two seeds, three architectures, and different epochs.
KINDS = (
    {},
    ALIGNED,
    {"alignment": "masked_cosine", "beta": 1e-2, "epochs": 2},
    {"architecture": "batch_topk", "seed": 1},
    {"architecture": "relu", "epochs": 4},
    {**ALIGNED, "seed": 1},
)


@pytest.fixture
def alone(train, make_store):
    """The bytes of every SAE trained in a call of its own."""
    folders = [train(f"alone{i}", **kind) for i, kind in enumerate(KINDS)]
    return [[(folder / name).read_bytes() for name in FILES] for folder in folders]


@pytest.fixture
def together(recipe, tmp_path):
    """Train all kinds in one call; the bytes of every SAE."""

    def run(memory=4.0):
        recipes = [recipe(f"together{i}", **kind) for i, kind in enumerate(KINDS)]
        train_saes(tmp_path / "store", recipes, memory)
        folders = [tmp_path / f"together{i}" for i in range(len(KINDS))]
        assert not any((folder / "state.safetensors").exists() for folder in folders)
        return [[(folder / name).read_bytes() for name in FILES] for folder in folders]

    return run


@pytest.fixture
def read(monkeypatch):
    """How many windows of pairs are read, and how many SAEs each group has, from here on."""
    told = {"windows": 0, "groups": []}
    read, fit = pairs._read, saes.fit_together

    def counted(*args):
        told["windows"] += 1
        return read(*args)

    def grouped(fits, *args):
        told["groups"].append(len(fits))
        return fit(fits, *args)

    monkeypatch.setattr(pairs, "_read", counted)
    monkeypatch.setattr(saes, "fit_together", grouped)
    return told


def test_saes_of_one_call_have_the_bytes_of_separate_calls(alone, together, read):
    assert together() == alone
    # Four of the first seed see the pairs in one order, two of the second in another.
    assert read["groups"] == [4, 2]
    # Two sides, 4 epochs of the longest SAE of the first seed and 3 of the second.
    assert read["windows"] == 2 * (4 + 3)


def test_what_does_not_fit_into_memory_is_trained_in_turn(alone, together, read):
    # A plain SAE trains 24 x 12 numbers of 16 bytes each, a linear one 24 x 13 more.
    assert together(memory=2.1 * 24 * 12 * 16 / 1e9) == alone
    assert read["groups"] == [2, 1, 1, 1, 1]


@pytest.mark.parametrize("steps", [0, 3, 9, 17, 19, 20, 33])
def test_a_killed_call_goes_on_to_the_same_bytes(alone, together, killed_after, steps):
    # 20 steps of the first group, then 15 of the second.
    killed_after(steps, together)
    assert together() == alone


def test_a_call_killed_while_states_are_written_goes_on_to_the_same_bytes(
    alone, together, monkeypatch
):
    save, left = fitting.save_state, iter(range(6))

    def some(*args):
        if next(left, None) is None:
            raise RuntimeError("killed")
        save(*args)

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "_SAVE_SECONDS", -1.0)
        patch.setattr(fitting, "save_state", some)
        with pytest.raises(RuntimeError, match="killed"):
            together()
    assert together() == alone


def test_a_call_killed_before_its_last_checkpoint_trains_nothing_twice(
    alone, together, monkeypatch
):
    save, step, left, steps = saes.save_sae, fitting.take_step, iter(range(5)), []

    def some(*args):
        if next(left, None) is None:
            raise RuntimeError("killed")
        save(*args)

    def counted(*args):
        steps.append(1)
        return step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(saes, "save_sae", some)
        with pytest.raises(RuntimeError, match="killed"):
            together()
    monkeypatch.setattr(fitting, "take_step", counted)
    assert together() == alone
    assert steps == []


def test_saes_of_another_order_are_not_fitted_together(recipe):
    training, state = recipe("one").training, recipe("one").state
    size = (12, 24, 3)
    fits = [
        fitting.start("matching_pursuit", size, training, seed, state, "one") for seed in range(2)
    ]
    sides = [Rows([np.eye(12, dtype=np.float32)])] * 2
    with pytest.raises(ValueError, match="in the same order"):
        fitting.fit_together(fits, *sides, "")


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 7)
    monkeypatch.setattr(pairs, "WINDOW", 30)


def numbered(n):
    """Pairs that say which they are, in two parts."""
    side = np.repeat(np.arange(n, dtype=np.float32)[:, None], 2, axis=1)
    return Rows([side[: n // 2], side[n // 2 :]]), Rows([-side])


@pytest.mark.parametrize(("n", "size"), [(100, 8), (101, 4), (29, 8), (64, 1000), (210, 30)])
def test_every_pair_is_read_once_an_epoch_from_any_step_on(small_windows, n, size):
    source = Pairs(*numbered(n), 3, size)
    batches = list(source.batches(0, 2 * source.steps))
    assert [b.size for b in batches] == [len(b.sides[0]) for b in batches]
    for epoch in (batches[: source.steps], batches[source.steps :]):
        image, text = (np.concatenate([b.sides[i] for b in epoch])[:, 0] for i in (0, 1))
        assert np.array_equal(np.sort(image), np.arange(n))
        assert np.array_equal(image, -text)
    for first in range(0, 2 * source.steps, 5):
        again = list(source.batches(first, 2 * source.steps))
        for one, two in zip(again, batches[first:], strict=True):
            assert np.array_equal(one.sides[0], two.sides[0])


def test_a_window_is_read_in_whole_blocks_and_shuffled(small_windows):
    source = Pairs(*numbered(210), 3, 6)
    rows = source.order(0, 2)
    # 30 pairs of blocks of 7 that lie anywhere: of at least three blocks all, in another order.
    blocks, found = np.unique(rows // 7, return_counts=True)
    assert len(rows) == 30
    assert (found == 7).sum() >= 3
    assert len(blocks) <= 6
    assert np.diff(blocks).max() > 1
    assert not np.array_equal(rows, np.sort(rows))
    assert not np.array_equal(rows, source.order(1, 2))


def test_a_store_no_larger_than_a_window_is_shuffled_as_a_whole(small_windows):
    rows = Pairs(*numbered(30), 3, 10).order(0, 0)
    assert np.array_equal(np.sort(rows), np.arange(30))
    # Neighbours stay together less often than in blocks of 7, where 6 of 7 would.
    assert (rows[:10] // 7 == rows[0] // 7).sum() < 7
