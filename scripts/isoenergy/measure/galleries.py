"""What single atoms respond to: their strongest images and texts (paper Figs 18-22, SPEC 6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.data.plain import plain_text
from isoenergy.data.thumbnails import CAPTION_LIMIT, SHOWN_PAIRS, Thumbnail, thumbnails
from isoenergy.errors import InputError
from isoenergy.files import read_parquet
from isoenergy.measure.energy import DEGENERATE_FREQUENCY
from isoenergy.measure.opened import open_coded
from isoenergy.measure.record import settings_of, write_table

if TYPE_CHECKING:
    import pandas as pd

# Activations up to this do not count (SPEC 6.2).
FLOOR = 1e-4
# Images, and texts, of an atom.
STRONGEST = 10
# Atoms of one gallery.
ATOMS = 4
# Weak bimodal atoms: from this quantile of energy on.
WEAK_QUANTILE = 0.1
# One table each, for Figures 18 to 22.
GALLERIES = (
    "gallery_bimodal",
    "gallery_image",
    "gallery_image_more",
    "gallery_text",
    "gallery_text_more",
)
COLUMNS = (
    "place",
    "which",
    "atom",
    "side",
    "active",
    "pairs",
    "mean_activation",
    "rank",
    "row",
    "id",
    "activation",
    "caption",
    "picture",
    "problem",
)
# Said of every image of a store that came without pictures.
NO_PICTURES = Thumbnail(None, "none: the data set has no pictures")
# Pixels: a picture is drawn 0.6 inches wide, at 200 dots per inch.
_SIDE = 128
# Columns of metadata that name the picture of a row: ours, and that of clip-retrieval.
_PICTURE_COLUMNS = ("image", "image_path")


def measure_galleries(
    store: str | Path,
    codes: str | Path,
    atoms: str | Path,
    folder: str | Path,
    blur: bool,
    images: str | Path | None = None,
) -> None:
    """Find what some atoms of an SAE respond to most; write a table for each gallery.

    Parameters
    ----------
    store : path
        Embedding store; its metadata has captions.
    codes : path
        ``codes.json`` of an SAE and this store.
    atoms : path
        ``atoms.parquet`` of that SAE.
    folder : path
        Where ``{gallery}.parquet`` of ``GALLERIES`` go: a row per image or text of an atom, with
        ``COLUMNS``. ``active`` counts the images, or texts, in which the atom is active, of the
        first ``pairs``; ``mean_activation`` is the mean over those in the table.
    blur : bool
        Store pictures of at most 6 x 6 blocks.
    images : path, optional
        Folder of picture shards; a store made elsewhere has none, and shows captions alone.

    Raises
    ------
    InputError
        If the files do not belong together, or the metadata has no captions.
    """
    opened, read = open_coded(store, codes, check_values=False)
    metadata = opened.metadata()
    if "caption" not in metadata:
        raise InputError(f"{store}: metadata has no column caption; galleries show captions")
    table = read_parquet(atoms)
    if len(table) != read.n_atoms:
        raise InputError(f"{codes} and {atoms} have different atoms; delete {atoms} and run again")
    pairs = min(len(opened), SHOWN_PAIRS)
    found = metadata.iloc[:pairs]
    captions = [plain_text(text, CAPTION_LIMIT) for text in found["caption"]]
    named = next((name for name in _PICTURE_COLUMNS if name in found), "id")
    keys = found[named].astype(str).tolist()
    sides = {"image": (read.image[:pairs], keys), "text": (read.text[:pairs], captions)}
    counts = {side: active_counts(matrix) for side, (matrix, _) in sides.items()}
    parts = []
    for gallery, chosen in choose_gallery_atoms(table, counts["image"], counts["text"]).items():
        for place, (which, atom) in enumerate(chosen):
            for side, (matrix, same) in sides.items():
                rows, activations = strongest(matrix, atom, same)
                told = {"gallery": gallery, "place": place, "which": which, "atom": atom}
                told |= {"side": side, "active": counts[side][atom], "pairs": pairs}
                told |= {"mean_activation": activations.mean() if len(rows) else np.nan}
                told |= {"rank": np.arange(1, len(rows) + 1), "row": rows}
                told |= {"id": found["id"].iloc[rows].to_numpy(), "activation": activations}
                parts.append(told | {"caption": [captions[row] for row in rows]})
    # What the atoms' groups depend on.
    _write_galleries(folder, parts, keys, images, blur, settings_of(table))


def _write_galleries(
    folder: str | Path,
    parts: list[Mapping],
    keys: list[str],
    images: str | Path | None,
    blur: bool,
    settings: Mapping[str, Any],
) -> None:
    """Add the pictures, each read once, and write every gallery, empty ones as well."""
    import pandas as pd

    shown = {keys[row] for part in parts if part["side"] == "image" for row in part["row"]}
    small = dict.fromkeys(shown, NO_PICTURES)
    if images is not None:
        small = thumbnails(images, shown, _SIDE, blur)
    for gallery in GALLERIES:
        tables = [pd.DataFrame(columns=list(COLUMNS))]
        for part in (part for part in parts if part["gallery"] == gallery):
            empty = [Thumbnail(None, "")] * len(part["row"])
            own = [small[keys[row]] for row in part["row"]] if part["side"] == "image" else empty
            pictures = {"picture": [t.png for t in own], "problem": [t.problem for t in own]}
            tables.append(pd.DataFrame({**part, **pictures})[list(COLUMNS)])
        filled = [table for table in tables if len(table)] or tables[:1]
        found = pd.concat(filled, ignore_index=True)
        write_table(Path(folder) / f"{gallery}.parquet", found, settings)


def active_counts(codes: csr_matrix) -> np.ndarray:
    """In how many rows each atom's activation is above ``FLOOR``, shape (K,)."""
    active = codes.indices[codes.data > FLOOR]
    return np.bincount(active, minlength=codes.shape[1])


def choose_gallery_atoms(
    atoms: pd.DataFrame, images: np.ndarray, texts: np.ndarray
) -> dict[str, list[tuple[str, int]]]:
    """Which atoms each gallery shows.

    Parameters
    ----------
    atoms : DataFrame
        A row per atom: ``atom``, ``energy``, ``frequency``, ``group``.
    images, texts : ndarray of shape (K,)
        In how many of the images, and texts, looked at the atom is active.

    Returns
    -------
    dict of str to list of (str, int)
        For each of ``GALLERIES`` up to four atoms with a word on which they are, by falling
        energy; atoms that are nearly always on (frequency above 0.9) are left out.
        ``gallery_bimodal`` has two of ``"high energy"``, the strongest bimodal ones, and two of
        ``"low energy"``: the weakest from the 10th percentile of energy on, among the other
        bimodal atoms that are active in at least ten images and ten texts. The others have the
        strongest image or text atoms, then the next ones (``_more``).
    """
    usable = atoms[(atoms["frequency"] <= DEGENERATE_FREQUENCY) & (atoms["group"] != "dead")]
    usable = usable.sort_values(["energy", "atom"], ascending=[False, True])
    ordered = {name: own["atom"].to_numpy() for name, own in usable.groupby("group")}
    nothing = np.empty(0, dtype=int)
    bimodal = ordered.get("bimodal", nothing)
    half = ATOMS // 2
    others = bimodal[half:]
    others = others[np.minimum(images[others], texts[others]) >= STRONGEST]
    # From the weakest upwards: the two that begin at the quantile.
    start = int(WEAK_QUANTILE * max(len(others) - half, 0))
    weak = others[::-1][start : start + half][::-1]
    told = [("high energy", int(atom)) for atom in bimodal[:half]]
    galleries = {"gallery_bimodal": told + [("low energy", int(atom)) for atom in weak]}
    for side, active in (("image", images), ("text", texts)):
        own = ordered.get(side, nothing)
        told = [("", int(atom)) for atom in own[active[own] > 0][: 2 * ATOMS]]
        galleries |= {f"gallery_{side}": told[:ATOMS], f"gallery_{side}_more": told[ATOMS:]}
    return galleries


def strongest(codes: csr_matrix, atom: int, same: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The rows in which an atom is most active.

    Parameters
    ----------
    codes : csr_matrix of shape (n, K)
    atom : int
    same : list of str, of length n
        What each row shows; of rows that show the same, the one of highest activation counts.

    Returns
    -------
    rows : ndarray of shape (at most 10,), int
        By falling activation, the first row of equals first; none is at or below ``FLOOR``.
    activations : ndarray of the same shape
    """
    entries = np.flatnonzero((codes.indices == atom) & (codes.data > FLOOR))
    rows = np.searchsorted(codes.indptr, entries, side="right") - 1
    values = codes.data[entries]
    order = np.lexsort((rows, -values))
    kept: dict[str, int] = {}
    for i in order:
        kept.setdefault(same[rows[i]], int(i))
        if len(kept) == STRONGEST:
            break
    chosen = np.array(list(kept.values()), dtype=int)
    return rows[chosen], values[chosen]
