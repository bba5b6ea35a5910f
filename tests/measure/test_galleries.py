import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from isoenergy.data.shards import encode_png, write_shard
from isoenergy.encode.codes import Codes, write_codes
from isoenergy.errors import InputError
from isoenergy.files import read_parquet, write_parquet
from isoenergy.measure import galleries
from isoenergy.measure.energy import atom_energies
from isoenergy.measure.galleries import (
    COLUMNS,
    FLOOR,
    GALLERIES,
    active_counts,
    choose_gallery_atoms,
    measure_galleries,
    strongest,
)

NAMES = [str(i) for i in range(40)]


def test_the_strongest_rows_come_first_and_ties_in_order(sparse):
    codes = sparse([[0, 0.3], [0.5, 0.9], [0, 0], [0.2, 0.3], [FLOOR / 2, 0.1], [0.2, -3]])
    rows, activations = strongest(codes, 1, NAMES)
    assert rows.tolist() == [1, 0, 3, 4]
    np.testing.assert_allclose(activations, [0.9, 0.3, 0.3, 0.1], rtol=1e-6)
    assert strongest(codes, 0, NAMES)[0].tolist() == [1, 3, 5]
    assert active_counts(codes).tolist() == [3, 4]


def test_of_rows_that_show_the_same_the_strongest_counts(sparse):
    codes = sparse([[0.1], [0.4], [0.3], [0.2], [0.4]])
    rows, _ = strongest(codes, 0, ["a", "b", "b", "a", "c"])
    assert rows.tolist() == [1, 4, 3]


@pytest.mark.parametrize("seed", range(5))
def test_strongest_agrees_with_sorting_a_dense_column(sparse, seed):
    rng = np.random.default_rng(seed)
    dense = rng.random((40, 6)) * (rng.random((40, 6)) < 0.4)
    for atom in range(6):
        rows, activations = strongest(sparse(dense), atom, NAMES)
        expected = [i for i in np.argsort(-dense[:, atom]) if dense[i, atom] > FLOOR][:10]
        assert rows.tolist() == expected
        np.testing.assert_allclose(activations, dense[expected, atom], rtol=1e-6)


def _atoms(groups, energy, frequency=0.1):
    n = len(groups)
    return pd.DataFrame(
        {"atom": range(n), "energy": energy, "frequency": frequency, "group": groups}
    )


def _numbers(chosen):
    return [atom for _, atom in chosen]


def test_unimodal_galleries_take_the_strongest_atoms_then_the_next():
    energy = np.array([1, 9, 3, 7, 5, 2, 8, 4, 6, 10], dtype=float)
    table = _atoms(["image"] * 10, energy)
    table.loc[9, "frequency"] = 0.95  # nearly always on
    images, texts = np.full(10, 3), np.zeros(10, dtype=int)
    images[6] = 0  # active beyond the pairs looked at alone
    found = choose_gallery_atoms(table, images, texts)
    assert _numbers(found["gallery_image"]) == [1, 3, 8, 4]
    assert _numbers(found["gallery_image_more"]) == [7, 2, 5, 0]
    assert found["gallery_text"] == found["gallery_text_more"] == found["gallery_bimodal"] == []
    assert set(found) == set(GALLERIES)


def test_the_bimodal_gallery_has_strong_atoms_and_weak_ones_that_fill_it():
    n = 24
    energy = np.arange(n, 0, -1.0)
    images, texts = np.full(n, 50), np.full(n, 50)
    images[23], texts[22] = 9, 9  # the two weakest have no ten images, or texts
    found = choose_gallery_atoms(_atoms(["bimodal"] * n, energy), images, texts)["gallery_bimodal"]
    # 20 others remain, atoms 2 to 21: from the weakest, 10 % of 18 is one, so 20 and 19.
    assert found == [("high energy", 0), ("high energy", 1), ("low energy", 19), ("low energy", 20)]


@pytest.mark.parametrize("n", range(6))
def test_few_bimodal_atoms_are_shown_once_each(n):
    plenty = np.full(n, 50)
    table = _atoms(["bimodal"] * n, np.arange(n, 0, -1.0))
    found = _numbers(choose_gallery_atoms(table, plenty, plenty)["gallery_bimodal"])
    assert len(found) == len(set(found)) == min(n, 4)
    assert found[:2] == [0, 1][:n]


@pytest.fixture
def run(tmp_path, save_store, sparse):
    """Codes of 30 pairs and three atoms: image-only, text-only, bimodal; pictures of one grey."""
    rng = np.random.default_rng(0)
    n = 30
    image, text = np.zeros((n, 3)), np.zeros((n, 3))
    image[:15, 0] = rng.permutation(np.linspace(0.1, 0.9, 15))
    text[5:20, 1] = rng.permutation(np.linspace(0.1, 0.9, 15))
    image[:, 2] = text[:, 2] = rng.permutation(np.linspace(0.2, 0.4, n))
    captions = [f"$caption$ {i}\n" for i in range(n)]
    rows = np.eye(4, dtype=np.float32)[rng.integers(0, 4, n)]
    told = {"image_path": [f"p{i}" for i in range(n)], "caption": captions}
    store = save_store("mine", rows, rows, **told)
    codes = Codes(sparse(image), sparse(text), "")
    write_codes(tmp_path / "codes/codes.json", codes)
    energies = atom_energies(codes.image, codes.text)
    table = pd.DataFrame(
        {
            "atom": range(3),
            "energy": energies.both,
            "frequency": 0.5,
            "group": energies.groups(0.05),
        }
    )
    write_parquet(tmp_path / "atoms.parquet", table)
    strong = np.argsort(-image[:, 0])
    pictures = [
        (f"p{i}", encode_png(np.full((9, 9, 3), 8 * i, dtype=np.uint8)))
        for i in range(n)
        if i != strong[1]
    ]
    pictures = [(key, b"x" if key == f"p{strong[2]}" else content) for key, content in pictures]
    write_shard(tmp_path / "images/0.tar", pictures, ".png")

    def measure(blur=False, images=tmp_path / "images"):
        paths = store, tmp_path / "codes/codes.json", tmp_path / "atoms.parquet"
        measure_galleries(*paths, tmp_path / "out", blur, images)
        return {name: read_parquet(tmp_path / f"out/{name}.parquet") for name in GALLERIES}

    return measure, image, text


def test_a_gallery_holds_rows_activations_captions_and_pictures(run):
    measure, image, _ = run
    found = measure()
    assert [len(found[name]) for name in GALLERIES] == [20, 10, 0, 10, 0]
    assert all(tuple(table) == COLUMNS for table in found.values())
    own = found["gallery_image"]
    strong = np.argsort(-image[:, 0])[:10]
    assert own["row"].tolist() == strong.tolist()
    assert own["id"].tolist() == [f"mine-{i}" for i in strong]
    assert own["caption"].tolist() == [f"$caption$ {i}" for i in strong]
    np.testing.assert_allclose(own["activation"], image[strong, 0], rtol=1e-6)
    assert own["rank"].tolist() == list(range(1, 11))
    assert (own["active"] == 15).all()
    assert (own["pairs"] == 30).all()
    assert own["mean_activation"].iloc[0] == pytest.approx(image[strong, 0].mean())
    words = [problem.partition(":")[0] for problem in own["problem"]]
    assert words == ["", "missing", "broken", *[""] * 7]
    shown = own[own["problem"] == ""]
    for row, picture in zip(shown["row"], shown["picture"], strict=True):
        assert Image.open(io.BytesIO(picture)).getpixel((4, 4)) == (8 * row,) * 3
    texts = found["gallery_text"]
    assert set(texts["side"]) == {"text"}
    assert texts["picture"].isna().all()


def test_only_the_first_pairs_are_looked_at(run, monkeypatch):
    measure, image, _ = run
    monkeypatch.setattr(galleries, "SHOWN_PAIRS", 8)
    own = measure()["gallery_image"]
    assert own["row"].tolist() == np.argsort(-image[:8, 0]).tolist()
    assert (own["active"] == 8).all()
    assert (own["pairs"] == 8).all()


def test_blurred_galleries_store_a_few_blocks(run):
    measure, *_ = run
    pictures = [p for table in measure(blur=True).values() for p in table["picture"].dropna()]
    assert len(pictures) >= 10
    assert {Image.open(io.BytesIO(picture)).size for picture in pictures} == {(6, 6)}


def test_a_store_without_pictures_shows_captions_alone(run):
    measure, *_ = run
    own = measure(images=None)["gallery_image"]
    assert own["picture"].isna().all()
    assert set(own["problem"]) == {galleries.NO_PICTURES.problem}
    assert own["caption"].str.startswith("$caption$").all()


def test_what_does_not_belong_together_is_refused(run, tmp_path, save_store):
    measure, *_ = run
    atoms = tmp_path / "atoms.parquet"
    write_parquet(atoms, read_parquet(atoms).iloc[:2])
    with pytest.raises(InputError, match=r"have different atoms; delete .*atoms"):
        measure()
    rows = np.eye(4, dtype=np.float32)[np.zeros(30, dtype=int)]
    other = save_store("other", rows, rows)
    codes = tmp_path / "codes/codes.json"
    with pytest.raises(InputError, match=r"metadata has no column caption"):
        measure_galleries(other, codes, tmp_path / "atoms.parquet", tmp_path / "o", False)
    fewer = save_store("fewer", rows[:9], rows[:9])
    with pytest.raises(InputError, match=r"was not made from"):
        measure_galleries(fewer, codes, tmp_path / "atoms.parquet", tmp_path / "o", False)
