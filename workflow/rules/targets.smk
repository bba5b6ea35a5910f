# The targets of config/targets.tsv by name, and what is checked once every rule is known.


def every(pattern, **values):
    """A path pattern over models, SAEs, seeds and data sets, all of the run unless said."""
    return expand(
        pattern,
        **(
            {"model": MODELS, "sae": SAES, "n": SEEDS, "dataset": RUN.measured()}
            | values
        ),
    )


def embedded():
    """Data sets that are embedded: all but what only small encoders are trained on."""
    parts = RUN.config["datasets"]
    names = [*RUN.measured(), *filter(None, [parts["classes_train"], parts["edits"]])]
    return list(dict.fromkeys(names))


def rendered(kind, name):
    """The files of one table or figure."""
    if kind == "table":
        return [
            f"{RESULTS}/tables/{name}.{suffix}"
            for suffix in ("csv", "md", "tex", "txt")
        ]
    return [f"{RESULTS}/figures/{name}.{suffix}" for suffix in ("png", "pdf", "txt")]


def metric_files():
    """Every metric of the run, under its first name in each folder."""
    paths = every(f"{EMBEDDING_METRICS}/pca.parquet")
    paths += every(f"{SAE_METRICS_FOLDER}/atoms.parquet", dataset=RUN.train)
    if RUN.config["datasets"]["classes"]:
        name = f"{EMBEDDING_METRICS}/{CLASSIFIER_METRICS[0]}.json"
        paths += every(name, dataset=RUN.config["datasets"]["classes"])
    if RUN.available("table_factors"):
        paths += every(f"{SAE_METRICS_FOLDER}/factors.parquet", dataset=RUN.train)
    return paths


TABLE_FILES = [
    path for name in RUN.targets_of("table") for path in rendered("table", name)
]
FIGURE_FILES = [
    path for name in RUN.targets_of("figure") for path in rendered("figure", name)
]
GATHERED = {
    "data": expand(f"{DATA}/pairs.parquet", dataset=RUN.drawn()),
    "encoders": expand(f"{ENCODER}/checkpoint", model=RUN.local_models()),
    "embeddings": every(f"{STORE}/store.json", dataset=embedded()),
    "saes": every(f"{SAE}/sae.safetensors"),
    "codes": every(f"{CODES}/codes.json", dataset=RUN.train),
    "metrics": metric_files(),
    "tables": TABLE_FILES,
    "figures": FIGURE_FILES,
    "report": [f"{RESULTS}/report.html"],
}
GATHERED["all"] = [path for paths in GATHERED.values() for path in paths]


def files_of(target):
    """The files that a target asks for."""
    kind = RUN.targets[target]["kind"]
    return rendered(kind, target) if kind in ("table", "figure") else GATHERED[target]


for target in RUN.targets:
    if target != "all" and RUN.available(target):

        rule:
            name:
                target
            input:
                files_of(target),
            localrule: True


if COMMAND_LINE is not None:
    check_targets(COMMAND_LINE.targets or [])
    if not COMMAND_LINE.dryrun and not COMMAND_LINE.lint:
        check_machine()
        HELD = hold_results()
