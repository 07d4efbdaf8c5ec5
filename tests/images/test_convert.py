"""Conversion: the pixels, the metadata, the layout, and what happens when it is cut short."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import mrcfile
import nd2
import numpy as np
import ome_zarr_models.v05
import pytest
import tifffile
import yaozarrs
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ome_types import from_xml, validate_xml

from slidebox import images
from slidebox.images import LabelSource, Recipe, UnreadableImage
from slidebox.images.checksum import tree_checksum
from slidebox.images.shards import Codec
from slidebox.images.stream import Rows

from . import independent


def sources(vendor: Path):
    """(file, series, pixels by an independent way)."""
    ij, nd = vendor / "imagej_tiff_neubias", vendor / "nd2_arcadia"
    lif, slides = vendor / "lif_readlif/testdata_2channel_xz.lif", vendor / "wsi_slideio"
    xzy = independent.lif_by_offset(lif, "xzy").reshape(23, 2, 128, 128).swapaxes(0, 1)
    yield ij / "xy_rgb__cells.tif", 0, independent.by_pillow(ij / "xy_rgb__cells.tif")
    for name in ("xyz_16bit__spots.tif", "xyt_8bit_polyp.tif", "xyc_16bit__cell_dna_mts_actin.tif"):
        yield ij / name, 0, independent.tiff_pages_by_pillow(ij / name)
    yield (
        ij / "xyc_16bit__hela-cells.tif",
        0,
        tifffile.imread(ij / "xyc_16bit__hela-cells.tif").transpose(2, 0, 1),
    )
    for name in ("multichannel", "timelapse", "zstack", "pbmc", "cerevisiae"):
        yield nd / f"example-{name}.nd2", 0, nd2.imread(nd / f"example-{name}.nd2")
    czi = vendor / "czi_ccby/xyz__multiple_images.czi"
    for scene in range(2):
        yield czi, scene, independent.czi_by_subblock(czi, scene)
    line = vendor / "czi_ccby/xt-scan-lsm980.czi"
    yield line, 0, independent.czi_by_subblock(line, 0).reshape(150, 1, 512)
    yield lif, 0, independent.lif_by_offset(lif, "xzt").reshape(20, 2, 128, 128)
    yield lif, 1, xzy
    yield lif, 2, independent.lif_by_offset(lif, "xz").reshape(2, 512, 512)
    lsm = vendor / "lsm_drosophila/032113-18.lsm"
    yield lsm, 0, tifffile.imread(lsm, series=0)
    dv = vendor / "dv_toxo/toxo.dv"
    yield dv, 0, np.fromfile(dv, "<u2", offset=1024).reshape(2, 17, 128, 128)
    for name in ("EMD-3001.map", "EMD-3197.map"):
        yield vendor / "mrc_mrcfile" / name, 0, mrcfile.read(vendor / "mrc_mrcfile" / name)
    yield (
        slides / "CMU-1-Small-Region.svs",
        0,
        independent.by_pillow(slides / "CMU-1-Small-Region.svs"),
    )
    yield slides / "4D-series.ome.tiff", 0, tifffile.imread(slides / "4D-series.ome.tiff")


def test_every_pixel_of_every_vendor_file(vendor, tmp_path, read_level):
    """Level 0 through zarr-python against an independent reading; both validators on each image."""
    for number, (path, series, expected) in enumerate(sources(vendor)):
        out = tmp_path / f"{number}.ome.zarr"
        derived = images.convert(path, out, series=series)
        stored = read_level(out)
        expected = expected.reshape(stored.shape)
        assert np.array_equal(stored, expected), path
        assert derived.digest["read"] == derived.digest["stored"]
        valid(out)


def valid(out: Path) -> None:
    yaozarrs.validate_zarr_store(str(out))
    ome_zarr_models.v05.Image.from_zarr(zarr.open_group(out, mode="r"))
    from_xml((out / "OME/METADATA.ome.xml").read_text(), validate=False)
    if importlib.util.find_spec("xmlschema"):  # ome-types judges by OME's own schema with it
        validate_xml(str(out / "OME/METADATA.ome.xml"))
    for level in zarr.open_group(out, mode="r").attrs["ome"]["multiscales"][0]["datasets"]:
        assert (out / level["path"] / "zarr.json").is_file()


def test_label_images_of_dsb(shared_data, tmp_path, read_level):
    """Real micrographs with their label images: RGBA and grey, under their image, object for
    object.
    """
    folder = shared_data / "seg2d/dsb2018_bbbc038_stage1_train"
    for path in sorted((folder / "images").glob("*.png"))[:6]:
        label = folder / "labels" / f"{path.stem}.tif"
        out = tmp_path / f"{path.stem}.ome.zarr"
        derived = images.convert(path, out, labels=[LabelSource("nuclei", label)])
        assert np.array_equal(read_level(out), independent.by_pillow(path))
        expected = independent.by_pillow(label)
        assert np.array_equal(read_level(out / "labels/nuclei"), expected)
        assert derived.labels[0]["objects"] == len(np.unique(expected)) - 1
        attrs = zarr.open_group(out / "labels/nuclei", mode="r").attrs["ome"]
        assert {c["label-value"] for c in attrs["image-label"]["colors"]} == set(
            np.unique(expected)
        ) - {0}
        low = read_level(out / "labels/nuclei", attrs["multiscales"][0]["datasets"][-1]["path"])
        assert set(np.unique(low)) <= set(np.unique(expected))  # no value was invented
        yaozarrs.validate_zarr_store(str(out))
        ome_zarr_models.v05.ImageLabel.from_zarr(zarr.open_group(out / "labels/nuclei", mode="r"))


def mean_pyramid(data: np.ndarray, halved) -> np.ndarray:
    """Slow and plain: each block's mean over the pixels that exist, integers rounded half up."""
    pads = [(0, 0)] * (data.ndim - 3) + [
        (0, n % 2 if h else 0) for n, h in zip(data.shape[-3:], halved, strict=True)
    ]
    padded = np.pad(data.astype("f8"), pads, mode="edge")
    for axis, h in zip((-3, -2, -1), halved, strict=True):
        if h:
            index = [slice(None)] * padded.ndim
            index[axis] = slice(0, None, 2)
            even = padded[tuple(index)]
            index[axis] = slice(1, None, 2)
            padded = even + padded[tuple(index)]
    total = padded / 2 ** sum(halved)
    return (
        np.floor(total + 0.5).astype(data.dtype)
        if data.dtype.kind in "iu"
        else total.astype(data.dtype)
    )


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    st.tuples(*[st.integers(1, n) for n in (2, 3, 5, 90, 90)]),
    st.sampled_from(["u1", "i1", "u2", "i2", "u4", "f4", "f8"]),
    st.sampled_from([16, 24, 64]),
    st.sampled_from([512, 4096, 1 << 20]),
    st.sampled_from([None, (0.5, 0.5), (2.0, 0.5)]),
    st.integers(1, 2),
)
def test_any_shape_type_and_layout(tmp_path_factory, shape, kind, chunk, shard, spacing, threads):
    """Pixels, every level and its transformations, whatever the shape, chunks and shards."""
    folder = tmp_path_factory.mktemp("any")
    rng = np.random.default_rng(sum(shape))
    data = (rng.normal(60, 60, shape)).astype(kind)
    data[rng.random(shape) < 0.3] = 0
    independent.write_ome(folder / "a.ome.tif", data, spacing)
    recipe = Recipe(chunk=chunk, shard_bytes=shard, smallest=16)
    images.convert(folder / "a.ome.tif", folder / "a.ome.zarr", recipe=recipe, threads=threads)
    group = zarr.open_group(folder / "a.ome.zarr", mode="r")
    axes = [a["name"] for a in group.attrs["ome"]["multiscales"][0]["axes"]]
    level, scale = data, None
    for dataset in group.attrs["ome"]["multiscales"][0]["datasets"]:
        stored = group[dataset["path"]][...]
        full = stored.reshape([stored.shape[axes.index(a)] if a in axes else 1 for a in "tczyx"])
        here = dict(zip(axes, dataset["coordinateTransformations"][0]["scale"], strict=True))
        if scale is not None:
            halved = [here.get(a, 1) == 2 * scale.get(a, 1) for a in "zyx"]
            level = mean_pyramid(level, halved)
            move = dict(
                zip(axes, dataset["coordinateTransformations"][1]["translation"], strict=True)
            )
            first = dict(
                zip(
                    axes,
                    group.attrs["ome"]["multiscales"][0]["datasets"][0][
                        "coordinateTransformations"
                    ][0]["scale"],
                    strict=True,
                )
            )
            for a in axes:
                assert move[a] == pytest.approx((here[a] - first[a]) / 2)
        scale = here
        if kind[0] == "f":
            assert np.allclose(full, level, rtol=1e-5, atol=1e-4)
        else:
            assert np.array_equal(full, level)
        level = full
    assert max(level.shape[3:]) <= 16
    if spacing == (2.0, 0.5):  # z is first halved when x and y have caught up
        assert all(
            d["coordinateTransformations"][0]["scale"][axes.index("z")] in (2.0, 4.0, 8.0)
            for d in group.attrs["ome"]["multiscales"][0]["datasets"]
            if "z" in axes
        )


def test_labels_keep_the_commonest_value(tmp_path, read_level):
    labels = np.zeros((100, 300), np.uint16)
    labels[10:40, 20:61] = 7
    labels[41:90, 100:200] = 300
    tifffile.imwrite(tmp_path / "i.tif", labels.astype(np.float32))
    tifffile.imwrite(tmp_path / "l.tif", labels)
    derived = images.convert(
        tmp_path / "i.tif",
        tmp_path / "o.ome.zarr",
        labels=[LabelSource("cells", tmp_path / "l.tif")],
    )
    low = read_level(tmp_path / "o.ome.zarr/labels/cells", "1")
    blocks = labels.reshape(50, 2, 150, 2).transpose(0, 2, 1, 3).reshape(50, 150, 4)
    clear = np.array([[np.bincount(b).max() > 2 for b in row] for row in blocks])
    winner = np.array([[np.bincount(b).argmax() for b in row] for row in blocks])
    assert np.array_equal(low[clear], winner[clear])
    assert derived.labels == [
        {
            "name": "cells",
            "objects": 2,
            "axes": "yx",
            "shape": [100, 300],
            "dtype": "uint16",
            "digest": derived.labels[0]["digest"],
        }
    ]
    assert zarr.open_group(tmp_path / "o.ome.zarr/labels", mode="r").attrs["ome"]["labels"] == [
        "cells"
    ]


@pytest.mark.parametrize(
    "shape, dtype, why",
    [
        ((40, 41), "u1", "x=41"),
        ((40, 40), "f4", "whole numbers"),
        ((40, 40, 3), "u1", "one channel"),
    ],
)
def test_a_label_image_that_does_not_fit(tmp_path, shape, dtype, why):
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((40, 40), np.uint8))
    tifffile.imwrite(tmp_path / "l.tif", np.zeros(shape, dtype))
    derived = images.convert(
        tmp_path / "i.tif",
        tmp_path / "o.ome.zarr",
        labels=[LabelSource("x", tmp_path / "l.tif")],
    )
    (left,) = derived.left_out
    assert (left["name"], left["file"]) == ("x", "l.tif") and why in left["reason"]
    assert derived.labels == [] and not (tmp_path / "o.ome.zarr/labels").exists()


@pytest.mark.parametrize("names", [["../up"], [""], ["a/b"], ["x", "x"]])
def test_names_of_label_groups(tmp_path, names):
    """They become folders: nothing may leave the image's."""
    labels = [LabelSource(name, tmp_path / "l.tif") for name in names]
    with pytest.raises(ValueError, match="no name"):
        images.convert(tmp_path / "i.tif", tmp_path / "o.ome.zarr", labels=labels)


def test_faithful_metadata(tmp_path):
    """Time step, units, windows, colours and wavelengths, in NGFF and in OME-XML, as in the
    file.
    """
    from ome_types import model as om
    from ome_types import to_xml

    rng = np.random.default_rng(0)
    data = rng.integers(100, 3000, (3, 2, 4, 300, 310), np.uint16)
    channels = [
        om.Channel(
            name="Hoechst",
            fluor="Hoechst 33342",
            emission_wavelength=461,
            excitation_wavelength=405,
            color="#0000FF",
            acquisition_mode="SpinningDiskConfocal",
            samples_per_pixel=1,
        ),
        om.Channel(name="mCherry", emission_wavelength=610.5, color="#FF0000", samples_per_pixel=1),
    ]
    planes = [
        om.Plane(the_t=0, the_c=0, the_z=0, position_x=1.5, position_y=-2, exposure_time=0.02)
    ]
    pixels = om.Pixels(
        dimension_order="XYZCT",
        type="uint16",
        size_t=3,
        size_c=2,
        size_z=4,
        size_y=300,
        size_x=310,
        physical_size_x=65,
        physical_size_x_unit="nm",
        physical_size_y=65,
        physical_size_y_unit="nm",
        physical_size_z=0.0005,
        physical_size_z_unit="mm",
        time_increment=0.5,
        time_increment_unit="min",
        channels=channels,
        planes=planes,
        tiff_data_blocks=[om.TiffData(plane_count=24)],
    )
    xml = to_xml(om.OME(images=[om.Image(name="mitosis", pixels=pixels)]))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=False) as tiff:
        for n, plane in enumerate(data.reshape(-1, 300, 310)):
            tiff.write(plane, description=xml if n == 0 else None, metadata=None)
    derived = images.convert(tmp_path / "a.ome.tif", tmp_path / "a.ome.zarr")
    assert (derived.time_step, derived.pixel_size) == (30, {"z": 0.5, "y": 0.065, "x": 0.065})
    ome = zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs["ome"]
    multiscale = ome["multiscales"][0]
    assert multiscale["axes"] == [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "c", "type": "channel"},
        *({"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"),
    ]
    assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"] == [
        30,
        1,
        0.5,
        0.065,
        0.065,
    ]
    assert multiscale["datasets"][1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [30, 1, 0.5, 0.13, 0.13]},
        {"type": "translation", "translation": [0, 0, 0, 0.0325, 0.0325]},
    ]
    first, second = ome["omero"]["channels"]
    assert (first["label"], first["color"], second["color"]) == ("Hoechst", "0000FF", "FF0000")
    assert first["window"]["min"] == data[:, 0].min() and first["window"]["max"] == data[:, 0].max()
    assert 100 < first["window"]["start"] < first["window"]["end"] < 3000
    back = from_xml((tmp_path / "a.ome.zarr/OME/METADATA.ome.xml").read_text()).images[0]
    assert back.name == "mitosis"
    assert back.pixels.time_increment == 30 and back.pixels.physical_size_z == 0.5
    one = back.pixels.channels[0]
    assert (one.fluor, one.emission_wavelength, one.excitation_wavelength) == (
        "Hoechst 33342",
        461,
        405,
    )
    assert one.acquisition_mode.value == "SpinningDiskConfocal"
    assert back.pixels.channels[1].emission_wavelength == 610.5
    assert back.pixels.planes[0].position_y == -2 and back.pixels.planes[0].exposure_time == 0.02
    kept = (tmp_path / "a.ome.zarr/OME/original/ome.xml").read_text()
    assert ElementTree.fromstring(kept).tag.endswith("OME")


def test_nothing_known_nothing_claimed(tmp_path):
    """No unit where the file has no size: a pixel isn't a micrometre."""
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.arange(600, dtype=np.uint16).reshape(20, 30),
        resolution=(72, 72),
        resolutionunit="INCH",
    )
    derived = images.convert(tmp_path / "a.tif", tmp_path / "a.ome.zarr")
    ome = zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs["ome"]
    assert derived.pixel_size == {"y": None, "x": None}
    assert ome["multiscales"][0]["axes"] == [
        {"name": "y", "type": "space"},
        {"name": "x", "type": "space"},
    ]


def test_layout(tmp_path):
    """Planes in the inner chunks, shards of tens of MB, empty chunks and shards left out."""
    data = np.zeros((3, 2, 8, 1200, 900), np.uint16)
    data[0, 0, 0, :50, :50] = 9
    tifffile.imwrite(
        tmp_path / "a.ome.tif", data, metadata={"axes": "TCZYX"}, photometric="minisblack"
    )
    images.convert(tmp_path / "a.ome.tif", tmp_path / "a.ome.zarr")
    meta = json.loads((tmp_path / "a.ome.zarr/0/zarr.json").read_text())
    sharding = meta["codecs"][0]["configuration"]
    assert sharding["chunk_shape"] == [1, 1, 1, 600, 456]
    assert meta["chunk_grid"]["configuration"]["chunk_shape"] == [1, 2, 8, 1200, 912]
    files = [p for p in (tmp_path / "a.ome.zarr/0/c").rglob("*") if p.is_file()]
    assert len(files) == 1
    (name,) = files
    assert name.stat().st_size < 5000
    assert np.array_equal(zarr.open_group(tmp_path / "a.ome.zarr", mode="r")["0"][...], data)


def test_same_source_same_bytes(vendor, tmp_path):
    path = vendor / "imagej_tiff_neubias/xyc_16bit__hela-cells.tif"
    trees = []
    for n, threads in enumerate((1, 2, 1)):
        derived = images.convert(path, tmp_path / f"{n}.ome.zarr", threads=threads, name="cells")
        tree, files, size = tree_checksum(tmp_path / f"{n}.ome.zarr")
        assert (derived.tree, derived.objects, derived.bytes) == (tree, files, size)
        trees.append(tree)
    assert len(set(trees)) == 1


def test_tree_checksum_is_dandis(tmp_path):
    """The example of the zarr_checksum package's documentation, computed by hand."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(b"hello")
    (tmp_path / "c").write_bytes(b"")
    digest = hashlib.md5
    inner = digest(
        json.dumps(
            {
                "directories": [],
                "files": [{"digest": digest(b"hello").hexdigest(), "name": "b", "size": 5}],
            },
            separators=(",", ":"),
        ).encode()
    ).hexdigest()
    outer = digest(
        json.dumps(
            {
                "directories": [{"digest": f"{inner}-1--5", "name": "a", "size": 5}],
                "files": [{"digest": digest(b"").hexdigest(), "name": "c", "size": 0}],
            },
            separators=(",", ":"),
        ).encode()
    ).hexdigest()
    assert tree_checksum(tmp_path) == (f"{outer}-2--5", 2, 5)


def test_verify_finds_what_changed(vendor, tmp_path):
    path = vendor / "imagej_tiff_neubias/xyz_16bit__spots.tif"
    out = tmp_path / "a.ome.zarr"
    images.convert(path, out)
    assert images.verify(out, path) == [] == images.verify(out)
    data = tifffile.imread(path)
    data[5, 40, 41] ^= 1
    tifffile.imwrite(tmp_path / "changed.tif", data, imagej=True, metadata={"axes": "ZYX"})
    (finding,) = images.verify(out, tmp_path / "changed.tif")
    assert (
        finding.code == "IMAGE_DIFFERS"
        and "z=5" in finding.message
        and "1 pixel" in finding.message
    )
    shard = next(p for p in (out / "0/c").rglob("*") if p.is_file())
    raw = bytearray(shard.read_bytes())
    raw[200] ^= 255
    shard.write_bytes(raw)
    assert {f.code for f in images.verify(out)} <= {"IMAGE_DAMAGED", "IMAGE_DIGEST"} != set()
    raw[-3] ^= 255
    shard.write_bytes(raw)
    assert images.verify(out, path)[0].code == "IMAGE_DAMAGED"
    (out / "zarr.json").unlink()
    assert images.verify(out, path)[0].code == "IMAGE_INCOMPLETE"


def test_a_damaged_source_leaves_nothing(tmp_path):
    data = np.random.default_rng(4).integers(0, 9, (4, 64, 64), np.uint8)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, data, compression="zlib", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.series[0].pages[2].dataoffsets[0]
    with path.open("r+b") as handle:
        handle.seek(offset)
        handle.write(b"\xff" * 20)
    for threads in (1, 2):
        with pytest.raises(UnreadableImage, match="series 0, plane z=2"):
            images.convert(path, tmp_path / "o.ome.zarr", threads=threads)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.tif"]


@pytest.mark.parametrize("where", [(Rows, "add"), (Codec, "gather"), (Codec, "encode")])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_pixel_that_is_stored_otherwise_than_read_is_no_image(
    tmp_path, threads, where, monkeypatch
):
    data = np.random.default_rng(4).integers(0, 9, (3, 600, 700), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": "ZYX"})
    kind, step = where
    right, calls = getattr(kind, step), iter(range(99999))

    def wrong(own, *given):
        spoil = next(calls) == 0  # level 0 comes first
        if step == "encode":
            return right(own, given[0] ^ spoil)
        made = right(own, *given)
        if step == "gather":
            made[0, 7, 7] ^= spoil
            return made
        return [(row, rows ^ spoil) for row, rows in made]

    monkeypatch.setattr(kind, step, wrong)
    with pytest.raises(RuntimeError, match=r"plane t=0 c=0 z=\d of .* is not what was read"):
        images.convert(tmp_path / "a.ome.tif", tmp_path / "o.ome.zarr", threads=threads)
    assert not (tmp_path / "o.ome.zarr").exists()


def test_a_chunk_left_out_as_zeros_was_read_as_zeros(tmp_path, monkeypatch):
    data = np.zeros((600, 700), np.uint8)
    data[599, 699] = 1
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": "YX"})
    gather = Codec.gather
    monkeypatch.setattr(Codec, "gather", lambda *given: gather(*given) * 0)
    with pytest.raises(RuntimeError, match="is not what was read"):
        images.convert(tmp_path / "a.ome.tif", tmp_path / "o.ome.zarr")


def test_an_existing_image(vendor, tmp_path):
    path, out = vendor / "dv_toxo/toxo.dv", tmp_path / "a.ome.zarr"
    first = images.convert(path, out)
    with pytest.raises(FileExistsError):
        images.convert(path, out)
    again = images.convert(path, out, existing="reuse", thumbnail=tmp_path / "t.png")
    assert (again.tree, again.digest, again.channels) == (first.tree, first.digest, first.channels)
    replaced = images.convert(path, out, existing="replace")
    assert replaced.tree == first.tree
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ome.zarr", "t.png"]


_CHILD = """
import sys
from slidebox import images
images.convert(sys.argv[1], sys.argv[2], existing="reuse", name="x", threads=2)
"""


def test_killed_at_any_time_and_started_again(tmp_path):
    """kill -9, again and again: the end is the same tree, and never a half image in its place."""
    rng = np.random.default_rng(5)
    data = np.cumsum(rng.integers(0, 3, (2, 2, 6, 700, 700), np.uint16), axis=-1, dtype=np.uint16)
    source = tmp_path / "a.ome.tif"
    tifffile.imwrite(source, data, metadata={"axes": "TCZYX"}, photometric="minisblack")
    whole = images.convert(source, tmp_path / "b.ome.zarr", name="x")
    out = tmp_path / "a.ome.zarr"
    killed = 0
    for attempt in range(3):
        child = subprocess.Popen([sys.executable, "-c", _CHILD, str(source), str(out)])
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".a.ome.zarr.partial/0/c/**/*")) and child.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(0.03 * attempt)
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            killed += 1
        child.wait()
        assert not out.exists() or tree_checksum(out)[0] == whole.tree
    assert killed
    subprocess.run([sys.executable, "-c", _CHILD, str(source), str(out)], check=True)
    assert tree_checksum(out)[0] == whole.tree
    assert not (tmp_path / ".a.ome.zarr.partial").exists()


_SLOW_CHILD = """
import sys, time
from slidebox import images
from slidebox.images import journal
journal.EVERY, journal.PACE = 0.01, 0
def progress(done, total):
    print(done, flush=True)
    time.sleep(0.02)
images.convert(sys.argv[1], sys.argv[2], name="x", threads=2, memory=int(sys.argv[3]),
progress=progress)
"""


@pytest.mark.parametrize("shape, tile", [((2, 1, 6, 600, 700), None), ((1, 1, 1, 4000, 1100), 64)])
def test_a_killed_conversion_goes_on(tmp_path, shape, tile, monkeypatch):
    """Not only the same result: what was done isn't done again, within a volume or a slide."""
    data = np.cumsum(np.random.default_rng(5).integers(0, 3, shape, np.uint16), -1, np.uint16)
    source, out = tmp_path / "a.ome.tif", tmp_path / "a.ome.zarr"
    independent.write_ome(source, data, (0.5, 0.5), tile=tile)
    memory = 512 << 20
    if tile:  # bands of a plane, as in a slide that is too large for the memory
        from slidebox.images import plan

        monkeypatch.setattr(plan, "_band", lambda series, budget: 192)
    whole = images.convert(source, tmp_path / "b.ome.zarr", name="x", memory=memory)
    code = _SLOW_CHILD
    if tile:
        code = "from slidebox.images import plan\nplan._band = lambda s, b: 192\n" + code
    firsts = []
    for stop in (5, 8, None):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(source), str(out), str(memory)],
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = []
        for line in child.stdout:
            lines.append(int(line))
            if stop and len(lines) == stop:
                child.send_signal(signal.SIGKILL)
                break
        child.stdout.close()
        child.wait()
        firsts.append(lines[0])
        assert not out.exists() or stop is None
    assert 0 < firsts[0] < firsts[1] < firsts[2]  # each begins where the last one stood
    assert tree_checksum(out)[0] == whole.tree
    assert images.verify(out, source) == []


def test_two_at_once(tmp_path, vendor):
    """The second is refused while the first works; the lock dies with its process."""
    import fcntl

    (tmp_path / ".a.ome.zarr.partial").mkdir()
    fd = os.open(tmp_path / ".a.ome.zarr.partial", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(images.Busy):
        images.convert(vendor / "dv_toxo/toxo.dv", tmp_path / "a.ome.zarr")
    os.close(fd)
    images.convert(vendor / "dv_toxo/toxo.dv", tmp_path / "a.ome.zarr")


def test_thumbnail_has_the_files_colours(vendor, tmp_path):
    path = vendor / "wsi_slideio/CMU-1-Small-Region.svs"
    derived = images.convert(path, tmp_path / "a.ome.zarr", thumbnail=tmp_path / "a.png")
    picture = independent.by_pillow(tmp_path / "a.png")
    assert (
        derived.thumbnail_size == [picture.shape[2], picture.shape[1]] and max(picture.shape) <= 400
    )
    original = independent.by_pillow(path)
    assert np.allclose(picture.mean((1, 2)), original.mean((1, 2)), atol=3)
    images.convert(
        vendor / "nd2_arcadia/example-zstack.nd2",
        tmp_path / "g.ome.zarr",
        thumbnail=tmp_path / "g.png",
    )
    green = independent.by_pillow(tmp_path / "g.png")
    assert green[1].mean() > 5 * green[2].mean() and green[1].max() > 200


def test_progress_reaches_its_end(vendor, tmp_path):
    seen = []
    images.convert(
        vendor / "dv_toxo/toxo.dv", tmp_path / "a.ome.zarr", progress=lambda *a: seen.append(a)
    )
    assert seen == sorted(seen) and seen[-1] == (1114112, 1114112)


def test_odd_pixels(tmp_path, read_level):
    """NaN, infinities, minus zero, bool, complex, one pixel: bit for bit."""
    special = np.array([[np.nan, np.inf, -np.inf], [-0.0, 0.0, 1e-45]], np.float32)
    for n, data in enumerate(
        [
            special,
            np.zeros((3, 4), np.float32) * -1,
            np.ones((1, 1), np.uint8),
            np.eye(40, dtype=bool),
            (special + 1j).astype(np.complex64),
        ]
    ):
        tifffile.imwrite(tmp_path / f"{n}.tif", data)
        images.convert(
            tmp_path / f"{n}.tif", tmp_path / f"{n}.ome.zarr", thumbnail=tmp_path / f"{n}.png"
        )
        assert read_level(tmp_path / f"{n}.ome.zarr").tobytes() == data.tobytes()
        valid(tmp_path / f"{n}.ome.zarr")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_a_fault_of_the_machine_is_not_the_images(tmp_path, number):
    """A full disk fails the job, which runs again; the image isn't sealed as damaged."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))

    def failing(*_):
        raise OSError(number, "the machine's")

    with images.open_image(tmp_path / "a.tif") as file:
        file.series[0].reader = failing
        with pytest.raises(OSError) as caught:
            images.convert(file, tmp_path / "a.ome.zarr")
    assert caught.value.errno == number
    assert not (tmp_path / "a.ome.zarr").exists()
