"""What a release is written as, and hidden truth that comes back in other clothes."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from archives import Bench, challenge_folder, nuclei
from ome_zarr_models import open_ome_zarr

from slidebox import challenge, scoring
from slidebox.challenge import baseline
from slidebox.challenge.integrity import verify_folder
from slidebox.vault import Vault


def release(bench: Bench, folder: Path, **more):
    return challenge.release(
        folder, public=bench.public, vault=bench.vault, private=bench.private, **more
    )


@pytest.fixture
def bench(tmp_path):
    return nuclei(tmp_path, each=1)


def hidden_labels(bench: Bench) -> tuple[Path, np.ndarray]:
    files = {f.path: Path(f.content) for f in Vault(bench.vault).files("SB-NUCLEI")}
    path = files["labels/spC_0_lab.tif"]
    return path, tifffile.imread(path)


def test_images_as_ome_zarr(bench, tmp_path):
    folder = challenge_folder(
        tmp_path, change=lambda t: t.replace("splits:", "  images: ome-zarr\nsplits:", 1)
    )
    result = release(bench, folder)
    assert result.ok, result.findings
    items = scoring.open_release(result.folder).items("train")
    source = {f.path: Path(f.content) for f in Vault(bench.vault).files("SB-NUCLEI")}
    for item in items:
        assert item.image.name == f"{item.id}.ome.zarr"
        open_ome_zarr(zarr.open_group(item.image, mode="r"))  # its own judge raises
        pixels = np.asarray(zarr.open_group(item.image, mode="r")["0"])
        assert np.array_equal(pixels, tifffile.imread(source[f"images/{item.id}.tif"]))
    predicted = baseline.predict(result.folder, tmp_path / "p", "train")
    found = scoring.score(result.folder, predicted, "train", tmp_path / "out")
    assert found.scores["metrics"]["AP"]["value"] > 0.2
    assert (tmp_path / "out" / "overlays").is_dir()
    assert verify_folder(result.folder) == []
    again = release(bench, folder, out=tmp_path / "again")
    assert (again.folder / "SHA256SUMS").read_text() == (result.folder / "SHA256SUMS").read_text()


def test_a_crop_of_each_image(bench, tmp_path):
    folder = challenge_folder(
        tmp_path,
        change=lambda t: t.replace(
            "splits:", "  crop: {size: [64, 48], from: [8, 90]}\nsplits:", 1
        ),
    )  # fmt: skip
    result = release(bench, folder)
    assert result.ok, result.findings
    item = scoring.open_release(result.folder).items("train")[0]
    source = {f.path: Path(f.content) for f in Vault(bench.vault).files("SB-NUCLEI")}
    whole = tifffile.imread(source[f"images/{item.id}.tif"])
    # It moves inwards where it would leave the image
    assert np.array_equal(tifffile.imread(item.image), whole[8:72, 48:])
    assert "from:" in (result.folder / "challenge.yaml").read_text()


def test_built_elsewhere_it_is_the_same(bench, tmp_path):
    """Another folder, time zone, umask, hash seed and order of files."""
    folder = challenge_folder(tmp_path)
    first = release(bench, folder)
    code = textwrap.dedent(
        """
        import os, random, sys
        from pathlib import Path
        os.umask(0o077)
        real = Path.rglob, Path.glob, os.listdir
        def mixed(found):
            found = list(found)
            random.shuffle(found)
            return found
        Path.rglob = lambda self, *a, **k: iter(mixed(real[0](self, *a, **k)))
        Path.glob = lambda self, *a, **k: iter(mixed(real[1](self, *a, **k)))
        os.listdir = lambda *a: mixed(real[2](*a))
        from slidebox import challenge
        folder, public, vault, private, out = sys.argv[1:]
        made = challenge.release(folder, public=public, vault=vault, private=private, out=out)
        assert made.ok, made.findings
        """
    )
    (tmp_path / "else where").mkdir()
    names = [folder, bench.public, bench.vault, bench.private, tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, names)], cwd=tmp_path / "else where",
        env=os.environ | {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7", "LANG": "C"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    other = tmp_path / "out" / "nuclei" / "1.0.0"
    one, two = (
        {p.relative_to(f).as_posix(): p.read_bytes() for f in (where,) for p in f.rglob("*")
         if p.is_file()}
        for where in (first.folder, other)
    )  # fmt: skip
    assert one == two


def npy(path: Path, labels: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), labels.astype(np.int64))
    return path.with_suffix(".npy")


def png(path: Path, labels: np.ndarray) -> Path:
    path = path.with_suffix(".png")
    path.write_bytes(imagecodecs.png_encode((labels + (labels > 0) * 40).astype(np.uint16)))
    return path


def zarr_array(path: Path, labels: np.ndarray) -> Path:
    array = zarr.create_array(path.with_suffix(".zarr"), shape=(1, *labels.shape), dtype="i4")
    array[:] = labels[None]
    return path.with_suffix(".zarr")


def turned(path: Path, labels: np.ndarray) -> Path:
    tifffile.imwrite(path.with_suffix(".tif"), np.rot90(labels)[::-1].astype(np.float32))
    return path.with_suffix(".tif")


def channel(path: Path, labels: np.ndarray) -> Path:
    stack = np.stack([labels * 0 + 5, labels]).astype(np.uint32)
    tifffile.imwrite(path.with_suffix(".ome.tif"), stack, metadata={"axes": "CYX"})
    return path.with_suffix(".ome.tif")


slow = pytest.mark.slow


@pytest.mark.parametrize(
    "resaved", [pytest.param(npy, marks=slow), pytest.param(png, marks=slow), zarr_array,
                pytest.param(turned, marks=slow), channel],
)  # fmt: skip
def test_hidden_pixels_in_another_format_are_found(bench, tmp_path, resaved):
    _, labels = hidden_labels(bench)
    (bench.public / "SB-NUCLEI" / "extra").mkdir()
    where = resaved(bench.public / "SB-NUCLEI" / "extra" / "a", labels)
    result = release(bench, challenge_folder(tmp_path))
    errors = [f for f in result.findings if f.severity == "error"]
    assert {f.code for f in errors} == {"HIDDEN_REACHABLE"}
    assert any(where.name in f.file and "spC_0" in f.message for f in errors)
    assert not (bench.public / "challenges" / "nuclei" / "1.0.0").exists()


def test_hidden_bytes_that_are_packed_are_found(bench, tmp_path):
    path, _ = hidden_labels(bench)
    (bench.public / "x.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert {f.code for f in release(bench, challenge_folder(tmp_path)).findings
            if f.severity == "error"} == {"HIDDEN_REACHABLE"}  # fmt: skip


def test_the_spread_of_strata_is_told_without_counting_objects(bench, tmp_path):
    result = release(
        bench,
        challenge_folder(
            tmp_path,
            change=lambda t: t.replace("group_by: specimen", "group_by: specimen\n  folds: 2"),
        ),
    )
    assert result.ok, result.findings
    picture = (result.folder / "splits.svg").read_text()
    assert picture.startswith("<svg") and "SB-NUCLEI" in picture and "train" in picture
    text = (result.folder / "README.md").read_text()
    assert "| groups | 3 | 1 | 2 |" in text and "splits.svg" in text
    assert (result.folder / "baseline.py").read_text().startswith("# /// script")
    assert "scikit-image==" in (result.folder / "baseline.py").read_text()
