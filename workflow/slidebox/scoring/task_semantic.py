"""Semantic segmentation: pixels of classes."""

from __future__ import annotations

import numpy as np
import tifffile

from .overlap import overlap
from .predictions import Refused, Submission, check_labels, error, read_array
from .release import Item
from .settings import Settings


def read_truth(item: Item) -> np.ndarray:
    return tifffile.imread(item.truth, maxworkers=1).reshape(item.shape)


def read(item: Item, submission: Submission, settings: Settings) -> np.ndarray:
    """Class values of an image; values that are no class are refused (0 is background)."""
    if item.id in submission.decoded:
        return submission.decoded[item.id]
    path = submission.by_id[item.id]
    file = submission.relative(path)
    labels = check_labels(read_array(path, item, file), item, file, settings.max_objects)
    strange = [int(v) for v in np.unique(labels) if v and int(v) not in settings.classes]
    if strange:
        known = ", ".join(f"{k} {v}" for k, v in settings.classes.items())
        raise Refused(
            error("CLASS_UNKNOWN", f"values {strange[:10]} are no classes", file,
                  f"the classes are {known}; 0 is background")
        )  # fmt: skip
    return labels


def measure(
    item: Item, truth: np.ndarray, pred: np.ndarray, settings: Settings
) -> dict[str, float]:
    """Pixels of each class in truth, prediction and both; they add up over images."""
    table = overlap(truth, pred)
    t, p = table.truth[table.i], table.pred[table.j]
    seen = np.ones(t.size, bool)
    if settings.ignore_label is not None:
        seen = t != settings.ignore_label
    row: dict[str, float] = {}
    for value in settings.classes:
        row[f"truth_{value}"] = int(table.n[seen & (t == value)].sum())
        row[f"pred_{value}"] = int(table.n[seen & (p == value)].sum())
        row[f"both_{value}"] = int(table.n[seen & (t == value) & (p == value)].sum())
    return row


def dice(both, truth, pred, empty: float):
    """2 |A and B| / (|A| + |B|), in [0, 1], 1 is best; `empty` where neither has a pixel.
    Dice 1945, doi:10.2307/1932409."""
    total = np.asarray(truth, float) + pred
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, 2 * np.asarray(both) / total, empty)


def iou(both, truth, pred, empty: float):
    """|A and B| / |A or B|, in [0, 1], 1 is best; `empty` where neither has a pixel."""
    total = np.asarray(truth, float) + pred - both
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, np.asarray(both) / total, empty)


def values(c: dict[str, np.ndarray], settings: Settings) -> dict[str, np.ndarray]:
    """Per class, and the mean over the classes that are defined."""
    empty = {"one": 1.0, "zero": 0.0, "skip": np.nan}[settings.both_empty]
    out: dict[str, np.ndarray] = {}
    for value, name in settings.classes.items():
        counts = c[f"both_{value}"], c[f"truth_{value}"], c[f"pred_{value}"]
        out[f"Dice:{name}"] = dice(*counts, empty)
        out[f"IoU:{name}"] = iou(*counts, empty)
    for metric in ("Dice", "IoU"):
        stacked = np.stack([out[f"{metric}:{name}"] for name in settings.classes.values()])
        defined = ~np.isnan(stacked)
        with np.errstate(divide="ignore", invalid="ignore"):
            out[metric] = np.where(
                defined.any(0), np.where(defined, stacked, 0).sum(0) / defined.sum(0), np.nan
            )
    return out


def empty_prediction(item: Item) -> np.ndarray:
    return np.zeros(item.shape, np.uint8)


def picture(item: Item, truth: np.ndarray, pred: np.ndarray, settings: Settings) -> np.ndarray:
    """Outlines of the classes' connected regions: found, false and missed."""
    from .overlays import draw_objects

    return draw_objects(item, truth, pred)
