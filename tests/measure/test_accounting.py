import json

import pandas as pd
import pytest

from isoenergy.errors import InputError
from isoenergy.measure.accounting import COUNTS, count_rows
from isoenergy.measure.metric import read_metric

STATUSES = ["ok", "HTTP 404", "ok", "timed out", "ok", "HTTP 404", "ok"]


@pytest.fixture
def data(tmp_path):
    table = pd.DataFrame({"id": list("abcdefg"), "status": STATUSES, "caption": "x"})
    table["image"] = ["0", "1", "2", "3", "2", "5", "6"]
    table.to_parquet(tmp_path / "pairs.parquet")
    hashes = pd.DataFrame({"id": ["a", "c", "e", "g"], "sha256": ["H", "H", "H", "I"]})
    hashes.to_parquet(tmp_path / "fetched.parquet")
    for model, dropped in (("A", {}), ("B", {"g": "broken"})):
        told = {"rows": 4 - len(dropped), "dropped": dropped}
        (tmp_path / f"{model}.json").write_text(json.dumps(told))
    return tmp_path


def _count(data, fetched=True, paper_rows=9):
    stores = {model: data / f"{model}.json" for model in "AB"}
    hashes = data / "fetched.parquet" if fetched else None
    count_rows(data / "pairs.parquet", "pairs", hashes, stores, paper_rows, data / "counts")
    found = {path.stem: read_metric(path) for path in (data / "counts").glob("*.json")}
    return {name: dict(metric.protocols) for name, metric in found.items()}


def test_every_row_is_counted_once(data):
    counts = _count(data)
    assert set(counts) == set(COUNTS)
    assert counts["asked"] == {"rows": 7}
    assert counts["usable"] == {"rows": 4}
    assert counts["failed"] == {"all reasons": 3, "HTTP 404": 2, "timed out": 1}
    assert counts["embedded"] == {"A": 4, "B": 3}
    assert counts["duplicates"] == {"rows": 2}
    assert counts["paper_rows"] == {"rows": 9}


def test_pictures_that_are_not_hashed_are_told_apart_by_file(data):
    counts = _count(data, fetched=False, paper_rows=None)
    assert counts["duplicates"] == {"rows": 1}
    assert "paper_rows" not in counts


def test_an_embedding_that_lost_a_row_is_refused(data):
    (data / "B.json").write_text(json.dumps({"rows": 3, "dropped": {}}))
    with pytest.raises(InputError, match=r"3 rows embedded and 0 dropped, but .* has 4 with"):
        _count(data)


def test_a_hash_that_is_missing_is_refused(data):
    pd.DataFrame({"id": ["a"], "sha256": ["H"]}).to_parquet(data / "fetched.parquet")
    with pytest.raises(InputError, match="lacks row c"):
        _count(data)
