"""Controls of every release: truth must score best; nothing, one object and noise worse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..atomic import write_json
from ..findings import Finding
from ..scoring import catalog, coco, results, run
from ..scoring.release import Item, Release, open_release
from .release import Writer


def predictions(release: Release, item: Item, truth: Any) -> dict[str, Any]:
    """Control predictions of an item; what they are depends on the task."""
    rng = np.random.default_rng(0)
    task, shape = release.task, item.shape
    empty = run.task_module(task).empty_prediction(item)
    if task == "instance-segmentation":
        return {
            "truth": truth, "empty": empty, "one object": np.ones(shape, np.uint16),
            "noise": rng.integers(0, 200, shape).astype(np.uint16),
        }  # fmt: skip
    if task == "semantic-segmentation":
        classes = np.array([0, *release.settings.classes], np.uint16)
        return {
            "truth": truth, "empty": empty, "one class": np.full(shape, classes[1]),
            "noise": rng.choice(classes, shape),
        }  # fmt: skip
    if task == "points":
        scale = np.array(
            item.spacing if release.settings.unit == "micrometer" else (1.0,) * len(shape)
        )
        size = np.array(shape) * scale
        return {
            "truth": truth, "empty": empty, "one point": (size / 2)[None],
            "noise": rng.uniform(0, 1, (max(len(truth), 1), len(shape))) * (size - scale),
        }  # fmt: skip
    if task == "restoration":
        span = release.settings.data_range
        return {
            "truth": truth, "empty": empty, "constant": np.full(shape, float(truth.mean())),
            "noise": rng.uniform(0, span, shape),
        }  # fmt: skip
    from ..scoring.task_tracking import Result

    known = Result(truth.masks, truth.tracks, "truth")
    return {"truth": known, "empty": empty}


def values(release: Release, items: list[Item]) -> dict[str, dict[str, float]]:
    """Metrics of each control over the items of a split."""
    module, settings = run.task_module(release.task), release.settings
    rows: dict[str, list[dict[str, float]]] = {}
    detections: dict[str, list] = {}
    for item in items:
        truth = module.read_truth(item)
        for name, pred in predictions(release, item, truth).items():
            if coco.wanted(settings):
                row, seen = module.measure_all(item, truth, pred, settings)
                detections.setdefault(name, []).append(seen)
            else:
                row = module.measure(item, truth, pred, settings)
            for custom in settings.custom:
                row[f"custom:{custom.name}"] = run.run_custom(release, custom, item, truth, pred)
            rows.setdefault(name, []).append(row)
    groups = [item.group for item in items]
    out = {}
    for name, of in rows.items():
        keys = {k for row in of for k in row}
        counts = {k: np.array([row.get(k, math.nan) for row in of], float) for k in keys}
        found = coco.join(detections[name], settings) if name in detections else None
        absent = [False] * len(items)
        per_image = run.per_image_values(counts, absent, release, found)
        pool = run.pooling(counts, absent, release)
        out[name] = {
            m: float(run.of_metric(release, m, pool, per_image, groups, None, found))
            for m in settings.metrics
        }
    return out


def check(writer: Writer, tell: Callable[[str, int, int], None]) -> list[Finding]:
    """Score the controls; the released splits' results go into ``controls.json``, the hidden ones'
    stay private. A truth that isn't strictly the best by the primary metric is refused."""
    release = open_release(writer.staging)
    metric = catalog.lookup(release.task, release.settings.primary, release.settings)
    sign = 1 if metric.higher else -1
    findings, shown, secret = [], {}, {}
    splits = release.splits
    for done, split in enumerate(splits, 1):
        hidden = split in release.hidden
        found = values(release, release.items(split, writer.hidden if hidden else None))
        (secret if hidden else shown)[split] = results.clean(found)
        best = found["truth"][metric.name]
        for name, value in found.items():
            other = value[metric.name]
            if name != "truth" and not math.isnan(other) and sign * other >= sign * best:
                findings.append(
                    Finding("CONTROL_FAILED", "error",
                            f"{name} scores {other:.4g} by {metric.name} in split {split}, the "
                            f"truth itself {best:.4g}: this metric can't rank", "challenge.yaml",
                            field="scoring", mend="mend the metric or its corner cases")
                )  # fmt: skip
        tell("scoring controls", done, len(splits))
    write_json(writer.staging / "controls.json", shown)
    write_json(writer.hidden / "controls.json", secret)
    return findings
