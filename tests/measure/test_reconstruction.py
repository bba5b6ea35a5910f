import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import mean_squared_error as mean_squared
from sklearn.metrics import r2_score

from isoenergy.embed.rows import Rows
from isoenergy.measure.reconstruction import (
    l0,
    l1,
    reconstruct,
    reconstruction_errors,
    zero_share,
)


@pytest.fixture
def worked(sparse):
    return Rows([np.eye(2, dtype=np.float32)]), sparse([[0.5, 0], [0, 1]]), np.eye(2)


@pytest.fixture
def drawn(sparse):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1100, 6)) + rng.standard_normal(6)
    x[600:] *= 2
    z = rng.random((1100, 9)) * (rng.random((1100, 9)) < 0.4)
    dictionary = rng.standard_normal((9, 6))
    return Rows([x[:700].astype(np.float32), x[700:].astype(np.float32)]), sparse(z), dictionary


def test_worked_squared_error(worked):
    assert reconstruction_errors(*worked).mean_squared() == pytest.approx(0.25 / 2)


def test_worked_explained_variance(worked):
    # Scalar mean 1/2: spread 1/4, error 1/16. Row mean (1/2, 1/2): each row spreads 1/2; errors
    # 1/4 and 0.
    found = reconstruction_errors(*worked).r_squared()
    assert found["code"] == pytest.approx(1 - 0.0625 / (0.25 + 1e-6))
    assert found["paper"] == pytest.approx((0.5 + 1) / 2)
    assert found["dimension"] == pytest.approx(1 - 0.25 / 1)


def test_squared_error_equals_the_naive_one(drawn):
    rows, codes, dictionary = drawn
    error = rows[:] - codes.toarray() @ dictionary
    assert reconstruction_errors(*drawn).mean_squared() == pytest.approx(
        (error**2).sum(axis=1).mean(), rel=1e-5
    )


def test_explained_variance_equals_the_naive_ones(drawn):
    rows, codes, dictionary = drawn
    x = rows[:].astype(np.float64)
    error = x - codes.toarray() @ dictionary
    spread = ((x - x.mean(axis=0)) ** 2).sum(axis=1)
    batches = [
        1 - (error[s : s + 512] ** 2).mean() / (x[s : s + 512].var() + 1e-6) for s in (0, 512, 1024)
    ]
    found = reconstruction_errors(*drawn).r_squared()
    assert found["code"] == pytest.approx(np.dot(batches, [512, 512, 76]) / 1100, rel=1e-5)
    assert found["paper"] == pytest.approx((1 - (error**2).sum(axis=1) / spread).mean(), rel=1e-5)
    assert found["dimension"] == pytest.approx(1 - (error**2).sum() / spread.sum(), rel=1e-5)


def test_exact_codes_explain_everything(sparse):
    x = np.random.default_rng(1).standard_normal((40, 5)).astype(np.float32)
    arguments = Rows([x]), sparse(x), np.eye(5)
    assert reconstruction_errors(*arguments).mean_squared() == pytest.approx(0.0, abs=1e-12)
    assert list(reconstruction_errors(*arguments).r_squared().values()) == pytest.approx(
        [1.0, 1.0, 1.0]
    )


def test_mean_alone_explains_nothing_per_dimension(sparse):
    x = np.random.default_rng(1).standard_normal((40, 5)).astype(np.float32) + 3
    codes = sparse(np.ones((40, 1)))
    found = reconstruction_errors(Rows([x]), codes, x.mean(axis=0, keepdims=True)).r_squared()
    assert found["dimension"] == pytest.approx(0.0, abs=1e-5)
    assert found["paper"] == pytest.approx(0.0, abs=1e-5)


def test_worked_reconstruction_with_and_without_a_mask(sparse):
    codes = sparse([[1, 2, 0], [0, 0, 3]])
    dictionary = np.array([[1.0, 0], [0, 1], [2, 2]])
    assert reconstruct(codes, dictionary).tolist() == [[1, 2], [6, 6]]
    assert reconstruct(codes, dictionary, np.array([True, False, True])).tolist() == [
        [1, 0],
        [6, 6],
    ]
    assert dictionary.tolist() == [[1, 0], [0, 1], [2, 2]]


def test_mask_and_its_complement_add_up(drawn):
    _, codes, dictionary = drawn
    mask = np.arange(9) < 4
    parts = reconstruct(codes, dictionary, mask) + reconstruct(codes, dictionary, ~mask)
    assert np.allclose(parts, reconstruct(codes, dictionary), atol=1e-4)


def test_worked_l0_and_l1(sparse):
    codes = sparse([[1, -2, 0], [0, 0, 0], [0, 3, 4], [0.5, 0, 0]])
    assert l0(codes) == 5 / 4
    assert l1(codes) == 10.5 / 4


def test_explained_variance_per_dimension_is_that_of_scikit_learn(drawn):
    rows, codes, dictionary = drawn
    rebuilt = codes.toarray() @ dictionary
    expected = r2_score(rows[:], rebuilt, multioutput="variance_weighted")
    assert reconstruction_errors(*drawn).r_squared()["dimension"] == pytest.approx(
        expected, rel=1e-5
    )
    squared = mean_squared(rows[:], rebuilt) * 6  # scikit-learn's is per dimension
    assert reconstruction_errors(*drawn).mean_squared() == pytest.approx(squared, rel=1e-5)


def test_nothing_depends_on_the_order_of_atoms(drawn):
    rows, codes, dictionary = drawn
    order = np.random.default_rng(3).permutation(9)
    moved = codes[:, order], dictionary[order]
    assert reconstruction_errors(rows, *moved).mean_squared() == pytest.approx(
        reconstruction_errors(*drawn).mean_squared()
    )
    assert reconstruction_errors(rows, *moved).r_squared() == pytest.approx(
        reconstruction_errors(*drawn).r_squared(), rel=1e-5
    )
    assert (l0(moved[0]), l1(moved[0])) == pytest.approx((l0(codes), l1(codes)))


@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_explained_variance_ignores_the_scale_of_rows_and_codes(drawn, scale):
    rows, codes, dictionary = drawn
    scaled = Rows([(scale * rows[:]).astype(np.float32)]), scale * codes, dictionary
    # "code" only up to the 1e-6 that is added to the variance.
    assert reconstruction_errors(*scaled).r_squared() == pytest.approx(
        reconstruction_errors(*drawn).r_squared(), rel=1e-4
    )
    assert reconstruction_errors(*scaled).mean_squared() == pytest.approx(
        scale**2 * reconstruction_errors(*drawn).mean_squared()
    )
    assert l1(scaled[1]) == pytest.approx(scale * l1(codes))


@pytest.mark.parametrize("n", [1, 30])
def test_rows_that_are_all_the_same_leave_nothing_to_explain(sparse, n):
    x = np.tile(np.array([[0.1, 0.7, 0.3]], dtype=np.float32), (n, 1))
    found = reconstruction_errors(Rows([x]), sparse(0.9 * x), np.eye(3)).r_squared()
    assert np.isnan([found["paper"], found["dimension"]]).all()
    assert found["code"] == pytest.approx(
        1 - np.square(0.1 * x).mean() / (x.var() + 1e-6), rel=1e-4
    )


@pytest.mark.parametrize("entries", [1, 2, 2**20])
def test_the_share_of_zero_codes_by_hand(monkeypatch, entries):
    monkeypatch.setattr("isoenergy.encode.codes.BLOCK", entries)
    codes = csr_matrix([[1.0, 0, 2], [0, 0, 0], [0, 0, 3], [0, -1, 0], [0, 0, 0]])
    assert zero_share(codes) == 2 / 5
    assert zero_share(codes, np.array([True, True, False])) == 3 / 5
    assert zero_share(codes, np.zeros(3, dtype=bool)) == 1
    # An entry that is stored as 0 is none.
    stored = csr_matrix(([0.0, 5.0], [1, 2], [0, 1, 2, 2]), shape=(3, 3))
    assert zero_share(stored) == 2 / 3


def test_zero_codes_are_those_whose_reconstruction_is_zero(drawn):
    _, codes, dictionary = drawn
    kept = np.arange(9) % 3 == 0
    zero = (reconstruct(codes, dictionary, kept) == 0).all(axis=1)
    assert 0 < zero.mean() < 1
    assert zero_share(codes, kept) == zero.mean()
