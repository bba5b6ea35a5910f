"""Encoders of open_clip; run by `make test-open-clip`, left out where it is not installed."""

import json
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from isoenergy.embed.encoder import EncoderSpec
from isoenergy.embed.encoders import load_encoder
from isoenergy.embed.texts import embed_texts
from isoenergy.errors import InputError

needed = pytest.mark.skipif(find_spec("open_clip") is None, reason="open_clip is not installed")
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {
        "context_length": 20,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}
PREPROCESS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear"}
OPERATORS = []
TEXTS = ("a red circle", "Blue star, there", "there is a large striped heart", "a")


@pytest.fixture(scope="module")
def open_clip():
    """The library; PyPI's torchvision, compiled for CUDA, is made to load beside a CPU torch."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        # It is looked up on import and never called by what is tested here.
        OPERATORS.append(torch.library.Library("torchvision", "FRAGMENT"))
        for name in ("nms", "qnms"):
            OPERATORS[0].define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    import open_clip as library

    return library


@pytest.fixture(scope="module")
def spec(open_clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    told = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(told))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**CONFIG)
        for weight in model.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.3)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return EncoderSpec("Tiny", "open_clip", str(folder), None, 24, 20, False)


@pytest.fixture(scope="module")
def encoder(spec):
    return load_encoder(spec)


def pictures(n=6):
    rng = np.random.default_rng(0)
    sizes = ((48, 48), (60, 90), (30, 20))
    return [
        Image.fromarray(rng.integers(0, 256, (*sizes[i % 3], 3), dtype=np.uint8)) for i in range(n)
    ]


@needed
def test_vectors_are_those_of_open_clip(open_clip, spec, encoder):
    name = f"local-dir:{spec.checkpoint}"
    model, preprocess = open_clip.create_model_from_pretrained(name)
    tokens = open_clip.get_tokenizer(name)(list(TEXTS))
    assert tokens.shape == (4, 20)
    with torch.no_grad():
        text = model.eval().encode_text(tokens, normalize=True).numpy()
        pixels = torch.stack([preprocess(picture) for picture in pictures()])
        image = model.encode_image(pixels, normalize=True).numpy()
    np.testing.assert_allclose(encoder.embed_texts(TEXTS), text, atol=1e-6)
    np.testing.assert_allclose(encoder.embed_pictures(pictures()), image, atol=1e-6)
    for vectors in (image, text):
        assert (vectors @ vectors.T - 2 * np.eye(len(vectors))).max() < 1 - 1e-3


@needed
def test_pixels_are_prepared_as_the_checkpoint_says(encoder):
    grey = Image.fromarray(np.full((32, 32, 3), 128, dtype=np.uint8))
    expected = (128 / 255 - np.array([0.4, 0.5, 0.6])) / np.array([0.2, 0.3, 0.4])
    np.testing.assert_allclose(encoder.preprocess([grey])[0, :, 5, 5], expected, atol=1e-6)
    assert encoder.describe()["image_processor"]["interpolation"] == "bilinear"


@needed
def test_batches_and_their_order_change_no_vector(encoder):
    texts = [*TEXTS, TEXTS[1], "another text", *TEXTS[::-1]]
    whole = embed_texts(encoder, texts, 64, "texts")
    for size in (1, 3):
        np.testing.assert_allclose(embed_texts(encoder, texts, size, "texts"), whole, atol=1e-6)
    whole, drawn = encoder.embed_pictures(pictures(7)), pictures(7)
    alone = np.concatenate([encoder.embed_pictures([picture]) for picture in drawn])
    np.testing.assert_allclose(alone, whole, atol=1e-6)
    np.testing.assert_allclose(encoder.embed_pictures(drawn[::-1])[::-1], whole, atol=1e-6)


@needed
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"text_length": 21},
            "reads texts of at most 20 tokens, config/models.tsv says text_length",
        ),
        ({"checkpoint": "ViT-B-32:of_nobody"}, "knows no such weights; those of ViT-B-32 are op"),
        ({"checkpoint": "ViTamin-S:datacomp1b"}, "from a file that is not in safetensors; convert"),
        (
            {"checkpoint": "who/absent"},
            "HF_HUB_OFFLINE forbids a download; unset it, or run `hf do",
        ),
    ],
)
def test_what_cannot_be_loaded_is_told_in_one_sentence(open_clip, spec, change, reason):
    with pytest.raises(InputError, match=reason) as told:
        load_encoder(replace(spec, **change))
    assert "\n" not in str(told.value)


@needed
def test_an_architecture_and_its_tag_are_looked_up_on_the_hub(open_clip, spec):
    named = replace(spec, checkpoint="ViT-B-32:datacomp_xl_s13b_b90k")
    repository = (
        r"\(laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K\) cannot be loaded: the cache .* lacks"
    )
    with pytest.raises(InputError, match=repository):
        load_encoder(named)


@needed
def test_pickled_weights_are_not_read(open_clip, spec, tmp_path):
    told = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(told))
    torch.save(open_clip.CLIP(**CONFIG).state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(InputError, match="holds no weights in safetensors"):
        load_encoder(replace(spec, checkpoint=str(tmp_path)))


@pytest.mark.skipif(find_spec("open_clip") is not None, reason="open_clip is installed")
def test_without_open_clip_the_command_that_installs_it_is_told():
    spec = EncoderSpec("Tiny", "open_clip", "ViT-B-32:openai", None, 24, 20, False)
    with pytest.raises(InputError, match=r"need the package open_clip, .*`pip install '\.\[open_c"):
        load_encoder(spec)
