import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from isoenergy.data.shards import encode_png, locate_pictures, write_shard
from isoenergy.embed import pictures
from isoenergy.embed.encoders import load_encoder
from isoenergy.embed.pictures import Batches, PictureChunks, read_chunks
from isoenergy.errors import InputError

SIZES = ((48, 48), (60, 90), (30, 20))


def drawn(n):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*SIZES[i % 3], 3), dtype=np.uint8) for i in range(n)]


@pytest.fixture
def images(tmp_path):
    """Forty pictures in three shards, of which two are broken."""
    content = [(f"{i:03d}", encode_png(pixels)) for i, pixels in enumerate(drawn(40))]
    content[7] = ("007", b"no picture")
    content[32] = ("032", b"")
    for shard, start in enumerate((0, 15, 30)):
        write_shard(tmp_path / f"{shard}.tar", content[start : start + 15], ".png")
    return tmp_path


def test_chunks_are_the_same_whoever_makes_them(images, tiny_encoders):
    preprocess = load_encoder(tiny_encoders["clip"]).preprocess
    places = locate_pictures(images).iloc[::-1]
    spans = [(0, 16), (16, 30), (30, 40)]
    here, there = (
        list(read_chunks(PictureChunks(images, places, spans, preprocess), workers, 32))
        for workers in (0, 2)
    )
    wanted = [i for i in range(39, -1, -1) if i not in (7, 32)]
    for made in (here, there):
        assert [39 - row for chunk in made for row in chunk.rows] == wanted
        assert [list(chunk.failed) for chunk in made] == [[7], [], [32]]
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    alone = [preprocess([Image.fromarray(pixels)])[0] for pixels in drawn(40)]
    together = np.concatenate([chunk.pixels for chunk in here])
    np.testing.assert_array_equal(together, [alone[i] for i in wanted])


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("spoil", ["truncated", "gone"])
def test_a_shard_that_is_cut_after_it_was_listed_is_one_sentence(images, spoil, workers):
    places, shard = locate_pictures(images), images / "1.tar"
    if spoil == "gone":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:1300])
    with pytest.raises(InputError, match=rf"1\.tar is broken \(it is {spoil}\); delete") as told:
        list(read_chunks(PictureChunks(images, places, [(0, 40)], len), workers, 32))
    assert str(told.value).endswith(f"delete {images} and run again")


def test_large_pictures_are_preprocessed_a_few_at_a_time(images, monkeypatch):
    monkeypatch.setattr(pictures, "_DECODED", 8000)
    asked = []

    def preprocess(given):
        asked.append(sum(picture.width * picture.height for picture in given))
        return np.full((len(given), 3, 2, 2), len(given), dtype=np.float32)

    chunk = PictureChunks(images, locate_pictures(images), [(0, 16)], preprocess)[0]
    assert len(chunk.pixels) == len(chunk.rows) == 15
    assert max(asked) <= 8000 + 60 * 90
    assert len(asked) > 4


def test_preprocessing_can_be_sent_to_another_process(tiny_encoders):
    preprocess = load_encoder(tiny_encoders["clip"]).preprocess
    picture = Image.fromarray(drawn(2)[1])
    copied = pickle.loads(pickle.dumps(preprocess))
    np.testing.assert_array_equal(copied([picture]), preprocess([picture]))


@pytest.mark.parametrize("cut", [1, 3, 16, 40])
def test_batches_do_not_depend_on_how_pictures_come(cut):
    sizes = []

    def embed_pixels(pixels):
        sizes.append(len(pixels))
        return pixels[:, 0, 0, :1]

    batches = Batches(SimpleNamespace(embed_pixels=embed_pixels, spec=SimpleNamespace(dim=1)), 6)
    pixels = np.arange(40, dtype=np.float32).reshape(40, 1, 1, 1).repeat(3, axis=1)
    for start in range(0, 40, cut):
        batches.add(pixels[start : start + cut])
    assert batches.finish()[:, 0].tolist() == list(range(40))
    assert sizes == [6] * 6 + [4]
    assert batches.finish().shape == (0, 1)
