"""Metadata of a store: ids and captions as text, whatever types its parquet files hold them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoenergy.embed.layout import find_metadata, part_number
from isoenergy.errors import InputError
from isoenergy.files import hash_strings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ID, CAPTION = "id", "caption"
# Bits of whole numbers that floating-point ones hold.
_EXACT = {"float16": 11, "float32": 24, "float64": 53}


def check_schema(location: Path, parts: Sequence[tuple[Path, int]]) -> None:
    """Check by the footers of its files alone that metadata has a row per pair, in known types.

    Parameters
    ----------
    location : Path
        Folder of a store.
    parts : sequence of (Path, int)
        Files of its images, and their rows.

    Raises
    ------
    InputError
        If a file is broken, there are more or fewer rows than pairs, in all or in the part of the
        same number, one part lacks a column ``id`` or ``caption`` that another has, or one of these
        is of a type that is not read.
    """
    paths = find_metadata(location)
    _check_schema(location, paths, sum(rows for _, rows in parts))
    if len(paths) != len(parts) or None in map(part_number, paths):
        return  # cut otherwise, which is allowed
    for path, (array, rows) in zip(paths, parts, strict=True):
        if part_number(path) != part_number(array):
            raise InputError(
                f"{path} and {array.name} have the same place among their parts but not the same "
                "number; a part is missing, copy or make it again"
            )
        if (own := _open(path).metadata.num_rows) != rows:
            raise InputError(
                f"{path} has {own} rows and {array.name} {rows}; parts of one number hold the same "
                "pairs"
            )


def has_captions(location: Path) -> bool:
    """Whether metadata has a column of captions.

    True of what is broken as well: why it is so is then told by the check of its store, in the
    place of captions that there are none.

    Parameters
    ----------
    location : Path
        Folder of a store.
    """
    try:
        schemas = [_open(path).schema_arrow for path in find_metadata(location)]
    except InputError:
        return True
    return any(CAPTION in schema.names for schema in schemas)


def read_metadata(location: Path, n: int) -> pd.DataFrame:
    """Metadata of every row, in row order; only ``id``, the row's number, where there is none.

    Parameters
    ----------
    location : Path
        Folder of a store.
    n : int
        Its pairs.

    Returns
    -------
    DataFrame
        ``id`` is text; so is ``caption``, where there is one: of a list its first, bytes decoded,
        None where it is missing.

    Raises
    ------
    InputError
        As :func:`check_schema`, or if an id is missing, or bytes are no UTF-8.
    """
    import pandas as pd

    paths = find_metadata(location)
    _check_schema(location, paths, n)
    if not paths:
        return pd.DataFrame({ID: [str(i) for i in range(n)]})
    parts = []
    for path in paths:
        with _reading(path):
            file = _open(path)
            table = file.read([ID, CAPTION])
            part = _others(file)
            for place, name in enumerate(
                name for name in (ID, CAPTION) if name in table.schema.names
            ):
                part.insert(place, name, pd.Series(_texts(path, table, name), dtype=object))
        parts.append(part)
    found = pd.concat(parts, ignore_index=True)
    if ID not in found:
        found.insert(0, ID, [str(i) for i in range(n)])
    return found.assign(id=_known(location, found[ID].tolist()))


def check_ids(location: Path, n: int, description: Mapping[str, Any]) -> str:
    """Check the row ids; returns their hash.

    Parameters
    ----------
    location : Path
    n : int
        Pairs of the store.
    description : mapping
        Its ``ids`` are hashes of the row ids that each array was made from.

    Raises
    ------
    InputError
        As :func:`read_metadata`, or if an id occurs twice, or hashes differ.
    """
    ids, numbers = _read_ids(location, n)
    if len(set(ids)) < len(ids):
        rows: dict[str, int] = {}
        second = next(i for i, name in enumerate(ids) if rows.setdefault(name, i) != i)
        name = ids[second]
        lost = f" (as {numbers} they are exact to 2**{_EXACT[numbers]} alone)" if numbers else ""
        raise InputError(
            f"{location}: row id {name!r} occurs twice in the metadata, in rows {rows[name]} and "
            f"{second}; an id{lost} is of one pair: make them unique, or drop or rename the "
            "column id, for example where a picture has several captions, and rows are numbered"
        )
    found = hash_strings(ids)
    for name, told in description.get("ids", {}).items():
        if told != found:
            raise InputError(
                f"{location}: the {name} rows were made from other row ids than the metadata "
                "holds, or in another order; embed again so that row i is one pair everywhere"
            )
    return found


def check_captions(location: Path) -> None:
    """Read every caption, so that one that is no text is told before anything is made of its store.

    Raises
    ------
    InputError
        As :func:`read_metadata`.
    """
    for path in find_metadata(location):
        if CAPTION in _open(path).schema_arrow.names:
            with _reading(path):
                _texts(path, _open(path).read([CAPTION]), CAPTION)


def _read_ids(location: Path, n: int) -> tuple[list[str], str]:
    """Ids of all rows, and as which floating-point numbers a part keeps them, if one does."""
    import pyarrow as pa

    paths = find_metadata(location)
    _check_schema(location, paths, n)
    if not paths or ID not in _open(paths[0]).schema_arrow.names:
        return [str(i) for i in range(n)], ""
    ids, numbers = [], ""
    for path in paths:
        with _reading(path):
            table = _open(path).read([ID])
            kind = table.schema.field(ID).type
            # Arrow's names are half, float and double.
            numbers = f"float{kind.bit_width}" if pa.types.is_floating(kind) else numbers
            ids += _texts(path, table, ID)
    return _known(location, ids), numbers


def _known(location: Path, ids: list[str | None]) -> list[str]:
    if None in ids:
        row = ids.index(None)
        raise InputError(f"{location}: row {row} of the metadata has no id; number the rows")
    return ids


def _check_schema(location: Path, paths: list[Path], n: int) -> None:
    if not paths:
        return
    opened = [_open(path) for path in paths]
    schemas = [file.schema_arrow for file in opened]
    for name in (ID, CAPTION):
        lacking = [path for path, own in zip(paths, schemas, strict=True) if name not in own.names]
        if lacking and len(lacking) < len(paths):
            having = next(path for path in paths if path not in lacking)
            raise InputError(
                f"{lacking[0]} has no column {name} and {having.name} has one; give it to all "
                "parts, or drop it from all"
            )
        if not lacking:
            for path, schema in zip(paths, schemas, strict=True):
                if schema.names.count(name) > 1:
                    raise InputError(f"{path} has two columns {name}; drop one of them")
                _check_type(path, name, schema.field(name).type)
    rows = [file.metadata.num_rows for file in opened]
    if sum(rows) != n:
        files = f" (in {paths[0].name} to {paths[-1].name})" if len(paths) > 1 else ""
        raise InputError(
            f"{location}: metadata has {sum(rows)} rows and img_emb {n}; they must agree{files}"
        )


def _check_type(path: Path, name: str, kind: pa.DataType) -> None:
    import pyarrow.types as is_a

    inner = _unpacked(kind)
    names = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
    readable = is_a.is_null(inner) or any(getattr(is_a, f"is_{name}")(inner) for name in names)
    if name == ID:
        numbers = (is_a.is_integer, is_a.is_floating, is_a.is_decimal, is_a.is_temporal)
        readable = inner == _undictionaried(kind) and (
            readable or is_a.is_fixed_size_binary(inner) or any(test(inner) for test in numbers)
        )
    if not readable:
        allowed = (
            "ids are text or numbers"
            if name == ID
            else "captions are text, bytes of UTF-8, or lists of these, the first of which is read"
        )
        raise InputError(
            f"{path}: column {name} holds {kind}; {allowed}: save it so, or drop or rename it"
        )


def _undictionaried(kind: pa.DataType) -> pa.DataType:
    """The type of a dictionary's values, and of what a type of its own, such as UUID, keeps."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return kind.storage_type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _unpacked(kind: pa.DataType) -> pa.DataType:
    """The type of what a list holds, or of the values of a dictionary."""
    import pyarrow.types as is_a

    kind = _undictionaried(kind)
    lists = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    if any(getattr(is_a, f"is_{name}")(kind) for name in lists):
        return _undictionaried(kind.value_type)
    return kind


def _texts(path: Path, table: pa.Table, name: str) -> list[str | None]:
    """A column as text, without a loss; None where it has none."""
    import pyarrow as pa
    import pyarrow.types as is_a

    column = table[name]
    kind = _undictionaried(column.type)
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.cast(kind)
    if is_a.is_integer(kind) or is_a.is_decimal(kind) or is_a.is_temporal(kind):
        return column.cast(kind).cast(pa.string()).to_pylist()
    if is_a.is_floating(kind):
        return [_number(value) for value in column.to_pylist()]
    values = column.to_pylist()
    if kind != _unpacked(kind):
        values = [next(iter(value), None) if value else None for value in values]
    return [
        _decoded(path, name, row, value) if isinstance(value, bytes) else value
        for row, value in enumerate(values)
    ]


def _others(file: Any) -> pd.DataFrame:
    """Columns but ids and captions; without those of one name, and those that cannot be read."""
    import pandas as pd
    import pyarrow as pa

    kept = {}
    names = file.schema_arrow.names
    for name in names:
        if name not in (ID, CAPTION) and names.count(name) == 1:
            with suppress(pa.ArrowException, OSError, ValueError):
                column = file.read([name])[name]
                column.validate(full=True)
                kept[name] = column.to_pandas()
    return pd.DataFrame(kept, index=range(file.metadata.num_rows))


def _number(value: float | None) -> str | None:
    """A number as text, a whole one as an integer is; NaN is none."""
    if value is None or value != value:
        return None
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _decoded(path: Path, name: str, row: int, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        if name == ID:
            return value.hex()
        raise InputError(
            f"{path}: the {name} of row {row} is bytes that are no UTF-8; save it as text"
        ) from None


def _open(path: Path) -> Any:
    from pyarrow import parquet

    with _reading(path):
        # By its handle: names of folders such as a=b are no columns.
        return parquet.ParquetFile(path)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = next(chain(str(error).splitlines(), [type(error).__name__]))
        raise InputError(f"{path} cannot be read as parquet ({reason}); make it again") from None
