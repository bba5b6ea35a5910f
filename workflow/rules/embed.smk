# Stage embed: dual encoders, and what they make of every data set.


rule train_encoder:
    input:
        pairs=lambda w: f"{DATA}/pairs.parquet".format(
            dataset=RUN.config["encoder_training"]["dataset"]
        ),
        images=lambda w: f"{DATA}/images".format(dataset=RUN.config["encoder_training"]["dataset"]),
    output:
        checkpoint=directory(f"{ENCODER}/checkpoint"),
        history=f"{ENCODER}/history.parquet",
    log:
        f"{LOGS}/embed/{{model}}-training.log",
    benchmark:
        f"{BENCHMARKS}/embed/{{model}}-training.tsv"
    wildcard_constraints:
        model=one_of(RUN.local_models()),
    # Encoders and SAEs are started first: everything else waits for them.
    priority: 10
    conda:
        "../../envs/embed.yaml"
    threads: threads_of("train_encoder")
    resources:
        **resources_of("train_encoder"),
    params:
        code("embed/train_encoder.py"),
        state=f"{ENCODER}/state.safetensors",
        model=lambda w: w.model,
        family=lambda w: RUN.models[w.model]["family"],
        dim=lambda w: RUN.models[w.model]["dim"],
        text_length=lambda w: RUN.models[w.model]["text_length"],
        epochs=lambda w: RUN.config["encoder_training"]["epochs"][w.model],
        batch_size=lambda w: RUN.config["encoder_training"]["batch_size"],
        seed=lambda w: seed_of("encoder", w.model),
    script:
        "../../scripts/embed/train_encoder.py"


rule embed_dataset:
    input:
        lambda w: checkpoint_of(w) if RUN.is_local(w.model) else [],
        pairs=f"{DATA}/pairs.parquet",
        images=f"{DATA}/images",
    output:
        directory(f"{STORE}/img_emb"),
        directory(f"{STORE}/text_emb"),
        directory(f"{STORE}/metadata"),
        store=f"{STORE}/store.json",
    log:
        f"{LOGS}/embed/{{model}}-{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/embed/{{model}}-{{dataset}}.tsv"
    wildcard_constraints:
        model=encoders(apart=False),
        dataset=one_of(name for name in RUN.datasets if not RUN.adopted(name)),
    conda:
        lambda w: "../../envs/embed.yaml" if RUN.is_local(w.model) else "../../envs/embed_gpu.yaml"
    threads: threads_of("embed_dataset")
    resources:
        **resources_of("embed_dataset"),
    params:
        code("embed/embed_dataset.py"),
        dataset=lambda w: w.dataset,
        kind=lambda w: RUN.datasets[w.dataset]["kind"],
        encoder=lambda w: {
            "model": w.model,
            "checkpoint": checkpoint_of(w),
            **{
                key: RUN.models[w.model][key]
                for key in ("family", "revision", "dim", "text_length", "lower_case")
            },
        },
        batch_size=RUN.config["embed"]["batch_size"],
        dtype=RUN.config["embed"]["dtype"],
    script:
        "../../scripts/embed/embed_dataset.py"


use rule embed_dataset as embed_dataset_with_open_clip with:
    wildcard_constraints:
        model=encoders(apart=True),
        dataset=one_of(name for name in RUN.datasets if not RUN.adopted(name)),
    conda:
        "../../envs/open_clip.yaml"


rule adopt_store:
    output:
        description_path=f"{STORE}/store.json",
    log:
        f"{LOGS}/embed/{{model}}-{{dataset}}.log",
    wildcard_constraints:
        dataset=one_of(name for name in RUN.datasets if RUN.adopted(name)),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("adopt_store")
    resources:
        **resources_of("adopt_store"),
    params:
        code("embed/adopt_store.py"),
        # So that embeddings that were changed in their place are checked and used again.
        lambda w: state_of(RUN.datasets[w.dataset]["path"]),
        path=lambda w: RUN.datasets[w.dataset]["path"],
        name=lambda w: w.dataset,
        normalise=RUN.config["normalise"],
        beside=lambda w: RUN.datasets[RUN.train]["path"],
    script:
        "../../scripts/embed/adopt_store.py"
