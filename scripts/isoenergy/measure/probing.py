"""p_acc: do atoms, as linear probes, tell images from texts as their group says? (SPEC 4, X8)."""

from __future__ import annotations

import numpy as np

# Rows at a time.
_BLOCK = 4096


def probe_accuracies(
    dictionary: np.ndarray, image: np.ndarray, text: np.ndarray, centres: np.ndarray
) -> np.ndarray:
    """Accuracy of each atom at telling images from texts.

    An atom predicts "image" for x where (x - centre) . D_i > 0: one product of all atoms with all
    rows, which is compared with an offset for each atom and centre.

    Parameters
    ----------
    dictionary : ndarray of shape (K, dim)
    image, text : ndarray of shape (n_I, dim), (n_T, dim)
    centres : ndarray of shape (centres, dim)

    Returns
    -------
    ndarray of shape (centres, K), in [0, 1]
        Share of the n_I + n_T rows that the atom classifies rightly.
    """
    offsets = [dictionary @ centre for centre in centres]
    right = np.zeros((len(offsets), len(dictionary)), dtype=np.int64)
    for rows, positive in ((image, True), (text, False)):
        for start in range(0, len(rows), _BLOCK):
            products = dictionary @ rows[start : start + _BLOCK].T
            for found, offset in zip(right, offsets, strict=True):
                above = np.count_nonzero(products > offset[:, None], axis=1)
                found += above if positive else products.shape[1] - above
    return right / (len(image) + len(text))


def own_accuracies(accuracies: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Accuracy of each atom at what its group is about (paper Fig. 14).

    Parameters
    ----------
    accuracies : ndarray of shape (K,)
        Of predicting "image", see :func:`probe_accuracies`.
    group : ndarray of shape (K,), str
        See ``AtomEnergies.groups``.

    Returns
    -------
    ndarray of shape (K,), in [0, 1]
        acc for image atoms, 1 - acc for text atoms, max(acc, 1 - acc) for bimodal atoms; NaN for
        dead ones.
    """
    return np.select(
        [group == "image", group == "text", group == "bimodal"],
        [accuracies, 1 - accuracies, np.maximum(accuracies, 1 - accuracies)],
        default=np.nan,
    )


def probing_accuracy(
    accuracies: np.ndarray, energy: np.ndarray, group: np.ndarray, protocol: str
) -> float:
    """p_acc, the energy-weighted mean score of atoms.

    Parameters
    ----------
    accuracies : ndarray of shape (K,)
        Of predicting "image", see :func:`probe_accuracies`.
    energy : ndarray of shape (K,)
        E.
    group : ndarray of shape (K,), str
        See ``AtomEnergies.groups``; dead atoms do not count.
    protocol : {"code", "paper"}
        An image atom scores its accuracy, a text atom its accuracy at predicting "text"; a
        bimodal atom scores 1.5 - max(acc, 1 - acc), in [1/2, 1], in the authors' code and
        1 - 2 (max(acc, 1 - acc) - 1/2), in [0, 1], in the paper.

    Returns
    -------
    float
        In [0, 1]; NaN if no atom is live.
    """
    own = own_accuracies(accuracies, group)
    bimodal = 1.5 - own if protocol == "code" else 2 - 2 * own
    score = np.where(group == "bimodal", bimodal, own)
    live = group != "dead"
    weight = energy[live]
    return float((weight * score[live]).sum() / weight.sum()) if weight.sum() > 0 else float("nan")


def energy_weighted_mean_atom(dictionary: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """The authors' centre: sum_k E_k D_k / sum_k E_k, ndarray of shape (dim,); 0 without energy."""
    total = energy.sum()
    return (energy @ dictionary) / total if total > 0 else np.zeros(dictionary.shape[1])
