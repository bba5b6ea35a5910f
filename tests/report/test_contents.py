import pytest

from isoenergy.errors import InputError
from isoenergy.report.contents import arrange
from isoenergy.schema import load_schema, read_registry


@pytest.fixture
def rows(root):
    schema = load_schema(root / "workflow/schemas/contents.schema.yaml")
    return read_registry(root / "config/contents.tsv", schema)


def _arrange(root, targets, contents=None):
    schema = root / "workflow/schemas/contents.schema.yaml"
    return arrange(targets, contents or root / "config/contents.tsv", schema)


def test_every_table_and_figure_of_the_paper_has_one_place(rows):
    items = [item for row in rows.values() for item in row["items"].split()]
    figures, tables = range(1, 28), range(1, 13)
    expected = [f"figure_{n:02d}" for n in figures] + [f"table_{n:02d}" for n in tables]
    assert sorted(items) == expected
    # The paper counts both as they come.
    assert [item for item in items if item.startswith("figure")] == expected[:27]
    assert [item for item in items if item.startswith("table")] == expected[27:]


def test_sections_come_in_the_papers_order(rows):
    assert list(rows) == sorted(rows)
    assert [name for name in rows if name[0].isdigit()] == ["3", "4.1", "4.2", "5"]


def test_targets_follow_the_paper_and_the_rest_comes_last(root):
    targets = ["table_readings", "table_03", "figure_02", "table_summary", "table_01"]
    sections = _arrange(root, targets)
    assert [section.targets for section in sections] == [
        ("table_01", "figure_02"),
        ("table_03",),
        ("table_readings", "table_summary"),
    ]
    assert [section.anchor for section in sections] == ["section-4-1", "section-A", "beyond"]
    assert sections[1].heading == "Appendix A: SAE-dex"
    assert sections[2].heading == "Beyond the paper"


def test_a_target_in_two_places_is_refused(root, tmp_path):
    path = tmp_path / "contents.tsv"
    path.write_text("section\ttitle\titems\n1\tA\ttable_01\n2\tB\ttable_02 table_01\n")
    with pytest.raises(InputError, match="table_01 stands in two places"):
        _arrange(root, ["table_01"], path)
