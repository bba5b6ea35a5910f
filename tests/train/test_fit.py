import json
import logging
import math
import time

import numpy as np
import pandas as pd
import pytest
import torch

from isoenergy.embed.rows import Rows
from isoenergy.errors import InputError
from isoenergy.measure.metric import Metric, write_metric
from isoenergy.train import fit as fitting
from isoenergy.train import saes
from isoenergy.train.checkpoint import build_sae, load_sae
from isoenergy.train.fit import Training, fit

WEIGHTS, HISTORY, STATE = "sae.safetensors", "history.parquet", "state.safetensors"
ALIGNED = {"alignment": "masked_cosine", "beta": 1e-3}


@pytest.fixture
def watched(monkeypatch):
    """The learning rate, beta1, gradient norm and batch size of every step from here on."""
    seen, step = [], fitting.take_step

    def watch(objective, sae, x, rows, training, optimiser):
        group = optimiser.param_groups[0]
        told = {"rate": group["lr"], "beta1": group["betas"][0], "pairs": len(x) // 2}
        figures = step(objective, sae, x, rows, training, optimiser)
        gradients = [p.grad.norm() for p in sae.parameters()]
        seen.append({**told, "norm": float(torch.stack(gradients).norm())})
        return figures

    monkeypatch.setattr(fitting, "take_step", watch)
    return seen


def cosine_between(first, last, share):
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def test_rate_and_momentum_follow_the_one_cycle_closed_form(train, watched):
    train("one", epochs=4, peak_rate=5e-4)
    assert len(watched) == 4 * 5
    top = 0.3 * 20 - 1
    for step, told in enumerate(watched):
        if step <= top:
            rate = cosine_between(2e-5, 5e-4, step / top)
            beta1 = cosine_between(0.95, 0.85, step / top)
        else:
            rate = cosine_between(5e-4, 2e-9, (step - top) / (19 - top))
            beta1 = cosine_between(0.85, 0.95, (step - top) / (19 - top))
        assert told["rate"] == pytest.approx(rate, rel=1e-6, abs=1e-12)
        assert told["beta1"] == pytest.approx(beta1, rel=1e-9)


def test_last_partial_batch_is_trained_on(train, watched):
    train("one", epochs=2)
    assert [told["pairs"] for told in watched] == [16, 16, 16, 16, 8] * 2


def test_batch_larger_than_the_store_is_one_step(train, watched):
    train("one", epochs=2, batch_size=1000)
    assert [told["pairs"] for told in watched] == [72, 72]


def test_gradient_norm_is_clipped(train, watched):
    train("one", epochs=1, clip_norm=1e-3)
    assert all(told["norm"] <= 1e-3 * (1 + 1e-4) for told in watched)
    watched.clear()
    train("two", epochs=1, clip_norm=1e3)
    assert max(told["norm"] for told in watched) > 1e-3


def test_every_pair_is_seen_once_an_epoch_in_a_new_order(train, monkeypatch):
    batches, step = [], fitting.take_step

    def watch(objective, sae, x, *rest):
        batches.append(x.numpy())
        return step(objective, sae, x, *rest)

    monkeypatch.setattr(fitting, "take_step", watch)
    train("one", epochs=2)
    first, second = (np.concatenate(batches[i : i + 5]) for i in (0, 5))
    assert not np.array_equal(first, second)
    assert np.array_equal(np.unique(first, axis=0), np.unique(second, axis=0))


def test_loss_falls(train):
    history = pd.read_parquet(train("one", epochs=8) / HISTORY)
    assert history["epoch"].tolist() == list(range(1, 9))
    assert history["reconstruction"].iloc[-1] < 0.5 * history["reconstruction"].iloc[0]
    assert history["r2"].iloc[-1] > history["r2"].iloc[0]
    assert (history["l0"] <= 3).all()


def test_history_of_one_step_is_that_of_the_batch(tmp_path, planted):
    _, image, text = planted(20, 10, seed=1)
    sae = build_sae("matching_pursuit", 10, 15, 3, seed=0)
    x = torch.from_numpy(np.concatenate([image, text]))
    codes, rebuilt = sae(x)
    squared = float(((x - rebuilt.detach()) ** 2).mean())
    z = codes.dense().detach().numpy().copy()
    used = (z != 0).any(axis=0)
    nonzeros = (z != 0).sum() / len(z)
    for row in range(20):
        for top in (z[row].argmax(), z[20 + row].argmax()):
            z[row, top] = z[20 + row, top] = 0
    cosine = np.mean(
        [
            a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-8)
            for a, b in zip(z[:20], z[20:], strict=True)
        ]
    )
    history = fit(
        sae,
        Rows([image]),
        Rows([text]),
        Training(1, 20, 1e-3, 1.0, "masked_cosine", 0.25),
        0,
        tmp_path / "state",
        "one",
    )
    row = history.iloc[0]
    assert row["reconstruction"] == pytest.approx(squared, rel=1e-5)
    assert row["alignment"] == pytest.approx(-cosine, rel=1e-4)
    assert row["loss"] == pytest.approx(squared - 0.25 * cosine, rel=1e-4)
    assert row["r2"] == pytest.approx(1 - squared / (float(x.var(correction=0)) + 1e-6), rel=1e-5)
    assert row["l0"] == pytest.approx(nonzeros)
    assert row["dead_atoms"] == (~used).sum()


def test_atoms_end_with_unit_norm(train):
    # A peak so high that even the schedule's last rate, 1 / 250 000 of it, moves atoms off.
    dictionary = load_sae(train("one", peak_rate=1e5) / WEIGHTS).dictionary
    assert torch.allclose(dictionary.norm(dim=1), torch.ones(24), atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_atoms_are_recovered(tmp_path, seed):
    rng = np.random.default_rng(4)
    atoms = np.linalg.qr(rng.standard_normal((12, 12)))[0][:6]
    sides = []
    for _ in range(2):
        strong = rng.integers(6, size=400)
        weak = (strong + rng.integers(1, 6, size=400)) % 6
        x = atoms[strong] + rng.uniform(0, 0.8, (400, 1)) * atoms[weak]
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        sides.append(Rows([x.astype(np.float32)]))
    sae = build_sae("matching_pursuit", 12, 24, 2, seed)
    training = Training(30, 64, 2e-2, 1.0, None, 0.0)
    history = fit(sae, *sides, training, seed, tmp_path / "state", "planted")
    learned = sae.dictionary.detach().numpy()
    assert (atoms @ learned.T).max(axis=1).min() > 0.99
    assert history["r2"].iloc[-1] > 0.99


def test_same_seed_same_bytes_and_other_seed_other_bytes(train):
    one, two, other = train("one", seed=1), train("two", seed=1), train("other", seed=2)
    for name in (WEIGHTS, HISTORY, "config.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert (one / WEIGHTS).read_bytes() != (other / WEIGHTS).read_bytes()


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 7, 14])
def test_killed_run_goes_on_to_the_same_bytes(train, killed_after, steps):
    whole = train("whole", **ALIGNED)
    killed_after(steps, lambda: train("killed", **ALIGNED))
    assert not (whole.parent / "killed" / WEIGHTS).exists()
    assert (whole.parent / "killed" / STATE).exists()
    again = train("killed", **ALIGNED)
    for name in (WEIGHTS, HISTORY, "config.json"):
        assert (again / name).read_bytes() == (whole / name).read_bytes()


def test_resumed_run_does_not_repeat_steps(train, killed_after, watched):
    killed_after(8, lambda: train("killed"))
    watched.clear()
    train("killed")
    assert len(watched) == 15 - 8


def test_killed_twice_goes_on_to_the_same_bytes(train, killed_after):
    whole = train("whole", **ALIGNED)
    killed_after(3, lambda: train("killed", **ALIGNED))
    killed_after(4, lambda: train("killed", **ALIGNED))
    assert (train("killed", **ALIGNED) / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


def test_run_killed_before_its_checkpoint_goes_on_to_the_same_bytes(train, monkeypatch, watched):
    whole = train("whole")

    def refuse(*_args):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(saes, "save_sae", refuse)
        with pytest.raises(RuntimeError, match="killed"):
            train("killed")
    watched.clear()
    again = train("killed")
    assert watched == []
    assert (again / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert (again / HISTORY).read_bytes() == (whole / HISTORY).read_bytes()


def test_state_is_removed_at_the_end(train):
    assert sorted(path.name for path in train("one").iterdir()) == [
        "config.json",
        HISTORY,
        WEIGHTS,
    ]


@pytest.mark.parametrize(
    "other",
    [{"beta": 2e-3}, {"alignment": "cosine"}, {"seed": 1}, {"peak_rate": 2e-2}, {"l0": 2}],
    ids=lambda other: next(iter(other)),
)
def test_state_of_another_training_is_not_used(train, killed_after, other):
    killed_after(7, lambda: train("one", **ALIGNED))
    begun = train("one", **{**ALIGNED, **other})
    fresh = train("fresh", **{**ALIGNED, **other})
    assert (begun / WEIGHTS).read_bytes() == (fresh / WEIGHTS).read_bytes()
    assert (begun / HISTORY).read_bytes() == (fresh / HISTORY).read_bytes()


def test_state_of_other_data_is_not_used(train, make_store, killed_after):
    killed_after(7, lambda: train("one", store=make_store("first", seed=1)))
    second = make_store("second", seed=2)
    begun, fresh = train("one", store=second), train("fresh", store=second)
    assert (begun / WEIGHTS).read_bytes() == (fresh / WEIGHTS).read_bytes()


def test_training_without_a_state_or_a_weight_is_the_same(tmp_path, planted):
    sides = [Rows([side]) for side in planted(40, 10, seed=1)[1:]]
    weights, histories = [], []
    # Without alignment no weight is needed.
    for state, beta in ((None, None), (tmp_path / "state", 0.5)):
        sae = build_sae("matching_pursuit", 10, 15, 3, seed=0)
        training = Training(2, 16, 1e-2, 1.0, None, beta)
        histories.append(fit(sae, *sides, training, 0, state, "one"))
        weights.append(sae.dictionary.detach())
    assert torch.equal(*weights)
    assert histories[0].equals(histories[1])
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_alignment_without_a_weight_is_refused(planted):
    sides = [Rows([side]) for side in planted(40, 10, seed=1)[1:]]
    sae = build_sae("matching_pursuit", 10, 15, 3, seed=0)
    training = Training(2, 16, 1e-2, 1.0, "masked_cosine", None)
    with pytest.raises(InputError, match="alignment is 'masked_cosine' and beta is None; give"):
        fit(sae, *sides, training, 0, None, "one")


def test_truncated_state_is_ignored(train, killed_after):
    fresh = train("fresh")
    killed_after(7, lambda: train("one"))
    state = fresh.parent / "one" / STATE
    state.write_bytes(state.read_bytes()[:-100])
    assert (train("one") / WEIGHTS).read_bytes() == (fresh / WEIGHTS).read_bytes()


def test_config_tells_how_it_was_trained(train):
    told = json.loads((train("one", seed=7, **ALIGNED) / "config.json").read_text())
    assert told["n_atoms"] == 24
    assert told["trained"] == {
        "alignment": "masked_cosine",
        "batch_size": 16,
        "beta": 1e-3,
        "clip_norm": 1.0,
        "epochs": 3,
        "peak_rate": 1e-2,
        "rows": 72,
        "seed": 7,
    }


def test_store_with_nan_is_refused(train, make_store):
    store = make_store("nan")
    path = store / "img_emb" / "img_emb_0000.npy"
    rows = np.load(path)
    rows[5, 2] = np.nan
    np.save(path, rows)
    with pytest.raises(InputError, match="row 5 holds NaN"):
        train("one", store=store)


def test_store_of_one_pair_is_refused(train, make_store):
    with pytest.raises(InputError, match="has 1 pair; training needs at least 2"):
        train("one", store=make_store("single", n=1))


def test_more_non_zeros_than_atoms_are_refused(train):
    with pytest.raises(InputError, match=r"l0 is 25 and the dictionary has 24 atoms; allowed"):
        train("one", l0=25)
    assert load_sae(train("two", l0=24) / WEIGHTS).l0 == 24


@pytest.mark.parametrize("changed", [{}, ALIGNED])
def test_constant_rows_are_trained_on(train, make_store, changed):
    store = make_store("constant")
    for path in store.glob("*_emb/*.npy"):
        np.save(path, np.repeat(np.load(path)[:1], 72, axis=0))
    folder = train("one", store=store, **changed)
    assert np.isfinite(pd.read_parquet(folder / HISTORY).to_numpy()).all()
    assert torch.isfinite(load_sae(folder / WEIGHTS).dictionary).all()


def test_unknown_architecture_is_refused(train):
    with pytest.raises(InputError, match=r"SAE architecture 'oracle'"):
        train("one", architecture="oracle")


def selected(folder, beta):
    values = {"no_degenerate": beta, "paper": 0.7}
    told = {"protocol": "no_degenerate", "note": "a note"}
    write_metric(folder, Metric("selected_beta", values, {"betas": 3}, **told))
    return folder / "selected_beta.json"


def test_a_beta_that_is_left_open_is_read_from_what_a_sweep_selected(train, tmp_path):
    path = selected(tmp_path, 1e-3)
    told = train("told", alignment="masked_cosine", beta=1e-3)
    read = train("read", alignment="masked_cosine", beta=None, selected_beta=path)
    assert json.loads((read / "config.json").read_text())["trained"]["beta"] == 1e-3
    assert (read / WEIGHTS).read_bytes() == (told / WEIGHTS).read_bytes()


def test_a_beta_that_no_sweep_selected_is_refused(train, tmp_path):
    open_beta = {"alignment": "masked_cosine", "beta": None}
    with pytest.raises(InputError, match="training has no beta; give a number, or a selected_beta"):
        train("open", **open_beta)
    path = selected(tmp_path, math.nan)
    with pytest.raises(InputError, match=r"selected_beta\.json: no beta of the sweep keeps R²"):
        train("none", **open_beta, selected_beta=path)


def test_share_of_time_spent_waiting_for_data_is_told(tmp_path, planted, caplog):
    class Slow(Rows):
        def __getitem__(self, rows):
            time.sleep(0.2 * (not isinstance(rows, slice)))  # all pairs of the epoch
            return super().__getitem__(rows)

    caplog.set_level(logging.INFO, logger="isoenergy")
    training = Training(1, 16, 1e-2, 1.0, None, 0.0)
    shares = []
    for kind in (Slow, Rows):
        image, text = (kind([side]) for side in planted(64, 8, 0)[1:])
        sae = build_sae("matching_pursuit", 8, 16, 2, 0)
        fit(sae, image, text, training, 0, tmp_path / "state", "SAE")
        told = caplog.records[-1].message
        assert told.endswith("% of the time spent waiting for data")
        shares.append(float(told.removeprefix("SAE: ").partition("%")[0]))
    assert 0 <= shares[1] < shares[0] <= 100
    assert shares[0] > 20  # 0.4 s of sleep
