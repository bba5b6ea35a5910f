import base64
import re
import subprocess
from html import unescape

import pytest

from isoenergy.errors import InputError
from isoenergy.render.grid import Cell, Grid
from isoenergy.report.fill import subscripts
from isoenergy.report.headlines import align
from isoenergy.report.page import picture_size
from isoenergy.report.words import command_options, cost_of, heading_of


def _article(page, target):
    return re.search(rf'<article id="{target}">.*?</article>', page, flags=re.S)[0]


def _text(markup):
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def test_text_from_data_and_config_is_escaped(hostile):
    page = hostile.read_text()
    assert "<script" not in page
    assert page.count("<img") == 1
    assert (
        re.findall(r"\son\w+=", re.sub(r'"[^"]*"', '""', "".join(re.findall("<[^>]*>", page))))
        == []
    )
    # Caption and alternative text, heading, contents, command, cost, cells, reasons, config.
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 25
    assert "&amp;amp;" in page


def test_what_makes_numbers_doubtful_stands_before_them(write, tmp_path):
    assert "aside" not in write()
    (tmp_path / "store.json").write_text('{"notes": ["only 3 of <b>40</b> rows differ"]}')
    page = write(notes=["mine: only 30 steps"], stores=[tmp_path / "store.json"])
    (told,) = re.findall(r"<aside .*?</aside>", page, flags=re.S)
    assert _text(told) == (
        "Before you trust a number: mine: only 30 steps only 3 of <b>40</b> rows differ"
    )
    assert page.index("<aside") < page.index("<table")


def test_tables_and_pictures_are_inside_the_page(results, write):
    page = write()
    image = base64.b64encode((results / "figures/figure_02.png").read_bytes()).decode()
    assert f'src="data:image/png;base64,{image}" width="476" height="68"' in page
    assert "0.5000 ± 0.1000" in page
    assert "∞ [1]" in page
    assert '<p class="how">[1] no &lt;b&gt;spread&lt;/b&gt;</p>' in page
    assert '<td class="name">NA</td>' in page
    assert re.findall(r'src="(?!data:)', page) == []
    links = re.findall(r'href="((?!data:|#)[^"]*)"', page)
    # What lies beside the page is offered, no other host.
    assert links == [
        "compare.html",
        "compare.html#table_01",
        *(f"tables/table_01.{form}" for form in ("csv", "md", "tex")),
        *(f"figures/figure_02.{form}" for form in ("pdf", "png")),
    ]


def test_parts_stand_in_the_papers_order_under_its_sections(write):
    page = write()
    assert re.findall(r"<h[23]>(.*?)</h[23]>", page) == [
        "Section 4.1: Empirical evaluation on vision–language foundations",
        *("Table 1: T", "Figure 2: F", "Configuration and versions"),
    ]
    anchors = re.findall(r'href="#([^"]+)"', page)
    assert anchors == ["section-4-1", "table_01", "figure_02", "run", "contents"]
    assert all(page.count(f'id="{anchor}"') == 1 for anchor in anchors)


def test_each_part_says_its_command_and_cost(write):
    page = write(options=" --configfile config/demo.yaml --config seed=1")
    told = _text(_article(page, "table_01"))
    assert "snakemake table_01 --configfile config/demo.yaml --config seed=1 · about 7 min" in told
    assert "rule render_table" in told
    assert "about 7 GPU h from nothing" in _text(write(config_file="config/config.yaml"))


def test_claims_stand_below_their_table_with_a_verdict_for_each_model(write):
    table = _article(write(), "table_01")
    rows = [_text(row) for row in re.findall(r"<tr>(.*?)</tr>", table, flags=re.S)]
    # The paper's own numbers of Table 1 hold for all six models.
    assert (
        "Alignment raises functional alignment ρ. ρ (SAE-A) − ρ (SAE) > 0 holds for 6 of 6 "
        "holds 4.20 ± 0.10 against 0.35 does not hold 0.50 ± 0.10 against 0.75"
    ) in rows
    assert "<strong>does not hold</strong>" in table
    # Of Table 9, and not measured.
    assert "gap closes" not in table
    assert "true codes" not in table


def test_ours_stands_beside_the_papers_number(write):
    table = _article(write(), "table_01")
    assert "1 × agrees, 1 × differs, 2 × not comparable" in _text(table)
    assert "model NA is not in this run (1); another protocol (1)." in _text(table)
    rows = [_text(row) for row in re.findall(r"<tr>(.*?)</tr>", table, flags=re.S)]
    assert "ρ SAE paper 0.327 here 0.35 agrees 1.5" in rows
    assert "ρ SAE-A paper 4.232 here ∞ differs paper 9.75 here 9 not comparable" in rows
    assert '<details class="beside" open>' in table


def test_numbers_that_cannot_be_compared_are_folded_away(results, write):
    compared = results / "compare.csv"
    compared.write_text(
        re.sub(r"agrees|differs", "not comparable", compared.read_text()), newline="\n"
    )
    table = _article(write(), "table_01")
    assert '<details class="beside">' in table
    assert "The paper's numbers beside ours: 4 × not comparable" in _text(table)


def test_versions_commit_and_machine_are_told(root, write):
    page = _text(write(config={"note": "ä"}))
    assert re.search(r"python 3\.\d+\.\d+ isoenergy \d", page)
    assert re.search(r"torch 2\.\d+", page)
    assert re.search(r"on .*\d+ cores, ", page)
    assert "note: ä" in page
    done = subprocess.run(
        ["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() in page


def test_equal_results_give_equal_bytes(write):
    assert write() == write()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("figures/figure_02.png", r"figure_02\.png does not exist"),
        ("compare.csv", r"compare\.csv does not exist; run the target compare"),
    ],
)
def test_a_missing_file_is_named(results, write, name, told):
    (results / name).unlink()
    with pytest.raises(InputError, match=told):
        write()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("figures/figure_02.txt", b"\xff\xfe", r"figure_02\.txt is not UTF-8 text .*; delete it"),
        ("compare.csv", b"\xff\xfe\n", r"compare\.csv cannot be read as CSV .* delete it and run"),
        ("compare.csv", b"a,b\n1,2\n", r"compare\.csv has other columns than .* delete it and run"),
        ("compare_claims.csv", b"", r"compare_claims\.csv is truncated; .* delete it and run"),
        ("tables/table_01.csv", b"metric\n1\n", r"table_01\.csv has other columns"),
    ],
)
def test_a_broken_file_is_named_with_what_to_do(results, write, name, content, told):
    (results / name).write_bytes(content)
    with pytest.raises(InputError, match=told):
        write()


def test_the_size_of_a_picture_is_read_and_another_file_refused(results):
    path = results / "figures/figure_02.png"
    assert picture_size(path.read_bytes(), path) == (700, 100)
    with pytest.raises(InputError, match=r"figure_02\.png is no PNG picture"):
        picture_size(b"GIF89a" + bytes(40), path)


@pytest.mark.parametrize(
    ("files", "changes", "options"),
    [
        ([], {}, ""),
        (["config/demo.yaml"], {}, " --configfile config/demo.yaml"),
        ([], {"store": "a b/c", "normalise": True}, " --config 'store=a b/c' normalise=True"),
        (["a.yaml", "b.yaml"], {"seed": 1}, " --configfile a.yaml b.yaml --config seed=1"),
    ],
)
def test_a_command_runs_with_the_same_config(files, changes, options):
    assert command_options(files, changes) == options


def test_costs_are_those_of_the_config():
    costs = {"cost_demo": "7 min", "cost_paper": "7 GPU h"}
    assert cost_of(costs, "config/demo.yaml") == "about 7 min from nothing on two CPU cores"
    assert cost_of(costs, "config/config.yaml") == "about 7 GPU h from nothing, a guess"
    other = cost_of(costs, "config/ci.yaml")
    assert other == "about 7 min from nothing with the demo's config, 7 GPU h with the paper's"
    alone = cost_of({"cost_demo": "6 min", "cost_paper": "–"}, "config/ci.yaml")
    assert alone == "about 6 min from nothing with the demo's config"


def test_headings_and_subscripts():
    assert heading_of("table_01", "SAEs") == "Table 1: SAEs"
    assert heading_of("table_factors", "Factors") == "Factors"
    assert str(subscripts("p_acc")) == "p<sub>acc</sub>"
    assert str(subscripts("Ω_I of E_T, Q_SAE")) == "Ω<sub>I</sub> of E<sub>T</sub>, Q_SAE"
    assert str(subscripts("<_x>")) == "&lt;_x&gt;"


def test_headlines_are_aligned_a_line_per_metric():
    grid = Grid(["model", "R²"], [[Cell("A"), Cell("0.5")], [Cell("B"), Cell("0.25", True)]], 1)
    assert align(grid).splitlines() == [
        "model  A    B",
        "------------------",
        "R²     0.5  0.25 *",
        "* better than every other SAE by more than both standard deviations together",
    ]
