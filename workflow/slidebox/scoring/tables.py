"""One table for all images: COCO JSON, run lengths in CSV, points in CSV.

Objects that overlap are decided here, since a label image has one object a pixel: the higher score
wins, then the earlier row. Polygons fill the pixels whose centres are inside.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..findings import Finding
from .predictions import Refused, Submission, error, identity
from .release import Item

LARGEST = 2 << 30


def decode(
    table: Path, submission: Submission, items: list[Item], task: str, findings: list[Finding]
) -> None:
    """Put what a table says of each image into ``submission.decoded``; problems into `findings`."""
    file = submission.relative(table)
    if table.stat().st_size > LARGEST:
        raise Refused(error("TABLE_TOO_LARGE", f"has {table.stat().st_size} bytes", file))
    if table.suffix.lower() == ".json":
        if task not in ("instance-segmentation", "semantic-segmentation"):
            raise Refused(error("PREDICTION_FORMAT", f"COCO JSON is no format of {task}", file))
        _coco(table, file, submission, items, findings, task)
        return
    with table.open(encoding="utf-8-sig", newline="") as handle:
        first = handle.readline()
        handle.seek(0)
        reader = csv.DictReader(handle, delimiter="\t" if "\t" in first else ",")
        names = {(n or "").strip().lower(): n for n in reader.fieldnames or []}
        image = names.get("image") or names.get("imageid") or names.get("id")
        runs = names.get("rle") or names.get("encodedpixels")
        if image and runs:
            _run_lengths(reader, names, image, runs, file, submission, items, findings)
        elif image and task == "points":
            _points(reader, names, image, file, submission, items, findings)
        else:
            raise Refused(
                error("TABLE_COLUMNS", f"columns are {', '.join(names) or 'missing'}", file,
                      "points: image and a column for each axis; run lengths: image, label, rle")
            )  # fmt: skip


def _items(items: Iterable[Item]) -> dict[str, Item]:
    return {item.id: item for item in items}


def _which(name: Any, by_id: dict[str, Item]) -> Item | None:
    """The item a table means by a file name or an id."""
    text = str(name).replace("\\", "/").rpartition("/")[2]
    return by_id.get(text) or by_id.get(identity(text) or "")


def _unknown(name: Any, file: str, line: int | None, findings: list[Finding]) -> None:
    findings.append(
        Finding("PREDICTION_EXTRA", "warning", f"image {str(name)[:80]!r} is none of this split",
                file, line, mend="name images by the ids in splits.csv")
    )  # fmt: skip


class Painter:
    """A label image made from masks that may overlap: the best score on top."""

    def __init__(self, item: Item) -> None:
        self.item, self.masks = item, []

    def add(self, mask: np.ndarray, score: float, value: int | None = None) -> None:
        """Add a boolean (y, x) mask; `value` None gives it the next free number."""
        at = np.flatnonzero(mask)
        self.masks.append((score, at.astype(np.int64), value))

    def labels(self) -> tuple[np.ndarray, dict[int, float], int]:
        """Label image, score of each label, and how many pixels were claimed twice."""
        out = np.zeros(int(np.prod(self.item.shape)), np.uint32)
        scores: dict[int, float] = {}
        lost = 0
        order = sorted(range(len(self.masks)), key=lambda k: (self.masks[k][0], -k))
        for k in order:
            score, at, value = self.masks[k]
            number = k + 1 if value is None else value
            lost += int(np.count_nonzero(out[at]))
            out[at] = number
            scores[number] = score
        return out.reshape(self.item.shape), scores, lost


def _finish(
    painters: dict[str, Painter], submission: Submission, file: str, findings: list[Finding]
) -> None:
    for which, painter in painters.items():
        if which in submission.by_id or which in submission.decoded:
            findings.append(error("PREDICTION_TWICE", f"image {which} has several predictions",
                                  file, "keep one of them"))  # fmt: skip
            continue
        labels, scores, lost = painter.labels()
        submission.decoded[which] = labels
        submission.scores[which] = scores
        if lost:
            findings.append(
                Finding("OBJECTS_OVERLAP", "info", f"image {which}: {lost} pixels are claimed by "
                        "several objects; the higher score has them", file)
            )  # fmt: skip


def _flat(item: Item, file: str) -> tuple[int, int]:
    if len(item.shape) != 2:
        raise Refused(
            error("PREDICTION_FORMAT", f"image {item.id} has axes {item.axes}; this format is for "
                  "2D images", file, "write TIFF label images")
        )  # fmt: skip
    return item.shape


def _coco(
    table: Path, file: str, submission: Submission, items: list[Item], findings: list[Finding],
    task: str,
) -> None:  # fmt: skip
    try:
        data = json.loads(table.read_text("utf-8"))
        if isinstance(data, list):
            images, annotations = [], data
        else:
            images, annotations = data.get("images", []), data["annotations"]
        names = {im["id"]: im.get("file_name", im["id"]) for im in images}
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as bad:
        raise Refused(error("COCO_UNREADABLE", f"is no COCO JSON: {str(bad)[:200]}", file)) from bad
    by_id = _items(items)
    # An image that is listed without an annotation is an empty prediction, not a missing one
    painters = {i.id: Painter(i) for n in names.values() if (i := _which(n, by_id))}
    for number, annotation in enumerate(annotations):
        where = f"annotations[{number}]"
        try:
            key = annotation["image_id"]
            item = _which(names.get(key, key), by_id)
            if item is None:
                _unknown(names.get(key, key), file, None, findings)
                continue
            height, width = _flat(item, file)
            mask = segmentation_mask(annotation["segmentation"], height, width)
            score = float(annotation.get("score", 1.0))
            if not np.isfinite(score):
                raise ValueError("score is no number")
            value = int(annotation["category_id"]) if task == "semantic-segmentation" else None
        except Refused:
            raise
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as bad:
            reason = f"{bad.args[0]} is missing" if isinstance(bad, KeyError) else str(bad)
            findings.append(
                Finding("COCO_ANNOTATION", "error", reason[:200], file, field=where,
                        mend="image_id, segmentation (polygons or RLE), score")
            )  # fmt: skip
            continue
        painters.setdefault(item.id, Painter(item)).add(mask, score, value)
    _finish(painters, submission, file, findings)


def segmentation_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Boolean (y, x) mask of a COCO segmentation: polygons, RLE counts, or compressed RLE.

    Raises
    ------
    ValueError
        It is none of them, or its size isn't the image's.
    """
    if isinstance(segmentation, dict):
        size = tuple(int(v) for v in segmentation["size"])
        if size != (height, width):
            raise ValueError(f"segmentation has size {size}, the image {(height, width)}")
        counts = segmentation["counts"]
        if isinstance(counts, str | bytes):
            counts = expand_counts(counts)
        return from_counts(counts, height, width)
    if not isinstance(segmentation, list):
        raise ValueError("segmentation is neither polygons nor run lengths")
    mask = np.zeros((height, width), bool)
    for polygon in segmentation:
        mask |= fill_polygon(np.asarray(polygon, float).reshape(-1, 2), height, width)
    return mask


def from_counts(counts: Any, height: int, width: int) -> np.ndarray:
    """Mask of uncompressed COCO counts: lengths of runs of 0 and 1 in turn, column by column."""
    lengths = np.asarray(counts, np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or int(lengths.sum()) != height * width:
        raise ValueError(f"run lengths add up to {int(lengths.sum())}, not {height * width}")
    values = np.arange(lengths.size) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def expand_counts(text: str | bytes) -> list[int]:
    """Counts of COCO's compressed run lengths (five bits a character, differences of two)."""
    data = text.encode("ascii") if isinstance(text, str) else text
    counts: list[int] = []
    at = 0
    while at < len(data):
        value = shift = 0
        more = True
        while more:
            if at >= len(data):
                raise ValueError("compressed run lengths end early")
            code = data[at] - 48
            if not 0 <= code < 64:
                raise ValueError("compressed run lengths have a foreign character")
            value |= (code & 0x1F) << (5 * shift)
            more = bool(code & 0x20)
            at, shift = at + 1, shift + 1
            if shift > 13:
                raise ValueError("a run length is too long")
            if not more and code & 0x10:
                value |= -1 << (5 * shift)
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
    return counts


def fill_polygon(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels whose centres are inside a polygon of (x, y) corners (even-odd rule).

    COCO counts x and y from the image's corner, so that the first pixel's centre is (0.5, 0.5).
    """
    if len(points) < 3 or not np.isfinite(points).all():
        raise ValueError("a polygon needs three corners that are numbers")
    mask = np.zeros((height, width), bool)
    x, y = points[:, 0], points[:, 1]
    x2, y2 = np.roll(x, -1), np.roll(y, -1)
    low = max(0, int(np.floor(y.min() - 0.5)))
    high = min(height, int(np.ceil(y.max() + 0.5)))
    centres = np.arange(width) + 0.5
    for row in range(low, high):
        level = row + 0.5
        crossing = (y <= level) != (y2 <= level)
        if crossing.any():
            at = x[crossing] + (level - y[crossing]) * (x2 - x)[crossing] / (y2 - y)[crossing]
            mask[row] = (np.searchsorted(np.sort(at), centres, side="right") % 2).astype(bool)
    return mask


def _run_lengths(
    reader: Iterable[dict], names: dict[str, str], image: str, runs: str, file: str,
    submission: Submission, items: list[Item], findings: list[Finding],
) -> None:  # fmt: skip
    """Rows image, rle with rle = 'start length start length ...', from 1, column by column (as in
    DSB 2018); a row with an empty rle is an image without objects."""
    by_id = _items(items)
    painters: dict[str, Painter] = {}
    for line, row in enumerate(reader, 2):
        item = _which(row[image], by_id)
        if item is None:
            _unknown(row[image], file, line, findings)
            continue
        height, width = _flat(item, file)
        painter = painters.setdefault(item.id, Painter(item))
        try:
            numbers = np.array((row[runs] or "").split(), dtype=np.int64)
            if numbers.size % 2:
                raise ValueError("an odd number of numbers")
            start, length = numbers[::2] - 1, numbers[1::2]
            if (start < 0).any() or (length < 1).any() or (
                numbers.size and int((start + length).max()) > height * width
            ):  # fmt: skip
                raise ValueError(f"runs leave the image's {height * width} pixels")
            score = float(row[names["score"]]) if "score" in names else 1.0
        except ValueError as bad:
            findings.append(error("RLE_ROW", str(bad)[:200], file,
                                  "write: start length start length ..., from 1",
                                  line=line))  # fmt: skip
            continue
        if numbers.size:
            flat = np.zeros(height * width, bool)
            for s, n in zip(start, length, strict=True):
                flat[s : s + n] = True
            painter.add(flat.reshape(width, height).T, score)
    _finish(painters, submission, file, findings)


def _points(
    reader: Iterable[dict], names: dict[str, str], image: str, file: str,
    submission: Submission, items: list[Item], findings: list[Finding],
) -> None:  # fmt: skip
    by_id = _items(items)
    rows: dict[str, list[dict]] = {}
    for line, row in enumerate(reader, 2):
        item = _which(row[image], by_id)
        if item is None:
            _unknown(row[image], file, line, findings)
        else:
            rows.setdefault(item.id, []).append(row)
    submission.point_rows |= {which: (found, names, file) for which, found in rows.items()}
    # Coordinates are checked with the image's size and unit when the image's turn comes
    for which in rows:
        submission.decoded.setdefault(which, None)
