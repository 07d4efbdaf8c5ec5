"""The metrics there are: direction, range, unit and what each is, in one table.

`docs/reference/metrics.md` is made from this table and the functions' docstrings.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as readers of a board need it.

    `worst` is the value of a missing prediction; infinite where there is no worst value, and then
    a missing prediction is scored as an empty one.
    """

    name: str
    task: str
    direction: str
    worst: float
    best: float
    unit: str
    what: str

    @property
    def higher(self) -> bool:
        return self.direction == "higher"


def _m(task: str, name: str, worst: float, best: float, what: str, unit: str = "1") -> Metric:
    return Metric(name, task, "higher" if best > worst else "lower", worst, best, unit, what)


_I, _S, _T, _P, _R = (
    "instance-segmentation", "semantic-segmentation", "tracking", "points", "restoration",
)  # fmt: skip
_COCO = {
    "": ", mean over the thresholds", "50": ", at IoU 1/2", "75": ", at IoU 3/4",
    "_small": ", objects up to 32 x 32 pixels", "_medium": ", objects of 32 x 32 to 96 x 96 pixels",
    "_large": ", objects from 96 x 96 pixels",
}  # fmt: skip
METRICS: dict[tuple[str, str], Metric] = {
    (m.task, m.name): m
    for m in (
        _m(_I, "AP", 0, 1, "TP / (TP + FP + FN), mean over the thresholds"),
        _m(_I, "F1", 0, 1, "2 TP / (2 TP + FP + FN), mean over the thresholds"),
        _m(_I, "PQ", 0, 1, "panoptic quality at IoU 1/2"),
        _m(_I, "SQ", 0, 1, "mean IoU of the matches at IoU 1/2"),
        _m(_I, "RQ", 0, 1, "F1 at IoU 1/2"),
        _m(_I, "SEG", 0, 1, "mean Jaccard index over true objects (Cell Tracking Challenge)"),
        _m(_I, "Dice", 0, 1, "Dice coefficient of the foregrounds"),
        _m(
            _I,
            "count_error",
            inf,
            0,
            "distance between predicted and true number of objects",
            "objects",
        ),
        _m(_I, "splits", inf, 0, "surplus pieces of true objects", "objects"),
        _m(_I, "merges", inf, 0, "surplus true objects under one prediction", "objects"),
        _m(_I, "VOI", inf, 0, "variation of information: split + merge", "bit"),
        _m(_I, "VOI_split", inf, 0, "H(prediction | truth)", "bit"),
        _m(_I, "VOI_merge", inf, 0, "H(truth | prediction)", "bit"),
        _m(_I, "ARE", 1, 0, "adapted Rand error"),
        _m(_I, "CREMI", inf, 0, "sqrt((VOI split + VOI merge) * ARE)"),
        _m(_I, "HD95", inf, 0, "95 % Hausdorff distance of the matched objects", "micrometer"),
        _m(_I, "ASSD", inf, 0, "average symmetric surface distance of the matched", "micrometer"),
        *(
            _m(_I, f"COCO_AP{k}", 0, 1, f"COCO's average precision, ranked by score{what}")
            for k, what in _COCO.items()
        ),
        *(
            _m(_I, f"COCO_AR{k}", 0, 1, f"COCO's average recall{what}")
            for k, what in _COCO.items()
            if not k.isdigit()
        ),
        _m(_S, "Dice", 0, 1, "Dice coefficient, mean over classes"),
        _m(_S, "IoU", 0, 1, "intersection over union, mean over classes"),
        _m(_T, "SEG", 0, 1, "segmentation accuracy"),
        _m(_T, "DET", 0, 1, "detection accuracy"),
        _m(_T, "LNK", 0, 1, "linking accuracy"),
        _m(_T, "TRA", 0, 1, "tracking accuracy"),
        _m(_T, "CT", 0, 1, "complete tracks"),
        _m(_T, "TF", 0, 1, "track fractions"),
        _m(_T, "BC", 0, 1, "branching correctness"),
        _m(_T, "CCA", 0, 1, "cell cycle accuracy"),
        _m(_T, "BIO", 0, 1, "mean of those of CT, TF, BC and CCA that are defined"),
        _m(_T, "OP_CSB", 0, 1, "(SEG + DET) / 2"),
        _m(_T, "OP_CTB", 0, 1, "(SEG + TRA) / 2"),
        _m(_T, "OP_CLB", 0, 1, "(LNK + BIO) / 2"),
        _m(_T, "division_F1", 0, 1, "F1 of divisions in the frame where they are"),
        _m(_P, "F", 0, 1, "F-beta at the tolerance"),
        _m(_P, "precision", 0, 1, "matched / predicted points"),
        _m(_P, "recall", 0, 1, "matched / true points"),
        _m(_P, "Jaccard", 0, 1, "TP / (TP + FP + FN)"),
        _m(_P, "RMSE", inf, 0, "root mean square distance of the matches", "challenge's unit"),
        _m(
            _P,
            "count_error",
            inf,
            0,
            "distance between predicted and true number of points",
            "points",
        ),
        _m(_R, "PSNR", -inf, inf, "peak signal-to-noise ratio", "dB"),
        _m(_R, "SSIM", -1, 1, "structural similarity"),
        _m(_R, "MS_SSIM", 0, 1, "multi-scale structural similarity"),
        _m(_R, "SI_PSNR", -inf, inf, "PSNR after the best affine change of intensities", "dB"),
    )
}


def names(task: str, settings: Any = None) -> set[str]:
    """Names of a task's metrics, with those at single thresholds and of single classes."""
    found = {name for (of, name) in METRICS if of == task}
    if settings is not None and task == "instance-segmentation":
        found |= {f"{m}@{t}" for t in settings.thresholds for m in ("AP", "F1")}
    if settings is not None and task == "semantic-segmentation":
        found |= {f"{m}:{c}" for c in settings.classes.values() for m in ("Dice", "IoU")}
    return found


def lookup(task: str, name: str, settings: Any = None) -> Metric:
    """The metric of a name such as ``AP``, ``AP@0.5``, ``Dice:nucleus`` or one's own."""
    for custom in getattr(settings, "custom", ()):
        if custom.name == name:
            low, high = sorted(custom.range)
            worst, best = (low, high) if custom.direction == "higher" else (high, low)
            return Metric(name, task, custom.direction, worst, best, "1", f"from {custom.file}")
    base = METRICS[task, name.split("@")[0].split(":")[0]]
    if base.name == name:
        return base
    at = name[len(base.name) + 1 :]
    plain = base.what.split(",")[0]
    what = f"{plain}, at IoU {at}" if "@" in name else f"{plain} of {at}"
    return Metric(name, task, base.direction, base.worst, base.best, base.unit, what)
