import re
from collections import Counter

import pandas as pd
import pytest
import yaml

from isoenergy.render.tidy import COLUMNS
from isoenergy.report.claims import ABSENT, FAILS, VERDICTS
from isoenergy.report.comparison import write_comparison
from isoenergy.report.words import rule_of, short

ROWS = [
    # metric, SAE, model, data set, value, spread
    ("mse", "SAE", "CLIP", "laion", 0.1405, 0.001),
    ("rho", "SAE", "CLIP", "laion", 0.9, 0.01),
    ("rho", "SAE-A", "CLIP", "laion", 0.5, 0.02),
    ("r2", "SAE", "SigLIP2", "laion", 0.9, 0.001),
    ("rho", "SAE", "<script>M", "laion", 1.0, 0.1),
    ("rho", "SAE-A", "<script>M", "laion", 1.15, 0.1),
]


def _note(row):
    return "no <i>atom</i> counts" if row[:3] == ("rho", "SAE-A", "CLIP") else ""


def _write(root, folder, config="config", titles=None, tables=True):
    lines = [",".join([*map(str, row), "3", "7 pairs", "code", _note(row)]) for row in ROWS]
    table = folder / "table_01.csv"
    table.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    paths = {name: folder / f"out.{name}" for name in ("csv", "findings", "page", "summary")}
    schemas = root / "workflow/schemas"
    write_comparison(
        [table] if tables else [],
        {"table_01": "SAEs & <b>"} if titles is None else titles,
        root / "config/paper_values.tsv",
        schemas / "paper_values.schema.yaml",
        root / "config/claims.tsv",
        schemas / "claims.schema.yaml",
        root / "config/config.yaml",
        f"config/{config}.yaml",
        f" --configfile config/{config}.yaml",
        yaml.safe_load((root / f"config/{config}.yaml").read_text()),
        **paths,
    )
    return {name: path.read_text() for name, path in paths.items()} | {"folder": folder}


@pytest.fixture(scope="module")
def written(root, tmp_path_factory):
    return _write(root, tmp_path_factory.mktemp("compared"))


def _cells(page, start):
    """Texts of the row of a table that starts with these cells."""
    for row in re.findall(r"<tr>(.*?)</tr>", page, flags=re.S):
        cells = [re.sub(r"<.*?>", "", c) for c in re.findall(r"<td.*?>(.*?)</td>", row, flags=re.S)]
        if cells[: len(start)] == list(start):
            return cells
    raise AssertionError(f"no row {start}")


def test_numbers_stand_beside_the_papers_with_their_verdict(written):
    page = written["page"]
    assert _cells(page, ("MSE", "SAE", "CLIP"))[3:8] == [
        "0.141",
        "0.1405 ± 0.0010",
        "agrees: another run or budget than the authors&#39; sweep, whose R² is 0.847 (X14)",
        "−0.0005",
        "0.0025",
    ]
    assert _cells(page, ("ρ", "SAE-A", "CLIP"))[3:6] == [
        *("4.232", "0.500 ± 0.020"),
        "differs: ours: no &lt;i&gt;atom&lt;/i&gt; counts",
    ]
    told = _cells(page, ("R²", "SAE", "SigLIP2"))[5]
    assert told.startswith("not comparable: the authors&#39; protocol is another; probably")


def test_claims_say_what_is_noted_of_their_numbers(written):
    found = pd.read_csv(written["folder"] / "out.findings", keep_default_na=False)
    noted = found[found.note != ""]
    assert set(noted.note) == {"no <i>atom</i> counts", "first: no <i>atom</i> counts"}
    assert set(noted.model) == {"CLIP"}
    assert "<script>M" in set(found.model)
    assert (
        '<br><span class="how">first: no &lt;i&gt;atom&lt;/i&gt; counts</span>' in written["page"]
    )


def test_counts_are_those_of_the_table(written, paper_values):
    found = pd.read_csv(written["folder"] / "out.csv")
    assert len(found) == len(paper_values)
    first = Counter(found[found.table == "table_01"].verdict)
    verdicts = ("agrees", "differs", "not comparable")
    assert first["agrees"] == 1
    assert first["differs"] == 2
    assert _cells(written["page"], ("Table 1",))[1:] == [str(first[v]) for v in verdicts]
    every = Counter(found.verdict)
    assert _cells(written["page"], ("all",))[1:] == [str(every[v]) for v in verdicts]


def test_a_claim_that_does_not_hold_is_told_with_its_numbers(written):
    page, findings = written["page"], pd.read_csv(written["folder"] / "out.findings")
    article = re.search(r'<article id="raises_rho">.*?</article>', page, flags=re.S)[0]
    assert "It holds for 6 of 6 of the paper&#39;s own numbers." in article
    assert _cells(article, ("CLIP",)) == [
        *("CLIP", "laion", "does not holdfirst: no &lt;i&gt;atom&lt;/i&gt; counts"),
        *("0.500 ± 0.020", "0.900 ± 0.010", "−0.4", "0.03"),
    ]
    assert "<strong>does not hold</strong>" in article
    assert _cells(article, ("&lt;script&gt;M",))[2] == "holds within the spread only"
    own = findings[(findings.claim == "raises_rho") & (findings.model == "CLIP")]
    assert own.verdict.item() == FAILS
    assert own.change.item() == pytest.approx(-0.4)


def test_a_claim_without_numbers_is_said_to_be_not_measured(written):
    article = re.search(r'<article id="q_sae_keeps_recall">.*?</article>', written["page"], re.S)[0]
    assert "Not measured in this run (table_08)." in article
    findings = pd.read_csv(written["folder"] / "out.findings")
    assert (findings[findings.claim == "q_sae_keeps_recall"].verdict == ABSENT).all()
    counts = Counter(findings.verdict)
    for verdict in VERDICTS:
        assert _cells(written["page"], (verdict,)) == [verdict, str(counts[verdict])]


def test_text_is_escaped_and_no_host_is_asked(written):
    page = written["page"]
    assert "<script" not in page
    assert "Table 1: SAEs &amp; &lt;b&gt;" in page
    assert re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', page) == [
        "compare.csv",
        "compare_claims.csv",
    ]
    assert "url(" not in page
    assert "@import" not in page


def test_every_link_inside_the_page_has_its_place(written):
    anchors = re.findall(r'href="#([^"]+)"', written["page"])
    assert anchors == ["claims", "numbers", "table_01"]
    for anchor in anchors:
        assert f'<section id="{anchor}">' in written["page"]


def test_equal_results_give_equal_bytes(root, written, tmp_path):
    again = _write(root, tmp_path)
    assert {k: again[k] for k in ("csv", "findings", "page")} == {
        k: written[k] for k in ("csv", "findings", "page")
    }


def test_under_the_demos_settings_nothing_is_judged(root, tmp_path):
    _write(root, tmp_path, "demo")
    found = pd.read_csv(tmp_path / "out.csv")
    assert set(found.verdict) == {"not comparable"}
    assert "other setting: sae.l0 is 10, not 20" in set(found.why)


def test_a_run_without_tables_has_a_page_too(root, tmp_path):
    page = _write(root, tmp_path, tables=False)["page"]
    assert "Models: none." in " ".join(page.split())


@pytest.mark.parametrize(
    ("value", "sd", "text"),
    [
        (0.98977, 0.00057, "0.98977 ± 0.00057"),
        (43.21, 5.17, "43.2 ± 5.2"),
        (-1234.5, 88.0, "−1234 ± 88"),
        (0.5, 0.0, "0.5 ± 0"),
        (0.123456, float("nan"), "0.1235"),
        (float("inf"), float("nan"), "∞"),
        (float("-inf"), 1.0, "−∞"),
        (float("nan"), 1.0, "–"),
    ],
)
def test_numbers_end_where_their_spread_does(value, sd, text):
    assert short(value, sd) == text


def test_rules_are_written_as_formulas(claims):
    assert rule_of(claims["keeps_r2"]) == "R² (SAE-A) − R² (SAE) > −0.05"
    assert rule_of(claims["rho_tenfold"]) == "ρ (SAE-A) − 10 × ρ (SAE) > 0"
    assert rule_of(claims["bimodal_carry_alignment"]) == "ρ (SAE-A) > 1"
    assert rule_of(claims["toy_1_equal_codes"]) == "|mma (SAE-A) − mma (SAE)| < 0.05"
