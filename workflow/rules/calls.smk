# Jobs that do their work several times: the calls of each, see scripts/binding.py.

TOGETHER = RUN.config["together"]
# What tells jobs apart, in names of logs.
SEED_OF_JOB, BETA_OF_JOB = ("", "sweep") if TOGETHER else ("-seed{n}", "beta{beta}")
BETAS = RUN.sweep_betas() if RUN.config["beta_sweep"] else ["0"]
CHECKPOINT = ("sae.safetensors", "config.json", "history.parquet")
TRAIN_CODES = f"{CODES}/codes.json".replace("{dataset}", RUN.train)
# What a call that measures one SAE on one store takes.
MEASURED = {
    "weights": f"{SAE}/sae.safetensors",
    "codes": f"{CODES}/codes.json",
    "folder": SAE_METRICS_FOLDER,
}


def of_seeds(*patterns):
    """These files of every seed that a job does its work for: all of them, or its own."""
    seeds = SEEDS if TOGETHER else ["{n}"]
    return [path.replace("{n}", str(n)) for n in seeds for path in patterns]


def seeds_of(wildcards):
    """The seeds that a job does its work for."""
    return SEEDS if TOGETHER else [wildcards.n]


def each_seed(**named):
    """The calls of a job, one for each of its seeds; see scripts/binding.py."""
    return lambda wildcards: [
        {name: value.format(**{**dict(wildcards.items()), "n": n}) for name, value in named.items()}
        for n in seeds_of(wildcards)
    ]


def closing_files(folder, names, metrics):
    """What a job that closes the gap writes: the metrics of each form or query, and neighbours."""
    measured = [path for name in names for path in files(f"{folder}/{name}", metrics)]
    return of_seeds(*measured, f"{folder}/neighbours.parquet")


def closing_calls(folder):
    """The calls of a job that closes the gap, one for each of its seeds."""
    neighbours = f"{folder}/neighbours.parquet"
    told = {"folder": folder, "train_codes": TRAIN_CODES, "neighbours": neighbours}
    return each_seed(**MEASURED | told)


def training_call(folder, what, seed, **training):
    """The training of one SAE into a folder; see scripts/binding.py."""
    return {
        "weights": f"{folder}/sae.safetensors",
        "config": f"{folder}/config.json",
        "history": f"{folder}/history.parquet",
        "state": f"{folder}/state.safetensors",
        "training": {**RUN.config["sae_training"], **training},
        "seed": seed,
        "what": f"train {what}",
    }


def seed_trainings(wildcards):
    """The calls of a job that trains SAEs of one kind, one for each of its seeds."""
    model, sae = wildcards.model, wildcards.sae
    return [
        training_call(
            SAE.format(model=model, sae=sae, n=n),
            f"{model} {sae} seed {n}",
            # Every kind of SAE starts from the same atoms and sees the pairs in the same order.
            seed_of("sae", model, n),
            alignment=RUN.alignment(sae),
            beta=RUN.beta(model, sae),
        )
        for n in seeds_of(wildcards)
    ]


def sweep_trainings(wildcards):
    """The calls of a job that trains one beta of a sweep, or all of them."""
    model, sae = wildcards.model, wildcards.sae
    return [
        training_call(
            SWEPT.format(model=model, sae=sae, beta=beta),
            f"{model} {sae} beta {beta}",
            seed_of("sae", model, RUN.config["beta_sweep"]["seed"]),
            epochs=RUN.config["beta_sweep"]["epochs"],
            alignment=RUN.alignment(sae),
            beta=float(beta),
        )
        for beta in (BETAS if TOGETHER else [wildcards.beta])
    ]
