"""What a challenge decides about its scoring: metrics, thresholds and every corner case.

The same model is a section of ``challenge.yaml`` and what the scorer reads from a release.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from .section import Section

Task = Literal[
    "instance-segmentation", "semantic-segmentation", "tracking", "points", "restoration"
]

DEFAULT_METRICS: dict[str, list[str]] = {
    "instance-segmentation": [
        "AP", "F1", "PQ", "SQ", "RQ", "SEG", "Dice", "count_error", "splits", "merges",
    ],
    "semantic-segmentation": ["Dice", "IoU"],
    "tracking": [
        "SEG", "DET", "LNK", "TRA", "CT", "TF", "BC", "CCA", "BIO",
        "OP_CSB", "OP_CTB", "OP_CLB", "division_F1",
    ],
    "points": ["F", "precision", "recall", "Jaccard", "RMSE", "count_error"],
    "restoration": ["PSNR", "SSIM", "MS_SSIM", "SI_PSNR"],
}  # fmt: skip

DEFAULT_PRIMARY = {
    "instance-segmentation": "AP",
    "semantic-segmentation": "Dice",
    "tracking": "OP_CTB",
    "points": "F",
    "restoration": "PSNR",
}

PRESETS: dict[str, dict[str, Any]] = {
    "stardist": {"both_empty": "zero", "average": "image"},
    "cellpose": {"both_empty": "skip", "average": "image"},
    # Without pycocotools' limit of 100 detections an image: `max_detections: 100` brings it back
    "coco": {
        "both_empty": "skip",
        "average": "dataset",
        "metrics": [
            "COCO_AP",
            "COCO_AP50",
            "COCO_AP75",
            "COCO_AP_small",
            "COCO_AP_medium",
            "COCO_AP_large",
            "COCO_AR",
            "COCO_AR_small",
            "COCO_AR_medium",
            "COCO_AR_large",
        ],
        "primary": "COCO_AP",
    },
    "ctc": {"both_empty": "skip", "average": "image", "primary": "SEG"},
    "cremi": {
        "both_empty": "one",
        "average": "image",
        "metrics": ["VOI_split", "VOI_merge", "VOI", "ARE", "CREMI"],
        "primary": "CREMI",
        "ignore_background": True,
        "boundary_ignore": 25.0,
    },
}


def exact(threshold: str | float | int) -> Fraction:
    """The rational number a person wrote: ``"0.7"`` and ``0.7`` are 7/10, ``"2/3"`` is 2/3."""
    return Fraction(str(threshold).strip())


def _threshold(value: Any) -> str:
    try:
        fraction = exact(value)
    except (ValueError, ZeroDivisionError):
        raise ValueError("is no number such as '0.7' or '2/3'") from None
    if not 0 < fraction <= 1:
        raise ValueError("is not in (0, 1]")
    if fraction.denominator > 10**6:
        raise ValueError("has more than six decimals: write '0.7', not a sum")
    return str(value).strip()


class Bootstrap(Section):
    """Resampling of whole groups, which gives intervals and ranks their uncertainty."""

    resamples: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    seed: int = 0


class Custom(Section):
    """A metric of the organiser's own: a Python file in the challenge folder and a function in it.

    The function is called as ``function(truth, prediction, info)`` with arrays as stored and
    returns one number. It runs in a process of its own.
    """

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")
    file: str = Field(pattern=r"^[A-Za-z0-9_]+\.py$")
    function: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    direction: Literal["higher", "lower"]
    range: tuple[float, float] = Field(description="worst and best attainable, in any order")
    sha256: str | None = Field(None, description="filled in by the release")


class Settings(Section):
    """Section ``scoring`` of challenge.yaml."""

    preset: Literal["stardist", "cellpose", "coco", "ctc", "cremi"] | None = Field(
        None, description="start from the decisions of a known tool; other keys override it"
    )
    metrics: list[str] | None = Field(None, description="which metrics; default: the task's")
    primary: str | None = Field(None, description="the metric that ranks; default: the task's")
    thresholds: list[Annotated[str, BeforeValidator(_threshold)]] = Field(
        default=["0.5", "0.55", "0.6", "0.65", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95"],
        min_length=1,
        description="IoU thresholds, exact: '0.7' is 7/10, '2/3' is allowed; a match has IoU >= t",
    )
    average: Literal["image", "group", "dataset"] = Field(
        "image",
        description="image: mean over images; group: mean of the groups' means; "
        "dataset: from counts pooled over all images",
    )
    both_empty: Literal["one", "zero", "skip"] = Field(
        "one", description="value of an image without objects in truth and prediction"
    )
    empty_truth: Literal["worst", "skip"] = Field(
        "worst", description="value of an image without true objects but with predicted ones"
    )
    empty_prediction: Literal["worst", "skip"] = Field(
        "worst", description="value of an image with true objects whose prediction has none; "
        "skip: it is left out (a missing prediction never is)",
    )  # fmt: skip
    missing: Literal["worst", "refuse"] = Field(
        "worst", description="an image without a prediction gets the worst value, or refuses all"
    )
    border: Literal["keep", "ignore"] = Field(
        "keep", description="ignore: objects that touch the image's border count neither way"
    )
    ignore_label: int | None = Field(
        None, description="value of truth pixels that are in no count (unannotated regions)"
    )
    sparse: bool = Field(
        False, description="truth is sparse: predictions that overlap no true object are not false"
    )
    pieces: Literal["one", "split", "refuse"] = Field(
        "one", description="an id in several pieces: one object, one each, or an error"
    )
    max_objects: int = Field(100_000, ge=1, description="more objects in an image are refused")
    max_detections: int | None = Field(
        None, ge=1, description="COCO: the best detections of an image that count; default: all"
    )
    # Electron microscopy
    ignore_background: bool = Field(
        False, description="VOI and ARE leave out pixels whose true label is 0"
    )
    boundary_ignore: float = Field(
        0.0, ge=0, description="VOI and ARE leave out pixels this close to a true border, "
        "in the unit of the pixel size (CREMI: 25 nm in plane)",
    )  # fmt: skip
    # Tracking
    division_tolerance: int = Field(
        0, ge=0, le=100, description="tracking: frames a division may be off in BC; BC(i)"
    )
    # Points
    tolerance: float | None = Field(None, gt=0, description="points: largest distance of a match")
    unit: Literal["pixel", "micrometer"] = Field(
        "pixel", description="unit of coordinates and tolerance of points"
    )
    beta: float = Field(1.0, gt=0, description="points: weight of recall in F")
    # Semantic segmentation
    classes: dict[int, str] = Field(
        default_factory=dict, description="semantic: value and name of each class that is scored"
    )
    # Restoration
    data_range: float | None = Field(
        None, gt=0, description="restoration: the largest possible difference of intensities"
    )
    bootstrap: Bootstrap = Field(default_factory=Bootstrap)
    custom: list[Custom] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("preset") in PRESETS:
            given = {k: v for k, v in data.items() if v is not None}
            return {**PRESETS[data["preset"]], **given}
        return data

    def unmet(self, task: Task, unknown: Container[str] = ()) -> Iterator[tuple[str, str, str]]:
        """(key, what is wrong, how to mend) of what a task hasn't, or needs and hasn't got.

        Of `unknown` keys, and what depends on them, nothing is told.
        """
        from .catalog import names

        if not any(key in unknown for key in ("thresholds", "classes", "custom")):
            known = names(task, self) | {c.name for c in self.custom}
            for key, given in (("metrics", self.metrics or []), ("primary", [self.primary])):
                if strange := [m for m in given if m is not None and m not in known]:
                    yield (key, f"{task} has no metric {', '.join(strange)}",
                           f"there are {', '.join(sorted(known))}")  # fmt: skip
        needs = {
            "points": ("tolerance", "give the largest distance of a match"),
            "restoration": ("data_range", "pin it, e.g. 65535 for uint16"),
            "semantic-segmentation": ("classes", "write {1: nucleus, ...}"),
        }
        if task in needs:
            key, mend = needs[task]
            if not getattr(self, key) and key not in unknown:
                yield key, f"is missing: {task} needs it", mend

    def resolved(self, task: Task) -> Settings:
        """With the task's defaults filled in.

        Raises
        ------
        ValueError
            A metric the task doesn't have, or a setting the task needs and has not got.
        """
        if unmet := list(self.unmet(task)):
            raise ValueError(
                "; ".join(f"scoring.{key}: {what} ({mend})" for key, what, mend in unmet)
            )
        metrics = list(self.metrics or DEFAULT_METRICS[task])
        if task == "semantic-segmentation" and not self.metrics and len(self.classes) > 1:
            metrics += [f"{m}:{c}" for m in DEFAULT_METRICS[task] for c in self.classes.values()]
        primary = self.primary or (self.metrics[0] if self.metrics else DEFAULT_PRIMARY[task])
        if primary not in metrics:
            metrics.insert(0, primary)
        metrics += [c.name for c in self.custom if c.name not in metrics]
        return self.model_copy(update={"metrics": metrics, "primary": primary})
