"""Trainer state on disk, so that training killed at any moment goes on to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from isoenergy.files import replacing

_MODEL, _OPTIMISER, _TOTALS = "model.", "optimiser.", "totals."


def save_state(
    path: str | Path,
    model: nn.Module,
    optimiser: Optimizer,
    schedule: LRScheduler,
    identity: dict[str, Any],
    progress: dict[str, Any],
    totals: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write everything that training needs to go on, as one safetensors file.

    Parameters
    ----------
    path : path
    model, optimiser, schedule
        Their state is saved, the optimiser's moments included.
    identity : dict
        What this training is (data, settings, seed), JSON; :func:`load_state` compares it.
    progress : dict
        How far it is (step, history so far), JSON.
    totals : dict of str to Tensor, optional
        Running sums of an unfinished epoch; :func:`load_state` fills them in place.
    """
    optimiser_state = optimiser.state_dict()
    tensors = {_MODEL + name: value for name, value in model.state_dict().items()}
    tensors |= {
        f"{_OPTIMISER}{parameter}.{name}": torch.as_tensor(value)
        for parameter, values in optimiser_state["state"].items()
        for name, value in values.items()
    }
    tensors |= {_TOTALS + name: value for name, value in (totals or {}).items()}
    told = {
        "identity": identity,
        "progress": progress,
        "groups": optimiser_state["param_groups"],
        "schedule": {
            name: value
            for name, value in schedule.state_dict().items()
            if isinstance(value, (int, float, str, list, bool, type(None)))
        },
    }
    with replacing(path) as temporary:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            temporary,
            metadata={"state": json.dumps(told)},
        )


def load_state(
    path: str | Path,
    model: nn.Module,
    optimiser: Optimizer,
    schedule: LRScheduler,
    identity: dict[str, Any],
    totals: dict[str, torch.Tensor] | None = None,
) -> dict[str, Any] | None:
    """Restore what :func:`save_state` wrote.

    Returns
    -------
    dict or None
        The saved progress; None when there is no state, it is broken, or it belongs to another
        training (nothing is changed then).
    """
    if not Path(path).exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError):
        return None
    if told["identity"] != json.loads(json.dumps(identity)):
        return None
    model.load_state_dict(
        {name[len(_MODEL) :]: value for name, value in tensors.items() if name.startswith(_MODEL)}
    )
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(_OPTIMISER):
            parameter, moment = name[len(_OPTIMISER) :].split(".")
            moments.setdefault(int(parameter), {})[moment] = value
    optimiser.load_state_dict({"state": moments, "param_groups": told["groups"]})
    schedule.load_state_dict(told["schedule"])
    for name, value in (totals or {}).items():
        value.copy_(tensors[_TOTALS + name])
    return told["progress"]
