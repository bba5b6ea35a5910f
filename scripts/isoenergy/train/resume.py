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

from isoenergy.files import check_file, replacing
from isoenergy.progress import LOG

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
        training: then nothing is changed, and the log says in a line that training starts anew.
    """
    if not Path(path).exists():
        return None
    totals = totals or {}
    try:
        check_file(path)
        told, tensors = _read(path)
        other = _differing(told["identity"], json.loads(json.dumps(identity)))
        if other:
            _say_anew(path, f"it is of another training, which differs in {', '.join(other)}")
            return None
        parameters = [one for group in optimiser.param_groups for one in group["params"]]
        moments = _moments(tensors, parameters)
        weights = _named(tensors, _MODEL, model.state_dict())
        sums = _named(tensors, _TOTALS, totals)
        progress, steps = dict(told["progress"]), dict(told["schedule"])
        # Refuses what is of other parameters before it changes any.
        optimiser.load_state_dict({"state": moments, "param_groups": told["groups"]})
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        _say_anew(path, f"it is truncated or broken ({reason})")
        return None
    model.load_state_dict(weights)
    schedule.load_state_dict(steps)
    for name, value in totals.items():
        value.copy_(sums[name])
    return progress


def _say_anew(path: str | Path, why: str) -> None:
    LOG.warning("%s is not used: %s; training starts again from step 0", path, why)


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["state"])
        return told, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _differing(told: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    absent = object()
    names = told.keys() | wanted.keys()
    return sorted(n for n in names if told.get(n, absent) != wanted.get(n, absent))


def _named(
    tensors: dict[str, torch.Tensor], prefix: str, wanted: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Those of a prefix, by name; they have the names and shapes of those wanted."""
    found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    shapes = [{n: tuple(t.shape) for n, t in some.items()} for some in (found, wanted)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"its {prefix.rstrip('.')} is of other sizes")
    return found


def _moments(
    tensors: dict[str, torch.Tensor], parameters: list[torch.Tensor]
) -> dict[int, dict[str, torch.Tensor]]:
    """The optimiser's moments by number of the parameter; numbers apart they have its shape."""
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(_OPTIMISER):
            number, moment = name.removeprefix(_OPTIMISER).split(".")
            if value.shape not in ((), parameters[int(number)].shape):
                raise ValueError("its optimiser is of other sizes")
            moments.setdefault(int(number), {})[moment] = value
    return moments
