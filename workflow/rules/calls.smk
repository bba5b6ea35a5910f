# Jobs that do their work several times: the calls of each, see scripts/binding.py.

TOGETHER, ONE_JOB = RUN.config["together"], RUN.config["sae_training"]["one_job"]
# What tells jobs apart, in names of logs.
SEED_OF_JOB = "" if TOGETHER else "-seed{n}"
SAES_OF_JOB = "" if ONE_JOB else "-{sae}" + SEED_OF_JOB
BETA_OF_JOB = "sweep" if TOGETHER or ONE_JOB else "beta{beta}"
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


def checkpoints(model):
    """The checkpoints that a job trains: of a model's SAEs all, of one all seeds, or one."""
    if not ONE_JOB:
        return of_seeds(*(f"{SAE}/{name}" for name in CHECKPOINT))
    kinds = [sae for of, sae in RUN.trained() if of == model]
    return [
        f"{SAE}/{name}".replace("{sae}", sae).replace("{n}", str(n))
        for sae in kinds
        for n in SEEDS
        for name in CHECKPOINT
    ]


def recipe(folder, model, sae, seed, what, **training):
    """The training of one SAE into a folder: isoenergy.train.saes.Recipe."""
    expansion, l0 = RUN.sae_sizes(sae)
    keys = ("epochs", "batch_size", "peak_rate", "clip_norm")
    return {
        "weights": f"{folder}/sae.safetensors",
        "config": f"{folder}/config.json",
        "history": f"{folder}/history.parquet",
        "state": f"{folder}/state.safetensors",
        "architecture": RUN.saes[sae]["architecture"],
        "expansion": expansion,
        "l0": l0,
        "training": {
            **{key: RUN.config["sae_training"][key] for key in keys},
            "alignment": RUN.alignment(sae),
            **training,
        },
        "seed": seed_of("sae", model, seed),
        "what": f"train {model} {sae} {what}",
    }


def trained_by(wildcards):
    """The SAEs that a job trains, with their seeds."""
    if not ONE_JOB:
        return [(wildcards.sae, n) for n in seeds_of(wildcards)]
    return [(sae, n) for model, sae in RUN.trained() if model == wildcards.model for n in SEEDS]


def trainings(wildcards):
    """The recipes of a job that trains SAEs."""
    model = wildcards.model
    return [
        # Every kind of SAE starts from the same atoms and sees the pairs in the same order.
        recipe(SAE.format(model=model, sae=sae, n=n), model, sae, n, f"seed {n}", beta=beta)
        | ({"selected_beta": selected_beta(model)} if beta is None else {})
        for sae, n in trained_by(wildcards)
        for beta in [RUN.beta(model, sae)]
    ]


def sweep_trainings(wildcards):
    """The recipes of a job that trains one beta of a sweep, or all of them."""
    model, sae, sweep = wildcards.model, wildcards.sae, RUN.config["beta_sweep"]
    return [
        recipe(
            SWEPT.format(model=model, sae=sae, beta=beta),
            model,
            sae,
            sweep["seed"],
            f"beta {beta}",
            epochs=sweep["epochs"],
            beta=float(beta),
        )
        for beta in (BETAS if TOGETHER or ONE_JOB else [wildcards.beta])
    ]


def beta_input(wildcards):
    """The file that betas are read from which the config leaves to the sweep."""
    left_open = [RUN.beta(wildcards.model, sae) is None for sae, _ in trained_by(wildcards)]
    return [selected_beta(wildcards.model)] if any(left_open) else []
