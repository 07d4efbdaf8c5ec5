"""Makes docs/reference/metrics.md from the table of metrics, the settings and the docstrings.

python -m slidebox.scoring.reference > docs/reference/metrics.md
"""

from __future__ import annotations

import inspect
import math

from . import (
    boundary,
    catalog,
    coco,
    disagreements,
    instances,
    masks,
    points,
    restoration,
    task_semantic,
    tracking,
)
from .settings import DEFAULT_METRICS, DEFAULT_PRIMARY, PRESETS, Settings

FUNCTIONS = {
    "instance-segmentation": [
        instances.match, instances.average_precision, instances.f1, instances.panoptic_quality,
        instances.segmentation_quality, instances.seg, instances.splits_and_merges,
        instances.foreground_dice, instances.count_error, instances.variation_of_information,
        instances.adapted_rand_error, instances.cremi_score, boundary.hausdorff95,
        boundary.average_surface_distance,
        coco.judge, coco.precision_recall, masks.fill_polygon,
    ],
    "semantic-segmentation": [task_semantic.dice, task_semantic.iou],
    "tracking": [
        instances.seg, tracking.graph_errors, tracking.det, tracking.lnk, tracking.tra,
        tracking.complete_tracks, tracking.track_fractions, tracking.division_counts,
        tracking.f1_of_counts, tracking.cell_cycle_accuracy, tracking.mean_of_defined,
        tracking.overall,
    ],
    "points": [
        points.match, points.f_beta, points.precision, points.recall, points.jaccard, points.rmse,
        instances.count_error,
    ],
    "restoration": [restoration.psnr, restoration.ssim, restoration.ms_ssim, restoration.si_psnr],
}  # fmt: skip


def bound(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else "unbounded"


COST = (
    "## Cost", "",
    "`python benchmarks/scoring/run.py --references` of 2026-11-22 on two very busy cores: CPU",
    "seconds (median of 3; where slow, one run) and peak memory. Compare the",
    "columns, not the seconds.", "",
    "| case | Slidebox | others |",
    "|---|---|---|",
    "| 2048 x 2048, 2,025 objects, 10 thresholds | 0.03 s, 119 MB | StarDist 3.3 s, 348 MB; "
    "Cellpose 1.2 s, 304 MB; panoptica, one threshold, 6.9 s, 408 MB; scikit-image, VOI and ARE, "
    "0.33 s, 213 MB |",
    "| 128 x 512 x 512, 1,008 objects, 10 thresholds | 0.17 s, 296 MB | StarDist 10.6 s, 527 MB; "
    "Cellpose 3.4 s, 1,580 MB; panoptica, one threshold, 11.1 s, 1,125 MB; scikit-image, VOI and "
    "ARE, 4.0 s, 1,387 MB |",
    "| 100 frames of 1024 x 1024, 221 cells at the end, all tracking metrics | 0.69 s, 62 MB | "
    "reading the files alone 0.61 s; py-ctcmetrics 96 s, 240 MB; traccuracy, DET, TRA and LNK, "
    "22 s, 757 MB |",
    "",
    "`python benchmarks/scoring/scaling.py`: 0.008, 0.009 and 0.014 CPU seconds a megapixel at 1,",
    "4 and 17 megapixels; a pair of volumes of 1 GB each slab by slab with a peak of 590 MB;",
    "twelve images of 4 megapixels 1.6 times as fast with two threads.", "",
)  # fmt: skip


def markdown() -> str:
    """The page."""
    out = [
        "# Metrics", "",
        "Made from the code by `python -m slidebox.scoring.reference`; a test holds them together.",
        "Metrics are chosen by name in `challenge.yaml` under `scoring.metrics`; `scoring.primary`",
        "ranks.", "",
    ]  # fmt: skip
    for task, functions in FUNCTIONS.items():
        out += [f"## {task}", "",
                f"Ranks by default: {DEFAULT_PRIMARY[task]}. Computed by default: "
                f"{', '.join(DEFAULT_METRICS[task])}.", "",
                "| metric | what | worst | best | unit |", "|---|---|---|---|---|"]  # fmt: skip
        for (of, name), m in catalog.METRICS.items():
            if of == task:
                out.append(f"| {name} | {m.what.replace('|', chr(92) + '|')} | {bound(m.worst)} | "
                           f"{bound(m.best)} | {m.unit} |")  # fmt: skip
        out.append("")
        for function in functions:
            name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
            out += [f"### `{name}`", "", "```text", inspect.getdoc(function), "```", ""]
    out += ["## Corner cases", "", "Keys of `scoring` in challenge.yaml:", "",
            "| key | default | what |", "|---|---|---|"]  # fmt: skip
    for name, field in Settings.model_fields.items():
        if name in ("metrics", "primary", "custom", "bootstrap", "preset"):
            continue
        default = field.get_default(call_default_factory=True)
        shown = ", ".join(default) if isinstance(default, list) else default
        out.append(f"| `{name}` | {shown} | {field.description} |")
    out += ["", "A missing prediction has the worst value of a bounded metric; where there is no",
            "worst value it is scored as an empty prediction.", "", "Presets:", ""]  # fmt: skip
    out += [f"- `{name}`: {', '.join(f'{k} {v}' for k, v in values.items())}"
            for name, values in PRESETS.items()]  # fmt: skip
    out += [
        "", "## Where implementations disagree", "",
        "Each row is reproduced in `tests/scoring/judges_rows.py`: with the packages themselves,",
        "or by the rule in words where the row says so.", "", disagreements.markdown(), *COST,
    ]  # fmt: skip
    return "\n".join(out).rstrip() + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
