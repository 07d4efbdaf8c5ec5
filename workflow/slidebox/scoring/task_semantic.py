"""Semantic segmentation: pixels of classes."""

from __future__ import annotations

import numpy as np

from .arrays import Array, Lazy, open_array, read_truth_labels, slabs
from .overlap import overlap_of_slabs
from .predictions import Refused, Submission, check_labels, check_type, error
from .release import Item
from .settings import Settings


def read_truth(item: Item) -> Array:
    return read_truth_labels(item)


def read(item: Item, submission: Submission, settings: Settings) -> Array:
    """Class values of an image; values that are no class are refused (0 is background)."""
    if item.id in submission.decoded:
        labels, file = submission.decoded[item.id], f"{submission.name}, image {item.id}"
    else:
        path = submission.by_id[item.id]
        file = submission.relative(path)
        labels = open_array(path, item, file)
    if isinstance(labels, Lazy):
        check_type(labels.dtype, file)
        return labels
    labels = check_labels(labels, item, file, 1 << 32)
    _known(np.unique(labels), settings, file)
    return labels


def verify(item: Item, pred: Array, settings: Settings) -> None:
    """Check the slabs of a large array; a small one is checked when it's read."""
    if isinstance(pred, Lazy):
        for *_, labels, _ in slabs(pred, pred):
            _known(np.unique(check_labels(labels, item, item.id, 1 << 32)), settings, item.id)


def _known(values: np.ndarray, settings: Settings, file: str) -> None:
    strange = [int(v) for v in values if v and int(v) not in settings.classes]
    if strange:
        known = ", ".join(f"{k} {v}" for k, v in settings.classes.items())
        raise Refused(
            error("CLASS_UNKNOWN", f"values {strange[:10]} are no classes", file,
                  f"the classes are {known}; 0 is background")
        )  # fmt: skip


def measure(item: Item, truth: Array, pred: Array, settings: Settings) -> dict[str, float]:
    """Pixels of each class in truth, prediction and both; they add up over images."""
    table = overlap_of_slabs(
        (t, check_labels(p, item, item.id, 1 << 32)) for *_, t, p in slabs(truth, pred)
    )
    _known(table.pred, settings, item.id)
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
    """|A and B| / |A or B|, in [0, 1], 1 is best; `empty` where neither has a pixel.
    Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x.
    """
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


def objects(c: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of any class in truth and prediction of each image."""
    true, pred = ([v for k, v in c.items() if k.startswith(f"{w}_")] for w in ("truth", "pred"))
    return np.sum(true, axis=0), np.sum(pred, axis=0)


def empty_prediction(item: Item) -> np.ndarray:
    return np.zeros(item.shape, np.uint8)


def picture(item: Item, truth: Array, pred: Array, settings: Settings) -> np.ndarray:
    """Pixels of wrong and missed classes, outlines of right ones."""
    from .overlays import draw_classes

    return draw_classes(item, truth, pred)
