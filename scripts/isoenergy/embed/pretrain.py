"""Train a small dual encoder from scratch, saved as an ordinary Hugging Face checkpoint.

The demo's stand-ins for CLIP and SigLIP: the same model classes, losses and checkpoint format,
small enough for two CPU cores. Temperatures end where the big models' do: one that stays free
closes the modality gap on data this small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from isoenergy.data.pairs import read_pairs
from isoenergy.data.shards import decode_picture, read_pictures
from isoenergy.embed.transformers_encoders import quiet_transformers
from isoenergy.errors import InputError
from isoenergy.files import hash_strings, replacing_folder, write_parquet
from isoenergy.progress import Progress
from isoenergy.seeds import derive_seed, generator
from isoenergy.train.resume import load_state, save_state

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, UNKNOWN, EOS = "<pad>", "<bos>", "<unk>", "<eos>"
# CLIPModel pools texts at its end token, except that id 2 means "at the largest id": EOS is 3.
SPECIAL_TOKENS = (PAD, BOS, UNKNOWN, EOS)
PIXEL_MEAN, PIXEL_SD = 0.5, 0.25
WEIGHT_DECAY = 0.05
CLIP_NORM = 1.0
WARM_UP = 0.1


@dataclass(frozen=True)
class Plan:
    """How one family of small encoder is built and trained.

    Attributes
    ----------
    vision_layers, text_layers, width, heads, patch : int
        Transformer sizes; ``patch`` in pixels.
    peak_rate : float
        AdamW's peak learning rate.
    scale, bias : tuple of two float
        Inverse temperature (moved geometrically) and bias (linearly) at the start and the end.
    """

    vision_layers: int
    text_layers: int
    peak_rate: float
    scale: tuple[float, float]
    bias: tuple[float, float] = (0.0, 0.0)
    width: int = 96
    heads: int = 4
    patch: int = 12


PLANS = {
    "clip": Plan(vision_layers=2, text_layers=1, peak_rate=2.5e-3, scale=(100.0, 100.0)),
    "siglip": Plan(
        vision_layers=2, text_layers=1, peak_rate=3e-3, scale=(10.0, 40.0), bias=(-5.0, -10.0)
    ),
}


def build_tokenizer(texts: Sequence[str], length: int) -> PreTrainedTokenizerFast:
    """A lower-casing word tokenizer whose vocabulary is every word of ``texts``, sorted."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Whitespace()
    words = {word for text in set(texts) for word, _ in split.pre_tokenize_str(text.lower())}
    vocabulary = {word: i for i, word in enumerate([*SPECIAL_TOKENS, *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = split
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {EOS}", special_tokens=[(BOS, vocabulary[BOS]), (EOS, vocabulary[EOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        unk_token=UNKNOWN,
        eos_token=EOS,
        model_max_length=length,
        model_input_names=["input_ids", "attention_mask"],
    )


def build_model(
    family: str, vocabulary: int, side: int, dim: int, text_length: int, seed: int
) -> nn.Module:
    """An untrained ``CLIPModel`` or ``SiglipModel`` for square pictures of ``side`` pixels."""
    transformers = quiet_transformers()
    plan = PLANS[family]
    size = {
        "hidden_size": plan.width,
        "intermediate_size": 2 * plan.width,
        "num_attention_heads": plan.heads,
    }
    tokens = {
        "vocab_size": vocabulary,
        "max_position_embeddings": text_length,
        "pad_token_id": SPECIAL_TOKENS.index(PAD),
        "bos_token_id": SPECIAL_TOKENS.index(BOS),
        "eos_token_id": SPECIAL_TOKENS.index(EOS),
    }
    text = {**size, **tokens, "num_hidden_layers": plan.text_layers}
    vision = {
        **size,
        "num_hidden_layers": plan.vision_layers,
        "image_size": side,
        "patch_size": plan.patch,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "clip":
            config = transformers.CLIPConfig(
                text_config=text, vision_config=vision, projection_dim=dim
            )
            model = transformers.CLIPModel(config)
        else:
            if dim != plan.width:
                raise InputError(
                    f"a small siglip encoder has dim {plan.width} (its width), not {dim}; "
                    "correct config/models.tsv"
                )
            config = transformers.SiglipConfig(
                text_config={**text, "projection_size": dim}, vision_config=vision
            )
            model = transformers.SiglipModel(config)
        # The libraries' initial values suit long training; places and words are learned sooner
        # when they start as large as what they are added to.
        nn.init.normal_(model.vision_model.embeddings.position_embedding.weight, std=0.5)
        nn.init.normal_(model.text_model.embeddings.position_embedding.weight, std=0.1)
        nn.init.normal_(model.text_model.embeddings.token_embedding.weight, std=0.5)
    return model


def build_image_processor(family: str, side: int) -> Any:
    """The family's Pillow image processor for pictures of ``side`` pixels."""
    import transformers

    shared = {"image_mean": [PIXEL_MEAN] * 3, "image_std": [PIXEL_SD] * 3}
    if family == "clip":
        return transformers.CLIPImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}, **shared
        )
    return transformers.SiglipImageProcessorPil(size={"height": side, "width": side}, **shared)


def pixel_values(pictures: np.ndarray) -> Tensor:
    """What the image processor makes of pictures that already have its size.

    ndarray of shape (n, side, side, 3), uint8, to Tensor of shape (n, 3, side, side).
    """
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(torch.float32)
    return (pixels / 255 - PIXEL_MEAN) / PIXEL_SD


def contrastive_loss(family: str, image: Tensor, text: Tensor, scale: float, bias: float) -> Tensor:
    """CLIP's softmax loss or SigLIP's sigmoid loss over a batch of unit-norm pairs."""
    logits = scale * image @ text.T
    if family == "clip":
        pair = torch.arange(len(logits))
        return (cross_entropy(logits, pair) + cross_entropy(logits.T, pair)) / 2
    sign = 2 * torch.eye(len(logits)) - 1
    return -logsigmoid(sign * (logits + bias)).sum(dim=1).mean()


def _load(pairs: str | Path, images: str | Path) -> tuple[np.ndarray, list[str], list[str]]:
    """Pictures (n, side, side, 3), captions and row ids, in the order of the pairs table."""
    table = read_pairs(pairs, "pairs")
    decoded = {key: np.asarray(decode_picture(content)) for key, content in read_pictures(images)}
    shapes = {picture.shape for picture in decoded.values()}
    if len(shapes) != 1 or len({*next(iter(shapes))[:2]}) != 1:
        raise InputError(f"{images}: a small encoder trains on square pictures of one size")
    absent = next((key for key in table["image"] if key not in decoded), None)
    if absent is not None:
        raise InputError(f"{images} has no picture {absent}; delete {images} and run again")
    pictures = np.stack([decoded[key] for key in table["image"]])
    return pictures, table["caption"].tolist(), table["id"].tolist()


def train_encoder(
    pairs: str | Path,
    images: str | Path,
    checkpoint: str | Path,
    history: str | Path,
    state: str | Path,
    model: str,
    family: str,
    dim: int,
    text_length: int,
    epochs: int,
    batch_size: int,
    seed: int,
) -> None:
    """Train one small dual encoder and save it; goes on from ``state`` if killed.

    Parameters
    ----------
    pairs, images : path
        Pairs table and picture shards to train on.
    checkpoint : path
        Folder to write: model, tokenizer and image processor.
    history : path
        Parquet table to write: epoch, loss, scale.
    state : path
        Where the trainer's state is kept meanwhile; removed at the end.
    model : str
        Name, for messages.
    family : {"clip", "siglip"}
    dim : int
        Width of the shared space.
    text_length : int
        Tokens per text.
    epochs, batch_size : int
        A last partial batch is left out.
    seed : int

    Raises
    ------
    InputError
        If the pictures differ in size, or there are fewer pairs than ``batch_size``.
    """
    if family not in PLANS:
        raise InputError(
            f"model {model}: small encoders exist for the families {', '.join(PLANS)}, not {family}"
        )
    plan = PLANS[family]
    pictures, texts, ids = _load(pairs, images)
    if len(ids) < batch_size:
        raise InputError(
            f"{pairs} has {len(ids)} pairs, fewer than one batch of {batch_size}; "
            "ask for more rows or a smaller encoder_training.batch_size"
        )
    tokenizer = build_tokenizer(texts, text_length)
    tokens = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    side = pictures.shape[1]
    network = build_model(
        family, len(tokenizer), side, dim, text_length, derive_seed(seed, "weights")
    )
    network.logit_scale.requires_grad_(False)
    if family == "siglip":
        network.logit_bias.requires_grad_(False)
    decayed = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": WEIGHT_DECAY},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=plan.peak_rate,
        betas=(0.9, 0.98),
    )
    steps = len(ids) // batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        plan.peak_rate,
        total_steps=epochs * steps,
        pct_start=WARM_UP,
        cycle_momentum=False,
    )
    identity = {
        **asdict(plan),
        "family": family,
        "data": hash_strings([*ids, *texts]),
        "dim": dim,
        "text_length": text_length,
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": seed,
    }
    progress = load_state(state, network, optimiser, schedule, identity) or {"rows": []}
    rows = progress["rows"]
    network.train()
    what = f"train {model}"
    with Progress(what, epochs * steps, "steps", done=len(rows) * steps) as bar:
        for epoch in range(len(rows), epochs):
            order = generator(seed, "epoch", epoch).permutation(len(ids))
            total = 0.0
            for step in range(steps):
                batch = order[step * batch_size : (step + 1) * batch_size]
                done = (epoch * steps + step) / (epochs * steps)
                scale = plan.scale[0] * (plan.scale[1] / plan.scale[0]) ** done
                bias = plan.bias[0] + (plan.bias[1] - plan.bias[0]) * done
                image = network.get_image_features(pixel_values(pictures[batch])).pooler_output
                text = network.get_text_features(
                    tokens["input_ids"][batch],
                    # SigLIP is trained without a mask over its padding.
                    attention_mask=tokens["attention_mask"][batch] if family == "clip" else None,
                ).pooler_output
                loss = contrastive_loss(
                    family, normalize(image, dim=1), normalize(text, dim=1), scale, bias
                )
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(decayed + others, CLIP_NORM)
                optimiser.step()
                schedule.step()
                total += loss.item()
                bar.step(figures=lambda loss=loss: {"loss": f"{loss.item():.3f}"})
            rows.append({"epoch": epoch + 1, "loss": total / steps, "scale": scale})
            save_state(state, network, optimiser, schedule, identity, {"rows": rows})
    with torch.no_grad():
        network.logit_scale.fill_(math.log(plan.scale[1]))
        if family == "siglip":
            network.logit_bias.fill_(plan.bias[1])
    _save(network, tokenizer, build_image_processor(family, side), rows, checkpoint, history)
    Path(state).unlink(missing_ok=True)


def _save(
    network: Any,
    tokenizer: Any,
    image_processor: Any,
    rows: list[dict[str, float]],
    checkpoint: str | Path,
    history: str | Path,
) -> None:
    import pandas as pd

    write_parquet(history, pd.DataFrame(rows))
    with replacing_folder(checkpoint) as folder:
        network.eval().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        image_processor.save_pretrained(folder)
