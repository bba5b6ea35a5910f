"""Encoders of the library ``transformers``: CLIP and OpenCLIP, SigLIP, SigLIP2, AIMv2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError

from isoenergy.embed.encoder import ENCODERS, DualEncoder, EncoderSpec
from isoenergy.embed.hub import pin, refusal, told_by
from isoenergy.errors import InputError


def quiet_transformers() -> ModuleType:
    """The library ``transformers``, kept from writing its own notes and bars between ours."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


@dataclass(frozen=True)
class Preprocess:
    """An image processor of ``transformers`` as a function of pictures."""

    image_processor: Any

    def __call__(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """See :class:`DualEncoder`."""
        return self.image_processor(images=list(pictures), return_tensors="np")["pixel_values"]


class TransformersEncoder(DualEncoder):
    """A ``transformers`` dual encoder; subclasses name the classes, which pins the pixels.

    The image processor is the Pillow one by name: without torchvision the usual name silently
    becomes it, with torchvision it is another that differs in its pixels.
    """

    model_class: ClassVar[str]
    image_processor_class: ClassVar[str]
    tokenizer_class: ClassVar[str] = "AutoTokenizer"
    text_inputs: ClassVar[tuple[str, ...]]
    """Which outputs of the tokenizer the text tower was trained with."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__(pin(spec, "config.json"))
        transformers = quiet_transformers()
        where = {"trust_remote_code": False}
        if self.spec.revision:
            where["revision"] = self.spec.revision
        try:
            self.model, told = getattr(transformers, self.model_class).from_pretrained(
                spec.checkpoint,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                **where,
            )
            # Weights that a checkpoint lacks would be random ones, with no more than a warning.
            if told["missing_keys"]:
                raise RuntimeError
            self.tokenizer = getattr(transformers, self.tokenizer_class).from_pretrained(
                spec.checkpoint, **where
            )
            self.preprocess = Preprocess(
                getattr(transformers, self.image_processor_class).from_pretrained(
                    spec.checkpoint, **where
                )
            )
        except RuntimeError:
            raise InputError(
                f"model {spec.model} ({spec.checkpoint}) cannot be loaded: its weights are not "
                f"those of a {self.model_class}; correct its family or its checkpoint"
            ) from None
        except (OSError, ValueError, SafetensorError) as error:
            raise refusal(self.spec, error) from None
        self._check_text_length(self.model.config.text_config.max_position_embeddings)
        self._settle(self.model)

    def _pixel_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.get_image_features(pixel_values=pixels).pooler_output

    def _token_counts(self, texts: list[str]) -> list[int]:
        cut = self.tokenizer(texts, truncation=True, max_length=self.spec.text_length)
        return [len(tokens) for tokens in cut["input_ids"]]

    def _text_features(self, texts: list[str], longest: bool) -> torch.Tensor:
        tokens = self.tokenizer(
            texts,
            padding="longest" if longest else "max_length",
            padding_side="right",
            truncation=True,
            max_length=self.spec.text_length,
            return_attention_mask=True,
            return_tensors="pt",
        )
        given = {name: tokens[name].to(self.device) for name in self.text_inputs}
        return self.model.get_text_features(**given).pooler_output

    def describe(self) -> dict[str, object]:
        """See :class:`DualEncoder`."""
        import transformers

        return {
            "model_class": self.model_class,
            "image_processor": self.image_processor_class,
            "tokenizer": type(self.tokenizer).__name__,
            **told_by(self.spec),
            "text_length": self.spec.text_length,
            "lower_case": self.spec.lower_case,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
        }


@ENCODERS.register("clip")
class ClipEncoder(TransformersEncoder):
    """CLIP and OpenCLIP checkpoints in the ``CLIPModel`` format; padding is masked.

    It also comes after the end token that a text is read at, which sees only what is before it.
    """

    hides_padding = True
    model_class = "CLIPModel"
    image_processor_class = "CLIPImageProcessorPil"
    text_inputs = ("input_ids", "attention_mask")


@ENCODERS.register("siglip")
class SiglipEncoder(TransformersEncoder):
    """SigLIP checkpoints; trained without a mask over their padding, so none is passed."""

    model_class = "SiglipModel"
    image_processor_class = "SiglipImageProcessorPil"
    text_inputs = ("input_ids",)


@ENCODERS.register("siglip2")
class Siglip2Encoder(SiglipEncoder):
    """SigLIP2 checkpoints of a fixed resolution, which are ``SiglipModel`` too.

    They read Gemma's tokens. The class is named since ``Siglip2Tokenizer`` lower-cases by itself,
    which would leave the switch ``lower_case`` without effect (SPEC X13); both pad on the left
    where a checkpoint does not say otherwise, the text tower reads its last place.
    """

    tokenizer_class = "GemmaTokenizer"


@ENCODERS.register("aimv2")
class Aimv2Encoder(TransformersEncoder):
    """AIMv2 checkpoints with a text tower (LiT)."""

    hides_padding = True
    model_class = "Aimv2Model"
    image_processor_class = "CLIPImageProcessorPil"
    text_inputs = ("input_ids", "attention_mask")

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__(spec)
        # The text tower is causal by its mask, which the library leaves out where a batch has no
        # padding: it would then see what follows, and a text depend on its company.
        for layer in self.model.text_model.encoder.layers:
            layer.attention.is_causal = True
