"""CSV that a spreadsheet opens without running what strangers wrote into it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slidebox import atomic

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def cell(value: Any) -> Any:
    """The value for one cell: lists joined, text that could be a formula behind an apostrophe.

    What spreadsheets take for a formula: https://owasp.org/www-community/attacks/CSV_Injection
    """
    if value is None:
        return ""
    if isinstance(value, list):
        value = "; ".join(str(v) for v in value)
    if isinstance(value, str):
        value = value.replace("\0", "").encode("utf-8", "replace").decode()
        return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value
    return value


def write_csv(path: Path, columns: list[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as RFC 4180 CSV, UTF-8 with a header line."""
    with atomic.replacing(path) as out:
        table = csv.writer(out)
        table.writerow(columns)
        for row in rows:
            table.writerow([cell(row.get(column)) for column in columns])
