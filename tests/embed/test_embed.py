import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from isoenergy.data.shards import decode_picture, list_shards, read_pictures, write_shard
from isoenergy.embed.embed import embed_dataset
from isoenergy.embed.encoders import load_encoder
from isoenergy.embed.parts import Embedding
from isoenergy.embed.store import open_store
from isoenergy.embed.texts import class_vectors, embed_texts
from isoenergy.errors import InputError
from isoenergy.files import read_json, read_parquet, write_parquet

ROWS = {"pairs": 24, "classes": 20, "edits": 24}


@pytest.fixture(scope="module")
def data(draw_data):
    """A small data set of each kind."""
    return draw_data(ROWS, shard_rows=10, captions=2)


@pytest.fixture
def embed(data, tiny_encoders, tmp_path):
    def run(kind, family="clip", batch_size=7, dtype="float32", where=data, name="store", part=100):
        embed_dataset(
            where / kind / "pairs.parquet",
            where / kind / "images",
            tmp_path / name / "store.json",
            tmp_path / name / "parts",
            "few",
            kind,
            tiny_encoders[family],
            Embedding(batch_size, dtype, "float32", False, part, 0),
        )
        assert not (tmp_path / name / "parts").exists()
        return open_store(tmp_path / name)

    return run


def expected(data, kind, spec):
    """Every picture by key, and a function of texts, embedded one by one."""
    encoder = load_encoder(spec)
    vectors = {
        key: encoder.embed_pictures([decode_picture(content)])[0]
        for key, content in read_pictures(data / kind / "images")
    }
    return vectors, lambda text: encoder.embed_texts([text])[0]


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("kind", ["pairs", "edits"])
def test_row_i_is_the_picture_and_the_text_of_pair_i(data, embed, tiny_encoders, family, kind):
    store = embed(kind, family)
    table = read_parquet(data / kind / "pairs.parquet")
    pictures, text = expected(data, kind, tiny_encoders[family])
    assert store.metadata()["id"].tolist() == table["id"].tolist()
    np.testing.assert_allclose(store.image[:], [pictures[k] for k in table["image"]], atol=1e-5)
    np.testing.assert_allclose(store.text[:], [text(t) for t in table["caption"]], atol=1e-5)
    if kind == "edits":
        source = [pictures[key] for key in table["source"]]
        np.testing.assert_allclose(store.source[:], source, atol=1e-5)
    else:
        assert store.source is None


def test_texts_of_classes_are_the_class_vectors_by_label(data, embed, tiny_encoders):
    store = embed("classes")
    table = read_parquet(data / "classes/pairs.parquet")
    told = read_json(data / "classes/images/classes.json")
    _, text = expected(data, "classes", tiny_encoders["clip"])
    label = int(table["label"].iloc[4])
    mean = np.mean([text(t.replace("{}", told["names"][label])) for t in told["templates"]], axis=0)
    assert store.classes.shape == (64, 32)
    np.testing.assert_allclose(store.classes[label], mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_array_equal(store.text[:], store.classes[table["label"]])
    assert store.metadata()["label"].tolist() == table["label"].tolist()


def test_a_class_vector_is_the_unit_mean_of_unit_prompts():
    corners = {"a cat": [1.0, 0.0], "the cat": [0.0, 1.0], "a dog": [0.6, 0.8], "the dog": [1, 0]}
    encoder = SimpleNamespace(
        spec=SimpleNamespace(dim=2, model="M"),
        hides_padding=False,
        embed_texts=lambda texts, longest: np.array(
            [corners[text] for text in texts], dtype=np.float32
        ),
    )
    vectors = class_vectors(encoder, ["cat", "dog"], ["a {}", "the {}"], batch_size=3)
    np.testing.assert_allclose(vectors, [[0.5**0.5, 0.5**0.5], [0.8**0.5, 0.2**0.5]], atol=1e-6)


def test_equal_texts_are_embedded_once_and_told_in_their_rows(monkeypatch):
    asked = []

    def answer(texts, longest):
        asked.extend(texts)
        return np.array([[len(text), 0] for text in texts], dtype=np.float32)

    encoder = SimpleNamespace(spec=SimpleNamespace(dim=2), embed_texts=answer, hides_padding=False)
    vectors = embed_texts(encoder, ["ccc", "a", "ccc", "bb", "a"], 2, "texts")
    assert vectors[:, 0].tolist() == [3, 1, 3, 2, 1]
    assert sorted(asked) == ["a", "bb", "ccc"]


@pytest.mark.parametrize("kind", ROWS)
def test_the_batch_size_does_not_matter(embed, kind):
    one, many = embed(kind, batch_size=5), embed(kind, batch_size=64, name="many")
    np.testing.assert_allclose(one.image[:], many.image[:], atol=1e-5)
    np.testing.assert_allclose(one.text[:], many.text[:], atol=1e-5)


def test_float16_is_float32_rounded(embed):
    half, single = embed("pairs", dtype="float16"), embed("pairs", name="single")
    assert half.description["dtype"] == "float16"
    np.testing.assert_array_equal(half.image[:], single.image[:].astype(np.float16))


def test_the_store_says_what_made_it(embed, tiny_encoders):
    told = embed("pairs", "siglip").description
    assert (told["model"], told["dataset"], told["kind"]) == ("Tiny-siglip", "few", "pairs")
    assert told["encoder"]["model_class"] == "SiglipModel"
    assert told["encoder"]["text_length"] == 16
    assert told["encoder"]["torch"] == torch.__version__
    assert told["dropped"] == {}


def read_pictures_of(shard):
    with tarfile.open(shard) as tar:
        for member in tar:
            yield member.name.removesuffix(".png"), tar.extractfile(member).read()


@pytest.fixture
def spoilt(data, tmp_path):
    """The data sets with one picture that cannot be decoded and one that is absent."""
    gone = {"pairs": ("00000001", "00000003"), "classes": ("00000001", "00000003")}
    gone["edits"] = ("s00000001", "t00000003")
    for kind, (broken, absent) in gone.items():
        (tmp_path / kind).mkdir()
        table = read_parquet(data / kind / "pairs.parquet")
        write_parquet(tmp_path / kind / "pairs.parquet", table)
        for shard in list_shards(data / kind / "images"):
            with_suffix = tmp_path / kind / "images" / shard.name
            content = []
            for key, picture in read_pictures_of(shard):
                if key != absent:
                    content.append((key, picture[:40] if key == broken else picture))
            write_shard(with_suffix, content, ".png")
    (tmp_path / "classes/images/classes.json").write_bytes(
        (data / "classes/images/classes.json").read_bytes()
    )
    return tmp_path


@pytest.mark.parametrize("kind", ROWS)
def test_rows_without_a_picture_are_left_out_and_told(embed, spoilt, kind):
    whole, fewer = embed(kind), embed(kind, where=spoilt, name="fewer")
    table = read_parquet(spoilt / kind / "pairs.parquet")
    sides = table["image"] + (" " + table["source"] if kind == "edits" else "")
    lost = sides.str.contains({"edits": "s00000001|t00000003"}.get(kind, "0000000[13]$"))
    dropped = fewer.description["dropped"]
    assert sorted(dropped) == sorted(table["id"][lost])
    assert lost.sum() == {"pairs": 4, "classes": 2, "edits": 4}[kind]
    reasons = {reason.split(" (")[0] for reason in dropped.values()}
    assert reasons == {"picture cannot be decoded", "not in the shards"}
    assert fewer.metadata()["id"].tolist() == table["id"][~lost].tolist()
    np.testing.assert_allclose(fewer.image[:], whole.image[:][~lost], atol=1e-5)
    np.testing.assert_allclose(fewer.text[:], whole.text[:][~lost], atol=1e-5)


def test_rows_whose_status_is_not_ok_are_not_embedded(data, embed, tmp_path):
    table = read_parquet(data / "pairs/pairs.parquet")
    table["status"] = ["404" if i % 3 else "ok" for i in range(len(table))]
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs/images").symlink_to(data / "pairs/images")
    write_parquet(tmp_path / "pairs/pairs.parquet", table)
    store = embed("pairs", where=tmp_path)
    assert store.metadata()["id"].tolist() == table["id"][::3].tolist()
    assert "status" not in store.metadata()


def test_a_set_without_any_picture_is_refused(data, embed, tmp_path):
    (tmp_path / "pairs").mkdir()
    write_shard(tmp_path / "pairs/images/0.tar", [("other", b"")], ".png")
    (tmp_path / "pairs/pairs.parquet").symlink_to(data / "pairs/pairs.parquet")
    with pytest.raises(InputError, match=r"none of the 24 rows .* can be embedded \(24 x not in"):
        embed("pairs", where=tmp_path)


def test_a_label_without_a_class_is_refused(data, embed, tmp_path):
    table = read_parquet(data / "classes/pairs.parquet")
    (tmp_path / "classes").mkdir()
    (tmp_path / "classes/images").symlink_to(data / "classes/images")
    table.loc[3, "label"] = 64
    write_parquet(tmp_path / "classes/pairs.parquet", table)
    with pytest.raises(InputError, match=r"pairs\.parquet: label 64 is not one of the 64 classes"):
        embed("classes", where=tmp_path)
    assert not (tmp_path / "store/store.json").exists()
