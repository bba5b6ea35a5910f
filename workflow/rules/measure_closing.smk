# Stage measure, of what closes the modality gap: interventions, queries, and baselines.


rule measure_interventions:
    input:
        read_arrays(),
        of_seeds(f"{SAE}/sae.safetensors", *CODED, *TRAIN_CODED),
        store=f"{STORE}/store.json",
    output:
        closing_files(INTERVENTION_FOLDER, FORMS, FORM_METRICS),
    log:
        f"{LOGS}/measure/{{model}}-{{sae}}{SEED_OF_JOB}-{{dataset}}-interventions.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-{{sae}}{SEED_OF_JOB}-{{dataset}}-interventions.tsv"
    wildcard_constraints:
        dataset=of_kind("pairs"),
    conda:
        "../../envs/measure.yaml"
    threads: threads_of("measure_interventions")
    resources:
        **resources_of("measure_interventions"),
    params:
        code("measure/measure_interventions.py"),
        each=closing_calls(INTERVENTION_FOLDER),
        settings={
            key: RUN.config["measure"][key]
            for key in ("tau", "means", "gap", "wasserstein", "ood", "recall")
        },
        # The same samples and batches for every SAE of a model.
        seed=lambda w: seed_of("measure", w.model, w.dataset),
    script:
        "../../scripts/measure/measure_interventions.py"


use rule measure_interventions as measure_class_interventions with:
    output:
        closing_files(INTERVENTION_FOLDER, FORMS, (*FORM_METRICS, *FORM_CLASS_METRICS)),
    wildcard_constraints:
        dataset=of_kind("classes"),


rule measure_composed:
    input:
        read_arrays(),
        of_seeds(f"{SAE}/sae.safetensors", *EDITS_CODED, *TRAIN_CODED),
        store=f"{STORE}/store.json",
    output:
        closing_files(COMPOSED_FOLDER, QUERIES, COMPOSED_METRICS),
    log:
        f"{LOGS}/measure/{{model}}-{{sae}}{SEED_OF_JOB}-{{dataset}}-composed.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-{{sae}}{SEED_OF_JOB}-{{dataset}}-composed.tsv"
    wildcard_constraints:
        dataset=of_kind("edits"),
    conda:
        "../../envs/measure.yaml"
    threads: threads_of("measure_composed")
    resources:
        **resources_of("measure_composed"),
    params:
        code("measure/measure_composed.py"),
        each=closing_calls(COMPOSED_FOLDER),
        settings={key: RUN.config["measure"][key] for key in ("tau", "ood")},
        seed=lambda w: seed_of("measure", w.model, w.dataset),
    script:
        "../../scripts/measure/measure_composed.py"


rule measure_baselines:
    input:
        read_arrays(),
        store=f"{STORE}/store.json",
    output:
        [p for name in BASELINES for p in files(f"{BASELINE_FOLDER}/{name}", GAP_METRICS)],
        f"{BASELINE_FOLDER}/axes/axes_dropped.json",
        curve=f"{BASELINE_FOLDER}/curve.parquet",
    log:
        f"{LOGS}/measure/{{model}}-{{dataset}}-baselines.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{model}}-{{dataset}}-baselines.tsv"
    conda:
        "../../envs/measure.yaml"
    threads: threads_of("measure_baselines")
    resources:
        **resources_of("measure_baselines"),
    params:
        code("measure/measure_baselines.py"),
        folder=BASELINE_FOLDER,
        settings={
            key: RUN.config["measure"][key]
            for key in ("tau", "means", "gap", "wasserstein", "ood", "recall")
        },
        seed=lambda w: seed_of("measure", w.model, w.dataset),
    script:
        "../../scripts/measure/measure_baselines.py"
