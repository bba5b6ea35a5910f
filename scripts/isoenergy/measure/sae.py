"""Everything measured on one SAE and one data set (Table 1, Fig. 2, the factor table)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isoenergy.data.factors import BY_NAME
from isoenergy.data.pairs import FACTOR_PREFIX
from isoenergy.errors import InputError
from isoenergy.measure.bridge import (
    ALL_BIMODAL,
    NO_BRIDGE,
    distributional_agreement,
    functional_alignment,
    transport_atoms,
    why_undefined,
)
from isoenergy.measure.energy import DEGENERATE_FREQUENCY, GROUPS
from isoenergy.measure.factors import (
    KINDS,
    NONE,
    factor_alignment,
    followed_shares,
    group_coefficients,
)
from isoenergy.measure.gap import difference_in_mean
from isoenergy.measure.geometry import modality_directions
from isoenergy.measure.metric import Metric, why_not_finite
from isoenergy.measure.opened import Measured, open_measured
from isoenergy.measure.panels import (
    bridge_shares_table,
    ranks_table,
    scores_table,
    transport_table,
    unimodal_table,
)
from isoenergy.measure.probing import (
    energy_weighted_mean_atom,
    own_accuracies,
    probe_accuracies,
    probing_accuracy,
)
from isoenergy.measure.reconstruction import (
    Reconstructions,
    l0,
    l1,
    reconstruction_errors,
    unexplained,
)
from isoenergy.measure.record import write_metrics, write_table
from isoenergy.measure.retrieval import TIES, recall_at
from isoenergy.measure.transport import Transport
from isoenergy.measure.vectors import draw_rows
from isoenergy.seeds import generator

if TYPE_CHECKING:
    import pandas as pd

FORMS = ("reconstruction", "masked")
SAE_METRICS = (
    "mse",
    "r2",
    "l0",
    "l1",
    "energy",
    *(f"energy_share_{group}" for group in GROUPS),
    "energy_share_degenerate",
    "atoms_live",
    "atoms_bimodal",
    "p_acc",
    "rho",
    "fda",
    "transport_cost",
    "delta_r_at_1",
    *(f"recall_at_1_{form}" for form in FORMS),
    *(f"difference_in_mean_{form}" for form in FORMS),
)
SAE_TABLES = ("bridge_shares", "transport", "scores", "unimodal", "ranks")
FACTOR_METRICS = (
    *(f"coefficient_{kind}_{group}" for group in GROUPS for kind in KINDS),
    *(f"follows_{kind}_{group}" for group in GROUPS for kind in (*KINDS, NONE)),
)


@dataclass(frozen=True)
class SaeSettings:
    """How an SAE is measured.

    Attributes
    ----------
    tau : float
        Modality threshold, in (0, 0.5).
    probe : int
        Images, and texts, drawn for p_acc.
    gap : int
        Images, and texts, drawn for DiM.
    recall : int
        Pairs drawn for recall.
    """

    tau: float
    probe: int
    gap: int
    recall: int


def measure_sae(
    store: str | Path,
    weights: str | Path,
    codes: str | Path,
    folder: str | Path,
    atoms: str | Path,
    settings: SaeSettings,
    seed: int,
) -> None:
    """Measure one SAE on one store and write a file for each metric and table.

    Parameters
    ----------
    store : path
        Embedding store.
    weights : path
        ``sae.safetensors``.
    codes : path
        ``codes.json`` of this SAE and store.
    folder : path
        Where ``{metric}.json`` of ``SAE_METRICS`` and ``{table}.parquet`` of ``SAE_TABLES`` go.
    atoms : path
        Per-atom table to write: atom, energies, frequency, modality score, group, accuracy as a
        probe, and the coordinates on the three directions that tell the groups apart.
    settings : SaeSettings
    seed : int

    Raises
    ------
    InputError
        If the files do not belong together.
    TransportError
        If the transport plan of FDA is not shown to be optimal.
    """
    measured = open_measured(store, weights, codes)
    probes, drawn = _probes(measured, settings, seed)
    coordinates = _coordinates(measured, settings)
    solved, tau, told = _transport(measured), settings.tau, asdict(settings)
    write_table(atoms, _atoms_table(measured, settings, probes["code"], coordinates), told)
    tables = {
        "bridge_shares": bridge_shares_table(measured, tau),
        "transport": transport_table(measured, tau, coordinates, solved and solved.plan),
        "scores": scores_table(measured, tau),
        "unimodal": unimodal_table(measured, tau),
        "ranks": ranks_table(measured),
    }
    for name, table in tables.items():
        write_table(Path(folder) / f"{name}.parquet", table, told)
    metrics = (
        *_reconstruction_metrics(measured),
        *_energy_metrics(measured, settings),
        *_probing_metrics(measured, settings, probes, drawn, seed),
        *_bridge_metrics(measured, settings, solved),
        *_masking_metrics(measured, settings, seed),
    )
    write_metrics(folder, metrics, SAE_METRICS, f"{__name__}.SAE_METRICS", told)


def _reconstruction_metrics(measured: Measured) -> Iterator[Metric]:
    n = {"pairs": len(measured.store)}
    zero = measured.zero_share()
    both = list(measured.sides())
    errors = [reconstruction_errors(rows, codes, measured.dictionary) for rows, codes in both]
    explained = [side.r_squared() for side in errors]
    values = {
        "mse": {"code": float(np.mean([side.mean_squared() for side in errors]))},
        "r2": {name: float(np.mean([side[name] for side in explained])) for name in explained[0]},
        "l0": {"code": float(np.mean([l0(codes) for _, codes in both]))},
        "l1": {"code": float(np.mean([l1(codes) for _, codes in both]))},
    }
    for name, told in values.items():
        yield Metric(name, told, n, note=unexplained(told), zero_share=zero)


def _energy_metrics(measured: Measured, settings: SaeSettings) -> Iterator[Metric]:
    energies = measured.energies
    n = {"pairs": len(measured.store), "atoms": measured.codes.n_atoms}
    yield Metric("energy", {"code": float(energies.both.sum())}, n)
    for group, share in energies.shares(settings.tau).items():
        yield _share_metric(group, share, n)
    always = energies.frequency > DEGENERATE_FREQUENCY
    yield _share_metric("degenerate", energies.share(always), n)
    yield Metric("atoms_live", {"code": float(energies.live.sum())}, n)
    bimodal = energies.groups(settings.tau) == "bimodal"
    yield Metric("atoms_bimodal", {"code": float(bimodal.sum())}, n)


def _share_metric(of: str, share: float, n: Mapping[str, int]) -> Metric:
    value = {"code": share}
    return Metric(f"energy_share_{of}", value, n, note=why_not_finite(value, "no atom has energy"))


def _probes(
    measured: Measured, settings: SaeSettings, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Accuracy of each atom at telling images from texts under each protocol; sample sizes."""
    rng = generator(seed, "probe")
    store = measured.store
    image = store.image[draw_rows(len(store), settings.probe, rng)]
    text = store.text[draw_rows(len(store), settings.probe, rng)]
    centres = {
        "code": energy_weighted_mean_atom(measured.dictionary, measured.energies.both),
        "paper": np.concatenate([image, text]).mean(axis=0),
    }
    accuracies = probe_accuracies(measured.dictionary, image, text, np.array([*centres.values()]))
    return dict(zip(centres, accuracies, strict=True)), {"images": len(image), "texts": len(text)}


def _probing_metrics(
    measured: Measured,
    settings: SaeSettings,
    probes: Mapping[str, np.ndarray],
    drawn: Mapping[str, int],
    seed: int,
) -> Iterator[Metric]:
    energy, group = measured.energies.both, measured.energies.groups(settings.tau)
    values = {
        protocol: probing_accuracy(accuracies, energy, group, protocol)
        for protocol, accuracies in probes.items()
    }
    note = why_not_finite(values, "no atom is live")
    yield Metric("p_acc", values, drawn, seed=seed, note=note)


def _transport(measured: Measured) -> Transport | None:
    """The transport of atoms; None where a modality has no live atom."""
    if not measured.energies.transportable:
        return None
    return transport_atoms(measured.energies, measured.dictionary)


def _bridge_metrics(
    measured: Measured, settings: SaeSettings, solved: Transport | None
) -> Iterator[Metric]:
    energies = measured.energies
    n = {"pairs": len(measured.store), "atoms": measured.codes.n_atoms}
    bimodal = energies.groups(settings.tau) == "bimodal"
    rho = functional_alignment(measured.covariance, measured.cosines, bimodal)
    yield Metric("rho", rho, n, note=why_not_finite(rho, NO_BRIDGE, ALL_BIMODAL))
    if solved is None:
        note = "a modality has no live atom"
        yield Metric("fda", dict.fromkeys(("code", "paper"), float("nan")), n, note=note)
        yield Metric("transport_cost", {"code": float("nan")}, n, note=note)
        return
    note = f"relative duality gap {max(solved.gap, 0):.1e}"
    values = distributional_agreement(solved.plan, measured.cosines, energies, settings.tau)
    undefined = why_undefined(energies, settings.tau)
    reasons = why_not_finite(values, undefined, ALL_BIMODAL)
    yield Metric("fda", values, n, note=reasons or note)
    yield Metric("transport_cost", {"code": solved.cost}, n, note=note)


def _masking_metrics(measured: Measured, settings: SaeSettings, seed: int) -> Iterator[Metric]:
    """Recall and gap of reconstructions, with all atoms and with the bimodal ones alone."""
    n = len(measured.store)
    kept = measured.energies.groups(settings.tau) == "bimodal"
    rng = generator(seed, "gap")
    image_rows, text_rows = (draw_rows(n, settings.gap, rng) for _ in range(2))
    recall, drawn, zero = {}, {"pairs": min(n, settings.recall)}, {}
    for form, mask in zip(FORMS, (None, kept), strict=True):
        image, text = (
            Reconstructions(codes, measured.dictionary, mask) for _, codes in measured.sides()
        )
        # The same batches for both forms, so that their difference is not one of batches.
        found = recall_at(image, text, (1,), generator(seed, "recall"), most=settings.recall)
        recall[form] = found[1]
        zero = measured.zero_share(mask)
        told = {"seed": seed, "zero_share": zero}
        yield Metric(f"recall_at_1_{form}", {"code": recall[form]}, drawn, **told, note=TIES)
        gap = difference_in_mean(image[image_rows], text[text_rows])
        size = {"images": len(image_rows), "texts": len(text_rows)}
        yield Metric(f"difference_in_mean_{form}", {"code": gap}, size, **told)
    lost = recall["reconstruction"] - recall["masked"]
    # Of both forms the one with more codes without an entry.
    yield Metric("delta_r_at_1", {"code": lost}, drawn, seed=seed, note=TIES, zero_share=zero)


def _coordinates(measured: Measured, settings: SaeSettings) -> dict[str, np.ndarray]:
    """Inner products of the atoms with the directions that tell each group from the rest."""
    energies = measured.energies
    directions = modality_directions(
        measured.dictionary, energies.both, energies.groups(settings.tau)
    )
    return {f"along_{name}": measured.dictionary @ d for name, d in directions.items()}


def _atoms_table(
    measured: Measured,
    settings: SaeSettings,
    accuracies: np.ndarray,
    coordinates: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    import pandas as pd

    energies = measured.energies
    group = energies.groups(settings.tau)
    return pd.DataFrame(
        {
            "atom": np.arange(len(group)),
            "energy_image": energies.image,
            "energy_text": energies.text,
            "energy": energies.both,
            "frequency": energies.frequency,
            "modality_score": energies.modality_score,
            "group": group,
            "accuracy": own_accuracies(accuracies, group),
            **coordinates,
        }
    )


def measure_factors(
    store: str | Path,
    weights: str | Path,
    codes: str | Path,
    folder: str | Path,
    atoms: str | Path,
    tau: float,
) -> None:
    """Measure which known factors the atoms follow; write ``FACTOR_METRICS``.

    Parameters
    ----------
    store, weights, codes, folder : path
        As :func:`measure_sae`.
    atoms : path
        Per-atom table to write: group, best factor, its kind and coefficient, and the coefficient
        of every factor.
    tau : float
        Modality threshold.

    Raises
    ------
    InputError
        If the store's metadata has no known factors.
    """
    import pandas as pd

    measured = open_measured(store, weights, codes)
    metadata = measured.store.metadata()
    names = [name for name in BY_NAME if FACTOR_PREFIX + name in metadata]
    if not names:
        raise InputError(f"{store} has no known factors; only rendered scenes do")
    alignment = factor_alignment(
        measured.codes.image,
        measured.codes.text,
        {name: metadata[FACTOR_PREFIX + name].to_numpy(dtype=str) for name in names},
        {name: BY_NAME[name].kind for name in names},
        measured.energies,
    )
    best, coefficient = alignment.best()
    settings = {"tau": tau}
    write_table(
        atoms,
        pd.DataFrame(
            {
                "atom": np.arange(len(best)),
                "group": measured.energies.groups(tau),
                "energy": measured.energies.both,
                "best_factor": np.array(alignment.names)[best],
                "followed": alignment.followed_kind(),
                "coefficient": coefficient,
                **{
                    FACTOR_PREFIX + name: alignment.coefficients[:, i]
                    for i, name in enumerate(alignment.names)
                },
            }
        ),
        settings,
    )
    n = {"pairs": len(measured.store), "atoms": len(best)}
    told = {
        "coefficient": group_coefficients(alignment, measured.energies, tau),
        "follows": followed_shares(alignment, measured.energies, tau),
    }
    metrics = (
        _factor_metric(f"{name}_{kind}_{group}", value, n)
        for name, groups in told.items()
        for group, values in groups.items()
        for kind, value in values.items()
    )
    write_metrics(folder, metrics, FACTOR_METRICS, f"{__name__}.FACTOR_METRICS", settings)


def _factor_metric(name: str, value: float, n: Mapping[str, int]) -> Metric:
    note = why_not_finite({"here": value}, "the group has no energy")
    return Metric(name, {"here": value}, n, protocol="here", note=note)
