"""Checkpoints as their publishers save them, with the processors they come with."""

import string
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from isoenergy.embed.encoder import EncoderSpec
from isoenergy.embed.encoders import load_encoder
from isoenergy.embed.parts import LOWEST_COSINE
from isoenergy.embed.texts import embed_texts
from isoenergy.errors import InputError

FAMILIES = ("clip", "siglip", "siglip2", "aimv2")
MODEL = {"clip": "CLIPModel", "siglip": "SiglipModel", "siglip2": "SiglipModel"}
LENGTH, SIDE = 40, 32
TEXTS = ("a red circle", "Blue star, there", "there is a large striped heart", "a")
LETTERS = string.ascii_letters + string.punctuation


def clip_tokenizer(folder):
    specials = ("<|startoftext|>", "<|endoftext|>")
    pieces = [letter + end for letter in LETTERS for end in ("", "</w>")] + list(specials)
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[])


def siglip_tokenizer(folder):
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*TEXTS, string.ascii_lowercase] * 20),
        model_prefix=str(folder / "pieces"),
        vocab_size=60,
        pad_id=-1,
        bos_id=-1,
        eos_id=1,
        unk_id=2,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return transformers.SiglipTokenizer(str(folder / "pieces.model"))


def siglip2_tokenizer(folder):
    specials = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁")
    vocabulary = {piece: i for i, piece in enumerate([*specials, *LETTERS])}
    return transformers.GemmaTokenizer(
        vocab=vocabulary, merges=[], add_bos_token=False, add_eos_token=True
    )


TOKENIZERS = {
    "clip": clip_tokenizer,
    "siglip": siglip_tokenizer,
    "siglip2": siglip2_tokenizer,
    "aimv2": clip_tokenizer,
}


def build(family, tokenizer):
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    size["num_attention_heads"] = 2
    text = {**size, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    text["eos_token_id"] = tokenizer.eos_token_id
    vision = {**size, "image_size": SIDE, "patch_size": 8}
    kinds = {"clip": "CLIP", "siglip": "Siglip", "siglip2": "Siglip", "aimv2": "Aimv2"}
    told = {} if "siglip" in family else {"projection_dim": 32}
    config = getattr(transformers, f"{kinds[family]}Config")(
        text_config=text, vision_config=vision, **told
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = getattr(transformers, f"{kinds[family]}Model")(config)
        # As strong as trained ones: with the libraries' own, all pictures and texts are nearly one.
        for weight in model.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.3)
    return model


def build_image_processor(family):
    if "siglip" in family:
        return transformers.SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return transformers.CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )


def processor_of(family, folder):
    """The processor that the publisher's own example uses, loaded without the library."""
    wrap = transformers.SiglipProcessor if "siglip" in family else transformers.CLIPProcessor
    tokenizer = {
        "clip": transformers.CLIPTokenizer,
        "siglip": transformers.SiglipTokenizer,
        "siglip2": transformers.GemmaTokenizer,
        "aimv2": transformers.CLIPTokenizer,
    }[family].from_pretrained(folder, padding_side="right")
    return wrap(type(build_image_processor(family)).from_pretrained(folder), tokenizer)


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    made = {}
    for family in FAMILIES:
        folder = tmp_path_factory.mktemp(family)
        tokenizer = TOKENIZERS[family](folder)
        for part in (build(family, tokenizer), tokenizer, build_image_processor(family)):
            part.save_pretrained(folder)
        made[family] = EncoderSpec(
            f"Tiny-{family}", family, str(folder), None, 32, LENGTH, family == "siglip2"
        )
    return made


@pytest.fixture(scope="module")
def encoders(specs):
    return {family: load_encoder(spec) for family, spec in specs.items()}


def pictures(n=6):
    rng = np.random.default_rng(0)
    sizes = ((48, 48), (60, 90), (30, 20))
    return [
        Image.fromarray(rng.integers(0, 256, (*sizes[i % 3], 3), dtype=np.uint8)) for i in range(n)
    ]


def direct(spec, texts, drawn, dtype=torch.float32):
    """Unit vectors as the model itself makes them for its logits."""
    model = transformers.AutoModel.from_pretrained(spec.checkpoint, dtype=dtype).float().eval()
    processor = processor_of(spec.family, spec.checkpoint)
    given = processor(
        text=[text.lower() for text in texts] if spec.lower_case else list(texts),
        images=drawn,
        padding="max_length",
        max_length=spec.text_length,
        truncation=True,
        return_tensors="pt",
    )
    if "siglip" in spec.family:
        given.pop("attention_mask", None)
    with torch.no_grad():
        made = model(**given)
    return made.image_embeds.numpy(), made.text_embeds.numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_that_the_model_compares(specs, encoders, family):
    image, text = direct(specs[family], TEXTS, pictures())
    np.testing.assert_allclose(encoders[family].embed_pictures(pictures()), image, atol=1e-6)
    np.testing.assert_allclose(encoders[family].embed_texts(TEXTS), text, atol=1e-6)
    for vectors in (image, text):
        assert (vectors @ vectors.T - 2 * np.eye(len(vectors))).max() < 1 - 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_and_their_order_change_no_vector(encoders, family):
    encoder, drawn = encoders[family], pictures(7)
    texts = [*TEXTS, TEXTS[1], "another text", *TEXTS[::-1]]
    whole = embed_texts(encoder, texts, 64, "texts")
    for size in (1, 3):
        np.testing.assert_allclose(embed_texts(encoder, texts, size, "texts"), whole, atol=1e-6)
    np.testing.assert_allclose(encoder.embed_texts(texts[::-1])[::-1], whole, atol=1e-6)
    whole = encoder.embed_pictures(drawn)
    alone = np.concatenate([encoder.embed_pictures([picture]) for picture in drawn])
    np.testing.assert_allclose(alone, whole, atol=1e-6)
    np.testing.assert_allclose(encoder.embed_pictures(drawn[::-1])[::-1], whole, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_text_is_padded_on_the_right_to_the_length_of_the_table(
    encoders, family, monkeypatch
):
    encoder, passed = encoders[family], []
    real = encoder.model.get_text_features
    monkeypatch.setattr(
        encoder.model, "get_text_features", lambda **given: passed.append(given) or real(**given)
    )
    encoder.embed_texts(["a"])
    encoder.embed_texts([" ".join(TEXTS * 3)])
    short, long = (given["input_ids"][0] for given in passed)
    assert len(short) == len(long) == LENGTH
    assert (short[-LENGTH + 4 :] == encoder.tokenizer.pad_token_id).all()
    masked = family in ("clip", "aimv2")
    assert all(("attention_mask" in given) == masked for given in passed)


@pytest.mark.parametrize("family", ["clip", "aimv2"])
def test_masked_padding_changes_nothing(specs, encoders, family):
    shorter = load_encoder(replace(specs[family], text_length=33))
    np.testing.assert_allclose(
        shorter.embed_texts(TEXTS), encoders[family].embed_texts(TEXTS), atol=1e-6
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_short_padding_changes_nothing_and_is_only_where_padding_is_hidden(
    encoders, family, monkeypatch
):
    encoder, widths = encoders[family], []
    texts = [" ".join(TEXTS * n) for n in (1, 3, 1)] + ["a red", "a", *TEXTS, "a" * 60]
    padded = embed_texts(encoder, texts, 3, "texts")
    real = encoder.model.get_text_features
    monkeypatch.setattr(
        encoder.model,
        "get_text_features",
        lambda **given: widths.append(given["input_ids"].shape[1]) or real(**given),
    )
    short = embed_texts(encoder, texts, 3, "texts", short=True)
    np.testing.assert_allclose(short, padded, atol=1e-6)
    if family in ("clip", "aimv2"):
        assert widths == sorted(widths)
        assert widths[0] < LENGTH // 2 < widths[-1] == LENGTH
    else:  # what pads their texts is seen by the others, so that less of it would be another text
        assert widths == [LENGTH] * 3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_that_fills_the_tower_does_not_depend_on_its_company(encoders, family):
    long = " ".join(TEXTS * 3)
    alone = encoders[family].embed_texts([long])
    np.testing.assert_allclose(encoders[family].embed_texts([long, "a"])[:1], alone, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_mixed_precision_is_as_near_to_float32_as_is_asked(encoders, family, monkeypatch):
    encoder = encoders[family]
    single = [encoder.embed_pictures(pictures()), encoder.embed_texts(TEXTS)]
    monkeypatch.setattr(encoder, "precision", "float16")
    mixed = [encoder.embed_pictures(pictures()), encoder.embed_texts(TEXTS)]
    for one, other in zip(single, mixed, strict=True):
        assert other.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(other, axis=1), 1, atol=1e-6)
        assert (one * other).sum(axis=1).min() >= LOWEST_COSINE
        assert (one != other).any()


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_checkpoints_are_computed_in_float32(specs, tmp_path, family, stored):
    spec = specs[family]
    tokenizer = load_encoder(spec).tokenizer
    for part in (build(family, tokenizer).to(stored), tokenizer, build_image_processor(family)):
        part.save_pretrained(tmp_path)
    spec = replace(spec, checkpoint=str(tmp_path))
    encoder = load_encoder(spec)
    assert {weight.dtype for weight in encoder.model.parameters()} == {torch.float32}
    image, text = direct(spec, TEXTS, pictures(), stored)
    np.testing.assert_allclose(encoder.embed_pictures(pictures()), image, atol=1e-6)
    np.testing.assert_allclose(encoder.embed_texts(TEXTS), text, atol=1e-6)


@pytest.mark.parametrize("tokenizer_class", ["GemmaTokenizer", "Siglip2Tokenizer"])
def test_siglip2_texts_are_lower_cased_by_the_switch_alone(specs, tmp_path, tokenizer_class):
    spec = replace(specs["siglip2"], checkpoint=str(tmp_path))
    tokenizer = siglip2_tokenizer(tmp_path)
    saved = getattr(transformers, tokenizer_class)(
        vocab=tokenizer.get_vocab(), merges=[], add_bos_token=False, add_eos_token=True
    )
    for part in (build("siglip2", tokenizer), saved, build_image_processor("siglip2")):
        part.save_pretrained(tmp_path)
    lower = load_encoder(spec).embed_texts(["A Red Circle", "a red circle"])
    np.testing.assert_array_equal(lower[0], lower[1])
    as_is = load_encoder(replace(spec, lower_case=False)).embed_texts(["A Red Circle"])
    assert np.abs(as_is[0] - lower[0]).max() > 1e-2


def test_a_siglip2_checkpoint_of_any_resolution_is_refused(specs, tmp_path):
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    size["num_attention_heads"] = 2
    config = transformers.Siglip2Config(
        text_config={**size, "vocab_size": 120, "max_position_embeddings": LENGTH},
        vision_config={**size, "num_patches": 16, "patch_size": 8},
    )
    transformers.Siglip2Model(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="its weights are not those of a SiglipModel"):
        load_encoder(replace(specs["siglip2"], checkpoint=str(tmp_path)))


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_longer_than_the_text_tower_are_refused(specs, family):
    with pytest.raises(
        InputError, match=f"at most {LENGTH} tokens, config/models.tsv says text_le"
    ):
        load_encoder(replace(specs[family], text_length=LENGTH + 1))


def test_pickled_weights_are_not_read(specs, tmp_path):
    spec = specs["clip"]
    tokenizer = load_encoder(spec).tokenizer
    model = build("clip", tokenizer)
    for part in (model.config, tokenizer, build_image_processor("clip")):
        part.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="holds no weights in safetensors, and other formats are"):
        load_encoder(replace(spec, checkpoint=str(tmp_path)))
