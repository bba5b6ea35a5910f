# Stage train: one SAE for every model, kind of SAE and seed; and one for every beta of a sweep.


rule train_sae:
    input:
        unpack(beta_input),
        store=f"{STORE}/store.json".replace("{dataset}", RUN.train),
    output:
        weights=f"{SAE}/sae.safetensors",
        config=f"{SAE}/config.json",
        history=f"{SAE}/history.parquet",
    log:
        f"{LOGS}/train/{{model}}-{{sae}}-seed{{n}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{model}}-{{sae}}-seed{{n}}.tsv"
    priority: 10
    conda:
        "../../envs/train.yaml"
    params:
        code("train/train_sae.py"),
        state=f"{SAE}/state.safetensors",
        architecture=lambda w: RUN.saes[w.sae]["architecture"],
        expansion=lambda w: RUN.sae_sizes(w.sae)[0],
        l0=lambda w: RUN.sae_sizes(w.sae)[1],
        training=lambda w: {
            **RUN.config["sae_training"],
            "alignment": RUN.alignment(w.sae),
            "beta": RUN.beta(w.model, w.sae),
        },
        # Every kind of SAE starts from the same atoms and sees the pairs in the same order.
        seed=lambda w: seed_of("sae", w.model, w.n),
        what=lambda w: f"train {w.model} {w.sae} seed {w.n}",
    script:
        "../../scripts/train/train_sae.py"


# SAEs that differ by beta alone, for Figures 7 and 8 and for betas that the run selects itself.
use rule train_sae as train_swept with:
    input:
        store=f"{STORE}/store.json".replace("{dataset}", RUN.train),
    output:
        weights=f"{SWEPT}/sae.safetensors",
        config=f"{SWEPT}/config.json",
        history=f"{SWEPT}/history.parquet",
    log:
        f"{LOGS}/train/{{model}}-{{sae}}-beta{{beta}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{model}}-{{sae}}-beta{{beta}}.tsv"
    params:
        state=f"{SWEPT}/state.safetensors",
        training=lambda w: {
            **RUN.config["sae_training"],
            "epochs": RUN.config["beta_sweep"]["epochs"],
            "alignment": RUN.alignment(w.sae),
            "beta": float(w.beta),
        },
        seed=lambda w: seed_of("sae", w.model, RUN.config["beta_sweep"]["seed"]),
        what=lambda w: f"train {w.model} {w.sae} beta {w.beta}",
