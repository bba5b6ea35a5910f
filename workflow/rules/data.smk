# Stage data: pictures and captions as picture shards and a pairs table.


rule write_scenes:
    output:
        pairs=f"{DATA}/pairs.parquet",
        images=directory(f"{DATA}/images"),
    log:
        f"{LOGS}/data/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/data/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(name for name, row in RUN.datasets.items() if row["source"] == "scenes"),
    conda:
        "../../envs/data.yaml"
    params:
        code("data/write_scenes.py"),
        scenes=lambda w: {
            "name": w.dataset,
            "kind": RUN.datasets[w.dataset]["kind"],
            "skew": RUN.datasets[w.dataset]["skew"],
            "wording": RUN.datasets[w.dataset]["wording"] or "plain",
            "captions": RUN.datasets[w.dataset]["captions"] or 1,
        },
        rows=lambda w: RUN.config["rows"][w.dataset],
        seed=lambda w: seed_of("data", w.dataset),
    script:
        "../../scripts/data/write_scenes.py"


rule read_folder:
    output:
        pairs=f"{DATA}/pairs.parquet",
        images=directory(f"{DATA}/images"),
    log:
        f"{LOGS}/data/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/data/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(name for name, row in RUN.datasets.items() if row["source"] == "folder"),
    conda:
        "../../envs/data.yaml"
    params:
        code("data/read_folder.py"),
        folder=lambda w: RUN.config["folders"][w.dataset],
        dataset=lambda w: w.dataset,
        kind=lambda w: RUN.datasets[w.dataset]["kind"],
        rows=lambda w: RUN.config["rows"].get(w.dataset),
        seed=lambda w: seed_of("data", w.dataset),
    script:
        "../../scripts/data/read_folder.py"


rule write_examples:
    input:
        pairs=expand(f"{DATA}/pairs.parquet", dataset=exemplified()),
        images=expand(f"{DATA}/images", dataset=exemplified()),
    output:
        examples=expand(f"{DATA}/examples.parquet", dataset=exemplified()),
    log:
        f"{LOGS}/data/examples.log",
    benchmark:
        f"{BENCHMARKS}/data/examples.tsv"
    conda:
        "../../envs/data.yaml"
    params:
        code("data/write_examples.py"),
        datasets=[
            {"kind": RUN.datasets[name]["kind"], "seed": seed_of("examples", name)}
            for name in exemplified()
        ],
        blur=RUN.config["galleries"]["blur"],
    script:
        "../../scripts/data/write_examples.py"
