# Stage report: one page with every table and figure.


rule write_report:
    input:
        f"{REPOSITORY}/scripts/isoenergy/report/page.html",
        [f"{RESULTS}/tables/{name}.csv" for name in RUN.targets_of("table")],
        [f"{RESULTS}/tables/{name}.txt" for name in RUN.targets_of("table")],
        [f"{RESULTS}/figures/{name}.png" for name in RUN.targets_of("figure")],
        [f"{RESULTS}/figures/{name}.txt" for name in RUN.targets_of("figure")],
    output:
        page=f"{RESULTS}/report.html",
    log:
        f"{LOGS}/report/report.log",
    conda:
        "../../envs/render.yaml"
    params:
        code("report/write_report.py"),
        results=lambda w, output: str(Path(output.page).parent),
        targets=[
            {"target": name, "kind": row["kind"], "title": row["title"]}
            for name, row in RUN.targets.items()
            if row["kind"] in ("table", "figure") and RUN.available(name)
        ],
        config_file=CONFIG_FILE,
        config=RUN.config,
    script:
        "../../scripts/report/write_report.py"
