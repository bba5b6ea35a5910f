"""Which known factor of a scene each atom follows (beyond the paper).

For an atom and a factor the number is the uncertainty coefficient I(A; F) / H(A): the mutual
information of "the atom is active" with the factor's value, as a share of the entropy of "active".
It is 1 where the factor decides whether the atom is on, 0 where it says nothing, and the bias that
a finite sample gives to independent variables is taken off. It is measured on image codes and on
text codes, and both are averaged by the atom's energy in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from isoenergy.encode.codes import CodeRows, row_blocks
from isoenergy.measure.energy import GROUPS, AtomEnergies

KINDS = ("shared", "picture", "text")
NONE = "none"
# Below this an atom follows no factor.
INFORMED = 0.1


def _binary_entropy(p: np.ndarray) -> np.ndarray:
    """Entropy in nats of a coin with probability p, 0 at the ends."""
    p = np.clip(p, 0.0, 1.0)
    q = 1 - p
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(p > 0, p * np.log(p), 0.0) - np.where(q > 0, q * np.log(q), 0.0)


def uncertainty_coefficients(codes: CodeRows, factor: np.ndarray) -> np.ndarray:
    """I(A; F) / H(A) of every atom, corrected for chance.

    Parameters
    ----------
    codes : CodeRows of shape (n, K)
        An atom is active where its code is not zero.
    factor : ndarray of shape (n,)
        The factor's value in each row, any hashable.

    Returns
    -------
    ndarray of shape (K,), in [0, 1]
        0 for an atom that is never or always active.
    """
    n, n_atoms = codes.shape
    _, value = np.unique(factor, return_inverse=True)
    n_values = int(value.max()) + 1
    per_value = np.bincount(value, minlength=n_values)
    active = np.zeros(n_values * n_atoms, dtype=np.int64)
    for rows in row_blocks(codes):
        block = codes[rows]
        cell = np.repeat(value[rows] * n_atoms, np.diff(block.indptr)) + block.indices
        active += np.bincount(cell, minlength=n_values * n_atoms)
    active = active.reshape(n_values, n_atoms)
    entropy = _binary_entropy(active.sum(axis=0) / n)
    conditional = (per_value / n) @ _binary_entropy(active / per_value[:, None])
    # Expected information of independent variables in a sample of n (Miller).
    chance = (n_values - 1) / (2 * n)
    information = np.clip(entropy - conditional - chance, 0.0, None)
    return np.divide(information, entropy, out=np.zeros(n_atoms), where=entropy > 0)


@dataclass(frozen=True)
class FactorAlignment:
    """Uncertainty coefficients of K atoms and F factors.

    Attributes
    ----------
    names, kinds : tuple of F str
        Factors, and which side shows each: ``"shared"``, ``"picture"`` or ``"text"``.
    coefficients : ndarray of shape (K, F), in [0, 1]
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    coefficients: np.ndarray

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Index of each atom's best factor and its coefficient, each of shape (K,)."""
        index = self.coefficients.argmax(axis=1)
        return index, self.coefficients[np.arange(len(index)), index]

    def followed_kind(self) -> np.ndarray:
        """Kind of each atom's best factor, ``"none"`` below ``INFORMED``: shape (K,), str."""
        index, coefficient = self.best()
        return np.where(coefficient >= INFORMED, np.array(self.kinds)[index], NONE)


def factor_alignment(
    image: CodeRows,
    text: CodeRows,
    factors: Mapping[str, np.ndarray],
    kinds: Mapping[str, str],
    energies: AtomEnergies,
) -> FactorAlignment:
    """Uncertainty coefficients of every atom with every factor.

    Parameters
    ----------
    image, text : CodeRows of shape (n, K)
    factors : mapping of str to ndarray of shape (n,)
        The value of each factor in each pair.
    kinds : mapping of str to str
        Which side shows each factor.
    energies : AtomEnergies
        Weighs the two sides by the atom's modality score.
    """
    score = np.clip(energies.modality_score, 0.0, 1.0)
    columns = [
        score * uncertainty_coefficients(image, values)
        + (1 - score) * uncertainty_coefficients(text, values)
        for values in factors.values()
    ]
    return FactorAlignment(
        tuple(factors), tuple(kinds[name] for name in factors), np.stack(columns, axis=1)
    )


def followed_shares(
    alignment: FactorAlignment, energies: AtomEnergies, tau: float
) -> dict[str, dict[str, float]]:
    """Per group of atoms, the share of its energy in atoms that follow each kind of factor.

    Returns
    -------
    dict of group to dict of kind to float
        Groups ``"text"``, ``"bimodal"``, ``"image"``; kinds ``"shared"``, ``"picture"``,
        ``"text"``, ``"none"``. Shares of a group sum to 1, or are NaN where it has no energy.
    """
    group, energy = energies.groups(tau), energies.both
    followed = alignment.followed_kind()
    shares = {}
    for name in GROUPS:
        weight = np.where(group == name, energy, 0.0)
        total = weight.sum()
        shares[name] = {
            kind: float(weight[followed == kind].sum() / total) if total > 0 else float("nan")
            for kind in (*KINDS, NONE)
        }
    return shares


def group_coefficients(
    alignment: FactorAlignment, energies: AtomEnergies, tau: float
) -> dict[str, dict[str, float]]:
    """Per group of atoms, how much they tell about each kind of factor, whether best or not.

    Returns
    -------
    dict of group to dict of kind to float, in [0, 1]
        The energy-weighted mean over the group's atoms of the largest coefficient among the
        factors of that kind; 0 for a kind without factors, NaN for a group without energy.
    """
    group, energy = energies.groups(tau), energies.both
    kinds = np.array(alignment.kinds)
    means: dict[str, dict[str, float]] = {}
    for name in GROUPS:
        weight = np.where(group == name, energy, 0.0)
        total = weight.sum()
        means[name] = {
            kind: float(
                weight @ alignment.coefficients[:, kinds == kind].max(axis=1, initial=0.0) / total
            )
            if total > 0
            else float("nan")
            for kind in KINDS
        }
    return means
