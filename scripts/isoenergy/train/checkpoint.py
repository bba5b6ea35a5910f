"""SAE checkpoints: ``sae.safetensors`` and ``config.json``, whose architecture picks the class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

# Imported for the architectures that they register.
import isoenergy.train.linear
import isoenergy.train.matching_pursuit
import isoenergy.train.orthogonal  # noqa: F401
from isoenergy.errors import InputError
from isoenergy.files import read_json, replacing, write_json
from isoenergy.train.sae import ARCHITECTURES, SAE


def build_sae(architecture: str, dim: int, n_atoms: int, l0: int, seed: int) -> SAE:
    """A new SAE of a registered architecture, its atoms drawn from ``seed``.

    Raises
    ------
    InputError
        If the architecture is unknown or ``l0`` is not in [1, n_atoms].
    """
    generator = torch.Generator().manual_seed(seed)
    return ARCHITECTURES[architecture](dim=dim, n_atoms=n_atoms, l0=l0, generator=generator)


def save_sae(
    sae: SAE, architecture: str, weights: str | Path, config: str | Path, trained: dict[str, Any]
) -> None:
    """Write a checkpoint.

    Parameters
    ----------
    sae : SAE
    architecture : str
        Its name in the registry.
    weights, config : path
        ``sae.safetensors`` and ``config.json``.
    trained : dict
        How it was trained; kept in the config for readers.
    """
    with replacing(weights) as temporary:
        save_file(
            {name: value.detach().contiguous() for name, value in sae.state_dict().items()},
            temporary,
        )
    write_json(config, {"architecture": architecture, **sae.config(), "trained": trained})


def load_sae(weights: str | Path) -> SAE:
    """Load a checkpoint; ``config.json`` lies beside ``weights``.

    Raises
    ------
    InputError
        If a file is missing or broken, or the two do not belong together.
    """
    path = Path(weights).parent / "config.json"
    config = read_json(path)
    try:
        wanted = {name: config[name] for name in ("architecture", "dim", "n_atoms", "l0")}
    except (KeyError, TypeError):
        raise InputError(f"{path} does not describe an SAE; train again") from None
    sae = build_sae(**wanted, seed=0)
    try:
        sae.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError, FileNotFoundError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{weights} is no checkpoint of its config.json ({reason})") from None
    return sae.eval()
