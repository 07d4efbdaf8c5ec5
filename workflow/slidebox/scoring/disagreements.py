"""Cases on which well-known implementations disagree, and what is decided here.

Each row is reproduced with the packages themselves by ``tests/scoring/judges_rows.py``.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A case, what others make of it and what Slidebox does; `key` names its test."""

    key: str
    case: str
    others: str
    ours: str


ROWS = (
    Row("both_empty", "both sides empty", "StarDist 0, Cellpose nan, spotiflow F1 = 1",
        "`both_empty`: one (default), zero or skip"),
    Row("iou_half", "IoU exactly 1/2 at threshold 0.5", "a match: StarDist, Cellpose, panoptica",
        "a match"),
    Row("seven_tenths", "IoU 7/10 at `np.arange`'s 0.7000000000000002",
        "StarDist (float32) a match, Cellpose and panoptica none",
        "thresholds are rational numbers, compared in integers: a match"),
    Row("no_background", "perfect, no background pixel at all", "Cellpose: AP infinite, fp = -1",
        "1, like any other image"),
    Row("greedy", "the best pair is not in the best assignment, threshold 1/4",
        "StarDist and Cellpose 2 matches, panoptica's greedy matching 1",
        "the assignment with the most matches, then the largest IoU: 2"),
    Row("transposed", "shape (8, 16) against (16, 8)", "StarDist ValueError, Cellpose scores it",
        "refused; exchanged axes are named"),
    Row("negative", "a negative label", "StarDist and Cellpose ValueError",
        "refused, with file and mend"),
    Row("pieces", "one id in two pieces", "one object everywhere",
        "`pieces`: one (default), split or refuse"),
    Row("sums_of_iou", "sums of IoU", "StarDist adds in float32: PQ off by some 1e-8", "float64"),
    Row("many_objects", "a perfect result of 2,025 objects", "pycocotools keeps 100: AP 0.0495",
        "all count; `max_detections: 100` brings the limit back"),
    Row("first_id", "COCO annotation with the id 0",
        "pycocotools never counts its match: AP 0 for a perfect result", "ids don't matter"),
    Row("all_background", "all background against one object",
        "scikit-image's ARE with its defaults: 0, perfect",
        "1, the worst: it has put nothing together; VOI split likewise"),
    Row("empty_reference", "ARE of an empty reference, background ignored", "scikit-image nan",
        "0: there is nothing to be wrong about"),
    Row("no_pairs", "ARE where no two pixels belong together on either side (single pixels)",
        "scikit-image nan", "0: there is nothing to be wrong about"),
    Row("label_40000", "identical uint16 masks with the label 40000",
        "py-ctcmetrics overflows: all 0, and Valid; traccuracy 1", "1"),
    Row("no_background_tracking", "identical masks without background",
        "py-ctcmetrics: not valid; traccuracy 1", "1"),
    Row("empty_result", "an empty tracking result", "py-ctcmetrics and traccuracy raise",
        "the worst value"),
    Row("empty_frame", "a reference frame without objects",
        "py-ctcmetrics raises; traccuracy as here", "a frame like any other"),
    Row("past_the_end", "a track past the last frame", "py-ctcmetrics: valid; traccuracy raises",
        "refused, with the line"),
    Row("transposed_mask", "a transposed mask", "py-ctcmetrics scores it; traccuracy raises",
        "refused; exchanged axes are named"),
    Row("unknown_parent", "an unknown parent", "py-ctcmetrics: AssertionError; traccuracy raises",
        "refused, with the line"),
    Row("tf_order", "TF when one result track follows two references",
        "py-ctcmetrics: depends on the order of labels", "every reference counts"),
    Row("three_merged", "a result object that three references lie in",
        "traccuracy: one NS error; py-ctcmetrics two",
        "two: as many splits as turn it into three (Matula et al. 2015)"),
    Row("only_child", "a parent link to an only child against a step along one track",
        "traccuracy takes a link for a parent's only where there are two children: LNK 1; "
        "py-ctcmetrics EC = 1", "EC = 1: the kind is that of the track file"),
    Row("slices", "N annotated slices of one 3D frame", "py-ctcmetrics counts an object N times",
        "one volume: an object counts once"),
    Row("order_of_points", "points in another order",
        "grand-challenge-metrics 0.6.0 matches greedily in the reference's order (the test has its "
        "rule): TP 2 or 1", "the best assignment: 2 in any order"),
    Row("one_for_several", "one candidate near two reference points",
        "counted for both in the CZII challenge's metric (its rule, not its code): TP 2",
        "one to one: 1"),
    Row("one_voxel", "objects that share one voxel",
        "a match by CellMap's rule (the rule, not its code)",
        "matched by IoU alone: none; too many objects are refused by name, not left out"),
    Row("epsilon", "no point is matched", "spotiflow adds 1e-8: F1 is not 0", "0"),
    Row("directed", "HD95 of two surfaces",
        "surface-distance: the larger of the two directed ones, surfaces weighted; MedPy as here",
        "one percentile over the distances of both directions"),
    Row("ms_ssim", "MS-SSIM's halving", "sewar averages pixels -1 and 0, not 0 and 1",
        "2 x 2 means, as in the paper; a last odd row or column is left out"),
    Row("perfect_psnr", "a perfect restoration", "scikit-image: infinite PSNR", "100 dB"),
    Row("data_range", "intensities that don't fill their type",
        "sewar takes the range of the type, unless told", "pinned in challenge.yaml"),
)  # fmt: skip


def markdown() -> str:
    """The table of the page of metrics."""
    lines = ["| case | others | Slidebox |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {r.case} | {r.others} | {r.ours} |" for r in ROWS)]) + "\n"
