import functools
import math

import numpy as np
import pytest
import torch
from PIL import Image

from isoenergy.data import scenes as drawing
from isoenergy.data.scenes import SceneSet, write_scenes
from isoenergy.data.shards import encode_png, read_pictures, write_shard
from isoenergy.embed import pretrain
from isoenergy.embed.embed import embed_dataset
from isoenergy.embed.encoder import EncoderSpec
from isoenergy.embed.encoders import load_encoder
from isoenergy.embed.parts import Embedding
from isoenergy.embed.pretrain import (
    PLANS,
    build_image_processor,
    build_model,
    build_tokenizer,
    contrastive_loss,
    pixel_values,
    train_encoder,
)
from isoenergy.embed.store import open_store
from isoenergy.errors import InputError
from isoenergy.files import read_parquet, write_parquet
from isoenergy.train.resume import load_state, save_state

FAMILIES = ("clip", "siglip")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "SHARD_ROWS", 64)
        write_scenes(
            SceneSet("s", "pairs", 0.25, "plain"), 64, 1, folder / "pairs.parquet", folder / "i"
        )
    return folder


def train_at(folder, data, family="clip", pairs=None, images=None, **changed):
    """Train for two epochs of four steps; gives the folder."""
    arguments = {"epochs": 2, "batch_size": 16, "seed": 9, "text_length": 24, "dim": 96}
    train_encoder(
        pairs or data / "pairs.parquet",
        images or data / "i",
        folder / "checkpoint",
        folder / "history.parquet",
        folder / "state",
        "Tiny",
        family,
        **{**arguments, **changed},
    )
    return folder


@pytest.fixture
def train(data, tmp_path):
    return lambda name, *told, **changed: train_at(tmp_path / name, data, *told, **changed)


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    """The folder of a family's training that nothing interrupts."""
    return functools.cache(lambda family: train_at(tmp_path_factory.mktemp("u"), data, family))


def weights(folder):
    return (folder / "checkpoint/model.safetensors").read_bytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_pixels_are_those_of_the_image_processor(family):
    pictures = np.random.default_rng(0).integers(0, 256, (6, 48, 48, 3), dtype=np.uint8)
    processor = build_image_processor(family, 48)
    expected = processor(images=[Image.fromarray(p) for p in pictures], return_tensors="pt")
    torch.testing.assert_close(pixel_values(pictures), expected["pixel_values"], atol=1e-6, rtol=0)


def batch(n=5, dim=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return (
        torch.nn.functional.normalize(torch.randn(n, dim, generator=rng), dim=1) for _ in range(2)
    )


def test_clips_loss_is_the_mean_of_two_softmax_losses():
    image, text = batch()
    scale, n = 7.0, 5
    total = 0.0
    for i in range(n):
        rows = [scale * float(image[i] @ text[j]) for j in range(n)]
        columns = [scale * float(image[j] @ text[i]) for j in range(n)]
        for logits in (rows, columns):
            total += math.log(sum(map(math.exp, logits))) - logits[i]
    loss = contrastive_loss("clip", image, text, scale, bias=123.0)
    assert float(loss) == pytest.approx(total / (2 * n), rel=1e-5)


def test_siglips_loss_is_a_sigmoid_loss_of_every_pair_over_the_batch_size():
    image, text = batch()
    scale, bias, n = 7.0, -3.0, 5
    total = 0.0
    for i in range(n):
        for j in range(n):
            sign = 1 if i == j else -1
            logit = sign * (scale * float(image[i] @ text[j]) + bias)
            total += math.log(1 + math.exp(-logit))
    loss = contrastive_loss("siglip", image, text, scale, bias)
    assert float(loss) == pytest.approx(total / n, rel=1e-5)


def test_the_vocabulary_is_the_words_and_the_end_token_is_not_2():
    tokenizer = build_tokenizer(["A red circle.", "a blue circle"], 8)
    assert tokenizer.get_vocab() == {
        word: i
        for i, word in enumerate(
            ["<pad>", "<bos>", "<unk>", "<eos>", ".", "a", "blue", "circle", "red"]
        )
    }
    assert tokenizer.eos_token_id == 3
    tokens = tokenizer(["A RED cube", "red"], padding="max_length", truncation=True)
    assert tokens["input_ids"] == [[1, 5, 8, 2, 3, 0, 0, 0], [1, 8, 3, 0, 0, 0, 0, 0]]
    assert tokens["attention_mask"] == [[1] * 5 + [0] * 3, [1] * 3 + [0] * 5]


def test_a_long_text_is_cut_before_its_end_token():
    tokenizer = build_tokenizer(["a b c d e f"], 5)
    tokens = tokenizer("a b c d e f", padding="max_length", truncation=True)["input_ids"]
    assert [tokenizer.decode([token]) for token in tokens] == ["<bos>", "a", "b", "c", "<eos>"]


def test_clip_reads_a_text_at_its_end_token():
    model = build_model("clip", 20, 48, 32, 8, seed=0).eval()
    assert model.config.text_config.eos_token_id == 3
    ids = torch.tensor(
        [[1, 9, 8, 3, 0, 0, 0, 0], [1, 9, 8, 3, 7, 7, 7, 7], [1, 9, 8, 7, 3, 0, 0, 0]]
    )
    with torch.no_grad():
        a, b, c = model.get_text_features(ids, torch.ones_like(ids)).pooler_output
    torch.testing.assert_close(a, b)  # what follows the end token is not seen
    assert (a - c).abs().max() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_initial_weights_follow_the_seed_and_leave_the_global_one_alone(family):
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    states = [build_model(family, 20, 48, 96, 8, seed).state_dict() for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    name = "text_model.embeddings.token_embedding.weight"
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0][name], states[2][name])


@pytest.mark.parametrize("family", FAMILIES)
def test_training_lowers_the_loss_and_matches_pairs(train, data, tmp_path, family):
    folder = train("trained", family, epochs=12)
    history = read_parquet(folder / "history.parquet")
    assert history["epoch"].tolist() == list(range(1, 13))
    chance = history["loss"].iloc[0]
    assert history["loss"].iloc[-1] < 0.8 * chance
    spec = EncoderSpec("Tiny", family, str(folder / "checkpoint"), None, 96, 24, False)
    store_file = tmp_path / "store/store.json"
    embedding = Embedding(64, "float32", "float32", False, 1000, 0)
    work = tmp_path / "work"
    embed_dataset(
        data / "pairs.parquet", data / "i", store_file, work, "s", "pairs", spec, embedding
    )
    store = open_store(store_file)
    cosines = store.image[:] @ store.text[:].T
    rank = (cosines > np.diag(cosines)[:, None]).sum(axis=1)
    assert np.median(rank) < 16  # 31.5 by chance


@pytest.mark.parametrize(
    ("family", "scale", "bias"), [("clip", 100.0, None), ("siglip", 40.0, -10.0)]
)
def test_the_temperature_ends_where_its_plan_says(unbroken, family, scale, bias):
    folder = unbroken(family)
    spec = EncoderSpec("Tiny", family, str(folder / "checkpoint"), None, 96, 24, False)
    model = load_encoder(spec).model
    assert model.logit_scale.exp().item() == pytest.approx(scale, rel=1e-5)
    if bias is not None:
        assert model.logit_bias.item() == pytest.approx(bias)
    path = read_parquet(folder / "history.parquet")["scale"]
    assert path.iloc[0] <= path.iloc[-1] <= scale


def test_every_epoch_sees_every_picture_once_in_an_order_of_its_own(train, monkeypatch):
    seen = []
    real = pretrain.pixel_values
    monkeypatch.setattr(
        pretrain, "pixel_values", lambda p: seen.extend(x.tobytes() for x in p) or real(p)
    )
    train("one")
    first, second = seen[:64], seen[64:]
    assert len(set(first)) == 64
    assert set(first) == set(second)
    assert first != second


class Killed(BaseException):
    pass


@pytest.fixture
def kill(monkeypatch):
    """Make the next training die at a call: ``kill("save_state", 1)`` right after the first."""

    def arm(where, after):
        calls = []

        def save(*arguments, **options):
            save_state(*arguments, **options)
            calls.append(1)
            if where == "save_state" and len(calls) == after:
                raise Killed

        step = pretrain.Progress.step

        def count(self, *arguments, **options):
            step(self, *arguments, **options)
            calls.append(1)
            if len(calls) == after:
                raise Killed

        if where == "save_state":
            monkeypatch.setattr(pretrain, "save_state", save)
        else:
            monkeypatch.setattr(pretrain.Progress, "step", count)

    yield arm
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("family", "where", "after"),
    [
        ("clip", "save_state", 1),
        ("clip", "step", 6),
        ("siglip", "save_state", 1),
        ("siglip", "step", 2),
        ("siglip", "save_state", 2),
    ],
)
def test_killed_training_goes_on_to_the_same_bytes(
    train, kill, monkeypatch, tmp_path, unbroken, family, where, after
):
    whole = unbroken(family)
    kill(where, after)
    with pytest.raises(Killed):
        train("broken", family)
    monkeypatch.undo()
    saved = where == "save_state" or after > 4  # four steps an epoch
    assert (tmp_path / "broken/state").exists() == saved
    assert not (tmp_path / "broken/checkpoint").exists()
    resumed = []

    def load(*arguments, **options):
        resumed.append(load_state(*arguments, **options))
        return resumed[-1]

    monkeypatch.setattr(pretrain, "load_state", load)
    broken = train("broken", family)
    assert [bool(progress) for progress in resumed] == [saved]
    assert weights(broken) == weights(whole)
    assert (broken / "history.parquet").read_bytes() == (whole / "history.parquet").read_bytes()
    assert not (broken / "state").exists()


@pytest.mark.parametrize(
    "changed", [{"text_length": 12}, {"dim": 64}, {"seed": 10}, {"batch_size": 32}, {"epochs": 3}]
)
def test_the_state_of_another_training_is_not_gone_on_from(train, kill, monkeypatch, changed):
    kill("save_state", 1)
    with pytest.raises(Killed):
        train("broken")
    monkeypatch.undo()
    assert weights(train("broken", **changed)) == weights(train("unbroken", **changed))


def test_the_state_of_other_captions_is_not_gone_on_from(train, kill, monkeypatch, data, tmp_path):
    table = read_parquet(data / "pairs.parquet")
    other = tmp_path / "other.parquet"
    write_parquet(other, table.assign(caption=table["caption"].to_numpy()[::-1]))
    kill("save_state", 1)
    with pytest.raises(Killed):
        train("broken")
    monkeypatch.undo()
    assert weights(train("broken", pairs=other)) == weights(train("unbroken", pairs=other))


def test_the_seed_matters(train, unbroken):
    assert weights(train("other", seed=10)) != weights(unbroken("clip"))


def test_too_few_pairs_for_a_batch_are_refused(train):
    with pytest.raises(InputError, match="has 64 pairs, fewer than one batch of 65"):
        train("few", batch_size=65)


def test_a_family_without_a_small_encoder_is_refused(train):
    assert tuple(PLANS) == FAMILIES
    with pytest.raises(InputError, match="small encoders exist for the families clip, siglip, not"):
        train("other", family="blip")


def test_a_small_siglip_has_the_width_of_its_tower(train):
    with pytest.raises(InputError, match="a small siglip encoder has dim 96"):
        train("narrow", family="siglip", dim=64)


def test_pictures_of_several_sizes_or_oblong_ones_are_refused(train, data, tmp_path):
    pictures = dict(read_pictures(data / "i"))
    small = encode_png(np.zeros((24, 24, 3), dtype=np.uint8))
    oblong = encode_png(np.zeros((24, 48, 3), dtype=np.uint8))
    for name, changed in (
        ("several", {**pictures, "00000003": small}),
        ("oblong", dict.fromkeys(pictures, oblong)),
    ):
        write_shard(tmp_path / name / "0.tar", changed.items(), ".png")
        with pytest.raises(InputError, match="trains on square pictures of one size"):
            train("x", images=tmp_path / name)


def test_a_picture_that_is_not_in_the_shards_is_named(train, data, tmp_path):
    pictures = dict(read_pictures(data / "i"))
    del pictures["00000007"]
    write_shard(tmp_path / "fewer/0.tar", pictures.items(), ".png")
    with pytest.raises(InputError, match="00000007"):
        train("x", images=tmp_path / "fewer")
