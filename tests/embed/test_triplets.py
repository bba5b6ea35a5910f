import numpy as np
import pandas as pd
import pytest

from isoenergy.embed.store import open_store, write_store
from isoenergy.embed.triplets import open_triplets
from isoenergy.errors import InputError


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_a_triplet_is_its_pictures_and_the_mean_of_its_captions(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {name: unit(rng.standard_normal((5, 4))) for name in ("image", "text", "source")}
    ids = list("abcde")
    metadata = pd.DataFrame(
        {"id": ids, "triplet": ["t2", "t1", "t2", "t1", "t3"], "image": ["x", "y", "x", "y", "x"]}
    )
    write_store(tmp_path, arrays, metadata, dict.fromkeys(arrays, ids), {"kind": "edits"})
    found = open_triplets(open_store(tmp_path))
    assert found.names == ["t2", "t1", "t3"]
    np.testing.assert_array_equal(found.target, arrays["image"][[0, 1, 4]])
    np.testing.assert_array_equal(found.source, arrays["source"][[0, 1, 4]])
    means = [arrays["text"][[0, 2]].mean(0), arrays["text"][[1, 3]].mean(0), arrays["text"][4]]
    np.testing.assert_allclose(found.caption, means, rtol=1e-6)
    assert found.gallery.tolist() == ["x", "y", "x"]
    assert set(found.category) == {""}
    assert {name: len(rows) for name, rows in found.sides().items()} == {
        "image": 3,
        "text": 3,
        "source": 3,
    }


def test_a_store_of_pairs_is_refused(tmp_path):
    rows = unit(np.ones((2, 3)))
    write_store(
        tmp_path,
        {"image": rows, "text": rows},
        pd.DataFrame({"id": ["a", "b"]}),
        {"image": ["a", "b"], "text": ["a", "b"]},
        {},
    )
    with pytest.raises(InputError, match="no store of edits \\(metadata lacks triplet, image\\)"):
        open_triplets(open_store(tmp_path))
