"""One table for all images: COCO JSON, run lengths in CSV, points in CSV.

A label image has one object a pixel, so objects that overlap are decided here: the higher score
has the pixels, of equal scores the earlier row. COCO's metrics see the masks as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..findings import Finding
from .csv_rows import Rows, opened_rows
from .masks import kaggle_runs, segmentation_mask
from .predictions import Refused, Submission, error, identity
from .release import Item

LARGEST = 2 << 30
SHOWN = 100
# Columns of tables, in lower case
IMAGE = ("image", "imageid", "image_id", "id")
RUNS = ("rle", "encodedpixels", "rle_encoding")


def decode(
    table: Path, submission: Submission, items: list[Item], task: str, findings: list[Finding],
    most: int,
) -> None:  # fmt: skip
    """Put what a table says of each image into ``submission.decoded``; problems into `findings`.

    Of an image only `most` + 1 objects are drawn: more are refused later.
    """
    file = submission.relative(table)
    if table.stat().st_size > LARGEST:
        raise Refused(error("TABLE_TOO_LARGE", f"has {table.stat().st_size} bytes", file))
    if table.suffix.lower() == ".json":
        if task not in ("instance-segmentation", "semantic-segmentation"):
            raise Refused(error("PREDICTION_FORMAT", f"COCO JSON is no format of {task}", file))
        _coco(table, file, submission, items, findings, task, most)
        return
    with opened_rows(table, file, findings) as (names, rows):
        image = next((names[n] for n in IMAGE if n in names), None)
        runs = next((names[n] for n in RUNS if n in names), None)
        if image and runs and task == "instance-segmentation":
            _run_lengths(rows, names, image, runs, file, submission, items, findings, most)
        elif image and not runs and task == "points":
            _points(rows, names, image, file, submission, items, findings)
        elif task == "points":
            raise Refused(
                error("TABLE_COLUMNS", f"columns are {', '.join(names) or 'missing'}", file,
                      f"columns are image and {', '.join(items[0].axes)}")
            )  # fmt: skip
        elif task == "instance-segmentation":
            raise Refused(
                error("TABLE_COLUMNS", f"columns are {', '.join(names) or 'missing'}", file,
                      "columns are image and rle (or ImageId and EncodedPixels), and maybe score")
            )  # fmt: skip
        else:
            raise Refused(error("PREDICTION_FORMAT", f"a CSV is no format of {task}", file))


def _items(items: Iterable[Item]) -> dict[str, Item]:
    return {item.id: item for item in items}


def _which(name: Any, by_id: dict[str, Item]) -> Item | None:
    """The item a table means by a file name or an id."""
    text = str(name).replace("\\", "/").rpartition("/")[2]
    return by_id.get(text) or by_id.get(identity(text) or "")


def _unknown(name: Any, file: str, line: int | None, findings: list[Finding]) -> None:
    message = f"image {str(name)[:80]!r} is none of this split"
    # Once an image, however many rows it has
    if not any(f.message == message for f in findings[-SHOWN:]):
        findings.append(
            Finding("PREDICTION_EXTRA", "warning", message, file, line,
                    mend="name images by the ids in splits.csv")
        )  # fmt: skip


class Painter:
    """A label image made from masks that may overlap: the best score on top."""

    def __init__(self, item: Item) -> None:
        self.item, self.masks = item, []

    def add(self, at: np.ndarray, score: float, value: int | None = None) -> None:
        """Add a mask by its flat indices; `value` None gives it the next free number."""
        small = at.astype(np.uint32) if self.item.pixels < 1 << 32 else at
        self.masks.append((score, small, value))

    def labels(self) -> tuple[np.ndarray, int]:
        """Label image, and how many pixels were claimed twice."""
        out = np.zeros(self.item.pixels, np.uint32)
        lost = 0
        order = sorted(range(len(self.masks)), key=lambda k: (self.masks[k][0], -k))
        for k in order:
            _, at, value = self.masks[k]
            lost += int(np.count_nonzero(out[at]))
            out[at] = k + 1 if value is None else value
        return out.reshape(self.item.shape), lost


def _finish(
    painters: dict[str, Painter], submission: Submission, file: str, findings: list[Finding]
) -> None:
    for which, painter in painters.items():
        if which in submission.by_id or which in submission.decoded:
            findings.append(error("PREDICTION_TWICE", f"image {which} has several predictions",
                                  file, "keep one of them"))  # fmt: skip
            continue
        labels, lost = painter.labels()
        submission.decoded[which] = labels
        submission.masks[which] = [(score, at) for score, at, _ in painter.masks]
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
    task: str, most: int,
) -> None:  # fmt: skip
    try:
        data = json.loads(table.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as bad:
        raise Refused(error("COCO_UNREADABLE", f"is no JSON: {str(bad)[:200]}", file,
                            "write it again, in UTF-8")) from bad  # fmt: skip
    images, annotations = ([], data) if isinstance(data, list) else _parts(data, file)
    by_id = _items(items)
    names = _names(images, by_id, file, findings)
    # An image that is listed without an annotation is an empty prediction, not a missing one
    painters = {i.id: Painter(i) for n in names.values() if (i := _which(n, by_id))}
    for number, annotation in enumerate(annotations):
        where = f"annotations[{number}]"
        try:
            if not isinstance(annotation, dict):
                raise ValueError(f"{str(annotation)[:40]} is no annotation")
            key = str(annotation["image_id"])
            item = _which(names.get(key, key), by_id)
            if item is None:
                _unknown(names.get(key, key), file, None, findings)
                continue
            if item.id in painters and len(painters[item.id].masks) > most:
                continue
            height, width = _flat(item, file)
            mask = segmentation_mask(annotation["segmentation"], height, width)
            score = _score(annotation.get("score", 1.0))
            value = int(annotation["category_id"]) if task == "semantic-segmentation" else None
            if value is not None and not 0 <= value < 1 << 32:
                raise ValueError(f"category_id {value} is no class")
        except Refused:
            raise
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as bad:
            reason = (
                f"{bad.args[0]} is missing" if isinstance(bad, KeyError)
                else "a number is far too large" if isinstance(bad, OverflowError) else str(bad)
            )  # fmt: skip
            findings.append(
                Finding("COCO_ANNOTATION", "error", reason[:200], file, field=where,
                        mend="image_id, segmentation (polygons or RLE), score")
            )  # fmt: skip
            continue
        at = np.flatnonzero(mask)
        if at.size == 0:
            findings.append(
                Finding("OBJECT_EMPTY", "warning", "an object has no pixel and is left out", file,
                        field=where, mend="polygons need some area; x is across, y down")
            )  # fmt: skip
        else:
            painters.setdefault(item.id, Painter(item)).add(at, score, value)
    _finish(painters, submission, file, findings)


def _parts(data: Any, file: str) -> tuple[list, list]:
    """Images and annotations of a COCO file."""
    if not isinstance(data, dict) or not isinstance(data.get("annotations"), list):
        raise Refused(
            error("COCO_UNREADABLE", "has no list of annotations", file,
                  "write a COCO file (images, annotations), or a list of results")
        )  # fmt: skip
    images = data.get("images", [])
    if not isinstance(images, list):
        raise Refused(error("COCO_UNREADABLE", "images is no list", file))
    return images, data["annotations"]


def _names(
    images: list, by_id: dict[str, Item], file: str, findings: list[Finding]
) -> dict[str, Any]:
    """File names of the images by their ids as text, since some write ids as numbers, some not."""
    names: dict[str, Any] = {}
    for number, image in enumerate(images):
        where = f"images[{number}]"
        if not isinstance(image, dict) or "id" not in image:
            findings.append(error("COCO_IMAGE", "has no id", file, field=where))
            continue
        key, name = str(image["id"]), image.get("file_name", image["id"])
        if names.setdefault(key, name) != name:
            findings.append(error("COCO_IMAGE", f"the id {key} is that of {names[key]} too", file,
                                  "give every image its own id", field=where))  # fmt: skip
        item = _which(name, by_id)
        given = tuple(image.get(k) for k in ("height", "width"))
        if item is None or None in given or given == tuple(item.shape):
            continue
        turned = given == tuple(item.shape)[::-1]
        findings.append(
            error("PREDICTION_TRANSPOSED" if turned else "PREDICTION_SHAPE",
                  f"image {item.id} has height and width {given}, expected {item.shape}"
                  + ("; nothing is transposed for you" if turned else ""), file,
                  "write masks at the image's full size, x across, y down", field=where)
        )  # fmt: skip
    return names


def _score(given: Any) -> float:
    score = float(given)
    if not np.isfinite(score):
        raise ValueError("score is no number")
    return score


def _run_lengths(
    rows: Rows, names: dict[str, str], image: str, runs: str, file: str,
    submission: Submission, items: list[Item], findings: list[Finding], most: int,
) -> None:  # fmt: skip
    """Rows image, rle with rle = 'start length start length ...', from 1, column by column (as in
    DSB 2018); a row with an empty rle is an image without objects."""
    by_id = _items(items)
    painters: dict[str, Painter] = {}
    for line, row in rows:
        item = _which(row[image], by_id)
        if item is None:
            _unknown(row[image], file, line, findings)
            continue
        height, width = _flat(item, file)
        painter = painters.setdefault(item.id, Painter(item))
        if len(painter.masks) > most:
            continue
        try:
            at = kaggle_runs(row[runs] or "", height * width)
            score = _score(row[names["score"]] if "score" in names else 1.0)
        except (TypeError, ValueError, OverflowError) as bad:
            large = isinstance(bad, OverflowError)
            reason = "a number is far too large" if large else str(bad)[:200]
            findings.append(error("RLE_ROW", reason, file,
                                  "write: start length start length ..., from 1",
                                  line=line))  # fmt: skip
            continue
        if at.size:
            # Column by column there, row by row in a label image
            painter.add(np.sort(at % height * width + at // height), score)
    _finish(painters, submission, file, findings)


def _points(
    rows: Rows, names: dict[str, str], image: str, file: str,
    submission: Submission, items: list[Item], findings: list[Finding],
) -> None:  # fmt: skip
    """Rows image, y, x, ...; a row with an image alone is an image without points."""
    by_id = _items(items)
    found: dict[str, list[tuple[int, dict]]] = {}
    for line, row in rows:
        item = _which(row[image], by_id)
        if item is None:
            _unknown(row[image], file, line, findings)
            continue
        mine = found.setdefault(item.id, [])
        if any((cell or "").strip() for name, cell in row.items() if name != image):
            mine.append((line, row))
    for which, mine in found.items():
        if which in submission.by_id or which in submission.point_rows:
            findings.append(error("PREDICTION_TWICE", f"image {which} has several predictions",
                                  file, "keep one of them"))  # fmt: skip
            continue
        # Coordinates are checked with the image's size and unit when the image's turn comes
        submission.point_rows[which] = mine, names, file
        submission.decoded[which] = None
