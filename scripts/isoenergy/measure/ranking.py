"""When does removing modality information from a query reorder its candidates? (Appendix K).

A query v = omega + gamma is the sum of its modality information omega and its content gamma;
candidates y are of unit norm and stay whole. For candidates i and j the content margin is
Delta_c = <gamma, y_i - y_j> and the modality margin Delta_m = <omega, y_i - y_j>, so that the
cosines of v differ by (Delta_c + Delta_m) / |v| and those of gamma by Delta_c / |gamma|. Nothing
here needs gamma and omega to be orthogonal, as Appendix K has them: only that they sum to v.

Every query has its own pairs of candidates: arrays ``first`` and ``second`` of shape
(queries, pairs) hold i and j.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Reordering:
    """What removal does to pairs of candidates; arrays of shape (queries, pairs) unless said.

    Attributes
    ----------
    before, after : ndarray, int8
        Sign of cos(v, y_i) - cos(v, y_j), and of the same with gamma: 1, -1, or 0 for a tie, which
        is a difference within ``resolution``.
    content, modality : ndarray, float64
        Delta_c and Delta_m.
    spread : ndarray of shape (queries,), float64
        Epsilon of Corollary 1, over all candidates.
    length : ndarray of shape (queries,), float64
        Of v.
    resolution : ndarray of shape (queries,), float64
        Margins nearer to 0 are not told from rounding.
    """

    before: np.ndarray
    after: np.ndarray
    content: np.ndarray
    modality: np.ndarray
    spread: np.ndarray
    length: np.ndarray
    resolution: np.ndarray

    @property
    def flipped(self) -> np.ndarray:
        """Pairs in opposite strict orders before and after, bool."""
        return self.before * self.after < 0

    @property
    def tied(self) -> np.ndarray:
        """Pairs that are a tie before, after or both, bool; no tie is a flip."""
        return self.before * self.after == 0

    @property
    def foretold(self) -> np.ndarray:
        """Pairs that Proposition 3 says flip, bool; see :func:`meets_condition`."""
        return meets_condition(self.content, self.modality)

    @property
    def guaranteed(self) -> np.ndarray:
        """Pairs that Corollary 1 says keep their order, bool; see :func:`is_guaranteed`."""
        return is_guaranteed(self.content, self.spread)


def draw_pairs(
    queries: int, candidates: int, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of different candidates for every query.

    Parameters
    ----------
    queries, candidates : int
    most : int
        Pairs for a query, at most. Where there are no more, every query has them all; else each
        has ``most`` drawn with replacement, all ordered pairs being equally likely.
    rng : numpy.random.Generator

    Returns
    -------
    first, second : ndarray of shape (queries, pairs), int
        In [0, candidates); no pair holds one candidate twice. Without pairs where there are fewer
        than two candidates.
    """
    if candidates * (candidates - 1) // 2 <= most:
        every = np.triu_indices(candidates, k=1)
        first, second = (np.tile(side, (queries, 1)) for side in every)
        return first, second
    first = rng.integers(0, candidates, (queries, most))
    ahead = rng.integers(1, candidates, (queries, most))
    return first, (first + ahead) % candidates


def meets_condition(content: np.ndarray, modality: np.ndarray) -> np.ndarray:
    """Delta_c (Delta_c + Delta_m) < 0, which Proposition 3 says is when a pair flips.

    That is: Delta_m is opposite in sign to Delta_c, and larger. Written with signs, since a
    product of small margins may be rounded to 0.
    """
    return np.sign(content) * np.sign(content + modality) < 0


def is_guaranteed(content: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """|Delta_c| > epsilon, for which Corollary 1 says that a pair keeps its order.

    Parameters
    ----------
    content : ndarray of shape (queries, pairs)
    spread : ndarray of shape (queries,)
        See :func:`projection_spread`.
    """
    return np.abs(content) > spread[:, None]


def projection_spread(projections: np.ndarray) -> np.ndarray:
    """Epsilon = max over i and j of |alpha_i - alpha_j| with alpha_i = <omega, y_i> (Corollary 1).

    Parameters
    ----------
    projections : ndarray of shape (queries, candidates)
        alpha; at least one candidate.

    Returns
    -------
    ndarray of shape (queries,)
        0 where omega projects alike on all candidates, the case of Proposition 2.
    """
    return projections.max(axis=1) - projections.min(axis=1)


def reorder(
    content: np.ndarray,
    modality: np.ndarray,
    candidates: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
) -> Reordering:
    """Orders of pairs of candidates before and after omega is removed from the queries.

    Orders are taken from the cosines of v and gamma, margins from the inner products of gamma and
    omega, so that a proposition that relates them is put to the test.

    An inner product of d terms is off by at most (d + 3) / 2 * eps times the norms, the making of
    v = gamma + omega included. So a margin is told from rounding where it exceeds
    R = 4 (d + 6) eps (|gamma| + |omega|), which is more than the errors of both ways to compute it
    together: beyond R both have the true sign, and within R the pair is a tie.

    Parameters
    ----------
    content, modality : ndarray of shape (queries, dim)
        gamma and omega. Both are computed with in float64.
    candidates : ndarray of shape (candidates, dim)
        y, whole; of unit norm, or zero. At least one.
    first, second : ndarray of shape (queries, pairs), int
        See :func:`draw_pairs`.

    Returns
    -------
    Reordering
        A zero query has the cosine 0 with everything, so that all its candidates tie.
    """
    content, modality, candidates = (
        np.asarray(part, dtype=np.float64) for part in (content, modality, candidates)
    )
    whole = content + modality
    lengths = [np.linalg.norm(part, axis=1) for part in (whole, content, modality)]
    resolution = 4 * (content.shape[1] + 6) * _EPS * (lengths[1] + lengths[2])

    def margins(scores: np.ndarray) -> np.ndarray:
        return np.take_along_axis(scores, first, axis=1) - np.take_along_axis(
            scores, second, axis=1
        )

    def order(query: np.ndarray, length: np.ndarray) -> np.ndarray:
        # Of a query that is nothing but rounding the quotients are of no use, and not used.
        scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > resolution)
        difference = margins(query @ candidates.T * scale[:, None])
        told = np.abs(difference) > (resolution * scale)[:, None]
        return (np.sign(difference) * told).astype(np.int8)

    projections = modality @ candidates.T
    return Reordering(
        before=order(whole, lengths[0]),
        after=order(content, lengths[1]),
        content=margins(content @ candidates.T),
        modality=margins(projections),
        spread=projection_spread(projections),
        length=lengths[0],
        resolution=resolution,
    )
