"""Small tables as the measure stage writes them, and figures drawn of them."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.collections import PolyCollection
from matplotlib.text import Text

from isoenergy.data.shards import encode_png
from isoenergy.files import write_parquet
from isoenergy.measure.bridge_shares import PAIRS, THRESHOLDS
from isoenergy.measure.composed import QUERIES
from isoenergy.measure.galleries import GALLERIES
from isoenergy.measure.geometry import COSINE_KINDS
from isoenergy.measure.intervened import FORMS
from isoenergy.measure.metric import Metric, write_metric
from isoenergy.measure.ranks import moving_average
from isoenergy.measure.removal import QUERIES as RANKING_QUERIES
from isoenergy.measure.removal import REMOVALS
from isoenergy.render.figures import FIGURES, gather_figure
from isoenergy.toy.sketch import SKETCHES

OF_SAES = {
    "saes": ("SAE", "SAE-A"),
    "aligned": ("SAE-A",),
    "embeddings": ("",),
    "sweep": ("",),
    "toy": ("",),
    "interventions": ("SAE-A",),
    "composed": ("SAE-A",),
    "ranking": ("SAE-A",),
    "gallery": ("SAE-A",),
    "examples": ("",),
    "edits": ("",),
    "sketch": ("",),
    "schematic": ("",),
}
# What a data set from the web may hold: maths, other directions of writing, no spaces, nothing.
CAPTIONS = (
    "a photo of a red circle",
    r"only $5 or $\frac{1}{0}$ & <b>50%</b> off_ {now} ^^",
    "W" * 200,
    "مرحبا بالعالم שלום 你好 🦊",
    "there is a large striped blue star at the top left and the background is navy , " * 3,
    "",
)


def atoms_table(rng, n=80):
    """Atoms of all groups; some dead, one for each modality with no energy in the other."""
    image, text = 10.0 ** rng.uniform(-6, -2, (2, n))
    image[:10] *= 1e-2
    text[10:20] *= 1e-2
    image[0] = text[10] = 0
    image[-5:] = text[-5:] = 0
    total = image + text
    score = np.divide(image, total, out=np.full(n, -1.0), where=total > 0)
    group = np.select([score < 0, score < 0.05, score > 0.95], ["dead", "text", "image"], "bimodal")
    return pd.DataFrame(
        {
            "atom": np.arange(n),
            "energy_image": image,
            "energy_text": text,
            "energy": total / 2,
            "frequency": rng.uniform(0, 1, n),
            "modality_score": score,
            "group": group,
            "accuracy": rng.uniform(0, 1, n),
            **{f"along_{name}": rng.normal(0, 0.2, n) for name in ("image", "bimodal", "text")},
        }
    )


def bridge_shares_table(rng):
    shares = rng.dirichlet(np.ones(len(PAIRS)), len(THRESHOLDS))
    return pd.DataFrame(
        {
            "threshold": np.repeat(THRESHOLDS, len(PAIRS)),
            "pair": np.tile(PAIRS, len(THRESHOLDS)),
            "share": shares.ravel(),
            "tau": 0.05,
        }
    )


def transport_table(rng):
    atoms = atoms_table(rng)
    own = ["modality_score", "along_image", "along_bimodal", "along_text"]
    moved = atoms[own].sample(frac=1, random_state=0).reset_index(drop=True)
    moved["modality_score"] = moved["modality_score"].clip(lower=0)
    moved[atoms["energy_image"] == 0] = np.nan
    return atoms[["atom", "energy_image", "energy_text", "group", *own]].join(
        moved.add_prefix("target_")
    )


def scores_table(rng, bins=20):
    edges = np.linspace(-0.2, 0.5, bins + 1)
    atoms = {"high": (7, 0.1477), "low": (61, 8.1e-5)}
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "which": which,
                    "atom": atom,
                    "energy": energy,
                    "modality_score": 0.41,
                    "activity": 0.562,
                    "modality": modality,
                    "active": active,
                    "left": edges[:-1],
                    "right": edges[1:],
                    "count": rng.integers(0, 40 if active else 900, bins),
                }
            )
            for which, (atom, energy) in atoms.items()
            for modality in ("image", "text")
            for active in (True, False)
        ],
        ignore_index=True,
    )


def unimodal_table(rng):
    """Three text atoms and two image atoms of ``atoms_table``."""
    parts = []
    for side, atoms, strict in (("text", [2, 5, 3], True), ("image", [11, 14], False)):
        n = len(atoms)
        row, column = np.divmod(np.arange(n * n), n)
        cosines = rng.uniform(0.5, 1, (n, n))
        cosines = (cosines + cosines.T) / 2
        parts.append(
            pd.DataFrame(
                {
                    "side": side,
                    "strict": strict,
                    "row": row,
                    "column": column,
                    "row_atom": np.array(atoms)[row],
                    "column_atom": np.array(atoms)[column],
                    "cosine": cosines.ravel(),
                    "mean_cosine": cosines.mean(),
                    "frequency": 0.46,
                    "energy_share": 0.201,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def ranks_table(rng, n=70):
    energy = np.sort(10.0 ** rng.uniform(-6, -1, n))[::-1]
    energy[-4:] = 0
    frequency = rng.uniform(1e-3, 0.5, n)
    shown = {"energy": energy, "frequency": frequency, "magnitude": energy / frequency}
    return pd.DataFrame(
        {
            "rank": np.arange(1, n + 1),
            "atom": rng.permutation(n),
            **shown,
            **{f"{name}_smooth": moving_average(values) for name, values in shown.items()},
        }
    )


def pca_table(rng, n=60):
    xy = rng.normal(0, 0.1, (2 * n, 2)).astype(np.float32)
    xy[:n, 0] -= 0.4
    modality = np.repeat(["image", "text"], n)
    return pd.DataFrame({"modality": modality, "x": xy[:, 0], "y": xy[:, 1], "along": -xy[:, 0]})


def layout_table(rng, n=50):
    """Atoms in a plane, as many scores below 0.2 as above 0.8."""
    score = np.linspace(0, 1, n)
    places = rng.normal(3, 2, (2, n)).astype(np.float32)
    atoms = {"atom": rng.permutation(n), "energy": 10.0 ** rng.uniform(-6, -1.1, n)}
    return pd.DataFrame({**atoms, "modality_score": score, "x": places[0], "y": places[1]})


def cosines_table(rng, bins=9):
    edges = np.linspace(-0.3, 1, bins + 1)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "kind": kind,
                    "left": edges[:-1],
                    "right": edges[1:],
                    "density": rng.uniform(0, 9, bins),
                }
            )
            for kind in COSINE_KINDS
        ],
        ignore_index=True,
    )


def sweep_table(rng, bends=60):
    """A base and ten betas; R² falls and always-on atoms appear, as in the authors' sweep."""
    beta = np.array([0, *np.logspace(-5, -2, 10)])
    r2 = 0.85 - bends * beta
    degenerate = np.where(beta > 2e-4, np.linspace(0, 0.9, 11), 0)
    bimodal = rng.uniform(0.3, 0.6, 11) * (1 - degenerate)
    return pd.DataFrame(
        {
            "beta": beta,
            "mse": 1 - r2,
            "r2": r2,
            "share_degenerate": degenerate,
            "share_bimodal": bimodal,
            "selected_no_degenerate": np.arange(11) == 5,
            "selected_paper": np.arange(11) == 6,
        }
    )


def densities_table(rng, keys, columns, bins=50):
    """Histograms of distances on [0, 1], empty beyond 0.6."""
    edges = np.linspace(0, 1, bins + 1)
    parts = []
    for key in keys:
        density = np.where(edges[:-1] < 0.6, rng.uniform(0.1, 9, bins), 0.0)
        told = dict(zip(columns, key, strict=True))
        parts.append(
            pd.DataFrame(told | {"left": edges[:-1], "right": edges[1:], "density": density})
        )
    return pd.concat(parts, ignore_index=True)


def neighbours_table(rng):
    """Of images and texts after every intervention, and of every query: figures take either."""
    forms = [(form, modality, "") for form in FORMS for modality in ("image", "text")]
    queries = [("", "", query) for query in ("target", *QUERIES)]
    return densities_table(rng, [*forms, *queries], ("form", "modality", "query"))


def margins_table(rng, n=40):
    """Pairs of candidates of every removal and modality of the query; some flip."""
    parts = []
    for removal in REMOVALS:
        for query in RANKING_QUERIES:
            before, change = rng.uniform(0, 0.6, n), rng.uniform(-0.5, 0.3, n)
            flipped = before + change < 0
            told = {"removal": removal, "query": query, "before": before, "change": change}
            parts.append(pd.DataFrame({**told, "flipped": flipped, "foretold": flipped}))
    return pd.concat(parts, ignore_index=True)


def spreads_table(rng, n=30):
    """A row per query; the first of each has no pair that flips."""
    parts = []
    for removal in REMOVALS:
        for query in RANKING_QUERIES:
            spread = rng.uniform(0.1, 0.8, n)
            largest = spread * rng.uniform(0.2, 1, n)
            largest[0] = np.nan
            told = {"removal": removal, "query": query, "spread": spread}
            parts.append(pd.DataFrame({**told, "largest_flip": largest}))
    return pd.concat(parts, ignore_index=True)


def sketch_table(rng, n=12):
    parts = [
        {"form": form, "modality": modality, "cluster": np.repeat([0, 1], n // 2)}
        | dict(zip("xyz", rng.uniform(-0.5, 0.5, (3, n)), strict=True))
        for form in SKETCHES
        for modality in ("image", "text")
    ]
    return pd.concat(map(pd.DataFrame, parts), ignore_index=True)


def picture(rng, height=9, width=12):
    return encode_png(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def gallery_table(rng, atoms=(30, 41), n=10):
    """Images and texts of some atoms of ``atoms_table``; two pictures cannot be shown."""
    blocks = [(atom, side) for atom in atoms for side in ("image", "text")]
    parts = []
    for atom, side in blocks:
        activation = np.sort(rng.uniform(0.1, 12.5, n))[::-1]
        pictures = [picture(rng) for _ in range(n)] if side == "image" else [None] * n
        problems = [""] * n
        if side == "image":
            pictures[2:4], problems[2] = [None, b"no picture"], "missing: it is not there"
        told = {"place": atoms.index(atom), "which": "high energy", "atom": atom, "side": side}
        told |= {"active": 1234, "pairs": 12_000, "mean_activation": activation.mean()}
        told |= {"rank": np.arange(1, n + 1), "row": rng.permutation(n), "id": "a"}
        told |= {"activation": activation, "picture": pictures, "problem": problems}
        parts.append(pd.DataFrame(told | {"caption": np.resize(CAPTIONS, n)}))
    return pd.concat(parts, ignore_index=True)


def examples_table(rng, n=5):
    """Of edits as well: figures of other data sets take fewer columns."""
    captions = [*CAPTIONS[: n - 1], "same but blue\nis blue instead of red"]
    table = pd.DataFrame({"place": np.arange(n), "id": "a", "caption": captions})
    for prefix in ("", "source_"):
        problems = ["", "broken: it cannot be decoded", *[""] * (n - 2)]
        pictures = [None if problem else picture(rng) for problem in problems]
        table = table.assign(**{f"{prefix}picture": pictures, f"{prefix}problem": problems})
    return table


TABLES = {
    **dict.fromkeys(GALLERIES, gallery_table),
    "examples": examples_table,
    "atoms": atoms_table,
    "pca": pca_table,
    "pca_masked": pca_table,
    "layout": layout_table,
    "cosines": cosines_table,
    "bridge_shares": bridge_shares_table,
    "transport": transport_table,
    "scores": scores_table,
    "unimodal": unimodal_table,
    "ranks": ranks_table,
    "sweep": sweep_table,
    "neighbours": neighbours_table,
    "margins": margins_table,
    "spreads": spreads_table,
    "sketch": sketch_table,
}


def count_panels(figure, models):
    """Models drawn of so many; a toy experiment stands in for one and is not limited."""
    return models if figure.OF == "toy" else min(models, abs(figure.MODELS or models))


def make_sources(folder, target, models=1, change=lambda table: table, saes=None):
    """Sources of as many models and SAEs as the figure shows, its first table changed."""
    figure = FIGURES[target]
    folder.mkdir(parents=True, exist_ok=True)  # a schematic has no file
    sources = []
    for i in range(count_panels(figure, models)):
        for sae in OF_SAES[figure.OF][:saes]:
            place = folder / f"m{i}{sae}"
            source = {"model": f"m{i}"}
            if sae:
                source["sae"] = sae
            for name in figure.TABLES:
                table = TABLES[name](np.random.default_rng(len(sources)))
                source[name] = place / f"{name}.parquet"
                first = name == next(iter(figure.TABLES))
                write_parquet(source[name], change(table) if first else table)
            for j, name in enumerate(figure.METRICS):
                source[name] = path = place / f"{name}.json"
                value = {"code": 0.31 + 0.1 * i + 0.05 * j}
                write_metric(path.parent, Metric(path.stem, value, {"pairs": 9}))
            sources.append(source)
    return sources


def drawing(folder, target, models=1, change=lambda table: table, saes=None):
    sources = make_sources(folder, target, models, change, saes)
    data = gather_figure(target, sources)
    return data, FIGURES[target].draw(data)


def shown(figure):
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def hexbins(figure):
    return [c for ax in figure.findobj(matplotlib.axes.Axes) for c in ax.collections
            if type(c) is PolyCollection and c.get_array() is not None]  # fmt: skip
