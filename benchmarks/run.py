"""Every benchmark, one after the other, and one table of what each must not miss.

Nothing else should run beside. A benchmark that misses a bound does not keep the next ones from
running. Ends with an error where one did, or did not end.

    python benchmarks/run.py [NAME ...]
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bounds import KEPT, Bound

HERE = Path(__file__).resolve().parent
NAMES = (
    "pursuit",
    "training",
    "scale",
    "measure",
    "embedding",
    "workflow",
    "transport",
    "atoms",
)


def machine() -> str:
    """Processor, cores, memory, versions and date."""
    from importlib.metadata import version

    model = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        lines = [line for line in cpus.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} cores of {model}, {memory:.0f} GB; Python {platform.python_version()}, "
        f"torch {version('torch')}; {datetime.date.today()}"
    )


def run(name: str) -> tuple[list[Bound], float, int]:
    """Bounds of a benchmark, its seconds and its exit status; what it prints is printed."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "bounds"
        start = time.perf_counter()
        done = subprocess.run([sys.executable, HERE / f"{name}.py"], env=os.environ | {KEPT: kept})
        lines = kept.read_text().splitlines() if kept.exists() else []
        seconds = time.perf_counter() - start
    return [Bound(**json.loads(line)) for line in lines], seconds, done.returncode


def main() -> None:
    """Print what each prints, then a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    names = parser.parse_args().names or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(NAMES)}")
    table, failed = [], []
    for name in names:
        print(f"== {name}", flush=True)
        bounds, seconds, status = run(name)
        print(f"== {name}: {seconds:.0f} s\n", flush=True)
        if status:
            failed.append(name)
        for bound in bounds:
            side = "at least" if bound.at_least else "at most"
            mark = " (missed)" if bound.missed() else ""
            table.append(
                f"| {name} | {bound.what} | {bound.value:.3g} | {side} {bound.bound:g}{mark} |"
            )
    print(f"{machine()}\n\n| benchmark | what | measured | bound |\n|---|---|---:|---|")
    print("\n".join(table))
    if failed:
        sys.exit(f"a bound was missed, or there was an error, in: {', '.join(failed)}")


if __name__ == "__main__":
    main()
