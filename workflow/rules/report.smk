# Stage report: one page with every table and figure, and one that compares them with the paper.

from isoenergy.report.words import command_options

# What to add to `snakemake TARGET` for the same run, as it was given.
OPTIONS = command_options(
    CONFIG_FILE.split(", ") if workflow.config_settings.configfiles else [],
    workflow.config_settings.config,
)


rule write_report:
    input:
        of_repository("scripts/isoenergy/report/page.html"),
        of_repository("scripts/isoenergy/report/style.css"),
        [f"{RESULTS}/tables/{name}.csv" for name in RUN.targets_of("table")],
        [f"{RESULTS}/tables/{name}.txt" for name in RUN.targets_of("table")],
        [f"{RESULTS}/figures/{name}.png" for name in RUN.targets_of("figure")],
        [f"{RESULTS}/figures/{name}.txt" for name in RUN.targets_of("figure")],
        contents=of_repository("config/contents.tsv"),
        contents_schema=of_repository("workflow/schemas/contents.schema.yaml"),
        compared=f"{RESULTS}/compare.csv",
        findings=f"{RESULTS}/compare_claims.csv",
        paper_values=of_repository("config/paper_values.tsv"),
        paper_values_schema=of_repository("workflow/schemas/paper_values.schema.yaml"),
        claims=of_repository("config/claims.tsv"),
        claims_schema=of_repository("workflow/schemas/claims.schema.yaml"),
        pyproject=of_repository("pyproject.toml"),
        stores=adopted_descriptions(),
    output:
        page=f"{RESULTS}/report.html",
    log:
        f"{LOGS}/report/report.log",
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
        notes=training_notes(RUN),
        config_file=CONFIG_FILE,
        options=untracked(OPTIONS),
        config=RUN.remaking,
    script:
        "../../scripts/report/write_report.py"


rule write_comparison:
    input:
        of_repository("scripts/isoenergy/report/comparison.html"),
        of_repository("scripts/isoenergy/report/style.css"),
        tables=[f"{RESULTS}/tables/{name}.csv" for name in RUN.targets_of("table")],
        paper_values=of_repository("config/paper_values.tsv"),
        paper_values_schema=of_repository("workflow/schemas/paper_values.schema.yaml"),
        claims=of_repository("config/claims.tsv"),
        claims_schema=of_repository("workflow/schemas/claims.schema.yaml"),
        reference=of_repository("config/config.yaml"),
    output:
        csv=f"{RESULTS}/compare.csv",
        findings=f"{RESULTS}/compare_claims.csv",
        page=f"{RESULTS}/compare.html",
        summary=f"{RESULTS}/summary.json",
    log:
        f"{LOGS}/report/compare.log",
    conda:
        "../../envs/render.yaml"
    threads: threads_of("write_comparison")
    resources:
        **resources_of("write_comparison"),
    params:
        code("report/write_comparison.py"),
        titles={name: RUN.targets[name]["title"] for name in RUN.targets_of("table")},
        config_file=CONFIG_FILE,
        options=untracked(OPTIONS),
        config=RUN.remaking,
    script:
        "../../scripts/report/write_comparison.py"
