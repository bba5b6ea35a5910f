"""Lists of links to pictures with captions, from metadata in parquet files (LAION)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from isoenergy.errors import InputError
from isoenergy.files import is_visible, visible, write_parquet
from isoenergy.progress import Progress
from isoenergy.seeds import generator

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

# Names of the columns in LAION's releases, in lower case.
URLS, CAPTIONS = ("url",), ("caption", "text")
# Longer ones are none that a browser takes, or no captions.
MAX_URL, MAX_CAPTION = 4096, 10_000
FIRST, RANDOM = "first", "random"


def list_links(
    links: str | Path,
    dataset: str,
    rows: int,
    sample: str,
    seed: int,
    metadata: str | None,
    primary: str,
    mirror: str | None,
) -> None:
    """Write a list of links: the first rows of parquet metadata, or a sample of them.

    Parameters
    ----------
    links : path
        Parquet to write: the text columns ``id``, ``url``, ``caption``.
    dataset : str
        Prefix of ids, which end in the number of the row in the metadata.
    rows : int
        How many to take.
    sample : {"first", "random"}
        The first rows, files by name; or rows drawn evenly from all files, in order.
    seed : int
    metadata : str or None
        A parquet file or a folder of such; None reads from the model hub.
    primary, mirror : str
        Data sets on the hub; the second is asked where the first cannot be had.

    Raises
    ------
    InputError
        If the metadata cannot be had, is broken, or has too few rows.
    """
    names, open_file = _local(Path(metadata)) if metadata else _remote(primary, mirror)
    parts = _first(names, open_file, rows) if sample == FIRST else None
    if parts is None:
        parts = _random(names, open_file, rows, seed)
    import pandas as pd

    tables = []
    with Progress(f"list {dataset}", rows, "links") as bar:
        try:
            for part in parts:
                tables.append(part)
                bar.step(len(part))
        except InputError:
            raise
        except Exception as error:  # the hub's client raises many kinds
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"the list of links of {dataset} cannot be read to its end "
                f"({type(error).__name__}: {reason}); "
                f"{f'copy or download {metadata} again' if metadata else 'run again'}"
            ) from None
    table = pd.concat(tables, ignore_index=True)
    table["id"] = [f"{dataset}-{row:010d}" for row in table["row"]]
    table["url"] = table["url"].fillna("").str.slice(0, MAX_URL)
    table["caption"] = table["caption"].fillna("").str.slice(0, MAX_CAPTION)
    write_parquet(links, table[["id", "url", "caption"]])


Opener = Callable[[str], IO[bytes]]


def link_files(metadata: str | Path) -> list[Path]:
    """The parquet files of a list of the user's own, by name; none where there are none."""
    path = Path(metadata)
    files = visible(path.glob("**/*.parquet")) if path.is_dir() else [path]
    files = [file for file in files if all(map(is_visible, file.relative_to(path).parts))]
    return [file for file in files if file.is_file()]


def _local(path: Path) -> tuple[list[str], Opener]:
    files = link_files(path)
    if not files:
        raise InputError(
            f"{path} is neither a parquet file nor a folder of such; correct the key download.lists"
        )
    return [str(file) for file in files], lambda name: Path(name).open("rb")


def _remote(primary: str, mirror: str | None) -> tuple[list[str], Opener]:
    from huggingface_hub import HfFileSystem

    system = HfFileSystem()
    told = []
    for source in filter(None, (primary, mirror)):
        try:
            names = sorted(system.glob(f"datasets/{source}/**/*.parquet"))
            if names:
                with system.open(names[0], "rb") as file:  # a gated one lists what it does not give
                    file.read(4)
                return names, lambda name: system.open(name, "rb")
            told.append(f"{source} has no parquet files")
        except Exception as error:  # the hub's client raises many kinds
            told.append(f"{source}: {type(error).__name__}")
    raise InputError(
        f"the hub gives no list of links ({'; '.join(told)}); ask for access on its page and log "
        "in with `hf auth login`, or name parquet files of your own under download.lists"
    )


def _open(name: str, file: IO[bytes]) -> tuple[pq.ParquetFile, dict[str, str]]:
    """A parquet file and the names of its columns by what they hold."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        opened = parquet.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{name} cannot be read as parquet ({str(error).splitlines()[0]}); copy or download it "
            "again"
        ) from None
    by_lower = {column.lower(): column for column in opened.schema_arrow.names}
    columns = {}
    for what, allowed in (("url", URLS), ("caption", CAPTIONS)):
        found = [by_lower[column] for column in allowed if column in by_lower]
        if not found:
            raise InputError(f"{name} has no column {' or '.join(allowed)}, in capitals or not")
        columns[what] = found[0]
        kind = opened.schema_arrow.field(found[0]).type
        if not _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind):
            raise InputError(
                f"{name} has {kind} in the column {found[0]}; text is needed, one a row"
            )
    return opened, columns


def _is_text(kind: pa.DataType) -> bool:
    """Text, also as bytes of UTF-8, or a column without any value."""
    from pyarrow import types

    tests = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
        types.is_null,
    )
    return any(test(kind) for test in tests)


def _table(batch: object, columns: dict[str, str], start: int) -> pd.DataFrame:
    import pandas as pd

    values = {
        what: [
            cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell for cell in cells
        ]
        for what, column in columns.items()
        for cells in [batch.column(column).to_pylist()]
    }
    table = pd.DataFrame(values, dtype=object)
    return table.assign(row=np.arange(start, start + len(table)))


def _first(names: Sequence[str], open_file: Opener, rows: int) -> Iterator[pd.DataFrame]:
    taken = 0
    for name in names:
        with open_file(name) as file:
            opened, columns = _open(name, file)
            for batch in opened.iter_batches(columns=list(columns.values())):
                part = _table(batch, columns, taken)[: rows - taken]
                taken += len(part)
                yield part
                if taken == rows:
                    return
    _too_few(taken, rows)


def _random(
    names: Sequence[str], open_file: Opener, rows: int, seed: int
) -> Iterator[pd.DataFrame]:
    counts = []
    for name in names:
        with open_file(name) as file:
            counts.append(_open(name, file)[0].metadata.num_rows)
    total = sum(counts)
    if total < rows:
        _too_few(total, rows)
    drawn = np.sort(generator(seed, "links").choice(total, rows, replace=False))
    start = 0
    for name, count in zip(names, counts, strict=True):
        own = drawn[(drawn >= start) & (drawn < start + count)]
        if own.size:
            with open_file(name) as file:
                opened, columns = _open(name, file)
                at = start
                for batch in opened.iter_batches(columns=list(columns.values())):
                    chosen = own[(own >= at) & (own < at + batch.num_rows)] - at
                    if chosen.size:
                        yield _table(batch, columns, at).iloc[chosen]
                    at += batch.num_rows
        start += count


def _too_few(found: int, rows: int) -> None:
    raise InputError(
        f"the metadata has {found} rows and {rows} are asked for; ask for fewer (rows)"
    )
