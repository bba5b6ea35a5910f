"""Dual encoders by family: one class each, one interface for the hub's and local checkpoints."""

from __future__ import annotations

# Imported for their entries in the registry; each imports its library when one is loaded.
from isoenergy.embed import open_clip_encoder, transformers_encoders  # noqa: F401
from isoenergy.embed.encoder import ENCODERS, DualEncoder, EncoderSpec


def load_encoder(spec: EncoderSpec) -> DualEncoder:
    """Load an encoder.

    Raises
    ------
    InputError
        If the family is unknown, its library is absent, the checkpoint cannot be loaded, or its
        text tower is shorter than ``text_length``. A width that is not ``dim`` is refused with the
        first batch.
    """
    return ENCODERS[spec.family](spec)
