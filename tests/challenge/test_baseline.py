"""The baseline on real images of several kinds: valid, and better than chance."""

from __future__ import annotations

import csv
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
import tifffile
from archives import discs, release_of_pairs

from slidebox import scoring
from slidebox.challenge import baseline


def released(root, task, pairs):
    """`pairs`: name (with a: train, with b: test) to image, labels and the table of tracks."""
    train, test = (
        [f"SB-REAL / {name}.ome.tif" for name in pairs if name[0] == kind] for kind in "ab"
    )
    rules = f"{{train: {{groups: {train}}}, test: {{groups: {test}}}}}"
    made = release_of_pairs(root, task, pairs, rules=rules)
    assert made.ok, made.findings
    return made.folder


def test_groups_that_no_rule_places_are_told(tmp_path):
    pairs = {"a0": discs(0), "b0": discs(1), "c0": discs(2)}
    with pytest.raises(AssertionError, match="no rule places group 'SB-REAL / c0"):
        released(tmp_path, "instance-segmentation", pairs)


@pytest.mark.parametrize(
    "kind, least", [("fluorescence", 0.6), pytest.param("brightfield_color", 0.4,
                                                        marks=pytest.mark.slow)],
)  # fmt: skip
def test_nuclei_bright_and_dark(shared_data, tmp_path, kind, least):
    folder = shared_data / "seg2d/dsb2018_bbbc038_stage1_train"
    with (folder / "index.csv").open() as handle:
        stems = [r["stem"] for r in csv.DictReader(handle) if r["modality_guess"] == kind]
    pairs = {}
    for k, stem in enumerate(stems[:4]):
        image, labels = (
            imagecodecs.imread(next((folder / part).glob(f"{stem}*")))
            for part in ("images", "labels")
        )
        image = image if image.ndim == 2 else image[..., 0]
        pairs[f"{'aabb'[k]}{k}"] = image, labels.astype(np.uint16)
    made = released(tmp_path, "instance-segmentation", pairs)
    predicted = baseline.predict(made, tmp_path / "p", "test")
    assert scoring.score(made, predicted, "test").scores["metrics"]["Dice"]["value"] > least


def test_bacteria_in_a_mother_machine(shared_data, tmp_path):
    """Dark rods in bright channels, in which nothing is found as bright objects."""
    pairs = {}
    rois = sorted((shared_data / "tracking/delta_ecoli_mothermachine/ctc").iterdir())
    for k, roi in enumerate(rois[:4]):
        frames = np.stack([tifffile.imread(p) for p in sorted((roi / "01").glob("t*.tif"))])
        masks = [tifffile.imread(p) for p in sorted((roi / "01_GT/TRA").glob("*.tif"))]
        rows = (roi / "01_GT/TRA/man_track.txt").read_text().splitlines()
        table = "\n".join(["label,begin,end,parent", *(",".join(r.split()) for r in rows)])
        pairs[f"{'aaab'[k]}{k}"] = frames, np.stack(masks).astype(np.uint16), table
    made = released(tmp_path, "tracking", pairs)
    predicted = baseline.predict(made, tmp_path / "p", "test")
    found = scoring.score(made, predicted, "test")
    assert found.ok, found.findings
    assert found.scores["metrics"]["SEG"]["value"] > 0.5
    assert found.scores["metrics"]["LNK"]["value"] > 0.3


def test_a_division_and_a_neighbour():
    """A cell that divides has two children; one that comes into view has no parent."""
    first, second = np.zeros((2, 40, 40), np.uint16)
    first[10:20, 10:26] = 1
    second[10:20, 10:17], second[10:20, 19:26], second[30:38, 30:38] = 1, 2, 3
    masks, tracks = baseline.link([first, second])
    assert sorted(tracks) == [(1, 0, 0, 0), (2, 1, 1, 1), (3, 1, 1, 1), (4, 1, 1, 0)]
    assert [np.unique(m).tolist() for m in masks] == [[0, 1], [0, 2, 3, 4]]
    masks, tracks = baseline.link([first, np.roll(first, 9, 1)])
    assert tracks == [(1, 0, 1, 0)]


def test_what_lacks_is_told():
    """Where neither the scorer nor NumPy are installed."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", baseline.__file__, "out"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "needs numpy: `uv run baseline.py" in done.stderr


@pytest.mark.parametrize("shape", [(900, 900), (80, 300, 300)])
def test_a_large_image_costs_a_window(shape, monkeypatch):
    """Also one without an object."""
    empty = np.zeros(shape, np.uint16)
    item = type("Item", (), {"truth": True})
    release = type("Release", (), {"splits": ["train"], "hidden": [], "items": lambda *_: [item]})
    monkeypatch.setattr(baseline, "_pictures", lambda *_: iter([([empty], empty, (1.0,))] * 99))
    sizes = [labels.size for *_, labels in baseline._samples(release())]
    assert sizes and sum(sizes) < 2 * baseline.PIXELS
