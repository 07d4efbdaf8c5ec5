"""Controls: on real images the truth is the best by every metric, and what is blind is told."""

from __future__ import annotations

import csv
import dataclasses
import math
import tracemalloc
from types import SimpleNamespace

import imagecodecs
import numpy as np
import pytest
import tifffile
from archives import challenge_folder, discs, nuclei, release_of_pairs
from scipy.spatial import KDTree

from slidebox import challenge
from slidebox.challenge import contrived, controls
from slidebox.challenge.contrived import MERGED, MISPLACED, PART, SURPLUS, UNLINKED
from slidebox.scoring import catalog, open_release

# Metrics that give these controls as much as the truth, on real images
BLIND = {
    "instance-segmentation": {
        "Dice": {MERGED}, "SEG": {SURPLUS}, "count_error": {MISPLACED},
        "HD95": {PART, SURPLUS}, "ASSD": {PART, SURPLUS}, "SQ": {PART, SURPLUS},
        "VOI_merge": {SURPLUS}, "COCO_AR": {SURPLUS},
    },
    "tracking": {
        "DET": {UNLINKED}, "OP_CSB": {UNLINKED}, "SEG": {UNLINKED, SURPLUS}, "LNK": {SURPLUS},
        "BC": {SURPLUS}, "CCA": {SURPLUS}, "division_F1": {SURPLUS}, "TF": {PART, SURPLUS},
    },
    "points": {
        "precision": {PART}, "recall": {SURPLUS}, "RMSE": {PART, SURPLUS},
        "count_error": {MISPLACED},
    },
    "semantic-segmentation": {}, "restoration": {},
}  # fmt: skip
# By these one object, or nothing, is as good as the truth
REFUSED = {"instance-segmentation": {"splits", "merges", "VOI_split"}}
SCORING = {
    "semantic-segmentation": "classes: {1: nucleus, 2: rim}", "points": "tolerance: 3",
    "restoration": "data_range: 65535",
}  # fmt: skip


def micrographs(shared, kind: str, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    folder = shared / "seg2d/dsb2018_bbbc038_stage1_train"
    with (folder / "index.csv").open() as handle:
        stems = [r["stem"] for r in csv.DictReader(handle) if r["modality_guess"] == kind]
    found = []
    for stem in stems[:count]:
        image, labels = (
            imagecodecs.imread(next((folder / part).glob(f"{stem}*")))
            for part in ("images", "labels")
        )
        found.append((image if image.ndim == 2 else image[..., 0], labels.astype(np.uint16)))
    return found


def pairs(shared, task: str) -> list[tuple]:
    """Image and truth (array, or the text of a table), and the table of tracks."""
    if task == "instance-segmentation":
        return micrographs(shared, "fluorescence", 2) + micrographs(shared, "brightfield_color", 1)
    if task == "semantic-segmentation":
        return [(i, np.where(m > 0, 1 + (np.roll(m, 1, 0) != m), 0).astype(np.uint8))
                for i, m in micrographs(shared, "fluorescence", 2)]  # fmt: skip
    if task == "tracking":
        found = []
        for roi in sorted((shared / "tracking/delta_ecoli_mothermachine/ctc").iterdir())[2:4]:
            frames = np.stack([tifffile.imread(p) for p in sorted((roi / "01").glob("t*.tif"))])
            masks = [tifffile.imread(p) for p in sorted((roi / "01_GT/TRA").glob("*.tif"))]
            rows = (roi / "01_GT/TRA/man_track.txt").read_text().splitlines()
            table = "\n".join(["label,begin,end,parent", *(",".join(r.split()) for r in rows)])
            found.append((frames, np.stack(masks).astype(np.uint16), table))
        return found
    if task == "points":
        folder = shared / "spots/insta_smfish_expert/smFISH_test"
        rows = list(csv.DictReader((folder / "300.csv").open()))
        text = "y,x\n" + "".join(f"{r['row']},{r['col']}\n" for r in rows)
        image = imagecodecs.imread(next(folder.glob("*_300.png")))
        return [(image if image.ndim == 2 else image[..., 0], text)]
    stack = tifffile.imread(next((shared / "restoration").glob("*/*.tif")))
    return [(stack[10, 1], stack[10, 0])]


def real(shared, root, task: str):
    """A released challenge of one split, from real files."""
    named = {f"i{k}": pair for k, pair in enumerate(pairs(shared, task))}
    made = release_of_pairs(root, task, named, SCORING.get(task, ""))
    assert made.ok, made.findings
    return open_release(made.folder)


@pytest.mark.parametrize("task", sorted(BLIND))
def test_by_every_metric_the_truth_is_the_best(shared_data, tmp_path, task):
    release = real(shared_data, tmp_path, task)
    names = sorted(catalog.names(task, release.settings))
    settings = release.settings.model_copy(update={"metrics": names})
    release = dataclasses.replace(release, settings=settings)
    found, telling, objects = controls.values(release, release.items("train"))
    assert objects
    assert {"truth", "empty"} < found.keys()
    assert sum(n.startswith(("one", "noise", "constant")) for n in found) >= 2
    for name in names:
        metric = catalog.lookup(task, name, settings)
        if math.isnan(found["truth"][name]):
            assert name.startswith("COCO_A")  # no object of that size
            continue
        findings = controls._judged(found, metric, "train", telling)
        refused = {f.code for f in findings if f.severity == "error"}
        assert refused == ({"CONTROL_FAILED"} if name in REFUSED.get(task, ()) else set()), name
        if refused or name.startswith("COCO_"):
            continue
        told = " ".join(f.message for f in findings)
        blind = {c for c in contrived.BLIND if c in told}
        assert blind == BLIND[task].get(name, set()), name
        assert all(f.code == "PRIMARY_BLIND" for f in findings)
    assert controls._worse(found, release, "train") == []
    ar = controls._judged(found, catalog.lookup(task, "COCO_AR"), "train", telling) if (
        task == "instance-segmentation") else []  # fmt: skip
    assert all(SURPLUS in f.message for f in ar)


def test_large_objects_that_moved_a_little_are_no_reason_to_refuse(tmp_path):
    """At IoU 1/2 a disc of 13 pixels that moved by two is still found."""
    large = np.ones((3, 3), np.uint16)
    named = {f"i{k}": tuple(np.kron(a, large) for a in discs(k, count=3)) for k in range(2)}
    result = release_of_pairs(tmp_path, "instance-segmentation", named, "primary: AP@0.5")
    assert result.ok, result.findings
    values = controls.values(
        open_release(result.folder), open_release(result.folder).items("train")
    )
    assert values[0][contrived.SHIFTED]["AP@0.5"] == 1.0


def test_a_split_without_any_object_is_told_once(tmp_path):
    nothing = np.zeros((96, 96), np.uint8)
    named = {f"i{k}": (discs(k)[0], nothing) for k in range(2)}
    result = release_of_pairs(tmp_path, "instance-segmentation", named)
    (told,) = [f for f in result.findings if f.severity == "error"]
    assert told.code == "CONTROL_FAILED" and "no object in any image" in told.message


def test_a_metric_whose_direction_is_wrong_is_told_though_it_does_not_rank(tmp_path):
    bench = nuclei(tmp_path, specimens="ABC", test="C", each=1)
    more = "  custom: [{name: own, file: own.py, function: f, direction: lower, range: [0, 1]}]"
    folder = challenge_folder(tmp_path, more=more, change=lambda t: t + "leakage: {check: false}\n")
    (folder / "own.py").write_text("def f(truth, prediction, info):\n"
                                   "    return float((truth == prediction).mean())\n")  # fmt: skip
    result = challenge.release(
        folder, public=bench.public, vault=bench.vault, private=bench.private
    )
    assert result.ok
    told = [f for f in result.findings if f.code == "CONTROL_FAILED"]
    assert told and all(f.severity == "warning" and "by own the truth" in f.message for f in told)


def test_where_no_false_object_has_room_no_metric_is_blind_to_them(tmp_path):
    named = {}
    for k in range(4):
        middles = np.random.default_rng(k).uniform(0, 64, (40, 2))
        pixels = np.argwhere(np.ones((64, 64)))
        labels = (KDTree(middles).query(pixels)[1].reshape(64, 64) + 1).astype(np.uint16)
        named[f"s{k}"] = labels * 9, labels
    made = release_of_pairs(tmp_path, "instance-segmentation", named, "primary: AP")
    assert made.ok and not [f for f in made.findings if f.code == "PRIMARY_BLIND"], made.findings


def test_a_volume_is_not_in_memory_for_every_control(tmp_path):
    """Each control is made when its turn comes: 23 bytes a voxel were needed for all at once."""
    labels = np.zeros((24, 128, 128), np.uint16)
    for k in range(1, 20):
        labels[k : k + 4, 6 * k : 6 * k + 9, 40:60] = k
    settings = SimpleNamespace(sparse=False, ignore_background=False, ignore_label=None)
    release = SimpleNamespace(task="instance-segmentation", settings=settings)
    item = SimpleNamespace(shape=labels.shape)
    names = []
    tracemalloc.start()
    for name, made in contrived.predictions(release, item, labels, tmp_path):
        names.append(name)
        del made
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert names[0] == "truth" and {MERGED, PART, SURPLUS, "noise"} < set(names)
    assert peak < 9 * labels.size
