"""Instance segmentation in 2D and 3D: from one image's labels to counts, from counts to values."""

from __future__ import annotations

import numpy as np
import tifffile
from scipy import ndimage

from . import instances as m
from .overlap import Overlap, overlap
from .predictions import Refused, Submission, check_labels, error, read_array
from .release import Item
from .settings import Settings, exact

HALF = "0.5"


def read_truth(item: Item) -> np.ndarray:
    """Truth labels of an item; shape as the item's."""
    return tifffile.imread(item.truth, maxworkers=1).reshape(item.shape)


def read(item: Item, submission: Submission, settings: Settings) -> np.ndarray:
    """A checked label array of the item's shape.

    Raises
    ------
    Refused
        With every problem found.
    """
    if item.id in submission.decoded:
        return submission.decoded[item.id]
    path = submission.by_id[item.id]
    file = submission.relative(path)
    labels = check_labels(read_array(path, item, file), item, file, settings.max_objects)
    if labels.size and int(labels.max()) > settings.max_objects:
        count = int(np.count_nonzero(np.bincount(labels.reshape(-1)) if labels.max() < 1 << 24
                                     else np.unique(labels)))  # fmt: skip
        if count > settings.max_objects:
            raise Refused(
                error("LABELS_TOO_MANY", f"{count} objects; the challenge allows "
                      f"{settings.max_objects}", file, "noise labelled as objects?")
            )  # fmt: skip
    if settings.pieces != "one":
        labels = _pieces(labels, settings, file)
    return labels


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


def touching(labels: np.ndarray, axes: str) -> np.ndarray:
    """Labels that touch the image's border in y or x."""
    edges = []
    for axis, name in enumerate(axes):
        if name in "yx":
            edges += [labels.take(0, axis), labels.take(-1, axis)]
    found = np.unique(np.concatenate([e.reshape(-1) for e in edges]))
    return found[found != 0]


def measure(
    item: Item,
    truth: np.ndarray,
    pred: np.ndarray,
    settings: Settings,
) -> dict[str, float]:
    """Counts of one image; all of them add up over images but those named in IMAGE_ONLY."""
    ignore_truth = ignore_pred = None
    truth_ignore: tuple[int, ...] = ()
    full = overlap(truth, pred)
    table = full
    if settings.ignore_label is not None:
        truth_ignore = (settings.ignore_label,)
        table = _without_ignored(full, settings.ignore_label)
    objects = table.objects()
    if settings.border == "ignore":
        ignore_truth = np.isin(objects.truth, touching(truth, item.axes))
        ignore_pred = np.isin(objects.pred, touching(pred, item.axes))
    if settings.ignore_label is not None:
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
    if {"VOI", "VOI_split", "VOI_merge", "ARE", "CREMI"} & set(settings.metrics or ()):
        em = table
        if settings.boundary_ignore:
            near = near_border(truth, settings.boundary_ignore, _plane_spacing(item))
            em = overlap(truth[~near], pred[~near])
        left_out = truth_ignore + ((0,) if settings.ignore_background else ())
        row["voi_split"], row["voi_merge"] = m.variation_of_information(em, left_out)
        row["are"] = m.adapted_rand_error(em, left_out)
    if {"HD95", "ASSD"} & set(settings.metrics or ()):
        from .boundary import matched_distances

        pairs = m.match(objects, exact(HALF), ignore_truth, ignore_pred)
        distances = matched_distances(
            truth, pred, objects.truth[pairs.i], objects.pred[pairs.j], item.spacing
        )
        row["hd95_sum"], row["assd_sum"] = distances.sum(0).tolist()
    return row


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
IMAGE_METRICS = ("VOI", "VOI_split", "VOI_merge", "ARE", "CREMI")


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
    out["count_error"] = np.abs(c["n_pred"] - c["n_true"]).astype(float)
    out["splits"], out["merges"] = c["splits"].astype(float), c["merges"].astype(float)
    if "are" in c:
        out["VOI_split"], out["VOI_merge"], out["ARE"] = c["voi_split"], c["voi_merge"], c["are"]
        out["VOI"] = c["voi_split"] + c["voi_merge"]
        out["CREMI"] = np.sqrt(out["VOI"] * out["ARE"])
    if "hd95_sum" in c:
        out["HD95"] = part(c["hd95_sum"], tp, np.nan)
        out["ASSD"] = part(c["assd_sum"], tp, np.nan)
    return out


def empty_prediction(item: Item) -> np.ndarray:
    """What a missing prediction is scored as where a metric has no worst value."""
    return np.zeros(item.shape, np.uint16)


def picture(item: Item, truth: np.ndarray, pred: np.ndarray, settings: Settings) -> np.ndarray:
    """Outlines of true, false and missed objects at IoU 1/2."""
    from .overlays import draw_objects

    return draw_objects(item, truth, pred)
