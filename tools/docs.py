"""Write what documents take from registries, schemas and the plan of a run (`make docs`)."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from isoenergy.files import write_text
from isoenergy.schema import describe, load_schema, read_registry

NEEDS = {
    "pairs": "",
    "factors": "rendered scenes",
    "comparison": "its SAEs under `comparisons`",
    "sweep": "`beta_sweep`",
    "toy": "the block `toy`",
    "transfer": "`datasets.transfer`",
    "classes": "`datasets.classes`",
    "edits": "`datasets.edits`",
    "captions": "of a store: captions",
    "pictures": "no store",
    "nothing": "",
}

# Tight enough to be read at the width of a page.
CLOSE = '%%{init: {"flowchart": {"nodeSpacing": 12, "rankSpacing": 36, "padding": 8}}}%%'


def read_schema(name: str) -> dict:
    """A schema of the workflow by name."""
    return load_schema(ROOT / f"workflow/schemas/{name}.schema.yaml")


def target_table() -> str:
    """Every target with its cost, as a markdown table."""
    targets = read_registry(ROOT / "config/targets.tsv", read_schema("targets"))
    lines = [
        "| target | what it is | cost, demo | cost, paper | needs |",
        "|---|---|---:|---:|---|",
    ]
    lines += [
        f"| `{name}` | {row['title']} | {row['cost_demo']} | {row['cost_paper']} | "
        f"{NEEDS[row['needs']]} |"
        for name, row in targets.items()
    ]
    return "\n".join(lines) + "\n"


def readings_table() -> str:
    """Every place where paper and authors' code differ, from the page that explains them."""
    lines = [
        "| | topic | the paper | the authors' code | here | effect on the demo |",
        "|---|---|---|---|---|---|",
    ]
    for line in (ROOT / "docs/readings.md").read_text().splitlines():
        if line.startswith('| <a id="x'):
            cells = [cell.strip() for cell in line.strip()[1:-1].split("|")]
            item, topic, paper, code, here, _, effect = cells
            name = item.partition("</a>")[2]
            told = f"[{name}](docs/readings.md#{name.lower()})"
            lines.append(f"| {told} | {topic} | {paper} | {code} | {here} | {effect} |")
    return "\n".join(lines) + "\n"


def rule_graph() -> str:
    """Which rule of the demo takes what which other gives, as a diagram in mermaid.

    An arrow that follows from others is left out, else there would be twice as many.
    """
    config = ["--configfile", str(ROOT / "config/demo.yaml")]
    told = plan("results/demo/report.html", *config, "--rulegraph", "mermaid-js")
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]$", told, flags=re.M))
    arrows = re.findall(r"^\s*(id\d+) --> (id\d+)$", told, flags=re.M)
    stages = rules_by_stage(set(names.values()))
    order = [rule for rules in stages.values() for rule in rules]
    kept = reduce_graph({(names[start], names[end]) for start, end in arrows})
    lines = ["```mermaid", CLOSE, "flowchart LR"]
    for stage, rules in stages.items():
        lines += [f"  subgraph {stage}", *(f"    {rule}" for rule in rules), "  end"]
    where = sorted(kept, key=lambda arrow: [order.index(rule) for rule in arrow])
    return "\n".join([*lines, *(f"  {start} --> {end}" for start, end in where), "```"]) + "\n"


def plan(*words: str) -> str:
    """What Snakemake prints of a run in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        place = ["--snakefile", str(ROOT / "workflow/Snakefile"), "--directory", folder]
        command = [sys.executable, "-m", "snakemake", *words, *place]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def jobs_table() -> str:
    """The jobs of the paper's run by rule, and what each asks a cluster for."""
    told = plan("--dry-run", "--workflow-profile", "none", "--cores", "64")
    jobs, cores = {}, 1
    # Of each job, those of groups indented: its rule, its cores if several, what it asks for.
    for rule, threads, resources in re.findall(
        r"^ *(?:local)?rule (\w+):|^ *threads: (\d+)|^ *resources: (.*)", told, flags=re.M
    ):
        if rule:
            own, cores = jobs.setdefault(rule, []), 1
        elif threads:
            cores = int(threads)
        else:
            asked = re.findall(r"(\w+)=(\d+)(?=,|$)", resources)
            own.append({"cores": cores} | {name: int(number) for name, number in asked})
    lines = [
        "| rule | jobs | GPUs | cores | memory, GB | time limit, h | hours asked for |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    every = []
    for rules in rules_by_stage(set(jobs)).values():
        for rule in rules:
            own = jobs[rule]
            every += own
            lines.append(
                f"| `{rule}` | {len(own)} | {spread(own, 'gpu', 1)} | {spread(own, 'cores', 1)} "
                f"| {spread(own, 'mem_mb', 1000)} | {spread(own, 'runtime', 60)} "
                f"| {sum(job['runtime'] for job in own) / 60:,.0f} |"
            )
    hours = sum(job["runtime"] for job in every) / 60
    return "\n".join([*lines, f"| all | {len(every)} | | | | | {hours:,.0f} |"]) + "\n"


def spread(jobs: list[dict[str, int]], name: str, unit: int) -> str:
    """From the least to the most that jobs ask for, in these units."""
    asked = [job.get(name, 0) / unit for job in jobs]
    low, high = (
        f"{number:,.{0 if number >= 10 or unit == 1 else 1}f}"
        for number in (min(asked), max(asked))
    )
    return low if low == high else f"{low}–{high}"


def rules_by_stage(rules: set[str]) -> dict[str, list[str]]:
    """Rules under their stage, both in the order of the workflow; files begin with its name."""
    included = re.findall(
        r'^include: "rules/(\w+)\.smk"', (ROOT / "workflow/Snakefile").read_text(), flags=re.M
    )
    stages: dict[str, list[str]] = {}
    for file in included:
        text = (ROOT / f"workflow/rules/{file}.smk").read_text()
        own = [
            rule
            for rule in re.findall(r"^(?:use rule \w+ as|rule) (\w+)(?: with)?:", text, flags=re.M)
            if rule in rules
        ]
        if own:
            stages.setdefault(file.partition("_")[0], []).extend(own)
    return stages


def reduce_graph(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows of an acyclic graph that no longer way replaces."""

    def reached(start: str) -> set[str]:
        ends = {end for other, end in arrows if other == start}
        return ends.union(*map(reached, ends))

    longer = {
        (start, far) for start, end in arrows for far in reached(end) if (start, far) in arrows
    }
    return arrows - longer


def fill(text: str, name: str, content: str) -> str:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->``."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = f"{start}\n\n{content.strip()}\n\n{end}"
    place = f"{re.escape(start)}.*?{re.escape(end)}"
    filled, places = re.subn(place, lambda _: block, text, flags=re.S)
    if places != 1:
        raise SystemExit(f"{start} ... {end} stands in {places} places of its document, not in one")
    return filled


def documents() -> dict[Path, str]:
    """Each document with its generated parts made anew."""
    registries = (
        "models",
        "datasets",
        "downloads",
        "saes",
        "targets",
        "contents",
        "toy_search",
        "paper_values",
        "claims",
    )
    described = {name: describe(read_schema(name)) for name in ("config", *registries)}
    parts = {
        "README.md": {
            "targets": target_table(),
            "readings": readings_table(),
            "rules": rule_graph(),
        },
        "config/README.md": described,
        "docs/cluster.md": {"jobs": jobs_table()},
    }
    filled = {}
    for name, contents in parts.items():
        text = (ROOT / name).read_text()
        for part, content in contents.items():
            text = fill(text, part, content)
        filled[ROOT / name] = text
    return filled


if __name__ == "__main__":
    for path, text in documents().items():
        write_text(path, text)
