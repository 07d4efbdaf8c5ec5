"""OME-Zarr as input, labels with what is told of them, and version 0.4."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import zarr

from slidebox import images
from slidebox.images import LabelSource, Recipe, UnreadableImage

from .independent import write_ome


@pytest.fixture
def made(tmp_path):
    """A time series with channels and z, and its label image, as an OME-Zarr by Slidebox."""

    def make(ngff: str):
        data = np.random.default_rng(0).integers(0, 4000, (3, 2, 4, 40, 50), np.uint16)
        labels = np.zeros((3, 4, 40, 50), np.uint16)
        labels[:, :, 5:20, 5:20], labels[:, :, 25:30, 30:45] = 7, 900
        write_ome(tmp_path / "a.ome.tif", data, (1.5, 0.25))
        text = tifffile.tiffcomment(tmp_path / "a.ome.tif")
        time = 'TimeIncrement="2.5" TimeIncrementUnit="min" PhysicalSizeZ='
        text = text.replace("PhysicalSizeZ=", time, 1)
        dna = 'Name="DNA" Color="65535" EmissionWavelength="461"'
        text = text.replace('ID="Channel:0:0"', f'ID="Channel:0:0" {dna}')
        text = text.replace('ID="Channel:0:1"', 'ID="Channel:0:1" Name="Actin" Color="-16776961"')
        tifffile.tiffcomment(tmp_path / "a.ome.tif", text.encode())
        write_ome(tmp_path / "l.ome.tif", labels[:, None], (1.5, 0.25))
        known = {7: {"rgba": [1, 2, 3, 255], "class": "nucleus"}}
        out = tmp_path / f"{ngff}.ome.zarr"
        source = LabelSource("nuclei", tmp_path / "l.ome.tif", known=known)
        images.convert(tmp_path / "a.ome.tif", out, labels=[source], recipe=Recipe(ngff=ngff))
        return out, data, labels

    return make


def told(folder):
    try:
        return json.loads((folder / "zarr.json").read_text())["attributes"]["ome"]
    except FileNotFoundError:
        return json.loads((folder / ".zattrs").read_text())


@pytest.mark.parametrize(("first", "second"), [("0.4", "0.5"), ("0.5", "0.4")])
def test_from_one_version_to_the_other_and_nothing_is_lost(made, tmp_path, first, second):
    import yaozarrs

    store, data, labels = made(first)
    out = tmp_path / "out.ome.zarr"
    derived = images.convert(store, out, recipe=Recipe(ngff=second))
    yaozarrs.validate_zarr_store(str(out))
    root = zarr.open_group(out, mode="r")
    assert np.array_equal(root["0"][...], data)
    assert np.array_equal(root["labels/nuclei/0"][...], labels)
    assert root.metadata.zarr_format == (3 if second == "0.5" else 2)
    before = images.load(store)
    assert derived.time_step == before.time_step == 150
    assert derived.pixel_size == {"z": 1.5, "y": 0.25, "x": 0.25}
    assert derived.channels == before.channels
    assert [c["name"] for c in derived.channels] == ["DNA", "Actin"]
    assert [c["color"] for c in derived.channels] == ["0000FF", "FF0000"]
    assert derived.channels[0]["emission_wavelength"] == 461
    image_label = told(out / "labels/nuclei")["image-label"]
    assert {"label-value": 7, "class": "nucleus", "pixels": 3 * 4 * 225} in image_label[
        "properties"
    ]
    assert {"label-value": 7, "rgba": [1, 2, 3, 255]} in image_label["colors"]
    assert told(out)["multiscales"][0]["datasets"] == told(store)["multiscales"][0]["datasets"]
    assert images.verify(out, store) == []


def test_windows_of_others_are_kept(made, tmp_path):
    store, *_ = made("0.4")
    attributes = json.loads((store / ".zattrs").read_text())
    del attributes["slidebox"]
    attributes["omero"]["channels"][0]["window"] = {"min": 0, "max": 9, "start": 100, "end": 2000}
    (store / ".zattrs").write_text(json.dumps(attributes))
    derived = images.convert(store, tmp_path / "b.ome.zarr")
    window = derived.channels[0]["window"]
    assert (window["start"], window["end"]) == (100, 2000)
    assert window["max"] > 2000  # the extremes are the data's


def test_series_of_bioformats2raw(made, tmp_path):
    """A container of images; a damaged one is an error of its own."""
    import shutil

    store, data, _ = made("0.5")
    root = zarr.open_group(tmp_path / "c.zarr", mode="w")
    root.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    root.require_group("OME").attrs["ome"] = {"version": "0.5", "series": ["0", "1"]}
    for name in "01":
        shutil.copytree(store, tmp_path / "c.zarr" / name)
    shutil.rmtree(tmp_path / "c.zarr/0/0")
    with images.open_image(tmp_path / "c.zarr") as file:
        assert len(file.series) == 2
        with pytest.raises(UnreadableImage, match="level 0"):
            file.series[0].asarray()
        assert np.array_equal(file.series[1].asarray(), data)
        assert file.series[1].channels[0].emission_wavelength == 461


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.full((40, 40), -1, np.int16), "negative"),
        (np.full((40, 40), 0.5, np.float32), "whole numbers"),
        (np.zeros((41, 40), np.uint8), "y=41"),
    ],
)
def test_labels_that_are_none_leave_the_image_and_are_said(tmp_path, labels, why):
    tifffile.imwrite(tmp_path / "i.tif", np.ones((40, 40), np.uint8))
    tifffile.imwrite(tmp_path / "bad.tif", labels)
    tifffile.imwrite(tmp_path / "good.tif", np.eye(40, dtype=np.uint8))
    sources = [LabelSource("bad", tmp_path / "bad.tif"), LabelSource("good", tmp_path / "good.tif")]
    derived = images.convert(tmp_path / "i.tif", tmp_path / "o.ome.zarr", labels=sources)
    (left,) = derived.left_out
    assert (left["name"], left["file"]) == ("bad", "bad.tif") and why in left["reason"]
    assert told(tmp_path / "o.ome.zarr/labels")["labels"] == ["good"]
    assert sorted(p.name for p in (tmp_path / "o.ome.zarr/labels").iterdir()) == [
        "good",
        "zarr.json",
    ]


def test_a_table_about_labels(tmp_path):
    (tmp_path / "t.csv").write_text("label,class,area,color\n7,cell,3.5,#FF8000\n9,,2,\n")
    assert images.read_table(tmp_path / "t.csv") == {
        7: {"class": "cell", "area": 3.5, "rgba": [255, 128, 0, 255]},
        9: {"area": 2},
    }
    for text, why in [
        ("name,area\na,1\n", "no column"),
        ("label,area\n-1,1\n", "line 2"),
        ("label,color\n1,red\n", "no colour"),
    ]:
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(UnreadableImage, match=why):
            images.read_table(tmp_path / "t.csv")


def test_chunks_of_zarr_2_are_files(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (700, 1300), np.uint8)
    tifffile.imwrite(tmp_path / "i.tif", data)
    out = tmp_path / "o.ome.zarr"
    images.convert(tmp_path / "i.tif", out, recipe=Recipe(ngff="0.4"))
    meta = json.loads((out / "0/.zarray").read_text())
    assert (meta["zarr_format"], meta["dimension_separator"]) == (2, "/")
    assert (out / "0/0/2").is_file() and not list(out.rglob("zarr.json"))
    assert np.array_equal(zarr.open_group(out, mode="r")["0"][...], data)
    (out / "0/0/1").write_bytes(b"gone")
    assert {f.code for f in images.verify(out)} == {"IMAGE_DAMAGED"}
