# Stage encode: sparse codes, written once and read by every metric.


rule encode_store:
    input:
        read_arrays(),
        of_seeds(f"{SAE}/config.json", f"{SAE}/sae.safetensors"),
        store=f"{STORE}/store.json",
    output:
        of_seeds(*CODED),
    log:
        f"{LOGS}/encode/{{model}}-{{sae}}{SEED_OF_JOB}-{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/encode/{{model}}-{{sae}}{SEED_OF_JOB}-{{dataset}}.tsv"
    wildcard_constraints:
        dataset=of_kind("pairs", "classes"),
    conda:
        "../../envs/train.yaml"
    threads: threads_of("encode_store")
    resources:
        **resources_of("encode_store"),
    params:
        code_for_saes("encode/encode_store.py"),
        block=untracked(RUN.config["encode"]["block"]),
        each=each_seed(
            weights=f"{SAE}/sae.safetensors",
            codes=f"{CODES}/codes.json",
            what="{dataset} with {model} {sae} seed {n}",
        ),
    script:
        "../../scripts/encode/encode_store.py"


use rule encode_store as encode_edits with:
    output:
        of_seeds(*EDITS_CODED),
    wildcard_constraints:
        dataset=of_kind("edits"),
