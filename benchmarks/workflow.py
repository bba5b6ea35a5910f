"""What the workflow itself costs: planning a run, and starting the demo's jobs.

Planning is `snakemake all --dry-run` of a fresh checkout's configs. Starting is Python and the
imports of a job's script, timed as `python scripts/.../name.py --help`, times the number of jobs;
the reference is the demo with a job for every seed and beta (`together: false`). Where the demo has
been run, starting is also told as a share of the seconds that all its jobs took, which Snakemake
has written down (`benchmark:`).

Ends with an error where planning the paper's run takes longer than a bound, or sharing jobs saves
less than one.

    python benchmarks/workflow.py
"""

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bounds import Bound, settle

ROOT = Path(__file__).resolve().parents[1]
MOST_SECONDS, LEAST_RATIO = 30.0, 1.5
REPEATS = 3


def plan(config: str, *options: str) -> tuple[float, dict[str, int]]:
    """Seconds of a dry run from nothing, and the number of jobs of each rule."""
    with tempfile.TemporaryDirectory() as empty:
        start = time.perf_counter()
        where = ("--snakefile", ROOT / "workflow/Snakefile", "--directory", empty)
        what = ("--configfile", ROOT / config, "--config", "preflight=false", *options)
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "all", "--dry-run", "--cores", "2", *where, *what],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - start
    table = done.stdout.partition("Job stats:")[2].partition("total")[0]
    counts = re.findall(r"^(\w+) +(\d+)$", table, flags=re.M)
    return seconds, {rule: int(count) for rule, count in counts}


def scripts() -> dict[str, str]:
    """The script of each rule that has one."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    found, heirs = {}, {}
    for block in re.split(r"^ *(?=(?:use )?rule )", text, flags=re.M):
        if heir := re.match(r"use rule (\w+) as (\w+)", block):
            heirs[heir[2]] = heir[1]
        if (own := re.match(r"rule (\w+):", block)) and (
            path := re.search(r'"\.\./\.\./(scripts/[\w/]+\.py)"', block)
        ):
            found[own[1]] = path[1]
    return found | {heir: found[rule] for heir, rule in heirs.items()}


def start_up(script: str) -> float:
    """Seconds of Python and a script's imports, the fastest of some."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, ROOT / script, "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


def seconds_of_jobs(results: Path) -> float:
    """What the jobs of a finished run took, one after the other."""
    total = 0.0
    for path in results.rglob("*.tsv"):
        with path.open() as lines:
            total += sum(float(row["s"]) for row in csv.DictReader(lines, delimiter="\t"))
    return total


def main() -> None:
    """Print markdown tables, and end with an error where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=ROOT / "results/demo", help="of the demo")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

    print("| config | jobs | planning, s |\n|---|---:|---:|")
    planned = {}
    for config in ("config/demo.yaml", "config/config.yaml"):
        plan(config)  # compiles what is imported
        seconds, planned[config] = plan(config)
        print(f"| `{config}` | {sum(planned[config].values())} | {seconds:.1f} |", flush=True)

    apart = plan("config/demo.yaml", "together=false")[1]
    known = scripts()
    each = {script: start_up(script) for script in sorted({known[r] for r in apart if r in known})}
    starting = [
        sum(each[known[rule]] * count for rule, count in jobs.items() if rule in known)
        for jobs in (planned["config/demo.yaml"], apart)
    ]
    ratio = starting[1] / starting[0]
    slowest = max(each, key=each.get)
    print("\n| starting the demo's jobs | jobs | s |\n|---|---:|---:|")
    print(f"| as they are | {sum(planned['config/demo.yaml'].values())} | {starting[0]:.0f} |")
    print(f"| one for every seed and beta | {sum(apart.values())} | {starting[1]:.0f} |")
    print(f"\ntimes less: {ratio:.2f}; slowest start: {slowest}, {each[slowest]:.1f} s")
    taken = seconds_of_jobs(arguments.results / "benchmarks")
    if taken:
        print(f"share of the {taken:.0f} s that the demo's jobs took: {starting[0] / taken:.0%}")
    settle(
        [
            Bound("seconds of planning the paper's run", seconds, MOST_SECONDS),
            Bound("times less starting where seeds share jobs", ratio, LEAST_RATIO, at_least=True),
        ]
    )


if __name__ == "__main__":
    main()
