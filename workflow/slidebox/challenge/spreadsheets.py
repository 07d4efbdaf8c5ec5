"""Sheets of spreadsheet files (XLSX, ODS) as tables of text."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from xml.etree import ElementTree

MOST_COLUMNS = 1 << 10  # empty columns and rows may be written as one that is repeated
SHARED = "xl/sharedStrings.xml"


def tables(packed: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> Iterator[tuple[str, bytes]]:
    """(name, text parted by tabs) of each sheet of an opened spreadsheet file.

    Raises
    ------
    SyntaxError
        A sheet isn't XML.
    """
    by_name = {entry.filename: entry for entry in entries}
    words: list[str] = []
    if SHARED in by_name:
        for item in ElementTree.fromstring(packed.read(SHARED)):
            words.append("".join(item.itertext()))
    for name in by_name:
        if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name):
            yield f"sheet {name}", _joined(_excel(packed.read(name), words))
        elif name == "content.xml":
            yield "sheets", _joined(_open_document(packed.read(name)))


def _joined(rows: Iterator[list[str]]) -> bytes:
    lines = ["\t".join(re.sub(r"\s+", " ", cell) for cell in row) for row in rows]
    return "\n".join(lines).encode()


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _excel(text: bytes, words: list[str]) -> Iterator[list[str]]:
    for row in ElementTree.fromstring(text).iter():
        if _tag(row) != "row":
            continue
        cells: list[str] = []
        for cell in row:
            letters = re.match("[A-Z]*", cell.get("r", "")).group()
            column = sum((ord(c) - 64) * 26**k for k, c in enumerate(reversed(letters))) - 1
            if len(cells) < column < MOST_COLUMNS:
                cells += [""] * (column - len(cells))
            value = next((v.text or "" for v in cell if _tag(v) == "v"), None)
            if value is None:
                value = "".join(cell.itertext())
            elif cell.get("t") == "s" and value.isdigit() and int(value) < len(words):
                value = words[int(value)]
            cells.append(value)
        yield cells


def _open_document(text: bytes) -> Iterator[list[str]]:
    for row in ElementTree.fromstring(text).iter():
        if _tag(row) != "table-row":
            continue
        cells: list[str] = []
        for cell in row:
            known = {key.rpartition("}")[2]: value for key, value in cell.attrib.items()}
            value = known.get("value") or "".join(cell.itertext())
            times = known.get("number-columns-repeated", "1")
            more = min(int(times[:9]) if times.isdigit() else 1, MOST_COLUMNS - len(cells))
            cells += [value] * (more if value else min(more, 16))
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield cells
