"""Two processes under torchrun (gloo) against one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import isoenergy
from isoenergy.train.alignment import ALIGNMENTS
from isoenergy.train.checkpoint import build_sae, load_sae
from isoenergy.train.fit import Objective, Training, take_step
from isoenergy.train.sae import ARCHITECTURES

ALIGNED = {"alignment": "masked_cosine", "beta": 1e-2}
DIM, ATOMS, L0 = 12, 30, 4
# Shared out evenly, unevenly, and fewer pairs than processes.
SIZES = (16, 7, 1)
CLIP = 0.005
FILES = ("sae.safetensors", "config.json", "history.parquet")
HERE = Path(__file__).parent

# One step of every architecture and alignment loss on batches of several sizes.
STEPS = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from test_ranks import every_step
from isoenergy.train import ranks
with ranks.joined():
    told = every_step()
    if ranks.rank() == 0:
        torch.save(told, sys.argv[2])
"""
# Trains, killed after some steps (none: to the end) with the state written after every step.
TRAIN = """
import json, logging, sys
import binding
from isoenergy.progress import Progress
from isoenergy.train import fit
from isoenergy.train.saes import train_saes
logging.basicConfig(level=logging.INFO)
told = json.loads(sys.argv[1])
step = Progress.step
def counted(self, *args, **kwargs):
    step(self, *args, **kwargs)
    if told["steps"] is not None and self.done == told["steps"]:
        raise SystemExit("killed")
Progress.step = counted
fit._SAVE_SECONDS = -1.0
train_saes(**binding.convert(train_saes, {"store": told["store"], "saes": told["saes"]}))
"""


def run(code, *words, check=True):
    """Run code in two processes; what they say."""
    library = Path(isoenergy.__file__).parents[1]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    path = os.pathsep.join([str(library), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *launcher, "--no-python", sys.executable, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is check, done.stderr[-3000:]
    return done.stderr


def every_step():
    """Figures, atoms used and parameters after two steps, of every kind and size of batch."""
    from isoenergy.train import ranks

    told = {}
    kinds = [(name, None) for name in sorted(ARCHITECTURES)]
    kinds += [("matching_pursuit", name) for name in sorted(ALIGNMENTS)]
    kinds += [("topk", "energy_absolute")]
    for architecture, alignment in kinds:
        for size in SIZES:
            sae = build_sae(architecture, DIM, ATOMS, L0, seed=3).train()
            training = Training(1, size, 1e-2, CLIP, alignment, 0.5)
            optimiser = torch.optim.SGD(sae.parameters(), lr=10.0)
            objective = ranks.distributed(Objective(sae, training))
            generator = torch.Generator().manual_seed(size)
            (first,), (last,) = (part.tolist() for part in ranks.share(np.array([size])))
            for _ in range(2):
                sides = torch.nn.functional.normalize(
                    torch.randn(2, size, DIM, generator=generator), dim=2
                )
                x = sides[:, first:last].reshape(-1, DIM)
                figures, used = take_step(objective, sae, x, 2 * size, training, optimiser)
            state = {name: value.detach().clone() for name, value in sae.state_dict().items()}
            told[f"{architecture} {alignment} {size}"] = (figures, used, state)
    return told


@pytest.fixture(scope="module")
def steps_of_two(tmp_path_factory):
    path = tmp_path_factory.mktemp("two") / "steps.pt"
    run(STEPS, str(HERE), str(path))
    return torch.load(path, weights_only=True)


def test_a_step_of_two_processes_is_that_of_one(steps_of_two):
    steps = every_step()
    assert steps.keys() == steps_of_two.keys()
    for name, (figures, used, state) in steps.items():
        theirs = steps_of_two[name]
        assert theirs[0] == pytest.approx(figures, rel=2e-5, abs=2e-6), name
        assert torch.equal(theirs[1], used), name
        for key, value in state.items():
            assert torch.allclose(theirs[2][key], value, rtol=1e-4, atol=1e-6), (name, key)


def test_the_steps_compared_are_clipped():
    sae = build_sae("matching_pursuit", DIM, ATOMS, L0, seed=3)
    x = torch.randn(32, DIM, generator=torch.Generator().manual_seed(0))
    training = Training(1, 16, 1e-2, CLIP, None, 0.0)
    Objective(sae, training)(torch.nn.functional.normalize(x, dim=1))[0].backward()
    assert sae.dictionary.grad.norm() > CLIP


@pytest.fixture
def train_two(tmp_path, recipe):
    """Train in two processes, killed after some steps or not; the folder and what they say."""

    def run_two(name, steps=None):
        told = recipe(name, **ALIGNED)
        words = {**told.__dict__, "training": told.training.__dict__}
        job = {"store": str(tmp_path / "store"), "saes": [words], "steps": steps}
        message = run(TRAIN, json.dumps(job, default=str), check=steps is None)
        return tmp_path / name, message

    return run_two


def assert_same(one, two):
    """Histories and weights agree within float error."""
    histories = [pd.read_parquet(folder / "history.parquet") for folder in (one, two)]
    assert len(histories[0]) == 3
    for column in histories[0]:
        assert np.allclose(histories[0][column], histories[1][column], rtol=1e-4, atol=1e-6), column
    weights = [load_sae(folder / "sae.safetensors").dictionary for folder in (one, two)]
    assert torch.allclose(*weights, atol=1e-3)
    configs = [(folder / "config.json").read_bytes() for folder in (one, two)]
    assert configs[0] == configs[1]
    assert not any((folder / "state.safetensors").exists() for folder in (one, two))


def test_a_state_of_two_processes_goes_on_in_one(train, train_two, caplog):
    whole = train("whole", **ALIGNED)
    killed, message = train_two("killed", steps=8)
    assert "killed" in message
    assert not (killed / "sae.safetensors").exists()
    caplog.set_level("INFO", logger="isoenergy")
    assert_same(whole, train("killed", **ALIGNED))
    # Of 15 steps 7 were in the state.
    assert "killed: 8 steps in" in caplog.text


def test_a_state_of_one_process_goes_on_in_two(train, train_two, killed_after):
    whole = train("whole", **ALIGNED)
    killed_after(7, lambda: train("killed", **ALIGNED))
    again, message = train_two("killed")
    assert "killed: 8 steps in" in message
    # The other process writes nothing.
    assert sorted(path.name for path in again.iterdir()) == sorted(FILES)
    assert_same(whole, again)


def test_two_processes_have_the_loss_curve_of_one(train, train_two):
    assert_same(train("one", **ALIGNED), train_two("two")[0])
