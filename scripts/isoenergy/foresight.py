"""What can be known of a run before its first job, by its config and the headers of own stores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from isoenergy.embed.store import read_description
from isoenergy.errors import InputError
from isoenergy.estimate import shape_of
from isoenergy.memory import Memory, too_large
from isoenergy.run import Run
from isoenergy.system_errors import explain

# Fewer steps leave an SAE near where it started, and alignment without effect.
FEW_STEPS = 200


@dataclass(frozen=True)
class Looked:
    """An own store, looked at.

    Attributes
    ----------
    name : str
        Of the data set.
    state : str
        What it is, for a table.
    fault : str or None
        Why it cannot be used, a sentence.
    notes : tuple of str
        What its owner should know, a sentence each.
    """

    name: str
    state: str
    fault: str | None
    notes: tuple[str, ...]


def look_at_stores(run: Run, trains: bool) -> list[Looked]:
    """Every store of a run that was made elsewhere, by names, headers and the first rows of files.

    Parameters
    ----------
    run : Run
    trains : bool
        Whether SAEs are trained, which takes as many pairs as a batch has.
    """
    return [_look(run, name, trains) for name in run.measured() if run.adopted(name)]


def foresee(
    run: Run, stores: bool, saes: bool, toys: bool, memory: Memory
) -> tuple[list[str], list[str]]:
    """Faults that stop a run, and notes that do not, a sentence each.

    Parameters
    ----------
    run : Run
    stores, saes, toys : bool
        Whether something is made of its embeddings, of SAEs, of SAEs on toy data.
    memory : Memory
        What a job can have.
    """
    looked = look_at_stores(run, saes) if stores else []
    faults = [one.fault for one in looked if one.fault]
    notes = [note for one in looked for note in one.notes]
    if not faults and (told := too_large(run, saes, toys, memory)):
        faults.append(f"{told}, or pass --config preflight=false to start all the same")
    return faults, [*notes, *(training_notes(run) if saes else [])]


def training_notes(run: Run) -> list[str]:
    """What readers of a run's numbers should know of its training."""
    pairs = pairs_of(run)
    told = few_steps(run, pairs)
    return [f"{run.train}: {pairs:,} pairs make {told}"] if told else []


def store_notes(descriptions: Iterable[str | Path]) -> list[str]:
    """What was found doubtful in stores made elsewhere, by such ``store.json`` as there are."""
    paths = [Path(path) for path in descriptions]
    return [note for p in paths if p.exists() for note in read_description(p).get("notes", [])]


def pairs_of(run: Run, root: str | Path = ".") -> int:
    """Pairs that SAEs are trained on; of many at least as many as it takes, of unknown ones 0.

    Parameters
    ----------
    run : Run
    root : path
        Relative paths of the config start here.
    """
    from isoenergy.data.folder import count_rows

    name = run.train
    if run.adopted(name):
        try:
            return shape_of(run.datasets[name]["path"])[0]
        except InputError:
            return 0
    folder = run.config["folders"].get(name)
    enough = FEW_STEPS * run.config["sae_training"]["batch_size"]
    listed = count_rows(Path(root) / folder, enough) if folder is not None else None
    known = [run.config["rows"].get(name), listed or run.datasets[name]["rows"]]
    return min(filter(None, known), default=0)


def few_steps(run: Run, pairs: int) -> str | None:
    """A warning where so many pairs make few steps of training; 0 stands for unknown."""
    training = run.config["sae_training"]
    steps = training["epochs"] * -(-pairs // training["batch_size"])
    if steps >= FEW_STEPS or not pairs:
        return None
    return f"only {steps} steps of training, raise sae_training.epochs"


def too_few(run: Run, pairs: int) -> str | None:
    """A sentence where there are fewer pairs than a batch of training has; 0 stands for unknown."""
    batch = run.config["sae_training"]["batch_size"]
    if pairs >= batch or not pairs:
        return None
    return (
        f"has {pairs} pairs, and a step of training takes {batch}: lower sae_training.batch_size, "
        "or embed more pairs"
    )


def _look(run: Run, name: str, trains: bool) -> Looked:
    from isoenergy.embed.adopt import inspect_store

    folder = run.datasets[name]["path"]
    # Of the first store itself no other is asked.
    beside = None if name == run.train else run.datasets[run.train].get("path")
    try:
        inspected = inspect_store(folder, run.config["normalise"], beside)
    except InputError as error:
        return Looked(name, f"refused: {folder}", explain(error) or str(error), ())
    rows, dim = inspected.image.shape
    state, fault = f"{rows:,} rows of {dim} in {folder}", None
    if name == run.train and trains and (told := too_few(run, rows)):
        fault = f"{folder} {told}"
    return Looked(name, state, fault, inspected.notes)
