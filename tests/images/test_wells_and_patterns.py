"""Wells that stand in names and indexes, and pattern files that join images."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from slidebox import images
from slidebox.images.group import group_files
from slidebox.images.hcs import plates
from slidebox.images.model import UnreadableImage, Well

from .test_more_readers import lif_element, lif_write

RNG = np.random.default_rng(7)


def test_lif_regions_of_a_plate_are_fields_of_wells(tmp_path):
    pytest.importorskip("liffile")
    tall, wide = 20, 32
    names = ["R1", "R2", "R1_Merged"]
    data = [RNG.integers(0, 65535, (tall, wide), np.uint16) for _ in range(6)]
    space = [(1, wide, 2, 31e-6, "m"), (2, tall, wide * 2, 19e-6, "m")]
    parts, at = [], 0
    for row, column in (("A", 1), ("B", 12)):
        inside = ""
        for name in names:
            inside += lif_element(f"b{at}", data[at], space, [(0, "Green", 0)]).replace(
                f'Name="b{at}"', f'Name="{name}"', 1
            )
            at += 1
        for folder in (str(column), row):
            inside = f"<Data/><Children>{inside}</Children>"
            inside = f'<Element Name="{folder}" UniqueID="f">{inside}</Element>'
        parts.append(inside)
    whole = '<Element Name="TileScan 1" UniqueID="s"><Data/><Children>' + "".join(parts)
    whole += "</Children></Element>"
    blocks = [("", f"b{n}", data[n]) for n in range(6)]
    blocks[0] = (whole, "b0", data[0])
    lif_write(tmp_path / "a.lif", blocks)
    with images.open_image(tmp_path / "a.lif") as file:
        assert plates(file) == ["TileScan 1", "TileScan 1 merged"] and images.is_plate(file)
        assert [s.well for s in file.series][:3] == [
            Well("TileScan 1", "A", "1", 0),
            Well("TileScan 1", "A", "1", 1),
            Well("TileScan 1 merged", "A", "1", 0),
        ]
        assert file.series[4].well == Well("TileScan 1", "B", "12", 1)
        assert np.array_equal(file.series[4].asarray(), data[4])
        made = images.convert_plate(file, tmp_path / "p.ome.zarr", plate="TileScan 1")
    assert not made.problems
    attributes = json.loads((tmp_path / "p.ome.zarr/zarr.json").read_text())["attributes"]
    assert [w["path"] for w in attributes["ome"]["plate"]["wells"]] == ["A/1", "B/12"]


def test_incell_fields_are_on_their_plate(tmp_path):
    pytest.importorskip("micro_reader")
    entries, pixels = "", {}
    for row, column in ((1, 2), (3, 4)):
        for field in range(2):
            for wave in range(2):
                name = f"{row}{column}f{field}w{wave}.tif"
                pixels[row, column, field, wave] = RNG.integers(0, 999, (20, 30), np.uint16)
                tifffile.imwrite(tmp_path / name, pixels[row, column, field, wave])
                entries += (
                    f'<Image filename="{name}"><Well><Row number="{row}"/><Column number="{column}"'
                    f'/></Well><Identifier field_index="{field}" time_index="0" '
                    f'wave_index="{wave}" z_index="0"/></Image>'
                )
    waves = "".join(
        f'<Wavelength index="{n}"><ExcitationFilter name="x{n}" unit="nm" wavelength="{400 + n}"/>'
        f'<EmissionFilter name="m{n}" unit="nm" wavelength="{500 + n}"/></Wavelength>'
        for n in range(2)
    )
    (tmp_path / "P7.xdce").write_text(
        '<?xml version="1.0"?><ImageStack><AutoLeadAcquisitionProtocol><Plate rows="8" '
        'columns="12" name="96"/><ObjectiveCalibration unit="um" pixel_width="0.65" '
        f'pixel_height="0.65"/><Wavelengths>{waves}</Wavelengths></AutoLeadAcquisitionProtocol>'
        f"<Images>{entries}</Images></ImageStack>"
    )
    with images.open_image(tmp_path / "P7.xdce") as file:
        assert plates(file) == ["P7"] and images.is_plate(file)
        last = file.series[-1]
        assert (last.well.row, last.well.column, last.well.field) == ("C", "4", 1)
        assert [len(names) for names in last.well.layout] == [8, 12]
        assert (last.pixel_size["x"], last.channels[1].emission_wavelength) == (0.65, 501)
        for wave in range(2):
            assert np.array_equal(last.asarray()[wave], pixels[3, 4, 1, wave])


def test_an_imagexpress_folder_two_levels_up(vendor):
    outer = vendor / "hcs_faim_ipa/ImageXpress/1well-3C-2S-Zmix-T"
    inner = outer / "2024-04-22/1697"
    with images.open_image(outer) as file, images.open_image(inner) as same:
        assert [s.well for s in file.series] == [s.well for s in same.series]
    with pytest.raises(UnreadableImage, match=r"several plates|no reader"):
        images.open_image(outer.parent)


def test_a_pattern_file_joins_planes_and_stacks(tmp_path):
    data = RNG.integers(0, 999, (2, 3, 4, 20, 30), np.uint16)  # t, c, z
    for t in range(2):
        for c in range(3):
            tifffile.imwrite(
                tmp_path / f"s_C{c}_TP{t}.tif",
                data[t, c],
                imagej=True,
                metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"},
            )
    (tmp_path / "s.pattern").write_text("s_C<0-2>_TP<0-1>.tif\n")
    with images.open_image(tmp_path / "s.pattern") as file:
        (series,) = file.series
        assert (series.axes, series.pixel_size["z"]) == ("tczyx", 2.0)
        assert np.array_equal(series.asarray(), data)
        assert images.misshapen(file) == []
    names = sorted(p.name for p in tmp_path.iterdir())
    groups = group_files(names, lambda name: (tmp_path / name).open("rb"))
    assert [(primary, len(files)) for primary, files in groups] == [("s.pattern", 7)]
    (tmp_path / "s_C1_TP1.tif").unlink()
    with pytest.raises(UnreadableImage, match=r"1 of 6 files are missing: s_C1_TP1\.tif"):
        images.open_image(tmp_path / "s.pattern")
    (tmp_path / "bad.pattern").write_text("/etc/passwd")
    with pytest.raises(UnreadableImage, match="holds no pattern"):
        images.open_image(tmp_path / "bad.pattern")


def test_exposures_of_all_channels_of_an_nd2(vendor):
    wanted = {
        "example-multichannel": [0.02, 1.0, 1.0, 1.0],
        "example-cerevisiae": [0.1, 0.3],
        "example-zstack": [0.5],
    }
    for name, exposures in wanted.items():
        with images.open_image(vendor / f"nd2_arcadia/{name}.nd2") as file:
            assert [c.exposure_time for c in file.series[0].channels] == exposures


def test_excitations_of_an_nd2_are_the_lasers_that_were_on(vendor):
    """The file's own number is 405 for all of them: the first line of the dichroic mirror."""
    wanted = {
        "example-multichannel": [None, 405, 488, 561],
        "example-cerevisiae": [None, 488],  # transmitted light, laser
        "example-timelapse": [488],  # its name: GFP 488 nm
    }
    for name, waves in wanted.items():
        with images.open_image(vendor / f"nd2_arcadia/{name}.nd2") as file:
            assert [c.excitation_wavelength for c in file.series[0].channels] == waves
