"""Hidden truth is found wherever it lies under public/, in whatever form."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import imagecodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tifffile
import zarr
from archives import Bench, challenge_folder, discs, nuclei, tiff
from scipy import ndimage

from slidebox import challenge
from slidebox.challenge import reach, splits
from slidebox.challenge.assemble import assemble
from slidebox.challenge.model import load
from slidebox.challenge.writer import Writer
from slidebox.vault import Vault


def found(bench: Bench, folder: Path) -> list[str]:
    """Where `reach` finds hidden truth, of a release that has yet to be written."""
    made = load(folder)
    pairs, problems = assemble(made, bench.archive())
    split_of, more = splits.divide(made, pairs)
    assert not [f for f in [*problems, *more] if f.severity == "error"]
    staging, hidden = bench.root / "staging", bench.root / "hidden"
    staging.mkdir(exist_ok=True)
    writer = Writer(made, folder, bench.archive(), pairs, split_of, staging, hidden, bench.public)
    return [f"{f.file}: {f.message}" for f in reach.check(writer, lambda *_: None)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    root = tmp_path_factory.mktemp("reach")
    bench, folder = nuclei(root, each=1), challenge_folder(root)
    contents = {f.path: Path(f.content) for f in Vault(bench.vault).files("SB-NUCLEI")}
    assert found(bench, folder) == []
    return bench, folder, contents["labels/spC_0_lab.tif"]


def test_labels_inside_a_plate(shared):
    bench, folder, secret = shared
    place = bench.public / "SB-OTHER/images/plate.ome.zarr/B/3/0/labels/nuclei/0"
    array = zarr.create_array(place, shape=(1, 1, 1, 96, 96), dtype="i4", chunks=(1, 1, 1, 64, 64))
    array[0, 0, 0] = tifffile.imread(secret)
    (line,) = found(bench, folder)
    assert "plate.ome.zarr/B/3/0/labels/nuclei/0" in line and "spC_0" in line
    array[0, 0, 0] = discs(77)[1]
    assert found(bench, folder) == []


def test_a_member_of_a_zip_whatever_its_name_and_packing(shared):
    bench, folder, secret = shared
    path = bench.public / "everything.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("readme.txt", "hello")
        packed.writestr("deep/er/x.dat", secret.read_bytes())
    assert [line for line in found(bench, folder) if "as deep/er/x.dat" in line]
    path.unlink()


def test_a_re_encoded_copy_inside_a_zip(shared):
    bench, folder, secret = shared
    copy = tiff(bench.root / "copy.tif", tifffile.imread(secret).astype(np.uint8))
    path = bench.public / "figures.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(copy, "mask.tif")
    assert [line for line in found(bench, folder) if "mask.tif" in line]
    path.unlink()


def test_the_digest_in_a_manifest_and_the_name_in_a_table(shared):
    bench, folder, _ = shared
    table = bench.public / "SB-OTHER" / "files.tsv"
    table.parent.mkdir(exist_ok=True)
    table.write_text("path\tsize\nlabels/spC_0_lab.tif\t17\n")
    assert [line for line in found(bench, folder) if "names the file" in line]
    table.unlink()


def test_every_guise_at_once(tmp_path):
    """Each file tells of hidden truth in another way, and each is named."""
    bench, folder = nuclei(tmp_path, each=1, test="CEF", more=1), challenge_folder(tmp_path)
    contents = {f.path: Path(f.content) for f in Vault(bench.vault).files("SB-NUCLEI")}
    secret = contents["labels/spC_0_lab.tif"]
    labels = tifffile.imread(secret)
    place = bench.public / "OTHER"
    place.mkdir()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as inner:
        inner.writestr("x.bin", secret.read_bytes())
    with zipfile.ZipFile(place / "twice.zip", "w") as outer:
        outer.writestr("inner.zip", packed.getvalue())
    tiff(tmp_path / "again.tif", labels.astype(np.uint32)[::-1])
    with tarfile.open(place / "masks.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "again.tif", "a/again.tif")
    table = pa.table({"id": ["q"], "mask": [imagecodecs.png_encode(labels.astype(np.uint8))]})
    pyarrow.parquet.write_table(table, place / "cells.parquet")
    colours = np.random.default_rng(0).integers(1, 255, (labels.max() + 1, 3)).astype(np.uint8)
    colours[0] = 0
    (place / "colours.png").write_bytes(imagecodecs.png_encode(colours[labels]))
    (place / "ground.png").write_bytes(imagecodecs.png_encode((labels > 0).astype(np.uint8) * 255))
    array = zarr.create_array(place / "images/z/0", shape=(96, 96), dtype="u4", chunks=(17, 96))
    array[:] = labels
    runs = []
    for k in range(1, labels.max() + 1):
        flat = np.concatenate([[0], (labels == k).T.ravel().astype(int), [0]])
        begin, end = np.flatnonzero(np.diff(flat) == 1), np.flatnonzero(np.diff(flat) == -1)
        if begin.size:
            runs.append((k, begin, end - begin))
    edges = [[0, *np.stack([b, b + n], 1).ravel().tolist(), labels.size] for _, b, n in runs]
    counts = [np.diff(e).tolist() for e in edges]
    coco = [{"image_id": 1, "segmentation": {"size": [96, 96], "counts": c}} for c in counts]
    (place / "coco.json").write_text(json.dumps({"annotations": coco}))
    lines = [" ".join(f"{s + 1} {k}" for s, k in zip(b, n, strict=True)) for _, b, n in runs]
    (place / "kaggle.csv").write_text("id,runs\n" + "".join(f"a,{line}\n" for line in lines))
    boxes = []
    for k, *_ in runs:
        y, x = np.nonzero(labels == k)
        boxes.append([int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1])
    (place / "boxes.json").write_text(json.dumps([{"bbox": b} for b in boxes]))
    centres = ndimage.center_of_mass(labels > 0, labels, [k for k, *_ in runs])
    (place / "centres.csv").write_text("image,centroid-0,centroid-1,area\n" + "".join(
        f"s7,{y:.2f},{x:.2f},9\n" for y, x in centres))  # fmt: skip
    elsewhere = np.random.default_rng(3).uniform(0, 96, (12, 2))
    (place / "others.csv").write_text("y,x\n" + "".join(f"{y},{x}\n" for y, x in elsewhere))
    digest = base64.b64encode(hashlib.sha256(secret.read_bytes()).digest()).decode()
    (place / "page.html").write_text(f"<p integrity='sha256-{digest}'>")
    found_in = {n: np.unique(tifffile.imread(contents[f"labels/{n}_lab.tif"])).size - 1
                for n in ("spC_0", "spE_0", "spF_0")}  # fmt: skip
    assert len(set(found_in.values())) > 1
    (place / "counts.tsv").write_text(
        "file\tcells\n" + "".join(f"images/{n}.tif\t{c}\n" for n, c in found_in.items())
    )
    (place / "report.html").write_text("<table>" + "".join(
        f"<tr><td>{n}<td>7</td><td><b>{c}</b></td></tr>" for n, c in found_in.items()))  # fmt: skip
    said = "\n".join(found(bench, folder))
    for name in (
        "twice.zip: holds the hidden truth of spC_0 as inner.zip!/x.bin",
        "masks.tar.gz!/masks.tar!/a/again.tif: shows the same", "cells.parquet (in a cell)",
        "colours.png: shows", "ground.png: shows", "images/z/0/zarr.json: shows",
        "coco.json: has the objects", "kaggle.csv: has the objects", "boxes.json: has the objects",
        "centres.csv: has the objects (centres)",
        "page.html: has a digest", "counts.tsv: has the number", "report.html: has the number",
    ):  # fmt: skip
        assert name in said, said
    assert "others.csv" not in said


def test_hidden_labels_that_were_edited(shared):
    """Rescaled, cropped, thickened, as outlines, over the image, without some, one by one."""
    bench, folder, secret = shared
    labels = tifffile.imread(secret)
    place = bench.public / "EDITED"
    place.mkdir()
    mask = labels > 0
    edge = mask & ~ndimage.binary_erosion(mask)
    fewer = np.where(np.isin(labels, [2, 5]), 0, labels)
    gray = np.stack([discs(5)[0].astype(np.uint8)] * 3, -1)
    drawn = gray.copy()
    drawn[edge] = (255, 255, 0)
    made = {
        "twice.png": np.kron(labels, np.ones((2, 2))).astype(np.uint8),
        "half.png": mask[::2, ::2].astype(np.uint8) * 255,
        "crop.png": labels[8:90, 8:80].astype(np.uint8),
        "outlines.png": edge.astype(np.uint8) * 255,
        "thicker.png": ndimage.binary_dilation(mask).astype(np.uint8),
        "fewer.png": fewer.astype(np.uint8) * 3,
        "moved.png": np.pad(labels, ((5, 30), (40, 2))).astype(np.uint8),
        "negative.png": np.where(mask, 0, 255).astype(np.uint8),
        "over.png": drawn,
    }
    for name, array in made.items():
        (place / name).write_bytes(imagecodecs.png_encode(array))
    np.save(place / "one_by_one.npy", np.stack([labels == k for k in range(1, labels.max() + 1)]))
    strangers = {"gray.png": gray, "other.png": discs(99)[1].astype(np.uint8)}
    for name, array in strangers.items():
        (place / name).write_bytes(imagecodecs.png_encode(array))
    said = found(bench, folder)
    shutil.rmtree(place)
    for name in [*made, "one_by_one.npy"]:
        assert [line for line in said if name in line and "of spC_0" in line], (name, said)
    assert not [line for line in said if any(name in line for name in strangers)]


def test_an_older_version_of_the_study_in_which_it_was_public(tmp_path):
    bench = nuclei(tmp_path, each=1)
    folder = challenge_folder(tmp_path)
    files = {f.path: Path(f.content) for f in Vault(bench.vault).files("SB-NUCLEI")}
    filesets = json.loads(Vault(bench.vault).read_meta("SB-NUCLEI", "filesets.json"))
    rows = [
        {"path": f["path"], "part": f["part"], "role": f["role"], **f["attributes"],
         "source_image": f["source_image"]}
        for f in filesets
    ]  # fmt: skip
    bench.add_study("SB-NUCLEI", files, rows)  # version 2: nothing is restricted
    old = bench.public / "SB-NUCLEI" / "v2"
    old.mkdir()
    (bench.public / "SB-NUCLEI" / "study.json").rename(old / "study.json")
    bench.add_study("SB-NUCLEI", files | {"new.txt": b"x"},
                    [*rows, {"path": "new.txt", "part": "Fields of view", "role": "other"}],
                    restricted=("Nuclei, test",))  # fmt: skip
    lines = found(bench, folder)
    assert {"spC_0", "spE_0"} <= {n for n in ("spC_0", "spE_0") if any(n in x for x in lines)}
    assert all("SB-NUCLEI/" in line for line in lines)


def points(root: Path) -> tuple[Bench, Path, str]:
    bench = Bench(root)
    files, rows, text = {}, [], ""
    for k, name in enumerate("abc"):
        image, _ = discs(k)
        files[f"{name}.tif"] = tiff(root / "in" / f"{name}.tif", image)
        rng = np.random.default_rng(k)
        text = "x,y\n" + "".join(f"{x:.3f},{y:.3f}\n" for x, y in rng.uniform(0, 90, (9, 2)))
        files[f"{name}.csv"] = text.encode()
        rows.append({"path": f"{name}.tif", "part": "Images", "specimen": name})
        rows.append({"path": f"{name}.csv", "part": "Test" if name == "c" else "Spots",
                     "role": "table", "source_image": f"{name}.tif", "specimen": name})  # fmt: skip
    bench.add_study("SB-NUCLEI", files, rows, restricted=("Test",))
    folder = challenge_folder(
        root,
        change=lambda t: t.replace("instance-segmentation", "points").replace("primary: AP",
            "tolerance: 2").replace("Nuclei, test", "Test"),
    )  # fmt: skip
    return bench, folder, text


def test_points_in_other_tables(tmp_path):
    bench, folder, text = points(tmp_path)
    assert found(bench, folder) == []
    lines = text.split()[1:]
    table = bench.public / "spots.tsv"
    other = [f"{k}\t{y}\t{x}\tgood" for k, (x, y) in enumerate(r.split(",") for r in lines[::-1])]
    table.write_text("id\ty\tx\tnote\n" + "\n".join(other))
    assert [line for line in found(bench, folder) if "spots.tsv" in line and "points" in line]
    # Among the points of other images
    other += [f"{k}\t{k}.5\t1.25\tother" for k in range(9)]
    table.write_text("id\ty\tx\tnote\n" + "\n".join(other))
    assert [line for line in found(bench, folder) if "spots.tsv" in line]


def test_restoration_truth_saved_as_another_type(tmp_path):
    bench = Bench(tmp_path)
    files, rows = {}, []
    for k, name in enumerate("abc"):
        clean, _ = discs(k)
        files[f"{name}.tif"] = tiff(tmp_path / "in" / f"{name}.tif", clean // 2)
        files[f"{name}_clean.tif"] = tiff(tmp_path / "in" / f"{name}_clean.tif", clean)
        part = "Test" if name == "c" else "Clean"
        rows.append({"path": f"{name}.tif", "part": "Images", "specimen": name})
        rows.append({"path": f"{name}_clean.tif", "part": part, "role": "image",
                     "source_image": f"{name}.tif", "specimen": name})  # fmt: skip
    bench.add_study("SB-NUCLEI", files, rows, restricted=("Test",))
    folder = challenge_folder(
        tmp_path,
        change=lambda t: t.replace("instance-segmentation", "restoration").replace(
            "primary: AP", "primary: PSNR\n  data_range: 65535").replace("Nuclei, test", "Test"),
    )  # fmt: skip
    assert found(bench, folder) == []
    np.save(bench.public / "x.npy", discs(2)[0].astype(np.float32)[None])
    assert [line for line in found(bench, folder) if "x.npy" in line]


def released(bench, folder):
    made = challenge.release(folder, public=bench.public, vault=bench.vault, private=bench.private)
    return made.ok, [(f.code, f.file, f.message) for f in made.findings if f.severity == "error"]


def test_images_without_an_object_are_no_secret(tmp_path):
    """Empty labels, and tiles without an object, are the same in every split."""
    bench, files, rows = Bench(tmp_path), {}, []
    for k, name in enumerate("abcd"):
        image, labels = discs(20 + k, 8)
        labels[48:] = 0  # tiles without an object
        labels[:] = labels if k < 2 else 0
        files[f"{name}.tif"] = tiff(tmp_path / "in" / f"{name}.tif", image)
        files[f"{name}_l.tif"] = tiff(tmp_path / "in" / f"{name}_l.tif", labels)
        part = "Nuclei, test" if k % 2 else "Nuclei, training"
        rows += [{"path": f"{name}.tif", "part": "Images", "specimen": name},
                 {"path": f"{name}_l.tif", "part": part, "role": "labels",
                  "source_image": f"{name}.tif"}]  # fmt: skip
    bench.add_study("SB-NUCLEI", files, rows, restricted=("Nuclei, test",))
    tiles = "tiles: {size: [48, 48]}\nsplits:"
    for more in ("splits:", "  " + tiles):
        shutil.rmtree(bench.public / "challenges", ignore_errors=True)
        shutil.rmtree(bench.private, ignore_errors=True)
        folder = challenge_folder(
            tmp_path,
            change=lambda t, m=more: t.replace("splits:", m).replace("    validation:", "    #"),
        )
        assert released(bench, folder) == (True, [])
    shutil.copy(tmp_path / "in" / "b_l.tif", bench.public / "copy.tif")  # one with objects
    ok, errors = released(bench, challenge_folder(tmp_path, version="1.0.1"))
    assert not ok and ("HIDDEN_REACHABLE", "public/copy.tif") in {e[:2] for e in errors}


def test_tables_without_a_point_are_no_secret(tmp_path):
    bench, folder, text = points(tmp_path)
    head = text.split()[0].encode() + b"\n"
    files, rows = {}, []
    for k in range(4):
        image, _ = discs(30 + k)
        files |= {f"e{k}.tif": tiff(tmp_path / "in" / f"e{k}.tif", image), f"e{k}.csv": head}
        rows += [{"path": f"e{k}.tif", "part": "Images", "specimen": f"e{k}"},
                 {"path": f"e{k}.csv", "part": "Test" if k % 2 else "Clicks", "role": "table",
                  "source_image": f"e{k}.tif"}]  # fmt: skip
    bench.add_study("SB-EMPTY", files, rows, restricted=("Test",))
    text = (folder / "challenge.yaml").read_text()
    (folder / "challenge.yaml").write_text(
        text.replace("- accession: SB-NUCLEI", "- accession: SB-NUCLEI\n    - accession: SB-EMPTY")
    )
    assert found(bench, folder) == []
