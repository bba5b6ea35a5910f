"""A run's config and registries, checked together before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from isoenergy.adoption import STORE, adopt_stores, name_stores, unknown_beside
from isoenergy.errors import InputError
from isoenergy.estimate import width_of
from isoenergy.paths import at_home, canonical, canonical_paths, is_folder
from isoenergy.run import COCO, EDITS, LOCAL, Run
from isoenergy.schema import check, choose, flagged, load_schema, read_registry
from isoenergy.toy.process import ToySetting

REGISTRIES = (
    "models",
    "datasets",
    "downloads",
    "saes",
    "targets",
    "toy_search",
    "paper_values",
    "claims",
)


# How null is written on the command line; ~ is the home directory.
_NULL = ("null", "Null", "NULL")


def load_run(config: Mapping[str, Any], source: str, root: str | Path) -> Run:
    """Check a config against its schema and the registries, and those against theirs.

    Parameters
    ----------
    config : mapping
    source : str
        File (and options) that the config is from, for messages.
    root : path
        The repository: its ``config/`` and ``workflow/schemas/`` are read.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        One sentence that names the file, the key, and what is allowed there.
    """
    root = Path(root)
    schemas = {
        name: load_schema(root / f"workflow/schemas/{name}.schema.yaml")
        for name in ("config", *REGISTRIES)
    }
    config = _typed(config, schemas["config"])
    check(config, schemas["config"], source)
    try:
        config = canonical_paths(config, schemas["config"])
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    rows = {name: read_registry(root / f"config/{name}.tsv", schemas[name]) for name in REGISTRIES}
    rows["models"] = {name: _placed(row) for name, row in rows["models"].items()}
    if config["store"] is not None:
        for problem in unknown_beside(config, rows["datasets"], rows["models"]):
            raise InputError(f"{source}: {problem}")
        config, stores = name_stores(config)
        rows["datasets"] = {**rows["datasets"], **stores}
    # Beside stores made elsewhere a model may have any name that paths can have.
    name = schemas["models"]["properties"]["model"]
    check({"models": config["models"]}, {"properties": {"models": {"items": name}}}, source)
    config, rows["datasets"], rows["models"] = adopt_stores(
        config, source, rows["datasets"], rows["models"]
    )
    sparing = flagged(schemas["config"], "x-remakes", False)
    run = Run(config=config, source=source, sparing=sparing, **rows)
    for problem in _problems(run):
        raise InputError(f"{source}: {problem}")
    return run


def _placed(model: dict[str, Any]) -> dict[str, Any]:
    """A row of ``models.tsv``, the folder of its checkpoint, if it is one, in its one spelling."""
    folder = model["checkpoint"]
    here = folder and is_folder(at_home(folder))
    return model | ({"checkpoint": canonical(folder)} if here else {})


def _typed(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The config in the schema's order, which jobs are told apart by, and as it is typed there.

    Values from the command line come as text; they are read as YAML.
    """

    def read(value: Any, described: Mapping[str, Any]) -> Any:
        if isinstance(value, Mapping):
            return _typed(value, described)
        if isinstance(value, list):
            return [read(inner, described.get("items", {})) for inner in value]
        types = described.get("type", "string")
        if "null" in types and value in _NULL:
            return None
        if not isinstance(value, str) or "string" in types:
            return value
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError:
            return value

    properties, further = schema.get("properties", {}), schema.get("additionalProperties")
    known = [key for key in properties if key in config]
    others = [key for key in config if key not in known]
    of_others = further if isinstance(further, Mapping) else {}
    return {key: read(config[key], properties.get(key, of_others)) for key in known + others}


def _problems(run: Run) -> Iterator[str]:
    """What is wrong across keys, a sentence each."""
    config = run.config
    parts = config["datasets"]
    if parts["train"] is None:
        yield (
            "key datasets.train is null and no store is given; name a data set or pass store=FOLDER"
        )
        return
    if config["test_store"] is not None and config["store"] is None:
        yield "key test_store is given without store; it is measured with SAEs trained on store"
    for key, kinds in (
        ("train", ("pairs",)),
        ("transfer", ("pairs",)),
        ("classes", ("classes",)),
        ("classes_train", ("classes",)),
        ("edits", ("edits",)),
    ):
        allowed = [name for name, row in run.datasets.items() if row["kind"] in kinds]
        names = parts[key] if isinstance(parts[key], list) else filter(None, [parts[key]])
        for name in names:
            if name not in allowed:
                yield f"key datasets.{key} names {name}; {choose(name, allowed)}"
    for key, table in (("models", run.models), ("saes", run.saes)):
        for name in config[key]:
            if name not in table:
                yield f"key {key} names {name}; {choose(name, list(table))} (config/{key}.tsv)"
    for table, saes in run.comparisons().items():
        for name in saes:
            if name not in run.saes:
                told = choose(name, list(run.saes))
                yield f"key comparisons.{table} names {name}; {told} (config/saes.tsv)"
    for key, names in (
        ("rows", config["rows"]),
        ("folders", config["folders"]),
        ("download.lists", config["download"]["lists"]),
    ):
        for name in names:
            if name not in run.datasets:
                yield f"unknown key {key}.{name}; {choose(name, list(run.datasets))}"
    if parts["classes"] and not parts["classes_train"]:
        yield "key datasets.classes_train is null; datasets.classes needs it for the classifier"
    embed = config["embed"]
    if embed["range"] and embed["range"] % embed["part"]:
        yield (
            f"key embed.range is {embed['range']} and embed.part is {embed['part']}; a job embeds "
            "whole parts, make range a multiple of part"
        )
    yield from _unset_problems(run)
    yield from _sweep_problems(run)
    yield from _size_problems(run)
    yield from _toy_problems(run)


def _unset_problems(run: Run) -> Iterator[str]:
    config = run.config
    training = config["encoder_training"]
    local = run.local_models()
    if local and training is None:
        yield f"key encoder_training is null; {', '.join(local)} (checkpoint local) need it"
    if training is not None:
        pairs = [
            name
            for name, row in run.datasets.items()
            if row["kind"] == "pairs" and row["source"] != STORE
        ]
        if training["dataset"] not in pairs:
            named = training["dataset"]
            yield f"key encoder_training.dataset names {named}; {choose(named, pairs)}"
        for name in local:
            if name not in training["epochs"]:
                yield f"key encoder_training.epochs has no entry for {name}; add one"
        trained = [name for name, row in run.models.items() if row["checkpoint"] == LOCAL]
        for name in training["epochs"]:
            if name not in trained:
                yield f"unknown key encoder_training.epochs.{name}; {choose(name, trained)}"
    for name in run.drawn():
        source = run.datasets[name]["source"]
        if source == "scenes" and name not in config["rows"]:
            yield f"key rows.{name} is missing; scenes are drawn in the number asked for"
        if run.reads_folder(name) and source != COCO and name not in config["folders"]:
            yield f"key folders.{name} is missing; it says where {name} lies on this machine"
        if source in (COCO, EDITS) and run.datasets[name]["split"] is None:
            yield f"config/datasets.tsv: {name} of source {source} has no split; train or val"
        if run.is_fetched(name) and not run.links(name):
            yield f"key rows.{name} is missing; links are fetched in the number asked for"


def _sweep_problems(run: Run) -> Iterator[str]:
    sweep = run.config["beta_sweep"]
    selected = [sae for model, sae in run.trained() if run.beta(model, sae) is None]
    if sweep is None:
        if selected:
            yield (
                f"key beta_sweep is null, and {selected[0]} has beta auto, which it selects; "
                "describe a sweep, or give a number (key sae.beta, or config/saes.tsv)"
            )
        return
    epochs = run.config["sae_training"]["epochs"]
    if selected and sweep["epochs"] != epochs:
        # Trained longer, atoms that are always on arise from a smaller beta.
        yield (
            f"key beta_sweep.epochs is {sweep['epochs']} and sae_training.epochs is {epochs}, but "
            f"{selected[0]} has beta auto; a beta holds for its number of epochs, make them equal"
        )
    aligned = [name for name in run.saes if run.alignment(name)]
    if sweep["sae"] not in aligned:
        named = sweep["sae"]
        yield f"key beta_sweep.sae names {named}; {choose(named, aligned)} (config/saes.tsv)"
    if sweep["low"] >= sweep["high"]:
        yield (
            f"key beta_sweep.low is {sweep['low']} and beta_sweep.high is {sweep['high']}; "
            "low has to be the smaller"
        )
    elif len(set(run.sweep_betas())) <= sweep["count"]:
        yield (
            f"key beta_sweep.count is {sweep['count']}, but with four digits some of so many betas "
            f"from {sweep['low']} to {sweep['high']} are equal; ask for fewer"
        )


def _width(run: Run, model: str) -> int | None:
    """Width of a model's embeddings; of a store that is broken nothing is known yet."""
    if not run.adopted(run.train):
        return run.models[model]["dim"]
    try:
        return width_of(run.datasets[run.train]["path"])
    except InputError:
        return None


def _size_problems(run: Run) -> Iterator[str]:
    swept = [(model, run.config["beta_sweep"]["sae"]) for model in run.swept()]
    widths = {model: _width(run, model) for model in run.config["models"]}
    for model, sae in dict.fromkeys([*run.trained(), *swept]):
        expansion, l0 = run.sae_sizes(sae)
        dim = widths[model]
        if dim is not None and l0 > expansion * dim:
            yield (
                f"key sae.l0 gives {sae} {l0} non-zeros per code, but on {model} it has only "
                f"K = {expansion} x {dim} = {expansion * dim} atoms; allowed is 1..K"
            )
        if run.saes[sae]["alignment"] == "none" and run.saes[sae]["beta"] != 0:
            yield f"config/saes.tsv: {sae} has a beta but no alignment; set beta to 0"


def _toy_problems(run: Run) -> Iterator[str]:
    for toy in run.toys():
        own = run.config["toy"][toy]
        try:
            ToySetting(**run.toy_setting(toy))
        except InputError as error:
            yield f"key toy.{toy}: {error}"
        if own["l0"] > own["n_atoms"]:
            yield (
                f"key toy.{toy}.l0 is {own['l0']} and toy.{toy}.n_atoms {own['n_atoms']}; allowed "
                "is 1..K"
            )
    for name in run.config["toy"]["saes"] if run.toys() else []:
        if name not in run.saes:
            told = choose(name, list(run.saes))
            yield f"key toy.saes names {name}; {told} (config/saes.tsv)"
