"""Scoring as a whole: formats, checks, corner cases, what comes out."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from releases import random_labels, write_labels, write_release

from slidebox.scoring import cli, open_release, score
from slidebox.scoring.masks import expand_counts, fill_polygon, from_counts
from slidebox.scoring.predictions import allowance, unpack
from slidebox.scoring.release import NotARelease
from slidebox.scoring.template import write_template


@pytest.fixture
def labels():
    rng = np.random.default_rng(3)
    return {f"img{k}": random_labels(rng, (40, 50), 9) for k in range(4)}


@pytest.fixture
def release(tmp_path, labels):
    items = {k: {"truth": v, "group": k[-1]} for k, v in labels.items()}
    return write_release(tmp_path / "release", "instance-segmentation", items)


def value(result, name="AP"):
    assert result.scores is not None, [f.message for f in result.findings]
    return result.scores["metrics"][name]["value"]


def codes(result):
    return [f.code for f in result.findings if f.severity == "error"]


def folder_of(path, labels, **change):
    for name, array in (labels | change).items():
        write_labels(path / f"{name}.tif", array)
    return path


def test_truth_scores_one_in_every_format(tmp_path, release, labels):
    tiffs = folder_of(tmp_path / "tiffs", labels)
    assert value(score(release, tiffs)) == 1.0
    pngs = tmp_path / "pngs"
    pngs.mkdir()
    for name, array in labels.items():
        (pngs / f"{name}.png").write_bytes(imagecodecs.png_encode(array.astype(np.uint8)))
    assert value(score(release, pngs)) == 1.0
    zarrs = tmp_path / "zarrs"
    import zarr

    for name, array in labels.items():
        group = zarr.open_group(zarrs / f"{name}.ome.zarr", mode="w")
        group.attrs["ome"] = {"multiscales": [{"datasets": [{"path": "0"}]}]}
        group.create_array("0", data=array)
    assert value(score(release, zarrs)) == 1.0
    packed = tmp_path / "p.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in tiffs.iterdir():
            archive.write(path, f"results/{path.name}")
    assert value(score(release, packed)) == 1.0
    assert value(score(release, rle_table(tmp_path / "rle.csv", labels))) == 1.0
    assert value(score(release, coco(tmp_path / "coco.json", labels))) == 1.0


def runs(mask):
    """Starts (from 1) and lengths, column by column."""
    flat = np.concatenate([[0], mask.T.ravel(), [0]])
    edges = np.flatnonzero(np.diff(flat.astype(np.int8)))
    return " ".join(f"{a + 1} {b - a}" for a, b in zip(edges[::2], edges[1::2], strict=True))


def rle_table(path, labels):
    lines = ["ImageId,EncodedPixels"]
    for name, array in labels.items():
        lines += [f"{name},{runs(array == k)}" for k in np.unique(array)[1:]]
    path.write_text("\n".join(lines) + "\n")
    return path


def coco(path, labels, compressed=False):
    images, annotations = [], []
    for number, (name, array) in enumerate(labels.items()):
        images.append({"id": number, "file_name": f"{name}.tif", "height": 40, "width": 50})
        for k in np.unique(array)[1:]:
            flat = np.concatenate([[0], (array == k).T.ravel().astype(np.int8)])
            at = np.flatnonzero(np.diff(flat))
            counts = np.diff(np.concatenate([[0], at, [array.size]])).tolist()
            annotations.append(
                {"image_id": number, "category_id": 1, "score": 0.5,
                 "segmentation": {"size": [40, 50], "counts": counts}}
            )  # fmt: skip
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def test_compressed_coco_runs_and_polygons():
    # "0" is a run of 0; a value of 40 takes two characters (40 = 0b1_01000)
    assert expand_counts("05") == [0, 5]
    assert expand_counts(chr(48 + (8 | 0x20)) + chr(48 + 1)) == [40]
    mask = from_counts([2, 3, 7], 3, 4)
    assert np.argwhere(mask.T.ravel()).ravel().tolist() == [2, 3, 4]
    with pytest.raises(ValueError, match="add up"):
        from_counts([2, 3], 3, 4)
    square = fill_polygon(np.array([[1, 1], [4, 1], [4, 3], [1, 3]], float), 6, 6)
    assert square.sum() == 6 and square[1:3, 1:4].all()


def test_overlapping_coco_objects_go_to_the_higher_score(tmp_path):
    truth = np.zeros((6, 6), np.uint16)
    truth[:3] = 1
    release = write_release(tmp_path / "r", "instance-segmentation", {"a": {"truth": truth}})
    box = lambda y: [0, y, 6, y, 6, y + 3, 0, y + 3]  # noqa: E731
    for high, expected in ((0, 1.0), (1, 0.0)):
        rows = [
            {"image_id": "a", "segmentation": [box(0)], "score": 0.9 - 0.5 * (high == 1)},
            {"image_id": "a", "segmentation": [[0, 0, 6, 0, 6, 6, 0, 6]],
             "score": 0.4 + 0.4 * (high == 1)},
        ]  # fmt: skip
        path = tmp_path / f"{high}.json"
        path.write_text(json.dumps(rows))
        result = score(release, path)
        assert "OBJECTS_OVERLAP" in {f.code for f in result.findings}
        assert result.scores["metrics"]["SEG"]["value"] >= expected


def test_all_problems_are_listed_at_once(tmp_path, release, labels):
    folder = tmp_path / "p"
    write_labels(folder / "img0.tif", labels["img0"].T)
    write_labels(folder / "img1.tif", labels["img1"].astype(np.float32) + 0.5)
    write_labels(folder / "img2.tif", labels["img2"].astype(np.int32) - 1)
    write_labels(folder / "more" / "img2.tif", labels["img2"])
    (folder / "notes.txt").write_text("hello")
    result = score(release, folder)
    found = {(f.code, f.severity) for f in result.findings}
    assert {
        ("PREDICTION_TRANSPOSED", "error"), ("LABELS_FLOAT", "error"),
        ("LABELS_NEGATIVE", "error"), ("PREDICTION_TWICE", "error"),
        ("PREDICTION_EXTRA", "warning"), ("PREDICTION_MISSING", "warning"),
    } <= found  # fmt: skip
    assert result.scores is None
    assert all(f.message and (f.mend or f.code) for f in result.findings)


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros((40, 49), np.uint16), "PREDICTION_SHAPE"),
        (np.zeros((40, 50, 3), np.uint8), "PREDICTION_COLOUR"),
        (np.full((40, 50), np.nan, np.float32), "LABELS_FLOAT"),
        (np.arange(2000, dtype=np.uint16).reshape(40, 50), "LABELS_TOO_MANY"),
    ],
)
def test_each_misfit_is_named(tmp_path, labels, array, code):
    release = write_release(
        tmp_path / "r", "instance-segmentation", {"img0": {"truth": labels["img0"]}},
        max_objects=500,
    )  # fmt: skip
    path = tmp_path / "p" / "img0.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, array, photometric="rgb" if array.ndim == 3 else "minisblack")
    assert codes(score(release, path.parent)) == [code]


def test_a_missing_prediction_is_the_worst(tmp_path, release, labels):
    whole = score(release, folder_of(tmp_path / "a", labels))
    part = dict(labels)
    part.pop("img0")
    missing = score(release, folder_of(tmp_path / "b", part))
    assert value(missing) == pytest.approx(0.75 * value(whole))
    assert missing.scores["missing"] == ["img0"]
    assert missing.rows[0]["missing"] and missing.rows[0]["AP"] == 0.0


@pytest.mark.parametrize(("policy", "expected"), [("one", 1.0), ("zero", 0.0), ("skip", None)])
def test_both_empty_is_what_the_challenge_says(tmp_path, policy, expected):
    empty = np.zeros((10, 10), np.uint16)
    release = write_release(
        tmp_path / "r", "instance-segmentation", {"a": {"truth": empty}}, both_empty=policy
    )
    found = score(release, folder_of(tmp_path / "p", {"a": empty}))
    assert found.scores["metrics"]["AP"]["value"] == expected
    # An empty truth with an object predicted is wrong whatever the policy
    one = empty.copy()
    one[2:4, 2:4] = 1
    assert value(score(release, folder_of(tmp_path / "q", {"a": one}))) == 0.0


def test_a_missing_prediction_of_an_empty_image_is_still_the_worst(tmp_path):
    empty = np.zeros((10, 10), np.uint16)
    release = write_release(
        tmp_path / "r", "instance-segmentation", {"a": {"truth": empty}, "b": {"truth": empty}}
    )
    assert value(score(release, folder_of(tmp_path / "p", {"a": empty}))) == 0.5


def test_presets_take_a_tools_decisions():
    from slidebox.scoring import Settings

    assert Settings(preset="stardist").both_empty == "zero"
    assert Settings(preset="cellpose").both_empty == "skip"
    assert Settings(preset="stardist", both_empty="one").both_empty == "one"


def test_objects_at_the_border_can_count_neither_way(tmp_path):
    truth = np.zeros((20, 20), np.uint16)
    truth[0:4, 0:4], truth[10:14, 10:14] = 1, 2
    pred = truth.copy()
    pred[0:4, 0:4] = 0
    pred[16:20, 0:3] = 9
    kept = write_release(tmp_path / "k", "instance-segmentation", {"a": {"truth": truth}})
    left = write_release(
        tmp_path / "l", "instance-segmentation", {"a": {"truth": truth}}, border="ignore"
    )
    folder = folder_of(tmp_path / "p", {"a": pred})
    assert value(score(kept, folder)) == pytest.approx(1 / 3)
    assert value(score(left, folder)) == 1.0


def test_ignored_regions_and_sparse_truth(tmp_path):
    truth = np.zeros((20, 20), np.uint16)
    truth[2:6, 2:6], truth[:, 12:] = 1, 999
    pred = np.zeros_like(truth)
    pred[2:6, 2:6], pred[3:8, 13:18] = 1, 2
    folder = folder_of(tmp_path / "p", {"a": pred})
    ignore = write_release(
        tmp_path / "i", "instance-segmentation", {"a": {"truth": truth}}, ignore_label=999
    )
    assert value(score(ignore, folder)) == 1.0
    plain = np.where(truth == 999, 0, truth).astype(np.uint16)
    dense = write_release(tmp_path / "d", "instance-segmentation", {"a": {"truth": plain}})
    sparse = write_release(
        tmp_path / "s", "instance-segmentation", {"a": {"truth": plain}}, sparse=True
    )
    assert value(score(dense, folder)) == 0.5
    assert value(score(sparse, folder)) == 1.0


def test_pooled_and_mean_over_images_differ_as_they_should(tmp_path):
    a = np.zeros((10, 10), np.uint16)
    a[0:2, 0:2] = 1
    b = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((3, 3))).astype(np.uint16)
    items = {"a": {"truth": a}, "b": {"truth": b}}
    folder = folder_of(tmp_path / "p", {"a": np.zeros_like(a), "b": b})
    mean = write_release(tmp_path / "m", "instance-segmentation", items)
    pool = write_release(tmp_path / "q", "instance-segmentation", items, average="dataset")
    assert value(score(mean, folder)) == pytest.approx(0.5)
    assert value(score(pool, folder)) == pytest.approx(9 / 10)


def test_what_comes_out(tmp_path, release, labels):
    out = tmp_path / "scores"
    wrong = labels["img1"].copy()
    wrong[wrong == wrong.max()] = 0
    result = score(release, folder_of(tmp_path / "p", labels, img1=wrong), out=out)
    scores = json.loads((out / "scores.json").read_text())
    assert scores["primary"] == "AP" and scores["groups"] == 4
    assert set(scores["digests"]) == {"challenge", "splits", "labels", "predictions", "scorer"}
    low, high = scores["metrics"]["AP"]["interval"]
    assert low <= scores["metrics"]["AP"]["value"] <= high
    head = (out / "scores_per_image.csv").read_text().splitlines()[0]
    assert {"id", "group", "AP", "tp@0.5", "fn@0.5", "n_true"} <= set(head.split(","))
    report = (out / "report.html").read_text()
    assert report.index("img1") < report.index("img0"), "the worst image is first"
    assert (out / "overlays" / "img1.png").read_bytes()[:4] == b"\x89PNG"
    again = score(release, tmp_path / "p", out=tmp_path / "again")
    assert again.scores["digests"] == result.scores["digests"]
    assert (tmp_path / "again" / "scores.json").read_bytes() == (out / "scores.json").read_bytes()


def test_threads_change_nothing(tmp_path, release, labels):
    folder = folder_of(tmp_path / "p", labels)
    assert score(release, folder, threads=2).scores == score(release, folder).scores


def test_hidden_truth_needs_the_organisers_folder(tmp_path, labels):
    items = {k: {"truth": v, "split": "test"} for k, v in labels.items()}
    private = tmp_path / "private"
    private.mkdir()
    release = write_release(
        tmp_path / "r", "instance-segmentation", items, hidden=("test",), private=private
    )
    folder = folder_of(tmp_path / "p", labels)
    with pytest.raises(NotARelease, match="hidden"):
        score(release, folder)
    assert score(release, folder, check_only=True).ok
    assert value(score(release, folder, private=private)) == 1.0


def test_the_template_is_a_valid_empty_prediction(tmp_path, release):
    folder = write_template(open_release(release), tmp_path / "empty")
    result = score(release, folder)
    assert result.ok and value(result) == 0.0
    with pytest.raises(FileExistsError):
        write_template(open_release(release), tmp_path / "empty")


def test_command_line_exit_codes(tmp_path, release, labels, capsys):
    good = folder_of(tmp_path / "good", labels)
    assert cli.main([str(release), str(good), "--check"]) == 0
    assert cli.main([str(release), str(good), "--out", str(tmp_path / "o")]) == 0
    bad = folder_of(tmp_path / "bad", labels, img0=labels["img0"].T)
    assert cli.main([str(release), str(bad)]) == 1
    assert "axes" in capsys.readouterr().err
    assert cli.main([str(tmp_path / "nothing"), str(good)]) == 2
    assert cli.main([str(release), str(good), "--split", "moon"]) == 2
    assert cli.main([str(release), str(tmp_path / "t"), "--template"]) == 0


def hostile_zip(path, names, data=b"x"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["../out.tif", "/etc/out.tif", "a/../../out.tif", "..\\out.tif"])
def test_archives_that_climb_out_are_refused(tmp_path, release, name):
    result = score(release, hostile_zip(tmp_path / "evil.zip", [name]))
    assert codes(result) == ["ZIP_UNSAFE"]
    assert not (tmp_path / "out.tif").exists()


def test_archives_with_links_are_refused(tmp_path, release):
    path = tmp_path / "link.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("img0.tif")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert codes(score(release, path)) == ["ZIP_UNSAFE"]


def test_bombs_are_refused_before_and_while_unpacking(tmp_path, release):
    items = open_release(release).items("train")
    bomb = hostile_zip(tmp_path / "bomb.zip", ["img0.tif"], b"\0" * (allowance(items) + 1))
    assert bomb.stat().st_size < 1 << 20
    assert codes(score(release, bomb)) == ["ZIP_TOO_LARGE"]
    # A header that lies about the size is stopped by counting
    raw = bytearray(hostile_zip(tmp_path / "lie.zip", ["img0.tif"], b"\0" * (1 << 20)).read_bytes())
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<I", 10)
    (tmp_path / "lie.zip").write_bytes(raw)
    from slidebox.scoring.predictions import Refused

    (tmp_path / "into").mkdir()
    with pytest.raises(Refused):
        unpack(tmp_path / "lie.zip", tmp_path / "into", 1000)


def test_broken_archives_are_refused(tmp_path, release):
    good = hostile_zip(tmp_path / "x.zip", ["img0.tif"], bytes(range(256)) * 40).read_bytes()
    broken = bytearray(good)
    broken[60:80] = b"\xff" * 20
    (tmp_path / "broken.zip").write_bytes(broken)
    assert codes(score(release, tmp_path / "broken.zip")) == ["ZIP_BROKEN"]


def test_huge_headers_cost_nothing(tmp_path, release):
    """A PNG and a TIFF that claim 10**10 pixels are refused by their headers."""
    png = io.BytesIO()
    png.write(b"\x89PNG\r\n\x1a\n")
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        png.write(struct.pack(">I", len(data)) + kind + data)
        png.write(struct.pack(">I", zlib.crc32(kind + data)))
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "img0.png").write_bytes(png.getvalue())
    tifffile.imwrite(folder / "img1.tif", shape=(1, 1), dtype="u1")
    raw = bytearray((folder / "img1.tif").read_bytes())
    with tifffile.TiffFile(folder / "img1.tif") as tiff:
        tags = tiff.pages[0].tags
        for name in ("ImageWidth", "ImageLength"):
            tag = tags[name]
            raw[tag.valueoffset : tag.valueoffset + 2] = struct.pack("<H", 65535)
    (folder / "img1.tif").write_bytes(raw)
    found = codes(score(release, folder))
    assert found.count("PREDICTION_SHAPE") == 2


def test_links_out_of_the_folder_are_not_followed(tmp_path, release, labels):
    outside = write_labels(tmp_path / "secret.tif", labels["img0"])
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "img0.tif").symlink_to(outside)
    assert "PREDICTION_LINK" in codes(score(release, folder))


def test_markup_in_names_stays_text(tmp_path):
    truth = np.ones((5, 5), np.uint8)
    release = write_release(
        tmp_path / "r", "instance-segmentation",
        {"a": {"truth": truth, "group": "<script>alert(1)</script>"}},
    )  # fmt: skip
    score(release, folder_of(tmp_path / "p", {"a": truth}), out=tmp_path / "o")
    assert "<script>" not in (tmp_path / "o" / "report.html").read_text()


def test_a_metric_of_ones_own_runs_apart(tmp_path, labels):
    release = write_release(
        tmp_path / "r", "instance-segmentation", {"a": {"truth": labels["img0"]}},
        custom=[{"name": "area_error", "file": "own.py", "function": "area", "direction": "lower",
                 "range": [0, 1]}],
    )  # fmt: skip
    metrics = release / "metrics"
    metrics.mkdir()
    (metrics / "own.py").write_text(
        "def area(truth, pred, info):\n    return abs((truth > 0).mean() - (pred > 0).mean())\n"
    )
    folder = folder_of(tmp_path / "p", {"a": np.zeros_like(labels["img0"])})
    found = score(release, folder).scores["metrics"]["area_error"]
    assert found["value"] == pytest.approx((labels["img0"] > 0).mean())
    (metrics / "own.py").write_text("def area(truth, pred, info):\n    raise ValueError('no')\n")
    assert codes(score(release, folder)) == ["METRIC_FAILED"]


def test_compare_pairs_images_and_tests_by_group(tmp_path, release, labels):
    from slidebox.scoring import CannotCompare, compare

    worse = {
        name: np.where(array == array.max(), 0, array).astype(np.uint16)
        for name, array in labels.items()
    }
    score(release, folder_of(tmp_path / "p", labels), out=tmp_path / "good", overlays=False)
    score(release, folder_of(tmp_path / "q", worse), out=tmp_path / "bad", overlays=False)
    found = compare(tmp_path / "good", tmp_path / "bad" / "scores.json")
    ap = next(m for m in found.metrics if m["name"] == "AP")
    assert ap["difference"] < 0 and ap["interval"][1] < 0
    # Four groups can't show more than 2 of 16 sign flips
    assert ap["p"] == pytest.approx(2 / 16) and ap["b_is"] == "no difference shown"
    assert len(found.images) == 4
    same = compare(tmp_path / "good", tmp_path / "good")
    assert {m["p"] for m in same.metrics} == {1.0}
    other = json.loads((tmp_path / "bad" / "scores.json").read_text())
    other["challenge"]["version"] = "2.0.0"
    (tmp_path / "bad" / "scores.json").write_text(json.dumps(other))
    with pytest.raises(CannotCompare, match="versions"):
        compare(tmp_path / "good", tmp_path / "bad")
    other["challenge"]["version"] = "1.0.0"
    (tmp_path / "bad" / "scores.json").write_text(json.dumps(other))
    table = tmp_path / "bad" / "scores_per_image.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(CannotCompare, match="score again"):
        compare(tmp_path / "good", tmp_path / "bad")
