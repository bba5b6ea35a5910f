"""The pairs table: one row for every picture-text pair asked for, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isoenergy.errors import InputError
from isoenergy.files import read_parquet, write_parquet

if TYPE_CHECKING:
    import pandas as pd

OK = "ok"
KINDS = ("pairs", "classes", "edits")
FACTOR_PREFIX = "factor_"
NEEDED = {"pairs": ("caption",), "classes": ("label",), "edits": ("caption", "source", "triplet")}


def check_pairs(table: pd.DataFrame, kind: str, where: str | Path) -> None:
    """Check a pairs table.

    Columns: ``id`` (unique text), ``image`` (key of the picture in the shards), ``status``
    (``"ok"``, or why the row has no picture); for kind ``pairs`` a ``caption``; for ``classes`` a
    ``label`` (index of the class); for ``edits`` a ``caption``, the ``source`` picture's key
    (``image`` is the target) and the ``triplet`` the row belongs to. Columns ``factor_*`` hold
    known factors and are optional.

    Raises
    ------
    InputError
        Names the first column or row that is wrong.
    """
    import pandera.pandas as pa

    text = pa.Column(str, nullable=False)
    columns = {
        "id": pa.Column(str, unique=True),
        "image": text,
        "status": text,
        "caption": text,
        "label": pa.Column("int64", pa.Check.ge(0)),
        "source": text,
        "triplet": pa.Column("int64", pa.Check.ge(0)),
    }
    needed = ("id", "image", "status", *NEEDED[kind])
    schema = pa.DataFrameSchema({name: columns[name] for name in needed})
    try:
        schema.validate(table)
    except pa.errors.SchemaError as error:
        raise InputError(f"{where}: {str(error).splitlines()[0]}") from None
    if table.empty:
        raise InputError(f"{where} has no rows")


def write_pairs(path: str | Path, table: pd.DataFrame, kind: str) -> None:
    """Check and write a pairs table (see :func:`check_pairs`)."""
    check_pairs(table, kind, path)
    write_parquet(path, table)


def read_pairs(path: str | Path, kind: str) -> pd.DataFrame:
    """Read and check a pairs table; only its rows with status ``"ok"`` are returned."""
    table = read_parquet(path)
    check_pairs(table, kind, path)
    usable = table[table["status"] == OK].reset_index(drop=True)
    if usable.empty:
        raise InputError(f"{path}: none of {len(table)} rows has a picture; see its status column")
    return usable
