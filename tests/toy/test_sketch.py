import numpy as np
import pandas as pd
import pytest

from isoenergy.errors import InputError
from isoenergy.toy.sketch import SKETCHES, write_sketch

AXES = ["x", "y", "z"]


def _write(path, rows=200, seed=0):
    write_sketch(path, rows, seed)
    return pd.read_parquet(path)


@pytest.fixture(scope="module")
def sketch(tmp_path_factory):
    return _write(tmp_path_factory.mktemp("sketch") / "sketch.parquet")


def _means(sketch, form, by):
    return sketch[sketch["form"] == form].groupby(by)[AXES].mean()


def test_raw_clusters_lie_on_the_sphere_where_the_paper_puts_them(sketch):
    raw = sketch[sketch["form"] == "raw"]
    assert len(raw) == 4 * 200
    np.testing.assert_allclose(np.linalg.norm(raw[AXES], axis=1), 1)
    means = _means(sketch, "raw", ["modality", "cluster"])
    centres = {
        ("image", 0): (0, -0.5, 1),
        ("image", 1): (0, 0.5, 1),
        ("text", 0): (1, 0, -0.5),
        ("text", 1): (1, 0, 0.5),
    }
    for key, centre in centres.items():
        # Less than a tenth of the spread off the normalised centre, but for what lies inside.
        assert np.linalg.norm(means.loc[key] - np.array(centre) / np.sqrt(1.25)) < 0.03


def test_what_each_form_does_to_the_means(sketch):
    by = "modality"
    np.testing.assert_allclose(_means(sketch, "centered", by), 0, atol=1e-12)
    shifted, raw = (_means(sketch, form, by) for form in ("shifted", "raw"))
    np.testing.assert_allclose(shifted.loc["image"], raw.mean(), atol=1e-12)
    np.testing.assert_allclose(shifted.loc["text"], raw.mean(), atol=1e-12)
    np.testing.assert_allclose(_means(sketch, "masked", [by, "cluster"]), 0, atol=1e-12)
    # The clusters of one modality stay apart where only the modality's mean is taken away.
    assert np.linalg.norm(_means(sketch, "centered", [by, "cluster"]).loc["text", 1]) > 0.3
    random = sketch[sketch["form"] == "random"]
    np.testing.assert_allclose(np.linalg.norm(random[AXES], axis=1), 1)


def test_a_seed_draws_the_same_bytes_and_another_other_points(tmp_path, sketch):
    again = _write(tmp_path / "again.parquet")
    pd.testing.assert_frame_equal(again, sketch, check_exact=True)
    other = _write(tmp_path / "other.parquet", seed=1)
    assert list(other["form"].unique()) == list(SKETCHES)
    assert not np.isclose(other[AXES], sketch[AXES]).all(axis=1).any()


def test_a_cluster_without_points_is_refused(tmp_path):
    with pytest.raises(InputError, match="rows is 0; a cluster has at least 1 point"):
        write_sketch(tmp_path / "sketch.parquet", 0, 0)
    assert not list(tmp_path.iterdir())
