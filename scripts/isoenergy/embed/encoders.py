"""Dual encoders: pictures and texts to unit-norm vectors in one space.

One class per family, one interface for checkpoints of the hub and local ones (SPEC 1.1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError

from isoenergy.errors import InputError
from isoenergy.files import hash_file
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
        Name on the hub, or a local folder.
    revision : str or None
        Revision on the hub; None for a local folder.
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
    """Embeds pictures and texts. Add one by subclassing and ``ENCODERS.register(name)``."""

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec

    @abstractmethod
    def embed_pictures(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """RGB pictures of any size to ndarray of shape (n, dim), float32, unit-norm rows."""

    @abstractmethod
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Texts to ndarray of shape (n, dim), float32, unit-norm rows."""

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """What a store should record: classes, preprocessing, versions."""


ENCODERS: Registry[type[DualEncoder]] = Registry("encoder family")


def load_encoder(spec: EncoderSpec) -> DualEncoder:
    """Load an encoder.

    Raises
    ------
    InputError
        If the family is unknown, the checkpoint cannot be loaded, or its width is not ``dim``.
    """
    return ENCODERS[spec.family](spec)


def quiet_transformers() -> ModuleType:
    """The library ``transformers``, kept from writing its own notes and bars between ours."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


class TransformersEncoder(DualEncoder):
    """A ``transformers`` dual encoder; subclasses name the classes, which pins the pixels.

    The image processor is the Pillow one by name: without torchvision the usual name silently
    becomes it, with torchvision it is another that differs in its pixels.
    """

    model_class: ClassVar[str]
    image_processor_class: ClassVar[str]

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__(spec)
        transformers = quiet_transformers()
        where = {"revision": spec.revision} if spec.revision else {}
        try:
            self.model, told = getattr(transformers, self.model_class).from_pretrained(
                spec.checkpoint,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **where,
            )
            # Weights that a checkpoint lacks would be random ones, with no more than a warning.
            if told["missing_keys"]:
                raise RuntimeError
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(
                spec.checkpoint, trust_remote_code=False, **where
            )
            self.image_processor = getattr(
                transformers, self.image_processor_class
            ).from_pretrained(spec.checkpoint, **where)
        except RuntimeError:
            raise InputError(
                f"model {spec.model} ({spec.checkpoint}) cannot be loaded: its weights are not "
                f"those of a {self.model_class}; correct its family or its checkpoint"
            ) from None
        except (OSError, ValueError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"model {spec.model} ({spec.checkpoint}) cannot be loaded: {reason} If it is on "
                "the hub, check the connection and `hf auth login`, or point HF_HOME at a cache "
                "that holds it"
            ) from None
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model.eval().requires_grad_(False).to(self.device)

    @torch.inference_mode()
    def embed_pictures(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """See :class:`DualEncoder`."""
        pixels = self.image_processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        features = self.model.get_image_features(pixel_values=pixels.to(self.device))
        return self._unit(features.pooler_output, "picture")

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """See :class:`DualEncoder`."""
        if self.spec.lower_case:
            texts = [text.lower() for text in texts]
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=self.spec.text_length,
            return_tensors="pt",
        )
        features = self.model.get_text_features(**self._text_inputs(tokens))
        return self._unit(features.pooler_output, "text")

    @abstractmethod
    def _text_inputs(self, tokens: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Which tokenizer outputs the model was trained with."""

    def _unit(self, features: torch.Tensor, side: str) -> np.ndarray:
        if features.shape[1] != self.spec.dim:
            raise InputError(
                f"model {self.spec.model}: {side} features are {features.shape[1]} wide, "
                f"config/models.tsv says dim {self.spec.dim}; correct the table"
            )
        return torch.nn.functional.normalize(features.float(), dim=1).cpu().numpy()

    def describe(self) -> dict[str, object]:
        """See :class:`DualEncoder`."""
        import transformers

        checkpoint = self.spec.checkpoint
        if Path(checkpoint).is_dir():
            # Told by its weights: where it lies says nothing to a reader.
            checkpoint = f"sha256:{hash_file(Path(checkpoint) / 'model.safetensors')}"
        return {
            "model_class": self.model_class,
            "image_processor": self.image_processor_class,
            "tokenizer": type(self.tokenizer).__name__,
            "checkpoint": checkpoint,
            "revision": self.spec.revision,
            "text_length": self.spec.text_length,
            "lower_case": self.spec.lower_case,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
        }


@ENCODERS.register("clip")
class ClipEncoder(TransformersEncoder):
    """CLIP and OpenCLIP checkpoints in the ``CLIPModel`` format; padding is masked."""

    model_class = "CLIPModel"
    image_processor_class = "CLIPImageProcessorPil"

    def _text_inputs(self, tokens: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: tokens[name].to(self.device) for name in ("input_ids", "attention_mask")}


@ENCODERS.register("siglip")
class SiglipEncoder(TransformersEncoder):
    """SigLIP checkpoints; trained without a mask over their padding, so none is passed."""

    model_class = "SiglipModel"
    image_processor_class = "SiglipImageProcessorPil"

    def _text_inputs(self, tokens: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"input_ids": tokens["input_ids"].to(self.device)}
