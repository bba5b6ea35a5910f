# What stands behind names: the files and settings of data sets, encoders, SAEs and toys, and the
# metrics of every kind.

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
from isoenergy.paths import links_in, state_of


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


# As a param, the state of files that are not of the results and are read where they lie has a job
# made again when they change; of what is on the hub there are none.


def state_of_checkpoint(wildcards):
    """The state of an encoder's files, where it is loaded from a folder of the user."""
    if RUN.is_local(wildcards.model):
        return []
    return state_of(checkpoint_files(RUN.models[wildcards.model]["checkpoint"]))


def state_of_folder(wildcards):
    """The state of what lists a data set that is read from a folder of the user."""
    row, folder = RUN.datasets[wildcards.dataset], RUN.config["folders"].get(wildcards.dataset)
    if not folder:
        return []
    return state_of(listing_files(folder, row["source"], row["split"])) + links_in(folder)


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


def adopted_descriptions():
    """The ``store.json`` of stores made elsewhere, in the results."""
    names = [name for name in RUN.measured() if RUN.adopted(name)]
    return [f"{STORE}/store.json".format(model=MODELS[0], dataset=name) for name in names]


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
