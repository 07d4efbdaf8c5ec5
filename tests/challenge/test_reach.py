"""Hidden truth is found wherever it lies under public/, in whatever form."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from archives import Bench, challenge_folder, discs, nuclei, tiff

from slidebox.challenge import reach, splits
from slidebox.challenge.assemble import assemble
from slidebox.challenge.model import load
from slidebox.challenge.release import Writer
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
