"""Encoders of the library ``open_clip``, which is not part of the core environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError

from isoenergy.embed.encoder import ENCODERS, DualEncoder, EncoderSpec
from isoenergy.embed.hub import pin, refusal, told_by
from isoenergy.errors import InputError
from isoenergy.files import visible

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
# Weights in the format of open_clip; the rest is what its tokenizers read.
FILES = (CONFIG, WEIGHTS, "open_clip_pytorch_model.safetensors", "*token*", "vocab*", "merges.txt")


def import_open_clip() -> ModuleType:
    """The library ``open_clip``.

    Raises
    ------
    InputError
        If it is absent, or the torchvision it needs does not fit the installed torch.
    """
    try:
        import open_clip
    except ImportError as error:
        raise InputError(
            f"models of family open_clip need the package {error.name}, which the core environment "
            "leaves out; run with --use-conda (envs/open_clip.yaml), or in an environment of its "
            "own: `pip install '.[open_clip]'`"
        ) from None
    # What torchvision raises when its operators are compiled for another torch.
    except RuntimeError as error:
        raise InputError(
            f"open_clip cannot be imported: {str(error).splitlines()[0]}; install the torchvision "
            f"that was built for torch {torch.__version__}, from the same index"
        ) from None
    return open_clip


@dataclass(frozen=True)
class Preprocess:
    """What open_clip does with one picture, as a function of pictures."""

    transform: Callable[[Image.Image], torch.Tensor]

    def __call__(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """See :class:`DualEncoder`."""
        return torch.stack([self.transform(picture) for picture in pictures]).numpy()


@ENCODERS.register("open_clip")
class OpenClipEncoder(DualEncoder):
    """Any ``open_clip`` model: a name on the hub, ``architecture:tag``, or a folder.

    ``open_clip`` cannot pin a revision and reads pickled weights where it finds no others; so the
    files of one commit are fetched here, safetensors only, and it is given their folder.
    """

    def __init__(self, spec: EncoderSpec) -> None:
        library = import_open_clip()
        super().__init__(pin(_on_hub(library, spec), CONFIG))
        try:
            folder = self._folder()
            if not visible(Path(folder).glob("*.safetensors")):
                raise OSError(f"no file named {WEIGHTS}")
            self.model, transform = library.create_model_from_pretrained(
                f"local-dir:{folder}", precision="fp32", device=self.device
            )
            self.tokenizer = library.get_tokenizer(f"local-dir:{folder}")
        except (RuntimeError, OSError, ValueError, TypeError, SafetensorError) as error:
            raise refusal(self.spec, error) from None
        self.preprocess = Preprocess(transform)
        self._check_text_length(self.model.context_length)
        self._settle(self.model)

    def _folder(self) -> str:
        from huggingface_hub import snapshot_download

        if not self.spec.revision:
            return self.spec.checkpoint
        return snapshot_download(
            self.spec.checkpoint, revision=self.spec.revision, allow_patterns=list(FILES)
        )

    def _pixel_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(pixels)

    def _text_features(self, texts: list[str], longest: bool) -> torch.Tensor:
        tokens = self.tokenizer(texts, context_length=self.spec.text_length)
        return self.model.encode_text(tokens.to(self.device))

    def describe(self) -> dict[str, object]:
        """See :class:`DualEncoder`."""
        import torchvision

        return {
            "model_class": f"open_clip.{type(self.model).__name__}",
            "image_processor": dict(self.model.visual.preprocess_cfg),
            "tokenizer": type(self.tokenizer).__name__,
            **told_by(self.spec),
            "text_length": self.spec.text_length,
            "lower_case": self.spec.lower_case,
            "open_clip": import_open_clip().__version__,
            "torchvision": torchvision.__version__,
            "torch": torch.__version__,
        }


def _on_hub(library: ModuleType, spec: EncoderSpec) -> EncoderSpec:
    """The spec with ``architecture:tag`` replaced by the repository of that tag."""
    architecture, _, tag = spec.checkpoint.partition(":")
    if not tag or Path(spec.checkpoint).is_dir():
        return spec
    told = library.pretrained.get_pretrained_cfg(architecture, tag)
    if not told:
        tags = library.list_pretrained_tags_by_model(architecture)
        known = (
            f"those of {architecture} are {', '.join(tags)}" if tags else "see its list_pretrained"
        )
        raise InputError(
            f"model {spec.model} ({spec.checkpoint}): open_clip knows no such weights; {known}"
        )
    repository, _, filename = told.get("hf_hub", "").rpartition("/")
    if not repository or filename:
        raise InputError(
            f"model {spec.model} ({spec.checkpoint}): open_clip reads these from a file that is "
            "not in safetensors; convert them, and name their folder as the checkpoint"
        )
    return replace(spec, checkpoint=repository)
