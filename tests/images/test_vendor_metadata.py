"""What vendors say of their images beside pixels: intervals, names, places, colours, wavelengths.

The files are made in the layout of real ones, which may not be kept here.
"""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import tifffile

from slidebox import images
from slidebox.cli import main
from slidebox.images.model import UnreadableImage, Well

from .test_more_readers import lif_element, lif_write

RNG = np.random.default_rng(11)


@pytest.fixture
def czi(tmp_path):
    """Write a CZI by Zeiss's library, with metadata as ZEN writes them."""
    pyczi = pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw writes the file")

    def write(planes: dict[tuple[int, int, int], np.ndarray], dimensions: str, more: str = ""):
        path = tmp_path / "a.czi"
        with pyczi.create_czi(str(path)) as file:
            for (t, c, scene), data in planes.items():
                file.write(
                    data=data, plane={"T": t, "C": c}, scene=scene, location=(scene * 300, 0)
                )
            file.write_metadata(document_name="n" * 4000)  # room
        raw = path.read_bytes()
        start, end = raw.find(b"<ImageDocument>"), raw.find(b"</ImageDocument>") + 16
        xml = (
            "<ImageDocument><Metadata><Information><Image><Dimensions>"
            f"{dimensions}</Dimensions></Image></Information>{more}</Metadata>"
        ).encode()
        room = end - start - len(xml) - 16
        assert room >= 0
        path.write_bytes(raw[:start] + xml + b" " * room + b"</ImageDocument>" + raw[end:])
        return path

    return write


def _planes(times: int = 1, channels: int = 1, scenes: int = 1, shape=(16, 20, 1)):
    return {
        (t, c, s): RNG.integers(0, 4000, shape, np.uint16)
        for t in range(times)
        for c in range(channels)
        for s in range(scenes)
    }


@pytest.mark.parametrize(
    ("positions", "step"),
    [
        ("<Interval><Start>0</Start><Increment>33.412</Increment></Interval>", 33.412),
        ("<List><Offsets>0 0.5 1.5 3</Offsets></List>", 1.0),
        ("<List><Offsets>0</Offsets></List>", None),
        ("<List><Offsets>soon</Offsets></List>", None),
    ],
)
def test_time_step_of_a_czi(czi, positions, step):
    path = czi(_planes(times=4), f"<T><Positions>{positions}</Positions></T>")
    with images.open_image(path) as file:
        assert file.series[0].time_step == step


def test_scenes_of_a_czi_have_the_names_and_places_of_zen(czi):
    scenes = """<S><Scenes>
      <Scene Index="0" Name="TR1"><CenterPosition>38397.296,12724.718</CenterPosition></Scene>
      <Scene Index="1" Name="P2"><Shape Name="D6"><RowIndex>4</RowIndex></Shape>
        <Positions><Position X="1.5" Y="-2" Z="7"/></Positions></Scene>
      <Scene Index="2"><ArrayName>D7</ArrayName></Scene></Scenes></S>"""
    with images.open_image(czi(_planes(scenes=3), scenes)) as file:
        assert [s.name for s in file.series] == ["TR1", "P2-D6", "D7"]
        assert [s.stage_position for s in file.series] == [
            {"x": 38397.296, "y": 12724.718},
            {"x": 1.5, "y": -2.0, "z": 7.0},
            None,
        ]
        assert file.series[1].well == Well("a", "D", "6", 0)


def test_a_czis_channel_is_named_by_its_display_settings(czi):
    path = czi(
        _planes(channels=2),
        '<Channels><Channel Id="Channel:0"/><Channel Id="Channel:1"/></Channels>',
        '<DisplaySetting><Channels><Channel Id="Channel:0" Name="DAPI"><Color>#FF0000FF</Color>'
        '</Channel><Channel Id="other" Name="GFP"><Color>#FF00FF00</Color></Channel></Channels>'
        "</DisplaySetting>",
    )
    with images.open_image(path) as file:
        found = [(c.name, c.color) for c in file.series[0].channels]
    assert found == [("DAPI", "0000FF"), ("GFP", "00FF00")]


def test_colour_channels_of_a_czi_keep_their_names(czi, tmp_path):
    pyczi = pytest.importorskip("pylibCZIrw.czi")
    with pyczi.create_czi(str(tmp_path / "b.czi")) as file:
        for c in range(2):
            file.write(data=RNG.integers(0, 255, (9, 8, 3), np.uint8), plane={"C": c})
        file.write_metadata(channel_names={0: "Bright", 1: "Pol 15"})
    with images.open_image(tmp_path / "b.czi") as file:
        assert file.series[0].rgb
        names = [c.name for c in file.series[0].channels]
        images.convert(file, tmp_path / "b.ome.zarr")
    assert names == ["Bright"] * 3 + ["Pol 15"] * 3
    shown = json.loads((tmp_path / "b.ome.zarr/zarr.json").read_text())["attributes"]["ome"]
    labels = [c["label"] for c in shown["omero"]["channels"]]
    assert labels == [f"{n} {c}" for n in ("Bright", "Pol 15") for c in ("red", "green", "blue")]


def test_lambda_scans_of_a_lif_have_wavelengths_and_a_date(tmp_path):
    pytest.importorskip("liffile")
    data = RNG.integers(0, 255, (3, 8, 10), np.uint8)
    space = [
        (1, 10, 1, 9e-6, "m"),
        (2, 8, 10, 7e-6, "m"),
        (5, 3, 80, 2e-8, "m"),
    ]
    element = lif_element("b0", data, space, [(0, "Green", 0)]).replace(
        'Origin="0"', 'Origin="5.5e-7"'
    )
    element = element.replace(
        "</Image>", "<TimeStampList NumberOfTimeStamps='1'>1d6f64bbab40b70 </TimeStampList></Image>"
    )
    lif_write(tmp_path / "a.lif", [(element, "b0", data)])
    with images.open_image(tmp_path / "a.lif") as file:
        one = file.series[0]
        assert one.axes == "cyx" and np.array_equal(one.asarray(), data)
        waves = [c.emission_wavelength for c in one.channels]
        assert waves == [550, 560, 570]
        assert one.start_time.startswith("2021-01-29T14:33:36")


AXIS = """[Axis {n} Parameters Common]
AxisCode="{code}"
AxisName="{code}"
EndPosition={end}
GUI MaxSize={size}
MaxSize={size}
PixUnit="{unit}"
StartPosition=0.0
UnitName="{unit}"
"""


def _oif(folder, times=2, channels=2, deep=3, tall=12, wide=16):
    """An OIF in the layout of an FV1000: a text in UTF-16, a folder of TIFFs and tables."""
    data = RNG.integers(0, 4095, (times, channels, deep, tall, wide), np.uint16)
    files = folder / "a.oif.files"
    files.mkdir()
    lines = '[Acquisition Parameters Common]\nImageCaputreDate="2012-07-26 15:13:35"\n'
    axes = (
        ("X", 0.25 * (wide - 1), wide, "um"),
        ("Y", 0.25 * (tall - 1), tall, "um"),
        ("C", channels, channels, "Ch"),
        ("Z", 840.0 * (deep - 1), deep, "nm"),
        ("T", 1500.0 * (times - 1), times, "ms"),
        ("A", 0, 0, "deg"),
        ("L", 0, 0, "nm"),
        ("P", 0, 0, "mm"),
    )
    for n, (code, end, size, unit) in enumerate(axes):
        lines += AXIS.format(n=n, code=code, end=end, size=size, unit=unit)
    lines += '[Axis Parameter Common]\nAxisCount=5\nAxisOrder="XYCZT"\n'
    for c, (name, dye, wave) in enumerate((("CH1", "", 0), ("CH2", "Alexa Fluor 546", 572))):
        lines += f'[Channel {c + 1} Parameters]\nCH Name="{name}"\nDyeName="{dye}"\n'
        lines += f"EmissionWavelength={wave}\nExcitationWavelength={488 + 55 * c}\n"
    lines += f"[Reference Image Parameter]\nImageDepth=2\nImageHeight={tall}\nImageWidth={wide}\n"
    lines += "ValidBitCounts=12\n"
    lines += 'WidthConvertValue=0.25\nWidthUnit="um"\nHeightConvertValue=0.25\nHeightUnit="um"\n'
    lines += '[ProfileSaveInfo]\nName="COFAImages"\nVersion="2.0.0.0"\n'
    lines += '[Version Info]\nFileVersion="1.2.6.0"\nSystemName="FLUOVIEW FV1000"\n'
    path = folder / "a.oif"
    path.write_bytes(b"\xff\xfe" + lines.replace("\n", "\r\n").encode("utf-16-le"))
    for t in range(times):
        for c in range(channels):
            for z in range(deep):
                name = f"s_C{c + 1:03}Z{z + 1:03}T{t + 1:03}.tif"
                tifffile.imwrite(files / name, data[t, c, z])
    table = np.zeros((65536, 4), np.uint8)
    for c, color in enumerate(((0, 255, 0), (0, 0, 255))):  # B, G, R
        table[:, :3] = np.linspace(0, 1, 65536)[:, None] * color
        (files / f"s_LUT{c + 1}.lut").write_bytes(
            b"\xff\xfe" + "[ColorLUTData]\r\n".encode("utf-16-le") + table.tobytes()
        )
    return path, data


def test_an_oif_with_all_axes(tmp_path):
    pytest.importorskip("oiffile")
    path, data = _oif(tmp_path)
    with images.open_image(path) as file:
        one = file.series[0]
        assert one.axes == "tczyx" and np.array_equal(one.asarray(), data)
        assert one.pixel_size == {"x": 0.25, "y": 0.25, "z": 0.84} and one.time_step == 1.5
        assert one.start_time == "2012-07-26 15:13:35"
        found = [
            (c.name, c.fluor, c.color, c.excitation_wavelength, c.emission_wavelength)
            for c in one.channels
        ]
        assert found == [
            ("CH1", None, "00FF00", 488, None),
            ("CH2", "Alexa Fluor 546", "FF0000", 543, 572),
        ]


def test_a_lost_plane_of_an_oif_is_named(tmp_path):
    pytest.importorskip("oiffile")
    path, _ = _oif(tmp_path)
    (tmp_path / "a.oif.files/s_C002Z001T002.tif").unlink()
    with pytest.raises(UnreadableImage, match=r"plane t=1 c=1 z=0: .*isn't there"):
        images.convert(path, tmp_path / "a.ome.zarr")
    assert not list(tmp_path.glob("*.ome.zarr*"))


def test_a_wavelength_that_was_not_exported_costs_no_field(tmp_path):
    folder = tmp_path / "p/TimePoint_1"
    folder.mkdir(parents=True)
    (tmp_path / "p/p.HTD").write_text(
        '"HTSInfoFile", Version 1.0\n"XWells", 12\n"YWells", 8\n"TimePoints", 6\n'
        '"Waves", TRUE\n"NWavelengths", 3\n"WaveName1", "DAPI"\n"WaveName2", "FITC"\n'
        '"WaveName3", "Cy5"\n"EndFile"\n'
    )
    for wave in (1, 2):
        for site in (1, 2):
            data = RNG.integers(0, 99, (9, 8), np.uint16)
            tifffile.imwrite(folder / f"p_B02_s{site}_w{wave}.TIF", data)
    (folder / "p_B02_s2_w2.TIF").unlink()  # a plane that was lost still is an error
    with images.open_image(tmp_path / "p") as file:
        notes = " ".join(file.series[0].notes)
        assert "wavelength 3 (Cy5) was chosen and has no picture" in notes
        assert "6 time points were chosen, and 1 are there" in notes
        made = images.convert_plate(file, tmp_path / "p.ome.zarr")
    assert [f.derived is not None for f in made.fields] == [True, False]
    assert "w2" in made.problems[0]


def test_an_overview_beside_wells_leaves_them_a_plate(czi, tmp_path, capsys):
    """The command says which images it did not take."""
    scenes = """<S><Scenes><Scene Index="0" Name="Overview"/>
      <Scene Index="1" Name="P1"><ArrayName>B4</ArrayName></Scene>
      <Scene Index="2" Name="P2"><ArrayName>B5</ArrayName></Scene></Scenes></S>"""
    path, out = czi(_planes(scenes=3), scenes), tmp_path / "p.ome.zarr"
    assert main(["convert", str(path), str(out)]) == 0
    said = capsys.readouterr()
    assert "2 wells, 2 fields" in said.out and (out / "B/4/0").is_dir()
    assert "series 0 (Overview)" in said.err
    assert main(["convert", str(path), str(tmp_path / "o.ome.zarr"), "--series", "0"]) == 0
    assert "not converted" not in capsys.readouterr().err


def test_an_ome_tiff_of_2008_has_its_channels_and_date(tmp_path):
    xml = """<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2008-09">
    <Image ID="Image:0" Name="old"><CreationDate>2008-01-02T03:04:05</CreationDate>
    <LogicalChannel ID="LogicalChannel:0" Name="DAPI" EmWave="460" ExWave="360"
    SamplesPerPixel="1"><ChannelComponent Index="0" Pixels="Pixels:0"/></LogicalChannel>
    <Pixels ID="Pixels:0" DimensionOrder="XYZCT" PixelType="uint16" SizeX="14" SizeY="12" SizeZ="2"
    SizeC="1" SizeT="1" PhysicalSizeX="0.2" PhysicalSizeY="0.2" PhysicalSizeZ="0.5"
    BigEndian="false"><TiffData IFD="0" NumPlanes="2"/>
    <Plane TheZ="1" TheC="0" TheT="0"><StagePosition/></Plane></Pixels></Image></OME>"""
    tifffile.imwrite(
        tmp_path / "old.ome.tif", np.zeros((2, 12, 14), np.uint16), description=xml, metadata=None
    )
    with images.open_image(tmp_path / "old.ome.tif") as file:
        one = file.series[0]
        assert (one.axes, one.start_time) == ("zyx", "2008-01-02T03:04:05")
        (channel,) = one.channels
        assert (channel.name, channel.excitation_wavelength, channel.emission_wavelength) == (
            "DAPI",
            360,
            460,
        )


@pytest.mark.parametrize(("dtype", "samples"), [("u1", 1), ("u2", 1), ("u2", 3)])
def test_a_czi_in_jpeg_xr(tmp_path, dtype, samples):
    """Zeiss's library reads JPEG-XR and doesn't write it: it is put in place of raw pixels."""
    pyczi = pytest.importorskip("pylibCZIrw.czi")
    imagecodecs = pytest.importorskip("imagecodecs")
    y, x = np.mgrid[:60, :80]
    shade = (np.sin(x / 9) + np.cos(y / 7) + 2) * (50 if dtype == "u1" else 9000)
    data = np.stack([shade / (s + 1) for s in range(samples)], -1).astype(dtype)
    path = tmp_path / "a.czi"
    with pyczi.create_czi(str(path)) as file:
        file.write(data=data)  # B, G, R
    raw = bytearray(path.read_bytes())
    block = raw.find(b"ZISRAWSUBBLOCK") + 32
    entry = block + 16
    (dimensions,) = struct.unpack_from("<i", raw, entry + 28)
    start = block + max(256, 16 + 32 + 20 * dimensions) + struct.unpack_from("<i", raw, block)[0]
    assert raw[start : start + 8] == data.tobytes()[:8]
    packed = imagecodecs.jpegxr_encode(data[..., 0] if samples == 1 else data[..., ::-1], level=100)
    assert len(packed) < data.nbytes
    raw[start : start + len(packed)] = packed
    struct.pack_into("<q", raw, block + 8, len(packed))
    for at in (entry, raw.find(b"DV", raw.find(b"ZISRAWDIRECTORY"))):
        struct.pack_into("<i", raw, at + 18, 4)  # JPEG-XR
    path.write_bytes(raw)
    with images.open_image(path) as file, pyczi.open_czi(str(path)) as zeiss:
        back = file.series[0].asarray().reshape(samples, 60, 80)
        theirs = zeiss.read(plane={"T": 0, "C": 0, "Z": 0})
    assert np.array_equal(back, theirs.transpose(2, 0, 1)[:: -1 if samples == 3 else 1])
    assert np.array_equal(theirs, data)  # level 100 keeps all


def test_a_fluorescence_slide_of_hamamatsu_says_its_filter(vendor):
    with images.open_image(vendor / "wsi_slideio/test3-DAPI-2-(387).ndpi") as file:
        one = file.series[0]
    assert (one.channels[0].name, one.channels[0].emission_wavelength) == ("DAPI 2 (387)", 455)


def test_a_lif_that_was_cut_off_keeps_the_images_before(tmp_path):
    pytest.importorskip("liffile")
    data = RNG.integers(0, 255, (2, 8, 10), np.uint8)
    space = [(1, 10, 1, 9e-6, "m"), (2, 8, 10, 7e-6, "m")]
    made = [(lif_element(f"b{n}", data[n], space, [(0, "Green", 0)]), f"b{n}", data[n])
            for n in range(2)]  # fmt: skip
    lif_write(tmp_path / "a.lif", made)
    whole = (tmp_path / "a.lif").read_bytes()
    (tmp_path / "a.lif").write_bytes(whole[: whole.find(data[0].tobytes()) + data[0].nbytes])
    with images.open_image(tmp_path / "a.lif") as file:
        assert len(file.series) == 2
        assert np.array_equal(file.series[0].asarray(), data[0])
        with pytest.raises(UnreadableImage, match=r"series 1: .*cut off"):
            images.convert(file, tmp_path / "b.ome.zarr", series=1)
    assert not list(tmp_path.glob("b.ome.zarr*"))


def test_a_czi_that_was_cut_off_or_whose_metadata_are_damaged(czi, tmp_path):
    path = czi(_planes(), "")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableImage, match=r"a\.czi: .*cut off"):
        images.open_image(path)
    path.write_bytes(whole.replace(b"<Dimensions>", b"<Dim\xffnsions>"))
    with pytest.raises(UnreadableImage, match=r"a\.czi: its metadata are damaged"):
        images.open_image(path)


def test_an_imaris_file_whose_channels_are_in_files_of_their_own(tmp_path):
    h5py = pytest.importorskip("h5py")
    data = RNG.integers(0, 255, (2, 3, 8, 10), np.uint8)
    with h5py.File(tmp_path / "a.ims", "w") as file:
        file.create_group("DataSetInfo/Image")
        for t in range(2):
            with h5py.File(tmp_path / f"a-T{t}.h5", "w") as part:
                part["channel/Data"] = data[t]
            group = file.create_group(f"DataSet/ResolutionLevel 0/TimePoint {t}")
            group["Channel 0"] = h5py.ExternalLink(f"./a-T{t}.h5", "channel")
    with images.open_image(tmp_path / "a.ims") as file:
        assert np.array_equal(file.series[0].asarray(), data)
    (tmp_path / "a-T1.h5").unlink()
    with (
        images.open_image(tmp_path / "a.ims") as file,
        pytest.raises(UnreadableImage, match=r"plane t=1 z=0: it is in .*a-T1.h5, which isn't"),
    ):
        file.series[0].asarray()
