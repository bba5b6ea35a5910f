import copy
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
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


def refused(path, caplog, identity=IDENTITY, totals=None):
    """The line that the log has of a state that is not used; nothing is changed by it."""
    fresh = trainer(0, seed=4)
    before = [copy.deepcopy(part.state_dict()) for part in fresh]
    caplog.clear()
    assert load_state(path, *fresh, identity, totals) is None
    for part, state in zip(fresh, before, strict=True):
        assert str(part.state_dict()) == str(state)
    [line] = caplog.messages
    assert line.startswith(f"{path} is not used: ")
    assert line.endswith("; training starts again from step 0")
    assert "\n" not in line
    return line


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_a_truncated_state_changes_nothing_and_is_told(tmp_path, caplog, kept):
    path = tmp_path / "s"
    save_state(path, *trainer(3), IDENTITY, {"step": 3})
    path.write_bytes(path.read_bytes()[:kept])
    assert "it is truncated or broken (" in refused(path, caplog)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"seed": 1, "beta": 1e-4}, "differs in seed;"),
        ({"seed": 1, "beta": 2e-4}, "differs in beta, seed;"),
        ({}, "differs in beta, seed;"),
        ({**IDENTITY, "data": "d"}, "differs in data;"),
    ],
)
def test_a_state_of_another_training_changes_nothing_and_is_told(tmp_path, caplog, other, told):
    save_state(tmp_path / "s", *trainer(3), IDENTITY, {"step": 3})
    assert told in refused(tmp_path / "s", caplog, other)


def rewritten(path, change):
    """The state with its tensors and what it tells changed."""
    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    told = change(told, tensors) or told
    save_file(tensors, path, metadata={"state": json.dumps(told)})


@pytest.mark.parametrize(
    "change",
    [
        lambda told, tensors: tensors.pop("model.bias") is None,
        lambda told, tensors: tensors.update({"model.weight": torch.zeros(2, 4)}),
        lambda told, tensors: tensors.update({"optimiser.0.exp_avg": torch.zeros(2, 4)}),
        lambda told, tensors: tensors.update({"optimiser.7.exp_avg": torch.zeros(2, 3)}),
        lambda told, tensors: tensors.update({"optimiser.x.exp_avg": torch.zeros(2, 3)}),
        lambda told, tensors: tensors.pop("totals.sums") is None,
        lambda told, tensors: told["groups"].clear(),
        lambda told, tensors: told.pop("progress") is None,
        lambda told, tensors: {**told, "identity": None},
        lambda told, tensors: [1, 2],
    ],
)
def test_a_state_of_other_sizes_changes_nothing_and_is_told(tmp_path, caplog, change):
    totals = {"sums": torch.ones(3)}
    save_state(tmp_path / "s", *trainer(3), IDENTITY, {"step": 3}, totals)
    rewritten(tmp_path / "s", change)
    assert "truncated or broken" in refused(tmp_path / "s", caplog, totals=totals)
    assert totals["sums"].tolist() == [1, 1, 1]


def test_a_file_of_weights_alone_is_no_state(tmp_path, caplog):
    save_file(trainer(0)[0].state_dict(), tmp_path / "s")
    assert "truncated or broken" in refused(tmp_path / "s", caplog)


def test_state_is_safetensors_with_json_beside(tmp_path):
    save_state(tmp_path / "s", *trainer(3), IDENTITY, {"step": 3})
    with safe_open(tmp_path / "s", framework="pt") as file:
        told = json.loads(file.metadata()["state"])
    assert told["identity"] == IDENTITY
    assert told["progress"] == {"step": 3}
