"""N5, NeXus, X-ray files, odd OME-TIFFs, CZI mosaics, patterns of names: made here, read back."""

from __future__ import annotations

import json
import struct
import zlib
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
import tifffile

from slidebox import images
from slidebox.images import UnreadableImage, sequence
from slidebox.images.model import Well

RNG = np.random.default_rng(7)


def n5_write(folder, data, block, compression, **attributes):
    """A dataset by the specification: big-endian blocks, x fastest. ``data`` is in C order."""
    folder.mkdir(parents=True)
    facts = {
        "dimensions": list(data.shape[::-1]),
        "blockSize": list(block),
        "dataType": data.dtype.name,
        "compression": {"type": compression},
        **attributes,
    }
    (folder / "attributes.json").write_text(json.dumps(facts))
    counts = [-(-n // b) for n, b in zip(data.shape[::-1], block, strict=True)]
    for where in np.ndindex(*counts):
        part = data[tuple(slice(w * b, w * b + b) for w, b in zip(where, block, strict=True))[::-1]]
        plain = np.ascontiguousarray(part, part.dtype.newbyteorder(">")).tobytes()
        head = struct.pack(f">HH{part.ndim}I", 0, part.ndim, *part.shape[::-1])
        path = folder.joinpath(*map(str, where))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(head + (zlib.compress(plain) if compression == "gzip" else plain))


def test_n5_pyramid_reads_its_largest_level(tmp_path):
    pytest.importorskip("imagecodecs")
    data = RNG.integers(0, 65535, (7, 33, 50), np.uint16)
    root = tmp_path / "a.n5"
    scale = {"dimensions": [4.0, 5.0, 40.0], "unit": "nm"}
    n5_write(root / "em/s0", data, (16, 20, 3), "gzip", pixelResolution=scale)
    n5_write(root / "em/s1", data[:, ::2, ::2], (16, 20, 3), "gzip")
    n5_write(root / "mask", (data > 9).astype(np.uint8), (50, 33, 7), "raw")
    with images.open_image(root) as file:
        em, mask = file.series
        assert (em.name, em.axes, mask.name) == ("em", "zyx", "mask")
        assert em.pixel_size == {"z": 0.04, "y": 0.005, "x": 0.004}
        assert np.array_equal(em.asarray(), data)
        assert np.array_equal(em.read((5,), 13, 31), data[5, 13:31])
        assert np.array_equal(mask.asarray(), data > 9)
    assert images.group_files(["a.n5/em/s0/0/0/0", "b.png"]) == [
        ("a.n5", ["a.n5/em/s0/0/0/0"]),
        ("b.png", ["b.png"]),
    ]


def test_a_damaged_n5_block_is_named_and_an_absent_one_is_zero(tmp_path):
    data = RNG.integers(1, 255, (4, 20, 20), np.uint8)
    n5_write(tmp_path / "a.n5/x", data, (10, 10, 1), "gzip")
    (tmp_path / "a.n5/x/1/1/2").write_bytes(b"\0\0\0\3" + b"\1" * 30)
    (tmp_path / "a.n5/x/0/0/0").unlink()
    with images.open_image(tmp_path / "a.n5") as file:
        assert not file.series[0].read((0,))[:10, :10].any()
        with pytest.raises(UnreadableImage) as caught:
            file.series[0].read((2,))
    assert caught.value.plane == {"z": 2} and caught.value.file.endswith("x/1/1/2")


def test_nexus_signal_with_its_axes(tmp_path):
    data = RNG.random((12, 20, 30)).astype("f4")
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file.attrs["default"] = "entry"
        entry = file.create_group("entry")
        entry.attrs.update({"NX_class": "NXentry", "default": "plot"})
        group = entry.create_group("plot")
        group.attrs.update({"NX_class": "NXdata", "signal": "d", "axes": ["time", "y", "x"]})
        group["d"] = data
        for name, step, count, unit in (
            ("time", 0.5, 12, "s"),
            ("y", 2, 20, "um"),
            ("x", 3, 30, "nm"),
        ):
            group[name] = np.arange(count) * step
            group[name].attrs["units"] = unit
        file["entry/other"] = RNG.random((20, 20))  # an array that is no signal
    with images.open_image(tmp_path / "a.nxs") as file:
        (series,) = file.series
        assert file.format == "nexus"
        assert (series.axes, series.time_step) == ("tyx", 0.5)
        assert series.pixel_size == {"y": 2.0, "x": 0.003}
        assert np.array_equal(series.asarray(), data)


def test_nexus_cube_of_spectra_is_a_picture_of_channels(tmp_path):
    data = RNG.random((20, 30, 5))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("scan")
        group.attrs["NX_class"] = "NXentry"
        inner = group.create_group("data")
        inner.attrs.update(
            {"NX_class": "NXdata", "signal": "d", "axes": ["sample_y", "sample_x", "energy"]}
        )
        inner["d"] = data
    with images.open_image(tmp_path / "a.h5") as file:
        (series,) = file.series
        assert series.axes == "cyx" and not series.rgb
        assert np.array_equal(series.asarray(), data.transpose(2, 0, 1))


def ole_write(path, streams):
    """An OLE container of streams ("a/b": bytes); each takes whole sectors of the large kind."""
    names = sorted({n.split("/")[0] for n in streams})
    data, at = b"", 0
    starts = {}
    for name, value in streams.items():
        value = value.ljust(4096, b"\0")
        value += b"\0" * (-len(value) % 512)
        starts[name] = (at, len(value) // 512, len(value))
        at += len(value) // 512
        data += value
    children = {n: [s for s in streams if s.split("/")[0] == n] for n in names}
    tree = [("Root Entry", 5, 1, -1, 0xFFFFFFFE, 0)]
    number = 1 + len(names)
    for k, name in enumerate(names):
        right = k + 2 if k + 1 < len(names) else -1
        tree.append((name, 1, number, right, 0, 0))
        number += len(children[name])
    for name in names:
        own = children[name]
        for k, stream in enumerate(own):
            here = len(tree)
            start, _, size = starts[stream]
            tree.append(
                (stream.split("/")[1], 2, -1, here + 1 if k + 1 < len(own) else -1, start, size)
            )
    directory = b""
    for name, kind, child, right, start, size in tree:
        text = (name + "\0").encode("utf-16-le")
        directory += text.ljust(64, b"\0") + struct.pack(
            "<HBBiii", len(text), kind, 1, -1, right, child
        )
        directory += b"\0" * 36 + struct.pack("<IQ", start & 0xFFFFFFFF, size)
    directory += b"\0" * (-len(directory) % 512)
    here = at
    count = len(directory) // 512
    fat = []
    for start, sectors, _ in starts.values():
        fat += [*range(start + 1, start + sectors), 0xFFFFFFFE]
    fat += [*range(here + 1, here + count), 0xFFFFFFFE]
    tables = -(-(len(fat) + 8) // 128)
    fat += [0xFFFFFFFD] * tables
    fat += [0xFFFFFFFF] * (tables * 128 - len(fat))
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16
    head += struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + b"\0" * 6
    head += struct.pack("<IIIIIIIII", 0, tables, here, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    first = here + count
    head += struct.pack("<109I", *range(first, first + tables), *[0xFFFFFFFF] * (109 - tables))
    path.write_bytes(head + data + directory + struct.pack(f"<{len(fat)}I", *fat))


def xray(path, data, **more):
    facts = {"ImageHeight": data.shape[1], "ImageWidth": data.shape[2], "DataType": 5}
    facts |= {"NoOfImages": len(data), "ImagesTaken": len(data)} | more
    streams = {f"ImageInfo/{k}": struct.pack("<i", v) for k, v in facts.items()}
    streams["ImageInfo/PixelSize"] = struct.pack("<f", 0.25)
    streams["ImageInfo/Date"] = b"11/09/15 18:19:21"
    for axis, value in zip("XYZ", (10.5, -20.0, 3.0), strict=True):
        streams[f"ImageInfo/{axis}Position"] = struct.pack("<f", value)
    for n, plane in enumerate(data):
        streams[f"ImageData{n // 100 + 1}/Image{n + 1}"] = plane.astype("<u2").tobytes()
    ole_write(path, streams)


def test_xray_reconstruction_and_tilt_series(tmp_path):
    pytest.importorskip("olefile")
    data = RNG.integers(0, 65535, (5, 48, 64), np.uint16)
    for name, axes in (("a.txm", "zyx"), ("a.txrm", "tyx")):
        xray(tmp_path / name, data)
        with images.open_image(tmp_path / name) as file:
            (series,) = file.series
            assert (series.axes, series.pixel_size["x"]) == (axes, 0.25)
            assert series.stage_position == {"x": 10.5, "y": -20.0, "z": 3.0}
            assert series.start_time == "2015-11-09T18:19:21"
            assert np.array_equal(series.asarray(), data)
            assert np.array_equal(series.read((3,), 5, 9), data[3, 5:9])
    xray(tmp_path / "cut.txrm", data, NoOfImages=9, ImagesTaken=9)
    with pytest.raises(UnreadableImage, match="9 images and holds 5"):
        images.open_image(tmp_path / "cut.txrm")


# ---------------------------------------------------------------- OME-TIFF as it is in the wild


def ome(body, attributes=""):
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return f'<?xml version="1.0"?><OME xmlns="{space}" {attributes}>{body}</OME>'


def image(number, t=1, c=1, z=1, blocks="<TiffData/>", order="XYZCT", more=""):
    return (
        f'<Image ID="Image:{number}" Name="im{number}"><Pixels ID="Pixels:{number}" '
        f'DimensionOrder="{order}" Type="uint16" SizeX="30" SizeY="20" SizeZ="{z}" SizeC="{c}" '
        f'SizeT="{t}" {more}>{blocks}</Pixels></Image>'
    )


def write(path, planes, xml):
    with tifffile.TiffWriter(path, ome=False) as tiff:
        for n, plane in enumerate(planes):
            tiff.write(
                plane, description=xml.encode() if n == 0 else None, metadata=None, contiguous=False
            )


@pytest.fixture
def planes():
    return RNG.integers(0, 65535, (24, 20, 30), np.uint16)


def block(ifd, t=0, c=0, z=0, name="", uuid=""):
    inner = f'<UUID FileName="{name}">urn:uuid:{uuid}</UUID>' if name else ""
    first = f'FirstT="{t}" FirstC="{c}" FirstZ="{z}"'
    return f'<TiffData IFD="{ifd}" {first} PlaneCount="1">{inner}</TiffData>'


@pytest.mark.parametrize("order", ["XYZCT", "XYZTC", "XYCZT", "XYCTZ", "XYTCZ", "XYTZC"])
def test_ome_tiff_in_every_order_of_dimensions(tmp_path, planes, order):
    write(tmp_path / "a.ome.tif", planes, ome(image(0, 2, 3, 4, order=order)))
    sizes = {"t": 2, "c": 3, "z": 4}
    slow_first = order[:1:-1].lower()
    wanted = planes.reshape(*(sizes[a] for a in slow_first), 20, 30)
    wanted = wanted.transpose([slow_first.index(a) for a in "tcz"] + [3, 4])
    with images.open_image(tmp_path / "a.ome.tif") as file:
        assert np.array_equal(file.series[0].asarray(), wanted)


def test_ome_tiff_planes_in_no_file_are_zero_and_counted(tmp_path, planes):
    blocks = "".join(block(n, n // 4, z=n % 4) for n in range(8) if n != 5)
    write(tmp_path / "a.ome.tif", planes[:8], ome(image(0, 2, 1, 4, blocks)))
    with images.open_image(tmp_path / "a.ome.tif") as file:
        (series,) = file.series
        assert not series.read((1, 1)).any()
        assert np.array_equal(series.read((1, 2)), planes[6])
        assert any(note.startswith("1 planes are in no file") for note in series.notes)


def test_ome_tiff_that_claims_more_than_it_holds_fails_at_that_plane(tmp_path, planes):
    write(tmp_path / "a.ome.tif", planes[:3], ome(image(0, 5)))
    with images.open_image(tmp_path / "a.ome.tif") as file:
        assert np.array_equal(file.series[0].read((2,)), planes[2])
        with pytest.raises(UnreadableImage, match="no page for this plane"):
            file.series[0].read((3,))


def test_ome_tiff_plate_says_its_wells(tmp_path, planes):
    samples = [
        f'<Well ID="Well:{w}" Row="1" Column="{w + 2}">'
        + "".join(
            f'<WellSample ID="WellSample:{w}:{f}" Index="{2 * w + f}">'
            f'<ImageRef ID="Image:{2 * w + f}"/></WellSample>'
            for f in range(2)
        )
        + "</Well>"
        for w in range(2)
    ]
    plate = f'<Plate ID="Plate:0" Name="P1" RowNamingConvention="letter">{"".join(samples)}</Plate>'
    body = plate + "".join(image(n, blocks=block(n)) for n in range(4))
    write(tmp_path / "a.ome.tif", planes[:4], ome(body))
    with images.open_image(tmp_path / "a.ome.tif") as file:
        wells = [s.well for s in file.series]
    assert wells == [Well("P1", "B", str(c), f) for c in (3, 4) for f in (0, 1)]


def test_companion_and_its_files_are_one_image(tmp_path, planes):
    uuids = [f"0000000{n}-0000-0000-0000-000000000000" for n in range(3)]
    blocks = "".join(
        block(c, t, c, name=f"f{t}.ome.tif", uuid=uuids[t]) for t in range(2) for c in range(3)
    )
    whole = ome(
        image(0, 2, 3, 1, blocks, more='PhysicalSizeX="0.7"'), f'UUID="urn:uuid:{uuids[2]}"'
    )
    (tmp_path / "a.companion.ome").write_text(whole)
    for t in range(2):
        pointer = f'<BinaryOnly MetadataFile="a.companion.ome" UUID="urn:uuid:{uuids[2]}"/>'
        write(
            tmp_path / f"f{t}.ome.tif",
            planes[t * 3 : t * 3 + 3],
            ome(pointer, f'UUID="urn:uuid:{uuids[t]}"'),
        )
    for name in ("a.companion.ome", "f0.ome.tif", "f1.ome.tif"):
        with images.open_image(tmp_path / name) as file:
            (series,) = file.series
            assert (series.axes, series.pixel_size["x"]) == ("tcyx", 0.7)
            assert np.array_equal(series.asarray().reshape(6, 20, 30), planes[:6])
    (tmp_path / "f1.ome.tif").unlink()
    with (
        images.open_image(tmp_path / "a.companion.ome") as file,
        pytest.raises(UnreadableImage, match=r"it is in f1\.ome\.tif, which isn't there"),
    ):
        file.series[0].read((1, 0))
    (tmp_path / "a.companion.ome").unlink()
    with pytest.raises(UnreadableImage, match=r"its metadata are in a\.companion\.ome"):
        images.open_image(tmp_path / "f0.ome.tif")


# ---------------------------------------------------------------- CZI


def test_czi_mosaic_scenes_and_gaps(tmp_path):
    pyczi = pytest.importorskip("pylibCZIrw.czi")
    tiles = RNG.integers(1, 65535, (2, 2, 3, 64, 80, 1), np.uint16)
    with pyczi.create_czi(
        str(tmp_path / "m.czi"), compression_options="zstd1:ExplicitLevel=2"
    ) as czi:
        for t, y, x in np.ndindex(2, 2, 3):
            czi.write(data=tiles[t, y, x], location=(x * 70 - 35, y * 60 + 11), plane={"T": t})
    whole = np.zeros((2, 124, 220), np.uint16)
    for t, y, x in np.ndindex(2, 2, 3):  # the later tile lies over the earlier
        whole[t, y * 60 : y * 60 + 64, x * 70 : x * 70 + 80] = tiles[t, y, x, ..., 0]
    with images.open_image(tmp_path / "m.czi") as file:
        assert np.array_equal(file.series[0].asarray(), whole)
        assert np.array_equal(file.series[0].read((1,), 50, 90), whole[1, 50:90])
    with pyczi.create_czi(str(tmp_path / "s.czi")) as czi:
        for scene, size in enumerate((30, 50)):
            for t, c in ((0, 0), (0, 1), (1, 0)):
                data = np.full((size, 40, 1), 10 * t + c + 1, np.uint8)
                czi.write(data=data, plane={"T": t, "C": c}, scene=scene, location=(scene * 500, 0))
    with images.open_image(tmp_path / "s.czi") as file:
        assert [s.shape for s in file.series] == [(2, 2, 30, 40), (2, 2, 50, 40)]
        assert [int(v) for v in file.series[1].asarray()[:, :, 0, 0].ravel()] == [1, 2, 11, 0]
        assert any("1 planes were not recorded" in note for note in file.series[0].notes)


@pytest.mark.parametrize(
    ("letter", "shapes"), [("V", [(2, 9, 8)] * 3), ("B", [(2, 9, 8)] * 3), ("H", [(6, 9, 8)])]
)
def test_czi_views_are_images_and_phases_channels(tmp_path, letter, shapes):
    pyczi = pytest.importorskip("pylibCZIrw.czi")
    with pyczi.create_czi(str(tmp_path / "a.czi")) as czi:
        for t, c in np.ndindex(3, 2):
            czi.write(data=np.full((9, 8, 1), 1000 + 10 * t + c, np.uint16), plane={"T": t, "C": c})
    # no writer makes these: the dimension's letter is changed in the file
    changed = (tmp_path / "a.czi").read_bytes().replace(b"T\0\0\0", letter.encode() + b"\0\0\0")
    (tmp_path / "a.czi").write_bytes(changed)
    with images.open_image(tmp_path / "a.czi") as file:
        assert [s.shape for s in file.series] == shapes
        values = [int(v) for s in file.series for v in s.asarray()[:, 0, 0]]
    assert sorted(values) == [1000 + 10 * t + c for t in range(3) for c in range(2)]


def test_czi_scene_in_a_well():
    from slidebox.images.readers import czi

    text = '<Scene><ArrayName>B4</ArrayName><Shape Name="B4"><RowIndex>2</RowIndex></Shape></Scene>'
    scene, fields = ElementTree.fromstring(text), {}
    assert czi._well(scene, "p", fields) == Well("p", "B", "4", 0)
    assert czi._well(scene, "p", fields) == Well("p", "B", "4", 1)
    assert czi._well(ElementTree.fromstring("<Scene><Name>P1</Name></Scene>"), "p", fields) is None


def test_planes_that_the_sizes_leave_out_are_told(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((3, 2, 8, 9), np.uint16), metadata={"axes": "TCYX"})
    path.write_bytes(path.read_bytes().replace(b'SizeT="3"', b'SizeT="2"'))
    with images.open_image(path) as file:
        assert file.series[0].shape == (2, 2, 8, 9)
        assert any("6 planes, its sizes of 4" in note for note in file.series[0].notes)


# ---------------------------------------------------------------- patterns of names


def test_a_pattern_joins_files_and_names_channels(tmp_path):
    for t, (c, name), z in (
        (t, c, z) for t in (8, 9, 10) for c in enumerate(("DAPI", "GFP")) for z in range(2)
    ):
        data = np.full((9, 11), t * 100 + c * 10 + z, np.uint16)
        tifffile.imwrite(tmp_path / f"img_T{t:02}_C{name}_Z{z}.tif", data)
    pattern = tmp_path / "img_T<08-10>_C<DAPI,GFP>_Z<>.tif"
    with images.open_image(pattern) as file:
        (series,) = file.series
        assert (series.axes, series.name) == ("tczyx", "img")
        assert [c.name for c in series.channels] == ["DAPI", "GFP"]
        wanted = [t * 100 + c * 10 + z for t in (8, 9, 10) for c in range(2) for z in range(2)]
        assert series.asarray()[..., 0, 0].ravel().tolist() == wanted
    derived = images.convert(pattern, tmp_path / "a.ome.zarr")
    assert derived.axes == "tczyx"
    tifffile.imwrite(tmp_path / "img_T09_CGFP_Z1.tif", np.zeros((9, 12), np.uint16))
    with images.open_image(pattern) as file, pytest.raises(UnreadableImage, match="T09_CGFP_Z1"):
        file.series[0].read((1, 1, 1))
    (tmp_path / "img_T09_CGFP_Z1.tif").unlink()
    with pytest.raises(UnreadableImage, match=r"1 of 12 files are missing: img_T09_CGFP_Z1\.tif"):
        images.open_image(pattern)


def test_a_pattern_may_have_places_in_folders(tmp_path):
    for t, z in ((t, z) for t in (1, 2) for z in (1, 2)):
        (tmp_path / f"T{t}").mkdir(exist_ok=True)
        data = np.full((9, 11), 10 * t + z, np.uint8)
        tifffile.imwrite(tmp_path / f"T{t}/a_Z{z}.tif", data)
    with images.open_image(tmp_path / "T<1-2>/a_Z<>.tif") as file:
        assert file.series[0].asarray()[..., 0, 0].tolist() == [[11, 12], [21, 22]]
        assert images.misshapen(file) == []
    tifffile.imwrite(tmp_path / "T2/a_Z1.tif", np.zeros((9, 11), np.uint16))
    (tmp_path / "T2/a_Z2.tif").write_bytes(b"II*\0")
    with images.open_image(tmp_path / "T<1-2>/a_Z<>.tif") as file:
        first, second = images.misshapen(file)
    assert first.startswith("T2/a_Z1.tif: its (9, 11) uint16 isn't")
    assert second.startswith("T2/a_Z2.tif: ")


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("a_X<1-2>.tif", "which axis"),
        ("a_T<1>_T<2>.tif", "twice"),
        ("a_T<3-1>.tif", "counts nothing"),
        ("a_C<x,>.tif", "empty"),
        ("q_T<>.tif", "no file fits"),
    ],
)
def test_a_pattern_that_makes_no_sense(pattern, says):
    with pytest.raises(sequence.PatternError, match=says):
        sequence.expand(pattern, ["a_T1.tif"])


# ---------------------------------------------------------------- everyday pictures


def test_sixteen_bits_of_netpbm_are_kept(tmp_path):
    data = RNG.integers(0, 65535, (12, 13, 3), np.uint16)
    (tmp_path / "a.ppm").write_bytes(b"P6\n# c\n13 12\n65535\n" + data.astype(">u2").tobytes())
    (tmp_path / "b.pgm").write_bytes(b"P5 13 12 65535\n" + data[..., 0].astype(">u2").tobytes())
    (tmp_path / "c.pgm").write_bytes((tmp_path / "b.pgm").read_bytes()[:-5])
    with images.open_image(tmp_path / "a.ppm") as file:
        assert np.array_equal(file.series[0].asarray(), data.transpose(2, 0, 1))
    with images.open_image(tmp_path / "b.pgm") as file:
        assert np.array_equal(file.series[0].asarray(), data[..., 0])
    with pytest.raises(UnreadableImage, match="cut off"):
        images.open_image(tmp_path / "c.pgm")


def test_animations_are_time_and_a_cut_off_jpeg_is_refused(tmp_path):
    from PIL import Image

    frames = [Image.fromarray(RNG.integers(0, 255, (16, 17), np.uint8)) for _ in range(3)]
    for name in ("a.gif", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=200)
        with images.open_image(tmp_path / name) as file:
            assert (file.series[0].axes, file.series[0].time_step) == ("tyx", 0.2)
            assert np.array_equal(
                file.series[0].asarray(), np.stack([np.asarray(f) for f in frames])
            )
    frames[0].save(tmp_path / "b.jpg")
    (tmp_path / "c.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:-60])
    with pytest.raises(UnreadableImage, match="cut off"):
        images.open_image(tmp_path / "c.jpg")


# ---------------------------------------------------------------- LIF


def lif_element(name, data, dimensions, channels, attachment=""):
    """An image of a LIF's header. ``dimensions``: (id, count, bytes a step, length, unit)."""
    axes = "".join(
        f'<DimensionDescription DimID="{i}" NumberOfElements="{n}" Origin="0" Length="{size}" '
        f'Unit="{unit}" BitInc="0" BytesInc="{step}"/>'
        for i, n, step, size, unit in dimensions
    )
    kinds = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="{tag}" Resolution="{8 * data.itemsize}" '
        f'NameOfMeasuredQuantity="" Min="0" Max="255" Unit="" LUTName="{lut}" '
        f'IsLUTInverted="0" BytesInc="{step}" BitInc="0"/>'
        for tag, lut, step in channels
    )
    return (
        f'<Element Name="{name}" UniqueID="{name}"><Data><Image><ImageDescription>'
        f"<Channels>{kinds}</Channels><Dimensions>{axes}</Dimensions></ImageDescription>"
        f'{attachment}</Image></Data><Memory Size="{data.nbytes}" MemoryBlockID="Mem_{name}"/>'
        "</Element>"
    )


def lif_write(path, images_):
    xml = '<LMSDataContainerHeader Version="2"><Element Name="x" UniqueID="x"><Children>'
    xml += "".join(e for e, _, _ in images_) + "</Children></Element></LMSDataContainerHeader>"
    text = xml.encode("utf-16-le")
    whole = struct.pack("<iiBi", 0x70, len(text) + 5, 0x2A, len(xml)) + text
    for _, name, data in images_:
        text = f"Mem_{name}".encode("utf-16-le")
        whole += struct.pack("<iiBqB", 0x70, len(text) + 14, 0x2A, data.nbytes, 0x2A)
        whole += struct.pack("<i", len(text) // 2) + text + data.tobytes()
    path.write_bytes(whole)


def test_lif_tiles_have_places_and_colours_their_order(tmp_path):
    pytest.importorskip("liffile")
    tall, wide = 20, 32
    mosaic = RNG.integers(0, 65535, (4, 2, tall, wide), np.uint16)
    places = [(0.001 + 0.0001 * (m % 2), 0.002 + 0.0001 * (m // 2)) for m in range(4)]
    tiles = "".join(
        f'<Tile FieldX="{m % 2}" FieldY="{m // 2}" PosX="{x}" PosY="{y}" PosZ="0"/>'
        for m, (x, y) in enumerate(places)
    )
    tiles = f'<Attachment Name="TileScanInfo" FlipX="0" FlipY="0" SwapXY="0">{tiles}</Attachment>'
    plane = tall * wide * 2
    space = [(1, wide, 2, 31e-6, "m"), (2, tall, wide * 2, 19e-6, "m")]
    first = lif_element(
        "mosaic",
        mosaic,
        [*space, (10, 4, plane * 2, 0, "")],
        [(0, "Green", 0), (0, "Red", plane)],
        tiles,
    )
    colour = RNG.integers(0, 255, (tall, wide, 3), np.uint8)
    space = [(1, wide, 3, 31e-6, "m"), (2, tall, wide * 3, 19e-6, "m")]
    second = lif_element("bgr", colour, space, [(3, "Blue", 0), (2, "Green", 1), (1, "Red", 2)])
    lif_write(tmp_path / "a.lif", [(first, "mosaic", mosaic), (second, "bgr", colour)])
    with images.open_image(tmp_path / "a.lif") as file:
        *scan, picture = file.series
        assert [s.stage_position["x"] for s in scan] == pytest.approx([1000, 1100, 1000, 1100])
        assert [s.stage_position["y"] for s in scan] == pytest.approx([2000, 2000, 2100, 2100])
        for series, data in zip(scan, mosaic, strict=True):
            assert [c.color for c in series.channels] == ["00FF00", "FF0000"]
            assert np.array_equal(series.asarray(), data)
        assert picture.rgb and np.array_equal(
            picture.asarray(), colour[..., ::-1].transpose(2, 0, 1)
        )
    (tmp_path / "a.lif").write_bytes((tmp_path / "a.lif").read_bytes()[:-1000])
    with images.open_image(tmp_path / "a.lif") as file:
        with pytest.raises(UnreadableImage, match="cut off"):
            file.series[-1].asarray()
        assert np.array_equal(file.series[0].asarray(), mosaic[0])
