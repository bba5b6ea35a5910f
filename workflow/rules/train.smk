# Stage train: one SAE for every model, kind of SAE and seed; and one for every beta of a sweep.


rule train_sae:
    input:
        unpack(beta_input),
        store=f"{STORE}/store.json".replace("{dataset}", RUN.train),
    output:
        of_seeds(*(f"{SAE}/{name}" for name in CHECKPOINT)),
    log:
        f"{LOGS}/train/{{model}}-{{sae}}{SEED_OF_JOB}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{model}}-{{sae}}{SEED_OF_JOB}.tsv"
    priority: 10
    conda:
        "../../envs/train.yaml"
    threads: threads_of("train_sae")
    resources:
        **resources_of("train_sae"),
    params:
        code("train/train_sae.py"),
        architecture=lambda w: RUN.saes[w.sae]["architecture"],
        expansion=lambda w: RUN.sae_sizes(w.sae)[0],
        l0=lambda w: RUN.sae_sizes(w.sae)[1],
        each=seed_trainings,
    script:
        "../../scripts/train/train_sae.py"


# SAEs that differ by beta alone, for Figures 7 and 8 and for betas that the run selects itself.
use rule train_sae as train_swept with:
    input:
        store=f"{STORE}/store.json".replace("{dataset}", RUN.train),
    output:
        [
            f"{SWEPT}/{name}".replace("{beta}", beta)
            for beta in (BETAS if TOGETHER else ["{beta}"])
            for name in CHECKPOINT
        ],
    log:
        f"{LOGS}/train/{{model}}-{{sae}}-{BETA_OF_JOB}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{model}}-{{sae}}-{BETA_OF_JOB}.tsv"
    threads: threads_of("train_swept")
    resources:
        **resources_of("train_swept"),
    params:
        each=sweep_trainings,
