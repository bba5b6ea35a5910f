"""What a dual encoder is: pictures and texts to unit-norm vectors in one space (SPEC 1.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from PIL import Image

from isoenergy.embed.products import pack_linear_layers
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

    Weights are float32, whatever the checkpoint is stored in, and so is the arithmetic unless
    ``precision`` is set.

    Attributes
    ----------
    preprocess : callable
        RGB pictures of any size to ndarray of shape (n, 3, side, side), float32. It can be
        pickled, so that worker processes do it, and makes of each picture the same in any company.
    precision : {"float32", "float16"}
        What the products within the network are computed in; the rest is float32 always.
    """

    preprocess: Callable[[Sequence[Image.Image]], np.ndarray]
    precision: str = "float32"
    hides_padding: ClassVar[bool] = False
    """Whether padding changes nothing about a text, so that less of it will do."""

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def embed_pictures(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """RGB pictures of any size to ndarray of shape (n, dim), float32, unit-norm rows."""
        return self.embed_pixels(self.preprocess(list(pictures)))

    @torch.inference_mode()
    def embed_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """What ``preprocess`` made to ndarray of shape (n, dim), float32, unit-norm rows."""
        with self._arithmetic():
            features = self._pixel_features(torch.from_numpy(pixels).to(self.device))
        return self._unit(features, "picture")

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str], longest: bool = False) -> np.ndarray:
        """Texts to ndarray of shape (n, dim), float32, unit-norm rows.

        They are padded to ``text_length``; with ``longest`` only to the longest of them, which is
        for encoders that hide their padding.
        """
        with self._arithmetic():
            features = self._text_features(self._cased(texts), longest and self.hides_padding)
        return self._unit(features, "text")

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens of each text without padding, ndarray of shape (n,), int."""
        return np.array(self._token_counts(self._cased(texts)), dtype=np.int64)

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """What a store should record: classes, preprocessing, versions."""

    @abstractmethod
    def _pixel_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features of shape (n, dim), of any norm."""

    @abstractmethod
    def _text_features(self, texts: list[str], longest: bool) -> torch.Tensor:
        """Features of shape (n, dim), of any norm, of texts in the case they were trained in."""

    def _token_counts(self, texts: list[str]) -> list[int]:
        """Tokens of each text; an encoder that does not hide its padding need not count."""
        return [self.spec.text_length] * len(texts)

    def _cased(self, texts: Sequence[str]) -> list[str]:
        return [text.lower() for text in texts] if self.spec.lower_case else list(texts)

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=getattr(torch, self.precision))

    def _settle(self, model: torch.nn.Module) -> None:
        """Make a loaded model ready to embed where it lies."""
        model.eval().requires_grad_(False).to(self.device)
        if self.device.type == "cpu":
            pack_linear_layers(model)

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
