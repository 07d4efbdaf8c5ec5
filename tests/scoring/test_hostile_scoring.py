"""Hostile and unlucky predictions: refused with a clear word, in time and memory."""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
import zarr
from releases import random_labels, write_labels, write_points, write_release, write_tracking

from slidebox.scoring import arrays, score
from slidebox.scoring.apart import Apart
from slidebox.scoring.release import Item


@pytest.fixture
def truth():
    return random_labels(np.random.default_rng(5), (40, 50), 9)


@pytest.fixture
def release(tmp_path, truth):
    return write_release(tmp_path / "release", "instance-segmentation", {"a": {"truth": truth}})


def codes(result):
    return {f.code for f in result.findings if f.severity == "error"}


def group(path, array, axes, **more):
    made = zarr.open_group(path, mode="w")
    made.attrs["ome"] = {
        "multiscales": [{"axes": [{"name": a} for a in axes], "datasets": [{"path": "0"}]}]
    } | more
    made.create_array("0", data=array)
    return made


def test_ome_zarr_with_a_label_image_beside_the_image(tmp_path, release, truth):
    image = group(tmp_path / "p" / "a.ome.zarr", np.zeros((40, 50), np.uint8), "yx")
    labels = image.create_group("labels")
    labels.attrs["ome"] = {"labels": ["cells"]}
    group(tmp_path / "p" / "a.ome.zarr" / "labels" / "cells", truth, "yx")
    assert score(release, tmp_path / "p").scores["metrics"]["AP"]["value"] == 1.0
    labels.attrs["ome"] = {"labels": ["cells", "nuclei"]}
    assert codes(score(release, tmp_path / "p")) == {"PREDICTION_SEVERAL"}


def test_axes_named_in_another_order_are_said_even_of_a_square(tmp_path):
    square = random_labels(np.random.default_rng(5), (40, 40), 9)
    release = write_release(tmp_path / "r", "instance-segmentation", {"a": {"truth": square}})
    group(tmp_path / "p" / "a.ome.zarr", square.T.copy(), "xy")
    assert codes(score(release, tmp_path / "p")) == {"PREDICTION_TRANSPOSED"}


def test_a_square_image_that_fits_far_better_transposed_is_suspected_never_mended(tmp_path):
    truth = np.zeros((40, 40), np.uint16)
    truth[2:8, 4:36], truth[12:18, 20:38] = 1, 2
    items = {"a": {"truth": truth}, "b": {"truth": truth}, "c": {"truth": truth}}
    release = write_release(tmp_path / "r", "instance-segmentation", items)
    good = tmp_path / "p"
    write_labels(good / "a.tif", truth)
    write_labels(good / "b.tif", truth.T)
    write_labels(good / "c.tif", np.roll(truth, 12, 0))  # poor both ways
    result = score(release, good)
    assert [(f.code, f.file) for f in result.findings] == [("TRANSPOSED_LOOKS_BETTER", "b")]
    assert result.ok and [row["AP"] for row in result.rows] == [1.0, 0.0, 0.0]


def test_pickled_chunks_are_never_opened(tmp_path, release, truth):
    """A Zarr 2 filter that unpickles would run what is in the file."""
    folder = tmp_path / "p" / "a.zarr"
    zarr.create_array(folder, data=truth, zarr_format=2, chunks=(40, 50), compressors=None)
    text = (folder / ".zarray").read_text()
    text = text.replace('"filters": null', '"filters": [{"id": "pickle"}]')
    assert "pickle" in text
    (folder / ".zarray").write_text(text)
    mark = tmp_path / "ran"
    (folder / "0.0").write_bytes(f"cos\nsystem\n(S'touch {mark}'\ntR.".encode())
    assert codes(score(release, tmp_path / "p")) & {"PREDICTION_CODEC", "PREDICTION_UNREADABLE"}
    assert not mark.exists()


def test_chunks_far_larger_than_the_image_are_refused(tmp_path, release):
    zarr.create_array(tmp_path / "p" / "a.zarr", shape=(40, 50), chunks=(60000, 60000), dtype="u2")
    assert codes(score(release, tmp_path / "p")) == {"PREDICTION_PIECES"}


def test_foreign_formats_links_and_pipes_are_named(tmp_path, truth):
    release = write_release(
        tmp_path / "r", "instance-segmentation", {k: {"truth": truth} for k in "abcd"}
    )
    folder = tmp_path / "p"
    folder.mkdir()
    np.save(folder / "a.npy", np.array([{}], object), allow_pickle=True)
    os.mkfifo(folder / "b.tif")
    (folder / "c.ome.zarr").mkdir()
    (folder / "c.ome.zarr" / "zarr.json").symlink_to("/etc/passwd")
    write_labels(folder / "d.tif", truth)
    found = {f.file: f.code for f in score(release, folder).findings}
    assert found == {
        "a.npy": "PREDICTION_FORMAT", "b.tif": "PREDICTION_LINK",
        "c.ome.zarr/zarr.json": "PREDICTION_LINK",
    }  # fmt: skip


def bomb(path, size):
    """A TIFF of 40 x 50 pixels whose one strip unpacks to `size` bytes."""
    packed = zlib.compress(bytes(1 << 20) * (size >> 20), 9)
    tags = [(256, 50), (257, 40), (258, 16), (259, 8), (262, 1), (273, 8), (277, 1), (278, 40),
            (279, len(packed))]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(packed) + len(packed) % 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + packed + b"\0" * (len(packed) % 2)
                     + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0")  # fmt: skip


def test_an_entry_apart_has_no_more_memory_and_time_than_it_is_given(tmp_path, release, truth):
    bomb(tmp_path / "bomb" / "a.tif", 1 << 30)
    write_labels(tmp_path / "fine" / "a.tif", truth)
    found = {}
    for name in ("bomb", "fine"):
        out = tmp_path / f"{name}-out"
        out.mkdir()
        with Apart(memory=400 << 20, seconds=120) as apart:
            found[name] = apart.score(release, tmp_path / name, "train", out, None)
        assert not (out / ".scratch").exists()
    assert found["fine"][1]["metrics"]["AP"]["value"] == 1.0
    # Either it's refused or it didn't need the memory: what is sure is that this process lives
    assert found["bomb"][1] is None or found["bomb"][1]["metrics"]["AP"]["value"] == 0.0


def test_an_entry_that_takes_too_long_is_ended(tmp_path, truth):
    release = write_release(
        tmp_path / "r", "instance-segmentation", {"a": {"truth": truth}},
        custom=[{"name": "slow", "file": "own.py", "function": "slow", "direction": "lower",
                 "range": [0, 1]}],
    )  # fmt: skip
    (release / "metrics").mkdir()
    (release / "metrics" / "own.py").write_text(
        "import time\ndef slow(truth, pred, info):\n    time.sleep(600)\n"
    )
    write_labels(tmp_path / "p" / "a.tif", truth)
    (tmp_path / "out").mkdir()
    with Apart(memory=1 << 30, seconds=1) as apart:
        findings, scores = apart.score(release, tmp_path / "p", "train", tmp_path / "out", None)
    assert [f.code for f in findings] == ["SCORING_TIME"] and scores is None


def test_volumes_are_scored_slab_by_slab_with_the_same_numbers(tmp_path, monkeypatch):
    rng = np.random.default_rng(6)
    volume = random_labels(rng, (24, 30, 32), 20, 6)
    pred = np.roll(volume, 1, 2)
    metrics = ["AP", "SEG", "PQ", "Dice", "VOI", "ARE", "HD95", "ASSD", "splits", "count_error"]
    release = write_release(
        tmp_path / "r", "instance-segmentation", {"a": {"truth": volume}}, metrics=metrics,
        border="ignore", boundary_ignore=1.0,
    )  # fmt: skip
    write_labels(tmp_path / "tiff" / "a.tif", pred)
    zarr.create_array(tmp_path / "zarr" / "a.zarr", data=pred, chunks=(5, 30, 9))

    def found():
        return [
            {k: v["value"] for k, v in score(release, tmp_path / form).scores["metrics"].items()}
            for form in ("tiff", "zarr")
        ]

    at_once = found()
    monkeypatch.setattr(arrays, "LARGE", 0)
    monkeypatch.setattr(arrays, "SLAB", 4000)
    item = Item("a", "t", "g", tmp_path, tmp_path / "r/train/labels/a.tif", "zyx", volume.shape)
    assert isinstance(arrays.read_truth_labels(item), arrays.Lazy)
    for once, slabs in zip(at_once, found(), strict=True):
        assert slabs == pytest.approx(once, abs=1e-12)
    assert not score(release, tmp_path / "tiff", check_only=True).findings
    tifffile.imwrite(tmp_path / "tiff" / "a.tif", pred.astype(np.int32) - 1)
    assert codes(score(release, tmp_path / "tiff")) == {"LABELS_NEGATIVE"}


@pytest.mark.parametrize(
    ("setting", "value"),
    [({}, 0.5), ({"both_empty": "zero"}, 0.25), ({"both_empty": "skip"}, 1 / 3),
     ({"empty_truth": "skip"}, 2 / 3), ({"empty_prediction": "skip"}, 2 / 3),
     ({"empty_truth": "skip", "empty_prediction": "skip", "both_empty": "skip"}, 1.0)],
)  # fmt: skip
@pytest.mark.parametrize("average", ["image", "dataset"])
def test_empty_images_are_worth_what_the_challenge_says(tmp_path, truth, setting, value, average):
    none = np.zeros_like(truth)
    pairs = {"same": (truth, truth), "nothing": (none, none), "false": (none, truth),
             "missed": (truth, none)}  # fmt: skip
    release = write_release(
        tmp_path / "r", "instance-segmentation", {k: {"truth": t} for k, (t, _) in pairs.items()},
        average=average, **setting,
    )  # fmt: skip
    for name, (_, pred) in pairs.items():
        write_labels(tmp_path / "p" / f"{name}.tif", pred)
    found = score(release, tmp_path / "p").scores["metrics"]["AP"]["value"]
    if average == "dataset":  # counts are pooled: an empty pair has none
        false = 0 if "empty_truth" in setting else 1
        missed = 0 if "empty_prediction" in setting else 1
        value = 1 / (1 + false + missed)
    assert found == pytest.approx(value)


def test_points_in_the_other_unit_are_refused_by_their_column(tmp_path):
    release = write_release(
        tmp_path / "r", "points",
        {"a": {"truth": [(1.0, 1.0)], "shape": (50, 60), "axes": "yx",
               "pixel_size": "y=0.1 x=0.1"}},
        tolerance=0.2, unit="micrometer",
    )  # fmt: skip
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.csv").write_text("y,x,unit\n1,1,px\n")
    found = score(release, tmp_path / "p").findings
    assert [(f.code, f.line) for f in found] == [("POINTS_UNIT", 2)]
    (tmp_path / "p" / "a.csv").write_text("y,x,unit\n1,1,um\n")
    assert score(release, tmp_path / "p").scores["metrics"]["F"]["value"] == 1.0
    write_points(tmp_path / "q" / "a.csv", [(1.0 + k / 10, 2.0) for k in range(9)], "yx")
    other = write_release(
        tmp_path / "r2", "points",
        {"a": {"truth": [(1.0, 1.0)], "shape": (50, 60), "axes": "yx",
               "pixel_size": "y=0.1 x=0.1"}}, tolerance=2,
    )  # fmt: skip
    assert "POINTS_UNIT_DOUBT" in {f.code for f in score(other, tmp_path / "q").findings}


def test_tracks_and_masks_are_wrong_at_once(tmp_path):
    masks = np.zeros((2, 12, 12), np.uint16)
    masks[:, 2:5, 2:5] = 1
    release = write_release(
        tmp_path / "r", "tracking", {"a": {"truth": masks, "tracks": [(1, 0, 1, 0)], "axes": "tyx"}}
    )
    folder = write_tracking(tmp_path / "p" / "a_RES", masks, [(1, 0, 7, 0), (2, 0, 1, 9)], "mask")
    write_labels(folder / "mask001.tif", masks[1].astype(np.float32))
    assert codes(score(release, tmp_path / "p")) == {
        "TRACK_RANGE", "TRACK_PARENT", "TRACK_WITHOUT_LABEL", "LABELS_FLOAT"
    }  # fmt: skip


def test_coco_ranks_by_score_and_keeps_masks_whole(tmp_path, truth):
    import json

    truth = np.zeros((20, 20), np.uint16)
    truth[2:8, 2:8] = 1
    release = write_release(
        tmp_path / "r", "instance-segmentation", {"a": {"truth": truth}}, preset="coco"
    )
    box = [2, 2, 8, 2, 8, 8, 2, 8]
    wide = [0, 0, 18, 0, 18, 18, 0, 18]
    for right, wrong, value in ((0.9, 0.4, 1.0), (0.4, 0.9, 0.5)):
        rows = [{"image_id": "a", "segmentation": [s], "score": p}
                for s, p in ((box, right), (wide, wrong))]  # fmt: skip
        (tmp_path / "c.json").write_text(json.dumps(rows))
        found = score(release, tmp_path / "c.json", out=tmp_path / "o").scores["metrics"]
        assert found["COCO_AP"]["value"] == pytest.approx(value)
        assert found["COCO_AP_medium"]["value"] is None
    assert (tmp_path / "o" / "scores_detections.csv").read_text().count("\n") == 3
