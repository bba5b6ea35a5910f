"""Spectra of K x K matrices that are too large to decompose: largest eigenvalues, and entropy.

All eigenvalues of a dense matrix with K = 32,768 take 8.6 GB and about 5e13 operations, half of
them bound by memory: hours on two cores. The entropy of the spectrum is the trace of a function of
the matrix, which can be estimated from products with vectors alone, with an error that the
estimate itself tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Eigenpairs that are found exactly, random vectors for the rest, and Lanczos steps with each.
_EXACT = 64
_PROBES = 32
_STEPS = 30
# What is left of the trace counts as 0 below this share of it.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Spectrum:
    """What :func:`estimate_spectrum` finds of a positive semi-definite matrix.

    Attributes
    ----------
    largest : float
        Largest eigenvalue.
    entropy : float
        - sum p ln p over the eigenvalues scaled to sum to 1, in nats.
    error : float
        Standard error of ``entropy``.
    """

    largest: float
    entropy: float
    error: float


class UpperTriangle:
    """A symmetric matrix with non-negative entries, of which the upper half is kept in float32.

    Parameters
    ----------
    size : int
        K; the whole takes 2 K^2 bytes.
    """

    def __init__(self, size: int):
        self._size = size
        self._parts: list[tuple[slice, np.ndarray]] = []

    def add(self, rows: slice, entries: np.ndarray) -> None:
        """Add rows: their entries from column ``rows.start`` on."""
        self._parts.append((rows, entries.astype(np.float32)))

    def norm(self) -> float:
        """Spectral norm, its largest eigenvalue, by Lanczos iteration; good to about 1e-6."""
        from scipy.sparse.linalg import LinearOperator, eigsh

        if not any(entries.any() for _, entries in self._parts):
            return 0.0
        # Perron's eigenvector is non-negative, so that this start cannot miss it.
        start = np.ones(self._size, np.float32)
        operator = LinearOperator((self._size,) * 2, matvec=self._multiply, dtype=np.float32)
        found = eigsh(operator, k=1, which="LA", v0=start, tol=1e-6, return_eigenvectors=False)
        return float(found[0])

    def _multiply(self, vector: np.ndarray) -> np.ndarray:
        vector = vector.astype(np.float32, copy=False).ravel()
        product = np.zeros_like(vector)
        for rows, entries in self._parts:
            product[rows] += entries @ vector[rows.start :]
            below = rows.stop - rows.start
            product[rows.stop :] += vector[rows] @ entries[:, below:]
        return product


def estimate_spectrum(
    multiply: Callable, size: int, trace: float, squares: float, rng: np.random.Generator
) -> Spectrum:
    """Estimate the entropy of a spectrum by stochastic Lanczos quadrature.

    The largest eigenvalues are found exactly. For the rest, the trace of f(G) = -G ln G is the
    expectation of w^T f(G) w over random signs w, and each such form is a sum over the eigenvalues
    of a small tridiagonal matrix. A parabola in G close to f(G) is a control variate: the traces
    of 1, G and G^2 are known, so that only its difference from f(G) need be estimated.

    Parameters
    ----------
    multiply : callable
        Product of the matrix with a matrix of shape (size, m).
    size : int
        At least 8.
    trace, squares : float
        Sum of its eigenvalues, and of their squares.
    rng : numpy.random.Generator
        Draws the random signs.

    References
    ----------
    Ubaru, Chen, Saad (2017), Fast estimation of tr(f(A)) via stochastic Lanczos quadrature.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    operator = LinearOperator((size, size), matvec=multiply, matmat=multiply, dtype=np.float64)
    n_exact = min(_EXACT, size // 4)
    values, vectors = eigsh(operator, k=n_exact, which="LA", v0=rng.standard_normal(size))
    known = np.array([size - n_exact, trace - values.sum(), squares - np.square(values).sum()])
    rest = error = 0.0
    if known[1] > _ROUNDING * trace:
        rest, error = _rest(multiply, vectors, known, rng)
    entropy = (_entropy(values).sum() + rest) / trace + np.log(trace)
    return Spectrum(float(values.max()), float(entropy), float(error / trace))


def _rest(
    multiply: Callable, removed: np.ndarray, known: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    """Trace of f(G) without some eigenvectors, and its standard error.

    ``known`` has the traces of 1, G and G^2 without them.
    """
    size, n_exact = removed.shape
    signs = rng.choice([-1.0, 1.0], size=(size, _PROBES))
    lengths, nodes, weights = _quadrature(multiply, signs, removed, min(_STEPS, size - n_exact))
    nodes, weights = np.clip(nodes, 0, None), lengths[:, None] * weights
    # The parabola in G that is closest to f(G), over all nodes, which sample the spectrum.
    powers = nodes.max() ** np.arange(3)
    basis = nodes[:, :, None] ** np.arange(3) / powers
    root = np.sqrt(weights).ravel()
    design, wanted = basis.reshape(-1, 3) * root[:, None], _entropy(nodes).ravel() * root
    parabola, *_ = np.linalg.lstsq(design, wanted)
    forms = (weights * (_entropy(nodes) - basis @ parabola)).sum(axis=1)
    error = forms.std(ddof=1) / np.sqrt(_PROBES)
    return float(forms.mean() + parabola @ (known / powers)), float(error)


def _entropy(values: np.ndarray) -> np.ndarray:
    return -values * np.log(np.where(values > 0, values, 1.0))


def _quadrature(
    multiply: Callable, starts: np.ndarray, removed: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss quadrature of w^T f(G) w with the part of w along some eigenvectors removed.

    Returns
    -------
    lengths : ndarray of shape (m,)
        Squared lengths of what is left of each start.
    nodes, weights : ndarray of shape (m, steps)
        w^T f(G) w = length * sum of weights * f(nodes).
    """

    def orthogonal(x):
        return x - removed @ (removed.T @ x)

    current = orthogonal(starts)
    norm = np.linalg.norm(current, axis=0)
    lengths, current = norm**2, current / norm
    before, beta = np.zeros_like(current), np.zeros(len(norm))
    diagonal, beside = [], []
    for _ in range(steps):
        following = orthogonal(multiply(current)) - beta * before
        alpha = (following * current).sum(axis=0)
        following -= alpha * current
        beta = np.linalg.norm(following, axis=0)
        diagonal.append(alpha)
        beside.append(beta)
        # An exhausted start ends in zeros, which add nodes without weight.
        before, current = current, np.divide(following, beta, out=following, where=beta > 1e-14)
        beta = np.where(beta > 1e-14, beta, 0.0)
        beside[-1] = beta
    small = np.zeros((len(lengths), steps, steps))
    step = np.arange(steps)
    small[:, step, step] = np.array(diagonal).T
    small[:, step[1:], step[:-1]] = np.array(beside[:-1]).T
    nodes, vectors = np.linalg.eigh(small)
    return lengths, nodes, np.square(vectors[:, 0])
