"""Composed retrieval: a picture and what to change find the changed one (SPEC 4, 5; X9, X10).

Every query is compared with every target of its category, all of which are in memory: sets of edits
have thousands of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from isoenergy.embed.store import open_store
from isoenergy.embed.triplets import Triplets, open_triplets
from isoenergy.encode.codes import Codes, open_codes
from isoenergy.errors import InputError
from isoenergy.files import hash_file, hash_strings
from isoenergy.measure.energy import atom_energies
from isoenergy.measure.metric import Metric
from isoenergy.measure.opened import read_dictionary
from isoenergy.measure.outliers import (
    PROTOCOLS,
    distance_densities,
    neighbour_distances,
    ood_metric,
)
from isoenergy.measure.reconstruction import reconstruct, zero_share
from isoenergy.measure.record import write_metrics, write_table
from isoenergy.measure.retrieval import TIES, expected_hits, recall_at, unit_rows
from isoenergy.measure.vectors import draw_rows
from isoenergy.seeds import generator

RECALL_KS = (10, 50)
# In the order of Table 8; Q_SAE has two more published forms.
QUERIES = ("caption", "source", "Q", "Q_SAE", "Q_SAE_text", "Q_SAE_appendix")
COMPOSED_METRICS = (
    "recall",
    *(f"recall_at_{k}" for k in RECALL_KS),
    *(f"gallery_recall_at_{k}" for k in RECALL_KS),
    "ood_score",
)


@dataclass(frozen=True)
class ComposedSettings:
    """How composed retrieval is measured.

    Attributes
    ----------
    tau : float
        Modality threshold of the caption's bimodal part, in (0, 0.5).
    ood : int
        Targets, and queries, drawn for the OOD score, which depends on it.
    """

    tau: float
    ood: int


def compose_queries(
    codes: Codes, dictionary: np.ndarray, bimodal: np.ndarray, source: np.ndarray
) -> dict[str, np.ndarray]:
    """The queries of every triplet; sums of vectors that are not normalised.

    With hats for reconstructions with all atoms and tildes for those with bimodal atoms alone:
    ``caption`` and ``source`` are the two reconstructions, ``Q`` their sum, ``Q_SAE`` the source's
    hat plus the caption's tilde (the authors' code), ``Q_SAE_text`` the raw source embedding plus
    the caption's hat (the paper's main text), ``Q_SAE_appendix`` both tildes (its Appendix H).

    Parameters
    ----------
    codes : Codes
        Of n triplets, with ``source``.
    dictionary : ndarray of shape (K, dim)
    bimodal : ndarray of shape (K,), bool
    source : ndarray of shape (n, dim)
        Raw embeddings of the source pictures.

    Returns
    -------
    dict of str to ndarray of shape (n, dim), the keys ``QUERIES``
    """
    start, change = (reconstruct(side, dictionary) for side in (codes.source, codes.text))
    start_shared, change_shared = (
        reconstruct(side, dictionary, bimodal) for side in (codes.source, codes.text)
    )
    return {
        "caption": change,
        "source": start,
        "Q": start + change,
        "Q_SAE": start + change_shared,
        "Q_SAE_text": source + change,
        "Q_SAE_appendix": start_shared + change_shared,
    }


def zero_shares(codes: Codes, bimodal: np.ndarray) -> dict[str, dict[str, float]]:
    """Of every query, the share of each part's codes without any entry of the atoms that it takes.

    Parameters
    ----------
    codes : Codes
        Of n triplets, with ``source``.
    bimodal : ndarray of shape (K,), bool

    Returns
    -------
    dict of str to dict of str to float, in [0, 1]
        By the keys of :func:`compose_queries`: ``target``, and ``source`` and ``text`` where the
        query takes a reconstruction of them.
    """
    target = {"target": zero_share(codes.image)}
    source, text = ({name: zero_share(getattr(codes, name))} for name in ("source", "text"))
    source_shared, text_shared = (
        {name: zero_share(getattr(codes, name), bimodal)} for name in ("source", "text")
    )
    return {
        "caption": target | text,
        "source": target | source,
        "Q": target | source | text,
        "Q_SAE": target | source | text_shared,
        "Q_SAE_text": target | text,
        "Q_SAE_appendix": target | source_shared | text_shared,
    }


def gallery_recall(
    query: np.ndarray, target: np.ndarray, triplets: Triplets, block: int = 1024
) -> dict[int, float]:
    """Recall@k of each query among all different targets of its category, mean over categories.

    FashionIQ's own protocol, one-directional; ties count at their expected value, see
    :func:`isoenergy.measure.retrieval.expected_hits`.

    Parameters
    ----------
    query, target : ndarray of shape (n, dim)
        Normalised inside.
    triplets : Triplets
        Says which targets are the same picture, and the categories.
    block : int
        Queries at a time; bounds the memory.

    Returns
    -------
    dict of int to float, in [0, 1]
    """
    found: dict[int, list[float]] = {k: [] for k in RECALL_KS}
    for category in np.unique(triplets.category):
        rows = np.flatnonzero(triplets.category == category)
        _, first, own = np.unique(triplets.gallery[rows], return_index=True, return_inverse=True)
        gallery, queries = unit_rows(target[rows[first]]), unit_rows(query[rows])
        hits = dict.fromkeys(RECALL_KS, 0.0)
        for start in range(0, len(rows), block):
            similarities = queries[start : start + block] @ gallery.T
            mine = np.take_along_axis(similarities, own[start : start + block, None], axis=1)
            for k, expected in expected_hits(similarities, mine, RECALL_KS).items():
                hits[k] += expected
        for k in RECALL_KS:
            found[k].append(hits[k] / len(rows))
    return {k: float(np.mean(values)) for k, values in found.items()}


def measure_composed(
    store: str | Path,
    weights: str | Path,
    codes: str | Path,
    train_codes: str | Path,
    folder: str | Path,
    neighbours: str | Path,
    settings: ComposedSettings,
    seed: int,
) -> None:
    """Measure composed retrieval with one SAE.

    Parameters
    ----------
    store : path
        A store of edits.
    weights, codes : path
        ``sae.safetensors`` and ``codes.json`` of that SAE and store.
    train_codes : path
        ``codes.json`` of the store that the SAE was trained on: its energies say which atoms are
        bimodal.
    folder : path
        ``{query}/{metric}.json`` go here: ``COMPOSED_METRICS`` for each of ``QUERIES``.
    neighbours : path
        Figure data to write: densities of the distance to the nearest targets, of targets
        (``query`` ``"target"``) and of every query.
    settings : ComposedSettings
    seed : int

    Raises
    ------
    InputError
        If the files do not belong together, or the store is none of edits.
    """
    triplets = open_triplets(open_store(store))
    read, trained, dictionary = open_codes(codes), open_codes(train_codes), read_dictionary(weights)
    if read.source is None or read.ids != hash_strings(triplets.names):
        raise InputError(
            f"{codes} was not made from the triplets of {store}; delete {codes} and run again"
        )
    for path, found in ((codes, read), (train_codes, trained)):
        if found.checkpoint and found.checkpoint != hash_file(weights):
            raise InputError(f"{path} was not made with {weights}; delete {path} and run again")
    bimodal = atom_energies(trained.image, trained.text).groups(settings.tau) == "bimodal"
    target = reconstruct(read.image, dictionary)
    queries = compose_queries(read, dictionary, bimodal, triplets.source)
    told, named = asdict(settings), f"{__name__}.COMPOSED_METRICS"
    zero = zero_shares(read, bimodal)
    for name, query in queries.items():
        metrics = _query_metrics(query, target, triplets, settings, seed)
        write_metrics(Path(folder) / name, metrics, COMPOSED_METRICS, named, told, zero[name])
    _write_histograms(neighbours, queries, target, settings, seed)


def _query_metrics(
    query: np.ndarray,
    target: np.ndarray,
    triplets: Triplets,
    settings: ComposedSettings,
    seed: int,
) -> Iterator[Metric]:
    n = {"triplets": len(query)}
    recall = recall_at(query, target, RECALL_KS, generator(seed, "recall"))
    told = {"seed": seed, "note": TIES}
    yield Metric("recall", {"code": float(np.mean(list(recall.values())))}, n, **told)
    for k, value in recall.items():
        yield Metric(f"recall_at_{k}", {"code": value}, n, **told)
    for k, value in gallery_recall(query, target, triplets).items():
        name = f"gallery_recall_at_{k}"
        yield Metric(name, {"fashioniq": value}, n, protocol="fashioniq", note=TIES)
    rows = draw_rows(len(query), settings.ood, generator(seed, "ood"))
    yield ood_metric(target[rows], query[rows], {"triplets": len(rows)}, seed)


def _write_histograms(
    path: str | Path,
    queries: Mapping[str, np.ndarray],
    target: np.ndarray,
    settings: ComposedSettings,
    seed: int,
) -> None:
    rows = draw_rows(len(target), settings.ood, generator(seed, "ood"))
    k, _ = PROTOCOLS["code"]  # a target is its own first neighbour, its copies are none
    distances = {("target",): neighbour_distances(target[rows], target[rows], [k - 1], within=True)}
    for name, query in queries.items():
        distances[name,] = neighbour_distances(query[rows], target[rows], [k])
    write_table(path, distance_densities(distances, ("query",)), asdict(settings))
