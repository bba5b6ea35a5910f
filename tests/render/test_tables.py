import math

import pandas as pd
import pytest

from isoenergy.errors import InputError
from isoenergy.measure.metric import Metric, write_metric
from isoenergy.render.arrange import lay_out
from isoenergy.render.captions import fields, fill_caption
from isoenergy.render.grid import (
    Cell,
    Grid,
    escape_latex,
    escape_markdown,
    format_number,
    latex_words,
    write_latex,
    write_markdown,
)
from isoenergy.render.tables import TABLES, Column, Table, render_table
from isoenergy.render.tidy import COLUMNS, add_mean_changes, gather_tidy


def _write(folder, name, *values, protocol="code"):
    for seed, value in enumerate(values):
        metric = Metric(name, {"code": value, "paper": value / 2}, {"pairs": 7}, protocol=protocol)
        write_metric(folder / f"seed{seed}", metric)
    return [str(folder / f"seed{seed}") for seed in range(len(values))]


def _source(folders, variant="SAE", model="M"):
    return {"model": model, "variant": variant, "dataset": "D", "folders": folders}


def test_mean_and_spread_over_seeds(tmp_path):
    folders = _write(tmp_path, "r2", 1.0, 2.0, 6.0)
    tidy = gather_tidy([_source(folders)], ["r2"])
    assert tuple(tidy.columns) == COLUMNS
    code, paper = tidy.to_dict("records")
    assert (code["value"], code["sd"]) == (3.0, pytest.approx(math.sqrt(7)))
    assert (code["protocol"], code["seeds"], code["n"]) == ("code", 3, "7 pairs")
    assert (paper["value"], paper["protocol"]) == (1.5, "paper")


def test_the_default_protocol_comes_first(tmp_path):
    folders = _write(tmp_path, "r2", 1.0, protocol="paper")
    assert gather_tidy([_source(folders)], ["r2"])["protocol"].tolist() == ["paper", "code"]


def test_one_seed_has_no_spread(tmp_path):
    tidy = gather_tidy([_source(_write(tmp_path, "r2", 1.0))], ["r2"])
    assert tidy["sd"].isna().all()


def test_a_metric_missing_for_one_seed_is_an_error_and_for_all_is_left_out(tmp_path):
    folders = _write(tmp_path, "r2", 1.0, 2.0)
    assert gather_tidy([_source(folders)], ["mse"]).empty
    (tmp_path / "seed1/r2.json").unlink()
    with pytest.raises(InputError, match=r"seed1/r2\.json does not exist"):
        gather_tidy([_source(folders)], ["r2"])


def test_differences_of_readings_are_taken_seed_by_seed(tmp_path):
    folders = _write(tmp_path, "r2", 1.0, 2.0, 6.0)
    for folder, value in zip(folders, (4.0, 5.0, 6.0), strict=True):
        write_metric(folder, Metric("mse", {"code": value}, {"pairs": 7}))
    tidy = gather_tidy([_source(folders)], ["mse", "r2"], differences=True)
    assert set(tidy.metric) == {"r2"}  # mse has one reading
    rows = tidy.set_index("protocol")
    assert list(rows.index) == ["code", "paper", "paper - code"]
    # Half of each value: -0.5, -1 and -3.
    assert rows.loc["paper - code", "value"] == pytest.approx(-1.5)
    assert rows.loc["paper - code", "sd"] == pytest.approx(math.sqrt(7) / 2)


def test_infinite_readings_do_not_differ_by_a_number(tmp_path):
    write_metric(tmp_path, Metric("rho", {"code": math.inf, "paper": math.inf}, {}, note="why"))
    tidy = gather_tidy([_source([str(tmp_path)])], ["rho"], differences=True)
    assert tidy["value"].tolist()[:2] == [math.inf] * 2
    assert math.isnan(tidy["value"].iloc[2])
    assert tidy["note"].tolist() == ["why", "why", "one of both readings is not finite"]


def test_a_number_that_is_not_finite_says_why_and_for_how_many_seeds(tmp_path):
    values = ((1.0, 2.0), (math.inf, 2.0), (math.nan, 2.0))
    folders = [tmp_path / f"seed{seed}" for seed in range(3)]
    for folder, (code, paper) in zip(folders, values, strict=True):
        note = "" if math.isfinite(code) else f"it is {code}"
        write_metric(folder, Metric("rho", {"code": code, "paper": paper}, {}, note=note))
    tidy = gather_tidy([_source(map(str, folders))], ["rho"])
    assert tidy["note"].tolist() == ["1 of 3 seeds: it is inf; 1 of 3 seeds: it is nan", ""]
    # What a finite number's own note says is no reason.
    write_metric(tmp_path, Metric("fda", {"code": 1.0}, {}, note="relative duality gap 1e-12"))
    assert gather_tidy([_source([str(tmp_path)])], ["fda"])["note"].tolist() == [""]


def test_the_share_of_reconstructions_that_are_zero_is_the_mean_over_seeds(tmp_path):
    for seed, share in enumerate((0.4, 0.5)):
        told = {"zero_share": {"image": share, "text": 0.0004, "target": 0.0}}
        write_metric(tmp_path / f"seed{seed}", Metric("recall_at_1", {"code": 0.3}, {}, **told))
    tidy = gather_tidy([_source([str(tmp_path / f"seed{n}") for n in range(2)])], ["recall_at_1"])
    assert tidy["note"].tolist() == [
        "45.0 % of images and under 0.1 % of texts have no atom left, so that their "
        "reconstruction is zero"
    ]


def test_notes_stand_below_a_table_and_cells_name_theirs():
    rows = [
        {"metric": name, "variant": variant, "value": value, "sd": math.nan, "note": note}
        for name, variant, value, note in (
            ("a", "SAE", 1.0, "50 % are 0"),
            ("b", "SAE", math.inf, "nothing below; p_acc"),
            ("a", "SAE-A", 2.0, ""),
            ("b", "SAE-A", 3.0, "50 % are 0"),
        )
    ]
    columns = Column("a", "A", None, 1), Column("b", "B", None, 1)
    for upright in (False, True):
        grid = lay_out(Table("saes", columns, upright=upright), _tidy(*rows))
        texts = {cell.text for row in grid.rows for cell in row}
        assert texts >= {"1.0 [1]", "∞ [2]", "2.0", "3.0 [1]"}
        markdown, latex = write_markdown(grid, "caption"), write_latex(grid, "caption", "tab:x")
        assert markdown.endswith(
            "\n\ncaption\n\n\\[1\\] 50 % are 0\n\n\\[2\\] nothing below; p\\_acc\n"
        )
        assert "\\par {\\footnotesize [1] 50 \\% are 0}\n" in latex
        assert latex.index("tabular}") < latex.index("footnotesize") < latex.index("caption{")


def test_notes_of_readings_stand_at_their_own(tmp_path):
    write_metric(tmp_path, Metric("rho", {"code": math.inf, "paper": 1.0}, {}, note="code: why"))
    tidy = gather_tidy([_source([str(tmp_path)])], ["rho"], differences=True)
    grid = lay_out(Table("saes", (Column("rho", "ρ", None, 1),), readings=True), tidy)
    assert [row[2].text for row in grid.rows] == ["∞ [1]", "1.0", "−∞ [2]"]
    assert grid.notes == ["code: why", "one of both readings is not finite"]


def test_a_mean_change_of_numbers_that_are_not_finite_says_so(tmp_path):
    sources = []
    for model, masked in (("M", math.nan), ("N", 0.5)):
        for variant, value in (("reconstruction", 1.0), ("masked", masked)):
            note = "" if math.isfinite(value) else "a reason"
            write_metric(tmp_path / model / variant, Metric("rmg", {"code": value}, {}, note=note))
            sources.append(_source([str(tmp_path / model / variant)], variant, model))
    change = add_mean_changes(gather_tidy(sources, ["rmg"])).iloc[-1]
    assert math.isnan(change["value"])
    assert change["note"] == "a number that it is the mean of is not finite"


def test_a_table_of_readings_has_a_row_per_reading_and_a_column_per_sae():
    rows = [
        {"metric": metric, "variant": variant, "protocol": protocol, "value": value, "sd": 0.5}
        for metric, variant, protocol, value in (
            ("r2", "SAE", "code", 0.9),
            ("r2", "SAE", "paper", 0.8),
            ("r2", "SAE-A", "code", 0.7),
            ("r2", "SAE-A", "paper", 0.6),
            ("selected_beta", "SAE-A", "paper", 0.1),
        )
    ]
    columns = (Column("r2", "R²", "higher", 1), Column("selected_beta", "selected β", None, 2))
    grid = lay_out(Table("saes", columns, readings=True), _tidy(*rows))
    assert (grid.header, grid.names) == (["", "reading", "SAE", "SAE-A"], 2)
    assert [[cell.text for cell in row] for row in grid.rows] == [
        ["R²", "code", "0.9 ± 0.5", "0.7 ± 0.5"],
        ["R²", "paper", "0.8 ± 0.5", "0.6 ± 0.5"],
        ["selected β", "paper", "", "0.10 ± 0.50"],
    ]


def _tidy(*rows):
    shown = [
        {**dict.fromkeys(COLUMNS, ""), "dataset": "D", "model": "M", "protocol": "code", **row}
        for row in rows
    ]
    return pd.DataFrame(shown, columns=list(COLUMNS))


@pytest.mark.parametrize(
    ("values", "better", "marked"),
    [
        (((0.5, 0.1), (0.8, 0.1)), "higher", [False, True]),
        (((0.5, 0.1), (0.8, 0.1)), "lower", [True, False]),
        (((0.5, 0.2), (0.8, 0.2)), "higher", [False, False]),
        (((0.5, math.nan), (0.8, math.nan)), "higher", [False, False]),
        (((0.5, 0.1), (0.8, 0.1)), None, [False, False]),
    ],
    ids=["higher", "lower", "within spread", "no spread", "no direction"],
)
def test_a_value_is_marked_when_it_beats_the_other_by_more_than_both_spreads(
    values, better, marked
):
    rows = [
        {"metric": "r2", "variant": variant, "value": value, "sd": sd}
        for variant, (value, sd) in zip(("SAE", "SAE-A"), values, strict=True)
    ]
    grid = lay_out(Table("saes", (Column("r2", "R²", better),)), _tidy(*rows))
    assert [row[-1].marked for row in grid.rows] == marked


def test_models_are_not_compared_with_each_other():
    rows = [
        {"metric": "r2", "variant": "SAE", "model": model, "value": value, "sd": 0.0}
        for model, value in (("A", 0.1), ("B", 0.9))
    ]
    grid = lay_out(Table("saes", (Column("r2", "R²", "higher"),)), _tidy(*rows))
    assert not any(cell.marked for row in grid.rows for cell in row)


def test_columns_without_any_number_are_left_out_and_gaps_are_blank():
    rows = [
        {"metric": "a", "variant": "embeddings", "dataset": d, "value": 1.0, "sd": math.nan}
        for d in ("D", "E")
    ]
    rows.append({"metric": "b", "variant": "embeddings", "dataset": "E", "value": 2.0, "sd": 0.5})
    table = Table("embeddings", tuple(Column(name, name.upper()) for name in "abc"))
    grid = lay_out(table, _tidy(*rows))
    assert grid.header == ["data set", "model", "A", "B"]
    assert [[cell.text for cell in row] for row in grid.rows] == [
        ["D", "M", "1.000", ""],
        ["E", "M", "1.000", "2.000 ± 0.500"],
    ]


@pytest.mark.parametrize(
    ("value", "sd", "text"),
    [
        (0.12345, 0.001, "0.123 ± 0.001"),
        (-0.5, math.nan, "−0.500"),
        (math.inf, math.nan, "∞"),
        (-math.inf, 0.1, "−∞"),
        (math.nan, math.nan, "–"),
    ],
)
def test_numbers_as_readers_see_them(value, sd, text):
    assert format_number(value, sd, 3) == text


def test_markup_in_names_and_captions_is_escaped():
    hostile = "a|b_*<script>`[x](y)"
    assert escape_markdown(hostile) == r"a\|b\_\*\<script\>\`\[x\](y)"
    assert escape_latex(r"50% & \input{x} $_^~#") == (
        r"50\% \& \textbackslash{}input\{x\} \$\_\textasciicircum{}\textasciitilde{}\#"
    )
    grid = Grid(["model", "p_acc"], [[Cell("A&B"), Cell("0.5", True)]], 1)
    latex = write_latex(grid, "100%", "tab:x")
    assert r"model & $p_{\mathrm{acc}}$ \\" in latex
    assert r"A\&B & \textbf{0.5} \\" in latex
    assert r"\caption{100\%}" in latex
    assert write_markdown(grid, "c").splitlines()[:3] == [
        r"| model | p\_acc |",
        "|---|---:|",
        "| A&B | **0.5** |",
    ]


def test_headings_of_one_letter_and_a_word_become_subscripts():
    assert latex_words("δ_r") == r"$\delta_{\mathrm{r}}$"
    assert latex_words("DiM, all atoms") == "DiM, all atoms"
    assert latex_words("10 % of ℓ0, p_acc") == (r"10 \% of $\ell_{\mathrm{0}}$, $p_{\mathrm{acc}}$")
    assert latex_words("a_file_name") == r"a\_file\_name"


def test_an_upright_table_has_a_row_per_metric_and_a_column_per_sae():
    rows = [
        {"metric": metric, "variant": variant, "value": value, "sd": 0.0}
        for variant, values in (("SAE", (0.5, 2.0)), ("SAE-A", (0.7, 2.0)))
        for metric, value in zip(("r2", "rho"), values, strict=True)
    ]
    columns = (Column("r2", "R²", "higher", 1), Column("rho", "ρ", "higher", 0))
    grid = lay_out(Table("saes", columns, upright=True), _tidy(*rows))
    assert (grid.header, grid.names) == (["", "SAE", "SAE-A"], 1)
    assert [[cell.text for cell in row] for row in grid.rows] == [
        ["R²", "0.5 ± 0.0", "0.7 ± 0.0"],
        ["ρ", "2 ± 0", "2 ± 0"],
    ]
    assert [[cell.marked for cell in row] for row in grid.rows] == [
        [False, False, True],
        [False, False, False],
    ]


def test_captions_are_filled_and_unknown_fields_refused(tmp_path):
    write_metric(tmp_path, Metric("r2", {"code": 1.0}, {"pairs": 20000}))
    sizes = {"pairs": (tmp_path / "r2.json", "pairs")}
    assert fields("{train}: {pairs} pairs, {train}") == ["train", "pairs"]
    assert fill_caption("{train}: {pairs} pairs", {"train": "S"}, sizes) == "S: 20,000 pairs"
    with pytest.raises(InputError, match=r"\{pears\}; allowed are pairs, train"):
        fill_caption("{pears}", {"train": "S"}, sizes)


def _counted(folder, dataset, asked, failed, models):
    """The sources of a data set's counts."""
    for metric in (
        Metric("asked", {"rows": asked}, {"rows": asked}, protocol="rows"),
        Metric("usable", {"rows": asked - sum(failed.values())}, {}, protocol="rows"),
        Metric("failed", {"all reasons": sum(failed.values()), **failed}, {}, "all reasons"),
    ):
        write_metric(folder / dataset, metric)
    for model, dropped in models.items():
        lost = sum(dropped.values())
        rows = {"rows": asked - sum(failed.values()) - lost}
        own = Metric("dropped", {"all reasons": lost, **dropped}, {}, "all reasons")
        write_metric(folder / dataset / model, Metric("embedded", rows, {}, protocol="rows"))
        write_metric(folder / dataset / model, own)
    return [
        {"model": model, "variant": "rows", "dataset": dataset, "folders": [folder / dataset / own]}
        for model, own in [("all models", ""), *((model, model) for model in models)]
    ]


def test_the_table_of_data_tells_every_reason_and_leaves_unknown_cells_empty(tmp_path):
    lost = {"a|b": 3, "HTTP 404": 2}
    sources = _counted(tmp_path, "laion", 9, lost, {"A": {"x": 1}, "B": {"x": 1}})
    write_metric(tmp_path / "laion", Metric("paper_rows", {"rows": 712705}, {}, protocol="rows"))
    sources += _counted(tmp_path, "mine", 3, {}, {"A": {}, "B": {}})
    table = TABLES["table_data"]
    grid = lay_out(table, gather_tidy(sources, table.metrics()))
    assert grid.header == [
        *("data set", "asked for", "with a picture", "failed", "why", "picture as before"),
        *("embedded", "not embedded", "why", "the paper's N"),
    ]
    assert [[cell.text for cell in row] for row in grid.rows] == [
        ["laion", "9", "4", "5", "a|b: 3; HTTP 404: 2", "", "3", "1", "x: 1", "712,705"],
        ["mine", "3", "3", "0", "", "", "3", "0", "", ""],
    ]


def test_the_table_of_data_has_a_row_for_each_model_where_they_differ(tmp_path):
    dropped = {"A": {"x": 1}, "B": {"x": 1, "y": 2}, "C": {"x": 1}, "D": {"y": 1}}
    sources = _counted(tmp_path, "laion", 9, {"HTTP 404": 2}, dropped)
    sources += _counted(tmp_path, "mine", 3, {}, {model: {} for model in "ABCD"})
    table = TABLES["table_data"]
    grid = lay_out(table, gather_tidy(sources, table.metrics()))
    assert (grid.header[:2], grid.names) == (["data set", "models"], 2)
    assert [[cell.text for cell in row] for row in grid.rows] == [
        ["laion", "A, C", "9", "7", "2", "HTTP 404: 2", "", "6", "1", "x: 1", ""],
        ["laion", "B", "9", "7", "2", "HTTP 404: 2", "", "4", "3", "y: 2; x: 1", ""],
        ["laion", "D", "9", "7", "2", "HTTP 404: 2", "", "6", "1", "y: 1", ""],
        ["mine", "all", "3", "3", "0", "", "", "3", "0", "", ""],
    ]


def test_table_05_shows_the_papers_numbers_beside_and_keeps_them_out_of_the_tidy_table(tmp_path):
    sources = []
    for toy in ("toy-1", "toy-2"):
        for variant in ("SAE", "SAE-A", "SAE-A-literal"):
            folder = tmp_path / toy / variant
            for name in TABLES["table_05"].metrics():
                folders = _write(folder, name, 0.25, 0.27)
            sources.append({**_source(folders, variant, "toy"), "dataset": toy})
    names = {"csv": "t.csv", "markdown": "t.md", "latex": "t.tex", "text": "t.txt"}
    paths = {key: tmp_path / name for key, name in names.items()}
    render_table("table_05", sources, "Caption.", {}, {}, {}, **paths)
    lines = paths["markdown"].read_text().splitlines()
    assert lines[0] == "| data set | SAE | R² | W | mma | W, paper | mma, paper |"
    ours = "0.2600 ± 0.0141 | 0.260 ± 0.014 | 0.260 ± 0.014"
    assert f"| toy-2 | SAE-A | {ours} | 0.184 | 0.52 |" in lines
    assert f"| toy-1 | SAE-A-literal | {ours} |  |  |" in lines
    tidy = pd.read_csv(paths["csv"])
    assert set(tidy["value"].round(6)) == {0.26, 0.13}
    assert len(tidy) == 6 * 3 * 2


def test_a_table_is_written_in_four_forms_that_agree(tmp_path):
    sources = []
    for variant, values in (("SAE", (0.2, 0.3)), ("SAE-A", (0.8, 0.9))):
        for name in TABLES["table_01"].metrics():
            folders = _write(tmp_path / variant, name, *values)
        sources.append(_source(folders, variant))
    names = {"csv": "t.csv", "markdown": "t.md", "latex": "t.tex", "text": "t.txt"}
    paths = {key: tmp_path / name for key, name in names.items()}
    render_table("table_01", sources, "On {train}.", {"train": "D"}, {}, {}, **paths)
    tidy = pd.read_csv(paths["csv"])
    found = tidy[(tidy.metric == "rho") & (tidy.variant == "SAE-A") & (tidy.protocol == "code")]
    assert found["value"].item() == pytest.approx(0.85)
    assert "**0.85 ± 0.07**" in paths["markdown"].read_text()
    assert r"\textbf{0.85 $\pm$ 0.07}" in paths["latex"].read_text()
    assert paths["text"].read_text() == "On D.\n"
