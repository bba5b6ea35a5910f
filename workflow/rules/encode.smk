# Stage encode: sparse codes, written once and read by every metric.


rule encode_store:
    input:
        f"{SAE}/config.json",
        weights=f"{SAE}/sae.safetensors",
        store=f"{STORE}/store.json",
    output:
        [f"{CODES}/{name}" for name in CODE_FILES],
        codes=f"{CODES}/codes.json",
    log:
        f"{LOGS}/encode/{{model}}-{{sae}}-seed{{n}}-{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/encode/{{model}}-{{sae}}-seed{{n}}-{{dataset}}.tsv"
    wildcard_constraints:
        dataset=of_kind("pairs", "classes"),
    conda:
        "../../envs/train.yaml"
    params:
        code("encode/encode_store.py"),
        block=RUN.config["encode"]["block"],
        what=lambda w: f"{w.dataset} with {w.model} {w.sae} seed {w.n}",
    script:
        "../../scripts/encode/encode_store.py"


use rule encode_store as encode_edits with:
    output:
        [f"{CODES}/{name}" for name in (*CODE_FILES, *SOURCE_FILES)],
        codes=f"{CODES}/codes.json",
    wildcard_constraints:
        dataset=of_kind("edits"),
