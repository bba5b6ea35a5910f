import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoenergy.errors import InputError
from isoenergy.files import write_json, write_parquet
from isoenergy.measure.accounting import COUNTS, MODEL_COUNTS, count_rows
from isoenergy.measure.metric import read_metric
from isoenergy.render.arrange import lay_out
from isoenergy.render.tables import TABLES
from isoenergy.render.tidy import gather_tidy

STATUSES = ["ok", "HTTP 404", "ok", "timed out", "ok", "HTTP 404", "ok"]
DROPPED = {"c": "picture is too oblong (900 x 3)", "g": "picture is too oblong (3 x 800)"}


@pytest.fixture
def data(tmp_path):
    table = pd.DataFrame({"id": list("abcdefg"), "status": STATUSES, "caption": "x"})
    table["image"] = ["0", "1", "2", "3", "2", "5", "6"]
    table.to_parquet(tmp_path / "pairs.parquet")
    hashes = pd.DataFrame({"id": ["a", "c", "e", "g"], "sha256": ["H", "H", "H", "I"]})
    hashes.to_parquet(tmp_path / "fetched.parquet")
    for model, dropped in (("A", {}), ("B", DROPPED)):
        told = {"rows": 4 - len(dropped), "dropped": dropped}
        (tmp_path / f"{model}.json").write_text(json.dumps(told))
    return tmp_path


def _read(folder):
    found = {path.stem: read_metric(path) for path in folder.glob("*.json")}
    return {name: dict(metric.protocols) for name, metric in found.items()}


def _count(data, fetched=True, paper_rows=9):
    stores = {model: data / f"{model}.json" for model in "AB"}
    hashes = data / "fetched.parquet" if fetched else None
    count_rows(data / "pairs.parquet", "pairs", hashes, stores, paper_rows, data / "counts")
    return _read(data / "counts")


def test_every_row_is_counted_once(data):
    counts = _count(data)
    assert set(counts) == set(COUNTS)
    assert counts["asked"] == {"rows": 7}
    assert counts["usable"] == {"rows": 4}
    assert counts["failed"] == {"all reasons": 3, "HTTP 404": 2, "timed out": 1}
    assert counts["duplicates"] == {"rows": 2}
    assert counts["paper_rows"] == {"rows": 9}
    assert _read(data / "counts/A") == {"embedded": {"rows": 4}, "dropped": {"all reasons": 0}}
    assert _read(data / "counts/B") == {
        "embedded": {"rows": 2},
        "dropped": {"all reasons": 2, "picture is too oblong": 2},
    }


def test_pictures_that_are_not_hashed_are_told_apart_by_file(data):
    counts = _count(data, fetched=False, paper_rows=None)
    assert counts["duplicates"] == {"rows": 1}
    assert "paper_rows" not in counts


def test_an_embedding_that_lost_a_row_is_refused(data):
    (data / "B.json").write_text(json.dumps({"rows": 3, "dropped": {}}))
    with pytest.raises(InputError, match=r"3 rows embedded and 0 dropped, but .* has 4 with"):
        _count(data)


def test_a_row_that_was_dropped_twice_is_refused(data):
    # Row b failed when it was fetched; the count alone would be right.
    (data / "B.json").write_text(json.dumps({"rows": 3, "dropped": {"b": "not in the shards"}}))
    with pytest.raises(InputError, match=r"row b was dropped, but .* has no picture of it"):
        _count(data)


def test_a_hash_that_is_missing_is_refused(data):
    pd.DataFrame({"id": ["a"], "sha256": ["H"]}).to_parquet(data / "fetched.parquet")
    with pytest.raises(InputError, match="lacks row c"):
        _count(data)


REASONS = ("ok", "HTTP 404", "timed out", "opted out (X-Robots-Tag)")
LOST = (None, "not in the shards", "picture cannot be decoded (OSError)", "picture is a|b; c: 3")


@given(
    fates=st.lists(
        st.tuples(
            st.sampled_from(REASONS),
            st.integers(0, 9),
            st.sampled_from(LOST),
            st.sampled_from(LOST),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_rows_asked_are_the_rows_accounted_for(fates, tmp_path_factory):
    """Of any data set and two encoders, down to the table: what it shows adds up, row by row."""
    folder = tmp_path_factory.mktemp("rows")
    ids = [f"row-{i}" for i in range(len(fates))]
    statuses, pictures, *lost = zip(*fates, strict=True)
    table = pd.DataFrame({"id": ids, "status": statuses, "image": map(str, pictures)})
    write_parquet(folder / "pairs.parquet", table.assign(caption="x"))
    stores = {}
    for model, reasons in zip("AB", lost, strict=True):
        fate = zip(ids, statuses, reasons, strict=True)
        dropped = {row: why for row, status, why in fate if status == "ok" and why is not None}
        stores[model] = folder / f"{model}.json"
        write_json(stores[model], {"rows": statuses.count("ok") - len(dropped), "dropped": dropped})
    count_rows(folder / "pairs.parquet", "pairs", None, stores, None, folder / "counts")
    sources = [
        {"model": model, "variant": "rows", "dataset": "d", "folders": [folder / "counts" / own]}
        for model, own in (("all models", ""), ("A", "A"), ("B", "B"))
    ]
    tidy = gather_tidy(sources, [*COUNTS, *MODEL_COUNTS])
    counted = {(row.metric, row.model, row.protocol): row.value for row in tidy.itertuples()}
    grid = lay_out(TABLES["table_data"], tidy)
    shown = {}
    for row in grid.rows:
        cells = dict(zip(grid.header, (cell.text for cell in row), strict=True))
        models = ["A", "B"] if cells.get("models", "all") == "all" else cells["models"].split(", ")
        shown |= dict.fromkeys(models, cells)
        asked, failed, embedded, dropped = (
            int(cells[name]) for name in ("asked for", "failed", "embedded", "not embedded")
        )
        assert asked == len(fates) == failed + embedded + dropped
        assert int(cells["with a picture"]) == embedded + dropped
    assert set(shown) == set("AB")
    for model, reasons in zip("AB", lost, strict=True):
        left = [why for status, why in zip(statuses, reasons, strict=True) if status == "ok"]
        for why in LOST[1:]:
            told = counted.get(("dropped", model, why.partition(" (")[0]), 0)
            assert told == left.count(why)
        by_reason = [v for (m, of, p), v in counted.items() if (m, of) == ("dropped", model)]
        assert sum(by_reason[1:]) == by_reason[0] == int(shown[model]["not embedded"])
        assert counted["embedded", model, "rows"] == left.count(None)
    for why in REASONS[1:]:
        assert counted.get(("failed", "all models", why), 0) == statuses.count(why)
