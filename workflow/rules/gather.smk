# Which files stand behind targets: all that a target gathers, and what it is made of.

from types import SimpleNamespace

from isoenergy.render.figures import FIGURES
from isoenergy.render.tables import TABLES


def is_toy(target):
    """Whether a target is made from toy data alone, so that no data, encoder or GPU is needed."""
    if target in TABLES:
        return TABLES[target].of == "toy"
    if target in FIGURES:
        return FIGURES[target].OF in ("sketch", "schematic")
    return target in ("toy", "toy_search") or target.startswith(f"{RESULTS}/toy/")


def every(pattern, **values):
    """A path pattern over models, SAEs, seeds and data sets, all of the run unless said."""
    return expand(
        pattern,
        **({"model": MODELS, "sae": SAES, "n": SEEDS, "dataset": RUN.measured()} | values),
    )


def every_sae(pattern, **values):
    """A path pattern over every SAE that is trained, its seeds and data sets."""
    return [path for m, s in RUN.trained() for path in every(pattern, model=m, sae=s, **values)]


def embedded():
    """Data sets that are embedded: all but what only small encoders are trained on."""
    parts = RUN.config["datasets"]
    names = [*RUN.measured(), *filter(None, [parts["classes_train"], parts["edits"]])]
    return list(dict.fromkeys(names))


def rendered(kind, name):
    """The files of one table or figure."""
    if kind == "table":
        return [f"{RESULTS}/tables/{name}.{suffix}" for suffix in ("csv", "md", "tex", "txt")]
    return [f"{RESULTS}/figures/{name}.{suffix}" for suffix in ("png", "pdf", "txt")]


def metric_files():
    """Every metric of the run, under its first name in each folder."""
    paths = every(f"{EMBEDDING_METRICS}/pca.parquet")
    on = [RUN.train, *RUN.further_stores()]
    paths += every_sae(f"{SAE_METRICS_FOLDER}/atoms.parquet", dataset=on)
    for saes in RUN.comparisons().values():
        compared = {"model": MODELS[:1], "sae": saes, "dataset": RUN.train}
        paths += every(f"{SAE_METRICS_FOLDER}/{QUALITY_METRICS[0]}.json", **compared)
        paths += every(f"{STABILITY_FOLDER}/{STABILITY_METRICS[0]}.json", **compared)
    paths += [f"{sweep_folder(m)}/{SELECTED_BETA}.json" for m in RUN.swept()]
    if RUN.config["datasets"]["classes"]:
        name = f"{EMBEDDING_METRICS}/{CLASSIFIER_METRICS[0]}.json"
        paths += every(name, dataset=RUN.config["datasets"]["classes"])
    paths += [path for path in toy_files() if "/metrics/" in path]
    closed = {"sae": RUN.aligned()[:1]}
    paths += every(f"{INTERVENTION_FOLDER}/neighbours.parquet", **closed)
    paths += [f"{ranking_folder(model)}/margins.parquet" for model in MODELS]
    paths += [f"{baseline_folder()}/curve.parquet"]
    paths += [f"{sae_folder(MODELS[0], RUN.aligned()[0], SEEDS[0])}/layout.parquet"]
    if RUN.config["datasets"]["edits"]:
        name = f"{COMPOSED_FOLDER}/neighbours.parquet"
        paths += every(name, dataset=RUN.config["datasets"]["edits"], **closed)
    if RUN.available("figure_18"):
        shown = {"model": RUN.gallery_model(), "n": SEEDS[:1], "dataset": RUN.train, **closed}
        paths += every(f"{SAE_METRICS_FOLDER}/{GALLERIES[0]}.parquet", **shown)
    paths += [f"{ACCOUNTING}/{ASKED}.json".format(dataset=name) for name in counted()]
    if RUN.available("table_factors"):
        paths += every(f"{SAE_METRICS_FOLDER}/factors.parquet", dataset=RUN.train)
    return paths


def toy_files():
    """What is made from toy data: stores, SAEs and their metrics, and the points of the sketch."""
    paths = [SKETCH]
    for toy in RUN.toys():
        paths += [
            f"{TOY}/{name}".format(toy=toy) for name in ("truth.safetensors", "cosines.parquet")
        ]
        folders = [folder for sae in RUN.config["toy"]["saes"] for folder in toy_folders(toy, sae)]
        paths += [f"{folder}/{TOY_METRICS[0]}.json" for folder in folders]
    return paths


def encoded(sae):
    """The data sets that an SAE's codes are made of."""
    closing = [*RUN.measured(), *filter(None, [part_of_run("edits")])]
    return closing if sae == RUN.aligned()[0] else [RUN.train, *RUN.further_stores()]


def embed_files(model):
    """All that stage embed makes of one model: its encoder, if it is trained here, and its stores."""
    encoder = [f"{ENCODER}/checkpoint".format(model=model)] if RUN.is_local(model) else []
    return encoder + every(f"{STORE}/store.json", model=model, dataset=embedded())


def train_files(model):
    """All that stages train and encode make of one model: its SAEs, swept ones too, and their codes."""
    paths = [
        path
        for sae in [sae for m, sae in RUN.trained() if m == model]
        for path in every(f"{SAE}/sae.safetensors", model=model, sae=sae)
        + every(f"{CODES}/codes.json", model=model, sae=sae, dataset=encoded(sae))
    ]
    if model in RUN.swept():
        swept = {"model": model, "sae": RUN.config["beta_sweep"]["sae"], "beta": RUN.sweep_betas()}
        paths += expand(f"{SWEPT}/sae.safetensors", **swept)
    return paths


TABLE_FILES = [path for name in RUN.targets_of("table") for path in rendered("table", name)]
FIGURE_FILES = [path for name in RUN.targets_of("figure") for path in rendered("figure", name)]
GATHERED = {
    "data": [
        *expand(f"{DATA}/pairs.parquet", dataset=RUN.drawn()),
        *expand(f"{DATA}/examples.parquet", dataset=exemplified()),
    ],
    "preflight": [],
    "inputs": [],
    "toy": toy_files(),
    "encoders": expand(f"{ENCODER}/checkpoint", model=RUN.local_models()),
    "embeddings": every(f"{STORE}/store.json", dataset=embedded()),
    "saes": every_sae(f"{SAE}/sae.safetensors"),
    "selected_beta": [f"{sweep_folder(m)}/{SELECTED_BETA}.json" for m in RUN.swept()],
    "codes": every_sae(f"{CODES}/codes.json", dataset=RUN.train),
    "metrics": metric_files(),
    "tables": TABLE_FILES,
    "figures": FIGURE_FILES,
    "report": [f"{RESULTS}/report.html"],
    "compare": [
        *[f"{RESULTS}/compare{suffix}" for suffix in (".html", ".csv", "_claims.csv")],
        f"{RESULTS}/summary.json",
    ],
}
GATHERED["all"] = [path for paths in GATHERED.values() for path in paths]
# What stages make of one model, for whoever runs or shares a run model by model (dvc.yaml).
GATHERED |= {f"embed_{model}": embed_files(model) for model in MODELS}
GATHERED |= {f"train_{model}": train_files(model) for model in MODELS}
OF_MODELS = [f"{stage}_{model}" for stage in ("embed", "train") for model in MODELS]
# Not part of a run: it looks for the settings that a run takes.
GATHERED["toy_search"] = [f"{RESULTS}/toy/search_ranking.csv"]


def made_of(target):
    """Files of the run that a target is made of; None where it may take all that the run can make."""
    stem = Path(target).stem
    if stem in TABLES and RUN.available(stem):
        return table_inputs(SimpleNamespace(target=stem))
    if stem in FIGURES and RUN.available(stem):
        return [*panel_files(stem), *(path for path, _ in sizes_of(stem).values())]
    if target in ("tables", "figures"):
        kinds = [made_of(name) for name in RUN.targets_of(target.removesuffix("s"))]
        return [path for paths in kinds for path in paths]
    if target in ("data", "encoders", "embeddings", "saes", "selected_beta", "codes", *OF_MODELS):
        return GATHERED[target]
    below = Path(RESULTS) in Path(target).parents and Path(target).parent != Path(RESULTS)
    return [target] if below else None


def wanted_by(targets):
    """What targets need that is not made yet, see isoenergy.preflight.Needed."""
    made = [made_of(target) for target in targets or ["all"] if not is_toy(target)]
    paths = None if None in made else [p for paths in made for p in paths if not Path(p).exists()]
    return needed_by(
        RUN,
        paths,
        embedded=lambda m, d: Path(STORE.format(model=m, dataset=d), "store.json").exists(),
        read=lambda d: Path(DATA.format(dataset=d), "pairs.parquet").exists(),
        lacked=lambda d: [Path(p).name for p in downloaded(d) if not Path(p).exists()],
    )


def used_by(targets):
    """What of the run targets take, made or not: its stores, its SAEs, those on toy data."""
    named = targets or ["all"]
    made = [made_of(target) for target in named if not is_toy(target)]
    paths = None if None in made else [path for paths in made for path in paths]
    return {
        "stores": bool(made),
        "saes": needed_by(RUN, paths).trains,
        "toys": paths is None or any(map(is_toy, named)),
    }


def files_of(target):
    """The files that a target asks for."""
    kind = RUN.targets[target]["kind"] if target in RUN.targets else None
    return rendered(kind, target) if kind in ("table", "figure") else GATHERED[target]
