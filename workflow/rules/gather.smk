# Which files stand behind names: of encoders, SAEs, toys and targets.

from types import SimpleNamespace

from isoenergy.data.download import own_address
from isoenergy.data.links import link_files
from isoenergy.data.published import lacks_index, listing_files
from isoenergy.embed.layout import store_files
from isoenergy.encode.codes import FILES as CODE_FILES
from isoenergy.encode.codes import SOURCE_FILES
from isoenergy.hub import checkpoint_files
from isoenergy.measure.accounting import ALL_MODELS, ASKED, COUNTS, MODEL_COUNTS, PAPER_ROWS
from isoenergy.measure.baselines import BASELINE_METRICS, BASELINES
from isoenergy.measure.composed import COMPOSED_METRICS, QUERIES
from isoenergy.measure.embeddings import CLASS_METRICS, CLASSIFIER_METRICS, PAIR_METRICS
from isoenergy.measure.galleries import GALLERIES
from isoenergy.measure.intervened import FORMS, GAP_METRICS
from isoenergy.measure.intervened import CLASS_METRICS as FORM_CLASS_METRICS
from isoenergy.measure.intervened import PAIR_METRICS as FORM_METRICS
from isoenergy.measure.quality import QUALITY_METRICS
from isoenergy.measure.removal import QUERIES as RANKING_QUERIES
from isoenergy.measure.removal import RANKING_METRICS, REMOVALS
from isoenergy.measure.sae import FACTOR_METRICS, SAE_METRICS, SAE_TABLES
from isoenergy.measure.selection import SELECTED_BETA, SELECTION_METRICS
from isoenergy.measure.stability import STABILITY_METRICS
from isoenergy.measure.toy import TOY_METRICS
from isoenergy.render.figures import FIGURES
from isoenergy.render.tables import TABLES


def files(folder, metrics):
    """The files of these metrics in one folder."""
    return [f"{folder}/{metric}.json" for metric in metrics]


def tables(folder, names):
    """The parquet files of these names in one folder."""
    return [f"{folder}/{name}.parquet" for name in names]


def of_kind(*kinds, among=RUN.datasets):
    """A wildcard constraint that allows the data sets of these kinds, all or some."""
    return one_of(name for name in among if RUN.datasets[name]["kind"] in kinds)


def of_repository(path):
    """A file of the repository, which lies here whatever storage the results are in."""
    return local(f"{REPOSITORY}/{path}")


def checkpoint_of(wildcards):
    """Where an encoder is loaded from: a name on the hub, or the folder it is trained into here."""
    if RUN.is_local(wildcards.model):
        return f"{ENCODER}/checkpoint".format(model=wildcards.model)
    return RUN.models[wildcards.model]["checkpoint"]


def downloaded(dataset):
    """Files of downloads.tsv that a data set is read or listed from."""
    row, folder = RUN.datasets[dataset], RUN.config["folders"].get(dataset)
    if folder is not None and not lacks_index(folder, row["source"]):
        return []
    return [f"{DOWNLOADS}/{file}".format(**row) for file in RUN.published(dataset)]


def addresses(file):
    """Where a file of downloads.tsv can be had, in the order in which they are asked."""
    row = RUN.downloads[file]
    own = own_address(RUN.config["download"]["server"], row["source"], file)
    return [url for url in (own, row["url"], row["mirror"]) if url]


def encoders():
    """A wildcard constraint that allows what has an encoder."""
    return one_of(name for name, row in RUN.models.items() if row["checkpoint"])


def is_apart(model):
    """Whether a model is an encoder of open_clip, which needs an environment apart."""
    return RUN.models[model]["family"] == "open_clip"


def encoder_of(wildcards):
    """What an encoder is loaded by: the fields of ``EncoderSpec``."""
    keys = ("family", "revision", "dim", "text_length", "lower_case")
    row = RUN.models[wildcards.model]
    told = {"model": wildcards.model, "checkpoint": checkpoint_of(wildcards)}
    return told | {key: row[key] for key in keys}


def parts_per_job():
    """How many parts of a store a job embeds where a data set is embedded by several."""
    return RUN.config["embed"]["range"] // RUN.config["embed"]["part"]


def state_of(paths):
    """Names, sizes and times of files that are not of the results and are read where they lie.

    As a param they have a job made again when they change; of what is on the hub there are none.
    """
    told = [(path, path.stat()) for path in paths]
    return [f"{path.name} {state.st_size} {state.st_mtime_ns}" for path, state in told]


def state_of_checkpoint(wildcards):
    """The state of an encoder's files, where it is loaded from a folder of the user."""
    if RUN.is_local(wildcards.model):
        return []
    return state_of(checkpoint_files(RUN.models[wildcards.model]["checkpoint"]))


def state_of_folder(wildcards):
    """The state of what lists a data set that is read from a folder of the user."""
    row, folder = RUN.datasets[wildcards.dataset], RUN.config["folders"].get(wildcards.dataset)
    return state_of(listing_files(folder, row["source"], row["split"])) if folder else []


def state_of_links(wildcards):
    """The state of the files of the user that list the links of a data set."""
    metadata = RUN.config["download"]["lists"].get(wildcards.dataset)
    return state_of(link_files(metadata)) if metadata else []


def sae_folder(model, sae, n, dataset=RUN.train):
    return SAE_METRICS_FOLDER.format(model=model, sae=sae, n=n, dataset=dataset)


def closing_folder(pattern, model, dataset, n):
    """Where interventions or queries of a model's first aligned SAE are measured."""
    return pattern.format(model=model, sae=RUN.aligned()[0], n=n, dataset=dataset)


def ranking_folder(model):
    """Where rankings by a model's first aligned SAE are measured."""
    return RANKING_FOLDER.format(model=model, sae=RUN.aligned()[0], dataset=RUN.train)


def baseline_folder():
    return BASELINE_FOLDER.format(model=MODELS[0], dataset=RUN.train)


def part_of_run(part):
    """The data set of this part of the config; of several the first, None without one."""
    named = RUN.config["datasets"][part]
    return next(iter(named), None) if isinstance(named, list) else named


def stability_folder(model, sae):
    return STABILITY_FOLDER.format(model=model, sae=sae, dataset=RUN.train)


def embeddings_folder(model, dataset=RUN.train):
    return EMBEDDING_METRICS.format(model=model, dataset=dataset)


def sweep_folder(model):
    return SWEEP_FOLDER.format(model=model, sae=RUN.config["beta_sweep"]["sae"], dataset=RUN.train)


def selected_beta(model):
    """The file that holds the beta which the sweep selects on a model."""
    return f"{sweep_folder(model)}/{SELECTED_BETA}.json"


def exemplified():
    """Data sets that examples are drawn of, those of edits last."""
    return [*RUN.pictured(), *filter(None, [part_of_run("edits")])]


def pictures_input(wildcards):
    """The folder of a data set's pictures; a store made elsewhere has none."""
    if RUN.adopted(wildcards.dataset):
        return {}
    return {"images": f"{DATA}/images".format(dataset=wildcards.dataset)}


def counted():
    """Data sets whose rows are counted: those that are embedded here."""
    return [name for name in embedded() if not RUN.adopted(name)]


def counts_of(dataset):
    """The counts of a data set; the paper's is known of its own data sets alone."""
    known = RUN.datasets[dataset]["paper_rows"] is not None
    return [name for name in COUNTS if known or name != PAPER_ROWS]


def counting_folders(dataset):
    """Where the counts of a data set go, and those of each model."""
    folder = ACCOUNTING.format(dataset=dataset)
    return {ALL_MODELS: folder, **{model: f"{folder}/{model}" for model in MODELS}}


def counting_files(dataset):
    """The files that the counting of the rows of one data set writes."""
    folder, *own = counting_folders(dataset).values()
    counts = files(folder, counts_of(dataset))
    return counts + [path for one in own for path in files(one, MODEL_COUNTS)]


def counting_call(dataset):
    """The counting of the rows of one data set; see scripts/binding.py."""
    data = DATA.format(dataset=dataset)
    return {
        "pairs": f"{data}/pairs.parquet",
        "kind": RUN.datasets[dataset]["kind"],
        "fetched": f"{data}/fetched.parquet" if RUN.is_fetched(dataset) else None,
        "stores": {m: f"{STORE}/store.json".format(model=m, dataset=dataset) for m in MODELS},
        "paper_rows": RUN.datasets[dataset]["paper_rows"],
        "folder": ACCOUNTING.format(dataset=dataset),
    }


def toy_seed(toy, n):
    """The seed of the pairs of a toy experiment; the search draws the same ones."""
    return seed_of("toy", toy, n)


def toy_training(toy, sae):
    """How one SAE of Table 5 is trained."""
    alignment = RUN.alignment(sae)
    beta = RUN.config["toy"][toy]["beta"] if alignment else 0.0
    return {**RUN.config["toy"]["training"], "alignment": alignment, "beta": beta}


def toy_folders(toy, sae):
    """Metric folders of one SAE of Table 5, by seed."""
    return [f"{TOY_SAE}/metrics".format(toy=toy, sae=sae, n=n) for n in RUN.config["toy"]["seeds"]]


def searched(wildcards, *keys):
    """Some columns of one row of the toy search."""
    return {key: RUN.toy_search[wildcards.setting][key] for key in keys}


def search_training(wildcards):
    """How one SAE of the toy search is trained."""
    alignment = RUN.toy_search[wildcards.setting]["alignment"]
    return {
        **searched(wildcards, "epochs", "batch_size", "peak_rate", "beta"),
        "clip_norm": RUN.config["toy"]["training"]["clip_norm"],
        "alignment": None if alignment == "none" else alignment,
    }


def search_folders(setting):
    """Metric folders of one setting of the toy search, by seed."""
    seeds = range(RUN.toy_search[setting]["seeds"])
    return [f"{TOY_SEARCH}/metrics".format(setting=setting, n=n) for n in seeds]


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


def files_of(target):
    """The files that a target asks for."""
    kind = RUN.targets[target]["kind"] if target in RUN.targets else None
    return rendered(kind, target) if kind in ("table", "figure") else GATHERED[target]
