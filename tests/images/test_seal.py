"""Years later: any part of a store that changed is found and named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tifffile

from slidebox import images
from slidebox.cli import main

from .plates import harmony

RNG = np.random.default_rng(5)


@pytest.fixture(scope="module", params=["0.5", "0.4"])
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seal")
    data = RNG.integers(1, 60000, (2, 600, 400), np.uint16)
    options = {"photometric": "minisblack", "metadata": {"axes": "CYX"}}
    tifffile.imwrite(folder / "a.ome.tif", data, **options)
    tifffile.imwrite(folder / "l.tif", data[0] // 9000)
    images.convert(
        folder / "a.ome.tif",
        folder / "a.ome.zarr",
        labels=[images.LabelSource("cells", folder / "l.tif")],
        recipe=images.Recipe(ngff=request.param),
    )
    assert images.verify(folder / "a.ome.zarr") == []
    return folder


def _root(zarr):
    three = zarr / "zarr.json"
    return three if three.exists() else zarr / ".zattrs"


def _edit(path, change) -> None:
    document = json.loads(path.read_text())
    change(document.get("attributes", {}).get("ome", document))
    path.write_text(json.dumps(document))


def _chunk(zarr, level: str):
    return next(p for p in sorted((zarr / level).rglob("*")) if p.is_file() and "zarr" not in p.name
                and not p.name.startswith("."))  # fmt: skip


def _flip(path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _scale(ome):
    ome["multiscales"][0]["datasets"][1]["coordinateTransformations"][0]["scale"][-1] *= 2


def _name(ome):
    ome["omero"]["channels"][0]["label"] = "other"


DAMAGE = {
    "level 1 flipped": (lambda z: _flip(_chunk(z, "1")), "/1/"),
    "level 1 lacks a file": (lambda z: _chunk(z, "1").unlink(), "/1/"),
    "level 1 gone": (lambda z: shutil.rmtree(z / "1" / "c" if (z / "1/c").exists() else z / "1/0"),
                     "/1/"),
    "lower level of labels": (lambda z: _flip(_chunk(z, "labels/cells/1")), "/labels/cells/"),
    "names of labels": (lambda z: _edit(_root(z / "labels"), lambda o: o.update(labels=[])),
                        "/labels/"),
    "scale": (lambda z: _edit(_root(z), _scale), ""),
    "channel": (lambda z: _edit(_root(z), _name), ""),
    "OME-XML": (lambda z: _flip(z / "OME/METADATA.ome.xml"), "/OME/"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_whatever_changed_is_named(made, tmp_path, damage):
    shutil.copytree(made / "a.ome.zarr", tmp_path / "a.ome.zarr")
    change, where = DAMAGE[damage]
    change(tmp_path / "a.ome.zarr")
    findings = images.verify(tmp_path / "a.ome.zarr")
    assert [f.code for f in findings] == ["IMAGE_CHANGED"]
    assert findings[0].file.startswith(str(tmp_path / "a.ome.zarr") + where.rstrip("/"))


def test_the_command_without_a_source(made, capsys):
    assert main(["verify", str(made / "a.ome.zarr")]) == 0
    assert "is as it was written" in capsys.readouterr().out
    assert main(["verify", str(made / "a.ome.zarr"), str(made / "a.ome.tif")]) == 0
    assert main(["verify", str(made)]) == 1  # not an image of ours


def test_a_plate_and_its_wells(tmp_path, capsys):
    index = harmony(tmp_path / "m", fields=1, times=1, planes=1)
    out = tmp_path / "p.ome.zarr"
    images.convert_plate(index, out)
    assert main(["verify", str(out)]) == 0
    well = next(p for p in out.glob("*/*/zarr.json") if "OME" not in p.parts)
    _edit(well, lambda ome: ome["well"].update(version="0.6"))
    _flip(_chunk(next(out.glob("*/*/0")), "0"))
    found = images.verify_plate(out)
    assert found[0].code == "IMAGE_CHANGED" and found[0].file == str(well)
    assert {f.code for f in found[1:]} <= {"IMAGE_DAMAGED", "IMAGE_DIGEST"} and len(found) > 1
