"""What tells of hidden objects without being an image: run lengths, boxes, places and numbers.

Places are known in any unit: a table whose columns of y and x become a hidden image's centres (or
corners of boxes) by a factor and a shift of each axis has them, also with axes swapped or turned
around.
"""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from . import tables
from .nearby import Owned, Sizes, Straight
from .tables import Content, Table, number

MOST = 0.8  # of an image's objects
FEWEST = 3  # objects, or images in a column of numbers
CHANCE = 1e-5  # that the places of any hidden image are met in a table of other ones
SEVERAL = 6  # objects whose places are known in another unit, or whose areas are
NEAR = 1.5  # pixels between the sides of two boxes that are one
STRAIGHT = 0.9995  # correlation of the sorted places along an axis in two units
SHARE = 1e-3  # parts by which shares may differ that are one
SURE_RUNS = 10  # of a whole mask, by which it is known
SURE = 6  # decimal digits in which numbers of hidden images agree
LIKELY = 2.5  # those of three images or more, equal ones counted too
COLUMNS = 12  # of a table that are looked at as places
CENTRES = [
    ("centroid_0", "centroid_1"), ("centroid_y", "centroid_x"), ("center_y", "center_x"),
    ("cy", "cx"), ("y", "x"), ("row", "col"), ("axis_0", "axis_1"),
]  # fmt: skip


@dataclass
class Objects:
    """What is known of one hidden truth.

    Attributes
    ----------
    names : what a table may call it. count : its objects, or points.
    facts : numbers that tell of it, by what they are.
    runs : of each object, its start, length, start, ... column by column from 1, as hashes of text.
    other_runs : those from 0, those along rows, and those of all objects together.
    boxes : (N, 4) x, y of the first corner, then of the last.
    places : (N, 2) y, x of the objects' centres, of their boxes' centres and first corners.
    areas : pixels of each object. area : pixels of the image.
    """

    id: str
    names: set[str]
    count: int
    facts: dict[str, float] = field(default_factory=dict)
    runs: set[int] = field(default_factory=set)
    other_runs: list[set[int]] = field(default_factory=list)
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    places: list[np.ndarray] = field(default_factory=list)
    areas: np.ndarray = field(default_factory=lambda: np.zeros(0))
    area: float = 0.0

    def __post_init__(self) -> None:
        self.facts.setdefault("the number of objects", self.count)


def points(which: str, names: Iterable[str], listed: np.ndarray) -> Objects:
    """Of hidden points (N, axes), the last two y and x."""
    made = Objects(which, set(names), len(listed))
    if len(listed):
        made.places = [np.asarray(listed, float)[:, -2:]]
        made.area = float(np.prod(np.ptp(made.places[0], axis=0) + 1))
    return made


def objects(
    which: str, names: Iterable[str], planes: list[np.ndarray], together: bool = True
) -> Objects:
    """Of (y, x) planes of labels; runs and boxes when there is one plane.

    `together`: the planes are depths of the same objects; else moments, each with its own places.
    """
    numbers = set(itertools.chain.from_iterable(np.unique(p).tolist() for p in planes)) - {0}
    made = Objects(which, set(names), len(numbers))
    foreground = sum(int(np.count_nonzero(p)) for p in planes)
    made.area = float(planes[0].size)
    made.facts["the largest label"] = float(max(p.max() for p in planes))
    if foreground < (size := sum(p.size for p in planes)):  # all of it is the image's size
        made.facts["the foreground's pixels"] = float(foreground)
        made.facts["the foreground's share"] = foreground / size
    centres: dict = {}
    for t, plane in enumerate(planes):
        for value, y, x, n in _sums(plane):
            total = centres.setdefault(value if together else (t, value), np.zeros(3))
            total += (y, x, n)
    if centres:
        sums = np.array(list(centres.values()))
        made.places = [sums[:, :2] / sums[:, 2:]]
        made.areas = np.sort(sums[:, 2])
    if len(planes) != 1:
        return made
    height = planes[0].shape[0]
    by = _runs(planes[0].T)
    made.runs |= {_written(runs, 1) for runs in by.values()}
    across = _runs(planes[0]).values()
    made.other_runs = [
        {_written(runs, 0) for runs in by.values()}, {_written(runs, 0) for runs in across},
        {_written(runs, 1) for runs in across},
    ]  # fmt: skip
    for whole in (planes[0].T > 0, planes[0] > 0):
        runs = _runs(whole).get(True, [])
        if len(runs) >= SURE_RUNS:
            made.other_runs += [{_written(runs, 0)}, {_written(runs, 1)}]
    boxes = []
    for runs in by.values():
        rows = [divmod(s, height) for s, _ in runs]
        tall = any(r + n > height for (_, r), (_, n) in zip(rows, runs, strict=True))
        low = 0 if tall else min(r for _, r in rows)
        high = height if tall else max(r + n for (_, r), (_, n) in zip(rows, runs, strict=True))
        last = max((s + n - 1) // height for s, n in runs)
        boxes.append((rows[0][0], low, last + 1, high))
    made.boxes = np.array(boxes, float).reshape(-1, 4)
    made.places += [(made.boxes[:, [1, 0]] + made.boxes[:, [3, 2]]) / 2, made.boxes[:, [1, 0]]]
    return made


def _runs(plane: np.ndarray) -> dict[int, list[tuple[int, int]]]:
    """(start, length) of each object's runs along the rows; one that goes on in the next is one."""
    flat = plane.ravel()
    first = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(first, append=flat.size)
    by: dict[int, list[tuple[int, int]]] = {}
    for value, start, length in zip(
        flat[first].tolist(), first.tolist(), lengths.tolist(), strict=True
    ):
        if value:
            by.setdefault(value, []).append((start, length))
    return by


def _written(runs: list[tuple[int, int]], base: int) -> int:
    """Run lengths as text, of which the hash is kept."""
    return hash(" ".join(f"{s + base} {n}" for s, n in runs))


def _sums(plane: np.ndarray) -> Iterator[tuple[int, float, float, int]]:
    """(number, sum of y, sum of x, pixels) of each object of a plane."""
    values, at = np.unique(plane, return_inverse=True)
    at = at.reshape(plane.shape)
    every = np.arange(values.size)
    counts = np.bincount(at.ravel(), minlength=values.size)
    rows = ndimage.sum_labels(np.arange(plane.shape[0])[:, None] + np.zeros_like(at), at, every)
    cols = ndimage.sum_labels(np.arange(plane.shape[1])[None] + np.zeros_like(at), at, every)
    for value, y, x, n in zip(values.tolist(), rows, cols, counts.tolist(), strict=True):
        if value:
            yield value, y, x, n


class Tells:
    """Hidden objects as they are looked for in tables and texts."""

    def __init__(self, hidden: list[Objects]) -> None:
        self.hidden = hidden
        self._by_name = {_bare(n): one for one in hidden for n in one.names if _bare(n)}
        self._marked = [one for one in hidden if one.places and len(one.places[0]) >= FEWEST]
        self._marks = Owned([one.places[0] for one in self._marked])
        self._boxed = [one for one in hidden if len(one.boxes) >= FEWEST]
        self._boxes = Owned([one.boxes for one in self._boxed], math.inf)
        # Run lengths of hidden images in each notation: (whose, how many there are)
        self._written = [(one, len(runs)) for one in hidden for runs in (one.runs, *one.other_runs)]
        self._of_run: dict[int, list[int]] = {}
        every = (runs for one in hidden for runs in (one.runs, *one.other_runs))
        for k, runs in enumerate(every):
            whole = len(runs) == 1 and len(self._written[k][0].runs) != 1
            for run in runs if len(runs) >= FEWEST or whole else ():
                self._of_run.setdefault(run, []).append(k)
        by_areas: dict[int, list[Objects]] = {}
        by_count: dict[int, list[tuple[Objects, np.ndarray]]] = {}
        for one in hidden:
            # Areas of one or two pixels are as any small numbers
            if np.unique(one.areas).size >= SEVERAL and one.areas[0] * 1.5 <= one.areas[-1]:
                by_areas.setdefault(len(one.areas), []).append(one)
            for places in one.places:
                if len(places) >= SEVERAL:
                    by_count.setdefault(len(places), []).append((one, places))
        self._by_areas = {n: (of, Sizes([o.areas for o in of])) for n, of in by_areas.items()}
        self._by_count = {
            n: (of, Straight([p for _, p in of], STRAIGHT)) for n, of in by_count.items()
        }

    def told(self, path: Path) -> tuple[set[tuple[str, str]], list[np.ndarray]]:
        """((id, what) of hidden truth that a text or table tells of, tables that may be images)."""
        if not self.hidden:
            return set(), []
        try:
            content = tables.read(path)
            return set(self._all(content)), content.matrices
        except (ValueError, OSError, csv.Error, RecursionError, KeyError, SyntaxError, TypeError,
                OverflowError, IndexError):  # fmt: skip
            return set(), []  # no table after all

    def _all(self, content: Content) -> Iterator[tuple[str, str]]:
        told = set()
        for one in self._by_runs(content.runs):
            told.add(one.id)
            yield one.id, "has the objects (run lengths)"
        boxes = np.array(content.boxes, float).reshape(-1, 4)
        boxes = boxes[np.isfinite(boxes).all(1)]
        many = np.flatnonzero(self._boxes.shares(boxes, NEAR) >= MOST)
        sides = KDTree(boxes[:, 2:] - boxes[:, :2]) if many.size else None
        for one in (self._boxed[k] for k in many):
            if one.id not in told and self._is_no_chance(one, _density(sides, one)):
                yield one.id, "has the objects (outlines or boxes)"
        if len(boxes) >= SEVERAL:
            middle = (boxes[:, :2] + boxes[:, 2:]) / 2
            for columns in (boxes[:, :2], middle):
                yield from self._in_units(columns)
        for table in content.tables:
            yield from self._counted(table.rows)
            if len(table.rows) <= COLUMNS:  # an image a column
                every = [table.head, *table.rows] if table.head else table.rows
                yield from self._counted([list(row) for row in zip(*every, strict=False)])
            yield from self._placed(table)
        yield from self._counted(content.lines)
        for places in content.places:
            yield from self._columns(places, [])

    def _by_runs(self, runs: set[str]) -> Iterator[Objects]:
        """Hidden images of which most objects are among run lengths."""
        hits = Counter(k for run in runs for k in self._of_run.get(hash(run), ()))
        found = (self._written[k] for k, n in hits.items() if n >= MOST * self._written[k][1])
        yield from {one.id: one for one, _ in found}.values()

    def _placed(self, table: Table) -> Iterator[tuple[str, str]]:
        """Places in the columns of a table.

        Rows that one cell of text tells apart (the image's name) are looked at by themselves.
        """
        if not self._marked and not self._by_count:
            return
        for cells in _groups(table):
            yield from self._columns(np.array(cells, float), table.head)

    def places(self, values: np.ndarray) -> set[tuple[str, str]]:
        """(id, what) of hidden truth whose places are in the columns of an array."""
        return set(self._columns(values, []))

    def _columns(self, values: np.ndarray, head: list[str]) -> Iterator[tuple[str, str]]:
        if len(values):
            good = np.isfinite(values).any(0)
            values = values[:, good]
            names = [n for n, g in zip(head, good, strict=False) if g]
            for y, x in _pairs(names, values.shape[1]):
                places = values[:, [y, x]]
                places = places[np.isfinite(places).all(1)]
                if len(places) >= FEWEST:
                    yield from self._in_pixels(places)
            yield from self._in_units(values)
            yield from self._areas(values)

    def _in_pixels(self, places: np.ndarray) -> Iterator[tuple[str, str]]:
        if not self._marked or len(places) < MOST * self._marks.sizes.min():
            return
        shares = self._marks.shares(places, NEAR)
        # What has many more objects than there are places isn't there
        for k in np.flatnonzero((shares >= MOST) & (self._marks.sizes * MOST <= len(places))):
            covered = len(places) * np.pi * NEAR**2 / self._marked[k].area
            if self._is_no_chance(self._marked[k], covered):
                yield self._marked[k].id, "has the objects (centres)"

    def _is_no_chance(self, one: Objects, share: float) -> bool:
        """Whether most of a hidden image's objects are seldom met by others that are near such a
        share of all places: so many that some are near everything say nothing."""
        n = len(one.places[0])
        least = math.ceil(MOST * n)
        if not 0 < share <= 0.3:
            return share <= 0
        log = math.lgamma(n + 1) - math.lgamma(least + 1) - math.lgamma(n - least + 1)
        return log + least * math.log(share) <= math.log(CHANCE / len(self.hidden))

    def _in_units(self, values: np.ndarray) -> Iterator[tuple[str, str]]:
        """As many places as a hidden image has, by a factor and a shift of each axis."""
        if len(values) not in self._by_count or values.shape[1] < 2:
            return
        listed, straight = self._by_count[len(values)]
        values = values[:, np.isfinite(values).all(0)][:, :COLUMNS]
        columns = [values[:, k] for k in range(values.shape[1]) if np.ptp(values[:, k]) > 0]
        told = set()
        for k in straight.like(columns) if columns else ():
            one, places = listed[k]
            if one.id in told:
                continue
            fits = [[fit for c in columns for fit in _fits(c, places[:, axis])] for axis in (0, 1)]
            for y, x in itertools.product(*fits):
                if _near(np.stack([y, x], 1), places):
                    told.add(one.id)
                    yield one.id, "has the objects (places in another unit)"
                    break

    def _areas(self, values: np.ndarray) -> Iterator[tuple[str, str]]:
        """A column with the sizes of all objects, in any unit."""
        if len(values) not in self._by_areas:
            return
        listed, sizes = self._by_areas[len(values)]
        for column in values.T:
            if np.isfinite(column).all() and column.min() > 0:
                for k in sizes.same(column, 0.01):
                    yield listed[k].id, "has the objects (areas)"

    def _counted(self, rows: list[list[str]]) -> Iterator[tuple[str, str]]:
        """A column that has a number of each hidden image that the table names."""
        named: dict[int, tuple[Objects, list[str]]] = {}
        for row in rows:
            one = next((o for c in row if (o := self._by_name.get(_bare(c)))), None)
            if one is not None:
                named[id(one)] = (one, row)
        if not named:
            return
        width = min(len(row) for _, row in named.values())
        facts = sorted({what for one, _ in named.values() for what in one.facts})
        for what, column in itertools.product(facts, range(width)):
            known = [(one.facts.get(what), number(row[column])) for one, row in named.values()]
            if not all(a is not None and b is not None and _same(a, b) for a, b in known):
                continue
            distinct = {a for a, _ in known}
            # Three small numbers may be a fold or a well's as well
            several = len(known) >= FEWEST and len(distinct) > 1
            if (several and sum(_digits(a) for a, _ in known) >= LIKELY) or (
                sum(map(_digits, distinct)) >= SURE
            ):
                for one, _ in named.values():
                    yield one.id, f"has {what}"


def _density(sides: KDTree, one: Objects) -> float:
    """Share of all places of a box of the same size at which it would be near one of the boxes,
    of which the sides (x, y) are given."""
    own = one.boxes[:, 2:] - one.boxes[:, :2]
    alike = sides.query_ball_point(own, 2 * NEAR, p=np.inf, return_length=True)
    return float(alike.mean()) * (2 * NEAR) ** 2 / one.area


def _digits(a: float) -> float:
    """Decimal digits by which a hidden number is known; those of a share that `_same` compares."""
    if isinstance(a, float) and a < 1:
        return 4 if a < 1 - SHARE else 0  # nearly 1 is as any number 1
    return math.log10(a + 1)


def _same(a: float, b: float) -> bool:
    """Whether a table's number is a hidden one; shares may be rounded or in percent."""
    if 0 < a < 1:
        return math.isclose(a, b, rel_tol=SHARE) or math.isclose(100 * a, b, rel_tol=SHARE)
    return a == b


def _groups(table: Table) -> Iterator[list[list[float]]]:
    """Numbers of all rows, and of the rows of each value of the first cell of text."""
    of: dict[str, list[list[float]]] = {}
    width = max((len(row) for row in table.rows), default=0)
    if width < 2 and len(table.rows) < SEVERAL:
        return
    for row in table.rows:
        if len(row) == width:
            cells = [number(c) for c in row]
            name = next((c for c, v in zip(row, cells, strict=True) if v is None), "")
            for key in {"", name}:
                of.setdefault(key, []).append([math.nan if v is None else v for v in cells])
    yield from (cells for cells in of.values() if len(cells) >= FEWEST)


def _pairs(head: list[str], width: int) -> list[tuple[int, int]]:
    """(y, x) columns of a table: by name, else whichever stand beside each other."""
    found = [(head.index(y), head.index(x)) for y, x in CENTRES if y in head and x in head]
    for y, name in enumerate(head):
        other = re.sub(r"(^|_|\b)y(_|\b|$)", r"\1x\2", name)
        if other != name and other in head:
            found.append((y, head.index(other)))
    if not found:
        beside = [(k, k + 1) for k in range(min(width, COLUMNS) - 1)]
        found = beside + [(x, y) for y, x in beside]
    return list(dict.fromkeys(found))


def _fits(column: np.ndarray, places: np.ndarray) -> Iterator[np.ndarray]:
    """A column as places along an axis, when it is in the same order up to a factor and a shift,
    or the other way round."""
    known = np.sort(places)
    if np.ptp(known) == 0:
        return
    for sign in (1, -1):
        sorted_ = np.sort(sign * column)
        if np.corrcoef(sorted_, known)[0, 1] >= STRAIGHT:
            factor, shift = np.polyfit(sorted_, known, 1)
            yield sign * column * factor + shift


def _near(places: np.ndarray, known: np.ndarray) -> bool:
    """Whether most of two sets of as many places are the same."""
    spread = np.ptp(known, axis=0)
    # So near that places thrown at random would seldom be
    free = math.sqrt(0.3 * float(np.prod(spread + 1)) / (math.pi * len(known)))
    near = min(NEAR, 0.02 * float(spread.max()), free)
    return float((KDTree(places).query(known)[0] <= near).mean()) >= 0.9


def _bare(cell: str) -> str:
    """A name as tables have it, without folder and endings; also as the head of a column."""
    return "_".join(tables.named([cell.rpartition("/")[2].partition(".")[0]]))
