import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoenergy.measure import column_generation as module
from isoenergy.measure import transport as transport_module
from isoenergy.measure.column_generation import Problem, price, staircase, whole_masses
from isoenergy.measure.transport import MAX_GAP, TransportError, transport_vectors


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def masses(rng, n, kind):
    """Positive masses; ``wild`` range over ten orders, ``empty`` has zeros, ``equal`` ties."""
    drawn = {
        "even": rng.random(n) + 0.1,
        "equal": np.ones(n),
        "wild": 10 ** rng.uniform(-10, 0, n),
        "empty": rng.random(n) * (rng.random(n) < 0.5),
    }[kind]
    drawn[0] += 1e-3 * (kind == "empty")
    return drawn


def vectors(rng, n, dim, kind):
    """Unit vectors; ``orthogonal`` nearly so, ``clustered``, or with ``copies`` of a few."""
    if kind == "orthogonal":
        return unit(rng.standard_normal((n, 40 * dim)))
    centres = unit(np.random.default_rng(5).standard_normal((4, dim)))
    chosen = centres[rng.integers(0, 4, n)]
    return unit(chosen + 0.1 * rng.standard_normal((n, dim))) if kind == "clustered" else chosen


MASSES = st.sampled_from(["even", "equal", "wild", "empty"])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    n=st.integers(1, 40),
    m=st.integers(1, 40),
    kind=st.sampled_from(["orthogonal", "clustered", "copies"]),
    of_a=MASSES,
    of_b=MASSES,
)
def test_both_paths_find_the_same_cost(seed, n, m, kind, of_a, of_b):
    rng = np.random.default_rng(seed)
    a, b = masses(rng, n, of_a), masses(rng, m, of_b)
    x, y = vectors(rng, n, 3, kind), vectors(rng, m, 3, kind)
    dense = transport_vectors(a, x, b, y)
    found = transport_vectors(a, x, b, y, largest_dense=0)
    assert found.cost == pytest.approx(dense.cost, rel=1e-9, abs=1e-12)
    assert found.gap <= MAX_GAP
    assert found.bound <= dense.cost + 1e-9
    for solved in (dense, found):
        assert np.allclose(solved.plan.sum(axis=1), a / a.sum(), rtol=1e-4, atol=1e-13)
        assert np.allclose(solved.plan.sum(axis=0), b / b.sum(), rtol=1e-4, atol=1e-13)
        assert solved.plan.data.min() > 0
    assert found.plan.nnz < n + m
    assert (found.plan.toarray() * (1 - x @ y.T)).sum() == pytest.approx(found.cost, abs=1e-12)


@pytest.mark.parametrize("of_mass", ["even", "equal", "wild"])
def test_several_rounds_in_several_blocks_reach_the_optimum(monkeypatch, of_mass):
    rng = np.random.default_rng(1)
    a, b = masses(rng, 300, of_mass), masses(rng, 250, of_mass)
    x, y = vectors(rng, 300, 3, "clustered"), vectors(rng, 250, 3, "orthogonal")[:, :3]
    y = unit(y)
    rounds = []
    priced = module.price

    def counted(problem, u, v, most, below, block, precision):
        rounds.append(precision)
        return priced(problem, u, v, 1, below, 250 * 40, precision)

    monkeypatch.setattr(module, "price", counted)
    found = transport_vectors(a, x, b, y, largest_dense=0)
    assert len(rounds) > 3
    assert rounds == sorted(rounds, key=lambda precision: np.finfo(precision).bits)
    assert rounds[-1] is np.float64
    assert found.cost == pytest.approx(transport_vectors(a, x, b, y).cost, rel=1e-9)


def test_order_of_the_vectors_does_not_matter():
    rng = np.random.default_rng(2)
    a, b = masses(rng, 60, "even"), masses(rng, 50, "even")
    x, y = vectors(rng, 60, 3, "clustered"), vectors(rng, 50, 3, "clustered")
    i, j = rng.permutation(60), rng.permutation(50)
    found = transport_vectors(a, x, b, y, largest_dense=0)
    moved = transport_vectors(a[i], x[i], b[j], y[j], largest_dense=0)
    assert moved.cost == pytest.approx(found.cost, rel=1e-9)
    # Without ties the plan is unique, so it moves with the vectors but for what the gap allows.
    assert np.allclose(moved.plan.toarray(), found.plan.toarray()[np.ix_(i, j)], atol=1e-7)


def test_same_vectors_in_another_order_move_for_free():
    rng = np.random.default_rng(3)
    x, a = vectors(rng, 80, 5, "orthogonal"), masses(rng, 80, "wild")
    order = rng.permutation(80)
    found = transport_vectors(a, x, a[order], x[order], largest_dense=0)
    assert found.cost == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("largest_dense", [0, 10**6])
@pytest.mark.parametrize("seed", range(4))
def test_no_transport_costs_less_than_nothing_and_the_proof_holds(seed, largest_dense):
    rng = np.random.default_rng(seed)
    # Float32 rows scaled to a little more than unit norm, as rounding may leave them.
    x = unit(rng.standard_normal((40, 8))).astype(np.float32) * np.float32(1 + 1e-7)
    a, order = masses(rng, 40, "even"), rng.permutation(40)
    plain = (1 - np.square(x.astype(np.float64)).sum(axis=1)) @ a / a.sum()
    assert -1e-5 < plain < 0
    found = transport_vectors(a, x, a[order], x[order], largest_dense)
    assert found.cost == found.bound == 0
    assert abs(found.gap) <= MAX_GAP
    # What is proved of the plan is proved of its own sum of costs, rounding included.
    own = (found.plan.toarray() * (1 - x.astype(float) @ x[order].astype(float).T)).sum()
    assert own == pytest.approx(plain, abs=1e-12)


def test_prices_are_the_least_reduced_costs_over_all_blocks():
    rng = np.random.default_rng(4)
    x, y = unit(rng.standard_normal((9, 3))), unit(rng.standard_normal((7, 3)))
    u, v = rng.normal(0, 0.3, 9), rng.normal(0, 0.3, 7)
    reduced = 1 - x @ y.T - u[:, None] - v
    found = price(Problem(np.ones(9) / 9, x, np.ones(7) / 7, y), u, v, 1, -0.2, block=14)
    assert np.allclose(found.row_least, reduced.min(axis=1))
    assert np.allclose(found.column_least, reduced.min(axis=0))
    least = {(i, j) for i, j in enumerate(reduced.argmin(axis=1)) if reduced[i, j] < -0.2}
    least |= {(i, j) for j, i in enumerate(reduced.argmin(axis=0)) if reduced[i, j] < -0.2}
    assert set(zip(found.rows, found.columns, strict=True)) == least
    assert 0 < len(least) < 16


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), n=st.integers(1, 50))
def test_whole_masses_sum_exactly_and_keep_the_smallest(seed, n):
    weights = 10 ** np.random.default_rng(seed).uniform(-30, 0, n)
    whole = whole_masses(weights)
    assert whole.sum() == 2.0**50
    assert (whole == np.rint(whole)).all()
    assert whole.min() >= 1
    assert np.abs(whole / 2**50 - weights / weights.sum()).max() <= (n + 1) * 2.0**-50


def test_staircase_holds_a_feasible_plan():
    supply, demand = np.array([3.0, 1, 4]), np.array([2.0, 2, 2, 2])
    rows, columns = staircase(supply, demand)
    assert list(zip(rows, columns, strict=True)) == [(0, 0), (0, 1), (1, 1), (2, 2), (2, 3)]


def solved_by(monkeypatch, change):
    """Transport with the simplex's answer changed on its way back."""
    original = transport_module._sparse_solver()

    def solver():
        return lambda *problem: change(*original(*problem))

    monkeypatch.setattr(transport_module, "_sparse_solver", solver)
    rng = np.random.default_rng(6)
    x, y = vectors(rng, 30, 3, "clustered"), vectors(rng, 20, 3, "clustered")
    return transport_vectors(masses(rng, 30, "even"), x, masses(rng, 20, "even"), y, 0)


def test_plan_that_is_not_optimal_is_refused(monkeypatch):
    with pytest.raises(TransportError, match="relative gap"):
        solved_by(monkeypatch, lambda i, j, flow, u, v: (i, np.roll(j, 1), flow, u, v))


def test_wrong_potentials_do_not_prove_a_plan(monkeypatch):
    with pytest.raises(TransportError, match="relative gap"):
        solved_by(monkeypatch, lambda i, j, flow, u, v: (i, j, flow, 0 * u + 99, 0 * v))


def test_plan_of_an_unsolved_restricted_problem_is_refused(monkeypatch):
    from ot.lp import emd_wrap

    def exhausted(*problem):
        return [*original(*problem)[:-1], 3]

    original = emd_wrap.emd_c_sparse
    monkeypatch.setattr(emd_wrap, "emd_c_sparse", exhausted)
    rng = np.random.default_rng(7)
    x = vectors(rng, 10, 3, "clustered")
    with pytest.raises(TransportError, match="code 3"):
        transport_vectors(np.ones(10), x, np.ones(10), x, 0)


def test_plans_are_the_same_bytes_again():
    rng = np.random.default_rng(8)
    x, y = vectors(rng, 60, 3, "clustered"), vectors(rng, 60, 3, "copies")
    a, b = masses(rng, 60, "wild"), masses(rng, 60, "equal")
    first, second = (transport_vectors(a, x, b, y, 0).plan for _ in range(2))
    assert (first.data == second.data).all()
    assert (first.indices == second.indices).all()
