import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isoenergy.report.claims import Finding
from isoenergy.report.compare import COMPARED
from isoenergy.report.page import write_report
from isoenergy.schema import load_schema, read_registry

# Markup, and a word that is wider than a page.
HOSTILE = (
    '"><script>alert(1)</script><img src=http://a.example/x onerror=alert(2)>&amp;' + 120 * "w"
)
TIDY = """metric,variant,model,dataset,value,sd,seeds,n,protocol,note
r2,SAE,NA,D,0.5,0.1,2,7 pairs,code,
r2,SAE-A,NA,D,inf,,2,7 pairs,code,no <b>spread</b>
"""


@pytest.fixture(scope="session")
def paper_values(root):
    """Rows of config/paper_values.tsv."""
    schema = load_schema(root / "workflow/schemas/paper_values.schema.yaml")
    return list(read_registry(root / "config/paper_values.tsv", schema).values())


@pytest.fixture(scope="session")
def as_printed(root):
    """The same rows as text, with the digits that are printed."""
    with (root / "config/paper_values.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="session")
def claims(root):
    """Rows of config/claims.tsv by name."""
    schema = load_schema(root / "workflow/schemas/claims.schema.yaml")
    return read_registry(root / "config/claims.tsv", schema)


def _rows(path, columns, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _number(variant, model, paper, ours, verdict, why=""):
    keys = {"table": "table_01", "metric": "rho", "variant": variant, "model": model}
    keys |= {"dataset": "laion", "source": "paper", "tolerance": 0.1}
    return keys | {"paper": paper, "ours": ours, "verdict": verdict, "why": why}


def _finding(claim, model, left, right, verdict):
    keys = {"claim": claim, "model": model, "dataset": "D", "change": 0, "spread": 0.1}
    return keys | {"left": left, "left_sd": 0.1, "right": right, "verdict": verdict}


@pytest.fixture
def results(tmp_path):
    """Results of a run of one table and one figure, as far as the report reads them."""
    for name in ("tables", "figures"):
        (tmp_path / name).mkdir()
    (tmp_path / "tables/table_01.csv").write_text(TIDY)
    (tmp_path / "tables/table_01.txt").write_text("A table.\n")
    picture = io.BytesIO()
    Image.fromarray(np.zeros((100, 700, 3), np.uint8)).save(picture, "png")
    (tmp_path / "figures/figure_02.png").write_bytes(picture.getvalue())
    (tmp_path / "figures/figure_02.txt").write_text("A figure.\n")
    _rows(
        tmp_path / "compare.csv",
        COMPARED,
        [
            _number("SAE", "CLIP", 0.327, 0.35, "agrees"),
            _number("SAE", "NA", 1.5, "", "not comparable", "model NA is not in this run"),
            _number("SAE-A", "CLIP", 4.232, "inf", "differs"),
            _number("SAE-A", "NA", 9.75, 9, "not comparable", "another protocol"),
            _number("SAE", "CLIP", 0.5, "", "not comparable", "else") | {"source": "notebook"},
        ],
    )
    _rows(
        tmp_path / "compare_claims.csv",
        list(Finding.__annotations__),
        [
            _finding("raises_rho", "CLIP", 4.2, 0.35, "holds"),
            _finding("raises_rho", "NA", 0.5, 0.75, "does not hold"),
            _finding("bimodal_carry_alignment", "NA", 0.5, "", "does not hold"),
            _finding("masking_closes_gap", "NA", 0.1, 0.5, "holds"),
            _finding("toy_1_equal_codes", "", "", "", "not measured"),
        ],
    )
    return tmp_path


@pytest.fixture
def write(root, results):
    """Write the report of ``results``, some arguments changed; gives its text."""

    def written(**changes):
        costs = {"cost_demo": "7 min", "cost_paper": "7 GPU h"}
        arguments = {
            "results": results,
            "targets": [
                {"target": "figure_02", "kind": "figure", "title": "F", **costs},
                {"target": "table_01", "kind": "table", "title": "T", **costs},
            ],
            "compared": results / "compare.csv",
            "findings": results / "compare_claims.csv",
            "pyproject": root / "pyproject.toml",
            "stores": [],
            "notes": [],
            "config_file": "config/demo.yaml",
            "options": " --configfile config/demo.yaml",
            "config": {"store": None},
            "page": results / "report.html",
        }
        for name in ("contents", "paper_values", "claims"):
            arguments[name] = root / f"config/{name}.tsv"
            arguments[f"{name}_schema"] = root / f"workflow/schemas/{name}.schema.yaml"
        write_report(**arguments | changes)
        return Path(arguments["page"]).read_text()

    return written


@pytest.fixture
def hostile(results, write):
    """The report where every text that comes from data or a config is markup."""
    (results / "tables/table_01.csv").write_text(
        TIDY.replace("NA", '"' + HOSTILE.replace('"', '""') + '"')
    )
    for name in ("tables/table_01", "figures/figure_02"):
        (results / f"{name}.txt").write_text(HOSTILE)
    for name in ("compare.csv", "compare_claims.csv"):
        with (results / name).open(newline="") as file:
            reader = csv.DictReader(file)
            rows = [
                {
                    column: HOSTILE
                    if column in ("variant", "model", "dataset", "why")
                    else ("holds" if text == "not measured" else text)
                    for column, text in row.items()
                }
                for row in reader
            ]
        _rows(results / name, reader.fieldnames, rows)
    costs = {"cost_demo": HOSTILE, "cost_paper": HOSTILE}
    write(
        targets=[
            {"target": "figure_02", "kind": "figure", "title": HOSTILE, **costs},
            {"target": "table_01", "kind": "table", "title": HOSTILE, **costs},
        ],
        config_file=HOSTILE,
        options=HOSTILE,
        config={"results": HOSTILE, HOSTILE: [HOSTILE]},
    )
    return results / "report.html"
