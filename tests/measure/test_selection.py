from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoenergy.measure.selection import (
    LARGEST_DROP,
    NO_DEGENERATE,
    RULES,
    SELECTION_METRICS,
    r2_bound,
    select_beta,
    selection_metrics,
)


@pytest.fixture(scope="module")
def authors():
    """Columns beta, r2 and share_degenerate of the sweep that the authors made."""
    path = Path(__file__).parent / "beta_sweep_of_the_authors.csv"
    table = pd.read_csv(path, comment="#")
    assert len(table) == 100
    return [table[name].to_numpy() for name in ("beta", "r2", "share_degenerate")]


def test_what_the_rule_selects_on_the_authors_own_sweep(authors):
    printed = select_beta(*authors, "paper")
    assert printed.beta == pytest.approx(8.111e-4)
    assert printed.share_degenerate == 0.4808
    without = select_beta(*authors, NO_DEGENERATE)
    assert without.beta == pytest.approx(6.579e-4)
    assert (without.r2, without.share_degenerate) == (0.8170, 0)


def test_the_largest_beta_is_taken_even_beyond_one_that_loses_too_much(authors):
    beta, r2, _ = authors
    smallest_refused = beta[r2 <= r2_bound(beta, r2)].min()
    assert smallest_refused == pytest.approx(7.565e-4)
    assert select_beta(*authors, "paper").beta > smallest_refused


def test_a_drop_of_exactly_the_bound_is_too_much():
    r2 = [0.75, 0.75 - LARGEST_DROP, 0.71]
    assert select_beta([0, 2, 1], r2, [0, 0, 0]).beta == 1


def test_the_base_is_the_smallest_beta_and_is_not_selected_when_it_is_0():
    assert r2_bound([3, 0, 1], [0.1, 0.9, 0.5]) == pytest.approx(0.85)
    none = select_beta([3, 0, 1], [0.1, 0.9, 0.5], [0, 0, 0])
    assert np.isnan([none.beta, none.r2, none.share_degenerate]).all()


def test_a_diverged_run_is_not_selected():
    assert select_beta([0, 1, 2], [0.9, 0.9, np.nan], [0, 0, np.nan], "paper").beta == 1


RUNS = st.lists(
    st.tuples(st.floats(1e-6, 1), st.floats(0, 1), st.sampled_from([0.0, 0.0, 0.3])),
    min_size=1,
    max_size=12,
    unique_by=lambda run: run[0],
)


@given(RUNS, st.randoms(use_true_random=False))
def test_the_choice_is_the_largest_that_qualifies_in_any_order(runs, random):
    random.shuffle(runs)
    columns = [list(column) for column in zip(*runs, strict=True)]
    base = min(runs)[1]
    for rule in RULES:
        allowed = [
            beta
            for beta, r2, share in runs
            if base - r2 < LARGEST_DROP and (rule == "paper" or share == 0)
        ]
        found = select_beta(*columns, rule)
        # At the bound itself the two ways to subtract may round to different sides.
        if not any(abs(base - r2 - LARGEST_DROP) < 1e-12 for _, r2, _ in runs):
            assert found.beta == max(allowed) if allowed else np.isnan(found.beta)


def test_both_readings_are_stored_the_one_without_degenerate_runs_first(authors):
    metrics = {metric.name: metric for metric in selection_metrics(*authors, pairs=7)}
    assert tuple(metrics) == SELECTION_METRICS
    beta = metrics["selected_beta"]
    assert (beta.value, beta.protocols["paper"]) == pytest.approx((6.579e-4, 8.111e-4))
    assert beta.n == {"pairs": 7, "betas": 100}
    assert metrics["selected_beta_share_degenerate"].protocols["paper"] == 0.4808
    assert metrics["sweep_r2_bound"].value == pytest.approx(0.8471 - 0.05)
