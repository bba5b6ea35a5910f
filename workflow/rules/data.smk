# Stage data: pictures and captions as picture shards and a pairs table.

# Data sets whose pictures are fetched from a list of links, a range of it per job.
FETCHED = [name for name in RUN.datasets if RUN.is_fetched(name)]
FETCHING = {
    key: value
    for key, value in RUN.config["download"].items()
    if key not in ("lists", "server", "sample", "range")
}
# Of these, what pictures depend on.
FETCHED_BY = {key: value for key, value in FETCHING.items() if key in RUN.remaking["download"]}


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
    threads: threads_of("write_scenes")
    resources:
        **resources_of("write_scenes"),
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


rule download_file:
    output:
        path=f"{DOWNLOADS}/{{file}}",
    log:
        f"{LOGS}/data/{{source}}-{{file}}.log",
    benchmark:
        f"{BENCHMARKS}/data/{{source}}-{{file}}.tsv"
    wildcard_constraints:
        source=one_of({row["source"] for row in RUN.downloads.values()}),
        file=one_of(RUN.downloads),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("download_file")
    resources:
        **resources_of("download_file"),
    params:
        code("data/download_file.py"),
        # Whatever way it comes, the file is the one of this digest.
        urls=lambda w, threads: addresses(w.file),
        size=lambda w: RUN.downloads[w.file]["bytes"],
        digest=lambda w: RUN.downloads[w.file]["digest"],
        downloading=untracked(
            {
                key: RUN.config["download"][key]
                for key in ("timeout", "shard_seconds", "retries", "pause", "private_addresses")
            }
        ),
    script:
        "../../scripts/data/download_file.py"


rule read_folder:
    input:
        downloads=lambda w: downloaded(w.dataset),
    output:
        pairs=f"{DATA}/pairs.parquet",
        images=directory(f"{DATA}/images"),
    log:
        f"{LOGS}/data/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/data/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(name for name in RUN.datasets if RUN.reads_folder(name)),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("read_folder")
    resources:
        **resources_of("read_folder"),
    params:
        code("data/read_folder.py"),
        # So that captions that were changed in their place are read again.
        state_of_folder,
        folder=lambda w: RUN.config["folders"].get(w.dataset),
        dataset=lambda w: w.dataset,
        source=lambda w: RUN.datasets[w.dataset]["source"],
        split=lambda w: RUN.datasets[w.dataset]["split"],
        kind=lambda w: RUN.datasets[w.dataset]["kind"],
        rows=lambda w: RUN.config["rows"].get(w.dataset),
        seed=lambda w: seed_of("data", w.dataset),
        transparency=RUN.config["transparency"],
    script:
        "../../scripts/data/read_folder.py"


rule list_links:
    output:
        links=f"{DATA}/links.parquet",
    log:
        f"{LOGS}/data/{{dataset}}-links.log",
    benchmark:
        f"{BENCHMARKS}/data/{{dataset}}-links.tsv"
    wildcard_constraints:
        dataset=one_of(name for name in FETCHED if not RUN.lists_edits(name)),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("list_links")
    resources:
        **resources_of("list_links"),
    params:
        code("data/list_links.py"),
        state_of_links,
        dataset=lambda w: w.dataset,
        rows=lambda w: RUN.links(w.dataset),
        sample=RUN.config["download"]["sample"],
        seed=lambda w: seed_of("links", w.dataset),
        metadata=lambda w: RUN.config["download"]["lists"].get(w.dataset),
        primary=lambda w: RUN.datasets[w.dataset]["primary"],
        mirror=lambda w: RUN.datasets[w.dataset]["mirror"],
    script:
        "../../scripts/data/list_links.py"


rule list_edits:
    input:
        downloads=lambda w: downloaded(w.dataset),
    output:
        links=f"{DATA}/links.parquet",
        edits=f"{DATA}/edits.parquet",
    log:
        f"{LOGS}/data/{{dataset}}-links.log",
    benchmark:
        f"{BENCHMARKS}/data/{{dataset}}-links.tsv"
    wildcard_constraints:
        dataset=one_of(filter(RUN.lists_edits, FETCHED)),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("list_edits")
    resources:
        **resources_of("list_edits"),
    params:
        code("data/list_edits.py"),
        dataset=lambda w: w.dataset,
        split=lambda w: RUN.datasets[w.dataset]["split"],
        rows=lambda w: RUN.config["rows"].get(w.dataset),
        seed=lambda w: seed_of("data", w.dataset),
    script:
        "../../scripts/data/list_edits.py"


rule fetch_range:
    input:
        links=f"{DATA}/links.parquet",
    output:
        shard=temp(f"{DATA}/ranges/{{part}}.tar"),
        table=temp(f"{DATA}/ranges/{{part}}.parquet"),
    log:
        f"{LOGS}/data/{{dataset}}-{{part}}.log",
    benchmark:
        f"{BENCHMARKS}/data/{{dataset}}-{{part}}.tsv"
    wildcard_constraints:
        dataset=one_of(FETCHED),
        part=r"\d{5}",
    conda:
        "../../envs/download.yaml"
    threads: threads_of("fetch_range")
    resources:
        **resources_of("fetch_range"),
    params:
        code("data/fetch_range.py"),
        FETCHED_BY,
        # What a killed job has fetched stays here for the next one.
        work=lambda w: f"{DATA}/ranges/{w.part}.work".format(dataset=w.dataset),
        start=lambda w: int(w.part) * RUN.config["download"]["range"],
        rows=RUN.config["download"]["range"],
        fetching=untracked(FETCHING),
        transparency=RUN.config["transparency"],
    script:
        "../../scripts/data/fetch_range.py"


rule gather_ranges:
    input:
        links=f"{DATA}/links.parquet",
        shards=lambda w: expand(
            f"{DATA}/ranges/{{part}}.tar", dataset=w.dataset, part=RUN.ranges(w.dataset)
        ),
        tables=lambda w: expand(
            f"{DATA}/ranges/{{part}}.parquet", dataset=w.dataset, part=RUN.ranges(w.dataset)
        ),
    output:
        pairs=f"{DATA}/pairs.parquet",
        images=directory(f"{DATA}/images"),
        fetched=f"{DATA}/fetched.parquet",
    log:
        f"{LOGS}/data/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/data/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(name for name in FETCHED if not RUN.lists_edits(name)),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("gather_ranges")
    resources:
        **resources_of("gather_ranges"),
    params:
        code("data/gather_ranges.py"),
    script:
        "../../scripts/data/gather_ranges.py"


use rule gather_ranges as gather_edits with:
    input:
        links=f"{DATA}/links.parquet",
        edits=f"{DATA}/edits.parquet",
        shards=lambda w: expand(
            f"{DATA}/ranges/{{part}}.tar", dataset=w.dataset, part=RUN.ranges(w.dataset)
        ),
        tables=lambda w: expand(
            f"{DATA}/ranges/{{part}}.parquet", dataset=w.dataset, part=RUN.ranges(w.dataset)
        ),
    wildcard_constraints:
        dataset=one_of(filter(RUN.lists_edits, FETCHED)),


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
    threads: threads_of("write_examples")
    resources:
        **resources_of("write_examples"),
    params:
        code("data/write_examples.py"),
        datasets=[
            {"kind": RUN.datasets[name]["kind"], "seed": seed_of("examples", name)}
            for name in exemplified()
        ],
        blur=RUN.config["galleries"]["blur"],
    script:
        "../../scripts/data/write_examples.py"
