import itertools
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.optimize import brentq

from isoenergy.embed.store import open_store
from isoenergy.errors import InputError
from isoenergy.toy.process import (
    ToySetting,
    draw_atoms,
    draw_concepts,
    draw_pairs,
    solve_strength,
    truth_codes,
)
from isoenergy.toy.store import write_toy

SETTINGS = [ToySetting(120, 6, 5, 0.5, 0.4), ToySetting(120, 6, 5, 0.999, 0.4)]


@pytest.fixture(params=SETTINGS, ids=["violated", "holds"])
def drawn(request):
    rng = np.random.default_rng(0)
    atoms = draw_atoms(request.param, rng)
    return request.param, atoms, draw_pairs(400, request.param, atoms, rng)


def test_every_matching_pair_has_the_cosine_asked_for(drawn):
    setting, _, pairs = drawn
    assert np.allclose((pairs.image * pairs.text).sum(axis=1), setting.tau_2, atol=1e-12)
    for rows in (pairs.image, pairs.text):
        assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert (pairs.beta > 0).all()


@pytest.mark.parametrize(
    ("which", "atoms_per_k", "nonzeros"), [("merged", 10, 5), ("split", 14, 9)]
)
def test_both_truths_give_the_embeddings_back(drawn, which, atoms_per_k, nonzeros):
    setting, atoms, pairs = drawn
    dictionary = atoms.split() if which == "split" else atoms.merged(setting.tau_1)
    assert dictionary.shape == (atoms_per_k * setting.k, setting.dim)
    assert np.allclose(np.linalg.norm(dictionary, axis=1), 1)
    for codes, rows in zip(
        truth_codes(pairs, setting, which), (pairs.image, pairs.text), strict=True
    ):
        assert np.allclose(codes @ dictionary, rows)
        assert (np.diff(codes.indptr) == nonzeros).all()


def test_copies_of_a_concept_have_the_cosine_tau_1(drawn):
    setting, atoms, _ = drawn
    merged = atoms.merged(setting.tau_1)[2 * setting.k :]
    image, text = merged[: 4 * setting.k], merged[4 * setting.k :]
    assert np.allclose((image * text).sum(axis=1), setting.tau_1)


def test_blocks_are_orthogonal_and_bias_atoms_form_a_cone(drawn):
    setting, atoms, _ = drawn
    assert np.allclose(atoms.shared @ atoms.image_part.T, 0)
    assert np.allclose(atoms.image @ atoms.text.T, 0)
    assert np.allclose(atoms.image @ atoms.text_part.T, 0)
    cosines = (atoms.image @ atoms.image.T)[np.triu_indices(setting.k, 1)]
    assert cosines.min() > 0.5


def test_concepts_are_different_and_common_ones_come_more_often():
    setting = ToySetting(100, 5, 8, 0.9, 0.4)
    concepts = draw_concepts(4000, setting, np.random.default_rng(1))
    assert all(len(set(row)) == 7 for row in concepts[:200])
    counts = np.bincount(concepts.ravel(), minlength=20)
    assert counts[0] > 1.5 * counts[-1]


def test_concepts_have_the_law_of_sequential_draws():
    setting = ToySetting(100, 1, 3, 0.9, 0.4)
    frequency = np.geomspace(0.5, 0.1, 4)
    share = frequency / frequency.sum()
    both = share[0] * share[1] / (1 - share[0]) + share[1] * share[0] / (1 - share[1])
    drawn = np.sort(draw_concepts(40_000, setting, np.random.default_rng(2)), axis=1)
    found = ((drawn[:, 0] == 0) & (drawn[:, 1] == 1)).mean()
    assert found == pytest.approx(both, abs=0.01)


def test_the_strength_equals_a_bisection():
    rng = np.random.default_rng(3)
    shared, image, text = rng.uniform(5, 20, size=(3, 50))
    lean = rng.uniform(-0.5, 1.5, size=(2, 50))
    beta = solve_strength(shared, image, text, *lean, tau_1=0.6, tau_2=0.4)

    def cosine(b, i):
        a = 0.4 * image[i] + 0.6 * shared[i], 0.4 * text[i] + 0.6 * shared[i]
        lengths = [1 + 2 * np.sqrt(0.4) * lean[side, i] * b + a[side] * b * b for side in (0, 1)]
        return 0.6 * shared[i] * b * b / np.sqrt(lengths[0] * lengths[1]) - 0.4

    checked = 0
    for i in np.flatnonzero(np.isfinite(beta)):
        assert cosine(beta[i], i) == pytest.approx(0, abs=1e-9)
        if cosine(50, i) > 0:
            assert beta[i] == pytest.approx(brentq(cosine, 1e-9, 50, args=(i,)), rel=1e-6)
            checked += 1
    assert checked > 20


def test_a_pair_that_cannot_reach_the_cosine_has_no_strength():
    one = np.ones(1)
    beta = solve_strength(one, 50 * one, 50 * one, 0 * one, 0 * one, tau_1=0.5, tau_2=0.4)
    assert np.isnan(beta).all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tau_1": 0.4}, "allowed is 0 < tau_2 < tau_1 <= 1"),
        ({"active": 1}, r"active is 1; allowed is 2\.\.25"),
        ({"active": 26}, r"active is 26; allowed is 2\.\.25"),
        ({"dim": 9}, "at least 10"),
    ],
)
def test_a_setting_that_is_not_allowed_gets_one_sentence(changes, told):
    setting = {"dim": 100, "k": 6, "active": 5, "tau_1": 0.5, "tau_2": 0.4}
    with pytest.raises(InputError, match=told):
        ToySetting(**(setting | changes))


def test_the_store_opens_and_the_truth_lies_beside_it(tmp_path):
    write_toy(
        tmp_path / "s/store.json", tmp_path / "s/truth.safetensors", "toy", 50, SETTINGS[0], 7
    )
    store = open_store(tmp_path / "s")
    truth = load_file(tmp_path / "s/truth.safetensors")
    assert (len(store), store.dim) == (50, 120)
    indptr = truth["merged.text_indptr"]
    values, indices = truth["merged.text_values"], truth["merged.text_indices"]
    rebuilt = np.stack(
        [
            values[a:b] @ truth["merged.dictionary"][indices[a:b]]
            for a, b in itertools.pairwise(indptr)
        ]
    )
    assert np.allclose(rebuilt, store.text[:], atol=1e-5)


def test_same_seed_same_bytes(tmp_path):
    for name in "ab":
        folder = tmp_path / name
        write_toy(folder / "store.json", folder / "truth.safetensors", "toy", 30, SETTINGS[1], 7)
    for path in (p for p in (tmp_path / "a").rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_the_script_draws_from_the_shell(root, tmp_path):
    setting = "{dim: 60, k: 3, active: 4, tau_1: 0.6, tau_2: 0.4}"
    command = [sys.executable, str(root / "scripts/toy/write_toy.py"), "--name", "toy"]
    command += ["--store", str(tmp_path / "store.json"), "--truth", str(tmp_path / "truth")]
    command += ["--rows", "20", "--seed", "0", "--setting"]
    done = subprocess.run([*command, setting], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(open_store(tmp_path)) == 20
    refused = subprocess.run(
        [*command, setting.replace("0.6", "0.3")], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith("allowed is 0 < tau_2 < tau_1 <= 1")
