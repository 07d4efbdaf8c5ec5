"""Rows of CSV files as spreadsheets and scripts write them, each with its line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..findings import Finding
from .predictions import Refused, error

Rows = Iterator[tuple[int, dict[str, str]]]
DELIMITERS = "\t;,"
LONGEST = (1 << 31) - 1  # characters of a cell: run lengths of a large object are one
HEAD = 1 << 16
SHOWN = 20


@contextmanager
def opened_rows(
    path: Path, file: str, problems: list[Finding]
) -> Iterator[tuple[dict[str, str], Rows]]:
    """Columns by their plain names (lower case), and the rows that follow: (line, cells).

    Columns are parted by commas, semicolons or tabs, whichever the header has. A byte order mark
    and any line ends are fine, blank lines are left out. Rows with more cells than columns are left
    out and put into `problems`.

    Raises
    ------
    Refused
        The text isn't UTF-8 or no CSV, or a column is there twice; while reading, too.
    """
    csv.field_size_limit(LONGEST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            first = handle.readline(HEAD)
            handle.seek(0)
            delimiter = max(DELIMITERS, key=first.count) if first else ","
            reader = csv.DictReader(handle, delimiter=delimiter)
            listed = [(n or "").strip().lower() for n in reader.fieldnames or []]
            twice = sorted({n for n in listed if n and listed.count(n) > 1})
            if twice:
                raise Refused(error("TABLE_COLUMNS", f"column {', '.join(twice)} is there twice",
                                    file, "keep one of them", line=1))  # fmt: skip
            names = dict(zip(listed, reader.fieldnames or [], strict=True))
            yield names, _rows(reader, file, problems)
    except UnicodeDecodeError as bad:
        raise Refused(error("TABLE_ENCODING", f"isn't UTF-8 text ({bad.reason} at byte "
                            f"{bad.start})", file, "save it as CSV in UTF-8")) from bad  # fmt: skip
    except (OSError, csv.Error) as bad:
        raise Refused(error("PREDICTION_UNREADABLE", f"can't be read: {bad}", file,
                            "write it again as CSV")) from bad  # fmt: skip


def _rows(reader: csv.DictReader, file: str, problems: list[Finding]) -> Rows:
    wide = 0
    for row in reader:
        if None not in row:
            yield reader.line_num, row
            continue
        wide += 1
        if wide <= SHOWN:
            cells = len(row) - 1 + len(row[None])
            problems.append(
                error("TABLE_ROW", f"{cells} cells in {len(row) - 1} columns", file,
                      "part cells with the header's sign; write 1.5, not 1,5",
                      line=reader.line_num)
            )  # fmt: skip
    if wide > SHOWN:
        problems.append(error("TABLE_ROW", f"{wide - SHOWN} more rows have too many cells", file))
