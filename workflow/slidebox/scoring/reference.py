"""Makes docs/reference/metrics.md from the table of metrics, the settings and the docstrings.

python -m slidebox.scoring.reference > docs/reference/metrics.md
"""

from __future__ import annotations

import inspect
import math

from . import boundary, catalog, instances, points, restoration, task_semantic, tracking
from .settings import DEFAULT_METRICS, DEFAULT_PRIMARY, PRESETS, Settings

FUNCTIONS = {
    "instance-segmentation": [
        instances.match, instances.average_precision, instances.f1, instances.panoptic_quality,
        instances.segmentation_quality, instances.seg, instances.splits_and_merges,
        instances.foreground_dice, instances.variation_of_information,
        instances.adapted_rand_error, boundary.hausdorff95, boundary.average_surface_distance,
    ],
    "semantic-segmentation": [task_semantic.dice, task_semantic.iou],
    "tracking": [
        tracking.graph_errors, tracking.det, tracking.lnk, tracking.tra,
        tracking.complete_tracks, tracking.track_fractions, tracking.division_counts,
        tracking.cell_cycle_accuracy, tracking.mean_of_defined,
    ],
    "points": [points.match, points.f_beta, points.jaccard, points.rmse],
    "restoration": [restoration.psnr, restoration.ssim, restoration.ms_ssim, restoration.si_psnr],
}  # fmt: skip

DISAGREEMENTS = """\
| case | others | Slidebox |
|---|---|---|
| both sides empty | StarDist 0, Cellpose nan | `both_empty`: one (default), zero or skip |
| IoU exactly at the threshold | a match everywhere | a match |
| IoU 7/10 at a threshold from `arange` (0.7000000000000002) | Cellpose misses it, StarDist's \
float32 lets it in | thresholds are rational numbers, compared in integers: a match |
| no background pixel at all | Cellpose: fp = -1 | counted like any other image |
| the best pair is not the best assignment (below 1/2) | panoptica is greedy | the assignment with \
the most matches, then the largest IoU |
| shapes differ | Cellpose scores silently | refused; exchanged axes are named |
| negative or floating-point labels | errors of many kinds | refused, with file and mend |
| one id in several pieces | one object | `pieces`: one (default), split or refuse |
| more than 100 objects | pycocotools drops them (AP 0.05 for a perfect result) | all count |
| all-background prediction against objects | scikit-image's ARE: 0, perfect | judged like any \
other partition |
| masks with label 40000 | py-ctcmetrics overflows: all 0 | counted |
| empty result, empty reference frame | py-ctcmetrics and traccuracy raise | the worst value; \
counted as empty |
| a track past the last frame, an unknown parent | valid, or AssertionError | refused, with line |
| TF when one result track follows two references | depends on the order of labels | every \
reference counts |
| N annotated slices of one 3D frame | py-ctcmetrics counts the frame N times | one volume, an \
object counts once |
| points near several references | greedy or double hits | optimal one-to-one assignment |
| data range of PSNR and SSIM | often read from the data | pinned in challenge.yaml |
| a perfect restoration | infinite PSNR | 100 dB |
| StarDist's sums of IoU | float32 | float64: PQ differs by some 1e-8 |
"""


def bound(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else "unbounded"


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
    out += ["", "## Where implementations disagree", "", DISAGREEMENTS]
    return "\n".join(out).rstrip() + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
