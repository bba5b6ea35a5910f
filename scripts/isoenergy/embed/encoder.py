"""What a dual encoder is: pictures and texts to unit-norm vectors in one space (SPEC 1.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from isoenergy.errors import InputError
from isoenergy.registry import Registry


@dataclass(frozen=True)
class EncoderSpec:
    """A row of ``config/models.tsv``, as far as an encoder needs it.

    Attributes
    ----------
    model : str
        Name in the registry, used in messages.
    family : str
        Which encoder class, a key of ``ENCODERS``.
    checkpoint : str
        Name on the hub, or a local folder; for ``open_clip`` also ``architecture:tag``.
    revision : str or None
        Revision on the hub, best a commit; None for a local folder.
    dim : int
        Width of the embeddings, checked on loading.
    text_length : int
        Texts are padded and cut to this many tokens (SPEC 1.1: explicit, 77 for CLIP, 64 SigLIP).
    lower_case : bool
        Whether texts are lower-cased first (SPEC X13).
    """

    model: str
    family: str
    checkpoint: str
    revision: str | None
    dim: int
    text_length: int
    lower_case: bool


class DualEncoder(ABC):
    """Embeds pictures and texts. Add one by subclassing and ``ENCODERS.register(name)``.

    Everything is computed in float32, whatever the checkpoint is stored in.
    """

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @torch.inference_mode()
    def embed_pictures(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """RGB pictures of any size to ndarray of shape (n, dim), float32, unit-norm rows."""
        return self._unit(self._picture_features(list(pictures)), "picture")

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Texts to ndarray of shape (n, dim), float32, unit-norm rows."""
        if self.spec.lower_case:
            texts = [text.lower() for text in texts]
        return self._unit(self._text_features(list(texts)), "text")

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """What a store should record: classes, preprocessing, versions."""

    @abstractmethod
    def _picture_features(self, pictures: list[Image.Image]) -> torch.Tensor:
        """Features of shape (n, dim), of any norm."""

    @abstractmethod
    def _text_features(self, texts: list[str]) -> torch.Tensor:
        """Features of shape (n, dim), of any norm, of texts in the case they were trained in."""

    def _check_text_length(self, most: int) -> None:
        if self.spec.text_length > most:
            raise InputError(
                f"model {self.spec.model} reads texts of at most {most} tokens, "
                f"config/models.tsv says text_length {self.spec.text_length}; correct the table"
            )

    def _unit(self, features: torch.Tensor, side: str) -> np.ndarray:
        if features.shape[1] != self.spec.dim:
            raise InputError(
                f"model {self.spec.model}: {side} features are {features.shape[1]} wide, "
                f"config/models.tsv says dim {self.spec.dim}; correct the table"
            )
        return torch.nn.functional.normalize(features.float(), dim=1).cpu().numpy()


ENCODERS: Registry[type[DualEncoder]] = Registry("encoder family")
