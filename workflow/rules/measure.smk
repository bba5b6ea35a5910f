# Stage measure: one JSON file for every number, and per-atom tables.


rule measure_embeddings:
    input:
        read_arrays(),
        store=f"{STORE}/store.json",
    output:
        files(EMBEDDING_METRICS, PAIR_METRICS),
        pca=f"{EMBEDDING_METRICS}/pca.parquet",
        cosines=f"{EMBEDDING_METRICS}/cosines.parquet",
    log:
        f"{LOGS}/measure/{{model}}-embeddings-{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-embeddings-{{dataset}}.tsv"
    wildcard_constraints:
        dataset=of_kind("pairs", "edits"),
    conda:
        "../../envs/measure.yaml"
    threads: threads_of("measure_embeddings")
    resources:
        **resources_of("measure_embeddings"),
    params:
        code("measure/measure_embeddings.py"),
        folder=EMBEDDING_METRICS,
        samples={key: RUN.config["measure"][key] for key in ("gap", "wasserstein", "recall")},
        seed=lambda w: seed_of("measure", w.model, w.dataset),
    script:
        "../../scripts/measure/measure_embeddings.py"


use rule measure_embeddings as measure_class_embeddings with:
    output:
        files(EMBEDDING_METRICS, (*PAIR_METRICS, *CLASS_METRICS)),
        pca=f"{EMBEDDING_METRICS}/pca.parquet",
        cosines=f"{EMBEDDING_METRICS}/cosines.parquet",
    wildcard_constraints:
        dataset=of_kind("classes"),


rule count_rows:
    input:
        expand(f"{DATA}/pairs.parquet", dataset=counted()),
        expand(f"{DATA}/fetched.parquet", dataset=filter(RUN.is_fetched, counted())),
        expand(f"{STORE}/store.json", model=MODELS, dataset=counted()),
    output:
        [path for name in counted() for path in counting_files(name)],
    log:
        f"{LOGS}/measure/rows.log",
    benchmark:
        f"{BENCHMARKS}/measure/rows.tsv"
    conda:
        "../../envs/data.yaml"
    threads: threads_of("count_rows")
    resources:
        **resources_of("count_rows"),
    params:
        code("measure/count_rows.py"),
        each=[counting_call(name) for name in counted()],
    script:
        "../../scripts/measure/count_rows.py"


rule measure_cosines:
    input:
        arrays_beside(f"{TOY}/store"),
        store=f"{TOY}/store/store.json",
    output:
        cosines=f"{TOY}/cosines.parquet",
    log:
        f"{LOGS}/measure/{{toy}}-cosines.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{toy}}-cosines.tsv"
    group:
        "toy"
    conda:
        "../../envs/measure.yaml"
    threads: threads_of("measure_cosines")
    resources:
        **resources_of("measure_cosines"),
    params:
        code("measure/measure_cosines.py"),
        gap=RUN.config["measure"]["gap"],
        seed=lambda w: seed_of("measure", w.toy),
    script:
        "../../scripts/measure/measure_cosines.py"


rule measure_classifier:
    input:
        read_arrays(),
        read_arrays(RUN.config["datasets"]["classes_train"]),
        train_store=lambda w: f"{STORE}/store.json".format(
            model=w.model, dataset=RUN.config["datasets"]["classes_train"]
        ),
        test_store=f"{STORE}/store.json",
    output:
        files(EMBEDDING_METRICS, CLASSIFIER_METRICS),
    log:
        f"{LOGS}/measure/{{model}}-classifier-{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-classifier-{{dataset}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: threads_of("measure_classifier")
    resources:
        **resources_of("measure_classifier"),
    params:
        code("measure/measure_classifier.py"),
        folder=EMBEDDING_METRICS,
        training=RUN.config["classifier"],
        seed=lambda w: seed_of("classifier", w.model, w.dataset),
    script:
        "../../scripts/measure/measure_classifier.py"


rule measure_sae:
    input:
        read_arrays(),
        of_seeds(f"{SAE}/sae.safetensors", *CODED),
        store=f"{STORE}/store.json",
    output:
        of_seeds(
            *files(SAE_METRICS_FOLDER, SAE_METRICS),
            *tables(SAE_METRICS_FOLDER, (*SAE_TABLES, "atoms")),
        ),
    log:
        f"{LOGS}/measure/{{model}}-{{sae}}{SEED_OF_JOB}-{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-{{sae}}{SEED_OF_JOB}-{{dataset}}.tsv"
    conda:
        "../../envs/measure.yaml"
    threads: threads_of("measure_sae")
    resources:
        **resources_of("measure_sae"),
    params:
        code("measure/measure_sae.py"),
        each=each_seed(**MEASURED, atoms=f"{SAE_METRICS_FOLDER}/atoms.parquet"),
        settings={key: RUN.config["measure"][key] for key in ("tau", "probe", "gap", "recall")},
        # The same samples for every SAE of a model: their differences are not ones of sampling.
        seed=lambda w: seed_of("measure", w.model, w.dataset),
    script:
        "../../scripts/measure/measure_sae.py"


rule measure_galleries:
    input:
        read_arrays(),
        CODED,
        unpack(pictures_input),
        store=f"{STORE}/store.json",
        codes=f"{CODES}/codes.json",
        atoms=f"{SAE_METRICS_FOLDER}/atoms.parquet",
    output:
        tables(SAE_METRICS_FOLDER, GALLERIES),
    log:
        f"{LOGS}/measure/{{model}}-{{sae}}-seed{{n}}-{{dataset}}-galleries.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-{{sae}}-seed{{n}}-{{dataset}}-galleries.tsv"
    wildcard_constraints:
        dataset=of_kind("pairs"),
    conda:
        "../../envs/measure.yaml"
    threads: threads_of("measure_galleries")
    resources:
        **resources_of("measure_galleries"),
    params:
        code("measure/measure_galleries.py"),
        folder=lambda w, output: str(Path(output[0]).parent),
        blur=RUN.config["galleries"]["blur"],
    script:
        "../../scripts/measure/measure_galleries.py"


rule measure_layout:
    input:
        read_arrays(),
        CODED,
        store=f"{STORE}/store.json",
        weights=f"{SAE}/sae.safetensors",
        codes=f"{CODES}/codes.json",
    output:
        layout=f"{SAE_METRICS_FOLDER}/layout.parquet",
        pca_masked=f"{SAE_METRICS_FOLDER}/pca_masked.parquet",
    log:
        f"{LOGS}/measure/{{model}}-{{sae}}-seed{{n}}-{{dataset}}-layout.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-{{sae}}-seed{{n}}-{{dataset}}-layout.tsv"
    wildcard_constraints:
        dataset=of_kind("pairs"),
    conda:
        "../../envs/measure.yaml"
    threads: threads_of("measure_layout")
    resources:
        **resources_of("measure_layout"),
    params:
        code("measure/measure_layout.py"),
        tau=RUN.config["measure"]["tau"],
        gap=RUN.config["measure"]["gap"],
        # The same pairs as in the plane of raw embeddings.
        seed=lambda w: seed_of("measure", w.model, w.dataset),
    script:
        "../../scripts/measure/measure_layout.py"


rule measure_factors:
    input:
        read_arrays(),
        of_seeds(f"{SAE}/sae.safetensors", *CODED),
        store=f"{STORE}/store.json",
    output:
        of_seeds(
            *files(SAE_METRICS_FOLDER, FACTOR_METRICS), f"{SAE_METRICS_FOLDER}/factors.parquet"
        ),
    log:
        f"{LOGS}/measure/{{model}}-{{sae}}{SEED_OF_JOB}-{{dataset}}-factors.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-{{sae}}{SEED_OF_JOB}-{{dataset}}-factors.tsv"
    wildcard_constraints:
        dataset=one_of(
            name
            for name, row in RUN.datasets.items()
            if row["source"] == "scenes" and row["kind"] == "pairs"
        ),
    conda:
        "../../envs/measure.yaml"
    threads: threads_of("measure_factors")
    resources:
        **resources_of("measure_factors"),
    params:
        code("measure/measure_factors.py"),
        each=each_seed(**MEASURED, atoms=f"{SAE_METRICS_FOLDER}/factors.parquet"),
        tau=RUN.config["measure"]["tau"],
    script:
        "../../scripts/measure/measure_factors.py"


rule measure_quality:
    input:
        read_arrays(),
        of_seeds(f"{SAE}/sae.safetensors", *CODED),
        store=f"{STORE}/store.json",
    output:
        of_seeds(*files(SAE_METRICS_FOLDER, QUALITY_METRICS)),
    log:
        f"{LOGS}/measure/{{model}}-{{sae}}{SEED_OF_JOB}-{{dataset}}-quality.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-{{sae}}{SEED_OF_JOB}-{{dataset}}-quality.tsv"
    conda:
        "../../envs/measure.yaml"
    threads: threads_of("measure_quality")
    resources:
        **resources_of("measure_quality"),
    params:
        code("measure/measure_quality.py"),
        each=each_seed(**MEASURED),
        insertion=RUN.config["measure"]["insertion"],
        seed=lambda w: seed_of("quality", w.model, w.dataset),
    script:
        "../../scripts/measure/measure_quality.py"


rule measure_stability:
    input:
        weights=expand(f"{SAE}/sae.safetensors", n=SEEDS, allow_missing=True),
        atoms=expand(f"{SAE_METRICS_FOLDER}/atoms.parquet", n=SEEDS, allow_missing=True),
    output:
        files(STABILITY_FOLDER, STABILITY_METRICS),
    log:
        f"{LOGS}/measure/{{model}}-{{sae}}-{{dataset}}-stability.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-{{sae}}-{{dataset}}-stability.tsv"
    conda:
        "../../envs/measure.yaml"
    threads: threads_of("measure_stability")
    resources:
        **resources_of("measure_stability"),
    params:
        code("measure/measure_stability.py"),
        folder=STABILITY_FOLDER,
        seed=lambda w: seed_of("stability", w.model, w.dataset),
    script:
        "../../scripts/measure/measure_stability.py"


rule measure_ranking:
    input:
        read_arrays(),
        expand(CODED, n=SEEDS, allow_missing=True),
        store=f"{STORE}/store.json",
        weights=expand(f"{SAE}/sae.safetensors", n=SEEDS, allow_missing=True),
        codes=expand(f"{CODES}/codes.json", n=SEEDS, allow_missing=True),
    output:
        [
            path
            for removal in REMOVALS
            for query in RANKING_QUERIES
            for path in files(f"{RANKING_FOLDER}/{removal}/{query}", RANKING_METRICS)
        ],
        margins=f"{RANKING_FOLDER}/margins.parquet",
        spreads=f"{RANKING_FOLDER}/spreads.parquet",
    log:
        f"{LOGS}/measure/{{model}}-{{sae}}-{{dataset}}-ranking.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-{{sae}}-{{dataset}}-ranking.tsv"
    wildcard_constraints:
        # The codes of what an SAE was trained on say which atoms are bimodal.
        dataset=one_of([RUN.train]),
    conda:
        "../../envs/measure.yaml"
    threads: threads_of("measure_ranking")
    resources:
        **resources_of("measure_ranking"),
    params:
        code("measure/measure_ranking.py"),
        folder=RANKING_FOLDER,
        tau=RUN.config["measure"]["tau"],
        seed=lambda w: seed_of("measure", w.model, w.dataset),
    script:
        "../../scripts/measure/measure_ranking.py"


rule measure_sweep:
    input:
        read_arrays(),
        lambda w: expand(f"{SWEPT}/config.json", model=w.model, sae=w.sae, beta=RUN.sweep_betas()),
        store=f"{STORE}/store.json",
        weights=lambda w: expand(
            f"{SWEPT}/sae.safetensors", model=w.model, sae=w.sae, beta=RUN.sweep_betas()
        ),
    output:
        files(SWEEP_FOLDER, SELECTION_METRICS),
        table=f"{SWEEP_FOLDER}/sweep.parquet",
    log:
        f"{LOGS}/measure/{{model}}-{{sae}}-{{dataset}}-sweep.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-{{sae}}-{{dataset}}-sweep.tsv"
    conda:
        "../../envs/train.yaml"
    threads: threads_of("measure_sweep")
    resources:
        **resources_of("measure_sweep"),
    params:
        code_for_saes("measure/measure_sweep.py"),
        folder=SWEEP_FOLDER,
        betas=lambda w: [float(beta) for beta in RUN.sweep_betas()],
        block=untracked(RUN.config["encode"]["block"]),
        tau=RUN.config["measure"]["tau"],
        what=lambda w: f"sweep of beta with {w.model} {w.sae}",
    script:
        "../../scripts/measure/measure_sweep.py"
