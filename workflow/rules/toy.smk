# Stage toy: pairs drawn from a known process, SAEs trained on them, and how near they come.


rule write_toy:
    output:
        written_arrays(f"{TOY}/store"),
        store=f"{TOY}/store/store.json",
        truth=f"{TOY}/truth.safetensors",
    log:
        f"{LOGS}/toy/{{toy}}.log",
    benchmark:
        f"{BENCHMARKS}/toy/{{toy}}.tsv"
    group:
        "toy"
    conda:
        "../../envs/toy.yaml"
    threads: threads_of("write_toy")
    resources:
        **resources_of("write_toy"),
    params:
        code("toy/write_toy.py"),
        name=lambda w: w.toy,
        rows=lambda w: RUN.config["toy"]["rows"],
        setting=lambda w: RUN.toy_setting(w.toy),
        # The pairs that the first SAE of Table 5 is trained on.
        seed=lambda w: toy_seed(w.toy, RUN.config["toy"]["seeds"][0]),
    script:
        "../../scripts/toy/write_toy.py"


rule write_sketch:
    output:
        sketch=SKETCH,
    log:
        f"{LOGS}/toy/sketch.log",
    group:
        "toy"
    conda:
        "../../envs/toy.yaml"
    threads: threads_of("write_sketch")
    resources:
        **resources_of("write_sketch"),
    params:
        code("toy/write_sketch.py"),
        rows=500,  # per cluster, as in the paper's figure
        seed=seed_of("sketch"),
    script:
        "../../scripts/toy/write_sketch.py"


rule run_toy:
    output:
        files(f"{TOY_SAE}/metrics", TOY_METRICS),
        weights=f"{TOY_SAE}/sae.safetensors",
        config=f"{TOY_SAE}/config.json",
        history=f"{TOY_SAE}/history.parquet",
    log:
        f"{LOGS}/toy/{{toy}}-{{sae}}-seed{{n}}.log",
    benchmark:
        f"{BENCHMARKS}/toy/{{toy}}-{{sae}}-seed{{n}}.tsv"
    priority: 10
    conda:
        "../../envs/toy.yaml"
    threads: threads_of("run_toy")
    resources:
        **resources_of("run_toy"),
    params:
        code_for_saes("toy/run_toy.py"),
        folder=f"{TOY_SAE}/metrics",
        state=f"{TOY_SAE}/state.safetensors",
        setting=lambda w: RUN.toy_setting(w.toy),
        rows=lambda w: RUN.config["toy"]["rows"],
        architecture=lambda w: RUN.saes[w.sae]["architecture"],
        n_atoms=lambda w: RUN.config["toy"][w.toy]["n_atoms"],
        l0=lambda w: RUN.config["toy"][w.toy]["l0"],
        training=lambda w: toy_training(w.toy, w.sae),
        readings=lambda w: {
            key: RUN.config["toy"][w.toy][f"{key}_reading"] for key in ("distance", "matching")
        },
        # Every kind of SAE starts from the same atoms and sees the same pairs in the same order.
        data_seed=lambda w: toy_seed(w.toy, w.n),
        seed=lambda w: seed_of("toy sae", w.toy, w.n),
        what=lambda w: f"train {w.toy} {w.sae} seed {w.n}",
    script:
        "../../scripts/toy/run_toy.py"


use rule run_toy as search_toy with:
    output:
        files(f"{TOY_SEARCH}/metrics", TOY_METRICS),
        weights=f"{TOY_SEARCH}/sae.safetensors",
        config=f"{TOY_SEARCH}/config.json",
        history=f"{TOY_SEARCH}/history.parquet",
    log:
        f"{LOGS}/toy/search-{{setting}}-seed{{n}}.log",
    benchmark:
        f"{BENCHMARKS}/toy/search-{{setting}}-seed{{n}}.tsv"
    threads: threads_of("search_toy")
    resources:
        **resources_of("search_toy"),
    params:
        code("toy/run_toy.py", ["matching_pursuit"]),
        folder=f"{TOY_SEARCH}/metrics",
        state=f"{TOY_SEARCH}/state.safetensors",
        setting=lambda w: searched(w, "k", "active", "tau_1", "tau_2")
        | {"dim": RUN.config["toy"]["dim"]},
        rows=lambda w: RUN.toy_search[w.setting]["rows"],
        architecture="matching_pursuit",
        n_atoms=lambda w: RUN.toy_search[w.setting]["n_atoms"],
        l0=lambda w: RUN.toy_search[w.setting]["l0"],
        training=lambda w: search_training(w),
        readings={"distance": "merged", "matching": "merged"},
        data_seed=lambda w: toy_seed(RUN.toy_search[w.setting]["toy"], w.n),
        seed=lambda w: seed_of("toy sae", RUN.toy_search[w.setting]["toy"], w.n),
        what=lambda w: f"train {w.setting} seed {w.n}",


rule rank_toy:
    input:
        [
            path
            for name in RUN.toy_search
            for folder in search_folders(name)
            for path in files(folder, TOY_METRICS)
        ],
    output:
        numbers=f"{RESULTS}/toy/search.csv",
        ranking=f"{RESULTS}/toy/search_ranking.csv",
    log:
        f"{LOGS}/toy/rank.log",
    conda:
        "../../envs/toy.yaml"
    threads: threads_of("rank_toy")
    resources:
        **resources_of("rank_toy"),
    params:
        code("toy/rank_toy.py"),
        settings=list(RUN.toy_search.values()),
        folders={name: search_folders(name) for name in RUN.toy_search},
    script:
        "../../scripts/toy/rank_toy.py"
