"""The table of a data folder, which users write: every cell as it is, or what is wrong where."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from isoenergy.data.pairs import NEEDED
from isoenergy.errors import InputError
from isoenergy.files import read_parquet

if TYPE_CHECKING:
    import pandas as pd

_KNOWN = ("id", "image", *{name: None for needed in NEEDED.values() for name in needed})
_WHOLE = ("label", "triplet")
_OTHER_MARKS = {";": "semicolons", "\t": "tabs", "|": "bars"}
# UTF-32 begins with the mark of UTF-16.
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
# A zip archive (XLSX, ODS), an old workbook, gzip, parquet: how they begin.
_NO_TEXT = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"PAR1")
# NUL, and how bytes that are not UTF-8 are decoded here.
_UNREAD = re.compile(r"[\0\udc80-\udcff]")
_AGAIN = "save it as CSV in UTF-8"


class _Cells:
    """The columns of a table, and how to name one of its rows.

    Rows count from 0, as they do in ids and in arrays; ``lines`` are the lines of a CSV file on
    which they begin, from 1.
    """

    def __init__(
        self, path: Path, columns: Mapping[str, Sequence[Any]], lines: Sequence[int] = ()
    ) -> None:
        self.path, self.columns, self.lines = path, columns, lines

    def refuse(self, row: int, what: str, column: str, remedy: str) -> NoReturn:
        line = f"line {self.lines[row]}, " if self.lines else ""
        raise InputError(f"{self.path}: row {row} {what} ({line}column {column}); {remedy}")


def read_table(path: Path, dataset: str, kind: str, classes: int | None = None) -> pd.DataFrame:
    """Read ``pairs.csv`` or ``pairs.parquet`` of a data folder.

    A CSV file is in UTF-8, with or without a byte order mark; cells are separated by commas, and
    one with a comma, a quote or a line break stands in quotes; blanks behind a comma do not count.
    No word stands for an empty cell, and ids stay the text that they are.

    Parameters
    ----------
    path : path
    dataset : str
        Prefix of ids where the table has no column ``id``.
    kind : {"pairs", "classes", "edits"}
    classes : int, optional
        How many classes there are, above every label.

    Returns
    -------
    DataFrame
        ``id`` (unique text), ``image`` (text) and the columns of the kind, ``NEEDED``: text, or
        int64 from 0 for ``label`` and ``triplet``.

    Raises
    ------
    InputError
        Names the file, and the first row that is wrong: its number from 0, and its line in a CSV
        file.
    """
    import pandas as pd

    cells = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
    needed = ("image", *NEEDED[kind])
    for name in needed:
        if name not in cells.columns:
            _refuse_columns(cells, name, f"a data set of kind {kind} has {', '.join(needed)}")
    count = len(cells.columns["image"])
    if not count:
        raise InputError(f"{path} has a header and no rows; write a row for every pair")
    columns: dict[str, Any] = {"id": [f"{dataset}-{row:08d}" for row in range(count)]}
    if "id" in cells.columns:
        columns["id"] = _column(cells, "id", lambda value: _text(value, numbers=True), "text")
        _check_ids(cells, columns["id"])
    for name in needed:
        if name in _WHOLE:
            numbers = _column(cells, name, _whole, "a whole number from 0")
            columns[name] = np.array(numbers, dtype=np.int64)
        else:
            columns[name] = _column(cells, name, _text, "one text")
    if classes is not None and columns["label"].max() >= classes:
        row = int(np.argmax(columns["label"] >= classes))
        what = f"has the label {columns['label'][row]}"
        cells.refuse(row, what, "label", f"classes.json names {classes} classes, the first is 0")
    return pd.DataFrame(columns)


def _read_parquet(path: Path) -> _Cells:
    table = read_parquet(path)
    if any(table.index.names):
        table = table.reset_index()
    columns = [table.iloc[:, at].tolist() for at in range(table.shape[1])]
    return _named(path, list(map(str, table.columns)), columns)


def _named(
    path: Path, names: Sequence[str], columns: Sequence[Sequence[Any]], lines: Sequence[int] = ()
) -> _Cells:
    for name in _KNOWN:
        if names.count(name) > 1:
            raise InputError(f"{path} has two columns {name}; drop one")
    return _Cells(path, dict(zip(names, columns, strict=True)), lines)


def _read_csv(path: Path) -> _Cells:
    content = path.read_bytes()
    if content.startswith(_UTF_16):
        raise InputError(f"{path} is in UTF-16 or UTF-32; {_AGAIN}")
    if content.startswith(_NO_TEXT):
        raise InputError(f"{path} is a workbook, an archive or parquet, and no text; {_AGAIN}")
    text = content.decode("utf-8-sig", errors="surrogateescape")
    _check_separator(path, text)
    # Strict: else all that follows a quote without a partner would be one cell.
    # Blanks behind a comma are passed over: else quotes behind them would be part of the cell.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    header: list[str] | None = None
    rows: list[list[str]] = []
    lines: list[int] = []
    while True:
        line = reader.line_num + 1
        where = "the header" if header is None else f"row {len(rows)} (line {line})"
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise InputError(
                f"{path}: {where} is not CSV ({error}); a cell with a comma, a quote or a line "
                "break stands in quotes, and a quote in it is doubled"
            ) from None
        if row is None:
            break
        if len(row) < 2 and not "".join(row).strip():
            continue
        if unread := _UNREAD.search("".join(row)):
            _refuse_character(path, where, unread[0])
        if header is None:
            header = [name.strip() for name in row]
        elif len(row) == len(header):
            rows.append(row)
            lines.append(line)
        else:
            _refuse_length(path, where, row, header)
    if header is None:
        raise InputError(f"{path} is empty; its first row names the columns")
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    return _named(path, header, columns, lines)


def _check_separator(path: Path, text: str) -> None:
    first = next((line for line in text[:10_000].splitlines() if line.strip()), "")
    for mark, plural in _OTHER_MARKS.items():
        if mark in first and "," not in first:
            raise InputError(f"{path} separates its cells by {plural}; separate them by commas")


def _refuse_character(path: Path, where: str, character: str) -> NoReturn:
    if character == "\0":
        raise InputError(f"{path}: {where} has a NUL byte, as text in UTF-16 has; {_AGAIN}")
    byte = ord(character) - 0xDC00
    raise InputError(f"{path}: {where} is not in UTF-8 (byte 0x{byte:02X}); {_AGAIN}")


def _refuse_length(path: Path, where: str, row: Sequence[str], header: Sequence[str]) -> NoReturn:
    remedy = (
        "put a cell that has a comma in quotes"
        if len(row) > len(header)
        else "fill in what is missing"
    )
    raise InputError(
        f"{path}: {where} has {len(row)} cell{'s' * (len(row) > 1)} and the header {len(header)}; "
        f"{remedy}"
    )


def _refuse_columns(cells: _Cells, name: str, told: str) -> NoReturn:
    found = ", ".join(map(repr, cells.columns))[:200] or "none"
    raise InputError(f"{cells.path} lacks the column {name}; {told}, and this one has {found}")


def _column(
    cells: _Cells, name: str, read: Callable[[Any], Any], wanted: str
) -> list[str] | list[int]:
    """The values of a column; ``read`` gives None for what is not ``wanted``."""
    made = []
    for row, value in enumerate(cells.columns[name]):
        if _is_empty(value):
            cells.refuse(row, "has an empty cell", name, "fill or drop it")
        found = read(value)
        if found is None:
            cells.refuse(row, f"has {str(value)[:80]!r}", name, f"{wanted} is needed")
        made.append(found)
    return made


def _is_empty(value: Any) -> bool:
    if isinstance(value, str | bytes):
        return not value.strip()
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _text(value: Any, numbers: bool = False) -> str | None:
    if numbers and (_is_integer(value) or (isinstance(value, float) and value.is_integer())):
        return str(int(value))
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="surrogateescape")
    return value if isinstance(value, str) and not _UNREAD.search(value) else None


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,18}(\.0*)?\s*", value):
        return int(value.partition(".")[0])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return int(value) if _is_integer(value) and 0 <= value < 2**63 else None


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _check_ids(cells: _Cells, ids: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for row, found in enumerate(ids):
        if found in first:
            what = f"has the id {found!r} of row {first[found]}"
            cells.refuse(row, what, "id", "give each its own, or drop the column to number rows")
        first[found] = row
