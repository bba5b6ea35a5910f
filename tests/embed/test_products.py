import numpy as np
import pytest
import torch
import transformers
from torch import nn

from isoenergy import onednn
from isoenergy.embed.encoder import EncoderSpec
from isoenergy.embed.encoders import load_encoder
from isoenergy.embed.pretrain import build_image_processor, build_tokenizer
from isoenergy.embed.products import PackedLinear, pack_linear_layers

# Layers are packed where torch would have MKL.
MKL = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 40), (2, 5, 40), (1, 1, 40), (0, 40)])
def test_a_packed_layer_is_the_layer(bias, shape, monkeypatch):
    monkeypatch.setattr(onednn, "PRODUCT_ROWS", 3)
    torch.manual_seed(0)
    layer = nn.Linear(40, 24, bias=bias)
    x = torch.randn(*shape)
    with torch.inference_mode():
        made = PackedLinear(layer)(x)
        exact = layer.double()(x.double())
    assert made.dtype == torch.float32
    torch.testing.assert_close(made.double(), exact, rtol=0, atol=1e-5)


def test_a_packed_layer_reads_rows_that_do_not_lie_side_by_side():
    layer, x = nn.Linear(40, 24), torch.randn(40, 7).T
    with torch.inference_mode():
        torch.testing.assert_close(PackedLinear(layer)(x), layer(x))


def test_autocast_has_its_precision_in_packed_layers_too():
    layer, x = nn.Linear(40, 24), torch.randn(7, 40)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        made, expected = PackedLinear(layer)(x), layer(x)
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made, expected)


@pytest.mark.skipif(not MKL, reason="torch has no MKL here")
def test_large_linear_layers_alone_are_packed():
    class Other(nn.Linear):
        pass

    model = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 9)), Other(9, 9))
    pack_linear_layers(model, least=70)
    assert [type(layer) for layer in (model[0], model[1][0], model[2])] == [
        nn.Linear,
        PackedLinear,
        Other,
    ]


def test_an_encoder_with_packed_layers_embeds_as_transformers_does(tmp_path):
    """CLIP of ViT-B/32's width, whose layers are large enough, against the model left alone."""
    texts = [f"a photo of {n} birds" for n in ("one", "two", "no")]
    tokenizer = build_tokenizer(texts, 16)
    size = {"num_hidden_layers": 2}
    torch.manual_seed(0)
    model = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config={**size, "bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0},
            vision_config=size,
        )
    )
    for part in (model, tokenizer, build_image_processor("clip", 224)):
        part.save_pretrained(tmp_path)
    encoder = load_encoder(EncoderSpec("b", "clip", str(tmp_path), None, 512, 16, False))
    if encoder.device.type == "cpu" and MKL:
        packed = [m for m in encoder.model.modules() if isinstance(m, PackedLinear)]
        assert len(packed) == 2 * 2 * 6 + 2
    pixels = np.random.default_rng(0).standard_normal((3, 3, 224, 224), dtype=np.float32)
    tokens = tokenizer(texts, padding="max_length", max_length=16, return_tensors="pt")
    with torch.inference_mode():
        image = model.eval().get_image_features(torch.from_numpy(pixels)).pooler_output
        text = model.get_text_features(**tokens).pooler_output
    for vectors, expected in (
        (encoder.embed_pixels(pixels), image),
        (encoder.embed_texts(texts), text),
    ):
        unit = nn.functional.normalize(expected, dim=1).numpy()
        np.testing.assert_allclose(vectors, unit, rtol=0, atol=1e-6)
