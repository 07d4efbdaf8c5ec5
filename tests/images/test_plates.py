"""Plates become OME-Zarr HCS, valid for two judges, field by field what their files say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from slidebox import images
from slidebox.cli import main
from slidebox.images import UnreadableImage, hcs

from . import plates


def judged(store: Path):
    """The plate as ome-zarr-models reads it; yaozarrs has no objection."""
    import yaozarrs
    from ome_zarr_models import open_ome_zarr

    yaozarrs.validate_zarr_store(str(store))
    group = open_ome_zarr(zarr.open_group(store, mode="r"))
    assert type(group).__name__ == "HCS"
    attributes = group.attributes
    return getattr(attributes, "ome", attributes).plate


def fields_of(store: Path) -> dict[str, np.ndarray]:
    """Level 0 of every field, by way of the metadata alone."""
    root = zarr.open_group(store, mode="r")
    plate = root.attrs.asdict().get("ome", root.attrs.asdict())["plate"]
    found = {}
    for well in plate["wells"]:
        attributes = root[well["path"]].attrs.asdict()
        for one in attributes.get("ome", attributes)["well"]["images"]:
            path = f"{well['path']}/{one['path']}"
            found[path] = root[f"{path}/0"][...]
    return found


@pytest.mark.parametrize("ngff", ["0.5", "0.4"])
def test_operetta(tmp_path, ngff):
    index = plates.harmony(tmp_path)
    out = tmp_path / "plate.ome.zarr"
    assert main(["convert", str(index.parent.parent), str(out), "--ngff", ngff]) == 0
    plate = judged(out)
    assert (plate.name, len(plate.rows), len(plate.columns)) == ("Screen 7", 8, 12)
    assert [(w.path, w.rowIndex, w.columnIndex) for w in plate.wells] == [
        ("B/3", 1, 2),
        ("D/11", 3, 10),
    ]
    stored = fields_of(out)
    assert list(stored) == ["B/3/0", "B/3/1", "D/11/0", "D/11/1"]
    for path, data in stored.items():
        row, col, field = "ABCD".index(path[0]) + 1, int(path.split("/")[1]), int(path[-1]) + 1
        for t, c, z in np.ndindex(2, 2, 2):
            expected = plates.pixels(row, col, field, t, c + 1, z + 1)
            assert np.array_equal(data[t, c, z], expected), path
    facts = images.load(out / "B/3/1")
    assert facts.pixel_size == {"z": 1.5, "y": 0.298, "x": 0.298}
    assert facts.time_step == 600.5
    assert [c["name"] for c in facts.channels] == ["HOECHST 33342", "Alexa 488"]
    assert [c["excitation_wavelength"] for c in facts.channels] == [375, 488]
    assert (out / "OME/original/Index.idx.xml").is_file()
    assert not (out / "B/3/1/OME/original").exists()
    assert images.verify_plate(out, index) == []


def test_the_stage_position_of_a_field(tmp_path):
    """In OME-XML, and beside the levels; y of Harmony points up, of images down."""
    from ome_types import from_xml

    index = plates.harmony(tmp_path, wells=((1, 1),), times=1, planes=1)
    images.convert_plate(index, tmp_path / "p.ome.zarr")
    ome = from_xml(tmp_path / "p.ome.zarr/OME/METADATA.ome.xml")
    (well,) = ome.plates[0].wells
    assert (well.row, well.column) == (0, 0)
    assert [s.image_ref.id for s in well.well_samples] == ["Image:0", "Image:1"]
    planes = [image.pixels.planes[0] for image in ome.images]
    assert [(p.position_x, p.position_y) for p in planes] == [(0, -20), (19, -20)]
    attributes = json.loads((tmp_path / "p.ome.zarr/A/1/1/zarr.json").read_text())["attributes"]
    (multiscale,) = attributes["ome"]["multiscales"]
    assert multiscale["coordinateTransformations"][1]["translation"] == [0, -20, 19]
    assert multiscale["datasets"][0]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1, 0.298, 0.298]}
    ]


def test_the_plates_ome_xml_keeps_to_the_schema(tmp_path):
    schema = pytest.importorskip("xmlschema", reason="xmlschema judges OME-XML")
    import ome_types

    xsd = next(Path(ome_types.__file__).parent.rglob("ome-2016-06.xsd"))
    index = plates.harmony(tmp_path)
    images.convert_plate(index, tmp_path / "p.ome.zarr")
    judge = schema.XMLSchema(str(xsd))
    for path in (tmp_path / "p.ome.zarr").rglob("METADATA.ome.xml"):
        judge.validate(str(path))


def test_cellvoyager_with_channels_of_different_depth(tmp_path):
    index = plates.cellvoyager(tmp_path)
    with images.open_image(index) as file:
        assert images.plates(file) == ["384-well", "384-well part 2"]
        assert [(s.well.path, s.axes, s.shape) for s in file.series][:2] == [
            ("B/3/0", "zyx", (3, 48, 64)),
            ("B/3/0", "yx", (48, 64)),
        ]
        deep, flat = file.series[:2]
        assert (deep.channels[0].name, flat.channels[0].name) == ("DAPI", "488nm")
        assert (deep.channels[0].color, deep.channels[0].emission_wavelength) == ("002BFF", 445)
        assert deep.pixel_size == {"z": 2, "y": 0.325, "x": 0.325}
        assert deep.stage_position == {"x": 0, "y": 15.6, "z": 12}
    out = tmp_path / "p.ome.zarr"
    assert main(["convert", str(index), str(out)]) == 0
    plate = judged(out)
    assert [w.path for w in plate.wells] == ["B/3", "P/24"]
    judged(tmp_path / "p-part-2.ome.zarr")
    stored = fields_of(out)["P/24/1"]
    assert all(np.array_equal(stored[z], plates.pixels(16, 24, 2, 0, 1, z + 1)) for z in range(3))


def test_imagexpress_folders(vendor, tmp_path):
    """A real plate: stacks and their projections are a plate each."""
    from PIL import Image

    folder = vendor / "hcs_faim_ipa/ImageXpress/SingleChannel/2023-02-21/1334"
    out = tmp_path / "p.ome.zarr"
    assert main(["convert", str(folder), str(out)]) == 0
    assert [w.path for w in judged(out).wells] == ["E/7", "E/8"]
    flat = fields_of(tmp_path / "p-projection.ome.zarr")
    deep = fields_of(out)
    assert list(flat) == list(deep) == ["E/7/0", "E/7/1", "E/8/0", "E/8/1"]
    for path in folder.rglob("*.tif"):
        if "_thumb" in path.name:
            continue
        well, site = path.name.split("_E")[1][:2], path.name.split("_s")[1][0]
        data = (deep if "ZStep" in path.parent.name else flat)[f"E/{int(well)}/{int(site) - 1}"]
        if "ZStep" in path.parent.name:
            data = data[int(path.parent.name[-1]) - 1]
        assert np.array_equal(data, np.asarray(Image.open(path)))


def test_an_htd_names_wavelengths_and_layout(tmp_path):
    lines = ['"HTSInfoFile", Version 1.0', '"XWells", 12', '"YWells", 8', '"Waves", TRUE']
    lines += ['"NWavelengths", 2', '"WaveName1", "DAPI"', '"WaveName2", "FITC"']
    lines += [
        f'"WellsSelection{r}", {", ".join(["TRUE"] * 2 + ["FALSE"] * 10)}' for r in range(1, 2)
    ]
    (tmp_path / "P.HTD").write_text("\n".join(lines))
    for w in (1, 2):
        tifffile.imwrite(tmp_path / f"P_A01_s1_w{w}.tif", plates.pixels(1, 1, 1, 0, w, 1))
        tifffile.imwrite(tmp_path / f"P_A01_s2_w{w}.tif", plates.pixels(1, 1, 2, 0, w, 1))
    (tmp_path / "P_A01_s2_w2.tif").unlink()
    with images.open_image(tmp_path / "P.HTD") as file:
        assert [c.name for c in file.series[0].channels] == ["DAPI", "FITC"]
        assert file.series[0].well.layout == (tuple("ABCDEFGH"), tuple(map(str, range(1, 13))))
        assert "A2" in " ".join(file.series[0].notes)
        file.series[0].asarray()
        with pytest.raises(UnreadableImage, match="w2"):
            file.series[1].asarray()


def test_one_picture_of_a_plate_stays_an_image(vendor, tmp_path):
    folder = vendor / "hcs_faim_ipa/ImageXpress/SingleChannel/2023-02-21/1334"
    picture = sorted(folder.glob("*_E08_s2[!_]*.tif"))[0]
    with images.open_image(picture) as file:
        assert file.series[0].well.name == "E8" and file.series[0].well.field == 1
    assert main(["convert", str(picture), str(tmp_path / "a.ome.zarr")]) == 0
    assert zarr.open_group(tmp_path / "a.ome.zarr", mode="r")["0"].shape == (512, 512)


@pytest.mark.parametrize("damage", ["missing", "cut", "other size"])
def test_a_damaged_field_does_not_stop_the_others(tmp_path, capsys, damage):
    index = plates.harmony(tmp_path)
    broken = index.parent / "r02c03f01p02-ch2sk1fk1fl1.tiff"
    if damage == "missing":
        broken.unlink()
    elif damage == "cut":
        broken.write_bytes(broken.read_bytes()[:2000])
    else:
        tifffile.imwrite(broken, np.zeros((10, 10), np.uint16))
    out = tmp_path / "plate.ome.zarr"
    assert main(["convert", str(index), str(out)]) == 1
    said = capsys.readouterr().err
    assert broken.name in said
    assert list(fields_of(out)) == ["B/3/1", "D/11/0", "D/11/1"]
    judged(out)
    assert sorted(p.name for p in (out / "B/3").iterdir()) == ["1", "zarr.json"]
    (finding,) = images.verify_plate(out, index)
    assert finding.code == "PLATE_FIELD_MISSING"


def test_a_plate_without_a_readable_field_leaves_nothing(tmp_path):
    index = plates.harmony(tmp_path, wells=((1, 1),), fields=1)
    for path in index.parent.glob("*p02*.tiff"):
        path.write_bytes(b"II*\0")
    with pytest.raises(UnreadableImage, match="no field"):
        images.convert_plate(index, tmp_path / "out" / "p.ome.zarr")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_plate_goes_on(tmp_path, monkeypatch):
    """Fields that are there are kept, unless their files changed since."""
    index = plates.harmony(tmp_path)
    out = tmp_path / "p.ome.zarr"
    real, done = hcs.convert, []

    def counted(file, where, **options):
        if len(done) == 2 and "killed" not in done:
            done.append("killed")
            raise KeyboardInterrupt
        done.append(where.relative_to(where.parents[2]).as_posix())
        return real(file, where, **options)

    monkeypatch.setattr(hcs, "convert", counted)
    with pytest.raises(KeyboardInterrupt):
        images.convert_plate(index, out)
    assert not out.exists()
    changed = index.parent / "r02c03f02p01-ch1sk1fk1fl1.tiff"
    tifffile.imwrite(changed, plates.pixels(9, 9))
    del done[:]
    done.append("killed")
    images.convert_plate(index, out)
    assert done == ["killed", "B/3/1", "D/11/0", "D/11/1"]
    assert np.array_equal(fields_of(out)["B/3/1"][0, 0, 0], plates.pixels(9, 9))
    judged(out)
    assert not list(out.rglob(".*"))
    whole = tmp_path / "again.ome.zarr"
    assert images.convert_plate(index, whole).tree == images.checksum.tree_checksum(whole)[0]


@pytest.mark.parametrize("ngff", ["0.5", "0.4"])
def test_a_plate_in_ome_zarr_stays_a_plate(tmp_path, ngff):
    index = plates.harmony(tmp_path, times=1)
    first, second = tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr"
    images.convert_plate(index, first, recipe=images.Recipe(ngff=ngff))
    assert main(["convert", str(first), str(second)]) == 0
    assert judged(second).name == "Screen 7"
    before, after = fields_of(first), fields_of(second)
    assert list(before) == list(after)
    assert all(np.array_equal(before[p], after[p]) for p in before)
    one, two = images.load(first / "B/3/1"), images.load(second / "B/3/1")
    assert (one.channels, one.pixel_size) == (two.channels, two.pixel_size)


def test_a_plate_with_a_broken_field_in_ome_zarr(tmp_path):
    index = plates.harmony(tmp_path, times=1)
    first = tmp_path / "a.ome.zarr"
    images.convert_plate(index, first)
    shutil.rmtree(first / "B/3/0/0")
    derived = images.convert_plate(first, tmp_path / "b.ome.zarr")
    assert len(derived.problems) == 1 and "B/3/0" in derived.problems[0]
    assert len(fields_of(tmp_path / "b.ome.zarr")) == 3
