import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from isoenergy.data.shards import decode_picture
from isoenergy.embed.encoder import ENCODERS
from isoenergy.embed.encoders import load_encoder
from isoenergy.errors import InputError

FAMILIES = ("clip", "siglip")
TEXTS = (
    "a photo of a red circle",
    "blue star",
    "there is a large striped heart at the top left",
    "an unseen word",
)


@pytest.fixture(scope="module")
def encoders(tiny_encoders):
    return {family: load_encoder(spec) for family, spec in tiny_encoders.items()}


def pictures(n=5, sizes=((48, 48),)):
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 256, (*sizes[i % len(sizes)][::-1], 3), dtype=np.uint8))
        for i in range(n)
    ]


def direct(spec, classes):
    """The checkpoint's model, tokenizer and image processor, loaded without the library."""
    model, processor = (getattr(transformers, name) for name in classes)
    return (
        model.from_pretrained(spec.checkpoint).eval(),
        transformers.AutoTokenizer.from_pretrained(spec.checkpoint),
        processor.from_pretrained(spec.checkpoint),
    )


def unit(features):
    return (features / features.norm(dim=1, keepdim=True)).numpy()


@pytest.mark.parametrize(
    ("family", "classes", "masked"),
    [
        ("clip", ("CLIPModel", "CLIPImageProcessorPil"), True),
        ("siglip", ("SiglipModel", "SiglipImageProcessorPil"), False),
    ],
)
def test_vectors_are_those_of_transformers(tiny_encoders, encoders, family, classes, masked):
    model, tokenizer, processor = direct(tiny_encoders[family], classes)
    tokens = tokenizer(list(TEXTS), padding="max_length", max_length=16, return_tensors="pt")
    mask = tokens["attention_mask"] if masked else None
    drawn = pictures(sizes=((48, 48), (60, 90), (30, 20)))
    with torch.no_grad():
        text = unit(model.get_text_features(tokens["input_ids"], mask).pooler_output)
        other = unit(
            model.get_text_features(
                tokens["input_ids"], None if masked else tokens["attention_mask"]
            ).pooler_output
        )
        pixels = processor(images=drawn, return_tensors="pt")["pixel_values"]
        image = unit(model.get_image_features(pixels).pooler_output)
    np.testing.assert_allclose(encoders[family].embed_texts(TEXTS), text, atol=1e-6)
    np.testing.assert_allclose(encoders[family].embed_pictures(drawn), image, atol=1e-6)
    if family == "siglip":  # CLIP's causal mask hides the padding from its end token anyway
        assert np.abs(other - text).max() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_text_mask_is_passed_to_clip_alone(encoders, family, monkeypatch):
    encoder = encoders[family]
    passed = []
    real = encoder.model.get_text_features
    monkeypatch.setattr(
        encoder.model, "get_text_features", lambda **given: passed.append(given) or real(**given)
    )
    encoder.embed_texts(TEXTS)
    expected = {"input_ids", "attention_mask"} if family == "clip" else {"input_ids"}
    assert set(passed[0]) == expected
    assert passed[0]["input_ids"].shape == (len(TEXTS), 16)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_unit_norm_float32(encoders, family):
    dim = {"clip": 32, "siglip": 96}[family]
    for vectors, n in (
        (encoders[family].embed_pictures(pictures()), 5),
        (encoders[family].embed_texts(TEXTS), 4),
    ):
        assert vectors.dtype == np.float32
        assert vectors.shape == (n, dim)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_batch_does_not_change_a_vector(encoders, family):
    encoder, drawn = encoders[family], pictures(7)
    alone = np.concatenate([encoder.embed_pictures([picture]) for picture in drawn])
    np.testing.assert_allclose(encoder.embed_pictures(drawn), alone, atol=1e-5)
    alone = np.concatenate([encoder.embed_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.embed_texts(TEXTS), alone, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_different_pictures_and_texts_have_different_vectors(encoders, family):
    for vectors in (
        encoders[family].embed_pictures(pictures()),
        encoders[family].embed_texts(TEXTS),
    ):
        cosines = vectors @ vectors.T - 2 * np.eye(len(vectors))
        assert cosines.max() < 1 - 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_words_past_the_limit_do_not_count_and_those_before_do(encoders, family):
    encoder = encoders[family]
    fits = " ".join(["red", "blue"] * 7)  # 14 words, a begin and an end token
    vectors = encoder.embed_texts([fits, f"{fits} star star star", f"{fits[:-4]}star heart"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3


@pytest.mark.parametrize("lower_case", [True, False])
def test_texts_are_lower_cased_only_where_asked(encoders, tiny_encoders, monkeypatch, lower_case):
    encoder = encoders["clip"]
    monkeypatch.setattr(encoder, "spec", replace(encoder.spec, lower_case=lower_case))
    seen = []
    real = encoder.tokenizer
    monkeypatch.setattr(
        encoder, "tokenizer", lambda texts, **options: seen.append(texts) or real(texts, **options)
    )
    encoder.embed_texts(["A Red CIRCLE"])
    assert seen == [["a red circle" if lower_case else "A Red CIRCLE"]]


def encoded(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_grey_palette_or_transparent_picture_is_embedded_as_it_is_seen(encoders, family):
    colour = pictures(1)[0].quantize(16).convert("RGB")
    grey = colour.convert("L")
    faint = colour.convert("RGBA")
    faint.putalpha(200)
    seen = Image.blend(Image.new("RGB", colour.size, "white"), colour, 200 / 255)
    embed = encoders[family].embed_pictures
    for content, rgb in (
        (encoded(grey), grey.convert("RGB")),
        (encoded(colour.quantize(16)), colour),
    ):
        decoded = decode_picture(content)
        np.testing.assert_allclose(embed([decoded]), embed([rgb]), atol=1e-6)
    # Blended in whole numbers, whose roundings differ.
    np.testing.assert_allclose(embed([decode_picture(encoded(faint))]), embed([seen]), atol=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("side", ["embed_texts", "embed_pictures"])
def test_a_wrong_width_is_refused(tiny_encoders, family, side):
    encoder = load_encoder(replace(tiny_encoders[family], dim=64))
    with pytest.raises(InputError, match=r"features are \d+ wide, config/models\.tsv says dim 64"):
        getattr(encoder, side)(pictures(1) if side == "embed_pictures" else ["a"])


def test_an_unknown_family_is_refused_with_the_known_ones(tiny_encoders):
    assert list(ENCODERS) == ["aimv2", "clip", "open_clip", "siglip", "siglip2"]
    with pytest.raises(InputError, match="no encoder family 'blip'; known are aimv2, clip, open_"):
        load_encoder(replace(tiny_encoders["clip"], family="blip"))


@pytest.mark.parametrize("checkpoint", ["no-such/model", "/no/such/folder"])
def test_a_missing_checkpoint_is_named(tiny_encoders, checkpoint):
    spec = replace(tiny_encoders["clip"], checkpoint=checkpoint)
    with pytest.raises(InputError, match=rf"model Tiny-clip \({checkpoint}\) cannot be loaded: "):
        load_encoder(spec)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("model.safetensors", Path.unlink),
        ("model.safetensors", cut),
        ("config.json", cut),
        ("tokenizer.json", Path.unlink),
        ("preprocessor_config.json", Path.unlink),
    ],
)
def test_a_broken_checkpoint_is_refused(tiny_encoders, tmp_path, name, spoil):
    folder = shutil.copytree(tiny_encoders["siglip"].checkpoint, tmp_path / "broken")
    spoil(folder / name)
    with pytest.raises(InputError, match=r"model Tiny-siglip .* cannot be loaded: "):
        load_encoder(replace(tiny_encoders["siglip"], checkpoint=str(folder)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_that_lacks_weights_is_refused_rather_than_filled_up(
    tiny_encoders, tmp_path, family
):
    folder = shutil.copytree(tiny_encoders[family].checkpoint, tmp_path / "fewer")
    tensors = load_file(folder / "model.safetensors")
    del tensors["vision_model.encoder.layers.1.mlp.fc1.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"its weights are not those of a \w+Model;"):
        load_encoder(replace(tiny_encoders[family], checkpoint=str(folder)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_of_the_other_family_is_refused(tiny_encoders, family):
    other = tiny_encoders["siglip" if family == "clip" else "clip"]
    with pytest.raises(InputError, match=r"its weights are not those of a \w+Model; correct"):
        load_encoder(replace(other, family=family))


def test_a_description_tells_a_local_checkpoint_by_its_weights(tiny_encoders, encoders, tmp_path):
    copied = shutil.copytree(tiny_encoders["clip"].checkpoint, tmp_path / "copied")
    told = load_encoder(replace(tiny_encoders["clip"], checkpoint=str(copied))).describe()
    assert told == encoders["clip"].describe()
    assert told["checkpoint"].startswith("sha256:")
    assert told["checkpoint"] != encoders["siglip"].describe()["checkpoint"]
    assert str(tmp_path) not in str(told)
