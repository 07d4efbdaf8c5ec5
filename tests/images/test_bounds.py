"""Layouts for volumes, what can't be read in bounds, proofs long after, and second opinions."""

from __future__ import annotations

import json
import shutil

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

from slidebox import images
from slidebox.images import LabelSource, Recipe, UnreadableImage
from slidebox.images.checksum import tree_checksum
from slidebox.images.plan import make_plan

from . import independent

MB = 1 << 20


def volume(path, shape=(150, 100, 130), spacing=(0.2, 0.2, 0.2)):
    """An isotropic zyx stack of uint16 in an OME-TIFF, smooth with noise."""
    rng = np.random.default_rng(3)
    data = rng.poisson(30, shape).astype(np.uint16)
    data[:20] = 0  # a chunk deep of nothing, in part
    tifffile.imwrite(
        path,
        data,
        metadata={
            "axes": "ZYX",
            "PhysicalSizeZ": spacing[0],
            "PhysicalSizeY": spacing[1],
            "PhysicalSizeX": spacing[2],
        },
    )
    return data


@pytest.mark.parametrize("ngff", ["0.5", "0.4"])
def test_chunks_of_a_volume(tmp_path, ngff):
    """Cubes as inner chunks; the same pixels on all levels as with planes; zarr reads them."""
    data = volume(tmp_path / "v.ome.tif")
    recipe = Recipe(chunks="volume", ngff=ngff)
    derived = images.convert(tmp_path / "v.ome.tif", tmp_path / "v.ome.zarr", recipe=recipe)
    images.convert(tmp_path / "v.ome.tif", tmp_path / "p.ome.zarr")
    assert derived.levels[0]["chunk"] == [64, 56, 72] and derived.recipe["chunks"] == "volume"
    store = zarr.open_group(tmp_path / "v.ome.zarr", mode="r")
    planes = zarr.open_group(tmp_path / "p.ome.zarr", mode="r")
    assert np.array_equal(store["0"][...], data)
    for level in derived.levels:
        assert np.array_equal(store[level["path"]][...], planes[level["path"]][...])
    tree, files, size = tree_checksum(tmp_path / "v.ome.zarr")
    assert (derived.tree, derived.objects, derived.bytes) == (tree, files, size)
    assert images.verify(tmp_path / "v.ome.zarr", tmp_path / "v.ome.tif") == []
    images.write_thumbnail(tmp_path / "v.ome.zarr", tmp_path / "v.png")


def test_chunks_that_are_unknown():
    with pytest.raises(ValueError, match="planes or volume"):
        Recipe(chunks="columns")


def test_a_deep_volume_of_wide_planes_has_flatter_chunks(tmp_path):
    """What is held at once is bounded: as many planes as the memory allows."""
    tifffile.imwrite(
        tmp_path / "v.ome.tif",
        shape=(200, 3000, 3000),
        dtype=np.uint16,
        bigtiff=True,
        metadata={"axes": "ZYX"},
    )
    with images.open_image(tmp_path / "v.ome.tif") as file:
        series = file.series[0]
        deep = [
            make_plan(series, Recipe(chunks="volume"), memory * MB).levels[0].chunk[2]
            for memory in (8000, 512, 300, 230)
        ]
    assert deep[0] == 64 and deep == sorted(deep, reverse=True) and deep[-1] == 1
    assert deep[1] * 3000 * 3000 * 2 <= 180 * MB


def test_pieces_too_large_for_the_memory_are_refused(tmp_path):
    """A strip of 300 MB can only be decoded whole: refused before it is, with what would help."""
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.zeros((10_000, 30_000), np.uint8),
        rowsperstrip=10_000,
        compression="zlib",
    )
    with pytest.raises(UnreadableImage, match=r"876 MB.*allowed are 512 MB.*--memory"):
        images.convert(tmp_path / "a.tif", tmp_path / "a.ome.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif"]
    with images.open_image(tmp_path / "a.tif") as file:
        assert make_plan(file.series[0], Recipe(), 1000 * MB).band == 10_000


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_large_pictures_are_refused_before_they_are_decoded(tmp_path, suffix):
    """PNG and JPEG know no rows; with more memory allowed they are converted."""
    picture = np.zeros((4700, 4800, 3), np.uint8)
    picture[100:200, 300:500] = (250, 120, 10)
    encode = imagecodecs.png_encode if suffix == "png" else imagecodecs.jpeg8_encode
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(encode(picture, level=1 if suffix == "png" else 90))
    with images.open_image(path) as file:
        assert (file.series[0].axes, file.series[0].shape) == ("cyx", (3, 4700, 4800))
    with pytest.raises(UnreadableImage, match=r"in one piece.*--memory"):
        images.convert(path, tmp_path / "a.ome.zarr", memory=300 * MB)
    derived = images.convert(path, tmp_path / "a.ome.zarr", memory=400 * MB)
    assert derived.shape == [3, 4700, 4800]


def test_verify_finds_damaged_labels(tmp_path):
    rng = np.random.default_rng(1)
    independent.write_ome(tmp_path / "a.ome.tif", rng.integers(0, 99, (1, 1, 1, 80, 90), np.uint8))
    objects = np.kron(rng.integers(0, 9, (8, 9), np.uint16), np.ones((10, 10), np.uint16))
    tifffile.imwrite(tmp_path / "l.tif", objects)
    source, out = tmp_path / "a.ome.tif", tmp_path / "a.ome.zarr"
    images.convert(source, out, labels=[LabelSource("cells", tmp_path / "l.tif")])
    assert images.verify(out, source) == [] == images.verify(out)
    other = tmp_path / "other.ome.zarr"
    tifffile.imwrite(tmp_path / "m.tif", objects // 2)
    images.convert(source, other, labels=[LabelSource("cells", tmp_path / "m.tif")])
    shutil.rmtree(out / "labels/cells/0")
    shutil.copytree(other / "labels/cells/0", out / "labels/cells/0")
    for findings in (images.verify(out, source), images.verify(out)):
        assert [f.code for f in findings] == ["IMAGE_DIGEST", "IMAGE_CHANGED"]
        assert findings[0].file.endswith("labels/cells")
    shutil.rmtree(out / "labels")
    assert {f.code for f in images.verify(out, source)} == {"IMAGE_DAMAGED", "IMAGE_CHANGED"}


def test_rows_from_the_bottom_are_no_disagreement(shared_data):
    """DeltaVision and MRC count rows upwards; libraries that turn them aren't told off."""
    for name in ("vendor/dv_toxo/toxo.dv", "vendor/mrc_mrcfile/EMD-3197.map"):
        assert images.second_opinion(shared_data / name) == []


def test_the_command_says_that_readers_disagree(shared_data, tmp_path, monkeypatch, capsys):
    from slidebox import cli
    from slidebox.images.readers import micro

    honest = micro.open_file

    def wrong(path, name):
        file = honest(path, name)
        reader = file.series[0].reader
        file.series[0].reader = lambda *where: reader(*where) ^ 1
        return file

    source = shared_data / "vendor/nd2_arcadia/example-zstack.nd2"
    monkeypatch.setattr(micro, "open_file", wrong)
    command = ["convert", str(source), str(tmp_path / "a.ome.zarr"), "--chunks", "volume"]
    assert cli.main(command) == 1
    assert "READERS_DISAGREE" in "".join(capsys.readouterr())
    meta = json.loads((tmp_path / "a.ome.zarr/zarr.json").read_text())["attributes"]["slidebox"]
    assert meta["recipe"]["chunks"] == "volume"


def test_headers_say_how_pictures_will_be_decoded(tmp_path, monkeypatch):
    """So a large one can be refused before it is decoded: any size counts as large here."""
    import imagecodecs
    from PIL import Image

    from slidebox.images.readers import raster

    rng = np.random.default_rng(2)
    rgb, rgba, grey = (rng.integers(0, 255, (30, 41, *s), np.uint8) for s in ((3,), (4,), ()))
    for name, data in (("rgb", rgb), ("rgba", rgba), ("grey", grey)):
        for form, options in (
            ("png", {}),
            ("webp", {"lossless": True}),
            ("webp", {"quality": 50}),
            ("bmp", {}),
        ):
            number = len(list(tmp_path.iterdir()))
            Image.fromarray(data).save(tmp_path / f"{name}{number}.{form}", **options)
        if name != "rgba":
            packed = imagecodecs.jpeg2k_encode(data.astype("u2") * 200, level=0)
            (tmp_path / f"{name}.jp2").write_bytes(packed)
            (tmp_path / f"{name}.j2k").write_bytes(
                imagecodecs.jpeg2k_encode(data, codecformat="j2k", level=0)
            )
    files = sorted(tmp_path.iterdir())
    whole = {}
    for path in files:
        with images.open_image(path) as file:
            whole[path] = file.series[0].asarray()
    monkeypatch.setattr(raster, "_LARGE", 0)
    late = []
    for path in files:
        with images.open_image(path) as file:
            late += [path.suffix] if file.series[0].rows is None else []
            assert np.array_equal(file.series[0].asarray(), whole[path]), path.name
    assert {".png", ".webp", ".bmp", ".jp2", ".j2k"} <= set(late)
