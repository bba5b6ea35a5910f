import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from isoenergy.embed.store import write_store
from isoenergy.embed.triplets import Triplets
from isoenergy.encode.codes import Codes
from isoenergy.errors import InputError
from isoenergy.measure.composed import (
    COMPOSED_METRICS,
    QUERIES,
    ComposedSettings,
    compose_queries,
    gallery_recall,
    measure_composed,
    zero_shares,
)

SETTINGS = ComposedSettings(tau=0.05, ood=100)


def test_queries_by_hand():
    axes = np.eye(3, dtype=np.float32)
    codes = Codes(
        image=csr_matrix(np.zeros((1, 3))),
        text=csr_matrix([[0.0, 2, 1]]),
        ids="",
        source=csr_matrix([[3.0, 0, 1]]),
    )
    bimodal = np.array([False, False, True])
    found = compose_queries(codes, axes, bimodal, source=np.array([[9.0, 9, 9]]))
    assert {name: query.tolist()[0] for name, query in found.items()} == {
        "caption": [0, 2, 1],
        "source": [3, 0, 1],
        "Q": [3, 2, 2],
        "Q_SAE": [3, 0, 2],
        "Q_SAE_text": [9, 11, 10],
        "Q_SAE_appendix": [0, 0, 2],
    }
    assert tuple(found) == QUERIES


def test_zero_shares_are_those_of_the_parts_that_a_query_takes():
    codes = Codes(
        image=csr_matrix(np.eye(4, 3)),
        text=csr_matrix([[1.0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]),
        ids="",
        source=csr_matrix([[0.0, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]]),
    )
    found = zero_shares(codes, np.array([False, False, True]))
    assert found == {
        "caption": {"target": 1 / 4, "text": 1 / 4},
        "source": {"target": 1 / 4, "source": 0},
        "Q": {"target": 1 / 4, "source": 0, "text": 1 / 4},
        "Q_SAE": {"target": 1 / 4, "source": 0, "text": 3 / 4},
        "Q_SAE_text": {"target": 1 / 4, "text": 1 / 4},
        "Q_SAE_appendix": {"target": 1 / 4, "source": 1 / 2, "text": 3 / 4},
    }
    assert tuple(found) == QUERIES


def brute_force(query, target, triplets, k):
    shares = []
    for category in sorted(set(triplets.category)):
        rows = [i for i, name in enumerate(triplets.category) if name == category]
        pictures = {}
        for i in rows:
            pictures.setdefault(triplets.gallery[i], target[i])
        hits = 0
        for i in rows:
            cosine = {
                key: query[i] @ x / np.linalg.norm(x) / np.linalg.norm(query[i])
                for key, x in pictures.items()
            }
            best = sorted(cosine, key=cosine.get, reverse=True)[:k]
            hits += triplets.gallery[i] in best
        shares.append(hits / len(rows))
    return np.mean(shares)


def test_gallery_recall_equals_a_loop_over_every_category():
    rng = np.random.default_rng(0)
    pictures = rng.standard_normal((60, 5))
    of = rng.integers(60, size=140)
    query, target = pictures[of] + rng.standard_normal((140, 5)), pictures[of]
    triplets = Triplets(
        names=[str(i) for i in range(140)],
        source=query,
        target=target,
        caption=query,
        gallery=np.array([f"p{i}" for i in of]),
        category=np.where(of < 25, "dress", "shirt"),
    )
    found = gallery_recall(query, target, triplets, block=16)
    assert found == {k: pytest.approx(brute_force(query, target, triplets, k)) for k in (10, 50)}
    assert 0 < found[10] < found[50]


@pytest.fixture
def edits(tmp_path, save_dictionary, encoded, save_store):
    """Axis 0 is in every picture, 1 in every caption; a caption names the target's axis."""
    rng = np.random.default_rng(1)
    axes = np.eye(16)
    n = 300
    before, after = rng.integers(2, 9, n), rng.integers(9, 16, n)
    arrays = {
        # Pictures of the same kind differ a little, in how strong their parts are.
        "image": axes[0] + axes[before] + rng.uniform(0.8, 1.2, (n, 1)) * axes[after],
        "source": axes[0] + axes[before],
        "text": axes[1] + axes[after],
    }
    arrays = {
        name: (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
        for name, x in arrays.items()
    }
    ids = [str(i) for i in range(n)]
    metadata = pd.DataFrame(
        {
            "id": ids,
            "triplet": ids,
            "image": [f"{b}-{a}" for b, a in zip(before, after, strict=True)],
        }
    )
    write_store(tmp_path / "edits", arrays, metadata, dict.fromkeys(arrays, ids), {"kind": "edits"})
    weights = save_dictionary("axes", axes, l0=3)
    # Pairs whose axes 2 to 15 are shared say which atoms are bimodal.
    shared = axes[rng.integers(2, 16, n)]
    pairs = save_store("pairs", *((axes[i] + shared) / np.sqrt(2) for i in range(2)))
    store = tmp_path / "edits"
    return (
        store,
        weights,
        encoded("edits-codes", weights, store),
        encoded("pairs-codes", weights, pairs),
    )


def test_composed_queries_find_targets_that_neither_part_finds(edits, tmp_path, read_metrics):
    out = tmp_path / "out"
    measure_composed(*edits, out, out / "neighbours.parquet", SETTINGS, seed=0)
    found = {query: read_metrics(out / query) for query in QUERIES}
    assert set(found["Q"]) == set(COMPOSED_METRICS)
    value = {name: {k: m.value for k, m in metrics.items()} for name, metrics in found.items()}
    for composed in ("Q", "Q_SAE", "Q_SAE_appendix"):
        assert value[composed]["gallery_recall_at_10"] == 1
        assert value[composed]["recall"] > max(
            value["caption"]["recall"], value["source"]["recall"]
        )
    # Without the caption's own axis a query is nearer to the pictures.
    assert value["Q_SAE"]["ood_score"] < value["Q"]["ood_score"]
    for metrics in value.values():
        assert metrics["recall"] == pytest.approx(
            (metrics["recall_at_10"] + metrics["recall_at_50"]) / 2
        )
    assert found["Q"]["recall"].zero_share == {"target": 0, "source": 0, "text": 0}
    table = pd.read_parquet(out / "neighbours.parquet")
    assert list(dict.fromkeys(table["query"])) == ["target", *QUERIES]


def test_codes_of_something_else_are_refused(edits, tmp_path):
    store, weights, _, train_codes = edits
    with pytest.raises(InputError, match="was not made from the triplets of"):
        measure_composed(
            store, weights, train_codes, train_codes, tmp_path, tmp_path / "n", SETTINGS, 0
        )


def test_equal_pictures_of_a_gallery_are_found_by_chance():
    # Twenty pictures of one vector, of which ten fit among the first ten.
    rows = np.ones((20, 3))
    names = np.array([str(i) for i in range(20)])
    triplets = Triplets(list(names), rows, rows, rows, names, np.full(20, "dress"))
    found = gallery_recall(rows, rows, triplets)
    assert found == {10: pytest.approx(1 / 2), 50: 1.0}
