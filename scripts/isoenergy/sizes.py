"""How large a run is: its pairs and pictures, widths and atoms, and what they take on disk."""

from __future__ import annotations

from functools import cached_property

from isoenergy.demand import MB
from isoenergy.errors import InputError
from isoenergy.estimate import bytes_of_pictures, rows_of, shape_of
from isoenergy.run import Run

# Bytes of a row of metadata on disk, rounded up.
_METADATA_BYTES = 200


class Sizes:
    """Sizes in a run by names of models, SAEs and data sets, for those who count with them.

    Parameters
    ----------
    run : Run
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._config = run.config
        self._vector_bytes = 2 if run.config["embed"]["dtype"] == "float16" else 4

    @cached_property
    def _adopted(self) -> dict[str, tuple[int, int]]:
        """Rows and width of stores made elsewhere; nothing is known of one that is broken."""
        shapes = {}
        for name in self._run.measured():
            if self._run.adopted(name):
                try:
                    shapes[name] = shape_of(self._run.datasets[name]["path"])
                except InputError:
                    shapes[name] = (0, 0)
        return shapes

    def _pairs(self, dataset: str) -> int:
        if dataset in self._adopted:
            return self._adopted[dataset][0]
        return rows_of(self._run, dataset)[1]

    def _pictures(self, dataset: str) -> int:
        if dataset in self._adopted:
            return 0
        return rows_of(self._run, dataset)[0]

    def _dim(self, model: str) -> int:
        train = self._run.train
        return self._adopted[train][1] if train in self._adopted else self._run.models[model]["dim"]

    def _sizes(self, model: str, sae: str) -> tuple[int, int, int]:
        """Width, atoms and non-zeros of an SAE."""
        expansion, l0 = self._run.sae_sizes(sae)
        return self._dim(model), expansion * self._dim(model), l0

    @cached_property
    def _seeds(self) -> int:
        """How many seeds one job does its work for."""
        return len(self._config["seeds"]) if self._config["together"] else 1

    def _pictures_mb(self, dataset: str) -> float:
        return 0.0 if dataset in self._adopted else bytes_of_pictures(self._run, dataset) / MB

    def _store_mb(self, model: str, dataset: str) -> float:
        bytes_per_row = 2 * self._dim(model) * self._vector_bytes + _METADATA_BYTES
        return self._pairs(dataset) * bytes_per_row / MB

    def _codes_mb(self, model: str, sae: str, dataset: str) -> float:
        """Codes of every seed of a job, and the store that they are of."""
        codes = self._seeds * 2 * self._pairs(dataset) * 8 * (self._sizes(model, sae)[2] + 1) / MB
        return codes + self._store_mb(model, dataset)
