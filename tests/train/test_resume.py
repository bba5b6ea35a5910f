import json

import pytest
import torch
from safetensors import safe_open
from torch import nn

from isoenergy.train.resume import load_state, save_state

IDENTITY = {"seed": 0, "beta": 1e-4}


def trainer(steps, seed=0):
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=20)
    advance(model, optimiser, schedule, steps)
    return model, optimiser, schedule


def advance(model, optimiser, schedule, steps):
    for step in range(steps):
        x = torch.arange(6.0).reshape(2, 3) + step
        optimiser.zero_grad()
        model(x).square().mean().backward()
        optimiser.step()
        schedule.step()


def test_restored_trainer_goes_on_to_the_same_weights(tmp_path):
    saved = trainer(7)
    totals = {"sums": torch.arange(3.0, dtype=torch.float64)}
    save_state(tmp_path / "s", *saved, IDENTITY, {"step": 7, "history": [0.1]}, totals)
    other = trainer(0, seed=9)
    filled = {"sums": torch.zeros(3, dtype=torch.float64)}
    progress = load_state(tmp_path / "s", *other, IDENTITY, filled)
    assert progress == {"step": 7, "history": [0.1]}
    assert filled["sums"].tolist() == [0.0, 1.0, 2.0]
    assert other[2].get_last_lr() == saved[2].get_last_lr()
    advance(*saved, 9)
    advance(*other, 9)
    for one, two in zip(saved[0].parameters(), other[0].parameters(), strict=True):
        assert torch.equal(one, two)


def test_absent_state_is_none(tmp_path):
    assert load_state(tmp_path / "s", *trainer(0), IDENTITY) is None


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_truncated_state_is_none_and_changes_nothing(tmp_path, kept):
    path = tmp_path / "s"
    save_state(path, *trainer(3), IDENTITY, {"step": 3})
    path.write_bytes(path.read_bytes()[:kept])
    fresh = trainer(0, seed=4)
    before = fresh[0].weight.detach().clone()
    assert load_state(path, *fresh, IDENTITY) is None
    assert torch.equal(fresh[0].weight, before)


@pytest.mark.parametrize("other", [{"seed": 1, "beta": 1e-4}, {"seed": 0, "beta": 2e-4}, {}])
def test_state_of_another_training_is_none_and_changes_nothing(tmp_path, other):
    save_state(tmp_path / "s", *trainer(3), IDENTITY, {"step": 3})
    fresh = trainer(0, seed=4)
    before = fresh[0].weight.detach().clone()
    assert load_state(tmp_path / "s", *fresh, other) is None
    assert torch.equal(fresh[0].weight, before)


def test_state_is_safetensors_with_json_beside(tmp_path):
    save_state(tmp_path / "s", *trainer(3), IDENTITY, {"step": 3})
    with safe_open(tmp_path / "s", framework="pt") as file:
        told = json.loads(file.metadata()["state"])
    assert told["identity"] == IDENTITY
    assert told["progress"] == {"step": 3}
