"""The rows of the table of disagreements, found anew with the packages they are about.

Each function gives what the others say and what we say, as text; `test_judges.py` holds them to
what is expected there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tifffile
from judges import (
    cellpose,
    our_tracking,
    py_ctcmetrics,
    quiet,
    said,
    spotiflow,
    traccuracy,
)
from releases import write_tracking

from slidebox.scoring import boundary, coco, points, restoration
from slidebox.scoring import instances as m
from slidebox.scoring import task_instances as ti
from slidebox.scoring.overlap import overlap
from slidebox.scoring.predictions import check_labels, check_shape
from slidebox.scoring.release import Item
from slidebox.scoring.settings import Settings, exact

Found = dict[str, object]


def stardist(truth, pred, level):
    from stardist.matching import matching

    return matching(truth, pred, thresh=level)


def cell_ap(truth, pred, level):
    with quiet(), np.errstate(all="ignore"):
        ap, tp, fp, _ = cellpose().average_precision(truth, pred, [level])
    return float(ap[0]), int(tp[0]), int(fp[0])


def panoptica_tp(truth, pred, level=0.5) -> int:
    from panoptica import InputType, NaiveThresholdMatching, Panoptica_Evaluator

    with quiet():
        evaluator = Panoptica_Evaluator(
            InputType.UNMATCHED_INSTANCE, verbose=False, log_times=False,
            instance_matcher=NaiveThresholdMatching(matching_threshold=level),
        )  # fmt: skip
        return int(evaluator.evaluate(pred, truth)["ungrouped"].tp)


def ours(truth, pred, level) -> m.Matching:
    return m.match(overlap(truth, pred).objects(), exact(level))


def line(*pairs: tuple[int, int]) -> np.ndarray:
    """A one-row image of runs: (label, pixels)."""
    return np.concatenate([np.full(n, label, np.uint16) for label, n in pairs])[None]


def item(shape, axes="yx") -> Item:
    return Item("a", "t", "g", Path("."), None, axes, shape)


def both_empty() -> Found:
    zero = np.zeros((4, 4), np.uint16)
    with np.errstate(all="ignore"):
        return {
            "stardist": float(stardist(zero, zero, 0.5).accuracy),
            "cellpose": str(cell_ap(zero, zero, 0.5)[0]),
            "spotiflow": spotiflow().points_matching(np.zeros((0, 2)), np.zeros((0, 2))).f1,
            "ours": [m.average_precision(0, 0, 0, empty) for empty in (1.0, 0.0)],
        }


def iou_half() -> Found:
    truth, pred = line((0, 3), (1, 10)), line((0, 8), (1, 5))
    return {
        "stardist": stardist(truth, pred, 0.5).tp, "cellpose": cell_ap(truth, pred, 0.5)[1],
        "panoptica": panoptica_tp(truth, pred), "ours": ours(truth, pred, "0.5").tp,
    }  # fmt: skip


def seven_tenths() -> Found:
    truth, pred = line((0, 3), (1, 10)), line((0, 6), (1, 7))
    level = float(np.arange(0.5, 1, 0.05)[4])
    return {
        "level": level, "stardist": stardist(truth, pred, level).tp,
        "cellpose": cell_ap(truth, pred, level)[1],
        "panoptica": panoptica_tp(truth, pred, level), "ours": ours(truth, pred, "0.7").tp,
    }  # fmt: skip


def no_background() -> Found:
    image = line((1, 5), (2, 5))
    ap, _, fp = cell_ap(image, image, 0.5)
    found = ours(image, image, "0.5")
    return {
        "cellpose": [str(ap), fp],
        "ours": m.average_precision(found.tp, found.fp, found.fn),
    }


def greedy() -> Found:
    # Object 1 overlaps prediction 1 best, but object 2 has no other
    truth, pred = line((1, 10), (2, 6), (0, 2)), line((2, 4), (1, 6), (1, 3), (0, 5))
    return {
        "stardist": stardist(truth, pred, 0.25).tp, "cellpose": cell_ap(truth, pred, 0.25)[1],
        "panoptica": panoptica_tp(truth, pred, 0.25), "ours": ours(truth, pred, "0.25").tp,
    }  # fmt: skip


def transposed() -> Found:
    image = np.zeros((8, 16), np.uint16)
    image[2:5, 3:9] = 1
    return {
        "stardist": said(lambda: stardist(image, image.T, 0.5)),
        "cellpose": said(lambda: cell_ap(image, image.T, 0.5)[1]),
        "ours": said(lambda: check_shape((16, 8), item((8, 16)), "a.tif")),
    }


def negative() -> Found:
    image = np.array([[0, 1, 1]], np.int32)
    return {
        "stardist": said(lambda: stardist(image, -image, 0.5)),
        "cellpose": said(lambda: cell_ap(image, -image, 0.5)),
        "ours": said(lambda: check_labels(-image, item((1, 3)), "a.tif", 9)),
    }


def pieces() -> Found:
    truth = line((1, 5), (0, 3), (1, 5))
    return {
        "stardist": stardist(truth, truth, 0.5).n_true, "cellpose": cell_ap(truth, truth, 0.5)[1],
        "panoptica": panoptica_tp(truth, truth), "ours": ours(truth, truth, "0.5").tp,
        "split": int(ti.split_pieces(truth).max()),
    }  # fmt: skip


def sums_of_iou() -> Found:
    truth = line(*((k, 7) for k in range(1, 40)))
    pred = truth.copy()
    pred[:, ::7] = 0
    found = ours(truth, pred, "0.5")
    right = m.panoptic_quality(found.iou.sum(), found.tp, found.fp, found.fn)
    off = abs(float(stardist(truth, pred, 0.5).panoptic_quality) - 6 / 7)
    return {"stardist": 1e-12 < off < 1e-6, "ours": abs(right - 6 / 7) < 1e-14}


def coco_eval(true: list[dict], found: list[dict], size, most) -> float:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with quiet():
        reference = COCO()
        reference.dataset = {
            "images": [{"id": 1, "height": size[0], "width": size[1]}], "annotations": true,
            "categories": [{"id": 1, "name": "object"}], "info": {},
        }  # fmt: skip
        reference.createIndex()
        judge = COCOeval(reference, reference.loadRes(found), "segm")
        judge.params.maxDets = [1, 10, most]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, 0, 0, 2]
    return round(float(precision.mean()), 4)


def coco_objects(labels: np.ndarray, first: int) -> tuple[list[dict], list[dict]]:
    from pycocotools import mask

    true, found = [], []
    for k, label in enumerate(np.unique(labels[labels > 0]).tolist()):
        runs = mask.encode(np.asfortranarray((labels == label).astype(np.uint8)))
        about = {"image_id": 1, "category_id": 1, "segmentation": runs}
        area = int((labels == label).sum())
        true.append(about | {"id": k + first, "iscrowd": 0, "area": area, "bbox": [0, 0, 1, 1]})
        found.append(about | {"score": 0.9})
    return true, found


def our_coco(labels: np.ndarray, **more) -> float:
    settings = Settings(preset="coco", **more).resolved("instance-segmentation")
    row, seen = ti.measure_all(item(labels.shape), labels, labels, settings)
    counts = {k: np.array([v], float) for k, v in row.items()}
    return round(coco.value("COCO_AP", coco.join([seen], settings), counts, settings), 4)


def many_objects() -> Found:
    labels = np.kron(np.arange(1, 2026).reshape(45, 45), np.ones((2, 2))).astype(np.uint16)
    true, found = coco_objects(labels, 1)
    return {
        "pycocotools": coco_eval(true, found, labels.shape, 100), "ours": our_coco(labels),
        "limited": our_coco(labels, max_detections=100),
    }  # fmt: skip


def first_id() -> Found:
    labels = line((1, 50), (0, 50))
    true, found = coco_objects(labels, 0)
    return {"pycocotools": coco_eval(true, found, labels.shape, 100), "ours": our_coco(labels)}


def all_background() -> Found:
    from skimage.metrics import adapted_rand_error

    truth, pred = line((0, 8), (1, 8)), line((0, 16))
    table = overlap(truth, pred)
    return {
        "skimage": round(float(adapted_rand_error(truth, pred)[0]), 6),
        "ours": [m.adapted_rand_error(table, (0,)), m.variation_of_information(table, (0,))[0]],
    }


def empty_reference() -> Found:
    from skimage.metrics import adapted_rand_error

    truth, pred = line((0, 16)), line((0, 8), (1, 8))
    with np.errstate(all="ignore"):
        theirs = str(float(adapted_rand_error(truth, pred, ignore_labels=(0,))[0]))
    return {"skimage": theirs, "ours": m.adapted_rand_error(overlap(truth, pred), (0,))}


def sequence(masks, tracks, found=None, rows=None, seg=None) -> Found:
    """What both trackers and we say of a sequence; the result is the reference unless given."""
    masks = np.asarray(masks, np.uint16)
    found = masks if found is None else found
    with tempfile.TemporaryDirectory() as folder:
        truth, result = Path(folder, "01_GT"), Path(folder, "01_RES")
        write_tracking(truth / "TRA", masks, tracks, "man_track")
        if seg is None:
            write_tracking(truth / "SEG", masks, None, "man_seg")
        for name, plane in (seg or {}).items():
            (truth / "SEG").mkdir(exist_ok=True)
            tifffile.imwrite(truth / "SEG" / name, plane, metadata=None)
        write_tracking(result, found, tracks if rows is None else rows, "mask")
        return {
            "py-ctcmetrics": said(lambda: pick(py_ctcmetrics(result, truth))),
            "traccuracy": said(lambda: pick(traccuracy(result, truth))),
            "ours": said(lambda: pick(our_tracking(result, truth, masks.shape))),
        }


def pick(found: dict) -> str:
    names = ("Valid", "SEG", "DET", "TRA", "TF", "LNK")
    return " ".join(f"{n}={round(float(found[n]), 4):g}" for n in names if found.get(n) is not None)


def pair() -> tuple[np.ndarray, list]:
    masks = np.zeros((2, 12, 16), np.uint16)
    masks[:, 2:6, 2:6], masks[:, 7:11, 9:14] = 1, 2
    return masks, [(1, 0, 1, 0), (2, 0, 1, 0)]


def no_pairs() -> Found:
    from skimage.metrics import adapted_rand_error

    truth = np.array([[1, 2, 3]], np.uint16)
    with np.errstate(all="ignore"):
        theirs = adapted_rand_error(truth, truth, ignore_labels=(0,))[0]
    return {
        "skimage": str(float(theirs)),
        "ours": m.adapted_rand_error(overlap(truth, truth), (0,)),
    }


def label_40000() -> Found:
    masks, _ = pair()
    masks[masks > 0] += 40000
    return sequence(masks, [(40001, 0, 1, 0), (40002, 0, 1, 0)])


def no_background_tracking() -> Found:
    masks = np.ones((2, 6, 6), np.uint16)
    masks[:, :, 3:] = 2
    return sequence(masks, [(1, 0, 1, 0), (2, 0, 1, 0)])


def empty_result() -> Found:
    masks, tracks = pair()
    return sequence(masks, tracks, np.zeros_like(masks), [])


def empty_frame() -> Found:
    masks, _ = pair()
    masks[1] = 0
    return sequence(masks, [(1, 0, 0, 0), (2, 0, 0, 0)])


def past_the_end() -> Found:
    masks, tracks = pair()
    return sequence(masks, tracks, rows=[(1, 0, 5, 0), (2, 0, 1, 0)])


def transposed_mask() -> Found:
    masks, tracks = pair()
    return sequence(masks, tracks, masks.transpose(0, 2, 1), tracks)


def unknown_parent() -> Found:
    masks, tracks = pair()
    return sequence(masks, tracks, rows=[(1, 0, 1, 0), (2, 0, 1, 9)])


def tf_order() -> Found:
    """A result track follows reference 1 whole and two thirds of reference 2; then they swap
    labels."""
    masks = np.zeros((4, 12, 16), np.uint16)
    masks[0, 2:6, 2:6], masks[1:, 2:6, 2:6] = 1, 2
    found = np.where(masks > 0, 5, 0).astype(np.uint16)
    found[3][found[3] > 0] = 6
    rows = [(5, 0, 2, 0), (6, 3, 3, 0)]
    one = sequence(masks, [(1, 0, 0, 0), (2, 1, 3, 0)], found, rows)
    swapped = np.where(masks > 0, 3 - masks, 0)
    two = sequence(swapped, [(1, 1, 3, 0), (2, 0, 0, 0)], found, rows)
    return {who: [tf(one[who]), tf(two[who])] for who in ("py-ctcmetrics", "ours")}


def tf(text: str) -> str:
    return text.rpartition("TF=")[2].partition(" ")[0]


def three_merged() -> Found:
    """One result object under three references."""
    masks = np.zeros((2, 12, 16), np.uint16)
    for label, x in ((1, 1), (2, 6), (3, 11)):
        masks[:, 3:8, x : x + 5] = label
    return sequence(masks, [(k, 0, 1, 0) for k in (1, 2, 3)],
                    (masks > 0).astype(np.uint16), [(1, 0, 1, 0)])  # fmt: skip


def only_child() -> Found:
    """A parent with one child, which the result follows as one track."""
    masks = np.zeros((2, 12, 16), np.uint16)
    masks[0, 2:6, 2:6], masks[1, 2:6, 2:6] = 1, 2
    return sequence(masks, [(1, 0, 0, 0), (2, 1, 1, 1)], (masks > 0).astype(np.uint16),
                    [(1, 0, 1, 0)])  # fmt: skip


def slices() -> Found:
    masks = np.zeros((2, 3, 8, 8), np.uint16)
    masks[:, :, 1:4, 1:4] = 1
    masks[:, 0, 5:7, 5:7] = 2
    found = masks.copy()
    found[0, :, 3] = 0
    seg = {f"man_seg_000_{z:03d}.tif": masks[0, z] for z in range(3)}
    seg["man_seg_001_000.tif"] = masks[1, 0]
    rows = [(1, 0, 1, 0), (2, 0, 1, 0)]
    return sequence(masks, rows, found, rows, seg)


def greedy_points(truth: np.ndarray, pred: np.ndarray, cutoff: float) -> int:
    """Greedy matching in the order of the reference, as grand-challenge-metrics describes it."""
    free, hits = list(range(len(pred))), 0
    for point in truth:
        near = [(float(np.linalg.norm(pred[k] - point)), k) for k in free]
        near = [n for n in near if n[0] <= cutoff]
        if near:
            free.remove(min(near)[1])
            hits += 1
    return hits


def order_of_points() -> Found:
    truth, pred = np.array([[0.0, 2.0], [0.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 3.5]])
    turned = truth[::-1]
    return {
        "greedy": [greedy_points(t, pred, 1.6) for t in (turned, truth)],
        "ours": [int(points.match(t, pred, 1.6)[0].size) for t in (turned, truth)],
    }


def one_for_several() -> Found:
    """Every reference with a candidate near is found, whoever else has that candidate (CZII)."""
    truth, pred = np.array([[0.0, 0.0], [0.0, 2.0]]), np.array([[0.0, 1.0]])
    near = np.linalg.norm(truth[:, None] - pred[None], axis=2) <= 1.5
    return {"formula": int(near.any(1).sum()), "ours": int(points.match(truth, pred, 1.5)[0].size)}


def one_voxel() -> Found:
    """An overlap of one voxel as a match, as CellMap counts it."""
    truth, pred = line((1, 10), (0, 9)), line((0, 9), (1, 10))
    touching = int(np.count_nonzero((truth > 0) & (pred > 0)))
    return {"formula": int(touching > 0), "ours": ours(truth, pred, "0.5").tp}


def epsilon() -> Found:
    a, b = np.array([[0.0, 0.0]]), np.array([[9.0, 9.0]])
    return {
        "spotiflow": bool(spotiflow().points_matching(a, b, cutoff_distance=2).f1 > 0),
        "ours": float(points.f_beta(0, 1, 1, 1.0)),
    }


def directed() -> Found:
    import surface_distance
    from medpy.metric import binary

    a, b = np.zeros((30, 30), bool), np.zeros((30, 30), bool)
    a[5:15, 5:15] = True
    b[5:15, 5:15] = b[8:12, 15:24] = True
    distances = boundary.surface_distances(a, b, (1.0, 1.0))
    with quiet():
        theirs = surface_distance.compute_surface_distances(a, b, (1.0, 1.0))
        robust = surface_distance.compute_robust_hausdorff(theirs, 95)
    mine = boundary.hausdorff95(distances)
    return {
        "medpy": abs(binary.hd95(b, a) - mine) < 1e-12, "surface-distance": bool(robust > mine),
    }  # fmt: skip


def blocks_ms_ssim(a: np.ndarray, b: np.ndarray, reach: float) -> float:
    """MS-SSIM written from the paper with plain loops over windows of 11 x 11."""
    from scipy.signal import convolve2d

    ramp = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(ramp, ramp) / ramp.sum() ** 2
    value = 1.0
    for k, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):

        def mean(x: np.ndarray) -> np.ndarray:
            return convolve2d(x, window, mode="valid")

        ma, mb = mean(a), mean(b)
        va, vb, ab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
        contrast = (2 * ab + (0.03 * reach) ** 2) / (va + vb + (0.03 * reach) ** 2)
        light = (2 * ma * mb + (0.01 * reach) ** 2) / (ma**2 + mb**2 + (0.01 * reach) ** 2)
        value *= float((light * contrast if k == 4 else contrast).mean()) ** weight
        a, b = ((x[0::2, 0::2] + x[1::2, 0::2] + x[0::2, 1::2] + x[1::2, 1::2]) / 4 for x in (a, b))
    return value


def ms_ssim() -> Found:
    from sewar.full_ref import msssim

    rng = np.random.default_rng(0)
    a = np.kron(rng.uniform(0, 255, (32, 32)), np.ones((6, 6)))
    b = np.clip(a + rng.normal(0, 20, a.shape), 0, 255)
    mine = restoration.ms_ssim(a, b, 255.0)
    return {
        "sewar": abs(float(np.real(msssim(a, b, MAX=255))) - mine) > 1e-4,
        "ours": abs(blocks_ms_ssim(a, b, 255.0) - mine) < 1e-12,
    }


def perfect_psnr() -> Found:
    from skimage.metrics import peak_signal_noise_ratio

    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    with np.errstate(all="ignore"):
        theirs = str(float(peak_signal_noise_ratio(image, image)))
    return {"skimage": theirs, "ours": restoration.psnr(image, image, 255.0)}


def data_range() -> Found:
    from sewar.full_ref import psnr

    a = np.arange(64, dtype=np.uint16).reshape(8, 8)
    taken = float(psnr(a, a + np.uint16(1)))
    return {
        "sewar": round(taken - restoration.psnr(a, a + 1, 65535.0), 6),
        "ours": round(restoration.psnr(a, a + 1, 63.0), 4),
    }


def found() -> dict[str, Found]:
    """All rows by their keys."""
    from slidebox.scoring.disagreements import ROWS

    return {row.key: globals()[row.key]() for row in ROWS}
