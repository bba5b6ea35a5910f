import re

import pytest

from isoenergy.errors import InputError
from isoenergy.render.grid import Cell, Grid
from isoenergy.report.headlines import align
from isoenergy.report.page import heading_of, subscripts, write_report

CSV = """metric,variant,model,dataset,value,sd,seeds,n,protocol
r2,SAE,NA,D,0.5,0.1,2,7 pairs,code
r2,SAE-A,NA,D,inf,,2,7 pairs,code
"""
TARGETS = [
    {"target": "table_01", "kind": "table", "title": "T"},
    {"target": "figure_02", "kind": "figure", "title": "F"},
]


@pytest.fixture
def results(tmp_path):
    for name in ("tables", "figures"):
        (tmp_path / name).mkdir()
    (tmp_path / "tables/table_01.csv").write_text(CSV)
    (tmp_path / "tables/table_01.txt").write_text("<script>alert(1)</script> & more\n")
    (tmp_path / "figures/figure_02.png").write_bytes(b"png")
    (tmp_path / "figures/figure_02.txt").write_text("A figure.\n")
    return tmp_path


def _write(results, **changes):
    arguments = {
        "results": results,
        "targets": TARGETS,
        "config_file": "config/demo.yaml",
        "config": {"store": None, "note": "<b>"},
        "page": results / "report.html",
        **changes,
    }
    write_report(**arguments)
    return (results / "report.html").read_text()


def test_text_from_data_and_config_is_escaped(results):
    page = _write(results)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    assert "note: &lt;b&gt;" in page


def test_tables_and_pictures_are_inside_the_page(results):
    page = _write(results)
    assert 'src="data:image/png;base64,cG5n"' in page
    assert "0.5000 ± 0.1000" in page
    assert "∞" in page
    assert '<td class="name">NA</td>' in page
    assert re.findall(r'src="(?!data:)', page) == []
    links = re.findall(r'href="((?!data:|#)[^"]*)"', page)
    # What lies beside the page is offered, no other host.
    assert links == [f"tables/table_01.{form}" for form in ("csv", "md", "tex")] + [
        f"figures/figure_02.{form}" for form in ("pdf", "png")
    ]


@pytest.mark.parametrize(
    ("file", "config", "command"),
    [
        ("config/demo.yaml", {}, "snakemake table_01 --configfile config/demo.yaml"),
        ("config/config.yaml", {}, "snakemake table_01<"),
        ("config/store.yaml", {"store": "a/b"}, "snakemake table_01 --config store=a/b"),
    ],
)
def test_each_part_says_the_command_that_makes_it(results, file, config, command):
    assert command in _write(results, config_file=file, config=config)


def test_equal_results_give_equal_bytes(results):
    assert _write(results) == _write(results)


def test_a_missing_figure_is_named(results):
    (results / "figures/figure_02.png").unlink()
    with pytest.raises(InputError, match=r"figure_02\.png does not exist"):
        _write(results)


def test_headings_and_subscripts():
    assert heading_of("table_01", "SAEs") == "Table 1: SAEs"
    assert heading_of("table_factors", "Factors") == "Factors"
    assert str(subscripts("p_acc")) == "p<sub>acc</sub>"
    assert str(subscripts("<_x>")) == "&lt;_x&gt;"


def test_headlines_are_aligned_a_line_per_metric():
    grid = Grid(["model", "R²"], [[Cell("A"), Cell("0.5")], [Cell("B"), Cell("0.25", True)]], 1)
    assert align(grid).splitlines() == [
        "model  A    B",
        "------------------",
        "R²     0.5  0.25 *",
        "* better than every other SAE by more than both standard deviations together",
    ]
