"""Tables behind the figures of one SAE, each a parquet file (paper Figs 12, 13, 15, 16, 17)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from isoenergy.measure.bridge_shares import THRESHOLDS, bridge_entries, bridge_shares
from isoenergy.measure.geometry import barycentres
from isoenergy.measure.opened import Measured
from isoenergy.measure.ranks import ranked
from isoenergy.measure.scores import activity, choose_atoms, score_histograms
from isoenergy.measure.unimodal import SIDES, strong_unimodal

if TYPE_CHECKING:
    import pandas as pd

SCORES_COLUMNS = (
    "which",
    "atom",
    "energy",
    "modality_score",
    "activity",
    "modality",
    "active",
    "left",
    "right",
    "count",
)
UNIMODAL_COLUMNS = (
    "side",
    "strict",
    "row",
    "column",
    "row_atom",
    "column_atom",
    "cosine",
    "mean_cosine",
    "frequency",
    "energy_share",
)


def bridge_shares_table(measured: Measured, tau: float) -> pd.DataFrame:
    """A row per threshold and pair of groups: threshold, pair, share, tau."""
    import pandas as pd

    entries = bridge_entries(measured.covariance, measured.cosines)
    shares = bridge_shares(*entries, measured.energies.modality_score)
    parts = [
        {"threshold": THRESHOLDS, "pair": pair, "share": values, "tau": tau}
        for pair, values in shares.items()
    ]
    return pd.concat(map(pd.DataFrame, parts), ignore_index=True)


def transport_table(
    measured: Measured, tau: float, coordinates: Mapping[str, np.ndarray], plan: np.ndarray | None
) -> pd.DataFrame:
    """A row per atom: what it is, where it lies, and where transport takes its image energy.

    Parameters
    ----------
    measured : Measured
    tau : float
    coordinates : mapping of str to ndarray of shape (K,)
        ``along_{group}``, see :func:`isoenergy.measure.geometry.modality_directions`.
    plan : ndarray or sparse matrix of shape (K, K), or None
        Gamma; None where a modality has no energy to transport.

    Returns
    -------
    DataFrame
        ``atom``, ``energy_image``, ``energy_text``, ``modality_score``, ``group``, the
        coordinates, and for each ``target_{name}``, its mean over where the atom's image energy
        goes, Gamma x / a; ``target_modality_score`` likewise. NaN where there is none to move.
    """
    import pandas as pd

    energies = measured.energies
    own = {"modality_score": energies.modality_score, **coordinates}
    places = np.column_stack(list(own.values()))
    targets = np.full_like(places, np.nan) if plan is None else barycentres(plan, places)
    return pd.DataFrame(
        {
            "atom": np.arange(len(targets)),
            "energy_image": energies.image,
            "energy_text": energies.text,
            "group": energies.groups(tau),
            **own,
            **{f"target_{name}": column for name, column in zip(own, targets.T, strict=True)},
        }
    )


def scores_table(measured: Measured, tau: float) -> pd.DataFrame:
    """A row per chosen atom, modality, activity and bin; see :mod:`isoenergy.measure.scores`.

    Empty where no atom can be chosen.
    """
    import pandas as pd

    codes, energies, store = measured.codes, measured.energies, measured.store
    sides = codes.image, codes.text
    active = activity(*sides)
    chosen = choose_atoms(energies, active, tau)
    atoms = {atom: measured.dictionary[atom] for atom in chosen.values()}
    found = score_histograms(store.image, store.text, sides, atoms) if chosen else {}
    parts = [pd.DataFrame(columns=list(SCORES_COLUMNS))] if not chosen else []
    for which, atom in chosen.items():
        edges, counts = found[atom]
        told = {
            "which": which,
            "atom": atom,
            "energy": energies.both[atom],
            "modality_score": energies.modality_score[atom],
            "activity": active[atom],
        }
        parts += [
            pd.DataFrame(
                {
                    **told,
                    "modality": modality,
                    "active": on,
                    "left": edges[:-1],
                    "right": edges[1:],
                    "count": count,
                }
            )
            for (modality, on), count in counts.items()
        ]
    return pd.concat(parts, ignore_index=True)


def unimodal_table(measured: Measured, tau: float) -> pd.DataFrame:
    """A row per side and ordered pair of its strong atoms, with ``UNIMODAL_COLUMNS``.

    Empty where no live atom is unimodal.
    """
    import pandas as pd

    parts = []
    for side in SIDES:
        found = strong_unimodal(measured.energies, measured.dictionary, side, tau)
        n = len(found.atoms)
        row, column = np.divmod(np.arange(n * n), max(n, 1))
        values = (
            side,
            found.strict,
            row,
            column,
            found.atoms[row],
            found.atoms[column],
            found.cosines.ravel(),
            found.mean_cosine,
            found.frequency,
            found.energy_share,
        )
        parts.append(pd.DataFrame(dict(zip(UNIMODAL_COLUMNS, values, strict=True))))
    return pd.concat(parts, ignore_index=True)


def ranks_table(measured: Measured) -> pd.DataFrame:
    """A row per atom, the strongest first; see :func:`isoenergy.measure.ranks.ranked`."""
    import pandas as pd

    return pd.DataFrame(ranked(measured.energies))
