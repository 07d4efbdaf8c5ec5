"""Tables, lists of points, outlines and run lengths in a text of any kind: CSV, JSON, HTML, XML,
SVG, Markdown, Parquet."""

from __future__ import annotations

import csv
import html
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ..scoring.masks import expand_counts
from . import containers, jsonpieces

LARGEST = 128 << 20
MOST_ROWS = 1_000_000  # of a Parquet table, which may pack very many into few bytes
MATRIX = 8  # rows and columns of numbers that may be an image
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_OUTLINE = re.compile(r"(?:MULTI)?(?:POLYGON|LINESTRING)?[\s\d.,;()\[\]eE+MLZz-]{12,}")
# x and y of the first corner, then of the last, or width and height
CORNERS = [
    ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1"), ("left", "top", "right", "bottom"),
    ("minc", "minr", "maxc", "maxr"), ("bbox_1", "bbox_0", "bbox_3", "bbox_2"),
]  # fmt: skip
SIDES = [("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"),
         ("bx", "by", "width", "height")]  # fmt: skip
csv.field_size_limit(1 << 30)


@dataclass
class Table:
    """Rows of cells, and the columns' names where it has them (lower case, _ for -)."""

    head: list[str]
    rows: list[list[str]]


@dataclass
class Content:
    """What a text holds.

    Attributes
    ----------
    tables : its tables. runs : run lengths of masks as text: start, length, start, ... from 1.
    boxes : x, y of the first corner, then of the last, of outlines and boxes.
    matrices : tables of numbers alone, which may be images.
    places : (N, 2 to 4) lists of points.
    """

    tables: list[Table] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    matrices: list[np.ndarray] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)

    def cell(self, text: str) -> None:
        """Run lengths or an outline in a cell."""
        if len(text) < 3 or (text[0].isalpha() and text[0] not in "PML"):
            return
        if re.fullmatch(r"\s*\d+ \d+( \d+)*\s*", text):
            self.runs.add(" ".join(text.split()))
        elif len(text) >= 12 and ("," in text or text[0] == "M") and _OUTLINE.fullmatch(text):
            for part in re.split(r"[Mm]|\)\s*,\s*\(", text):
                self.outline([float(n) for n in _NUMBER.findall(part)])

    def outline(self, numbers: list[float]) -> None:
        """x, y, x, y, ... of a shape's corners."""
        if len(numbers) >= 6 and len(numbers) % 2 == 0:
            corners = np.array(numbers, float).reshape(-1, 2)
            self.boxes.append((*corners.min(0), *corners.max(0)))


def read(path: Path) -> Content:
    """All that a text or a Parquet or Arrow file holds; an empty Content for what is no table.

    Raises
    ------
    ValueError, OSError, csv.Error, RecursionError, KeyError
        It can't be read as what it seems to be.
    """
    content = Content()
    if path.stat().st_size > LARGEST:
        return content
    if path.suffix.lower() in containers.TABLES:
        rows = list(itertools.islice(containers.frames(path), MOST_ROWS))
        if rows:
            cells = [[str(v) for v in row.values() if not isinstance(v, bytes)] for row in rows]
            _table(content, [str(k) for k in rows[0]], cells)
        return content
    text = path.read_text("utf-8-sig")
    start = text.lstrip()[:1000].lower()
    if start.startswith(("{", "[")):
        _json(text, content)
    elif "<html" in start or "<table" in start or "<!doctype html" in start:
        _html(text, content)
    elif start.startswith("<"):
        _xml(text, content)
    else:
        _delimited(text, content)
    for table in content.tables:
        content.boxes += _boxes(table)
    return content


def named(cells: Iterable[str]) -> list[str]:
    return [c.strip().lower().replace("-", "_").replace(" ", "_") for c in cells]


def number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _table(content: Content, head: list[str], rows: list[list[str]]) -> None:
    content.tables.append(Table(named(head), rows))
    for row in rows:
        for cell in row:
            content.cell(cell)


def _delimited(text: str, content: Content) -> None:
    """Values with commas, tabs, semicolons, spaces or bars between them."""
    lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
    if not lines:
        return
    first = lines[0]
    if first.startswith("|") or (len(lines) > 1 and set(lines[1]) <= set("|-: ") and "|" in first):
        mark = "|"
    else:
        counts = [(text[:4000].count(c), c) for c in "\t,;"]
        most, mark = max(counts)
        mark = mark if most >= min(3, len(lines)) else " "
    if mark == " ":
        rows = [line.split() for line in lines]
    else:
        rows = list(csv.reader(lines, delimiter=mark))
    plain = [[number(c) for c in row] for row in rows]
    numeric = [row for row in plain if None not in row]
    if len(numeric) == len(rows):
        _matrix(content, numeric)
        for row in numeric:
            content.outline(row)
        if mark == " ":  # run lengths, a mask a line
            content.runs |= {" ".join(row) for row in rows if all(c.isdigit() for c in row)}
    has_head = None in plain[0] and any(n is not None for row in plain[1:3] for n in row)
    _table(content, rows[0] if has_head else [], rows[has_head:])


def _matrix(content: Content, rows: list[list[float]]) -> None:
    if len(rows) >= MATRIX and len(rows[0]) >= MATRIX and len({len(r) for r in rows}) == 1:
        content.matrices.append(np.array(rows))


def _html(text: str, content: Content) -> None:
    rows = [
        [html.unescape(re.sub(r"<[^<>]*>", "", cell)).strip()
         for cell in re.findall(r"<t[dh][^<>]*>(.*?)(?=<t[dh]|</t[dhr]|$)", row, re.S | re.I)]
        for row in re.split(r"<tr", text, flags=re.I)[1:]
    ]  # fmt: skip
    _table(content, [], rows)


def _xml(text: str, content: Content) -> None:
    """Elements of one name and the same attributes, or children of text alone, are rows."""
    tables: dict[tuple, list[list[str]]] = {}
    for element in ElementTree.fromstring(text).iter():
        tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
        if element.attrib:
            cells = list(element.attrib.values())
            tables.setdefault((tag, *element.attrib), []).append(cells)
        leaves = {c.tag: c.text or "" for c in element if isinstance(c.tag, str) and not len(c)}
        if len(leaves) > 1:
            names = [t.rpartition("}")[2] for t in leaves]
            tables.setdefault((tag, *names), []).append(list(leaves.values()))
        if element.text:
            content.cell(element.text.strip())
    for (_, *head), rows in tables.items():
        _table(content, head, rows)


def _json(text: str, content: Content) -> None:
    walk = _Json(content)
    for key, node in jsonpieces.pieces(text):
        walk.node(node, key)
    for head, rows in walk.tables.items():
        content.tables.append(Table(named(head), rows))
    content.tables.append(Table([], walk.loose))


class _Json:
    """Objects with the same keys are rows; lists of pairs are points and outlines."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.tables: dict[tuple[str, ...], list[list[str]]] = {}
        self.loose: list[list[str]] = []

    def node(self, node: Any, key: str) -> None:
        if isinstance(node, dict):
            self._object(node, key)
        elif isinstance(node, list):
            self._list(node, key)
        elif isinstance(node, str):
            self.content.cell(node)

    def _object(self, node: dict, key: str) -> None:
        if "counts" in node and "size" in node:
            self._run_lengths(node["counts"])
        plain = {k: str(v) for k, v in node.items() if isinstance(v, str | int | float)}
        if plain:
            self.loose.append([key, *plain.values()])
            self.loose += [[k, v] for k, v in plain.items()]  # {image: number}
            self.tables.setdefault(tuple(plain), []).append(list(plain.values()))
        lists = {k: v for k, v in node.items() if isinstance(v, list) and _numeric(v)}
        sizes = {len(v) for v in lists.values()}
        if len(lists) > 1 and len(sizes) == 1 and min(sizes) > 2:
            rows = [list(map(str, row)) for row in zip(*lists.values(), strict=True)]
            self.content.tables.append(Table(named(lists), rows))
            if len(lists) == 2:
                self.content.outline([v for pair in zip(*lists.values(), strict=True)
                                      for v in pair])  # fmt: skip
        for name, value in node.items():
            self.node(value, str(name))

    def _list(self, node: list, key: str) -> None:
        if _numeric(node):
            if key == "bbox" and len(node) == 4:
                x, y, w, h = node
                self.content.boxes.append((x, y, x + w, y + h))
            else:
                self.content.outline(node)
        elif len(node) > 2 and all(isinstance(p, list) and _numeric(p) for p in node):
            if all(len(p) == 2 for p in node):
                self.content.outline([v for p in node for v in p])
            if 2 <= len(node[0]) <= 4 and len({len(p) for p in node}) == 1:
                self.content.places.append(np.array(node, float))
            else:
                _matrix(self.content, node)
                for part in node:
                    self.content.outline(part)
        else:
            for item in node:
                self.node(item, key)

    def _run_lengths(self, counts: Any) -> None:
        if isinstance(counts, str):
            try:
                lengths = expand_counts(counts)
            except ValueError:
                return  # other counts
        elif isinstance(counts, list) and all(isinstance(n, int) for n in counts):
            lengths = counts
        else:
            return
        ends = list(itertools.accumulate(lengths))
        pairs = [(ends[k - 1] + 1, lengths[k]) for k in range(1, len(lengths), 2)]
        self.content.runs.add(" ".join(f"{s} {n}" for s, n in pairs))


def _numeric(node: list) -> bool:
    return bool(node) and all(isinstance(v, int | float) for v in node)


def _boxes(table: Table) -> list[tuple[float, float, float, float]]:
    """Boxes of a table with the columns of a box."""
    where = {name: k for k, name in enumerate(table.head)}
    for names in [*CORNERS, *SIDES]:
        if set(names) <= where.keys():
            found = []
            for row in table.rows:
                cells = [number(row[where[n]]) if where[n] < len(row) else None for n in names]
                if None not in cells:
                    x, y, a, b = cells
                    found.append((x, y, a, b) if names in CORNERS else (x, y, x + a, y + b))
            return found
    return []
