"""Tables about the objects of a label image: one row a value, its colour and its properties."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from typing import Any

from .model import UnreadableImage

VALUE = ("label-value", "label_value", "label", "label_id", "value", "object", "object_id", "id")
"""Names of the column that holds the value of the label image, the first that is there counts."""
COLOR = ("color", "colour", "rgba", "rgb")


def read_table(path: Path) -> dict[int, dict[str, Any]]:
    """Properties by label value, from a CSV or TSV file with a header.

    Numbers become numbers, empty cells are left out; a column ``color`` (``#RRGGBB``,
    ``#RRGGBBAA`` or three or four numbers 0 to 255) becomes ``rgba``. Raises UnreadableImage with
    line and column when a row can't be used.
    """
    text = path.read_text(encoding="utf-8-sig")
    first = text.partition("\n")[0]
    rows = csv.reader(text.splitlines(), delimiter="\t" if "\t" in first else ",")
    header = [name.strip() for name in next(rows, [])]
    lower = [name.lower() for name in header]
    key = next((lower.index(name) for name in VALUE if name in lower), None)
    if key is None:
        raise UnreadableImage(
            f"no column says the label's value; call it {VALUE[2]!r}", file=str(path)
        )
    found: dict[int, dict[str, Any]] = {}
    for line, row in enumerate(rows, 2):
        if not any(cell.strip() for cell in row):
            continue
        try:
            number = float(row[key])
            value = int(number)
            if value != number or value < 0:
                raise ValueError
        except (ValueError, IndexError, OverflowError):
            said = row[key] if key < len(row) else ""
            raise UnreadableImage(
                f"line {line}: {header[key]} {said!r} is no label value", file=str(path)
            ) from None
        entry = found.setdefault(value, {})
        for name, low, cell in zip(header, lower, row, strict=False):
            if low == lower[key] or not cell.strip() or not name:
                continue
            if low in COLOR:
                rgba = _rgba(cell)
                if rgba is None:
                    raise UnreadableImage(
                        f"line {line}: {name} {cell!r} is no colour (#RRGGBB)", file=str(path)
                    )
                entry["rgba"] = rgba
            else:
                entry[name] = _plain(cell.strip())
    return found


def _rgba(cell: str) -> list[int] | None:
    text = cell.strip().lstrip("#")
    if re.fullmatch(r"[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?", text):
        numbers = [int(text[n : n + 2], 16) for n in range(0, len(text), 2)]
    else:
        parts = re.findall(r"\d+", text)
        numbers = [int(p) for p in parts]
        if len(numbers) not in (3, 4) or max(numbers) > 255:
            return None
    return [*numbers, 255][:4]


def _plain(cell: str) -> Any:
    for kind in (int, float):
        try:
            number = kind(cell)
        except ValueError:
            continue
        return number if math.isfinite(number) else cell
    return cell
