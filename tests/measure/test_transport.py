import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from isoenergy.measure import transport as module
from isoenergy.measure.transport import MAX_GAP, TransportError, transport


def linear_programme(a, b, cost):
    n, m = cost.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    solved = linprog(
        cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b]), bounds=(0, None)
    )
    return solved.fun


def problem(seed, n, m):
    rng = np.random.default_rng(seed)
    a, b = rng.random(n) + 0.01, rng.random(m) + 0.01
    return a / a.sum(), b / b.sum(), rng.random((n, m)) * 2


def test_worked_plan():
    solved = transport([0.5, 0.5], [0.25, 0.75], np.array([[0.0, 1], [1, 0]]))
    assert np.allclose(solved.plan, [[0.25, 0.25], [0, 0.5]])
    assert solved.cost == pytest.approx(0.25)
    assert solved.bound == pytest.approx(0.25)


@pytest.mark.parametrize("scale", [1e-6, 1e-13, 1e-30])
def test_tiny_costs_are_solved_as_exactly_as_large_ones(scale):
    a, b, cost = problem(4, 60, 70)
    solved = transport(a, b, cost * scale)
    assert solved.cost == pytest.approx(transport(a, b, cost).cost * scale, rel=1e-9)
    assert solved.gap < 1e-12


def test_points_that_coincide_up_to_rounding_have_a_proved_plan():
    rng = np.random.default_rng(0)
    x, y = 1 + 1e-7 * rng.standard_normal((2, 300, 8))
    x, y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y))
    weights = np.full(300, 1 / 300)
    assert abs(transport(weights, weights, 1 - x @ y.T).cost) < 1e-13


def test_marginals_are_scaled_to_one():
    solved = transport([2, 2], [10, 30], np.array([[0.0, 1], [1, 0]]))
    assert np.allclose(solved.plan, [[0.25, 0.25], [0, 0.5]])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20), n=st.integers(1, 8), m=st.integers(1, 8))
def test_cost_is_that_of_the_linear_programme_and_proved(seed, n, m):
    a, b, cost = problem(seed, n, m)
    solved = transport(a, b, cost)
    assert solved.cost == pytest.approx(linear_programme(a, b, cost), abs=1e-9)
    assert solved.gap <= MAX_GAP
    assert solved.bound <= solved.cost + 1e-12
    assert np.allclose(solved.plan.sum(axis=1), a)
    assert np.allclose(solved.plan.sum(axis=0), b)
    assert (solved.plan >= 0).all()
    assert (solved.plan * cost).sum() == pytest.approx(solved.cost)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_bound_is_below_every_other_plan(seed):
    a, b, cost = problem(seed, 5, 6)
    assert transport(a, b, cost).bound <= (np.outer(a, b) * cost).sum() + 1e-12


def test_rows_and_columns_without_mass_stay_empty():
    a, b, cost = problem(3, 5, 4)
    a[[0, 3]] = 0
    b[2] = 0
    solved = transport(a, b, cost)
    assert (solved.plan[[0, 3]] == 0).all()
    assert (solved.plan[:, 2] == 0).all()
    a, b = a / a.sum(), b / b.sum()
    assert np.allclose(solved.plan.sum(axis=1), a)
    assert solved.cost == pytest.approx(linear_programme(a, b, cost), abs=1e-9)


def test_same_points_move_for_free():
    a, _, _ = problem(1, 6, 6)
    points = np.random.default_rng(1).standard_normal((6, 3))
    cost = np.linalg.norm(points[:, None] - points[None], axis=2)
    solved = transport(a, a, cost)
    assert solved.cost == pytest.approx(0.0, abs=1e-12)
    assert np.allclose(solved.plan, np.diag(a))


@pytest.mark.parametrize(
    ("a", "b", "name"),
    [([0.0, 0.0], [1.0, 1.0], "a"), ([1.0, 1.0], [0.0, 0.0], "b"), ([2.0, -1.0], [1.0, 1.0], "a")],
)
def test_bad_marginal_is_refused(a, b, name):
    with pytest.raises(ValueError, match=f"marginal {name} must be non-negative"):
        transport(a, b, np.ones((2, 2)))


def test_plan_that_is_not_optimal_is_refused(monkeypatch):
    def careless(a, b, cost, **_settings):
        return np.outer(a, b), {"u": np.zeros(len(a))}

    monkeypatch.setattr(module, "_dense_solver", lambda: careless)
    with pytest.raises(TransportError, match="relative gap"):
        transport([0.5, 0.5], [0.5, 0.5], np.array([[0.0, 1], [1, 0]]))


def test_wrong_potentials_do_not_prove_a_plan(monkeypatch):
    def boastful(a, b, cost, **_settings):
        return np.outer(a, b), {"u": np.full(len(a), 99.0)}

    monkeypatch.setattr(module, "_dense_solver", lambda: boastful)
    with pytest.raises(TransportError):
        transport([0.5, 0.5], [0.5, 0.5], np.array([[0.0, 1], [1, 0]]))
