"""Hidden truth is found wherever it lies under public/, in whatever form."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import pickle
import shutil
import sqlite3
import struct
import tarfile
import textwrap
import zipfile
import zlib
from pathlib import Path

import h5py
import imagecodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import scipy.io
import tifffile
import xxhash
import zarr
from archives import Bench, challenge_folder, discs, nuclei, tiff
from scipy import ndimage

from slidebox import challenge
from slidebox.atomic import owner
from slidebox.challenge import anyimage, containers, digests, reach, searched, splits, tables, tells
from slidebox.challenge.assemble import assemble
from slidebox.challenge.reading import load
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


def test_what_releases_are_writing_is_left_alone(shared):
    bench, folder, secret = shared
    place = bench.public / f"challenges/other/.1.0.0.{owner()}.tmp/train/labels/x.tif"
    place.parent.mkdir(parents=True)
    place.write_bytes(secret.read_bytes())
    assert found(bench, folder) == []
    place = place.rename(bench.public / "challenges/other/x.tif")
    assert found(bench, folder)
    place.unlink()


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
        "masks.tar.gz!/masks.tar!/a/again.tif: shows the same", "cells.parquet!/(in a cell)",
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


def test_digests_of_other_kinds_and_notations(shared):
    bench, folder, secret = shared
    data, labels = secret.read_bytes(), tifffile.imread(secret)
    short = f"{zlib.crc32(data):08x}"
    written = {
        "sha384.txt": hashlib.sha384(data).hexdigest().upper(),
        "blake2b.json": json.dumps({"digest": hashlib.blake2b(data, digest_size=32).hexdigest()}),
        "xxh3.csv": f"a,{xxhash.xxh3_64_hexdigest(data)}",
        "decimal.tsv": f"x\t{int(hashlib.sha256(data).hexdigest(), 16)}",
        "colons.txt": hashlib.md5(data).digest().hex(":"),
        "cut.txt": hashlib.sha1(data).hexdigest()[:16],
        "git.txt": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),
        "values.txt": hashlib.sha256(labels.astype("<i4").tobytes()).hexdigest(),
        "short_and_size.txt": f"{short} {len(data)} x.tif",
        "short_alone.txt": f"{short} 999999 x.tif",  # met by chance among a million numbers
    }
    place = bench.public / "DIGESTS"
    place.mkdir()
    for name, text in written.items():
        (place / name).write_text(text)
    said = found(bench, folder)
    shutil.rmtree(place)
    told = {name for name in written if [x for x in said if name in x and "has a digest" in x]}
    assert told == set(written) - {"short_alone.txt"}, said


def test_formats_and_packings_that_are_opened(shared):
    """Each file has the labels as they are, in a format or a packing of its own."""
    bench, folder, secret = shared
    labels = tifffile.imread(secret).astype(np.uint8)
    image, _ = discs(5)
    png = imagecodecs.png_encode(labels)
    place = bench.public / "FORMATS"
    place.mkdir()
    h5py.File(place / "classifier.ilp", "w").create_dataset("a/b", data=labels[None]).file.close()
    scipy.io.savemat(place / "inst.mat", {"cells": {"inst_map": labels}})
    np.save(place / "x_seg.npy", {"masks": labels, "flows": [1]}, allow_pickle=True)
    (place / "x.pkl").write_bytes(pickle.dumps([{"y": labels}]))
    base = sqlite3.connect(place / "x.sqlite")
    base.execute("create table masks (name, data)")
    base.execute("insert into masks values (?, ?)", ("a", png))
    base.commit()
    base.close()
    text = base64.b64encode(png).decode()
    cell = {"outputs": [{"data": {"image/png": "\n".join(textwrap.wrap(text, 76))}}]}
    pixels = zlib.compress(labels.tobytes())
    head = "%PDF-1.4\n1 0 obj\n<</Width 96/Height 96/Filter/FlateDecode>>\nstream\n"
    with tifffile.TiffWriter(place / "pages.tif") as pages:
        pages.write(image)
        pages.write(labels)
    written = {
        "book.ipynb": json.dumps({"cells": [cell]}).encode(),
        "page.html": f"<html><img src='data:image/png;base64,{text}'>".encode(),
        "figure.pdf": head.encode() + pixels + b"\nendstream\nendobj\n",
        "x.tif.zst": imagecodecs.zstd_encode(secret.read_bytes()),
        "x.nii.gz": gzip.compress(_nifti(labels)),
        "x.nrrd": b"NRRD0004\ntype: uint8\nsizes: 96 96\nencoding: raw\n\n" + labels.tobytes(),
        "bare.raw": labels.astype("<u2").tobytes(),
        "no_ending": png,
        "matrix.csv": "\n".join(",".join(map(str, row)) for row in labels).encode(),
        "matrix.json": json.dumps(labels.tolist()).encode(),
        "x.gif": imagecodecs.gif_encode(labels),
    }
    for name, data in written.items():
        (place / name).write_bytes(data)
    names = {path.name for path in place.iterdir()}
    said = found(bench, folder)
    shutil.rmtree(place)
    assert {n for n in names if not [x for x in said if f"/{n}" in x and "spC_0" in x]} == set()


def _nifti(labels: np.ndarray) -> bytes:
    head = bytearray(352)
    struct.pack_into("<i36x8h", head, 0, 348, 3, *labels.shape[::-1], 1, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, 2, 8)
    struct.pack_into("<f", head, 108, 352)
    head[344:348] = b"n+1\0"
    return bytes(head) + labels.tobytes()


def test_what_cant_be_opened_is_named(shared):
    bench, folder, _ = shared
    (bench.public / "x.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(40))
    whole = tiff(bench.root / "whole.tif", np.random.default_rng(0).integers(0, 9, (96, 96)))
    (bench.public / "cut.tif").write_bytes(whole.read_bytes()[:2000])
    said = found(bench, folder)
    for name in ("x.7z", "cut.tif"):
        (bench.public / name).unlink()
    assert [x.split(": ")[:2] for x in said] == [
        [f"public/{name}", "wasn't searched for hidden truth"] for name in ("cut.tif", "x.7z")
    ], said


def test_members_that_are_damaged_or_shut_are_named(shared):
    """Also those of members; what is whole beside them is searched."""
    bench, folder, secret = shared
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in (
            ("cut.gz", gzip.compress(np.random.default_rng(0).bytes(4000))[:2000]),
            ("shut.7z", b"7z\xbc\xaf\x27\x1c" + bytes(40)), ("lab.tif", secret.read_bytes()),
        ):  # fmt: skip
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    path = bench.public / "all.zip"
    with zipfile.ZipFile(path, "w") as outer:
        outer.writestr("bad.bin", b"q" * 999)
        outer.writestr("inner.tar", packed.getvalue())
    path.write_bytes(path.read_bytes().replace(b"q" * 999, b"r" * 999))  # another CRC
    said = found(bench, folder)
    path.unlink()
    for name in ("!/bad.bin", "!/inner.tar!/cut.gz", "!/inner.tar!/shut.7z"):
        assert [x for x in said if f"all.zip{name}: wasn't searched" in x], (name, said)
    assert [x for x in said if "as inner.tar!/lab.tif" in x]


def test_a_text_that_is_too_large_for_a_table_is_named(shared, monkeypatch):
    bench, folder, _ = shared
    monkeypatch.setattr(tables, "LARGEST", 1 << 20)
    (bench.public / "large.csv").write_text("1,2\n" * (1 << 18) + "3,4\n")
    said = found(bench, folder)
    (bench.public / "large.csv").unlink()
    assert [x.split(": ")[0] for x in said] == ["public/large.csv"] and "1 MB" in said[0], said


def test_a_folder_that_is_linked_to_is_searched(shared, tmp_path):
    """Once, also when it links to where it is linked from."""
    bench, folder, secret = shared
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x.tif").write_bytes(secret.read_bytes())
    (tmp_path / "there" / "back").symlink_to(bench.public)
    (tmp_path / "there" / "round").symlink_to(tmp_path / "there")
    (bench.public / "linked").symlink_to(tmp_path / "there")
    said = found(bench, folder)
    (bench.public / "linked").unlink()
    assert said and {x.split(": ")[0] for x in said} == {"public/linked/x.tif"}, said


def test_numbers_like_short_digests_stop_no_release(tmp_path):
    """Short digests of many hidden files are met by chance among the numbers of large tables; in a
    list of files they stand close together."""
    known = digests.Digests()
    rng = np.random.default_rng(1)
    sums = {}
    for k in range(1500):
        secret = tmp_path / "secret"
        secret.write_bytes(rng.bytes(100))
        sums[k] = known.file(secret, f"i{k}")[:8], zlib.crc32(secret.read_bytes())
        known.beside(f"i{k}", [str(k), f"image {k}"])
    text = tmp_path / "table.txt"
    numbers = [f"{n:08x}" for n in rng.integers(1 << 32, size=60_000)]
    # As many as chance gives or more: two of them alone were an alarm
    text.write_text("\n".join([*numbers, *(sums[k][0] for k in range(4))]))
    assert known.find(text) == set()
    decimals = map(str, rng.integers(10_000_000, 1 << 32, size=60_000))
    text.write_text("\n".join(decimals))
    assert known.find(text) == set()
    for column in (0, 1):
        text.write_text("\n".join(f"{sums[k][column]},{k}0.9" for k in range(6)))
        assert {whose for _, whose in known.find(text)} == {f"i{k}" for k in range(6)}
    text.write_text(f"image 7: {sums[7][1]}.")
    assert known.find(text) == {("has a digest", "i7")}
    text.write_text(f"image 75: {sums[7][1]}.")
    assert known.find(text) == set()


def test_names_are_whole_names(tmp_path):
    known = digests.Digests()
    known.name("labels/1.tif", "a")
    text = tmp_path / "x.txt"
    lines = {"see /data/labels/1.tif.": True, '"labels/1.tif"': True, "labels/1.tiff": False,
             "open_labels/1.tif": False, "labels/11.tif": False}  # fmt: skip
    for line, told in lines.items():
        text.write_text(line)
        assert bool(known.find(text)) is told, line


def test_few_objects_are_met_by_chance_in_large_tables(tmp_path):
    """Centres and boxes of other images, thousands in a table, are near those of three objects."""
    rng = np.random.default_rng(2)
    planes = []
    for _ in range(100):
        plane = np.zeros((256, 256), np.uint8)
        for n, (y, x) in enumerate(rng.permutation(100)[:3, None] // (10, 1) % 10 * 24 + 4, 1):
            plane[y : y + 12, x : x + 12] = n
        planes.append(plane)
    hidden = [tells.objects(f"i{k}", {f"i{k}"}, [p]) for k, p in enumerate(planes)]
    looked_for = tells.Tells(hidden)
    text = tmp_path / "table.csv"
    places = rng.uniform(0, 256, (2500, 2))
    text.write_text("y,x\n" + "\n".join(f"{y},{x}" for y, x in places))
    assert looked_for.told(text)[0] == set()
    corners = rng.uniform(0, 244, (40_000, 2))
    text.write_text("x1,y1,x2,y2\n" + "\n".join(
        f"{x},{y},{x + 12},{y + 12}" for y, x in corners))  # fmt: skip
    assert looked_for.told(text)[0] == set()
    own = hidden[5].places[0]
    text.write_text("y,x\n" + "\n".join(f"{y},{x}" for y, x in [*own, *places[:20]]))
    assert ("i5", "has the objects (centres)") in looked_for.told(text)[0]
    text.write_text("x1,y1,x2,y2\n" + "\n".join(
        ",".join(map(str, box)) for box in hidden[5].boxes))  # fmt: skip
    assert ("i5", "has the objects (outlines or boxes)") in looked_for.told(text)[0]


def test_small_numbers_beside_names_are_no_secret(tmp_path):
    """A fold is often the number of objects; the numbers of many images are one."""
    hidden = [tells.Objects(f"i{k}", {f"i{k}"}, 1 + k % 2) for k in range(20)]
    text = tmp_path / "table.csv"
    for few in (3, 20):
        rows = [f"i{k},{1 + k % 2},x" for k in range(few)]
        text.write_text("id,fold,image\n" + "\n".join(rows))
        said = tells.Tells(hidden[:few]).told(text)[0]
        assert len(said) == (0 if few == 3 else few)
    spots = tells.Objects("s", {"s"}, 6, areas=np.array([1.0, 1, 1, 2, 2, 2]))
    text.write_text("a,group\n" + "\n".join(f"{k},{1 + k % 2}" for k in range(6)))
    assert tells.Tells([spots]).told(text)[0] == set()


class _Ran:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_pickles_run_nothing(tmp_path, monkeypatch):
    """What a pickle calls isn't called, NumPy's own code included; what refers to itself many times
    is looked at once; arrays are found in every protocol and order."""
    monkeypatch.chdir(tmp_path)
    labels = np.arange(64, dtype=">u2").reshape(8, 8)
    nested = labels
    for _ in range(7):
        nested = [nested] * 200
    objects = np.array([{"a": labels.T}, None], object)
    for protocol in (2, 3, 4, 5):
        data = [_Ran(), nested, objects, np.float32(3), np.zeros(3, "V4"), b"x", {1}]
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(data, protocol))
        read = [np.stack(list(s.planes()))[0] for s in anyimage.arrays(tmp_path / "x.pkl")]
        assert [a.tolist() for a in read] == [labels.tolist(), labels.T.tolist()], protocol
    # Bytes that would be pointers
    hostile = pickle.dumps(np.zeros((2, 2), "V8")).replace(b"V8", b"O8")
    (tmp_path / "x.pkl").write_bytes(hostile)
    assert list(anyimage.arrays(tmp_path / "x.pkl")) == []
    assert not Path("ran").exists()


@pytest.mark.parametrize("pack", [
    imagecodecs.zstd_encode, imagecodecs.lz4f_encode, zlib.compress, gzip.compress,
    imagecodecs.brotli_encode,
])  # fmt: skip
def test_what_unpacks_to_too_much_is_bounded_and_named(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(containers, "LARGEST", 1 << 20)
    path = tmp_path / ("bomb.br" if pack is imagecodecs.brotli_encode else "bomb")
    path.write_bytes(pack(bytes(8 << 20)))
    left = containers.Left()
    sizes = [inner.stat().st_size for _, inner in containers.everything(path, left)]
    assert sizes == [path.stat().st_size, 1 << 20]
    assert [why for _, why in left.members] == ["what follows its first 0 GB"]
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as packed:
        for k in range(6):
            packed.write(path, f"m{k}{path.suffix}")
    monkeypatch.setattr(containers, "ALL", 3 << 20)
    with pytest.raises(containers.TooMuch):
        list(containers.everything(tmp_path / "many.zip"))


def test_files_that_every_truth_has_are_no_secret(tmp_path):
    """Empty frames of a time-lapse, what describes a Zarr array; not the labels themselves."""
    frames = []
    for t in range(3):
        plane = np.zeros((32, 32), np.uint16) if t == 0 else discs(t)[1][:32, :32]
        frames.append((f"man_track{t}.tif", tiff(tmp_path / f"{t}.tif", plane)))
    assert reach._common(frames) == {"man_track0.tif"}
    assert reach._common(frames[1:2]) == set()
    zarr.save_array(tmp_path / "x.zarr", discs(7)[1], zarr_format=2)
    files = [(p.name, p) for p in (tmp_path / "x.zarr").rglob("*") if p.is_file()]
    assert {".zarray"} <= reach._common(files) < {name for name, _ in files}


def test_objects_told_in_words(shared):
    """Outlines, regions, boxes and centres, also in micrometres or as a part of the image."""
    bench, folder, secret = shared
    labels = tifffile.imread(secret)
    place = bench.public / "WORDS"
    place.mkdir()
    boxes = [b for b in ndimage.find_objects(labels) if b is not None]
    numbers = [k for k in range(1, labels.max() + 1) if (labels == k).any()]
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers))
    corners = [(b[1].start, b[0].start, b[1].stop, b[0].stop) for b in boxes]
    round_ = [f"{x0},{y0} {x1},{y0} {x1},{y1} {x0},{y1}" for x0, y0, x1, y1 in corners]
    with zipfile.ZipFile(place / "RoiSet.zip", "w") as packed:
        for k, (x0, y0, x1, y1) in enumerate(corners):
            roi = struct.pack(">4shBB4h", b"Iout", 227, 1, 0, y0, x0, y1, x1)
            packed.writestr(f"{k}.roi", roi + bytes(64))
    overlays = [struct.pack(">4shBB4h", b"Iout", 227, 1, 0, y0, x0, y1, x1) + bytes(64)
                for x0, y0, x1, y1 in corners]  # fmt: skip
    tifffile.imwrite(place / "over.tif", discs(5)[0], imagej=True, metadata={"Overlays": overlays})
    polygons = "".join(f'<Polygon Points="{p}"/>' for p in round_)
    spots = "".join(f'<Spot POSITION_X="{x * 0.3}" POSITION_Y="{y * 0.3}"/>' for y, x in centres)
    written = {
        "roi.ome.xml": f"<OME><ROI>{polygons}</ROI></OME>",
        "drawn.svg": f"<svg>{polygons.replace('Polygon Points', 'polygon points')}</svg>",
        "tracks.xml": f"<TrackMate>{spots}</TrackMate>",
        "shapes.csv": "id,wkt\n" + "\n".join(
            f'a,"POLYGON (({p.translate(str.maketrans(", ", " ,"))}))"' for p in round_),
        "qupath.tsv": "Name\tCentroid X µm\tCentroid Y µm\n" + "\n".join(
            f"a\t{x / 2:.2f}\t{y / 2:.2f}" for y, x in centres),
        "flipped.csv": "a,b\n" + "\n".join(f"{96 - x:.2f},{y:.2f}" for y, x in centres),
        "bare.txt": "\n".join(f"{x:.1f} {y:.1f}" for y, x in centres),
        "yolo.txt": "\n".join(
            f"0 {(x0 + x1) / 192:.6f} {(y0 + y1) / 192:.6f} {(x1 - x0) / 96:.6f} "
            f"{(y1 - y0) / 96:.6f}" for x0, y0, x1, y1 in corners),
        "areas.csv": "n,area\n" + "\n".join(
            f"{k},{0.09 * (labels == k).sum():.3f}" for k in numbers),
        "pixels.json": json.dumps({"spC_0": int((labels > 0).sum()), "spE_0": 1}),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    strangers = {
        "other.csv": "x,y\n" + "\n".join(f"{x},{y}" for x, y in rng.uniform(0, 99, (12, 2))),
        "series.csv": "\n".join(f"{k},{k * k}" for k in range(len(numbers))),
    }
    for name, text in (written | strangers).items():
        (place / name).write_text(text)
    said = found(bench, folder)
    shutil.rmtree(place)
    for name in ["RoiSet.zip", "over.tif", *written]:
        # One number of one image may be met by chance
        is_told = [x for x in said if name in x and "of spC_0" in x]
        assert bool(is_told) == (name != "pixels.json"), (name, said)
    assert not [x for x in said if any(name in x for name in strangers)]


def test_masks_in_gray_levels_and_pieces_of_them(shared):
    bench, folder, secret = shared
    labels = tifffile.imread(secret)
    mask, image = labels > 0, discs(20)[0]
    place = bench.public / "GRAY"
    (place / "masks").mkdir(parents=True)
    rng = np.random.default_rng(0)
    made = {
        "blurred.tif": ndimage.gaussian_filter(mask * 255.0, 2).astype(np.uint8),
        "likely.tif": (mask * 0.9 + rng.normal(0.05, 0.02, mask.shape)).astype(np.float32),
        "where.tif": np.where(mask, image, 0),
        "piece.tif": labels[30:80, 20:75].astype(np.uint8),
    }
    for name, array in made.items():
        tiff(place / name, array)
    jpeg = imagecodecs.jpeg_encode(mask.astype(np.uint8) * 255, level=80)
    (place / "mask.jpg").write_bytes(jpeg)
    for k in range(1, labels.max() + 1):  # a file an object
        if (labels == k).any():
            tiff(place / "masks" / f"{k}.tif", (labels == k).astype(np.uint8))
    tiff(place / "blurred_other.tif", ndimage.gaussian_filter(discs(7)[0], 2))
    tiff(place / "micrograph.tif", image)
    said = found(bench, folder)
    shutil.rmtree(place)
    for name in [*made, "mask.jpg", "/masks/"]:
        assert [x for x in said if name in x and "spC_0" in x], (name, said)
    assert not [x for x in said if "blurred_other" in x or "micrograph" in x]


def test_what_was_searched_is_not_searched_again(shared, monkeypatch):
    """Until it changes; also what is deep in a Zarr, with the array's own description as it was."""
    bench, folder, secret = shared
    monkeypatch.setattr(searched, "SETTLED", 0)
    place = bench.public / "LATER" / "plate.zarr" / "0"
    array = zarr.create_array(place, shape=(96, 96), dtype="i4", chunks=(48, 48))
    array[:] = discs(77)[1]
    assert found(bench, folder) == []
    looked_at = []
    search = reach._Search.file
    monkeypatch.setattr(reach._Search, "file", lambda self, path, *more, **named: (
        looked_at.append(path) or search(self, path, *more, **named)))  # fmt: skip
    assert found(bench, folder) == []
    assert looked_at == []
    array[:] = tifffile.imread(secret)
    assert [x for x in found(bench, folder) if "plate.zarr/0/zarr.json" in x]
    # What was found is searched each time
    assert [x for x in found(bench, folder) if "plate.zarr/0/zarr.json" in x]
    assert {p for p in looked_at if bench.public / "LATER" not in p.parents} == set()
    shutil.rmtree(bench.public / "LATER")


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
    # In another unit, with y from below, as an array
    places = np.array([[float(v) for v in r.split(",")] for r in lines])
    np.save(bench.public / "spots.npy", places * [0.1, -0.1] + [3, 50])
    assert [line for line in found(bench, folder) if "spots.npy" in line and "unit" in line]
    (bench.public / "spots.npy").unlink()
    # Among the points of other images
    other += [f"{k}\t{k}.5\t1.25\tother" for k in range(9)]
    table.write_text("id\ty\tx\tnote\n" + "\n".join(other))
    assert [line for line in found(bench, folder) if "spots.tsv" in line]


def test_restoration_truth_saved_as_another_type(tmp_path):
    bench = Bench(tmp_path)
    files, rows = {}, []
    for k, name in enumerate("abc"):
        clean, _ = discs(k)
        poor = np.random.default_rng(k).poisson(clean / 40) * 20  # few photons
        files[f"{name}.tif"] = tiff(tmp_path / "in" / f"{name}.tif", poor.astype(np.uint16))
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
    clean = discs(2)[0].astype(np.float32)
    np.save(bench.public / "x.npy", clean[None])
    bright = (255 * (clean / clean.max()) ** 0.6).astype(np.uint8)
    (bench.public / "bright.png").write_bytes(imagecodecs.png_encode(np.rot90(bright).copy()))
    tiff(bench.public / "noisier.tif", clean + np.random.default_rng(0).normal(0, 200, clean.shape))
    said = found(bench, folder)
    assert [line for line in said if "x.npy" in line]
    assert [line for line in said if "bright.png" in line and "nearly the same" in line]
    assert not [line for line in said if "noisier" in line]


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


def test_stained_tissue_is_not_its_own_hidden_truth(tmp_path):
    """The colour of a stain marks the nuclei, as outlines drawn over a gray picture would."""
    bench, files, rows = Bench(tmp_path), {}, []
    for k in range(4):
        labels = discs(k, size=128)[1]
        grain = np.random.default_rng(k).integers(0, 6, (*labels.shape, 3))
        tissue = np.array([(238, 236, 232), (214, 188, 204)][k % 2]) + grain
        tissue[labels > 0] = (90, 50, 140) + grain[labels > 0]
        files[f"s{k}.tif"] = tmp_path / f"s{k}.tif"
        tifffile.imwrite(files[f"s{k}.tif"], tissue.astype(np.uint8), photometric="rgb")
        files[f"s{k}_lab.tif"] = tiff(tmp_path / f"s{k}_lab.tif", labels)
        rows.append({"path": f"s{k}.tif", "part": "Fields of view", "specimen": f"d{k}"})
        part = "Nuclei, training" if k < 2 else "Nuclei, test"
        rows.append({"path": f"s{k}_lab.tif", "part": part, "role": "labels",
                     "source_image": f"s{k}.tif"})  # fmt: skip
    bench.add_study("SB-NUCLEI", files, rows, restricted=("Nuclei, test",))
    folder = challenge_folder(tmp_path)
    place = bench.public / "PICTURES"
    place.mkdir()
    tissue = tifffile.imread(files["s2.tif"])
    (place / "thumbnail.png").write_bytes(imagecodecs.png_encode(tissue[::2, ::2].copy()))
    assert found(bench, folder) == []
    # What is drawn over the tissue's gray levels is still found
    labels = tifffile.imread(files["s2_lab.tif"])
    gray = np.stack([tissue.mean(2).astype(np.uint8)] * 3, -1)
    gray[labels > 0] = (255, 255, 0)
    (place / "drawn.png").write_bytes(imagecodecs.png_encode(gray))
    said = found(bench, folder)
    assert len(said) == 1 and said[0].startswith("public/PICTURES/drawn.png: shows"), said


def test_labels_that_fill_their_image_say_no_number(tmp_path):
    """Dense segmentation: nearly all is foreground, and a share of 1 is as any column of ones."""
    labels = [np.arange(64 * 64).reshape(64, 64) // (128 + k) + 1 for k in range(4)]
    for k in (0, 1, 2):
        labels[k][0, : k + 1] = 0  # a few pixels of membrane; of the last one none
    hidden = [tells.objects(f"b{k}", {f"b{k}"}, [one]) for k, one in enumerate(labels)]
    table = tmp_path / "files.csv"
    table.write_text("path,version,pixels\n" + "".join(f"b{k}.tif,1,4096\n" for k in range(4)))
    assert tells.Tells(hidden).told(table) == (set(), [])
    # The exact number of pixels is still a secret
    table.write_text("path,n\n" + "".join(f"b{k}.tif,{4095 - k}\n" for k in range(3)))
    told, _ = tells.Tells(hidden).told(table)
    assert told == {(f"b{k}", "has the foreground's pixels") for k in range(3)}
