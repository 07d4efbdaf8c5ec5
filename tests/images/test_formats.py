"""Formats one by one: files made by their own vendors' libraries, and other readers' opinions."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from slidebox import images
from slidebox.images import UnreadableImage, registry, sequence

from . import independent


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(np.squeeze(a), np.squeeze(b), equal_nan=a.dtype.kind == "f")


# ---------------------------------------------------------------- CZI by Zeiss's libCZI


@pytest.fixture
def mosaic(tmp_path) -> Path:
    """Two scenes of 3 x 2 overlapping tiles, two channels, two slices."""
    czi = pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw writes and reads the mosaic")
    rng = np.random.default_rng(0)
    path = tmp_path / "mosaic.czi"
    with czi.create_czi(str(path)) as file:
        for scene, (left, top) in enumerate([(1000, 2000), (5000, 300)]):
            for row, column, c, z in np.ndindex(3, 2, 2, 2):
                file.write(
                    rng.integers(0, 60000, (128, 160, 1), dtype=np.uint16),
                    plane={"C": c, "Z": z, "T": 0},
                    location=(left + column * 150, top + row * 120),
                    scene=scene,
                )
        file.write_metadata("m", channel_names={0: "A", 1: "B"}, scale_x=5e-7, scale_y=5e-7)
    return path


def test_czi_mosaic_is_joined_as_libczi_does(mosaic, tmp_path, read_level):
    from pylibCZIrw import czi

    for scene in range(2):
        out = tmp_path / f"{scene}.ome.zarr"
        derived = images.convert(mosaic, out, series=scene)
        assert derived.pixel_size["x"] == 0.5
        assert [c["name"] for c in derived.channels] == ["A", "B"]
        stored = read_level(out)
        with czi.open_czi(str(mosaic)) as file:
            box = file.scenes_bounding_rectangle[scene]
            for c, z in np.ndindex(2, 2):
                expected = file.read(
                    plane={"C": c, "Z": z, "T": 0}, scene=scene, roi=(box.x, box.y, box.w, box.h)
                )
                assert np.array_equal(stored[c, z], expected[..., 0])


def test_bands_of_a_czi_mosaic(mosaic):
    with images.open_image(mosaic) as file:
        series = file.series[1]
        whole = series.read((1, 1))
        for y0, y1 in ((0, 1), (100, 130), (119, 121), (250, 368)):
            assert np.array_equal(series.read((1, 1), y0, y1), whole[y0:y1])


def test_czi_colour_is_rgb(tmp_path):
    czi = pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw writes the file")
    data = np.random.default_rng(1).integers(0, 255, (60, 50, 3), dtype=np.uint8)
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        file.write(data, plane={"C": 0, "Z": 0, "T": 0})
        file.write_metadata("a")
    with images.open_image(tmp_path / "a.czi") as file:
        assert file.series[0].rgb
        back = file.series[0].asarray()
    with czi.open_czi(str(tmp_path / "a.czi")) as file:
        libczi = file.read(plane={"C": 0, "Z": 0, "T": 0})
    assert np.array_equal(back, libczi[..., ::-1].transpose(2, 0, 1))  # libCZI gives B, G, R


# ---------------------------------------------------------------- other readers' opinions


def vendor_files(vendor: Path) -> list[Path]:
    patterns = (
        "czi_ccby/*.czi",
        "nd2_arcadia/*.nd2",
        "lsm_drosophila/*.lsm",
        "wsi_slideio/*.svs",
        "wsi_slideio/*.ndpi",
        "wsi_slideio/*.tiff",
        "imagej_tiff_neubias/*.tif",
        "vsi_olympus/*.vsi",
    )
    return [path for pattern in patterns for path in sorted(vendor.glob(pattern))]


@pytest.mark.slow
def test_micro_reader_reads_the_same(vendor):
    micro_reader = pytest.importorskip("micro_reader", reason="the second reader isn't installed")
    compared = 0
    for path in vendor_files(vendor):
        with images.open_image(path) as file, micro_reader.open(str(path)) as other:
            for series, image in zip(
                [s for s in file.series if s.role != "thumbnail"], other.images, strict=True
            ):
                pixels = np.asarray(image.read())
                if "s" in image.axes:
                    pixels = np.moveaxis(pixels, list(image.axes).index("s"), -3)
                assert same(series.asarray(), pixels), (path, series.index)
                compared += 1
    assert compared > 20


def test_a_second_opinion(vendor, monkeypatch):
    """Agreement is silence; a reader that errs is found out."""
    from slidebox.images.readers import micro

    for name in (
        "czi_ccby/xyz__multiple_images.czi",
        "nd2_arcadia/example-zstack.nd2",
        "wsi_slideio/CMU-1-Small-Region.svs",
        "lsm_drosophila/032113-18.lsm",
    ):
        assert images.second_opinion(vendor / name) == []
    honest = micro.open_file

    def wrong(path, name):
        file = honest(path, name)
        reader = file.series[0].reader
        file.series[0].reader = lambda t, c, z, y0, y1: reader(t, c, z, y0, y1) + (z == 10)
        return file

    monkeypatch.setattr(micro, "open_file", wrong)
    (finding,) = images.second_opinion(vendor / "nd2_arcadia/example-zstack.nd2")
    assert finding.code == "READERS_DISAGREE" and "plane z=10" in finding.message


@pytest.mark.slow
def test_openreadout_reads_the_same(vendor):
    openreadout = pytest.importorskip("openreadout", reason="the third reader isn't installed")
    paths = [
        p for p in vendor_files(vendor) if p.suffix in (".czi", ".nd2", ".vsi", ".tif", ".lsm")
    ]
    for path in [*paths, *sorted((vendor / "mrc_mrcfile").glob("*.map"))]:
        with images.open_image(path) as file:
            series = file.series[0]
            pixels = openreadout.File(str(path)).read_image(0)
            if pixels.ndim == 6:
                pixels = np.moveaxis(pixels, -1, 2)
            ours, theirs = series.asarray().astype("f8"), np.squeeze(pixels).astype("f8")
            # JPEG 2000 of cellSens: libraries round the last bit their own way
            allowed = 1 if path.suffix == ".vsi" else 0
            assert np.abs(np.squeeze(ours) - theirs).max() <= allowed, path


@pytest.mark.slow
def test_bio_formats_reads_the_same(vendor):
    from slidebox.images.readers import bioformats

    try:
        bioformats.start()
    except UnreadableImage as error:
        pytest.skip(str(error))
    names = (
        "lif_readlif/testdata_2channel_xz.lif",
        "czi_ccby/xyz__multiple_images.czi",
        "czi_ccby/xt-scan-lsm980.czi",
        "nd2_arcadia/example-multichannel.nd2",
        "nd2_arcadia/example-timelapse.nd2",
        "lsm_drosophila/032113-18.lsm",
        "wsi_slideio/CMU-1-Small-Region.svs",
        "wsi_slideio/4D-series.ome.tiff",
        "imagej_tiff_neubias/xyc_16bit__hela-cells.tif",
        "dv_toxo/toxo.dv",
    )
    for name in names:
        with images.open_image(vendor / name) as ours:
            theirs = bioformats.open_file(vendor / name, "bioformats")
            for one, other in zip(
                [s for s in ours.series if s.role == "image"], theirs.series, strict=False
            ):
                pixels = other.asarray()
                if name.endswith(".dv"):
                    pixels = pixels[..., ::-1, :]  # Bio-Formats turns DeltaVision's rows around
                assert np.array_equal(one.asarray(), pixels), name
                for axis, size in other.pixel_size.items():
                    assert (one.pixel_size[axis] or 0) == pytest.approx(size or 0, rel=1e-5)
                if other.time_step:
                    assert one.time_step == pytest.approx(other.time_step, rel=1e-3)
                waves = [c.emission_wavelength for c in other.channels]
                if any(waves) and name != "lsm_drosophila/032113-18.lsm":
                    assert [c.emission_wavelength for c in one.channels] == pytest.approx(waves)
            theirs.close()


# ---------------------------------------------------------------- Olympus VSI


def test_vsi(vendor, tmp_path):
    path = vendor / "vsi_olympus/vsi-ets-test-jpg2k.vsi"
    with images.open_image(path) as file:
        image, macro = file.series
        assert (image.axes, image.shape, macro.role) == ("czyx", (2, 11, 1682, 1645), "macro")
        assert image.pixel_size == {
            "z": 1.0,
            "y": pytest.approx(0.10833, abs=1e-5),
            "x": pytest.approx(0.10833, abs=1e-5),
        }
        assert [(c.name, c.color, c.emission_wavelength) for c in image.channels] == [
            ("C405", "0000FF", 455),
            ("C488", "00FF02", 518),
        ]
        assert np.array_equal(image.read((1, 3), 100, 700), image.read((1, 3))[100:700])
    shutil.copy(path, tmp_path / "alone.vsi")
    with pytest.raises(UnreadableImage, match="_alone_"):  # its ETS folder is missing
        images.open_image(tmp_path / "alone.vsi")


# ---------------------------------------------------------------- OME-Zarr as input


def test_ome_zarr_04_in(vendor, tmp_path, read_level):
    source = next((vendor / "omezarr04_fractal").glob("*.zarr"))
    out = tmp_path / "a.ome.zarr"
    derived = images.convert(source, out)
    expected = zarr.open_group(source, mode="r")["0"][...]
    assert same(read_level(out), expected)
    assert derived.pixel_size == {"y": 0.65, "x": 0.65}
    assert [c["name"] for c in derived.channels] == ["DAPI", "nanog", "Lamin B1"]
    again = images.convert(out, tmp_path / "b.ome.zarr")  # what we write, we read
    assert (again.shape, again.digest, again.pixel_size) == (
        derived.shape,
        derived.digest,
        derived.pixel_size,
    )


@pytest.mark.parametrize(
    "damage, why",
    [
        ("0", "level 0"),
        ("0/.zarray", "level 0"),
        ("chunks", "no chunk"),
        (".zattrs", "no multiscales"),
    ],
)
def test_a_damaged_ome_zarr(vendor, tmp_path, damage, why):
    source = next((vendor / "omezarr04_fractal").glob("*.zarr"))
    copy = tmp_path / "a.zarr"
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    for folder in [copy, *(p for p in copy.rglob("*") if p.is_dir())]:
        folder.chmod(0o755)
    if damage == "chunks":
        for name in ("0", "1", "2"):
            shutil.rmtree(copy / "0" / name, ignore_errors=True)
    elif (copy / damage).is_dir():
        shutil.rmtree(copy / damage)
    else:
        (copy / damage).unlink()
    with pytest.raises(UnreadableImage, match=why) as caught:
        images.open_image(copy)
    assert "a.zarr" in str(caught.value)


def test_a_plate_in_ome_zarr(tmp_path):
    root = zarr.open_group(tmp_path / "p.ome.zarr", mode="w")
    root.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}}
    data = {}
    for well in ("A/1", "B/2"):
        root.require_group(well).attrs["ome"] = {"well": {"images": [{"path": "0"}, {"path": "1"}]}}
        for field in "01":
            group = root.require_group(f"{well}/{field}")
            data[f"{well}/{field}"] = np.random.default_rng(len(data)).integers(
                0, 9, (2, 20, 30), np.uint8
            )
            group.create_array("0", data=data[f"{well}/{field}"])
            scale = {"type": "scale", "scale": [1, 0.5, 0.5]}
            axes = [{"name": "c", "type": "channel"}] + [
                {"name": a, "type": "space", "unit": "micrometer"} for a in "yx"
            ]
            datasets = [{"path": "0", "coordinateTransformations": [scale]}]
            group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": datasets}]}
    with images.open_image(tmp_path / "p.ome.zarr") as file:
        assert [s.name for s in file.series] == list(data)
        for series in file.series:
            assert np.array_equal(series.asarray(), data[series.name])
            assert series.pixel_size["x"] == 0.5


# ---------------------------------------------------------------- one file a plane


def test_imagexpress(vendor, tmp_path, read_level):
    """Sites become images; their pixels are those of the single files."""
    base = vendor / "hcs_faim_ipa/ImageXpress/1well-3C-2S-Zmix-T/2024-04-22/1697"
    paths = [p.relative_to(base).as_posix() for p in base.rglob("*.tif")]
    groups = images.group_files(paths, lambda p: (base / p).open("rb"))
    assert [len(files) for _, files in groups] == [6, 6]
    for n, (primary, files) in enumerate(groups):
        derived = images.convert(base / primary, tmp_path / f"{n}.ome.zarr")
        stored = read_level(tmp_path / f"{n}.ome.zarr")
        assert (derived.axes, stored.shape) == ("tcyx", (2, 3, 256, 256))
        assert [c["emission_wavelength"] for c in derived.channels] == [536, 593, 624]
        for path in files:
            t, c = int(path[10]) - 1, int(path.split("_w")[1][0]) - 1
            assert np.array_equal(stored[t, c], independent.by_pillow(base / path))


def test_a_sequence_by_names(tmp_path, read_level):
    data = np.random.default_rng(0).integers(0, 999, (3, 2, 4, 30, 31), np.uint16)
    for t, c, z in np.ndindex(data.shape[:3]):
        tifffile.imwrite(tmp_path / f"exp_T{t + 1:03}_C{c}_Z{z:02}.tif", data[t, c, z])
    tifffile.imwrite(tmp_path / "other.tif", data[0, 0, 0])
    names = [p.name for p in tmp_path.glob("*.tif")]
    groups = images.group_files(names)
    assert [(p, len(f)) for p, f in groups] == [("exp_T001_C0_Z00.tif", 24), ("other.tif", 1)]
    derived = images.convert(tmp_path / "exp_T001_C0_Z00.tif", tmp_path / "a.ome.zarr")
    assert derived.axes == "tczyx"
    assert np.array_equal(read_level(tmp_path / "a.ome.zarr"), data)
    (tmp_path / "exp_T002_C0_Z00.tif").unlink()
    names.remove("exp_T002_C0_Z00.tif")
    assert [len(f) for _, f in images.group_files(names)] == [23, 1]
    with pytest.raises(UnreadableImage, match=r"1 of 24 files are missing: exp_T002_C0_Z00\.tif"):
        images.open_image(tmp_path / "exp_T001_C0_Z00.tif")
    few = [n for n in names if "_C1_" in n or "_Z00" in n]  # too many gaps: single files
    assert all(len(f) == 1 for _, f in images.group_files(few))


@pytest.mark.parametrize(
    "names",
    [
        ["t000.tif", "t001.tif"],
        ["a_1.tif", "a_2.tif"],
        ["man_track000.tif", "man_track001.tif"],
        ["cat_c1.png", "cat_c2.png"],
        ["x_T1_C1.csv", "x_T1_C2.csv"],
    ],
)
def test_what_only_looks_like_a_sequence(names):
    assert sequence.find(names) == {}


def test_a_sequence_with_a_stranger_in_it(tmp_path):
    for z in range(3):
        tifffile.imwrite(tmp_path / f"a_T0_Z{z}.tif", np.zeros((9, 9 + (z == 2)), np.uint8))
    with (
        images.open_image(tmp_path / "a_T0_Z0.tif") as file,
        pytest.raises(UnreadableImage, match=r"a_T0_Z2.*plane z=2"),
    ):
        file.series[0].asarray()


# ---------------------------------------------------------------- HDF5 and Imaris


def test_imaris(tmp_path):
    data = np.random.default_rng(0).integers(0, 4000, (2, 2, 5, 40, 50), np.uint16)
    with h5py.File(tmp_path / "a.ims", "w") as file:
        for t, c in np.ndindex(2, 2):
            group = file.create_group(f"DataSet/ResolutionLevel 0/TimePoint {t}/Channel {c}")
            padded = np.zeros((8, 64, 64), np.uint16)
            padded[:5, :40, :50] = data[t, c]
            group.create_dataset("Data", data=padded, chunks=(4, 32, 32), compression="gzip")
            for key, value in (("X", "50"), ("Y", "40"), ("Z", "5")):
                group.attrs[f"ImageSize{key}"] = np.array(list(value), "S1")
        image = file.create_group("DataSetInfo/Image")
        for key, value in {
            "X": "50",
            "Y": "40",
            "Z": "5",
            "Unit": "um",
            "ExtMin0": "0",
            "ExtMax0": "25",
            "ExtMin1": "-5",
            "ExtMax1": "15",
            "ExtMin2": "0",
            "ExtMax2": "10",
        }.items():
            image.attrs[key] = np.array(list(value), "S1")
        for c, (name, color) in enumerate((("DAPI", "0 0 1"), ("GFP", "0.0 1.0 0.0"))):
            channel = file.create_group(f"DataSetInfo/Channel {c}")
            channel.attrs["Name"] = np.array(list(name), "S1")
            channel.attrs["Color"] = np.array(list(color), "S1")
        times = file.create_group("DataSetInfo/TimeInfo")
        times.attrs["TimePoint1"] = np.array(list("2020-01-01 10:00:00.000"), "S1")
        times.attrs["TimePoint2"] = np.array(list("2020-01-01 10:00:12.500"), "S1")
    with images.open_image(tmp_path / "a.ims") as file:
        (series,) = file.series
        assert np.array_equal(series.asarray(), data)
        assert series.pixel_size == {"z": 2.0, "y": 0.5, "x": 0.5}
        assert series.time_step == 12.5
        assert [(c.name, c.color) for c in series.channels] == [
            ("DAPI", "0000FF"),
            ("GFP", "00FF00"),
        ]


def test_hdf5_arrays(tmp_path):
    rng = np.random.default_rng(0)
    volume, picture = (
        rng.random((5, 30, 40), np.float32),
        rng.integers(0, 255, (30, 40, 3), np.uint8),
    )
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["volumes/raw"] = volume
        file["volumes/raw"].attrs["element_size_um"] = (0.5, 0.1, 0.1)
        file["picture"] = picture
        file["table"] = rng.random((100, 3))
    with images.open_image(tmp_path / "a.h5") as file:
        found = {s.name: s for s in file.series}
        assert set(found) == {"volumes/raw", "picture"}
        assert np.array_equal(found["volumes/raw"].asarray(), volume)
        assert found["volumes/raw"].pixel_size == {"z": 0.5, "y": 0.1, "x": 0.1}
        assert found["picture"].rgb
        assert np.array_equal(found["picture"].asarray(), picture.transpose(2, 0, 1))


# ---------------------------------------------------------------- OME-TIFF in odd forms

_RNG = np.random.default_rng(0)
_A = _RNG.integers(0, 999, (3, 300, 400), np.uint16)
_B = _RNG.integers(0, 99, (4, 50, 60), np.uint8)
_RGB = _RNG.integers(0, 99, (4, 50, 60, 3), np.uint8)
_D = _RNG.integers(0, 99, (2, 3, 4, 20, 30), np.uint8)
GREY = {"photometric": "minisblack"}


@pytest.mark.parametrize(
    "name, data, options, axes, expected",
    [
        (
            "zrgb.ome.tif",
            _RGB,
            {"metadata": {"axes": "ZYXS"}, "photometric": "rgb"},
            "czyx",
            _RGB.transpose(3, 0, 1, 2),
        ),
        (
            "zct.ome.tif",
            _D,
            {"metadata": {"axes": "ZCTYX"}, **GREY},
            "tczyx",
            _D.transpose(2, 1, 0, 3, 4),
        ),
        (
            "lifetime.ome.tif",
            _D,
            {"metadata": {"axes": "CHTYX"}, **GREY},
            "tcyx",
            _D.reshape(6, 4, 20, 30).swapaxes(0, 1),
        ),
        (
            "ij.tif",
            _D.astype("u2"),
            {"imagej": True, "metadata": {"axes": "TZCYX"}},
            "tczyx",
            _D.astype("u2").swapaxes(1, 2),
        ),
        ("plain.tif", _B, {"metadata": None, **GREY}, "zyx", _B),
        ("volume.tif", _B, {"volumetric": True, "tile": (4, 16, 16), **GREY}, "zyx", _B),
        ("mask.tif", _B[0] > 50, GREY, "yx", _B[0] > 50),
        ("half.tif", _B[0].astype("f2"), GREY, "yx", _B[0].astype("f2")),
        ("wide.tif", -_B[0].astype("i8"), GREY, "yx", -_B[0].astype("i8")),
        (
            "seven.tif",
            np.concatenate([_B, _B[:3]]),
            {"planarconfig": "separate", **GREY},
            "cyx",
            np.concatenate([_B, _B[:3]]),
        ),
    ],
)
def test_tiff_in_odd_forms(tmp_path, read_level, name, data, options, axes, expected):
    tifffile.imwrite(tmp_path / name, data, **options)
    derived = images.convert(tmp_path / name, tmp_path / "a.ome.zarr")
    assert derived.axes == axes
    assert np.array_equal(read_level(tmp_path / "a.ome.zarr"), expected)


def test_a_pyramid_and_two_images_in_an_ome_tiff(tmp_path):
    with tifffile.TiffWriter(tmp_path / "p.ome.tif") as tiff:
        options = {"tile": (128, 128), "compression": "zlib", **GREY}
        names = {"Channel": {"Name": ["a", "b", "c"]}}
        tiff.write(_A, subifds=1, metadata={"axes": "CYX", **names}, **options)
        tiff.write(_A[:, ::2, ::2], subfiletype=1, **options)
    with tifffile.TiffWriter(tmp_path / "two.ome.tif") as tiff:
        tiff.write(_A, metadata={"axes": "CYX", "Name": "one"}, **GREY)
        tiff.write(_B, metadata={"axes": "TYX", "Name": "two", "TimeIncrement": 5.0}, **GREY)
    with images.open_image(tmp_path / "p.ome.tif") as file:
        (series,) = file.series
        assert np.array_equal(series.asarray(), _A)
        assert [c.name for c in series.channels] == ["a", "b", "c"]
    with images.open_image(tmp_path / "two.ome.tif") as file:
        assert [(s.name, s.axes, s.time_step) for s in file.series] == [
            ("one", "cyx", None),
            ("two", "tyx", 5),
        ]
        assert np.array_equal(file.series[1].asarray(), _B)


def test_a_companion_file_leads_its_tiffs(tmp_path):
    from ome_types import model as om
    from ome_types import to_xml

    uuid = "urn:uuid:00000000-0000-0000-0000-00000000000"
    blocks = [
        om.TiffData(
            ifd=0,
            first_t=t,
            plane_count=1,
            uuid=om.TiffData.UUID(value=f"{uuid}{t}", file_name=f"c{t}.ome.tif"),
        )
        for t in range(4)
    ]
    pixels = om.Pixels(
        dimension_order="XYCZT",
        type="uint8",
        size_x=60,
        size_y=50,
        size_z=1,
        size_c=1,
        size_t=4,
        channels=[om.Channel(samples_per_pixel=1)],
        tiff_data_blocks=blocks,
    )
    lead = om.OME(uuid=f"{uuid}9", images=[om.Image(pixels=pixels)])
    (tmp_path / "x.companion.ome").write_text(to_xml(lead))
    for t in range(4):
        only = om.OME.BinaryOnly(metadata_file="x.companion.ome", uuid=f"{uuid}9")
        with tifffile.TiffWriter(tmp_path / f"c{t}.ome.tif", ome=False) as tiff:
            tiff.write(
                _B[t],
                description=to_xml(om.OME(uuid=f"{uuid}{t}", binary_only=only)),
                metadata=None,
            )
    groups = images.group_files(
        [p.name for p in tmp_path.iterdir()], lambda p: (tmp_path / p).open("rb")
    )
    assert groups == [
        ("x.companion.ome", ["x.companion.ome", *(f"c{t}.ome.tif" for t in range(4))])
    ]
    with images.open_image(tmp_path / "x.companion.ome") as file:
        assert np.array_equal(file.series[0].asarray(), _B)


# ---------------------------------------------------------------- slides and pictures


def test_qptiff(tmp_path):
    """Channels with names, colours and exposures; the reduced copies aren't images of their own."""
    rng = np.random.default_rng(0)
    page = (
        '<?xml version="1.0" encoding="utf-8"?><PerkinElmer-QPI-ImageDescription>'
        "<ImageType>{kind}</ImageType><Name>{name}</Name><Color>{color}</Color>"
        "<ExposureTime>{time}</ExposureTime></PerkinElmer-QPI-ImageDescription>"
    )
    full = rng.integers(0, 255, (2, 512, 640), np.uint8)
    marks = (("DAPI", "0,0,255", 5000), ("CD3", "255,128,0", 20000))
    options = {
        "software": "PerkinElmer-QPI",
        "resolution": (20000, 20000),
        "resolutionunit": 3,
        "metadata": None,
    }
    with tifffile.TiffWriter(tmp_path / "a.qptiff") as tiff:
        for plane, (name, color, time) in zip(full, marks, strict=True):
            text = page.format(kind="FullResolution", name=name, color=color, time=time)
            tiff.write(plane, description=text, tile=(256, 256), **options)
        tiff.write(
            rng.integers(0, 255, (64, 80, 3), np.uint8),
            description=page.format(kind="Thumbnail", name="", color="", time=1),
            photometric="rgb",
            **options,
        )
        for plane, (name, color, time) in zip(full, marks, strict=True):
            text = page.format(kind="ReducedResolution", name=name, color=color, time=time)
            tiff.write(plane[::2, ::2], description=text, tile=(256, 256), **options)
    with images.open_image(tmp_path / "a.qptiff") as file:
        found = [s for s in file.series if s.role == "image"]
        assert len(found) == 1
        (series,) = found
        assert np.array_equal(series.asarray(), full)
        assert series.pixel_size == {"y": 0.5, "x": 0.5}
        assert [(c.name, c.color, c.exposure_time) for c in series.channels] == [
            ("DAPI", "0000FF", 0.005),
            ("CD3", "FF8000", 0.02),
        ]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.webp", "a.ppm", "a.jp2"])
def test_pictures(tmp_path, name):
    from PIL import Image

    yy, xx = np.mgrid[0:40, 0:50]
    picture = np.stack([yy * 5, xx * 4, yy + xx], -1).astype(np.uint8)
    options = {"lossless": True} if name.endswith("webp") else {}
    Image.fromarray(picture).save(tmp_path / name, **options)
    with images.open_image(tmp_path / name) as file:
        (series,) = file.series
        assert (series.axes, series.shape, series.rgb) == ("cyx", (3, 40, 50), True)
        difference = np.abs(series.asarray().astype(int) - independent.by_pillow(tmp_path / name))
        assert difference.max() <= (2 if name.endswith("jpg") else 0)


def test_png_of_16_bits(tmp_path):
    import imageio.v3 as iio

    data = np.random.default_rng(0).integers(0, 65535, (20, 21), np.uint16)
    iio.imwrite(tmp_path / "a.png", data)
    with images.open_image(tmp_path / "a.png") as file:
        assert np.array_equal(file.series[0].asarray(), data)


# ---------------------------------------------------------------- the table in the docs


def test_the_docs_table_is_the_registrys():
    page = Path(__file__).resolve().parents[2] / "docs/reference/formats.md"
    assert registry.table() in page.read_text(encoding="utf-8"), "run: make schemas"


def test_every_reader_is_there():
    import importlib

    for fmt in registry.FORMATS:
        importlib.import_module(f"slidebox.images.readers.{fmt.module}")
