"""What a run has: its config, the rows of the registries, and what follows from both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from isoenergy.adoption import STORE
from isoenergy.schema import without

# The toy experiments of Table 5, keys of the block `toy`.
EXPERIMENTS = ("toy-1", "toy-2")
LOCAL = "local"
# The sources of data sets whose pictures are fetched from a list: of the hub's, or of its own.
LINKS, EDITS = "links", "fashioniq"
# The source of data sets that are downloaded whole.
COCO = "coco"
# The beta of an SAE whose beta the sweep selects.
AUTO = "auto"
# What a target may need of a config, for messages.
NEEDS = {
    "pairs": "a data set",
    "factors": "known factors, which only rendered scenes have",
    "comparison": "a list of SAEs of its name under comparisons",
    "sweep": "a beta_sweep",
    "toy": "a block toy that is not null",
    "transfer": "a data set under datasets.transfer, or with store=FOLDER a second one, "
    "test_store=OTHER",
    "classes": "a data set under datasets.classes",
    "edits": "a data set under datasets.edits",
    "captions": "captions, which a store has in a column caption of its metadata",
    "pictures": "data sets with pictures, which a store has none of",
    "nothing": "nothing",
}


@dataclass(frozen=True)
class Run:
    """A checked config with the registry rows it uses.

    Attributes
    ----------
    config : dict
        As the config schema has it.
    source : str
        Where the config is from, for messages.
    sparing : frozenset of str
        Keys of the config that no file depends on, with dots: nothing is made again for them.
    models, datasets, downloads, saes, targets, toy_search, paper_values, claims : dict of dicts
        All rows of the registries, by name.
    """

    config: Mapping[str, Any]
    source: str
    sparing: frozenset[str]
    models: Mapping[str, Mapping[str, Any]]
    datasets: Mapping[str, Mapping[str, Any]]
    downloads: Mapping[str, Mapping[str, Any]]
    saes: Mapping[str, Mapping[str, Any]]
    targets: Mapping[str, Mapping[str, Any]]
    toy_search: Mapping[str, Mapping[str, Any]]
    paper_values: Mapping[str, Mapping[str, Any]]
    claims: Mapping[str, Mapping[str, Any]]

    @property
    def results(self) -> str:
        """Folder of everything computed."""
        return self.config["results"]

    @cached_property
    def remaking(self) -> dict[str, Any]:
        """The config without the keys that no file depends on."""
        return without(self.config, self.sparing)

    @property
    def train(self) -> str:
        """The data set that SAEs are trained and measured on."""
        return self.config["datasets"]["train"]

    def measured(self) -> list[str]:
        """Data sets whose raw embeddings are measured, in the order of Table 6."""
        parts = self.config["datasets"]
        return [self.train, *parts["transfer"], *filter(None, [parts["classes"]])]

    def drawn(self) -> list[str]:
        """Every data set of the run that the data stage makes."""
        parts, training = self.config["datasets"], self.config["encoder_training"]
        names = [*self.measured(), parts["classes_train"], parts["edits"]]
        names += [training["dataset"]] if training and self.local_models() else []
        return [name for name in dict.fromkeys(filter(None, names)) if not self.adopted(name)]

    def adopted(self, dataset: str) -> bool:
        """Whether a data set is a store made elsewhere."""
        return self.datasets[dataset]["source"] == STORE

    def reads_folder(self, dataset: str) -> bool:
        """Whether a data set is read from files: of a folder of this machine, or downloaded."""
        made = self.datasets[dataset]["source"] in ("scenes", STORE)
        return not made and not self.is_fetched(dataset)

    def is_fetched(self, dataset: str) -> bool:
        """Whether the pictures of a data set are fetched from a list of links."""
        listed = self.datasets[dataset]["source"] in (LINKS, EDITS)
        return listed and dataset not in self.config["folders"]

    def lists_edits(self, dataset: str) -> bool:
        """Whether a data set that is fetched has source, target and relative captions."""
        return self.is_fetched(dataset) and self.datasets[dataset]["source"] == EDITS

    def published(self, dataset: str) -> list[str]:
        """Rows of ``downloads.tsv`` that a data set without a folder is made of."""
        own = self.datasets[dataset]
        return [
            name
            for name, row in self.downloads.items()
            if row["source"] == own["source"] and row["split"] in (None, own["split"])
        ]

    def links(self, dataset: str) -> int | None:
        """How many links are asked of a data set that is fetched; of edits at most so many."""
        asked, every = self.config["rows"].get(dataset), self.datasets[dataset]["rows"]
        if asked and self.lists_edits(dataset):
            # Captions drawn at random may all be of different pairs of pictures.
            return min(2 * asked, every or 2 * asked)
        return asked or every

    def ranges(self, dataset: str) -> list[str]:
        """Names of the ranges of links of a data set that is fetched, one job each."""
        count = math.ceil(self.links(dataset) / self.config["download"]["range"])
        return [f"{part:05d}" for part in range(count)]

    def pictures(self, dataset: str) -> int:
        """About how many pictures a data set has that is not a store; 0 if nothing says."""
        row = self.datasets[dataset]
        rows = self.config["rows"].get(dataset) or row.get("rows") or 0
        return math.ceil(rows / (row.get("captions") or 1))

    def embedding_ranges(self, dataset: str) -> list[str]:
        """Names of the ranges of pictures of a data set that are embedded by a job each.

        They are planned before the data are there; the last takes all that is left.
        """
        size = self.config["embed"]["range"]
        count = math.ceil(self.pictures(dataset) / size) if size else 1
        return [f"{number:05d}" for number in range(max(count, 1))]

    def is_scattered(self, dataset: str) -> bool:
        """Whether a data set is embedded by several jobs."""
        return not self.adopted(dataset) and len(self.embedding_ranges(dataset)) > 1

    def pictured(self) -> list[str]:
        """Measured data sets that come with pictures."""
        return [name for name in self.measured() if not self.adopted(name)]

    def further_stores(self) -> list[str]:
        """Stores made elsewhere that no SAE is trained on."""
        return [name for name in self.config["datasets"]["transfer"] if self.adopted(name)]

    def gallery_model(self) -> str:
        """The model whose atoms are shown: the first SigLIP as in the paper, else the last one."""
        models = self.config["models"]
        families = ("siglip", "siglip2")
        siglip = [name for name in models if self.models[name].get("family") in families]
        return (siglip or models[-1:])[0]

    def local_models(self) -> list[str]:
        """Models of the run that are trained here."""
        return [name for name in self.config["models"] if self.is_local(name)]

    def is_local(self, model: str) -> bool:
        """Whether a model is trained here."""
        return self.models[model]["checkpoint"] == LOCAL

    def sae_sizes(self, sae: str) -> tuple[int, int]:
        """Expansion and l0 of an SAE."""
        row, default = self.saes[sae], self.config["sae"]
        return row["expansion"] or default["expansion"], row["l0"] or default["l0"]

    def alignment(self, sae: str) -> str | None:
        """The alignment loss of an SAE, None for a plain one."""
        name = self.saes[sae]["alignment"]
        return None if name == "none" else name

    def aligned(self) -> list[str]:
        """SAEs of the run that are trained with an alignment loss; all of them if none is."""
        saes = self.config["saes"]
        return [sae for sae in saes if self.alignment(sae) is not None] or list(saes)

    def comparisons(self) -> dict[str, list[str]]:
        """SAEs of every table that compares many on the first model."""
        return {table: saes for table, saes in self.config["comparisons"].items() if saes}

    def trained(self) -> list[tuple[str, str]]:
        """Models with the SAEs trained on them; comparisons are made on the first model."""
        pairs = [(model, sae) for model in self.config["models"] for sae in self.config["saes"]]
        first = self.config["models"][0]
        pairs += [(first, sae) for saes in self.comparisons().values() for sae in saes]
        return list(dict.fromkeys(pairs))

    def beta(self, model: str, sae: str) -> float | None:
        """Weight of the alignment term of an SAE on a model; None where the sweep selects it."""
        told = self.saes[sae]["beta"]
        if told == "model":
            default = self.config["sae"]["beta"]
            told = self.models[model]["beta"] if default is None else default
        return None if told == AUTO else float(told)

    def sweep_betas(self) -> list[str]:
        """Betas of the sweep as they stand in paths: 0, the base, then ascending."""
        sweep = self.config["beta_sweep"]
        low, high = math.log10(sweep["low"]), math.log10(sweep["high"])
        step = (high - low) / (sweep["count"] - 1)
        return ["0", *(f"{10 ** (low + i * step):.3e}" for i in range(sweep["count"]))]

    def swept(self) -> list[str]:
        """Models that a sweep is made on: the first, and those with an SAE of ``auto`` beta."""
        if self.config["beta_sweep"] is None:
            return []
        selected = [model for model, sae in self.trained() if self.beta(model, sae) is None]
        return list(dict.fromkeys([self.config["models"][0], *selected]))

    def available(self, target: str) -> bool:
        """Whether the config has what a target needs."""
        needs = self.targets[target]["needs"]
        if needs == "factors":
            return self.datasets[self.train]["source"] == "scenes"
        if needs == "sweep":
            return self.config["beta_sweep"] is not None
        if needs == "toy":
            return self.config["toy"] is not None
        if needs == "captions":
            return self.datasets[self.train].get("has_captions", True)
        if needs == "pictures":
            return bool(self.pictured())
        if needs in ("transfer", "classes", "edits"):
            return bool(self.config["datasets"][needs])
        return needs != "comparison" or target in self.comparisons()

    def toys(self) -> list[str]:
        """The toy experiments of the run."""
        return list(EXPERIMENTS) if self.config["toy"] else []

    def toy_setting(self, toy: str) -> dict[str, float]:
        """What the pairs of a toy experiment are drawn from: the fields of ``ToySetting``."""
        block = self.config["toy"]
        own = {key: block[toy][key] for key in ("k", "active", "tau_1", "tau_2")}
        return {"dim": block["dim"], **own}

    def targets_of(self, kind: str) -> list[str]:
        """Available targets of a kind, in the order of the registry."""
        return [
            name
            for name, row in self.targets.items()
            if row["kind"] == kind and self.available(name)
        ]
