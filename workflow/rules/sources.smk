# What tables and figures are made of: the folders of their numbers, and the files in those.

from isoenergy.render.columns import check_columns

try:
    check_columns()
except InputError as error:
    stop(error)


def saes_of(target):
    """The SAEs that a table compares: those of its comparison in the config, else the run's."""
    return RUN.comparisons().get(target, SAES)


def models_of(target):
    """The models that a table shows: the first for a comparison of many SAEs, else all."""
    first = target in RUN.comparisons() or TABLES[target].first_model
    return MODELS[:1] if first else MODELS


def closing_sources(target):
    """What a table of interventions, queries or baselines is made of."""
    table = TABLES[target]
    pattern = COMPOSED_FOLDER if table.of == "composed" else INTERVENTION_FOLDER
    dataset = part_of_run(table.on)
    sources = []
    for model in models_of(target):
        for variant in table.variants:
            if table.of == "baselines" and variant in BASELINES:
                folders = [baseline_folder()]
            else:
                folders = [closing_folder(pattern, model, dataset, n) for n in SEEDS]
            folders = [f"{folder}/{variant}" for folder in folders]
            labels = {"model": model, "variant": variant, "dataset": dataset}
            sources.append({**labels, "folders": folders})
    return sources


def closing_metrics(target, source):
    """The metrics that one source of a table of interventions, queries or baselines has."""
    if TABLES[target].of == "composed":
        return COMPOSED_METRICS
    if source["variant"] in BASELINES:
        return BASELINE_METRICS if source["variant"] == "axes" else GAP_METRICS
    is_classes = RUN.datasets[source["dataset"]]["kind"] == "classes"
    return FORM_METRICS + (FORM_CLASS_METRICS if is_classes else ())


def table_sources(target):
    """What a table is made of; see isoenergy.render.tidy.gather_tidy."""
    if TABLES[target].of in ("interventions", "composed", "baselines"):
        return closing_sources(target)
    if TABLES[target].of == "toy":
        return [
            {"model": "toy", "variant": sae, "dataset": toy, "folders": toy_folders(toy, sae)}
            for toy in RUN.toys()
            for sae in RUN.config["toy"]["saes"]
        ]
    if TABLES[target].of == "data":
        return [
            {"model": model, "variant": "rows", "dataset": dataset, "folders": [folder]}
            for dataset in counted()
            for model, folder in counting_folders(dataset).items()
        ]
    if TABLES[target].of == "embeddings":
        return [
            {
                "model": model,
                "variant": "embeddings",
                "dataset": dataset,
                "folders": [embeddings_folder(model, dataset)],
            }
            for dataset in RUN.measured()
            for model in MODELS
        ]
    saes = [
        {
            "model": model,
            "variant": sae,
            "dataset": dataset,
            "folders": [sae_folder(model, sae, n, dataset) for n in SEEDS],
        }
        for dataset in [RUN.train, *(RUN.further_stores() if TABLES[target].stores else [])]
        for model in models_of(target)
        for sae in saes_of(target)
    ]
    # What compares seeds has no seed of its own.
    if set(STABILITY_METRICS) & set(TABLES[target].metrics()):
        saes += [
            {**source, "folders": [stability_folder(source["model"], source["variant"])]}
            for source in saes
        ]
    if set(SELECTION_METRICS) & set(TABLES[target].metrics()):
        saes += [
            {
                "model": model,
                "variant": RUN.config["beta_sweep"]["sae"],
                "dataset": RUN.train,
                "folders": [sweep_folder(model)],
            }
            for model in models_of(target)
            if model in RUN.swept()
        ]
    return saes


def measured_in(target, source):
    """The metrics that one source of a table has."""
    if TABLES[target].of in ("interventions", "composed", "baselines"):
        return closing_metrics(target, source)
    if TABLES[target].of == "data":
        return counts_of(source["dataset"]) if source["model"] == ALL_MODELS else MODEL_COUNTS
    if source["dataset"] in RUN.toys():
        return TOY_METRICS
    if source["variant"] == "embeddings":
        kind = RUN.datasets[source["dataset"]]["kind"]
        classes = (*CLASS_METRICS, *CLASSIFIER_METRICS)
        return PAIR_METRICS + (classes if kind == "classes" else ())
    if source["folders"] == [stability_folder(source["model"], source["variant"])]:
        return STABILITY_METRICS
    if RUN.swept() and source["folders"] == [sweep_folder(source["model"])]:
        return SELECTION_METRICS
    return (*SAE_METRICS, *FACTOR_METRICS, *QUALITY_METRICS)


def table_inputs(wildcards):
    """The metric files that a table is made of."""
    wanted = TABLES[wildcards.target].metrics()
    paths = [path for path, _ in sizes_of(wildcards.target).values()]
    for source in table_sources(wildcards.target):
        metrics = [name for name in wanted if name in measured_in(wildcards.target, source)]
        paths += [path for folder in source["folders"] for path in files(folder, metrics)]
    return list(dict.fromkeys(paths))


def models_drawn(figure):
    """The models of a figure: the first ones, or for a negative number the last ones."""
    if figure.MODELS is not None and figure.MODELS < 0:
        return MODELS[figure.MODELS :]
    return MODELS[: figure.MODELS]


def figure_folders(figure):
    """Where each panel of a figure has its numbers, by model and SAE."""
    models = [RUN.gallery_model()] if figure.OF == "gallery" else models_drawn(figure)
    if figure.OF in ("examples", "edits"):
        names = [part_of_run("edits")] if figure.OF == "edits" else RUN.pictured()
        return {(name, None): DATA.format(dataset=name) for name in names}
    if figure.OF == "sketch":
        return {("synthetic points", None): str(Path(SKETCH).parent)}
    if figure.OF == "schematic":
        return {("schematic", None): None}
    if figure.OF == "sweep":
        return {(m, RUN.config["beta_sweep"]["sae"]): sweep_folder(m) for m in models}
    if figure.OF == "ranking":
        return {(m, RUN.aligned()[0]): ranking_folder(m) for m in models}
    if figure.OF in ("embeddings", "toy"):
        toys = RUN.toys() if figure.OF == "toy" else []
        folders = {(toy, None): TOY.format(toy=toy) for toy in toys}
        return folders | {(m, None): embeddings_folder(m) for m in models}
    if figure.OF in ("interventions", "composed"):
        pattern, part = {
            "interventions": (INTERVENTION_FOLDER, "train"),
            "composed": (COMPOSED_FOLDER, "edits"),
        }[figure.OF]
        where = {m: closing_folder(pattern, m, part_of_run(part), SEEDS[0]) for m in models}
        return {(m, RUN.aligned()[0]): folder for m, folder in where.items()}
    saes = SAES if figure.OF == "saes" else RUN.aligned()
    return {(m, s): sae_folder(m, s, SEEDS[0]) for m in models for s in saes[: figure.SAES]}


def figure_sources(target):
    """What a figure is made of: a list of panels, each its labels and its files."""
    figure = FIGURES[target]
    sources = []
    for (model, sae), folder in figure_folders(figure).items():
        raw = embeddings_folder(model)
        # What is not of the SAE or data set that the figure shows.
        elsewhere = {
            "sketch": SKETCH,
            "pca": f"{raw}/pca.parquet",
            **{n: f"{raw}/{n}.json" for n in ("difference_in_mean", "recall_at_1")},
        }
        sources.append(
            {
                "model": model,
                **({"sae": sae} if sae else {}),
                **{n: elsewhere.get(n, f"{folder}/{n}.parquet") for n in figure.TABLES},
                **{n: elsewhere.get(n, f"{folder}/{n}.json") for n in figure.METRICS},
            }
        )
    return sources


def panel_files(target):
    """The files that a figure is drawn from."""
    return [
        path
        for panel in figure_sources(target)
        for key, path in panel.items()
        if key not in ("model", "sae")
    ]
