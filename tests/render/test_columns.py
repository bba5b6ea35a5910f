import pytest

from isoenergy.errors import InputError
from isoenergy.render.columns import MEASURED, check_columns
from isoenergy.render.tables import TABLES, Column, Table


def test_every_column_of_every_table_can_be_measured():
    check_columns()
    assert {TABLES[name].of for name in TABLES} == set(MEASURED)


def test_a_column_that_nothing_measures_is_refused_and_one_that_a_run_may_lack_is_not():
    # Without classes no number has this name; with them some have.
    check_columns({"mine": Table("embeddings", (Column("zero_shot_at_1", "zero-shot"),))})
    wrong = Table("saes", (Column("r2", "R²"), Column("recal_at_1_masked", "recall")))
    told = (
        r"tables\.py: mine has a column of the metric recal_at_1_masked, which no job measures "
        r"for a table of saes; allowed are .*r2, .* \(did you mean recall_at_1_masked\?\)$"
    )
    with pytest.raises(InputError, match=told):
        check_columns({"mine": wrong})


def test_a_metric_of_another_kind_of_table_is_refused():
    with pytest.raises(InputError, match=r"zero_shot_at_5, .* for a table of interventions; "):
        check_columns({"mine": Table("interventions", (Column("zero_shot_at_5", "z"),))})


def test_a_name_is_checked_for_every_group():
    groups = Table("saes", (Column("energy_share_{group}", "e"),), groups=("image", "audio"))
    with pytest.raises(InputError, match="metric energy_share_audio, "):
        check_columns({"mine": groups})
