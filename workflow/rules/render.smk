# Stage render: tables and figures, from metrics only.

# They are drawn as soon as they can be: whatever waits, Snakemake looks up all its inputs again
# before every job, and a table has hundreds.
RENDER_FIRST = 20


rule render_table:
    input:
        table_inputs,
    output:
        csv=f"{RESULTS}/tables/{{target}}.csv",
        markdown=f"{RESULTS}/tables/{{target}}.md",
        latex=f"{RESULTS}/tables/{{target}}.tex",
        text=f"{RESULTS}/tables/{{target}}.txt",
    log:
        f"{LOGS}/render/{{target}}.log",
    wildcard_constraints:
        target=one_of(RUN.targets_of("table")),
    priority: RENDER_FIRST
    group:
        "render"
    conda:
        "../../envs/render.yaml"
    threads: threads_of("render_table")
    resources:
        **resources_of("render_table"),
    params:
        code("render/render_table.py"),
        target=lambda w: w.target,
        sources=lambda w: table_sources(w.target),
        template=lambda w: RUN.targets[w.target]["caption"],
        words=lambda w: words_of(w.target),
        sizes=lambda w: sizes_of(w.target),
        settings=RUN.config["measure"],
    script:
        "../../scripts/render/render_table.py"


rule render_figure:
    input:
        lambda w: [path for path, _ in sizes_of(w.target).values()],
        lambda w: panel_files(w.target),
    output:
        data=f"{RESULTS}/figures/data/{{target}}.parquet",
        png=f"{RESULTS}/figures/{{target}}.png",
        pdf=f"{RESULTS}/figures/{{target}}.pdf",
        text=f"{RESULTS}/figures/{{target}}.txt",
    log:
        f"{LOGS}/render/{{target}}.log",
    wildcard_constraints:
        target=one_of(RUN.targets_of("figure")),
    priority: RENDER_FIRST
    group:
        "render"
    conda:
        "../../envs/render.yaml"
    threads: threads_of("render_figure")
    resources:
        **resources_of("render_figure"),
    params:
        code("render/render_figure.py"),
        target=lambda w: w.target,
        sources=lambda w: figure_sources(w.target),
        template=lambda w: RUN.targets[w.target]["caption"],
        words=lambda w: words_of(w.target),
        sizes=lambda w: sizes_of(w.target),
        settings=RUN.config["measure"],
    script:
        "../../scripts/render/render_figure.py"
