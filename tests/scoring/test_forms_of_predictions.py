"""Predictions as people's tools write them, and what is said of those that can't be meant."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pytest
from releases import random_labels, write_labels, write_release, write_tracking

from slidebox.scoring import score


def codes(result):
    return [(f.code, f.line) for f in result.findings if f.severity == "error"]


def primary(result):
    assert result.scores is not None, [f.message for f in result.findings]
    return result.scores["metrics"][result.scores["primary"]]["value"]


@pytest.fixture
def truth():
    return random_labels(np.random.default_rng(3), (40, 50), 9)


@pytest.fixture
def release(tmp_path, truth):
    return write_release(tmp_path / "r", "instance-segmentation", {"a": {"truth": truth}})


def runs(mask):
    flat = np.concatenate([[0], mask.T.ravel(), [0]])
    edges = np.flatnonzero(np.diff(flat.astype(np.int8)))
    return " ".join(f"{a + 1} {b - a}" for a, b in zip(edges[::2], edges[1::2], strict=True))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("t.csv", lambda t: "\ufeff" + t.replace("\n", "\r\n")),
        ("T.CSV", lambda t: t.replace(",", ";")),
        ("t.tsv", lambda t: t.replace(",", "\t")),
        ("mine.csv", lambda t: t.replace("ImageId", "image_id")),
    ],
)
def test_run_lengths_as_spreadsheets_write_them(tmp_path, release, truth, name, change):
    rows = [f"a,{runs(truth == k)}" for k in np.unique(truth)[1:]]
    path = tmp_path / name
    path.write_bytes(change("\n".join(["ImageId,EncodedPixels", *rows, ""])).encode())
    assert primary(score(release, path)) == 1.0
    (tmp_path / "folder").mkdir()
    path.rename(tmp_path / "folder" / name)
    assert primary(score(release, tmp_path / "folder")) == 1.0, "whatever the table is called"


def test_a_large_object_has_long_run_lengths(tmp_path):
    truth = np.zeros((300, 300), np.uint8)
    truth[::2] = 1
    release = write_release(tmp_path / "r", "instance-segmentation", {"a": {"truth": truth}})
    (tmp_path / "a.csv").write_text(f"image,rle\na,{runs(truth == 1)}\n")
    assert (tmp_path / "a.csv").stat().st_size > 1 << 17
    assert primary(score(release, tmp_path / "a.csv")) == 1.0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("image,rle\na,1 2,3\n\na,1 2\na,x\n", [("TABLE_ROW", 2), ("RLE_ROW", 5)]),
        ("image,rle,rle\na,1 2,3\n", [("TABLE_COLUMNS", 1)]),
        ("image,rle\n\xe9,1 2\n", [("TABLE_ENCODING", None)]),
        ("", [("TABLE_COLUMNS", None)]),
    ],
)
def test_rows_that_cannot_be_meant_are_named_by_their_lines(tmp_path, release, text, found):
    (tmp_path / "a.csv").write_bytes(text.encode("latin-1"))
    assert sorted(codes(score(release, tmp_path / "a.csv")), key=str) == sorted(found, key=str)


def test_coco_as_others_write_it(tmp_path, release, truth):
    box = [[2, 2, 8, 2, 8, 8, 2, 8]]
    image = {"id": 1, "file_name": "sub/a.tif", "height": 40, "width": 50}
    found = {"images": [image], "annotations": [{"image_id": "1", "segmentation": box}]}

    def said(**change):
        path = tmp_path / "P.JSON"
        path.write_text("\ufeff" + json.dumps(found | change), encoding="utf-8")
        return score(release, path)

    assert said().rows[0]["n_pred"] == 1
    assert codes(said(images=[image | {"height": 50, "width": 40}])) == [
        ("PREDICTION_TRANSPOSED", None)
    ]
    assert codes(said(images=[image, image | {"file_name": "b.tif"}])) == [("COCO_IMAGE", None)]
    assert codes(said(annotations=None)) == [("COCO_UNREADABLE", None)]


def test_ids_of_64_bits_are_only_numbers(tmp_path, release, truth):
    write_labels(tmp_path / "p" / "a.tif", truth.astype(np.uint64) << np.uint64(40))
    assert primary(score(release, tmp_path / "p")) == 1.0


def test_a_picture_of_the_result_beside_it_is_no_error(tmp_path, release, truth):
    write_labels(tmp_path / "p" / "a.tif", truth)
    (tmp_path / "p" / "a.jpg").write_bytes(b"x")
    (tmp_path / "p" / "B.tif").write_bytes(b"x")
    with open(os.fsencode(tmp_path / "p") + b"/\xff.tif", "wb"):
        pass
    result = score(release, tmp_path / "p", out=tmp_path / "out")
    assert primary(result) == 1.0
    assert "\\udcff.tif" in {f.file for f in result.findings}
    assert {f.code for f in result.findings} == {"PREDICTION_FORMAT", "PREDICTION_EXTRA"}


def test_tracking_results_from_elsewhere(tmp_path):
    masks = np.zeros((3, 12, 12), np.uint16)
    masks[:, 2:5, 2:5] = 1
    tracks = [(1, 0, 2, 0)]
    release = write_release(
        tmp_path / "r", "tracking", {"01": {"truth": masks, "tracks": tracks, "axes": "tyx"}}
    )
    folder = write_tracking(tmp_path / "p" / "01_res", masks, tracks, "mask")
    for path in list(folder.glob("*.tif")):
        path.rename(path.with_suffix(".TIF"))
    table = folder / "res_track.txt"
    table.write_bytes(b"\xef\xbb\xbf1 0 2 0\r\n")
    assert primary(score(release, tmp_path / "p")) == 1.0
    assert primary(score(release, folder)) == 1.0, "the result itself, not the folder around it"
    table.rename(folder / "RES_TRACK.TXT")
    assert primary(score(release, tmp_path / "p")) == 1.0


def test_a_table_of_points_can_say_that_an_image_has_none(tmp_path):
    items = {k: {"truth": p, "shape": (20, 30), "axes": "yx"}
             for k, p in (("a", [(1.0, 2.0)]), ("b", []))}  # fmt: skip
    release = write_release(tmp_path / "r", "points", items, tolerance=1)
    path = tmp_path / "p" / "spots.csv"
    path.parent.mkdir()
    path.write_text("image;y;x\na;1;2\nb;;\n")
    result = score(release, path.parent)
    assert primary(result) == 1.0 and not result.findings
    (path.parent / "a.csv").write_text("y,x\n1,2\n")
    assert codes(score(release, path.parent)) == [("PREDICTION_TWICE", None)]
    path.write_text("image,y,x\na,1,5,2,5\na,1,nan\nb,,\n")
    (path.parent / "a.csv").unlink()
    assert codes(score(release, path.parent)) == [("TABLE_ROW", 2), ("POINTS_NAN", 3)]


def test_intensities_whose_squares_overflow_are_refused_not_left_out(tmp_path):
    image = np.arange(400, dtype=np.float64).reshape(20, 20)
    release = write_release(
        tmp_path / "r", "restoration", {"a": {"truth": image}}, data_range=400, metrics=["PSNR"]
    )
    write_labels(tmp_path / "p" / "a.tif", image * 1e300)
    assert codes(score(release, tmp_path / "p")) == [("IMAGE_RANGE", None)]


def test_objects_above_the_challenges_number_are_not_even_drawn(tmp_path, truth, monkeypatch):
    from slidebox.scoring import tables

    release = write_release(
        tmp_path / "r", "instance-segmentation", {"a": {"truth": truth}}, max_objects=3
    )
    drawn = []
    draw = tables.segmentation_mask
    monkeypatch.setattr(tables, "segmentation_mask", lambda *a: drawn.append(1) or draw(*a))
    box = {"image_id": "a", "segmentation": [[2, 2, 8, 2, 8, 8]]}
    (tmp_path / "p.json").write_text(json.dumps([box] * 1000))
    assert codes(score(release, tmp_path / "p.json")) == [("LABELS_TOO_MANY", None)]
    assert len(drawn) == 4


def test_what_libraries_say_has_no_folders_of_this_machine(tmp_path, release):
    (tmp_path / "p" / "a.zarr").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as packed:
        packed.writestr("q", "1")
        packed.writestr("q/x.tif", "1")
    for given, code in (("p", "PREDICTION_UNREADABLE"), ("p.zip", "ZIP_BROKEN")):
        (found,) = score(release, tmp_path / given).findings
        assert found.code == code and "/" not in found.message
