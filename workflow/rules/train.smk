# Stage train: one SAE for every model, kind of SAE and seed; and one for every beta of a sweep.


rule train_sae:
    input:
        beta_input,
        read_arrays(RUN.train),
        store=f"{STORE}/store.json".replace("{dataset}", RUN.train),
    output:
        checkpoints(MODELS[-1]),
    log:
        f"{LOGS}/train/{{model}}{SAES_OF_JOB}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{model}}{SAES_OF_JOB}.tsv"
    wildcard_constraints:
        # The first model may have more SAEs than the others, for comparisons.
        model=one_of(MODELS[1:] if ONE_JOB else RUN.models),
    priority: 10
    conda:
        lambda w: (
            "../../envs/train_gpu.yaml" if gpus_of("train_sae", w) else "../../envs/train.yaml"
        )
    threads: threads_of("train_sae")
    resources:
        **resources_of("train_sae"),
    params:
        code_for_saes("train/train_saes.py"),
        saes=trainings,
        memory=untracked(RUN.config["sae_training"]["memory"]),
        processes=RUN.config["sae_training"]["processes"],
    script:
        "../../scripts/train/train_saes.py"


if ONE_JOB:

    use rule train_sae as train_first with:
        output:
            checkpoints(MODELS[0]),
        wildcard_constraints:
            model=one_of(MODELS[:1]),


# SAEs that differ by beta alone, for Figures 7 and 8 and for betas that the run selects itself.
use rule train_sae as train_swept with:
    input:
        read_arrays(RUN.train),
        store=f"{STORE}/store.json".replace("{dataset}", RUN.train),
    output:
        [
            f"{SWEPT}/{name}".replace("{beta}", beta)
            for beta in (BETAS if TOGETHER or ONE_JOB else ["{beta}"])
            for name in CHECKPOINT
        ],
    log:
        f"{LOGS}/train/{{model}}-{{sae}}-{BETA_OF_JOB}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{model}}-{{sae}}-{BETA_OF_JOB}.tsv"
    wildcard_constraints:
        model=one_of(RUN.models),
    conda:
        lambda w: (
            "../../envs/train_gpu.yaml" if gpus_of("train_swept", w) else "../../envs/train.yaml"
        )
    threads: threads_of("train_swept")
    resources:
        **resources_of("train_swept"),
    params:
        saes=sweep_trainings,
