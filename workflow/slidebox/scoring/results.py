"""What scoring found, and what it writes of it: scores.json, tables, pictures and the report."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

from ..atomic import write_json, write_text
from ..findings import Finding, has_errors
from . import arrays, catalog, coco
from .predictions import Submission
from .release import Item, Release

PICTURES = 48
DETECTIONS = "scores_detections.csv"
Progress = Callable[[str, int, int], None]


@dataclass
class ScoreResult:
    """What scoring found.

    Attributes
    ----------
    findings : problems of the predictions; with an error nothing is scored.
    scores : what scores.json holds, or None.
    rows : one dict an image: id, group, metrics and raw counts.
    detections : of COCO's metrics, what became of each detection.
    out : folder of the results, if one was written.
    """

    findings: list[Finding] = field(default_factory=list)
    scores: dict[str, Any] | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    detections: coco.Detected | None = None
    out: Path | None = None

    @property
    def ok(self) -> bool:
        return not has_errors(self.findings)


def clean(value: Any) -> Any:
    """NaN and infinity as null: they are no JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    return value


def table(rows: list[dict[str, Any]]) -> str:
    """CSV text of rows; nan is an empty cell, whole numbers have no point."""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([_cell(v) for v in row.values()])
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        return int(value) if value.is_integer() and abs(value) < 1 << 53 else repr(value)
    return "" if value is None else value


def write(
    release: Release, items: list[Item], submission: Submission, module: ModuleType,
    result: ScoreResult, out: Path, gone: set[str], tell: Progress, overlays: bool,
) -> None:  # fmt: skip
    from .report import report_html

    out.mkdir(parents=True, exist_ok=True)
    settings = release.settings
    metric = catalog.lookup(release.task, settings.primary, settings)
    order = sorted(
        range(len(items)),
        key=lambda k: (
            -math.inf
            if math.isnan(result.rows[k][settings.primary])
            else (1 if metric.higher else -1) * result.rows[k][settings.primary]
        ),
    )
    pictures: dict[str, str] = {}
    if overlays:
        from .overlays import write_png

        chosen = order[:PICTURES]
        for done, k in enumerate(chosen, 1):
            item = items[k]
            pred = (
                module.empty_prediction(item)
                if item.id in gone
                else module.read(item, submission, settings)
            )
            truth = module.read_truth(item)
            picture = module.picture(item, truth, pred, settings)
            arrays.close(pred)
            arrays.close(truth)
            if picture is not None:
                pictures[item.id] = f"overlays/{item.id}.png"
                write_png(out / pictures[item.id], picture)
            tell("drawing", done, len(chosen))
    scores = clean(result.scores)
    write_json(out / "scores.json", scores)
    write_text(out / "scores_per_image.csv", table(result.rows))
    write_text(out / "scores_per_group.csv", table(result.scores["per_group"]))
    if result.detections is not None:
        rows = coco.rows(result.detections, [item.id for item in items])
        write_text(out / DETECTIONS, table(rows) if rows else "id,score\n")
    write_text(
        out / "report.html",
        report_html(scores, [clean(result.rows[k]) for k in order], pictures, metric),
    )
    result.out = out
