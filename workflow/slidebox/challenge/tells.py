"""What tells of hidden objects without being an image: run lengths, boxes and numbers in tables."""

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

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from ..scoring.masks import expand_counts

MOST = 0.8  # of an image's objects
FEWEST = 3  # objects, or images in a column of counts
NEAR = 1.5  # pixels between the sides of two boxes that are one
LARGEST = 256 << 20
CENTRES = [
    ("centroid_0", "centroid_1"), ("centroid_y", "centroid_x"), ("center_y", "center_x"),
    ("cy", "cx"), ("y", "x"), ("row", "col"), ("axis_0", "axis_1"),
]  # fmt: skip
PACKED = {".parquet", ".pq", ".feather", ".arrow"}
TABLES = {".csv", ".tsv", ".txt", ".md", ".json", ".geojson", ".jsonl", ".html", ".htm", *PACKED}
csv.field_size_limit(1 << 30)

Row = dict[str, Any]


@dataclass
class Objects:
    """What is known of one hidden truth.

    Attributes
    ----------
    names : what a table may call it. count : its objects, or points.
    runs : of each object (y, x), its start, length, start, ... column by column from 1, as text.
    boxes : (N, 4) x, y of the first corner, then of the last.
    centres : (N, 2) y, x of each object's mean. area : pixels of the image.
    """

    id: str
    names: set[str]
    count: int
    runs: set[str] = field(default_factory=set)
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    centres: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    area: int = 0


def objects(which: str, names: Iterable[str], planes: list[np.ndarray]) -> Objects:
    """Of (y, x) planes of labels: runs and boxes when there is one plane, else the count alone."""
    numbers = set(itertools.chain.from_iterable(np.unique(p).tolist() for p in planes)) - {0}
    made = Objects(which, set(names), len(numbers))
    if len(planes) != 1:
        return made
    made.centres = np.array(
        ndimage.center_of_mass(planes[0] > 0, planes[0], sorted(numbers))
    ).reshape(-1, 2)
    made.area = planes[0].size
    height = planes[0].shape[0]
    flat = planes[0].T.ravel()
    first = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    # A run that goes on in the next column is one
    lengths = np.diff(first, append=flat.size)
    by: dict[int, list[tuple[int, int]]] = {}
    for value, start, length in zip(
        flat[first].tolist(), first.tolist(), lengths.tolist(), strict=True
    ):
        if value:
            by.setdefault(value, []).append((start, length))
    boxes = []
    for runs in by.values():
        made.runs.add(" ".join(f"{s + 1} {n}" for s, n in runs))
        rows = [divmod(s, height) for s, _ in runs]
        tall = any(r + n > height for (_, r), (_, n) in zip(rows, runs, strict=True))
        low = 0 if tall else min(r for _, r in rows)
        high = height if tall else max(r + n for (_, r), (_, n) in zip(rows, runs, strict=True))
        last = max((s + n - 1) // height for s, n in runs)
        boxes.append((rows[0][0], low, last + 1, high))
    made.boxes = np.array(boxes, float).reshape(-1, 4)
    return made


def told(path: Path, hidden: list[Objects]) -> Iterator[tuple[str, str]]:
    """(id, what) of hidden truth that a table, JSON or page tells of."""
    if not hidden or path.stat().st_size > LARGEST:
        return
    try:
        tables, runs, boxes = _read(path)
    except (ValueError, OSError, UnicodeDecodeError, csv.Error, RecursionError, KeyError):
        return
    for one in hidden:
        if len(one.runs) >= FEWEST and len(one.runs & runs) >= MOST * len(one.runs):
            yield one.id, "has the objects (run lengths)"
        elif len(one.boxes) >= FEWEST and _boxed(one.boxes, boxes) >= MOST:
            yield one.id, "has the objects (outlines or boxes)"
    for rows in tables:
        yield from _counted(rows, hidden)
        yield from _centred(rows, hidden)


def _centred(rows: list[list[str]], hidden: list[Objects]) -> Iterator[tuple[str, str]]:
    """A table with a column of y and one of x that has most objects' centres.

    Rows that one cell of text tells apart (the image's name) are looked at by themselves.
    """
    head = [cell.strip().lower().replace("-", "_") for cell in rows[0]] if rows else []
    pair = next((p for p in CENTRES if set(p) <= set(head)), None)
    if pair is None:
        return
    y, x = map(head.index, pair)
    of: dict[str, list[tuple[float, float]]] = {}
    for row in rows[1:]:
        if len(row) == len(head):
            at = (_number(row[y]), _number(row[x]))
            if None not in at:
                name = next((c for c in row if _number(c) is None), "")
                for key in {"", name}:
                    of.setdefault(key, []).append(at)
    told = set()
    for points in of.values():
        tree = KDTree(points)
        for one in hidden:
            # So many points that some are near everything say nothing
            crowded = len(points) * np.pi * NEAR**2 > 0.3 * one.area
            if len(one.centres) < FEWEST or crowded or one.id in told:
                continue
            if (tree.query(one.centres)[0] <= NEAR).mean() >= MOST:
                told.add(one.id)
                yield one.id, "has the objects (centres)"


def _counted(rows: list[list[str]], hidden: list[Objects]) -> Iterator[tuple[str, str]]:
    """A column that has the number of objects of each hidden image that the table names."""
    by = {name: one for one in hidden for name in one.names}
    named: dict[int, tuple[Objects, list[str]]] = {}
    for row in rows:
        one = next((by[c] for c in map(_bare, row) if c in by), None)
        if one is not None:
            named[id(one)] = (one, row)
    if len(named) < FEWEST or len({one.count for one, _ in named.values()}) < 2:
        return
    for column in range(min(len(row) for _, row in named.values())):
        if all(_number(row[column]) == one.count for one, row in named.values()):
            for one, _ in named.values():
                yield one.id, "has the number of objects"
            return


def _bare(cell: str) -> str:
    """A name as tables have it, without folder and ending."""
    return re.sub(r"(\.ome)?\.[A-Za-z][A-Za-z0-9]{1,4}$", "", cell.strip().rpartition("/")[2])


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _boxed(mine: np.ndarray, boxes: np.ndarray) -> float:
    """Share of boxes that have a like one."""
    if not len(boxes):
        return 0.0
    found = 0
    for box in mine:
        found += bool((np.abs(boxes - box).max(1) <= NEAR).any())
    return found / len(mine)


def _read(path: Path) -> tuple[list[list[list[str]]], set[str], np.ndarray]:
    """Tables (rows of cells), run lengths as text, and boxes (N, 4) of a file."""
    ending = path.suffix.lower()
    if ending in PACKED:
        rows = [[str(v) for v in row.values()] for row in frames(path)]
        return [rows], _runs(itertools.chain.from_iterable(rows)), np.zeros((0, 4))
    text = path.read_text("utf-8-sig")
    if ending in (".json", ".geojson", ".jsonl"):
        lines = text.splitlines() if ending == ".jsonl" else [text]
        found = _Json()
        for line in lines:
            if line.strip():
                found.walk(json.loads(line), ())
        return [found.rows], found.runs, np.array(found.boxes, float).reshape(-1, 4)
    if ending in (".html", ".htm"):
        rows = [
            [html.unescape(re.sub(r"<[^>]*>", "", cell)).strip()
             for cell in re.findall(r"<t[dh][^>]*>(.*?)(?=<t[dh]|</t[dhr]|$)", row, re.S | re.I)]
            for row in re.split(r"<tr", text, flags=re.I)[1:]
        ]  # fmt: skip
        return [rows], set(), np.zeros((0, 4))
    mark = "|" if ending == ".md" else max("\t,;", key=text[:4000].count)
    rows = list(csv.reader(text.splitlines(), delimiter=mark))
    return [rows], _runs(itertools.chain.from_iterable(rows)), np.zeros((0, 4))


def frames(path: Path) -> Iterator[Row]:
    """Rows of a Parquet or Arrow file."""
    import pyarrow.feather
    import pyarrow.parquet

    if path.suffix.lower() in (".parquet", ".pq"):
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(10_000):
                yield from batch.to_pylist()
    else:
        yield from pyarrow.feather.read_table(path).to_pylist()


def blobs(path: Path) -> Iterator[bytes]:
    """Bytes in the cells of a Parquet or Arrow file."""
    with suppress(ValueError, OSError):
        for row in frames(path):
            for value in row.values():
                inner = value.values() if isinstance(value, dict) else [value]
                yield from (v for v in inner if isinstance(v, bytes) and len(v) > 32)


def _runs(cells: Iterable[str]) -> set[str]:
    return {" ".join(c.split()) for c in cells if re.fullmatch(r"\s*\d+ \d+( \d+)*\s*", c)}


class _Json:
    """Rows, run lengths and boxes anywhere in JSON."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.runs: set[str] = set()
        self.boxes: list[tuple[float, float, float, float]] = []

    def walk(self, node: Any, where: tuple[str, ...]) -> None:
        if isinstance(node, dict):
            if "counts" in node and "size" in node:
                self._run_lengths(node["counts"])
            plain = [str(v) for v in node.values() if isinstance(v, str | int | float)]
            self.rows.append([*where[-1:], *plain])
            for key, value in node.items():
                if isinstance(value, int | float):
                    self.rows.append([key, str(value)])  # {image: number}
                self.walk(value, (*where, str(key)))
        elif isinstance(node, list):
            if _numeric(node):
                self._box(node, where[-1:])
            elif len(node) > 2 and all(isinstance(p, list) and _numeric(p) for p in node):
                if all(len(p) == 2 for p in node):
                    self._outline(np.array(node, float))
                else:
                    for part in node:
                        self.walk(part, where)
            else:
                for item in node:
                    self.walk(item, where)
        elif isinstance(node, str):
            self.runs |= _runs([node])

    def _run_lengths(self, counts: Any) -> None:
        lengths = expand_counts(counts) if isinstance(counts, str) else list(counts)
        ends = list(itertools.accumulate(lengths))
        pairs = [(ends[k - 1] + 1, lengths[k]) for k in range(1, len(lengths), 2)]
        self.runs.add(" ".join(f"{s} {n}" for s, n in pairs))

    def _box(self, numbers: list, where: tuple[str, ...]) -> None:
        if where == ("bbox",) and len(numbers) == 4:
            x, y, w, h = numbers
            self.boxes.append((x, y, x + w, y + h))
        elif len(numbers) >= 6 and len(numbers) % 2 == 0:
            self._outline(np.array(numbers, float).reshape(-1, 2))

    def _outline(self, corners: np.ndarray) -> None:
        self.boxes.append((*corners.min(0), *corners.max(0)))


def _numeric(node: list) -> bool:
    return bool(node) and all(isinstance(v, int | float) for v in node)
