"""Controls of every release: truth must score best; nothing, one object and noise worse.

A part of the truth shows what a metric is blind to: one that looks at matches alone gives a method
that finds one easy object as much as one that finds all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..atomic import write_json
from ..findings import Finding
from ..scoring import catalog, coco, results, summary
from ..scoring.arrays import whole
from ..scoring.custom import run_custom
from ..scoring.opening import open_release
from ..scoring.predictions import Refused
from ..scoring.release import Item, Release
from ..scoring.tasks import task_module
from .writer import Writer

PART = "one true object"
# Neither right nor wrong: by its value a scorer that counts in another way is noticed
SHIFTED = "shifted"


def _one_of(truth: Any) -> np.ndarray:
    """Labels with the largest object alone."""
    labels = whole(truth)
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    largest = numbers[counts.argmax()] if numbers.size else 0
    return np.where(labels == largest, labels, 0).astype(labels.dtype)


def _shift(truth: Any) -> np.ndarray:
    """Labels moved by two pixels along y and x."""
    labels = whole(truth)
    moved = np.zeros_like(labels)
    moved[..., 2:, 2:] = labels[..., :-2, :-2]
    return moved


def predictions(release: Release, item: Item, truth: Any) -> dict[str, Any]:
    """Control predictions of an item; what they are depends on the task."""
    rng = np.random.default_rng(0)
    task, shape = release.task, item.shape
    empty = task_module(task).empty_prediction(item)
    if task == "instance-segmentation":
        return {
            "truth": truth, "empty": empty, PART: _one_of(truth),
            SHIFTED: _shift(truth),
            "one object": np.ones(shape, np.uint16),
            "noise": rng.integers(0, 200, shape).astype(np.uint16),
        }  # fmt: skip
    if task == "semantic-segmentation":
        classes = np.array([0, *release.settings.classes], np.uint16)
        ignored = release.settings.ignore_label
        known = whole(truth)
        if ignored is not None and ignored not in classes:
            known = np.where(known == ignored, 0, known)  # nothing is asked there
        return {
            "truth": known, "empty": empty, SHIFTED: _shift(known),
            "one class": np.full(shape, classes[1]), "noise": rng.choice(classes, shape),
        }  # fmt: skip
    if task == "points":
        scale = np.array(
            item.spacing if release.settings.unit == "micrometer" else (1.0,) * len(shape)
        )
        size = np.array(shape) * scale
        away = (np.arange(len(truth)) % 2 + 0.5) * release.settings.tolerance
        return {
            "truth": truth, "empty": empty, PART: truth[:1],
            SHIFTED: truth + np.eye(1, len(shape)) * away[:, None], "one point": (size / 2)[None],
            "noise": rng.uniform(0, 1, (max(len(truth), 1), len(shape))) * (size - scale),
        }  # fmt: skip
    if task == "restoration":
        span = release.settings.data_range
        return {
            "truth": truth, "empty": empty, SHIFTED: _shift(truth),
            "constant": np.full(shape, float(truth.mean())), "noise": rng.uniform(0, span, shape),
        }  # fmt: skip
    from ..scoring.task_tracking import Result

    known = Result(truth.masks, truth.tracks, "truth")
    return {"truth": known, "empty": empty}


def values(release: Release, items: list[Item]) -> tuple[dict[str, dict[str, float]], bool]:
    """Metrics of each control over the items of a split, and whether a part is less than the whole.

    Raises
    ------
    Refused
        With what is wrong with the truth of every item, or with a metric of one's own.
    """
    module, settings = task_module(release.task), release.settings
    rows: dict[str, list[dict[str, float]]] = {}
    detections: dict[str, list] = {}
    problems: list[Finding] = []
    several = False
    for item in items:
        truth = module.read_truth(item)
        try:
            for name, pred in predictions(release, item, truth).items():
                if name == PART:
                    several = several or not np.array_equal(pred, whole(truth))
                if coco.wanted(settings):
                    row, seen = module.measure_all(item, truth, pred, settings)
                    detections.setdefault(name, []).append(seen)
                else:
                    row = module.measure(item, truth, pred, settings)
                for custom in settings.custom:
                    row[f"custom:{custom.name}"] = run_custom(release, custom, item, truth, pred)
                rows.setdefault(name, []).append(row)
        except Refused as refused:
            problems += refused.findings
            if any(f.code == "METRIC_FAILED" for f in refused.findings):
                break  # it may take its time with every image
    if problems:
        raise Refused(*problems)
    groups = [item.group for item in items]
    out = {}
    for name, of in rows.items():
        keys = {k for row in of for k in row}
        counts = {k: np.array([row.get(k, math.nan) for row in of], float) for k in keys}
        found = coco.join(detections[name], settings) if name in detections else None
        absent = [False] * len(items)
        per_image = summary.per_image_values(counts, absent, release, found)
        pool = summary.pooling(counts, absent, release)
        out[name] = {
            m: float(summary.of_metric(release, m, pool, per_image, groups, None, found))
            for m in settings.metrics
        }
    return out, several


def check(writer: Writer, tell: Callable[[str, int, int], None]) -> list[Finding]:
    """Score the controls; the released splits' results go into ``controls.json``, the hidden ones'
    stay private. A truth that isn't strictly the best by the primary metric is refused."""
    release = open_release(writer.staging)
    metric = catalog.lookup(release.task, release.settings.primary, release.settings)
    findings, shown, secret = [], {}, {}
    splits = release.splits
    for done, split in enumerate(splits, 1):
        hidden = split in release.hidden
        try:
            items = release.items(split, writer.hidden if hidden else None)
            found, several = values(release, items)
        except Refused as refused:
            # The same truth and metric would fail in the other splits too
            return [*findings, *(_of_truth(f, split) for f in refused.findings)]
        (secret if hidden else shown)[split] = results.clean(found)
        findings += _judged(found, metric, split, several)
        tell("scoring controls", done, len(splits))
    write_json(writer.staging / "controls.json", shown)
    write_json(writer.hidden / "controls.json", secret)
    return list(dict.fromkeys(findings))


def _of_truth(problem: Finding, split: str) -> Finding:
    """What scoring says of a prediction, said of the truth that was scored against itself."""
    mend = problem.mend
    if problem.code == "CLASS_UNKNOWN":
        mend = "list every value of the truth under scoring.classes, or make it the ignore_label"
    return Finding(problem.code, "error", f"in the truth of split {split}: {problem.message}",
                   problem.file or "challenge.yaml", field="scoring", mend=mend)  # fmt: skip


def _judged(
    found: dict[str, dict[str, float]], metric: Any, split: str, several: bool
) -> list[Finding]:
    """Whether the primary metric can rank, by the controls of a split."""
    sign = 1 if metric.higher else -1
    best = found["truth"][metric.name]
    if math.isnan(best):
        return [
            Finding("CONTROL_FAILED", "error",
                    f"the truth of split {split} has no value by {metric.name}", "challenge.yaml",
                    field="scoring.primary", mend="rank by another metric")
        ]  # fmt: skip
    findings = []
    for name, value in found.items():
        other = value[metric.name]
        if (
            name == "truth"
            or (name == PART and not several)
            or math.isnan(other)
            or sign * other < sign * best
        ):
            continue
        if name == PART:
            findings.append(
                Finding("PRIMARY_BLIND", "warning",
                        f"{metric.name} gives one true object of each image, all others missed, "
                        f"{other:.4g} and so as much as the whole truth (split {split}): entries "
                        "that hand in sure objects alone will lead", "challenge.yaml",
                        field="scoring.primary",
                        mend="rank by a metric that counts what is missed (AP, F1, PQ; F for "
                        "points) and list this one under scoring.metrics")
            )  # fmt: skip
            continue
        better = "higher" if metric.higher else "lower"
        mend = (
            f"is it true that {better} is better? Else mend the metric or its corner cases"
            if other != best
            else "mend the metric or its corner cases; images without an object can't rank: has "
            "the split others?"
        )
        findings.append(
            Finding("CONTROL_FAILED", "error",
                    f"{name} scores {other:.4g} by {metric.name} in split {split}, the "
                    f"truth itself {best:.4g}: this metric can't rank", "challenge.yaml",
                    field="scoring", mend=mend)
        )  # fmt: skip
    return findings
