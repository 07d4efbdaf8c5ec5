"""Every task from the archive to a score."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
import tifffile
from archives import Bench, discs, tiff

from slidebox import challenge, scoring

BASE = """
slug: {slug}
version: 1.0.0
title: A {task} challenge
description: To test.
organisers: [{{name: Ada Example}}]
license: CC0-1.0
task: {task}
data:
  sources: [{{accession: SB-TASK}}]
splits:
  group_by: [study, image]
  rules: {{train: {{share: 0.5}}, test: {{share: 0.5}}}}
scoring:
  bootstrap: {{resamples: 50}}
{scoring}
"""


def made(tmp_path, bench, task, scoring_text="", metric="", change=lambda text: text):
    folder = tmp_path / "challenges" / "task"
    folder.mkdir(parents=True)
    text = change(BASE.format(slug="task", task=task, scoring=scoring_text))
    (folder / "challenge.yaml").write_text(text)
    if metric:
        (folder / "own.py").write_text(metric)
    result = challenge.release(
        folder, public=bench.public, vault=bench.vault, private=bench.private
    )
    assert result.ok, [f.message for f in result.findings]
    return result.folder


def lapse(seed):
    """Two frames of a nucleus that divides, and others that stay."""
    image, labels = discs(seed, size=64, count=6)
    frames = np.stack([image, np.roll(image, 1, 0), np.roll(image, 2, 0)])
    masks = np.stack([np.roll(labels, k, 0) for k in range(3)]).astype(np.uint16)
    present = [set(np.unique(m).tolist()) - {0} for m in masks]
    keep = set.intersection(*present)
    masks[~np.isin(masks, list(keep))] = 0
    return frames, masks, [(k, 0, 2, 0) for k in sorted(keep)]


def test_tracking_in_the_ctc_layout(tmp_path):
    bench = Bench(tmp_path)
    files, rows = {}, []
    for k in range(4):
        frames, masks, tracks = lapse(k)
        meta = {"axes": "TYX"}
        files[f"m{k}.ome.tif"] = tiff(tmp_path / "x" / f"m{k}.ome.tif", frames, metadata=meta)
        files[f"m{k}_l.ome.tif"] = tiff(tmp_path / "x" / f"l{k}.ome.tif", masks, metadata=meta)
        table = "label,begin,end,parent\n" + "".join(",".join(map(str, t)) + "\n" for t in tracks)
        files[f"m{k}_t.csv"] = table.encode()
        rows += [
            {"path": f"m{k}.ome.tif", "part": "Films"},
            {"path": f"m{k}_l.ome.tif", "part": "Nuclei", "role": "labels",
             "source_image": f"m{k}.ome.tif"},
            {"path": f"m{k}_t.csv", "part": "Lineage", "role": "table",
             "source_image": f"m{k}.ome.tif"},
        ]  # fmt: skip
    bench.add_study("SB-TASK", files, rows)
    own = "\n".join([
        "def f(truth, prediction, info):",
        "    assert truth.shape == prediction.shape == (3, 64, 64)",
        "    rows = [{tuple(r) for r in info['tracks'][k]} for k in ('truth', 'prediction')]",
        "    return len(rows[0] & rows[1]) / max(len(rows[0]), 1)",
    ])  # fmt: skip
    text = "  custom: [{name: own, file: own.py, function: f, direction: higher, range: [0, 1]}]"
    folder = made(tmp_path, bench, "tracking", text, own)
    items = scoring.open_release(folder).items("train")
    assert len(items) == 2 and items[0].axes == "tyx"
    assert (items[0].image / "t000.tif").is_file()
    assert (items[0].truth / "TRA" / "man_track.txt").is_file()
    result_folder = tmp_path / "p"
    for item in items:
        target = result_folder / f"{item.id}_RES"
        target.mkdir(parents=True)
        for path in sorted((item.truth / "TRA").glob("man_track*.tif")):
            name = path.name.replace("man_track", "mask")
            tifffile.imwrite(target / name, tifffile.imread(path), metadata=None)
        (target / "res_track.txt").write_text((item.truth / "TRA/man_track.txt").read_text())
    found = scoring.score(folder, result_folder, "train", tmp_path / "out")
    assert found.ok and found.scores["metrics"]["OP_CTB"]["value"] == 1.0
    assert found.scores["metrics"]["own"]["value"] == 1.0
    assert (tmp_path / "out" / "overlays" / f"{items[0].id}.png").is_file()
    from slidebox.challenge import baseline

    tracked = baseline.predict(folder, tmp_path / "b", "train")
    assert scoring.score(folder, tracked, "train").scores["metrics"]["TRA"]["value"] > 0.5


def test_points_from_a_table(tmp_path):
    bench = Bench(tmp_path)
    files, rows = {}, []
    for k in range(4):
        image, labels = discs(k)
        files[f"s{k}.tif"] = tiff(tmp_path / "x" / f"s{k}.tif", image)
        places = [np.argwhere(labels == n).mean(0) for n in np.unique(labels)[1:]]
        text = "axis-0,axis-1\n" + "".join(f"{y},{x}\n" for y, x in places)
        files[f"s{k}.csv"] = text.encode()
        rows += [
            {"path": f"s{k}.tif", "part": "Images"},
            {"path": f"s{k}.csv", "part": "Spots", "role": "table", "source_image": f"s{k}.tif"},
        ]
    bench.add_study("SB-TASK", files, rows)
    folder = made(tmp_path, bench, "points", "  tolerance: 2")
    result = scoring.score(folder, folder / "train" / "labels", "train")
    assert result.scores["metrics"]["F"]["value"] == 1.0


def spots(tmp_path, write):
    """Four images of discs whose middles are tables that `write` makes of (y, x) rows."""
    bench, files, rows, points = Bench(tmp_path), {}, [], {}
    for k in range(4):
        image, labels = discs(k)
        files[f"s{k}.tif"] = tiff(tmp_path / "x" / f"s{k}.tif", image)
        points[f"s{k}"] = [np.argwhere(labels == n).mean(0) for n in np.unique(labels)[1:]]
        files[f"s{k}.csv"] = write(points[f"s{k}"]).encode()
        rows += [
            {"path": f"s{k}.tif", "part": "Images"},
            {"path": f"s{k}.csv", "part": "Spots", "role": "table", "source_image": f"s{k}.tif"},
        ]
    bench.add_study("SB-TASK", files, rows)
    return bench, points


def trackmate(points):
    """As TrackMate exports spots: three more lines of words below the header."""
    text = "LABEL,ID,POSITION_X,POSITION_Y\nLabel,Spot ID,X,Y\nLabel,Spot ID,X,Y\n,,(px),(px)\n"
    return text + "".join(f"ID{k},{k},{x},{y}\n" for k, (y, x) in enumerate(points))


def semicolons(points):
    return "id;y [px];x [px]\n" + "".join(f"{k};{y};{x}\n" for k, (y, x) in enumerate(points))


@pytest.mark.parametrize(
    "write, columns", [(trackmate, "{y: POSITION_Y, x: POSITION_X}"),
                       (semicolons, "{y: 'y [px]', x: 'x [px]'}")]
)  # fmt: skip
def test_points_in_columns_of_other_names(tmp_path, write, columns):
    bench, points = spots(tmp_path, write)
    folder = tmp_path / "challenges" / "task"
    folder.mkdir(parents=True)
    text = BASE.format(slug="task", task="points", scoring="  tolerance: 2")
    (folder / "challenge.yaml").write_text(text)
    where = {"public": bench.public, "vault": bench.vault, "private": bench.private}
    told = challenge.release(folder, **where).findings
    assert {f.code for f in told} == {"PAIR_UNFIT"}
    assert "data.columns: {y: ..., x: ...}" in told[0].message
    text = text.replace("splits:\n", f"  columns: {columns}\nsplits:\n")
    (folder / "challenge.yaml").write_text(text)
    result = challenge.release(folder, **where)
    assert result.ok, result.findings
    for path in result.folder.rglob("labels/*.csv"):
        found = np.loadtxt(path, delimiter=",", skiprows=1)
        np.testing.assert_allclose(found, points[path.stem])


def test_points_in_another_unit_are_doubted(tmp_path):
    """Micrometers, read as pixels, are all in one corner of their images."""
    bench, _ = spots(tmp_path, lambda p: semicolons([(y / 10, x / 10) for y, x in p]))
    folder = tmp_path / "challenges" / "task"
    folder.mkdir(parents=True)
    text = BASE.format(slug="task", task="points", scoring="  tolerance: 2")
    (folder / "challenge.yaml").write_text(text)

    def release():
        return challenge.release(
            folder, public=bench.public, vault=bench.vault, private=bench.private
        )

    (told, *_) = {f.message for f in release().findings}
    assert "has no columns y, x (or row, col) but 'id', 'y [px]', 'x [px]'; say" in told
    columns = "data:\n  columns: {y: 'y [px]', x: 'x [px]'}\n"
    (folder / "challenge.yaml").write_text(text.replace("data:\n", columns))
    doubted = [f for f in release().findings if f.code == "POINTS_UNIT_DOUBT"]
    assert len(doubted) == 1 and doubted[0].field == "scoring.unit"


def test_points_of_tiles_count_from_their_corner(tmp_path):
    bench, points = spots(tmp_path, lambda p: "y,x\n" + "".join(f"{y},{x}\n" for y, x in p))
    tiles = "  tiles: {size: [48, 48]}\nsplits:\n"
    folder = made(
        tmp_path, bench, "points", "  tolerance: 2", change=lambda t: t.replace("splits:\n", tiles)
    )
    together = {}
    for path in folder.rglob("labels/*.csv"):
        name, y, x = path.stem.split("_")
        for row in np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2):
            assert (row >= -0.5).all() and (row < 47.5).all()
            together.setdefault(name, []).append(row + np.array([int(y[1:]), int(x[1:])]))
    for name, expected in points.items():
        np.testing.assert_allclose(sorted(map(tuple, together[name])), sorted(map(tuple, expected)))


def test_points_outside_of_their_image_are_told(tmp_path):
    """Coordinates in another unit or of another image; all images at once."""
    bench = Bench(tmp_path)
    files, rows = {}, []
    for k in range(3):
        files[f"s{k}.tif"] = tiff(tmp_path / "x" / f"s{k}.tif", discs(k)[0])
        files[f"s{k}.csv"] = b"x,y\n1,1\n95.4,2\n" + (b"467.2,184.1\n" if k else b"")
        rows += [
            {"path": f"s{k}.tif", "part": "Images"},
            {"path": f"s{k}.csv", "part": "Spots", "role": "table", "source_image": f"s{k}.tif"},
        ]
    bench.add_study("SB-TASK", files, rows)
    folder = challenge.init(tmp_path / "challenges" / "spots", task="points", accession="SB-TASK",
                  archive=bench.archive()).parent  # fmt: skip
    result = challenge.release(
        folder, public=bench.public, vault=bench.vault, private=bench.private
    )
    told = [(f.code, f.file) for f in result.findings if f.severity == "error"]
    assert told == [("PAIR_UNFIT", "SB-TASK/s1.tif"), ("PAIR_UNFIT", "SB-TASK/s2.tif")]
    assert "1 of the 3 points of its truth" in result.findings[-1].message


def test_classes_that_nobody_named_are_told_and_init_finds_them(tmp_path):
    bench = Bench(tmp_path)
    files, rows = {}, []
    for k in range(4):
        image, labels = discs(k)
        files[f"s{k}.tif"] = tiff(tmp_path / "x" / f"s{k}.tif", image)
        classes = np.where(labels % 3 == 1, 2, (labels > 0) * 1).astype(np.uint8)
        classes[:4] = 255
        files[f"s{k}_t.tif"] = tiff(tmp_path / "x" / f"t{k}.tif", classes)
        rows += [{"path": f"s{k}.tif", "part": "Images"},
                 {"path": f"s{k}_t.tif", "part": "Truth", "source_image": f"s{k}.tif",
                  "role": "labels"}]  # fmt: skip
    bench.add_study("SB-TASK", files, rows)
    path = challenge.init(tmp_path / "challenges" / "rims", task="semantic-segmentation",
                accession="SB-TASK", archive=bench.archive())  # fmt: skip
    text = path.read_text()
    named = "classes: {1: class_1, 2: class_2, 255: class_255}"
    assert named in text
    where = {"public": bench.public, "vault": bench.vault, "private": bench.private}
    path.write_text(text.replace(named, "classes: {1: nucleus}"))
    result = challenge.release(path.parent, **where)
    told = [f for f in result.findings if f.severity == "error"]
    assert {f.code for f in told} == {"CLASS_UNKNOWN"}
    assert all("values [2, 255]" in f.message and "scoring.classes" in f.mend for f in told)
    given = "classes: {1: nucleus, 2: rim}\n  ignore_label: 255"
    path.write_text(text.replace(named, given))
    assert challenge.release(path.parent, **where).ok


@pytest.mark.parametrize("task", ["semantic-segmentation", "restoration"])
def test_pixelwise_tasks(tmp_path, task):
    bench = Bench(tmp_path)
    files, rows = {}, []
    for k in range(4):
        image, labels = discs(k)
        truth = (labels > 0).astype(np.uint8) if task.startswith("sem") else image
        noisy = np.clip(image + np.random.default_rng(k).normal(0, 200, image.shape), 0, None)
        files[f"s{k}.tif"] = tiff(tmp_path / "x" / f"s{k}.tif", noisy.astype(np.uint16))
        files[f"s{k}_t.tif"] = tiff(tmp_path / "x" / f"t{k}.tif", truth)
        rows += [
            {"path": f"s{k}.tif", "part": "Images"},
            {"path": f"s{k}_t.tif", "part": "Truth", "source_image": f"s{k}.tif",
             "role": "labels" if task.startswith("sem") else "image"},
        ]  # fmt: skip
    bench.add_study("SB-TASK", files, rows)
    extra = "  classes: {1: nucleus}" if task.startswith("sem") else "  data_range: 4095"
    folder = made(tmp_path, bench, task, extra)
    result = scoring.score(folder, folder / "train" / "labels", "train", tmp_path / "o")
    primary = result.scores["primary"]
    assert result.scores["metrics"][primary]["value"] == (1.0 if task.startswith("sem") else 100.0)


def test_volumes_keep_their_axes_and_voxel_size(tmp_path):
    bench = Bench(tmp_path)
    files, rows = {}, []
    for k in range(4):
        planes = [discs(10 * k + z, size=48) for z in range(3)]
        meta = {"axes": "ZYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 1.5}
        for name, index in (("v", 0), ("l", 1)):
            stack = np.stack([p[index] for p in planes])
            files[f"{name}{k}.ome.tif"] = tiff(
                tmp_path / "x" / f"{name}{k}.ome.tif", stack, metadata=dict(meta)
            )
        rows += [
            {"path": f"v{k}.ome.tif", "part": "Volumes"},
            {"path": f"l{k}.ome.tif", "part": "Nuclei", "role": "labels",
             "source_image": f"v{k}.ome.tif"},
        ]  # fmt: skip
    bench.add_study("SB-TASK", files, rows)
    folder = made(tmp_path, bench, "instance-segmentation", "  metrics: [AP, HD95]")
    item = scoring.open_release(folder).items("train")[0]
    assert (item.axes, item.shape, item.spacing) == ("zyx", (3, 48, 48), (1.5, 0.2, 0.2))
    found = scoring.score(folder, folder / "train" / "labels", "train").scores["metrics"]
    assert (found["AP"]["value"], found["HD95"]["value"]) == (1.0, 0.0)


def test_frames_that_nobody_joined_are_told(tmp_path):
    bench, files, rows = Bench(tmp_path), {}, []
    frames, masks, _ = lapse(0)
    for t in range(3):
        files[f"m/t{t}.tif"] = tiff(tmp_path / "in" / f"t{t}.tif", frames[t])
        files[f"m/l{t}.tif"] = tiff(tmp_path / "in" / f"l{t}.tif", masks[t])
        rows += [{"path": f"m/t{t}.tif", "part": "Movie"},
                 {"path": f"m/l{t}.tif", "part": "Tracks", "role": "labels",
                  "source_image": f"m/t{t}.tif"}]  # fmt: skip
    bench.add_study("SB-TASK", files, rows)
    folder = tmp_path / "challenges" / "task"
    folder.mkdir(parents=True)
    (folder / "challenge.yaml").write_text(BASE.format(slug="task", task="tracking", scoring=""))
    result = challenge.release(
        folder, public=bench.public, vault=bench.vault, private=bench.private
    )
    told = [f for f in result.findings if f.severity == "error"]
    assert {f.code for f in told} == {"NO_TIME_AXIS"} and len(told) == 3
    assert "t<000-099>.tif" in told[0].mend


def test_labels_saved_as_jpeg_are_no_truth(tmp_path):
    bench, files, rows = Bench(tmp_path), {}, []
    for k in range(3):
        image, labels = discs(k)
        files[f"s{k}.tif"] = tiff(tmp_path / f"s{k}.tif", image)
        name = f"s{k}_lab.{'jpg' if k == 1 else 'tif'}"
        files[name] = tiff(tmp_path / f"s{k}_lab.tif", labels)
        if k == 1:
            files[name] = imagecodecs.jpeg_encode(labels.astype(np.uint8) * 20)
        rows.append({"path": f"s{k}.tif", "part": "Images"})
        rows.append({"path": name, "part": "Masks", "role": "labels",
                     "source_image": f"s{k}.tif"})  # fmt: skip
    bench.add_study("SB-TASK", files, rows)
    folder = tmp_path / "challenges" / "task"
    folder.mkdir(parents=True)
    text = BASE.format(slug="task", task="instance-segmentation", scoring="  primary: AP")
    (folder / "challenge.yaml").write_text(text)
    found = challenge.release(folder, public=bench.public, vault=bench.vault, private=bench.private)
    assert [(f.code, f.file) for f in found.findings] == [("PAIR_UNFIT", "SB-TASK/s1.tif")]
    assert "is a JPEG" in found.findings[0].message


def test_of_several_annotators_init_takes_one_and_names_the_others(tmp_path):
    bench, files, rows = Bench(tmp_path), {}, []
    for k in range(4):
        image, labels = discs(k)
        files[f"s{k}.tif"] = tiff(tmp_path / f"s{k}.tif", image)
        rows.append({"path": f"s{k}.tif", "part": "Images"})
        for who in ("By Anna", "By Ben") if k else ("By Cleo",):
            name = f"{who[3:]}{k}.tif"
            files[name] = tiff(tmp_path / name, labels)
            rows.append({"path": name, "part": who, "role": "labels",
                         "source_image": f"s{k}.tif"})  # fmt: skip
    bench.add_study("SB-TASK", files, rows)
    path = challenge.init(tmp_path / "challenges" / "discs", accession="SB-TASK",
                          archive=bench.archive())  # fmt: skip
    told = next(n for n in path.read_text().splitlines() if n.strip().startswith("annotations:"))
    chosen, _, others = told.partition("#")
    assert '"By Anna"' in chosen and '"By Cleo"' in chosen and '"By Ben"' in others
    found = challenge.release(path.parent, public=bench.public, vault=bench.vault,
                              private=bench.private)  # fmt: skip
    assert found.ok, found.findings
