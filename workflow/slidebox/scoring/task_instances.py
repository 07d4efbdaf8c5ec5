"""Instance segmentation in 2D and 3D: from one image's labels to counts, from counts to values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from . import coco
from . import instances as m
from .arrays import Array, Lazy, numbered, open_array, read_truth_labels, slabs, whole
from .overlap import Overlap, join, overlap, overlap_of_slabs
from .predictions import Refused, Submission, check_count, check_labels, check_type, error
from .release import Item
from .settings import Settings, exact

HALF = "0.5"
EM = {"VOI", "VOI_split", "VOI_merge", "ARE", "CREMI"}


def read_truth(item: Item) -> Array:
    """Truth labels of an item; shape as the item's."""
    return read_truth_labels(item)


def read(item: Item, submission: Submission, settings: Settings) -> Array:
    """A label array of the item's shape; a large one stays in its file and is checked in slabs.

    Raises
    ------
    Refused
        With every problem found.
    """
    if item.id in submission.decoded:
        labels, file = submission.decoded[item.id], f"{submission.name}, image {item.id}"
        check_count(len(submission.masks.get(item.id, ())), file, settings.max_objects)
    else:
        path = submission.by_id[item.id]
        file = submission.relative(path)
        labels = open_array(path, item, file)
    if isinstance(labels, Lazy):
        check_type(labels.dtype, file)
        if settings.pieces == "one":
            return labels
        labels = whole(labels)
    labels = check_labels(numbered(labels), item, file, settings.max_objects)
    if settings.pieces != "one":
        labels = _pieces(labels, settings, file)
    return labels


def verify(item: Item, pred: Array, settings: Settings) -> None:
    """Check the slabs of a large array; a small one is checked when it's read."""
    if isinstance(pred, Lazy):
        objects: set[int] = set()
        for *_, labels, _ in slabs(pred, pred):
            labels = check_labels(labels, item, item.id, 1 << 32)
            objects.update(np.unique(labels).tolist())
            check_count(len(objects - {0}), item.id, settings.max_objects)


def _pieces(labels: np.ndarray, settings: Settings, file: str) -> np.ndarray:
    """Connected pieces (faces, edges and corners touch) of each id, as `pieces` says."""
    pieces = split_pieces(labels)
    if settings.pieces == "refuse":
        pairs = overlap(labels, pieces).objects()
        several = pairs.truth[np.bincount(pairs.i, minlength=pairs.truth.size) > 1]
        if several.size:
            raise Refused(
                error("LABELS_IN_PIECES", f"{several.size} labels are in several pieces: "
                      + ", ".join(map(str, several[:10])), file,
                      "give each object its own number")
            )  # fmt: skip
        return labels
    return pieces


def split_pieces(labels: np.ndarray) -> np.ndarray:
    """Give every connected piece of every label a number of its own; uint32."""
    out = np.zeros(labels.shape, np.uint32)
    structure = np.ones((3,) * labels.ndim, bool)
    count = 0
    small = labels
    if labels.size and int(labels.max()) > 1 << 20:
        small = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
        small += int(labels.min()) != 0
    for index, box in enumerate(ndimage.find_objects(small.astype(np.int32))):
        if box is None:
            continue
        pieces, n = ndimage.label(small[box] == index + 1, structure)
        inside = pieces > 0
        out[box][inside] = pieces[inside] + count
        count += n
    return out


class Touching:
    """Labels that touch the image's border in y or x, collected from slabs."""

    def __init__(self, axes: str, shape: tuple[int, ...]) -> None:
        self.axes, self.shape = axes, shape
        self.found: set[int] = set()

    def look(self, labels: np.ndarray, axis: int, begin: int, end: int) -> None:
        """Add those of a slab that lies from `begin` to `end` along `axis`."""
        for k, name in enumerate(self.axes):
            if name not in "yx":
                continue
            if k != axis or begin == 0:
                self.found.update(np.unique(labels.take(0, k)).tolist())
            if k != axis or end == self.shape[k]:
                self.found.update(np.unique(labels.take(-1, k)).tolist())

    def among(self, labels: np.ndarray) -> np.ndarray:
        return np.isin(labels, list(self.found - {0}))


def measure(item: Item, truth: Array, pred: Array, settings: Settings) -> dict[str, float]:
    """Counts of one image; they add up over images but those named in IMAGE_ONLY."""
    return measure_all(item, truth, pred, settings)[0]


def measure_all(
    item: Item, truth: Array, pred: Array, settings: Settings, masks: coco.Masks | None = None
) -> tuple[dict[str, float], tuple[np.ndarray, np.ndarray] | None]:
    """Counts of one image, and COCO's (score, status) of its detections where those are wanted.

    `masks` are the objects as a table has them, which may overlap. Large arrays are passed through
    once, slab by slab.
    """
    em = bool(EM & set(settings.metrics or ()))
    apart = em and settings.boundary_ignore > 0
    sections = _plane_spacing(item)
    borders = [Touching(item.axes, item.shape) for _ in range(2)]
    inner: list[Overlap] = []

    def stream() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        along = item.axes.index("z") if apart and "z" in item.axes else None
        if apart and along is None and isinstance(truth, Lazy):
            parts = [(0, 0, item.shape[0], whole(truth), whole(pred))]
        else:
            parts = slabs(truth, pred, along)
        for axis, begin, end, t, p in parts:
            if isinstance(pred, Lazy):
                p = check_labels(p, item, item.id, 1 << 32)
            if settings.border == "ignore":
                for border, labels in zip(borders, (t, p), strict=True):
                    border.look(labels, axis, begin, end)
            if apart:
                near = near_border(t, settings.boundary_ignore, sections)
                inner.append(overlap(t[~near], p[~near]))
            yield t, p

    full = overlap_of_slabs(stream())
    if isinstance(pred, Lazy):
        check_count(int((full.pred != 0).sum()), item.id, settings.max_objects)
    truth_ignore = () if settings.ignore_label is None else (settings.ignore_label,)
    table = _without_ignored(full, settings.ignore_label) if truth_ignore else full
    objects = table.objects()
    ignore_truth = ignore_pred = None
    if settings.border == "ignore":
        ignore_truth = borders[0].among(objects.truth)
        ignore_pred = borders[1].among(objects.pred)
    if truth_ignore:
        ignore_pred = _or(ignore_pred, _mostly_ignored(full, objects.pred, settings.ignore_label))
    if settings.sparse:
        ignore_pred = _or(ignore_pred, np.bincount(objects.j, minlength=objects.pred.size) == 0)

    row: dict[str, float] = {}
    keep = None if ignore_truth is None else ~ignore_truth
    for threshold in dict.fromkeys([*settings.thresholds, HALF]):
        found = m.match(objects, exact(threshold), ignore_truth, ignore_pred)
        row |= {
            f"tp@{threshold}": found.tp, f"fp@{threshold}": found.fp, f"fn@{threshold}": found.fn,
            f"iou@{threshold}": float(found.iou.sum()),
        }  # fmt: skip
    row["n_true"] = int(objects.truth.size if keep is None else keep.sum())
    row["n_pred"] = int(objects.pred.size if ignore_pred is None else (~ignore_pred).sum())
    row["seg_sum"], row["seg_n"] = m.seg(objects, keep)
    row["splits"], row["merges"] = m.splits_and_merges(objects)
    row["dice_inside"], row["dice_sum"] = m.foreground_dice(table)
    if em:
        tables = join(inner) if apart else table
        left_out = truth_ignore + ((0,) if settings.ignore_background else ())
        row["voi_split"], row["voi_merge"] = m.variation_of_information(tables, left_out)
        row["are"] = m.adapted_rand_error(tables, left_out)
    if {"HD95", "ASSD"} & set(settings.metrics or ()):
        from .boundary import matched_distances

        pairs = m.match(objects, exact(HALF), ignore_truth, ignore_pred)
        distances = matched_distances(
            truth, pred, objects.truth[pairs.i], objects.pred[pairs.j], item.spacing
        )
        row["hd95_sum"], row["assd_sum"] = distances.sum(0).tolist()
    if not coco.wanted(settings):
        return row, None
    if masks is None:
        area, score = objects.pred_area, np.ones(objects.pred.size)
        i, j, n = objects.i, objects.j, objects.n
        ignored = np.zeros(area.size, bool) if ignore_pred is None else ignore_pred
    else:
        area, score, i, j, n = coco.pairs_of_masks(whole(truth), objects.truth, masks)
        ignored = np.zeros(area.size, bool)
        if truth_ignore:
            ignored |= coco.mostly_on(whole(truth), settings.ignore_label, masks)
        if settings.border == "ignore":
            ignored |= coco.at_border(item.shape, masks)
        if settings.sparse:
            ignored |= np.bincount(j, minlength=area.size) == 0
    counted, score, status = coco.judge(
        coco.Pairs(
            objects.truth_area, area, score, i, j, n,
            np.zeros(objects.truth.size, bool) if ignore_truth is None else ignore_truth,
            ignored,
        ),
        settings,
    )  # fmt: skip
    return row | counted, (score, status)


def _plane_spacing(item: Item) -> tuple[float, ...]:
    # CREMI's borders are within sections: distance along z doesn't count
    return tuple(np.inf if a == "z" else s for a, s in zip(item.axes, item.spacing, strict=True))


def near_border(truth: np.ndarray, distance: float, spacing: tuple[float, ...]) -> np.ndarray:
    """Pixels within `distance` of a pixel of another label; section by section where spacing is
    infinite (CREMI leaves these out of VOI and ARE)."""
    if np.isinf(spacing[0]):
        return np.stack([near_border(plane, distance, spacing[1:]) for plane in truth])
    edge = np.zeros(truth.shape, bool)
    for axis in range(truth.ndim):
        low = [slice(None)] * truth.ndim
        high = [slice(None)] * truth.ndim
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        differs = truth[tuple(low)] != truth[tuple(high)]
        edge[tuple(low)] |= differs
        edge[tuple(high)] |= differs
    if not edge.any():
        return edge
    return ndimage.distance_transform_edt(~edge, sampling=spacing) <= distance


def _or(a: np.ndarray | None, b: np.ndarray) -> np.ndarray:
    return b if a is None else a | b


def _without_ignored(table: Overlap, label: int) -> Overlap:
    keep = table.truth[table.i] != label
    i, j, n = table.i[keep], table.j[keep], table.n[keep]
    rows, i = np.unique(i, return_inverse=True)
    cols, j = np.unique(j, return_inverse=True)
    return Overlap(
        table.truth[rows], table.pred[cols],
        np.bincount(i, weights=n, minlength=rows.size).astype(np.int64),
        np.bincount(j, weights=n, minlength=cols.size).astype(np.int64), i, j, n,
    )  # fmt: skip


def _mostly_ignored(table: Overlap, pred: np.ndarray, label: int) -> np.ndarray:
    """Which predicted objects have more than half of their pixels in the ignored region."""
    inside = table.truth[table.i] == label
    hidden = np.zeros(table.pred.size, np.int64)
    np.add.at(hidden, table.j[inside], table.n[inside])
    mostly = table.pred[2 * hidden > table.pred_area]
    return np.isin(pred, mostly)


# Not sums over images: averaged, whatever `average` says
IMAGE_ONLY = ("voi_split", "voi_merge", "are")
IMAGE_METRICS = tuple(sorted(EM))


def values(c: dict[str, np.ndarray], settings: Settings) -> dict[str, np.ndarray]:
    """Metrics from counts; every array has one entry an image (or a pool of images).

    Nothing to divide by: `both_empty` when neither side has an object, else 0.
    """
    empty = {"one": 1.0, "zero": 0.0, "skip": np.nan}[settings.both_empty]
    nothing = (c["n_true"] == 0) & (c["n_pred"] == 0)
    either = np.where(nothing, empty, 0.0)

    def part(a, b, otherwise=either):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(b > 0, np.divide(a, b), otherwise)

    out: dict[str, np.ndarray] = {}
    for t in dict.fromkeys([*settings.thresholds, HALF]):
        tp, fp, fn = c[f"tp@{t}"], c[f"fp@{t}"], c[f"fn@{t}"]
        out[f"AP@{t}"] = part(tp, tp + fp + fn)
        out[f"F1@{t}"] = part(2 * tp, 2 * tp + fp + fn)
    for name in ("AP", "F1"):
        out[name] = np.mean([out[f"{name}@{t}"] for t in settings.thresholds], axis=0)
    tp, fp, fn, iou = (c[f"{k}@{HALF}"] for k in ("tp", "fp", "fn", "iou"))
    out["SQ"] = part(iou, tp)
    out["RQ"] = part(2 * tp, 2 * tp + fp + fn)
    out["PQ"] = part(2 * iou, 2 * tp + fp + fn)
    # An image without true objects says nothing of SEG where empty images are skipped
    out["SEG"] = part(c["seg_sum"], c["seg_n"], np.nan if settings.both_empty == "skip" else either)
    out["Dice"] = part(c["dice_inside"], c["dice_sum"])
    out["count_error"] = m.count_error(c["n_true"], c["n_pred"])
    out["splits"], out["merges"] = c["splits"].astype(float), c["merges"].astype(float)
    if "are" in c:
        out["VOI_split"], out["VOI_merge"], out["ARE"] = c["voi_split"], c["voi_merge"], c["are"]
        out["VOI"] = c["voi_split"] + c["voi_merge"]
        out["CREMI"] = m.cremi_score(out["VOI"], out["ARE"])
    if "hd95_sum" in c:
        out["HD95"] = part(c["hd95_sum"], tp, np.nan)
        out["ASSD"] = part(c["assd_sum"], tp, np.nan)
    return out


def objects(c: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """How many there are in truth and prediction of each image."""
    return c["n_true"], c["n_pred"]


def empty_prediction(item: Item) -> np.ndarray:
    """What a missing prediction is scored as where a metric has no worst value."""
    return np.zeros(item.shape, np.uint16)


def picture(item: Item, truth: Array, pred: Array, settings: Settings) -> np.ndarray:
    """Outlines of true, false and missed objects at IoU 1/2."""
    from .overlays import draw_objects

    return draw_objects(item, truth, pred)
