# Stage render: tables and figures, from metrics only.

from isoenergy.render.captions import fields
from isoenergy.render.tables import TABLES


def sae_folder(model, sae, n):
    return SAE_METRICS_FOLDER.format(model=model, sae=sae, n=n, dataset=RUN.train)


def embeddings_folder(model, dataset=RUN.train):
    return EMBEDDING_METRICS.format(model=model, dataset=dataset)


def told(rows, names):
    """Names with what they stand for, for captions."""
    titles = {name: rows[name]["title"] for name in names}
    return "; ".join(
        n if n == title else f"{n}: {title}" for n, title in titles.items()
    )


# Fields of captions: words from the config, and sample sizes from the metrics of the first model.
WORDS = {
    "train": RUN.train,
    "models": told(RUN.models, MODELS),
    "datasets": told(RUN.datasets, RUN.measured()),
    "protocol": "code (the authors' code, as in the paper's tables)",
    "expansion": str(RUN.config["sae"]["expansion"]),
    "l0": str(RUN.config["sae"]["l0"]),
    "seeds": ", ".join(map(str, SEEDS)),
    "seed": str(SEED),
    "first_seed": str(SEEDS[0]),
    "informed": "0.1",
}
SIZES = {
    "pairs": (f"{embeddings_folder(MODELS[0])}/recall_at_1.json", "pairs"),
    "probe": (f"{sae_folder(MODELS[0], SAES[0], SEEDS[0])}/p_acc.json", "images"),
    "gap": (f"{embeddings_folder(MODELS[0])}/difference_in_mean.json", "images"),
    "wasserstein": (f"{embeddings_folder(MODELS[0])}/wasserstein.json", "images"),
}


def sizes_of(target):
    """The sample sizes that a target's caption tells."""
    return {
        name: SIZES[name]
        for name in fields(RUN.targets[target]["caption"])
        if name in SIZES
    }


def table_sources(target):
    """What a table is made of; see isoenergy.render.tidy.gather_tidy."""
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
    return [
        {
            "model": model,
            "variant": sae,
            "dataset": RUN.train,
            "folders": [sae_folder(model, sae, n) for n in SEEDS],
        }
        for model in MODELS
        for sae in SAES
    ]


def measured_on(dataset):
    """Metrics of raw embeddings that a data set has."""
    classes = (*CLASS_METRICS, *CLASSIFIER_METRICS)
    return PAIR_METRICS + (
        classes if RUN.datasets[dataset]["kind"] == "classes" else ()
    )


def table_inputs(wildcards):
    """The metric files that a table is made of."""
    table = TABLES[wildcards.target]
    paths = [path for path, _ in sizes_of(wildcards.target).values()]
    for source in table_sources(wildcards.target):
        metrics = table.metrics()
        if table.of == "embeddings":
            metrics = [
                name for name in metrics if name in measured_on(source["dataset"])
            ]
        paths += [
            path for folder in source["folders"] for path in files(folder, metrics)
        ]
    return list(dict.fromkeys(paths))


rule render_table:
    input:
        table_inputs,
    output:
        csv=f"{RESULTS}/tables/{{target}}.csv",
        markdown=f"{RESULTS}/tables/{{target}}.md",
        latex=f"{RESULTS}/tables/{{target}}.tex",
        text=f"{RESULTS}/tables/{{target}}.txt",
    log:
        f"{LOGS}/render/{{target}}.log",
    wildcard_constraints:
        target=one_of(RUN.targets_of("table")),
    conda:
        "../../envs/render.yaml"
    params:
        code("render/render_table.py"),
        target=lambda w: w.target,
        sources=lambda w: table_sources(w.target),
        template=lambda w: RUN.targets[w.target]["caption"],
        words=WORDS,
        sizes=lambda w: sizes_of(w.target),
    script:
        "../../scripts/render/render_table.py"


def figure_sources(target):
    """What a figure is made of: a list of panels, each its labels and its files."""
    if target == "figure_02":
        return [
            {
                "model": m,
                "sae": s,
                "atoms": f"{sae_folder(m, s, SEEDS[0])}/atoms.parquet",
            }
            for m in MODELS
            for s in SAES[:2]  # more would not fit on a page
        ]
    wanted = {
        "figure_10": ("pca.parquet", "difference_in_mean.json", "wasserstein.json"),
        "figure_11": ("cosines.parquet", "recall_at_1.json"),
    }[target]
    return [
        {
            "model": m,
            **{Path(name).stem: f"{embeddings_folder(m)}/{name}" for name in wanted},
        }
        for m in MODELS
    ]


rule render_figure:
    input:
        lambda w: [path for path, _ in sizes_of(w.target).values()],
        lambda w: [
            path
            for panel in figure_sources(w.target)
            for key, path in panel.items()
            if key not in ("model", "sae")
        ],
    output:
        data=f"{RESULTS}/figures/data/{{target}}.parquet",
        png=f"{RESULTS}/figures/{{target}}.png",
        pdf=f"{RESULTS}/figures/{{target}}.pdf",
        text=f"{RESULTS}/figures/{{target}}.txt",
    log:
        f"{LOGS}/render/{{target}}.log",
    wildcard_constraints:
        target=one_of(RUN.targets_of("figure")),
    conda:
        "../../envs/render.yaml"
    params:
        code("render/render_figure.py"),
        target=lambda w: w.target,
        sources=lambda w: figure_sources(w.target),
        template=lambda w: RUN.targets[w.target]["caption"],
        words=WORDS,
        sizes=lambda w: sizes_of(w.target),
    script:
        "../../scripts/render/render_figure.py"
