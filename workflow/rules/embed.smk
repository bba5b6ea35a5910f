# Stage embed: dual encoders, and what they make of every data set.

# Data sets that are embedded a range of pictures per job, and those that are by one.
SCATTERED = [name for name in RUN.datasets if RUN.is_scattered(name)]
WHOLE = [n for n in RUN.datasets if not RUN.adopted(n) and n not in SCATTERED]
EMBEDDING = {key: value for key, value in RUN.config["embed"].items() if key != "range"}
# Of these, what vectors depend on.
EMBEDDED_BY = {key: value for key, value in EMBEDDING.items() if key in RUN.remaking["embed"]}


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
        written_arrays(STORE),
        store=f"{STORE}/store.json",
    log:
        f"{LOGS}/embed/{{model}}-{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/embed/{{model}}-{{dataset}}.tsv"
    wildcard_constraints:
        model=encoders(),
        dataset=of_kind("pairs", among=WHOLE),
    conda:
        lambda w: (
            "../../envs/embed.yaml"
            if RUN.is_local(w.model)
            else "../../envs/open_clip.yaml" if is_apart(w.model) else "../../envs/embed_gpu.yaml"
        )
    threads: threads_of("embed_dataset")
    resources:
        **resources_of("embed_dataset"),
    params:
        code("embed/embed_dataset.py"),
        # So that an encoder that was changed in its folder embeds again.
        state_of_checkpoint,
        EMBEDDED_BY,
        # What a killed job has finished stays here for the next one.
        work=f"{STORE}/parts.work",
        dataset=lambda w: w.dataset,
        kind=lambda w: RUN.datasets[w.dataset]["kind"],
        encoder=encoder_of,
        embedding=untracked(EMBEDDING),
    script:
        "../../scripts/embed/embed_dataset.py"


use rule embed_dataset as embed_classes with:
    output:
        written_arrays(STORE, "classes"),
        store=f"{STORE}/store.json",
    wildcard_constraints:
        model=encoders(),
        dataset=of_kind("classes", among=WHOLE),


use rule embed_dataset as embed_edits with:
    output:
        written_arrays(STORE, "edits"),
        store=f"{STORE}/store.json",
    wildcard_constraints:
        model=encoders(),
        dataset=of_kind("edits", among=WHOLE),


rule index_pictures:
    input:
        images=f"{DATA}/images",
    output:
        index=f"{DATA}/pictures.parquet",
    log:
        f"{LOGS}/embed/{{dataset}}-index.log",
    wildcard_constraints:
        dataset=one_of(SCATTERED),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("index_pictures")
    resources:
        **resources_of("index_pictures"),
    params:
        code("embed/index_pictures.py"),
    script:
        "../../scripts/embed/index_pictures.py"


rule embed_range:
    input:
        lambda w: checkpoint_of(w) if RUN.is_local(w.model) else [],
        pairs=f"{DATA}/pairs.parquet",
        images=f"{DATA}/images",
        index=f"{DATA}/pictures.parquet",
    output:
        folder=temp(directory(f"{STORE}/ranges/{{part}}")),
    log:
        f"{LOGS}/embed/{{model}}-{{dataset}}-{{part}}.log",
    benchmark:
        f"{BENCHMARKS}/embed/{{model}}-{{dataset}}-{{part}}.tsv"
    wildcard_constraints:
        model=encoders(),
        dataset=one_of(SCATTERED),
        part=r"\d{5}",
    conda:
        lambda w: (
            "../../envs/embed.yaml"
            if RUN.is_local(w.model)
            else "../../envs/open_clip.yaml" if is_apart(w.model) else "../../envs/embed_gpu.yaml"
        )
    threads: threads_of("embed_range")
    resources:
        **resources_of("embed_range"),
    params:
        code("embed/embed_range.py"),
        # So that an encoder that was changed in its folder embeds again.
        state_of_checkpoint,
        EMBEDDED_BY,
        # What a killed job has finished stays here for the next one.
        work=f"{STORE}/ranges/{{part}}.work",
        dataset=lambda w: w.dataset,
        kind=lambda w: RUN.datasets[w.dataset]["kind"],
        encoder=encoder_of,
        embedding=untracked(EMBEDDING),
        first=lambda w: int(w.part) * parts_per_job(),
        # How many pictures there are is not sure before they are there: the last takes what is left.
        parts=lambda w: (None if w.part == RUN.embedding_ranges(w.dataset)[-1] else parts_per_job()),
    script:
        "../../scripts/embed/embed_range.py"


rule join_ranges:
    input:
        pairs=f"{DATA}/pairs.parquet",
        images=f"{DATA}/images",
        ranges=lambda w: expand(
            f"{STORE}/ranges/{{part}}",
            model=w.model,
            dataset=w.dataset,
            part=RUN.embedding_ranges(w.dataset),
        ),
    output:
        written_arrays(STORE),
        store=f"{STORE}/store.json",
    log:
        f"{LOGS}/embed/{{model}}-{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/embed/{{model}}-{{dataset}}.tsv"
    wildcard_constraints:
        model=encoders(),
        dataset=of_kind("pairs", among=SCATTERED),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("join_ranges")
    resources:
        **resources_of("join_ranges"),
    params:
        code("embed/join_ranges.py"),
        # Ranges are gone by then: they alone would not be missed.
        state_of_checkpoint,
        dataset=lambda w: w.dataset,
        kind=lambda w: RUN.datasets[w.dataset]["kind"],
        model=lambda w: w.model,
    script:
        "../../scripts/embed/join_ranges.py"


use rule join_ranges as join_classes with:
    output:
        written_arrays(STORE, "classes"),
        store=f"{STORE}/store.json",
    wildcard_constraints:
        model=encoders(),
        dataset=of_kind("classes", among=SCATTERED),


use rule join_ranges as join_edits with:
    output:
        written_arrays(STORE, "edits"),
        store=f"{STORE}/store.json",
    wildcard_constraints:
        model=encoders(),
        dataset=of_kind("edits", among=SCATTERED),


rule adopt_store:
    output:
        description_path=f"{STORE}/store.json",
    log:
        f"{LOGS}/embed/{{model}}-{{dataset}}.log",
    wildcard_constraints:
        dataset=one_of(name for name in RUN.datasets if RUN.adopted(name)),
    # All values are looked through before anything else is made of them, or beside them.
    priority: 100
    conda:
        "../../envs/data.yaml"
    threads: threads_of("adopt_store")
    resources:
        **resources_of("adopt_store"),
    params:
        code("embed/adopt_store.py"),
        # So that embeddings that were changed in their place are checked and used again.
        lambda w: state_of(store_files(RUN.datasets[w.dataset]["path"])),
        path=lambda w: RUN.datasets[w.dataset]["path"],
        name=lambda w: w.dataset,
        normalise=RUN.config["normalise"],
        beside=lambda w: RUN.datasets[RUN.train]["path"],
    script:
        "../../scripts/embed/adopt_store.py"
