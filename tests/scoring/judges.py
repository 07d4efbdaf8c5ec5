"""Other people's metrics beside ours, over random cases; runs in an environment of its own.

    PYTHONPATH=workflow .venv-judges/bin/python tests/scoring/judges.py --cases 200 stardist

`test_judges.py` makes the environment from requirements/judges.txt and reads what is printed: one
JSON line a judge with the number of values compared and the largest difference, then one with the
rows of the table of disagreements, each with what was found here.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.machinery
import importlib.util
import io
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import numpy as np
import tifffile
from releases import (
    perturbed,
    perturbed_lineage,
    random_labels,
    random_lineage,
    write_tracking,
)

from slidebox.scoring import boundary, coco, masks, points, restoration, task_tracking, tracking
from slidebox.scoring import instances as m
from slidebox.scoring import task_instances as ti
from slidebox.scoring.overlap import overlap
from slidebox.scoring.predictions import Refused
from slidebox.scoring.release import Item
from slidebox.scoring.settings import Settings, exact

LEVELS = ("0.1", "0.25", "0.4", "0.5", "0.55", "0.6", "0.7", "0.75", "0.8", "0.9", "1")
Compared = Iterator[tuple[str, float, float]]


# --- other people's packages -------------------------------------------------


@functools.cache
def cellpose() -> ModuleType:
    """Its metrics. The package wants PyTorch, which they don't use: it's there while it imports."""
    torch = MagicMock(name="torch", __version__="0")
    torch.__spec__ = importlib.machinery.ModuleSpec("torch", None)
    sys.modules["torch"] = torch
    try:
        return importlib.import_module("cellpose.metrics")
    finally:
        del sys.modules["torch"]


@functools.cache
def spotiflow() -> ModuleType:
    """Its matching. The package imports all of itself, PyTorch too: the one file is enough."""
    part = "spotiflow/utils/matching.py"
    where = next(f for f in metadata.files("spotiflow") if str(f) == part)
    spec = importlib.util.spec_from_file_location("spotiflow_matching", where.locate())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def said(work: Callable[[], object]) -> str:
    """What a call gives, or the name of its error."""
    try:
        with quiet():
            return str(work())
    except Exception as bad:
        return type(bad).__name__


# --- random cases ------------------------------------------------------------


def label_cases(rng: np.random.Generator, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Truth and prediction in 2D and 3D: objects, noise, empty sides, no background."""
    for k in range(count):
        shape = (36, 40) if k % 3 else (6, 16, 18)
        truth = random_labels(rng, shape, int(rng.integers(0, 14)), float(rng.choice([3, 6, 14])))
        pred = perturbed(rng, truth) if truth.any() else random_labels(rng, shape, k % 3)
        if k % 11 == 0:
            pred = rng.integers(0, 9, shape).astype(np.uint16)
        if k % 13 == 0:
            truth = rng.integers(1, 5, shape).astype(np.uint16)
        if k % 17 == 0:
            pred = np.zeros_like(truth)
        yield truth, pred


def compact(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


# --- judges ------------------------------------------------------------------


def judge_stardist(rng: np.random.Generator, count: int) -> Compared:
    from stardist.matching import matching

    for truth, pred in label_cases(rng, count):
        table = overlap(truth, pred).objects()
        for level in LEVELS:
            ours, theirs = m.match(table, exact(level)), matching(truth, pred, thresh=float(level))
            yield from zip(
                ("tp", "fp", "fn"), (ours.tp, ours.fp, ours.fn),
                (theirs.tp, theirs.fp, theirs.fn), strict=True,
            )  # fmt: skip
            counts = ours.tp, ours.fp, ours.fn
            yield "AP", m.average_precision(*counts, 0.0), theirs.accuracy
            yield "F1", m.f1(*counts, 0.0), theirs.f1


def judge_cellpose(rng: np.random.Generator, count: int) -> Compared:
    metrics = cellpose()
    levels = [t for t in LEVELS if exact(t) >= Fraction(1, 2)]
    for truth, pred in label_cases(rng, count):
        if not (truth.any() or pred.any()) or truth.min() > 0 or pred.min() > 0:
            continue  # rows both_empty and no_background
        a, b = compact(truth), compact(pred)
        with quiet():
            ap, tp, fp, fn = metrics.average_precision(a, b, [float(t) for t in levels])
        table = overlap(truth, pred).objects()
        for k, level in enumerate(levels):
            ours = m.match(table, exact(level))
            yield "tp", ours.tp, tp[k]
            yield "fp", ours.fp, fp[k]
            yield "fn", ours.fn, fn[k]
            # its arrays are float32
            yield "AP", np.float32(m.average_precision(ours.tp, ours.fp, ours.fn)), ap[k]


def judge_panoptica(rng: np.random.Generator, count: int) -> Compared:
    from panoptica import InputType, NaiveThresholdMatching, Panoptica_Evaluator

    with quiet():
        evaluator = Panoptica_Evaluator(
            InputType.UNMATCHED_INSTANCE, instance_matcher=NaiveThresholdMatching(),
            verbose=False, log_times=False,
        )  # fmt: skip
    for truth, pred in label_cases(rng, max(1, count // 10)):
        if not truth.any() or not pred.any():
            continue
        a, b = compact(truth).astype(np.uint16), compact(pred).astype(np.uint16)
        a[truth > 0] += truth.min() > 0
        b[pred > 0] += pred.min() > 0
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = evaluator.evaluate(b, a)["ungrouped"]
        ours = m.match(overlap(truth, pred).objects(), exact("0.5"))
        yield "tp", ours.tp, found.tp
        yield "fp", ours.fp, found.fp
        yield "fn", ours.fn, found.fn
        if ours.tp:
            yield "PQ", m.panoptic_quality(ours.iou.sum(), ours.tp, ours.fp, ours.fn), found.pq
            yield "SQ", m.segmentation_quality(ours.iou.sum(), ours.tp, 0.0), found.sq


def judge_skimage(rng: np.random.Generator, count: int) -> Compared:
    from skimage import metrics

    for truth, pred in label_cases(rng, count):
        table = overlap(truth, pred)
        split, merge = m.variation_of_information(table)
        # skimage: (H(pred | truth), H(truth | pred))
        theirs = metrics.variation_of_information(truth, pred)
        yield "VOI_split", split, theirs[0]
        yield "VOI_merge", merge, theirs[1]
        if pred[truth > 0].any():  # else row all_background
            with np.errstate(all="ignore"):
                error, _, _ = metrics.adapted_rand_error(truth, pred, ignore_labels=(0,))
            if not np.isnan(error):  # row no_pairs
                yield "ARE", m.adapted_rand_error(table, (0,)), error
    for _ in range(max(1, count // 20)):
        shape = tuple(rng.integers(11, 60, 2))
        a = rng.integers(0, 4096, shape).astype(np.uint16)
        b = np.clip(a + rng.normal(0, rng.uniform(1, 500), shape), 0, 4095).astype(np.uint16)
        yield "SSIM", restoration.ssim(a, b, 4095.0), metrics.structural_similarity(
            a.astype(float), b.astype(float), data_range=4095.0, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )  # fmt: skip
        psnr = metrics.peak_signal_noise_ratio(a, b, data_range=4095.0)
        yield "PSNR", restoration.psnr(a, b, 4095.0), psnr


def judge_pycocotools(rng: np.random.Generator, count: int) -> Compared:
    from pycocotools import mask

    settings = Settings(preset="coco").resolved("instance-segmentation")
    for k in range(max(1, count // 4)):
        yield from coco_case(rng, settings, ties=k % 3 == 0)
    for _ in range(count):
        height, width = (int(n) for n in rng.integers(1, 50, 2))
        corners = rng.uniform(-0.3, 1.3, (int(rng.integers(3, 12)), 2)) * [width, height]
        with contextlib.suppress(IndexError):
            runs = mask.frPyObjects([corners.ravel().tolist()], height, width)
            theirs = mask.decode(mask.merge(runs)).astype(bool)
            yield "polygon", 0, int((masks.fill_polygon(corners, height, width) != theirs).sum())
            packed = mask.encode(np.asfortranarray(theirs.astype(np.uint8)))["counts"]
            ours = masks.from_counts(masks.expand_counts(packed), height, width)
            yield "RLE", 0, int((ours != theirs).sum())


def coco_case(rng: np.random.Generator, settings: Settings, ties: bool, most: int = 10**6):
    """COCO's metrics of a few images with scored, overlapping detections, by both."""
    from pycocotools import mask
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def encode(where: np.ndarray) -> dict:
        return mask.encode(np.asfortranarray(where.astype(np.uint8)))

    size = tuple(int(n) for n in rng.integers(30, 130, 2))
    images, true, found, parts, rows = [], [], [], [], []
    for number in range(1, int(rng.integers(2, 5))):
        truth = random_labels(rng, size, int(rng.integers(0, 10)), float(rng.choice([6, 20, 45])))
        pred = perturbed(rng, truth)
        images.append({"id": number, "height": size[0], "width": size[1]})
        for label in np.unique(truth[truth > 0]):
            true.append(
                {"id": len(true) + 1, "image_id": number, "category_id": 1, "iscrowd": 0,
                 "area": int((truth == label).sum()), "bbox": [0, 0, 1, 1],
                 "segmentation": encode(truth == label)}
            )  # fmt: skip
        given = []
        for label in np.unique(pred[pred > 0]):
            where = pred == label
            if rng.random() < 0.3:
                where = where | np.roll(where, int(rng.integers(-4, 5)), int(rng.integers(0, 2)))
            for _ in range(1 + int(rng.random() < 0.2)):
                score = float(rng.choice([0.3, 0.5, 0.9]) if ties else rng.random())
                given.append((score, np.flatnonzero(where)))
                found.append({"image_id": number, "category_id": 1, "score": score,
                              "segmentation": encode(where)})  # fmt: skip
        item = Item(str(number), "t", "g", Path("."), None, "yx", size)
        row, seen = ti.measure_all(item, truth, pred, settings, given)
        rows.append(row)
        parts.append(seen)
    if not found:
        return
    counts = {key: np.array([row[key] for row in rows], float) for key in rows[0]}
    ours = coco.join(parts, settings)
    with quiet():
        reference = COCO()
        reference.dataset = {"images": images, "annotations": true, "info": {},
                             "categories": [{"id": 1, "name": "object"}]}  # fmt: skip
        reference.createIndex()
        judge = COCOeval(reference, reference.loadRes(found), "segm")
        judge.params.maxDets = [1, 10, most]
        judge.evaluate()
        judge.accumulate()
    precision, recall = judge.eval["precision"], judge.eval["recall"]

    def mean(values: np.ndarray) -> float:
        return float(np.mean(values[values > -1])) if (values > -1).any() else float("nan")

    theirs = {
        "COCO_AP": mean(precision[:, :, 0, 0, 2]), "COCO_AP50": mean(precision[0, :, 0, 0, 2]),
        "COCO_AP75": mean(precision[5, :, 0, 0, 2]), "COCO_AR": mean(recall[:, 0, 0, 2]),
    }  # fmt: skip
    for a, name in enumerate(("small", "medium", "large"), 1):
        theirs[f"COCO_AP_{name}"] = mean(precision[:, :, 0, a, 2])
        theirs[f"COCO_AR_{name}"] = mean(recall[:, 0, a, 2])
    for name, value in theirs.items():
        yield name, coco.value(name, ours, counts, settings), value


def judge_medpy(rng: np.random.Generator, count: int) -> Compared:
    from medpy.metric import binary

    for truth, pred in label_cases(rng, max(1, count // 2)):
        a, b = truth > 0, pred > 0
        spacing = tuple(rng.uniform(0.2, 2.0, a.ndim))
        if not a.any() or not b.any():
            continue
        distances = boundary.surface_distances(a, b, spacing)
        yield "HD95", boundary.hausdorff95(distances), binary.hd95(b, a, spacing)
        yield "ASSD", boundary.average_surface_distance(distances), binary.assd(b, a, spacing)
        inside, total = m.foreground_dice(overlap(truth, pred))
        yield "Dice", inside / total, binary.dc(b, a)


def judge_spotiflow(rng: np.random.Generator, count: int) -> Compared:
    matching = spotiflow().points_matching
    for k in range(count):
        dim = 2 + k % 2
        truth = rng.uniform(0, 20, (int(rng.integers(0, 30)), dim))
        pred = rng.uniform(0, 20, (int(rng.integers(0, 30)), dim))
        cutoff = float(rng.uniform(0.5, 6))
        i, _, distance = points.match(truth, pred, cutoff)
        theirs = matching(truth, pred, cutoff_distance=cutoff, eps=0)
        yield "tp", i.size, theirs.tp
        yield "fp", len(pred) - i.size, theirs.fp
        yield "fn", len(truth) - i.size, theirs.fn
        if i.size:
            counts = i.size, len(pred) - i.size, len(truth) - i.size
            yield "F1", float(points.f_beta(*counts, 1.0)), theirs.f1
            yield "Jaccard", float(points.jaccard(*counts)), theirs.accuracy
            rmse = float(points.rmse((distance**2).sum(), i.size))
            yield "RMSE", rmse, float(np.sqrt(np.mean(theirs.dist**2)))


def our_tracking(result: Path, truth: Path, shape: tuple, tolerance: int = 0) -> dict[str, float]:
    """Our metrics of a sequence in files."""
    settings = Settings(division_tolerance=tolerance)
    item = Item("s", "t", "g", result, truth, "tyx", shape)
    rows, problems = task_tracking.read_tracks(result / "res_track.txt", "r", shape[0])
    if problems:
        raise Refused(*problems)
    pred = task_tracking.Result(sorted(result.glob("mask*.tif")), rows, "r")
    row = task_tracking.measure(item, task_tracking.read_truth(item), pred, settings)
    counts = {k: np.array([v], float) for k, v in row.items()}
    return {k: float(v[0]) for k, v in task_tracking.values(counts, settings).items()}


def py_ctcmetrics(result: Path, truth: Path) -> dict:
    from ctc_metrics.scripts.evaluate import evaluate_sequence

    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluate_sequence(str(result), str(truth), threads=1)


def traccuracy(result: Path, truth: Path) -> dict:
    from traccuracy import run_metrics
    from traccuracy.loaders import load_ctc_data
    from traccuracy.matchers import CTCMatcher
    from traccuracy.metrics import CTCMetrics

    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a = load_ctc_data(str(truth / "TRA"), str(truth / "TRA/man_track.txt"))
        b = load_ctc_data(str(result), str(result / "res_track.txt"))
        found, _ = run_metrics(gt_data=a, pred_data=b, matcher=CTCMatcher(),
                               metrics=[CTCMetrics()])  # fmt: skip
    return found[0]["results"]


def lineages(rng: np.random.Generator, count: int) -> Iterator[tuple[Path, Path, tuple]]:
    for _ in range(count):
        masks_, tracks = random_lineage(rng, frames=int(rng.integers(3, 8)), size=40)
        found, rows = perturbed_lineage(rng, masks_, tracks)
        # The judges can't have empty frames or results: rows of the table
        if not tracks or not rows or not (masks_.any((1, 2)).all() and found.any((1, 2)).all()):
            continue
        with tempfile.TemporaryDirectory() as folder:
            truth, result = Path(folder, "01_GT"), Path(folder, "01_RES")
            write_tracking(truth / "TRA", masks_, tracks, "man_track")
            write_tracking(truth / "SEG", masks_, None, "man_seg")
            write_tracking(result, found, rows, "mask")
            yield result, truth, masks_.shape


def judge_py_ctcmetrics(rng: np.random.Generator, count: int) -> Compared:
    for k, (result, truth, shape) in enumerate(lineages(rng, max(2, count // 10))):
        theirs = py_ctcmetrics(result, truth)
        if theirs.get("Valid") == 0:
            continue
        tolerance = k % 4
        ours = our_tracking(result, truth, shape, tolerance)
        names = ["SEG", "DET", "TRA", "LNK", "CT", "CCA", "OP_CSB", "OP_CTB"]
        for name in names:
            yield name, ours[name], nan(theirs[name])
        yield "BC", ours["BC"], nan(theirs[f"BC({tolerance})"])
        if ours["TF"] == nan(theirs["TF"]):  # row tf_order
            yield "BIO", ours["BIO"], nan(theirs[f"BIO({tolerance})"])
            yield "OP_CLB", ours["OP_CLB"], nan(theirs[f"OP_CLB({tolerance})"])


def nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def judge_traccuracy(rng: np.random.Generator, count: int) -> Compared:
    """Every count of its errors, from our graphs: as we count, but for the rows three_merged and
    only_child, which are counted its way; our own measures where those make no difference."""
    for result, truth, shape in lineages(rng, max(2, count // 10)):
        theirs, ours = traccuracy(result, truth), tracking_errors(result, truth, shape[0])
        merged, only = ours.pop("objects_merged"), ours.pop("ec_of_divisions")
        ns, ec = ours["ns"], ours["ec"]
        for name, key in (("fn", "fn_nodes"), ("fp", "fp_nodes"), ("ed", "fp_edges"),
                          ("ea", "fn_edges")):  # fmt: skip
            yield name, ours[name], theirs[key]
        yield "ns", merged, theirs["ns_nodes"]
        yield "ec", only, theirs["ws_edges"]
        if ns != merged:
            continue
        measures = our_tracking(result, truth, shape)
        for name in ("DET",) if ec != only else ("DET", "TRA", "LNK"):
            if not np.isnan(measures[name]):
                yield name, measures[name], theirs[name]


def tracking_errors(result: Path, truth: Path, frames: int) -> dict[str, int]:
    """Our counts of a sequence's errors, and two as traccuracy counts them.

    objects_merged : result objects that match several (one each, however many they match).
    ec_of_divisions : wrong kinds of links, when a link is a parent's only if it has two children.
    """
    rows, _ = task_tracking.read_tracks(result / "res_track.txt", "r", frames)
    true, _ = task_tracking.read_tracks(truth / "TRA/man_track.txt", "t", frames)
    seen = tracking.Frames()
    for a, b in zip(sorted((truth / "TRA").glob("man_track*.tif")),
                    sorted(result.glob("mask*.tif")), strict=True):  # fmt: skip
        seen.add(tifffile.imread(a), tifffile.imread(b))
    graph = tracking.Graph.of(seen)
    alone = {int(s): r for r, s in enumerate(graph.match) if s >= 0 and graph.shared[s] == 1}
    kinds = []
    for labels, start, tracks in (
        (seen.ref, graph.ref_start, true), (seen.res, graph.res_start, rows)
    ):  # fmt: skip
        links = tracking.edges(labels, start, tracks)
        children = np.bincount(links[:, 0], minlength=1)
        kinds.append({(int(a), int(b)): children[a] > 1 for a, b, _ in links})
    true_kinds, found_kinds = kinds
    paired = {(alone.get(a), alone.get(b)): kind for (a, b), kind in found_kinds.items()}
    wrong = sum(true_kinds[pair] != kind for pair, kind in paired.items() if pair in true_kinds)
    return tracking.graph_errors(seen, true, rows) | {
        "objects_merged": int((graph.shared > 1).sum()), "ec_of_divisions": wrong,
    }  # fmt: skip


JUDGES: dict[str, Callable[[np.random.Generator, int], Compared]] = {
    name.removeprefix("judge_"): function
    for name, function in list(globals().items())
    if name.startswith("judge_")
}


def compare(name: str, count: int, seed: int) -> dict:
    """How many values were compared, and the worst difference of each."""
    values, worst, cases = 0, {}, {}
    for what, ours, theirs in JUDGES[name](np.random.default_rng(seed), count):
        values += 1
        ours, theirs = float(ours), float(theirs)
        same = ours == theirs or (np.isnan(ours) and np.isnan(theirs))
        difference = 0.0 if same else abs(ours - theirs)
        cases[what] = cases.get(what, 0) + 1
        if not difference <= worst.get(what, -1.0):
            worst[what] = difference if np.isfinite(difference) else float("inf")
    return {"judge": name, "cases": count, "values": values, "worst": worst, "of": cases}


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*JUDGES, "rows"]))
    args.add_argument("--cases", type=int, default=200)
    args.add_argument("--seed", type=int, default=0)
    given = args.parse_args()
    for name in given.names or [*JUDGES, "rows"]:
        if name == "rows":
            from judges_rows import found

            print(json.dumps({"rows": found()}, default=lambda v: v.item()), flush=True)
        else:
            print(json.dumps(compare(name, given.cases, given.seed)), flush=True)


if __name__ == "__main__":
    main()
