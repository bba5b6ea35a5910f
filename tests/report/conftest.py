import csv

import pytest

from isoenergy.schema import load_schema, read_registry


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
