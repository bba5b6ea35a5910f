"""Propositions 2 and 3 and Corollary 1 put to the test on an SAE's reconstructions (Appendix K)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isoenergy.errors import InputError
from isoenergy.measure.intervened import mean_reconstructions
from isoenergy.measure.metric import PAPER, Metric, why_not_finite
from isoenergy.measure.opened import Measured, open_measured
from isoenergy.measure.ranking import Reordering, draw_pairs, reorder
from isoenergy.measure.record import write_metrics, write_table
from isoenergy.measure.retrieval import unit_rows
from isoenergy.measure.vectors import draw_rows
from isoenergy.seeds import generator

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

# What is removed from a query: its unimodal atoms, or the mean of its modality.
REMOVALS = ("atoms", "mean")
# The modality of the query; candidates are of the other one.
QUERIES = ("image", "text")
LARGEST = "largest_flip_over_spread"
RANKING_METRICS = (
    "share_flipped",
    "share_tied",
    "share_meeting_condition",
    "share_of_flips_meeting_condition",
    "share_guaranteed",
    "share_of_guaranteed_flipped",
    "spread",
    LARGEST,
    "modality_over_content",
    "share_flipped_both",
)
# Queries, candidates, and pairs of candidates for a query, at most; pairs drawn of each panel.
_QUERIES, _CANDIDATES, _PAIRS, _DRAWN = 1000, 2000, 500, 1000
_BLOCK = 256
# Why numbers are NaN, where they are, for their notes.
_NO_PAIRS = "there are fewer than two candidates, so that there is no pair"
_WHY = {
    "share_of_flips_meeting_condition": "no pair flips",
    LARGEST: "no pair flips",
    "share_of_guaranteed_flipped": "the corollary guarantees no pair",
    "spread": "all queries are 0",
    "modality_over_content": "all content margins are 0",
}


@dataclass(frozen=True)
class Removed:
    """Vectors of one modality and what is left of them; ndarrays of shape (n, dim), float64.

    Attributes
    ----------
    whole : ndarray
        Reconstructions with all atoms.
    content : ndarray
        The same without modality information.
    """

    whole: np.ndarray
    content: np.ndarray

    def __getitem__(self, rows: slice) -> Removed:
        return Removed(self.whole[rows], self.content[rows])


def remove(
    removal: str, codes: csr_matrix, dictionary: np.ndarray, bimodal: np.ndarray, mean: np.ndarray
) -> Removed:
    """Reconstructions of one modality, and their content after one removal.

    Parameters
    ----------
    removal : {"atoms", "mean"}
        ``"atoms"``: content is what bimodal atoms rebuild. ``"mean"``: it is the reconstruction
        less ``mean``, so that the modality information is the same in every query.
    codes : csr_matrix of shape (n, K)
    dictionary : ndarray of shape (K, dim)
    bimodal : ndarray of shape (K,), bool
    mean : ndarray of shape (dim,)
        Of the modality's reconstructions.
    """
    wide, atoms = codes.astype(np.float64), dictionary.astype(np.float64)
    whole = wide @ atoms
    content = wide @ (atoms * bimodal[:, None]) if removal == "atoms" else whole - mean
    return Removed(whole, content)


def measure_ranking(
    store: str | Path,
    weights: Sequence[str | Path],
    codes: Sequence[str | Path],
    folder: str | Path,
    margins: str | Path,
    spreads: str | Path,
    tau: float,
    seed: int,
) -> None:
    """Measure which pairs of candidates change their order when queries lose modality information.

    Queries are reconstructions of one modality, candidates unit-norm reconstructions of the other,
    which stay whole. 1,000 queries, 2,000 candidates and 500 pairs of candidates for each query
    are drawn, the same for every SAE, or all where there are no more.

    Parameters
    ----------
    store : path
        The store that the SAEs were trained on.
    weights, codes : sequence of path
        ``sae.safetensors``, and ``codes.json`` of the store, of SAEs that differ by seed.
    folder : path
        ``{removal}/{query}/{metric}.json`` of ``RANKING_METRICS`` go here, each the mean over the
        SAEs with its standard deviation, but the largest for ``"largest_flip_over_spread"``.
        What they are is told by :func:`ranking_metrics`.
    margins : path
        Figure data to write, of the first SAE: a row for each of 1,000 pairs of every removal and
        modality of the query. ``before`` is the difference of the cosines with all atoms, of the
        candidate that comes first less that of the other; ``change`` what removal adds to it, with
        the query's length kept; ``flipped`` and ``foretold`` by Proposition 3.
    spreads : path
        Figure data to write, of the first SAE: a row per query with ``spread`` (epsilon) and
        ``largest_flip`` (largest content margin of a pair that flips, null without one), both
        over the query's length.
    tau : float
        Modality threshold, in (0, 0.5).
    seed : int

    Raises
    ------
    InputError
        If the files do not belong together.
    """
    import pandas as pd

    if not weights or len(weights) != len(codes):
        raise InputError(
            f"there are {len(weights)} SAEs and codes of {len(codes)}; give codes of every SAE"
        )
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    zero: dict[str, list[dict[str, float]]] = {removal: [] for removal in REMOVALS}
    tables: dict[str, list[pd.DataFrame]] = {"margins": [], "spreads": []}
    for i, (sae, its_codes) in enumerate(zip(weights, codes, strict=True)):
        measured = open_measured(store, sae, its_codes)
        bimodal = measured.energies.groups(tau) == "bimodal"
        for removal in REMOVALS:
            zero[removal].append(measured.zero_share(bimodal if removal == "atoms" else None))
        for key, (outcome, both) in reorder_sides(measured, tau, seed).items():
            found.setdefault(key, []).append(ranking_metrics(outcome, both))
            if i == 0:
                told = dict(zip(("removal", "query"), key, strict=True))
                drawn = generator(seed, "drawn", *key)
                tables["margins"].append(margins_table(outcome, drawn).assign(**told))
                tables["spreads"].append(spreads_table(outcome).assign(**told))
            sizes = _sizes(outcome, measured, len(weights))
    settings = {"tau": tau}
    for key, values in found.items():
        metrics = [
            _over_seeds(name, [value[name] for value in values], sizes, seed) for name in values[0]
        ]
        shares = {side: float(np.mean([one[side] for one in zero[key[0]]])) for side in QUERIES}
        named = f"{__name__}.RANKING_METRICS"
        write_metrics(Path(folder, *key), metrics, RANKING_METRICS, named, settings, shares)
    for path, name in ((margins, "margins"), (spreads, "spreads")):
        write_table(path, pd.concat(tables[name], ignore_index=True), settings)


def reorder_sides(
    measured: Measured, tau: float, seed: int
) -> dict[tuple[str, str], tuple[Reordering, np.ndarray]]:
    """What every removal does to the candidates of images and of texts.

    Parameters
    ----------
    measured : Measured
    tau : float
    seed : int

    Returns
    -------
    dict of (removal, query) to (Reordering, ndarray of shape (queries, pairs), bool)
        The array says which pairs flip where candidates lose their modality information too and
        are of unit norm again; Appendix K does not speak of that.
    """
    n = len(measured.store)
    rng = generator(seed, "ranking")
    rows = draw_rows(n, _CANDIDATES, rng)
    first, second = draw_pairs(min(_QUERIES, len(rows)), len(rows), _PAIRS, rng)
    means = mean_reconstructions(measured.codes, measured.dictionary)
    bimodal = measured.energies.groups(tau) == "bimodal"
    found = {}
    for removal in REMOVALS:
        sides = {
            name: remove(
                removal,
                getattr(measured.codes, name)[rows],
                measured.dictionary,
                bimodal,
                getattr(means, name),
            )
            for name in QUERIES
        }
        for query, other in zip(QUERIES, reversed(QUERIES), strict=True):
            found[removal, query] = _reorder_blocks(
                sides[query][: len(first)], sides[other], first, second
            )
    return found


def _reorder_blocks(
    queries: Removed, candidates: Removed, first: np.ndarray, second: np.ndarray
) -> tuple[Reordering, np.ndarray]:
    whole, bare = unit_rows(candidates.whole), unit_rows(candidates.content)
    parts, both = [], []
    for start in range(0, len(first), _BLOCK):
        span = slice(start, start + _BLOCK)
        block, pairs = queries[span], (first[span], second[span])
        part = reorder(block.content, block.whole - block.content, whole, *pairs)
        after = reorder(block.content, np.zeros_like(block.content), bare, *pairs).after
        parts.append(part)
        both.append(part.before * after < 0)
    names = [field.name for field in fields(Reordering)]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Reordering(**joined), np.concatenate(both)


def ranking_metrics(outcome: Reordering, both: np.ndarray) -> dict[str, float]:
    """The ``RANKING_METRICS`` of one SAE, removal and modality of the query.

    Parameters
    ----------
    outcome : Reordering
    both : ndarray of shape (queries, pairs), bool
        Pairs that flip where candidates lose their modality information too.

    Returns
    -------
    dict of str to float
        ``share_flipped``, ``share_tied``, ``share_meeting_condition`` (of Proposition 3),
        ``share_guaranteed`` (by Corollary 1) and ``share_flipped_both`` are shares of all pairs.
        ``share_of_flips_meeting_condition`` is 1 and ``share_of_guaranteed_flipped`` 0 where the
        propositions hold. ``spread`` is the mean over queries of epsilon over the query's length,
        ``largest_flip_over_spread`` the largest content margin of a pair that flips over its
        query's epsilon, at most 1 by the corollary. ``modality_over_content`` is the root mean
        square of the modality margins over that of the content margins. NaN where there is
        nothing to divide by.
    """
    flipped, foretold, guaranteed = outcome.flipped, outcome.foretold, outcome.guaranteed
    every = np.ones_like(flipped)
    spread = outcome.spread[:, None]
    reach = np.abs(outcome.content)[flipped] / np.broadcast_to(spread, flipped.shape)[flipped]
    told = outcome.length > outcome.resolution
    squares = [np.square(part).sum() for part in (outcome.modality, outcome.content)]
    return {
        "share_flipped": _share(flipped, every),
        "share_tied": _share(outcome.tied, every),
        "share_meeting_condition": _share(foretold, every),
        "share_of_flips_meeting_condition": _share(foretold, flipped),
        "share_guaranteed": _share(guaranteed, every),
        "share_of_guaranteed_flipped": _share(flipped, guaranteed),
        "spread": _ratio((outcome.spread[told] / outcome.length[told]).sum(), told.sum()),
        LARGEST: float(reach.max(initial=0.0)) if flipped.any() else float("nan"),
        "modality_over_content": float(np.sqrt(_ratio(*squares))),
        "share_flipped_both": _share(both, every),
    }


def _share(wanted: np.ndarray, among: np.ndarray) -> float:
    return _ratio(np.count_nonzero(wanted & among), np.count_nonzero(among))


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below > 0 else float("nan")


def _over_seeds(name: str, values: Sequence[float], sizes: Mapping[str, int], seed: int) -> Metric:
    value = float(np.max(values)) if name == LARGEST else float(np.mean(values))
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    why = _WHY.get(name, _NO_PAIRS) if sizes["candidate_pairs"] else _NO_PAIRS
    note = why_not_finite({PAPER: value}, f"with one of the SAEs {why}", "epsilon is 0")
    return Metric(name, {PAPER: value}, sizes, protocol=PAPER, seed=seed, sd=spread, note=note)


def _sizes(outcome: Reordering, measured: Measured, saes: int) -> dict[str, int]:
    return {
        "candidate_pairs": outcome.content.size,
        "queries": len(outcome.spread),
        "candidates": min(len(measured.store), _CANDIDATES),
        "seeds": saes,
    }


def margins_table(outcome: Reordering, rng: np.random.Generator) -> pd.DataFrame:
    """A row for each of some pairs, drawn by ``rng``: before, change, flipped, foretold.

    Queries that are zero have no cosines, and no row.
    """
    import pandas as pd

    query, pair = np.nonzero(
        np.broadcast_to((outcome.length > outcome.resolution)[:, None], outcome.content.shape)
    )
    drawn = np.sort(draw_rows(len(query), _DRAWN, rng))
    at = query[drawn], pair[drawn]
    length = outcome.length[at[0]]
    before = (outcome.content[at] + outcome.modality[at]) / length
    # The candidate that comes first is named first.
    sign = np.where(before < 0, -1.0, 1.0)
    return pd.DataFrame(
        {
            "before": sign * before,
            "change": sign * -outcome.modality[at] / length,
            "flipped": outcome.flipped[at],
            "foretold": outcome.foretold[at],
        }
    )


def spreads_table(outcome: Reordering) -> pd.DataFrame:
    """A row per query that is not zero: spread, largest_flip."""
    import pandas as pd

    told = outcome.length > outcome.resolution
    flips = np.where(outcome.flipped, np.abs(outcome.content), -np.inf)
    largest = flips.max(axis=1, initial=-np.inf)
    largest[np.isinf(largest)] = np.nan
    columns = {"spread": outcome.spread, "largest_flip": largest}
    return pd.DataFrame({name: x[told] / outcome.length[told] for name, x in columns.items()})
