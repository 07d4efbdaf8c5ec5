"""What the index of a plate says, and the words that indexes share: rows, XML, lengths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .. import units
from ..model import Channel, UnreadableImage

Where = tuple[int, int, int]  # t, c, z, from 0


@dataclass(slots=True)
class FieldIndex:
    """A field as an index has it: its planes' files, what is known of its place and time."""

    row: int
    column: int
    number: int
    """As the instrument counts, mostly from 1."""
    first: int = 1
    """The instrument's first number: the field's path on the plate counts from 0."""
    kind: str = ""
    """What tells several images of one field apart, e.g. ``projection``: each kind is a plate of
    its own, because readers lay all images of a well side by side.
    """
    planes: dict[Where, Path] = field(default_factory=dict)
    position: dict[str, float] | None = None
    z_step: float | None = None
    time_step: float | None = None
    start_time: str | None = None


@dataclass(slots=True)
class PlateIndex:
    """What an index file says: layout from 0, channels, sizes in um, fields in any order."""

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    channels: list[Channel]
    pixel_size: dict[str, float | None]
    fields: list[FieldIndex]
    texts: dict[str, str] = field(default_factory=dict)
    acquisition: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    whole: bool = True
    """Rows and columns are the plate's; else only those that hold images."""
    from_planes: bool = False
    """Sizes, wavelengths and positions stand in the planes' own files."""


def row_letters(row: int) -> str:
    """Letters of a row from 0: A, B, ..., Z, AA, ..."""
    text, row = "", row + 1
    while row:
        row, rest = divmod(row - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def row_number(letters: str) -> int:
    """Number from 0 of a row's letters."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def layout(rows: int, columns: int, wells: Iterable[tuple[int, int]]):
    """Names of rows and columns of a plate, grown where wells lie outside it."""
    wells = list(wells)
    rows = max([rows, *(r + 1 for r, _ in wells)])
    columns = max([columns, *(c + 1 for _, c in wells)])
    return tuple(row_letters(r) for r in range(rows)), tuple(str(c + 1) for c in range(columns))


def local(tag: str) -> str:
    """An XML name without its namespace."""
    return tag.rpartition("}")[2]


def child(element, name: str):
    return next((e for e in element if local(e.tag) == name), None)


def text(element, name: str) -> str | None:
    found = child(element, name) if element is not None else None
    return (found.text or "").strip() or None if found is not None else None


def micrometers(element, name: str, convert=units.micrometers) -> float | None:
    """A length of a child element with its unit, in um."""
    found = child(element, name)
    if found is None or found.text is None:
        return None
    return convert(found.text.strip(), found.get("Unit") or "m")


def whole(value: str | None, what: str, path: Path) -> int:
    try:
        return int(re.sub(r"\.0+$", "", (value or "").strip()))
    except ValueError:
        raise UnreadableImage(f"{what} is {value!r}, not a number", file=str(path)) from None
