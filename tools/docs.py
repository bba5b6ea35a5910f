"""Write what README.md and config/README.md take from registries and schemas (`make docs`)."""

import re
import sys
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


def fill(text: str, name: str, content: str) -> str:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->``."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = f"{start}\n\n{content.strip()}\n\n{end}"
    return re.sub(f"{re.escape(start)}.*?{re.escape(end)}", lambda _: block, text, flags=re.S)


def documents() -> dict[Path, str]:
    """Each document with its generated parts made anew."""
    readme, config = ROOT / "README.md", ROOT / "config/README.md"
    told = fill(readme.read_text(), "targets", target_table())
    filled = {readme: fill(told, "readings", readings_table())}
    text = config.read_text()
    registries = ("models", "datasets", "saes", "targets", "toy_search", "paper_values", "claims")
    for name in ("config", *registries):
        text = fill(text, name, describe(read_schema(name)))
    return {**filled, config: text}


if __name__ == "__main__":
    for path, text in documents().items():
        write_text(path, text)
