"""Readers: what a file says of itself, against what is known of it from elsewhere."""

from __future__ import annotations

import bz2
import shutil

import numpy as np
import pytest
import tifffile
import yaml

from slidebox import images
from slidebox.images import UnreadableImage


def test_nd2_agrees_with_what_nis_elements_shows(vendor):
    """known-metadata.yml was read off Nikon's own software."""
    known = yaml.safe_load((vendor / "nd2_arcadia/known-metadata.yml").read_text())
    for name, channels in known.items():
        with images.open_image(vendor / "nd2_arcadia" / name) as file:
            (series,) = file.series
            assert series.size("c") == len(channels)
            for facts in channels.values():
                size = facts["resolution"]
                assert series.size("y") == size["y_size_px"]
                assert series.size("x") == size["x_size_px"]
                assert series.size("z") == size["z_size_px"]
                assert series.pixel_size["x"] == pytest.approx(size["xy_step_um"])
                if size["z_size_px"] > 1:
                    assert series.pixel_size["z"] == pytest.approx(size["z_step_um"])
                assert series.acquisition["LensNA"] == facts["optics"]["numerical_aperture"]


def test_nd2_channels_and_time_step(vendor):
    with images.open_image(vendor / "nd2_arcadia/example-multichannel.nd2") as file:
        channels = file.series[0].channels
    assert [c.name for c in channels] == ["Mono", "DAPI", "FITC BP", "TRITC BP"]
    assert [c.emission_wavelength for c in channels] == [None, 450, 512, 595]
    assert [c.color for c in channels] == ["FFFFFF", "0033FF", "07FF00", "FFBF00"]
    with images.open_image(vendor / "nd2_arcadia/example-timelapse.nd2") as file:
        assert file.series[0].axes == "tyx"
        assert file.series[0].time_step == pytest.approx(0.50016, abs=1e-5)


def test_lif_agrees_with_leicas_export(vendor):
    """The TIFFs were exported from the same file by Leica's software."""
    folder = vendor / "lif_readlif"
    with images.open_image(folder / "testdata_2channel_xz.lif") as file:
        assert [s.axes for s in file.series] == ["tcyx", "czyx", "cyx"]
        xzt = file.series[0]
        for c, t in ((0, 0), (1, 8)):
            assert np.array_equal(
                xzt.read((t, c)), tifffile.imread(folder / f"tiff/xz_c{c}_t{t}.tif")
            )
        assert xzt.time_step == pytest.approx(0.53)
        assert [c.color for c in xzt.channels] == ["00FF00", "FF0000"]
        # the lines of 488 and 552 nm were on; the dyes' bands begin at 493 and 618
        assert [c.excitation_wavelength for c in xzt.channels] == [488, 552]
        assert any("scan" in note for note in xzt.notes)


def test_czi_scenes_and_line_scan(vendor):
    with images.open_image(vendor / "czi_ccby/xyz__multiple_images.czi") as file:
        assert [s.shape for s in file.series] == [(2, 251, 251)] * 2
        one = file.series[0]
        assert one.pixel_size["z"] == 0.3
        assert one.channels[0].emission_wavelength == pytest.approx(578.617841)
        assert not np.array_equal(one.asarray(), file.series[1].asarray())
        assert "ImageDocument" in file.metadata["metadata.xml"]
    with images.open_image(vendor / "czi_ccby/xt-scan-lsm980.czi") as file:
        (line,) = file.series
        assert (line.axes, line.shape, line.time_step) == ("tyx", (150, 1, 512), pytest.approx(0.1))


def test_dv_and_mrc(vendor):
    with images.open_image(vendor / "dv_toxo/toxo.dv") as file:
        (series,) = file.series
        assert (series.axes, series.shape) == ("czyx", (2, 17, 128, 128))
        assert [c.emission_wavelength for c in series.channels] == [525, 632]
        assert series.pixel_size == {"z": 0.3, "y": 0.13262, "x": 0.13262}
        raw = np.fromfile(vendor / "dv_toxo/toxo.dv", "<u2", offset=1024)
        assert np.array_equal(series.asarray().ravel(), raw)  # WZT order, no extended header
    with images.open_image(vendor / "mrc_mrcfile/EMD-3197.map") as file:
        (series,) = file.series
        raw = np.fromfile(vendor / "mrc_mrcfile/EMD-3197.map", "<f4", offset=1024)
        assert np.array_equal(series.asarray().ravel(), raw)
        assert series.pixel_size["x"] == pytest.approx(11.4e-4)


def test_packed_maps_are_the_same(vendor, tmp_path):
    plain = vendor / "mrc_mrcfile/EMD-3001.map"
    (tmp_path / "emd.map.bz2").write_bytes(bz2.compress(plain.read_bytes()))
    with images.open_image(plain) as a:
        for other in (vendor / "mrc_mrcfile/emd_3001.map.gz", tmp_path / "emd.map.bz2"):
            with images.open_image(other) as b:
                assert np.array_equal(a.series[0].asarray(), b.series[0].asarray())


def test_lsm_has_wavelengths_and_sets_its_thumbnail_apart(vendor):
    with images.open_image(vendor / "lsm_drosophila/032113-18.lsm") as file:
        image, small = file.series
    assert (image.role, small.role) == ("image", "thumbnail")
    assert not image.rgb
    assert image.channels[0].excitation_wavelength == 405
    assert image.pixel_size["x"] == pytest.approx(1.0378, abs=1e-4)


def test_slides_keep_labels_and_macros_apart(vendor):
    with images.open_image(vendor / "wsi_slideio/CMU-1-Small-Region.svs") as file:
        roles = [s.role for s in file.series]
        assert roles == ["image", "thumbnail", "label", "macro"]
        slide = file.series[0]
        assert slide.rgb and slide.pixel_size == {"y": 0.499, "x": 0.499}
        whole = slide.read_samples(0, 0, 0)
        assert np.array_equal(slide.read_samples(0, 0, 0, 700, 1000), whole[:, 700:1000])


def test_imagej_calibration(vendor):
    folder = vendor / "imagej_tiff_neubias"
    with images.open_image(folder / "xyz_8bit__mitotic_plate_calibrated.tif") as file:
        (series,) = file.series
        assert series.axes == "zyx"
        assert series.pixel_size == {
            "z": 3.0,
            "y": pytest.approx(0.0852, abs=1e-4),
            "x": pytest.approx(0.0852, abs=1e-4),
        }
    with images.open_image(folder / "xyc_16bit__cell_dna_mts_actin.tif") as file:
        assert [c.color for c in file.series[0].channels] == ["00FFFF", "FF00FF", "FFFF00"]
    with images.open_image(folder / "xy_rgb__cells.tif") as file:
        assert file.series[0].rgb


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", ">u2", "<i2", ">i4", "float32", ">f8", "bool", "complex64"]
)
def test_types_and_byte_orders_of_tiff(tmp_path, dtype):
    rng = np.random.default_rng(1)
    data = (rng.random((3, 33, 47)) * 100 - 20).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, data, byteorder=">" if dtype[0] == ">" else "<", photometric="minisblack"
    )
    with images.open_image(path) as file:
        (series,) = file.series
        assert series.dtype.isnative
        assert np.array_equal(series.asarray(), data)


@pytest.mark.parametrize(
    "options",
    [
        {"tile": (64, 48)},
        {"rowsperstrip": 7},
        {"tile": (64, 64), "compression": "zlib", "predictor": True},
        {"rowsperstrip": 16, "compression": "lzw"},
        {"planarconfig": "separate", "rowsperstrip": 9},
        {"planarconfig": "separate", "tile": (32, 32), "compression": "zstd"},
    ],
)
def test_bands_of_rows_are_the_rows_of_the_whole(tmp_path, options):
    data = np.random.default_rng(2).integers(0, 255, (150, 131, 3), np.uint8)
    if options.get("planarconfig") == "separate":
        data = np.ascontiguousarray(data.transpose(2, 0, 1))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, photometric="rgb", **options)
    expected = data if data.shape[0] == 3 else data.transpose(2, 0, 1)
    with images.open_image(path) as file:
        (series,) = file.series
        assert series.rgb and series.samples == 3
        for y0, y1 in ((0, 150), (0, 1), (13, 77), (149, 150)):
            assert np.array_equal(series.read_samples(0, 0, 0, y0, y1), expected[:, y0:y1])


def test_multifile_ome_tiff(tmp_path):
    """Three files that name each other: one image, and its planes where they belong."""
    data = np.random.default_rng(3).integers(0, 9000, (3, 2, 40, 50), np.uint16)
    xml = _multifile(tmp_path, data)
    assert xml.count("FileName") == 3
    with images.open_image(tmp_path / "t1.ome.tif") as file:
        (series,) = file.series
        assert (series.axes, series.shape, series.time_step) == ("tcyx", data.shape, 2.5)
        assert np.array_equal(series.asarray(), data)
        assert [c.name for c in series.channels] == ["DAPI", "GFP"]
    groups = images.group_files(
        [f"t{t}.ome.tif" for t in range(3)] + ["other.txt"], lambda p: (tmp_path / p).open("rb")
    )
    assert groups == [
        ("other.txt", ["other.txt"]),
        ("t0.ome.tif", [f"t{t}.ome.tif" for t in range(3)]),
    ]


def test_multifile_ome_tiff_with_a_file_missing(tmp_path):
    data = np.random.default_rng(3).integers(0, 9000, (3, 2, 40, 50), np.uint16)
    _multifile(tmp_path, data)
    (tmp_path / "t2.ome.tif").unlink()
    with images.open_image(tmp_path / "t0.ome.tif") as file:
        series = file.series[0]
        assert np.array_equal(series.read((0, 1)), data[0, 1])
        with pytest.raises(UnreadableImage, match="t=2"):
            series.read((2, 0))


def _multifile(folder, data):
    from ome_types import model as om
    from ome_types import to_xml

    blocks = [
        om.TiffData(
            ifd=0,
            first_t=t,
            plane_count=2,
            uuid=om.TiffData.UUID(
                value=f"urn:uuid:00000000-0000-0000-0000-00000000000{t}", file_name=f"t{t}.ome.tif"
            ),
        )
        for t in range(3)
    ]
    pixels = om.Pixels(
        dimension_order="XYCZT",
        type="uint16",
        size_x=50,
        size_y=40,
        size_z=1,
        size_c=2,
        size_t=3,
        time_increment=2.5,
        tiff_data_blocks=blocks,
        channels=[om.Channel(name=n, samples_per_pixel=1) for n in ("DAPI", "GFP")],
    )
    for t in range(3):
        ome = om.OME(
            uuid=f"urn:uuid:00000000-0000-0000-0000-00000000000{t}",
            images=[om.Image(pixels=pixels)],
        )
        xml = to_xml(ome)
        with tifffile.TiffWriter(folder / f"t{t}.ome.tif", ome=False) as tiff:
            for c in range(2):
                tiff.write(data[t, c], description=xml if c == 0 else None, metadata=None)
    return xml


def test_what_is_no_image_says_why(tmp_path, vendor):
    cases = {
        "empty.tif": b"",
        "page.tif": b"<html>404 not found</html>",
        "half.czi": (vendor / "czi_ccby/xyz__multiple_images.czi").read_bytes()[:3000],
        "half.nd2": (vendor / "nd2_arcadia/example-zstack.nd2").read_bytes()[:9000],
        "half.lif": (vendor / "lif_readlif/testdata_2channel_xz.lif").read_bytes()[:5000],
        "half.dv": (vendor / "dv_toxo/toxo.dv").read_bytes()[:500000],
        "half.map": (vendor / "mrc_mrcfile/EMD-3197.map").read_bytes()[:9000],
        "half.png": b"\x89PNG\r\n\x1a\n" + b"\0" * 30,
        "noise.lsm": bytes(range(256)) * 8,
        "noise.oib": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
        "noise.dm3": b"\0\0\0\3" + b"\1" * 400,
        "noise.ims": b"\x89HDF\r\n\x1a\n" + b"\0" * 200,
        "notes.docx": b"PK",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableImage) as caught:
            images.open_image(tmp_path / name)
        assert name in str(caught.value) and len(caught.value.reason) > 8
    with pytest.raises(UnreadableImage, match="no such file"):
        images.open_image(tmp_path / "gone.tif")


def test_a_cut_off_tiff_is_refused_not_shortened(tmp_path):
    """The planes that are left must not pass for the image."""
    data = np.random.default_rng(4).integers(0, 9, (4, 64, 64), np.uint8)
    for options in ({"imagej": True}, {"metadata": None}, {"ome": True}):
        path = tmp_path / "a.tif"
        with tifffile.TiffWriter(
            path, **{k: v for k, v in options.items() if k != "metadata"}
        ) as tiff:
            for plane in data if "metadata" in options else [data]:
                tiff.write(plane, metadata=options.get("metadata", {}))
        path.write_bytes(path.read_bytes()[:-3000])
        with pytest.raises(UnreadableImage, match=r"cut off|page"), images.open_image(path) as file:
            file.series[0].asarray()


def test_a_damaged_plane_is_named(tmp_path):
    data = np.random.default_rng(4).integers(0, 9, (4, 64, 64), np.uint8)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, data, compression="zlib", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.series[0].pages[2].dataoffsets[0]
    with path.open("r+b") as handle:
        handle.seek(offset)
        handle.write(b"\xff" * 20)
    with images.open_image(path) as file:
        assert np.array_equal(file.series[0].read((0,)), data[0])
        with pytest.raises(UnreadableImage) as caught:
            file.series[0].read((2,))
    assert caught.value.plane == {"z": 2} and caught.value.series == 0
    assert str(path) in str(caught.value) and "z=2" in str(caught.value)


def test_can_read_goes_by_name_and_first_bytes(tmp_path, vendor):
    assert images.can_read("study/a.ome.tiff") == "ome-tiff"
    assert images.can_read("study/a.ND2") == "nd2"
    assert images.can_read("study/table.csv") is None
    shutil.copy(vendor / "dv_toxo/toxo.dv", tmp_path / "toxo.dv")
    assert images.can_read(tmp_path / "toxo.dv") == "dv"


def test_grouping_keeps_every_path_once():
    paths = [
        "a.oif",
        "a.oif.files/s_1.tif",
        "a.oif.files/x/s_2.tif",
        "s.vsi",
        "_s_/stack1/frame_t.ets",
        "p.ome.zarr/0/c/0",
        "p.ome.zarr/zarr.json",
        "b.png",
    ]
    groups = images.group_files(paths)
    assert groups == [
        ("a.oif", ["a.oif", "a.oif.files/s_1.tif", "a.oif.files/x/s_2.tif"]),
        ("b.png", ["b.png"]),
        ("p.ome.zarr", ["p.ome.zarr/0/c/0", "p.ome.zarr/zarr.json"]),
        ("s.vsi", ["s.vsi", "_s_/stack1/frame_t.ets"]),
    ]


def test_a_plates_index_leads_its_pictures():
    plate = [
        "p/Images/Index.idx.xml",
        "p/Images/r01c01f01p01-ch1sk1fk1fl1.tiff",
        "p/Images/r01c02.tiff",
    ]
    slide = ["s.mrxs", "s/Data0000.dat", "s/Slidedat.ini", "x.ics", "x.ids", "t000.tif", "t001.tif"]
    assert images.group_files([*plate, *slide]) == [
        (plate[0], plate),
        ("s.mrxs", slide[:3]),
        ("t000.tif", ["t000.tif"]),
        ("t001.tif", ["t001.tif"]),
        ("x.ics", ["x.ics", "x.ids"]),
    ]


def test_ids_are_stable():
    files = [("b.tif", "2" * 64), ("a.tif", "1" * 64)]
    one = images.image_id("S-1", files, 0)
    assert (
        one == images.image_id("S-1", reversed(files), 0) == "7512a1cf-dc4b-5521-b968-72805a32ca56"
    )
    assert one != images.image_id("S-1", files, 1) != images.image_id("S-2", files, 1)
    assert len(images.derivation_id(images.Recipe())) == 8
    assert images.derivation_id(images.Recipe()) != images.derivation_id(images.Recipe(chunk=256))
