"""Tables, lists of points, outlines and run lengths in a text of any kind: CSV, JSON, HTML, XML,
SVG, Markdown, Parquet."""

from __future__ import annotations

import csv
import html
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ..scoring.masks import expand_counts
from . import containers, jsonpieces, loose

LARGEST = 128 << 20
MOST_ROWS = 1_000_000  # of a Parquet table, which may pack very many into few bytes
NESTED, MOST_BELOW = 3, 24  # objects within a JSON object that are one row; cells of it
MATRIX = 8  # rows and columns of numbers that may be an image
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_OUTLINE = re.compile(r"(?:MULTI)?(?:POLYGON|LINESTRING)?[\s\d.,;()\[\]eE+MLZmlz-]{12,}")
# x and y of the first corner, then of the last, or width and height
CORNERS = [
    ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1"), ("left", "top", "right", "bottom"),
    ("minc", "minr", "maxc", "maxr"), ("bbox_1", "bbox_0", "bbox_3", "bbox_2"),
]  # fmt: skip
SIDES = [("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"),
         ("bx", "by", "width", "height")]  # fmt: skip
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
# What tells a shape's corners, or an object's pixels, from those of others
PLACES = [
    ("axis_1", "axis_2"),
    ("axis_0", "axis_1"),
    ("y", "x"),
    ("row", "col"),
    ("vertex_y", "vertex_x"),
]
OF_ONE = {"index", "id", "label", "object", "object_id", "cell", "cell_id", "nucleus", "roi",
          "shape", "track_id", "instance", "instance_id", "value"}  # fmt: skip
FEWEST_CORNERS = 3
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
    lines : words and numbers of a line of text each.
    places : (N, 2 to 4) lists of points.
    """

    tables: list[Table] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    matrices: list[np.ndarray] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)
    lines: list[list[str]] = field(default_factory=list)

    def cell(self, text: str) -> None:
        """Run lengths or an outline in a cell."""
        if len(text) < 3 or (text[0].isalpha() and text[0] not in "PMLm"):
            return
        if text[0] in "{[" and text[-1] in "}]":  # VIA's shapes
            with suppress(ValueError):
                _Json(self).node(json.loads(text), "")
            return
        if re.fullmatch(r"\s*\d+ \d+( \d+)*\s*", text):
            self.runs.add(" ".join(text.split()))
        elif len(text) >= 12 and ("," in text or text[0] in "Mm") and _OUTLINE.fullmatch(text):
            steps = text[0] == "m" and not re.search("[ML]", text)  # from corner to corner
            for part in re.split(r"[Mm]|\)\s*,\s*\(", text):
                numbers = [float(n) for n in _NUMBER.findall(part)]
                if steps and len(numbers) % 2 == 0:
                    numbers = np.cumsum(np.reshape(numbers, (-1, 2)), axis=0).ravel().tolist()
                self.outline(numbers)

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
            plain = [k for k, v in rows[0].items() if not isinstance(v, bytes | list | dict)]
            _table(content, plain, [[str(row.get(k)) for k in plain] for row in rows])
            walk = _Json(content)
            for row in rows:
                content.boxes += [b for v in row.values() if isinstance(v, bytes) for b in _wkb(v)]
                walk.node({k: v for k, v in row.items() if isinstance(v, list | dict)}, "")
        return content
    text = decoded(path.read_bytes())
    start = text.lstrip()[:1000].lower()
    if "<html" in start or "<table" in start or "<!doctype html" in start:
        _html(text, content)
    else:
        kind = {"{": _json, "[": _json, "<": _xml}.get(start[:1], _delimited)
        try:
            kind(text, content)
        except (ValueError, SyntaxError, IndexError, RecursionError):
            if kind is _delimited:
                raise
            _loose(text, content)  # a log that begins with a bracket, a script
    for table in content.tables:
        content.boxes += _boxes(table)
        content.boxes += _of_vertices(table)
    return content


def decoded(data: bytes) -> str:
    """A text in UTF-8 or, with a mark, UTF-16; else in Latin-1, in which tables of numbers are
    as in any other."""
    if data[:2] in containers.UTF16:
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def named(cells: Iterable[str]) -> list[str]:
    return [c.strip().lower().replace("-", "_").replace(" ", "_") for c in cells]


def number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return float(cell.replace(",", ".")) if DECIMAL_COMMA.fullmatch(cell) else None


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
        # Commas may be in the numbers
        mark = next((m for m in "\t;" if m in first and "," not in first), mark)
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
    cells = [cell is not None for row in plain for cell in row]
    if (mark == " " and len(numeric) < len(rows)) or 2 * sum(cells) < len(cells):
        _loose(text, content)
    has_head = None in plain[0] and any(n is not None for row in plain[1:3] for n in row)
    _table(content, rows[0] if has_head else [], rows[has_head:])


def _loose(text: str, content: Content) -> None:
    """What stands in lines that aren't rows of a table."""
    content.places += loose.places(text)
    head, rows = loose.fields(text)
    if rows:
        content.tables.append(Table(named(head), rows))
    content.lines += loose.lines(text)


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
    _loose(re.sub(r"<[^<>]*>", "\n", text[: loose.LARGEST]), content)


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
        if any(isinstance(v, dict) for v in node.values()):
            below = list(itertools.islice(_below(node, NESTED), MOST_BELOW + 1))
            if 0 < len(below) <= MOST_BELOW:
                self.loose.append([key, *below])  # {image: {...: {...: number}}}
        cells = {k: v for k, v in node.items() if isinstance(v, list) and _plain(v)}
        lists = {k: v for k, v in cells.items() if _numeric(v)}
        if len(cells) > len(lists) and len({len(v) for v in cells.values()}) == 1:
            rows = [list(map(str, row)) for row in zip(*cells.values(), strict=True)]
            self.content.tables.append(Table(named(cells), rows))
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


def _plain(node: list) -> bool:
    return len(node) > 2 and all(isinstance(v, int | float | str) for v in node)


def _below(node: dict, depth: int) -> Iterator[str]:
    """Words and numbers in objects within objects."""
    for value in node.values():
        if isinstance(value, dict) and depth:
            yield from _below(value, depth - 1)
        elif isinstance(value, str | int | float):
            yield str(value)


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


def _wkb(data: bytes) -> Iterator[tuple[float, float, float, float]]:
    """The box of a polygon's outer ring as geographers write it (WKB, little-endian)."""
    if data[:5] == b"\1\3\0\0\0" and len(data) >= 13:
        corners = int.from_bytes(data[9:13], "little")
        if FEWEST_CORNERS <= corners <= (len(data) - 13) // 16:
            ring = np.frombuffer(data, "<f8", 2 * corners, 13).reshape(-1, 2)
            yield (*ring.min(0), *ring.max(0))


def _of_vertices(table: Table) -> list[tuple[float, float, float, float]]:
    """Boxes of a table that has a row for each corner, or pixel, of a shape."""
    head = {name: k for k, name in enumerate(table.head)}
    of_one = [k for name, k in head.items() if name in OF_ONE]
    where = next(((head[y], head[x]) for y, x in PLACES if y in head and x in head), None)
    if not of_one or where is None:
        return []
    width = len(table.head)
    rows = [[number(c) for c in row] for row in table.rows if len(row) == width]
    cells = np.array([[np.nan if n is None else n for n in row] for row in rows], float)
    cells = cells[np.isfinite(cells[:, list(where)]).all(1)] if len(cells) else cells
    found = []
    for k in of_one:
        _, shape, count = np.unique(cells[:, k], return_inverse=True, return_counts=True) if len(
            cells) else (None, None, np.zeros(0))  # fmt: skip
        if not count.size or np.median(count) < FEWEST_CORNERS:
            continue
        low, high = np.full((count.size, 2), np.inf), np.full((count.size, 2), -np.inf)
        places = cells[:, list(where)][:, ::-1]
        np.minimum.at(low, shape.ravel(), places)
        np.maximum.at(high, shape.ravel(), places)
        found += [tuple(box) for box in np.hstack([low, high]).tolist()]
    return found
