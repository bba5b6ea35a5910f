# Stage train: one SAE for every model, kind of SAE and seed; and one for every beta of a sweep.


rule train_sae:
    input:
        unpack(beta_input),
        store=f"{STORE}/store.json".replace("{dataset}", RUN.train),
    output:
        [f"{SAE}/{name}" for name in CHECKPOINT],
    log:
        f"{LOGS}/train/{{model}}-{{sae}}-seed{{n}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{model}}-{{sae}}-seed{{n}}.tsv"
    wildcard_constraints:
        model=one_of([] if TOGETHER else RUN.models),
    priority: 10
    conda:
        "../../envs/train.yaml"
    params:
        code("train/train_sae.py"),
        architecture=lambda w: RUN.saes[w.sae]["architecture"],
        expansion=lambda w: RUN.sae_sizes(w.sae)[0],
        l0=lambda w: RUN.sae_sizes(w.sae)[1],
        each=seed_trainings,
    script:
        "../../scripts/train/train_sae.py"


use rule train_sae as train_seeds with:
    output:
        of_seeds(*(f"{SAE}/{name}" for name in CHECKPOINT)),
    log:
        f"{LOGS}/train/{{model}}-{{sae}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{model}}-{{sae}}.tsv"
    wildcard_constraints:
        model=one_of(RUN.models if TOGETHER else []),


# SAEs that differ by beta alone, for Figures 7 and 8 and for betas that the run selects itself.
use rule train_sae as train_swept with:
    input:
        store=f"{STORE}/store.json".replace("{dataset}", RUN.train),
    output:
        [f"{SWEPT}/{name}" for name in CHECKPOINT],
    log:
        f"{LOGS}/train/{{model}}-{{sae}}-beta{{beta}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{model}}-{{sae}}-beta{{beta}}.tsv"
    params:
        each=sweep_trainings,


use rule train_swept as train_sweep with:
    output:
        [f"{SWEPT}/{name}".replace("{beta}", b) for b in BETAS for name in CHECKPOINT],
    log:
        f"{LOGS}/train/{{model}}-{{sae}}-sweep.log",
    benchmark:
        f"{BENCHMARKS}/train/{{model}}-{{sae}}-sweep.tsv"
    wildcard_constraints:
        model=one_of(RUN.models if TOGETHER else []),
