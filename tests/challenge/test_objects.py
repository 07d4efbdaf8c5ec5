"""Truth as a mask an object: joined to labels; what can't be is told."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tifffile
from archives import Bench, challenge_folder, discs, tiff

from slidebox import challenge
from slidebox.challenge import objects
from slidebox.challenge.init import init


def masked(tmp_path, change=lambda k, masks: masks, restricted=()):
    """Four images whose objects have a mask each, the test's in a set of their own; labels too."""
    bench, files, rows, truth = Bench(tmp_path), {}, [], {}
    for k in range(4):
        image, labels = discs(40 + k, 5)
        name = f"im{k}"
        files[f"{name}/{name}.tif"] = tiff(tmp_path / "in" / f"{name}.tif", image)
        rows.append({"path": f"{name}/{name}.tif", "part": "Pictures", "specimen": f"s{k}"})
        numbers = [n for n in np.unique(labels) if n]
        masks = change(k, [((labels == n) * 255).astype(np.uint8) for n in numbers])
        truth[name] = np.zeros(labels.shape, int)
        for n, mask in reversed(list(enumerate(masks, 1))):
            truth[name][: len(mask)][mask > 0] = n
        for n, mask in enumerate(masks):
            path = f"{name}/masks/{n:02d}.tif"
            files[path] = tiff(tmp_path / "in" / f"{name}_{n}.tif", mask)
            rows.append({"path": path, "role": "labels", "source_image": f"{name}/{name}.tif",
                         "part": "Nuclei, test" if k % 2 else "Nuclei, training"})  # fmt: skip
    bench.add_study("SB-NUCLEI", files, rows, restricted=restricted)
    return bench, truth


def release(bench, folder):
    return challenge.release(folder, public=bench.public, vault=bench.vault, private=bench.private)


def test_masks_of_objects_become_labels_hidden_ones_too(tmp_path):
    bench, truth = masked(tmp_path, restricted=("Nuclei, test",))
    result = release(bench, challenge_folder(tmp_path))
    assert result.ok, [f.message for f in result.findings]
    found = {p.stem: p for p in [*result.folder.rglob("labels/*.tif"),
                                 *result.private.rglob("labels/*.tif")]}  # fmt: skip
    assert found.keys() == truth.keys()
    for name, labels in truth.items():
        np.testing.assert_array_equal(tifffile.imread(found[name]), labels)
    assert {p.stem for p in result.private.rglob("labels/*.tif")} == {"im1", "im3"}


def test_hidden_masks_of_objects_elsewhere_are_found(tmp_path):
    bench, truth = masked(tmp_path, restricted=("Nuclei, test",))
    labels = tmp_path / "in" / "labels.tif"
    tifffile.imwrite(labels, truth["im1"].astype(np.uint8) * 3)  # other bytes, other numbers
    bench.add_study(
        "SB-ELSE", {"x.tif": labels, "y.tif": tmp_path / "in" / "im0.tif"},
        [{"path": "y.tif", "part": "P"},
         {"path": "x.tif", "part": "M", "role": "labels", "source_image": "y.tif"}],
    )  # fmt: skip
    result = release(bench, challenge_folder(tmp_path))
    assert ("HIDDEN_REACHABLE", "SB-ELSE/x.tif") in {(f.code, f.file) for f in result.findings}


def test_pixels_in_two_masks_and_empty_masks_are_told(tmp_path):
    def change(k, masks):
        if k == 0:
            masks[1] = masks[1].copy()
            masks[1][np.nonzero(masks[0])[0][:3], np.nonzero(masks[0])[1][:3]] = 255
            masks.append(masks[0] * 0)
        return masks

    bench, truth = masked(tmp_path, change, restricted=("Nuclei, test",))
    result = release(bench, challenge_folder(tmp_path))
    assert result.ok
    told = [f for f in result.findings if f.code == "MASKS_ODD"]
    assert len(told) == 1 and told[0].file == "SB-NUCLEI/im0/im0.tif"
    assert "3 pixels" in told[0].message and "im0/masks/05.tif" in told[0].message
    [path] = result.folder.rglob("labels/im0.tif")
    np.testing.assert_array_equal(tifffile.imread(path), truth["im0"])  # the first keeps them


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda k, m: [sum(m[:2]).clip(0, 255) // 255 + m[0] // 255, *m[2:]], "2 values"),
        (lambda k, m: [*m, m[0]], "are they of one object?"),
        (lambda k, m: [m[0][:50], *m[1:]], "truth im0/masks/00.tif is"),
    ],
    ids=["labels", "twice", "size"],
)
def test_other_files_are_no_masks(tmp_path, change, told):
    bench, _ = masked(tmp_path, lambda k, m: m if k else change(k, m))
    result = release(bench, challenge_folder(tmp_path))
    found = [f for f in result.findings if f.code in ("TRUTH_AMBIGUOUS", "TRUTH_SHAPE")]
    assert {f.file for f in found} == {"SB-NUCLEI/im0/im0.tif"}
    assert told in found[0].message


def test_pieces_of_masks_in_a_tile_may_share_much(tmp_path, monkeypatch):
    """Two masks touch where tiles meet: what they share is little of them, and much of a piece.

    However many tiles: each mask is read to see what it is, to write it, and to look for it.
    """

    def change(k, masks):
        if k != 1:
            return masks
        y, x = np.mgrid[:96, :96]
        two = [(x - c) ** 2 + (y - 48) ** 2 < 17**2 for c in (33, 63)]  # to 49, and from 47
        rest = [np.where(two[0] | two[1], 0, m) for m in masks]
        return [*(m.astype(np.uint8) * 255 for m in two), *(m for m in rest if m.any())]

    bench, truth = masked(tmp_path, change, restricted=("Nuclei, test",))
    more = "leakage: {check: false}"  # discs in small tiles look alike
    tiles = challenge_folder(tmp_path, more=more, change=lambda text: text.replace(
        "data:\n", "data:\n  tiles: {size: [48, 48]}\n"))  # fmt: skip
    opened, archived = Counter(), objects.pixels.archived

    def counted(study, fileset, *more):
        opened[fileset["path"]] += 1
        return archived(study, fileset, *more)

    monkeypatch.setattr(objects.pixels, "archived", counted)
    result = release(bench, tiles)
    assert result.ok, [str(f) for f in result.findings]
    assert {n for path, n in opened.items() if "/masks/" in path} == {3}
    for path in [*result.folder.rglob("labels/*.tif"), *result.private.rglob("labels/*.tif")]:
        name, y, x = path.stem.rsplit("_", 2)
        box = np.s_[int(y[1:]) :, int(x[1:]) :]
        np.testing.assert_array_equal(tifffile.imread(path), truth[name][box][:48, :48])


def test_init_says_that_there_is_a_mask_an_object(tmp_path):
    bench, truth = masked(tmp_path)
    files = sum(len(np.unique(truth[n])) - 1 for n in ("im0", "im2"))
    made = init(tmp_path / "mine", accession="SB-NUCLEI", archive=bench.archive())
    assert f'- truth: {files} files of 2 images in "Nuclei, training"' in made.read_text()
