"""SAE checkpoints: ``sae.safetensors`` and ``config.json``, whose architecture picks the class."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

import isoenergy.train.architectures  # noqa: F401
from isoenergy.embed.store import EmbeddingStore
from isoenergy.errors import InputError
from isoenergy.files import check_file, read_json, replacing, write_json
from isoenergy.train.sae import ARCHITECTURES, SAE

# What the weights' file says of itself.
_CONFIG = "config"


def build_sae(
    architecture: str, dim: int, n_atoms: int, l0: int, seed: int, **settings: Any
) -> SAE:
    """A new SAE of a registered architecture, its atoms drawn from ``seed``.

    Parameters
    ----------
    architecture : str
    dim, n_atoms, l0 : int
    seed : int
    **settings
        What else its class takes, as its ``config()`` says it.

    Raises
    ------
    InputError
        If the architecture is unknown, takes no such setting, or ``l0`` is not in [1, n_atoms].
    """
    kind = ARCHITECTURES[architecture]
    unknown = [name for name in settings if name not in signature(kind).parameters]
    if unknown:
        raise InputError(f"the SAE architecture {architecture!r} has no setting {unknown[0]}")
    generator = torch.Generator().manual_seed(seed)
    return kind(dim=dim, n_atoms=n_atoms, l0=l0, generator=generator, **settings)


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
    told = {"architecture": architecture, **sae.config(), "trained": trained}
    with replacing(weights) as temporary:
        save_file(
            {name: value.detach().contiguous() for name, value in sae.state_dict().items()},
            temporary,
            # By which weights of another SAE are told from these.
            metadata={_CONFIG: json.dumps(told, sort_keys=True)},
        )
    write_json(config, told)


def load_sae(weights: str | Path) -> SAE:
    """Load a checkpoint; ``config.json`` lies beside ``weights``.

    Raises
    ------
    InputError
        If a file is missing or broken, or the two do not belong together.
    """
    return _load(weights)[0]


def _load(weights: str | Path) -> tuple[SAE, dict[str, Any]]:
    """A checkpoint and its config."""
    path = Path(weights).parent / "config.json"
    config = read_json(path)
    if not isinstance(config, dict) or not {"architecture", "dim", "n_atoms", "l0"} <= set(config):
        raise InputError(f"{path} does not describe an SAE; delete it and run again")
    wanted = {name: value for name, value in config.items() if name != "trained"}
    try:
        sae = build_sae(**wanted, seed=0)
    except InputError as error:
        raise InputError(f"{path}: {error}; delete it and run again") from None
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path} does not describe an SAE ({_first_line(error)}); delete it and run again"
        ) from None
    check_file(weights)
    try:
        with safe_open(weights, framework="pt") as file:
            told = (file.metadata() or {}).get(_CONFIG)
        if told is not None and json.loads(told) != config:
            raise RuntimeError("it was written with another config.json")
        sae.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{weights} is no checkpoint of its config.json ({_first_line(error)}); delete it and "
            "run again"
        ) from None
    return sae.eval(), config


def load_sae_for(store: EmbeddingStore, weights: str | Path) -> SAE:
    """Load a checkpoint that is to encode a store.

    Parameters
    ----------
    store : EmbeddingStore
    weights : path
        As for :func:`load_sae`.

    Raises
    ------
    InputError
        As :func:`load_sae`, or if it was trained on embeddings of another width or, where both
        tell their encoder, by another one.
    """
    sae, config = _load(weights)
    if store.dim != sae.dim:
        raise InputError(
            f"{store.path} is {store.dim} wide and {weights} was trained on {sae.dim}; "
            "a checkpoint encodes stores of its own model only"
        )
    trained = config.get("trained")
    encoder = trained.get("encoder") if isinstance(trained, Mapping) else None
    if encoder and store.encoder and encoder != store.encoder:
        raise InputError(
            f"{store.path} was embedded by {_told(store.encoder)} and {weights} was trained on "
            f"embeddings by {_told(encoder)}; a checkpoint encodes stores of its own encoder only, "
            f"delete what is older, {store.path} or {Path(weights).parent}, and run again"
        )
    return sae


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _told(encoder: Mapping[str, Any]) -> str:
    """An encoder for a message, hashes of weights cut to their first digits."""
    checkpoint = re.sub(r"([0-9a-f]{12})[0-9a-f]{52}", r"\1...", str(encoder.get("checkpoint")))
    revision = encoder.get("revision")
    return f"{checkpoint} at {revision}" if revision else checkpoint
