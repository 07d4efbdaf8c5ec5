"""Average precision and recall as COCO counts them: ranked by confidence, pooled over all images.

Detections are the masks as they were handed in (they may overlap); of label images each label is
one, with score 1. In the order of their scores, each takes the free true object of the largest IoU
(of equals the later one), if that reaches the threshold. True objects outside an area range are
ignored, as are detections that match one of them, or match nothing and are outside it themselves.
Lin et al. 2014, doi:10.1007/978-3-319-10602-1_48; pycocotools is the judge in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .settings import Settings, exact

# Pixels; both ends belong to a range, as in pycocotools
AREAS = {
    "all": (0, 10**10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 10**10)
}  # fmt: skip
# The doubles that pycocotools compares recall with
RECALL = np.linspace(0.0, 1.0, 101)
FALSE, TRUE, IGNORED = 0, 1, 2
NAMES = (
    "COCO_AP", "COCO_AP50", "COCO_AP75", "COCO_AP_small", "COCO_AP_medium", "COCO_AP_large",
    "COCO_AR", "COCO_AR_small", "COCO_AR_medium", "COCO_AR_large",
)  # fmt: skip
# Of each object confidence and flat pixel indices
Masks = Sequence[tuple[float, np.ndarray]]
# Intervals of a pooled ranking cost a pass over all detections for each resample
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Detected:
    """What became of detections.

    Attributes
    ----------
    image : (D,) index of the image each is of.
    score : (D,) confidence.
    status : (areas, thresholds, D) of FALSE, TRUE, IGNORED.
    """

    image: np.ndarray
    score: np.ndarray
    status: np.ndarray


def thresholds(settings: Settings) -> list[str]:
    """IoU thresholds that are counted: the challenge's, 0.5 and 0.75."""
    return list(dict.fromkeys([*settings.thresholds, "0.5", "0.75"]))


def wanted(settings: Settings) -> bool:
    """Whether any of these metrics was chosen."""
    return bool(set(NAMES) & set(settings.metrics or ()))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Detections and true objects of one image, and how they overlap.

    Attributes
    ----------
    true_area, area : pixels of true objects (T,) and detections (D,).
    score : (D,).
    i, j, n : true object, detection and common pixels of each pair that has any.
    ignored_true, ignored : bool, left out whatever the area (borders, unannotated regions).
    """

    true_area: np.ndarray
    area: np.ndarray
    score: np.ndarray
    i: np.ndarray
    j: np.ndarray
    n: np.ndarray
    ignored_true: np.ndarray
    ignored: np.ndarray


def pairs_of_masks(truth: np.ndarray, labels: np.ndarray, masks: Masks) -> tuple[np.ndarray, ...]:
    """Areas, scores and overlaps (area, score, i, j, n) of masks that may overlap each other.

    truth : label image; labels : its labels, ascending; masks : score and flat pixel indices.
    """
    flat = truth.reshape(-1)
    i, j, n = [], [], []
    for k, (_, at) in enumerate(masks):
        found, count = np.unique(flat[at], return_counts=True)
        inside = np.isin(found, labels)
        i.append(np.searchsorted(labels, found[inside]))
        j.append(np.full(int(inside.sum()), k))
        n.append(count[inside])
    none = np.zeros(0, np.int64)
    return (
        np.array([at.size for _, at in masks], np.int64),
        np.array([score for score, _ in masks], float),
        *(np.concatenate([none, *part]).astype(np.int64) for part in (i, j, n)),
    )


def mostly_on(truth: np.ndarray, label: int, masks: Masks) -> np.ndarray:
    """Which masks have more than half of their pixels on a true label (an unannotated region)."""
    flat = truth.reshape(-1)
    return np.array([2 * np.count_nonzero(flat[at] == label) > at.size for _, at in masks], bool)


def at_border(shape: tuple[int, int], masks: Masks) -> np.ndarray:
    """Which masks touch the border of a 2D image."""
    height, width = shape
    touch = []
    for _, at in masks:
        y, x = at // width, at % width
        touch.append(bool(((y == 0) | (y == height - 1) | (x == 0) | (x == width - 1)).any()))
    return np.array(touch, bool)


def judge(p: Pairs, settings: Settings) -> tuple[dict[str, int], np.ndarray, np.ndarray]:
    """Counted true objects by area, and score and status of the image's detections, best first."""
    order = np.argsort(-p.score, kind="stable")
    if settings.max_detections is not None:
        order = order[: settings.max_detections]
    place = np.full(p.area.size, -1)
    place[order] = np.arange(order.size)
    keep = place[p.j] >= 0
    i, j, n = p.i[keep], place[p.j[keep]], p.n[keep]
    union = p.true_area[i] + p.area[order][j] - n
    area, ignored = p.area[order], p.ignored[order]
    levels = thresholds(settings)
    status = np.zeros((len(AREAS), len(levels), order.size), np.uint8)
    counted = {}
    for a, (name, (low, high)) in enumerate(AREAS.items()):
        out_true = p.ignored_true | (p.true_area < low) | (p.true_area > high)
        out = ignored | (area < low) | (area > high)
        counted[f"coco_true_{name}"] = int((~out_true).sum())
        for t, level in enumerate(levels):
            limit = exact(level)
            ok = n * limit.denominator >= union * limit.numerator
            status[a, t] = _take(i[ok], j[ok], n[ok] / union[ok], out_true, out)
    return counted, p.score[order], status


def _take(
    i: np.ndarray, j: np.ndarray, iou: np.ndarray, out_true: np.ndarray, out: np.ndarray
) -> np.ndarray:
    """Status of each detection, given the pairs that reach the threshold."""
    status = np.where(out, IGNORED, FALSE).astype(np.uint8)
    # Of a detection's pairs the best comes first: counted objects, then IoU, then the later one
    order = np.lexsort((-i, -iou, out_true[i], j))
    taken: set[int] = set()
    done = -1
    for at_true, at in zip(i[order].tolist(), j[order].tolist(), strict=True):
        if at != done and at_true not in taken:
            taken.add(at_true)
            done = at
            status[at] = IGNORED if out_true[at_true] else TRUE
    return status


def join(parts: Sequence[tuple[np.ndarray, np.ndarray]], settings: Settings) -> Detected:
    """The detections of all images, in the images' order: (score, status) of each."""
    empty = np.zeros((len(AREAS), len(thresholds(settings)), 0), np.uint8)
    return Detected(
        np.repeat(np.arange(len(parts)), [score.size for score, _ in parts]),
        np.concatenate([np.zeros(0), *(score for score, _ in parts)]),
        np.concatenate([empty, *(status for _, status in parts)], axis=2),
    )


def precision_recall(
    status: np.ndarray, true: float, weight: np.ndarray | None = None
) -> tuple[float, float]:
    """Average precision at 101 recalls, and the recall reached; nan without true objects.

    status : (D,) of ranked detections; true : number of true objects; weight : how often each
    detection's image is drawn.

    AP = mean over r in 0, 0.01, ..., 1 of the largest precision at a recall >= r. In [0, 1].
    Lin et al. 2014, doi:10.1007/978-3-319-10602-1_48.
    """
    if not true > 0:
        return np.nan, np.nan
    weight = np.ones(status.size) if weight is None else weight
    tp = np.cumsum(weight * (status == TRUE))
    seen = np.cumsum(weight * (status != IGNORED))
    if tp.size == 0:
        return 0.0, 0.0
    precision = np.divide(tp, seen, out=np.zeros(tp.size), where=seen > 0)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(tp / true, RECALL, side="left")
    reached = at < tp.size
    return float(best[at[reached]].sum() / RECALL.size), float(tp[-1] / true)


def value(
    name: str, found: Detected, true: dict[str, np.ndarray], settings: Settings,
    images: np.ndarray | None = None,
) -> float:  # fmt: skip
    """One metric over images that are each drawn `images` (N,) times (default: once).

    true : counts ``coco_true_<area>`` of each image.
    """
    area = name.rpartition("_")[2] if name.rpartition("_")[2] in AREAS else "all"
    levels = thresholds(settings)
    if name.endswith(("50", "75")):
        which = [levels.index("0.5" if name.endswith("50") else "0.75")]
    else:
        which = [levels.index(t) for t in dict.fromkeys(settings.thresholds)]
    total = true[f"coco_true_{area}"]
    total = float(total.sum() if images is None else total @ images)
    order = np.argsort(-found.score, kind="stable")
    weight = None if images is None else images[found.image[order]].astype(float)
    a = list(AREAS).index(area)
    both = [precision_recall(found.status[a, t, order], total, weight) for t in which]
    return float(np.mean([ap if name.startswith("COCO_AP") else ar for ap, ar in both]))


def per_image(
    name: str, found: Detected, true: dict[str, np.ndarray], settings: Settings
) -> np.ndarray:
    """The metric of every image alone, (N,); nan where it has no true object in the area range."""
    count = true["coco_true_all"].size
    begin = np.searchsorted(found.image, np.arange(count + 1))
    out = np.empty(count)
    for k in range(count):
        at = slice(begin[k], begin[k + 1])
        score = found.score[at]
        part = Detected(np.zeros(score.size, np.int64), score, found.status[:, :, at])
        own = {key: value[k : k + 1] for key, value in true.items() if key.startswith("coco_true_")}
        out[k] = value(name, part, own, settings)
    return out


def resampled(
    name: str, found: Detected, true: dict[str, np.ndarray], settings: Settings,
    groups: list[str], weights: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """The metric in each resample of groups (rows of `weights`, names in sorted order)."""
    index = np.unique(groups, return_inverse=True)[1]
    return np.array(
        [value(name, found, true, settings, row[index]) for row in weights[:RESAMPLES]]
    )  # fmt: skip


def rows(found: Detected, ids: Sequence[str]) -> list[dict[str, object]]:
    """One row a detection: id, score, and for each area range a digit (status) a threshold."""
    digits = found.status.astype("U1")
    return [
        {"id": ids[found.image[d]], "score": float(found.score[d])}
        | {name: "t" + "".join(digits[a, :, d]) for a, name in enumerate(AREAS)}
        for d in range(found.score.size)
    ]


def from_rows(table: Sequence[dict[str, str]], ids: Sequence[str], settings: Settings) -> Detected:
    """What `rows` wrote, for the images of `ids` in that order."""
    index = {name: k for k, name in enumerate(ids)}
    kept = [row for row in table if row["id"] in index]
    image = np.array([index[row["id"]] for row in kept], np.int64)
    status = np.array([[list(map(int, row[name][1:])) for name in AREAS] for row in kept], np.uint8)
    status = status.reshape(len(kept), len(AREAS), len(thresholds(settings))).transpose(1, 2, 0)
    score = np.array([float(row["score"]) for row in kept])
    order = np.argsort(image, kind="stable")
    return Detected(image[order], score[order], status[:, :, order])
