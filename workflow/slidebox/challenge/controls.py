"""Controls of every release: truth must score best; nothing, one object and noise worse.

A part of the truth, or the truth and more, shows what a metric is blind to: one that looks at
matches alone gives a method that finds one easy object as much as one that finds all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..atomic import write_json
from ..findings import Finding
from ..scoring import catalog, coco, results, summary
from ..scoring.custom import OwnMetrics
from ..scoring.opening import open_release
from ..scoring.predictions import Refused
from ..scoring.release import Item, Release
from ..scoring.tasks import task_module
from . import contrived
from .writer import Writer

# Metrics that no contrived prediction deceives
SEEING = {
    "instance-segmentation": "AP, F1, PQ", "semantic-segmentation": "Dice or IoU of all classes",
    "tracking": "TRA, OP_CTB", "points": "F, Jaccard", "restoration": "PSNR, SSIM",
}  # fmt: skip
NEAR = 1e-9  # sums in another order


def values(
    release: Release, items: list[Item]
) -> tuple[dict[str, dict[str, float]], set[str], bool]:
    """Metrics of each control over the items of a split, which of `contrived.BLIND` aren't just the
    truth, and whether there is any object.

    Raises
    ------
    Refused
        With what is wrong with the truth of every item, or with a metric of one's own.
    """
    module, settings = task_module(release.task), release.settings
    rows: dict[str, list[dict[str, float]]] = {}
    detections: dict[str, list] = {}
    problems: list[Finding] = []
    telling: set[str] = set()
    objects = False
    with OwnMetrics(release) as own:
        for item in items:
            truth, known = module.read_truth(item), None
            objects = objects or contrived.has_objects(truth)
            try:
                for name, pred in _each(release, item, truth):
                    known = pred if name == "truth" else known
                    if name in contrived.BLIND and contrived.differs(pred, known):
                        telling.add(name)
                    if coco.wanted(settings):
                        row, seen = module.measure_all(item, truth, pred, settings)
                        detections.setdefault(name, []).append(seen)
                    else:
                        row = module.measure(item, truth, pred, settings)
                    row |= own.measure(item, truth, pred)
                    rows.setdefault(name, []).append(row)
                    del pred  # before the next one is made
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
    return out, telling, objects


def _each(release: Release, item: Item, truth: Any) -> Iterator[contrived.Made]:
    """Name and prediction of each control, the truth first."""
    with TemporaryDirectory(prefix="slidebox-controls-") as scratch:
        yield from contrived.predictions(release, item, truth, Path(scratch))


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
            found, telling, objects = values(release, items)
        except Refused as refused:
            # The same truth and metric would fail in the other splits too
            return [*findings, *(_of_truth(f, split) for f in refused.findings)]
        (secret if hidden else shown)[split] = results.clean(found)
        findings += _judged(found, metric, split, telling) if objects else [_bare(split)]
        findings += _worse(found, release, split)
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


def _bare(split: str) -> Finding:
    return Finding(
        "CONTROL_FAILED", "error", f"the truth of split {split} has no object in any image: "
        "nothing can be told apart", "challenge.yaml", field="splits",
        mend="look at the annotations, or divide the images otherwise",
    )  # fmt: skip


def _judged(
    found: dict[str, dict[str, float]], metric: catalog.Metric, split: str, telling: set[str]
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
    findings, blind = [], []
    for name, value in found.items():
        other = value[metric.name]
        if name == "truth" or math.isnan(other) or sign * other < sign * best:
            continue
        if name == contrived.SHIFTED and other == best:
            continue  # large objects that were moved a little are still found
        if name in contrived.BLIND:
            if name in telling:
                blind.append(name)
            continue
        better = "higher" if metric.higher else "lower"
        hint = f"is it true that {better} is better? Else " if other != best else ""
        findings.append(
            Finding("CONTROL_FAILED", "error",
                    f"{name} scores {other:.4g} by {metric.name} in split {split}, the "
                    f"truth itself {best:.4g}: this metric can't rank", "challenge.yaml",
                    field="scoring", mend=f"{hint}mend the metric or its corner cases")
        )  # fmt: skip
    if blind:
        told = "; ".join(f"{name} ({contrived.BLIND[name]} will lead)" for name in blind)
        findings.append(
            Finding("PRIMARY_BLIND", "warning",
                    f"{metric.name} gives no less than the whole truth has ({best:.4g}, split "
                    f"{split}) to: {told}", "challenge.yaml", field="scoring.primary",
                    mend=f"rank by a metric that sees it ({SEEING[metric.task]}) and list this one "
                    "under scoring.metrics")
        )  # fmt: skip
    return findings


def _worse(found: dict[str, dict[str, float]], release: Release, split: str) -> list[Finding]:
    """Metrics besides the primary one by which a control is better than the truth."""
    findings = []
    for metric in release.settings.metrics:
        if metric == release.settings.primary:
            continue
        sign = 1 if catalog.lookup(release.task, metric, release.settings).higher else -1
        best = found["truth"][metric]
        better = [
            f"{name} {value[metric]:.4g}" for name, value in found.items()
            if sign * (value[metric] - best) > NEAR
        ]  # fmt: skip
        if better:
            findings.append(
                Finding("CONTROL_FAILED", "warning",
                        f"by {metric} the truth of split {split} scores {best:.4g}, and better: "
                        + ", ".join(better), "challenge.yaml", field="scoring.metrics",
                        mend="is its direction right?")
            )  # fmt: skip
    return findings
