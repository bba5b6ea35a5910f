# Stage report: one page with every table and figure, and one that compares them with the paper.

from isoenergy.report.words import command_options

# What to add to `snakemake TARGET` for the same run, as it was given.
OPTIONS = command_options(
    CONFIG_FILE.split(", ") if workflow.config_settings.configfiles else [],
    workflow.config_settings.config,
)


rule write_report:
    input:
        f"{REPOSITORY}/scripts/isoenergy/report/page.html",
        f"{REPOSITORY}/scripts/isoenergy/report/style.css",
        [f"{RESULTS}/tables/{name}.csv" for name in RUN.targets_of("table")],
        [f"{RESULTS}/tables/{name}.txt" for name in RUN.targets_of("table")],
        [f"{RESULTS}/figures/{name}.png" for name in RUN.targets_of("figure")],
        [f"{RESULTS}/figures/{name}.txt" for name in RUN.targets_of("figure")],
        contents=f"{REPOSITORY}/config/contents.tsv",
        contents_schema=f"{REPOSITORY}/workflow/schemas/contents.schema.yaml",
        compared=f"{RESULTS}/compare.csv",
        findings=f"{RESULTS}/compare_claims.csv",
        paper_values=f"{REPOSITORY}/config/paper_values.tsv",
        paper_values_schema=f"{REPOSITORY}/workflow/schemas/paper_values.schema.yaml",
        claims=f"{REPOSITORY}/config/claims.tsv",
        claims_schema=f"{REPOSITORY}/workflow/schemas/claims.schema.yaml",
        pyproject=f"{REPOSITORY}/pyproject.toml",
    output:
        page=f"{RESULTS}/report.html",
    log:
        f"{LOGS}/report/report.log",
    group:
        "report"
    conda:
        "../../envs/render.yaml"
    threads: threads_of("write_report")
    resources:
        **resources_of("write_report"),
    params:
        code("report/write_report.py"),
        results=lambda w, output: str(Path(output.page).parent),
        targets=[
            {key: row[key] for key in ("target", "kind", "title", "cost_demo", "cost_paper")}
            for name, row in RUN.targets.items()
            if row["kind"] in ("table", "figure") and RUN.available(name)
        ],
        config_file=CONFIG_FILE,
        options=OPTIONS,
        config=RUN.config,
    script:
        "../../scripts/report/write_report.py"


rule write_comparison:
    input:
        f"{REPOSITORY}/scripts/isoenergy/report/comparison.html",
        f"{REPOSITORY}/scripts/isoenergy/report/style.css",
        tables=[f"{RESULTS}/tables/{name}.csv" for name in RUN.targets_of("table")],
        paper_values=f"{REPOSITORY}/config/paper_values.tsv",
        paper_values_schema=f"{REPOSITORY}/workflow/schemas/paper_values.schema.yaml",
        claims=f"{REPOSITORY}/config/claims.tsv",
        claims_schema=f"{REPOSITORY}/workflow/schemas/claims.schema.yaml",
        reference=f"{REPOSITORY}/config/config.yaml",
    output:
        csv=f"{RESULTS}/compare.csv",
        findings=f"{RESULTS}/compare_claims.csv",
        page=f"{RESULTS}/compare.html",
    log:
        f"{LOGS}/report/compare.log",
    group:
        "report"
    conda:
        "../../envs/render.yaml"
    threads: threads_of("write_comparison")
    resources:
        **resources_of("write_comparison"),
    params:
        code("report/write_comparison.py"),
        titles={name: RUN.targets[name]["title"] for name in RUN.targets_of("table")},
        config_file=CONFIG_FILE,
        options=OPTIONS,
        config=RUN.config,
    script:
        "../../scripts/report/write_comparison.py"
