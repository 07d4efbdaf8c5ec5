"""Plates through the stages: one store, fields with ids of their own, a new version derives what
changed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from slidebox import config as configuration
from slidebox import deposit
from slidebox import images as library
from slidebox.demo import inbox
from slidebox.ingest import archive, images, queue, study, validation
from slidebox.ingest.paths import Stages, read_json

sys.path.insert(0, str(Path(__file__).parents[1] / "images"))
import plates


@pytest.fixture
def config(tmp_path):
    names = ("inbox", "results", "curation", "vault", "public", "embargoed")
    return configuration.load({}).model_copy(update={name: tmp_path / name for name in names})


@pytest.fixture
def folder(config):
    """A deposit with an Operetta plate in it."""
    inbox.make(config.inbox, only=["SB-CELLS"])
    folder = config.inbox / "SB-CELLS"
    plates.harmony(folder / "plate", wells=((2, 3), (4, 11)), times=1, planes=1)
    listed(folder)
    return folder


def listed(folder):
    """List what lies in the plate's folder, in place of what was listed."""
    rows = [r for r in (folder / "files.tsv").read_text().splitlines() if "plate/" not in r]
    files = sorted(p for p in (folder / "plate").rglob("*") if p.is_file())
    rows += [f"{p.relative_to(folder).as_posix()}\tCell" for p in files]
    (folder / "files.tsv").write_text("\n".join(rows) + "\n")


def run(config, folder):
    """All stages; the list of images and of plates."""
    deposit.write_ready(folder, "SB-CELLS")
    (item,) = [i for i in queue.scan(config) if i.accession == "SB-CELLS"]
    for stage in (validation.validate, archive.archive):
        stage(config, "SB-CELLS", item.key)
    stages = Stages(config, "SB-CELLS", item.key)
    assert read_json(stages.archived)["status"] == "archived", [
        f for f in read_json(stages.validation)["findings"] if f["severity"] == "error"
    ]
    images.derive(config, "SB-CELLS", item.key, 1)
    study.publish(config, "SB-CELLS", item.key)
    made = read_json(stages.images(1, 1))
    return [i for i in made["images"] if i["path"].startswith("plate/")], made["plates"]


def test_one_store_a_plate(config, folder):
    fields, (plate,) = run(config, folder)
    assert [(i["well"], i["field"]) for i in fields] == [
        ("B3", 0),
        ("B3", 1),
        ("D11", 0),
        ("D11", 1),
    ]
    assert {i["plate"] for i in fields} == {"Screen 7"} and len({i["id"] for i in fields}) == 4
    public = config.public / "SB-CELLS"
    assert plate["tree"] == library.checksum.tree_checksum(public / plate["zarr"])[0]
    root = zarr.open_group(public / plate["zarr"], mode="r")
    assert [w["path"] for w in root.attrs["ome"]["plate"]["wells"]] == ["B/3", "D/11"]
    for image in fields:
        assert image["zarr"].startswith(plate["zarr"] + "/")
        row, col = "ABCD".index(image["well"][0]) + 1, int(image["well"][1:])
        for c in range(2):
            expected = plates.pixels(row, col, image["field"] + 1, 0, c + 1, 1)
            assert np.array_equal(zarr.open_group(public / image["zarr"])["0"][c], expected)
        assert (public / image["thumbnail"]).is_file()
        page = (public / "image" / f"{image['id']}.html").read_text(encoding="utf-8")
        assert image["well"] in page and image["zarr"] in page
    shown = json.loads((public / "study.json").read_text(encoding="utf-8"))
    assert {(i.get("plate"), i.get("well")) for i in shown["images"]} >= {("Screen 7", "D11")}


def test_a_new_version_derives_the_field_that_changed(config, folder, monkeypatch):
    before, (old,) = run(config, folder)
    changed = next((folder / "plate").rglob("r02c03f02p01-ch1*.tiff"))
    tifffile.imwrite(changed, plates.pixels(7, 7))
    derived, real = [], library.convert

    def counted(file, out, **options):
        derived.append(out)
        return real(file, out, **options)

    monkeypatch.setattr(library, "convert", counted)
    after, (new,) = run(config, folder)
    assert [path.parts[-3:] for path in derived] == [("B", "3", "1")]
    same = [a["id"] == b["id"] for a, b in zip(before, after, strict=True)]
    assert same == [True, False, True, True]
    assert old["id"] == new["id"] and old["zarr"] != new["zarr"]
    public = config.public / "SB-CELLS"
    one, two = (public / i[2]["zarr"] / "0/zarr.json" for i in (before, after))
    assert os.path.samefile(one, two)  # no second copy of what did not change
    assert np.array_equal(zarr.open_group(public / after[1]["zarr"])["0"][0], plates.pixels(7, 7))
    assert np.array_equal(  # the older version's address shows what it showed
        zarr.open_group(public / before[1]["zarr"])["0"][0], plates.pixels(2, 3, 2, 0, 1, 1)
    )
    del derived[:]
    shutil.rmtree(config.results)
    assert run(config, folder)[1] == [new] and not derived


def test_a_field_that_can_not_be_read(config, folder):
    """Damage that validation, which reads a few planes of an image, didn't meet."""
    shutil.rmtree(folder / "plate")
    plates.harmony(folder / "plate", wells=((2, 3), (4, 11)), times=1, planes=9)
    listed(folder)
    broken = next((folder / "plate").rglob("r04c11f01p04-ch1*.tiff"))
    tifffile.imwrite(broken, np.zeros((10, 10), np.uint16))
    fields, (plate,) = run(config, folder)
    assert [i["status"] for i in fields] == ["derived", "derived", "failed", "derived"]
    assert broken.name in fields[2]["finding"]["message"]
    assert str(config.results) not in fields[2]["finding"]["message"]
    root = zarr.open_group(config.public / "SB-CELLS" / plate["zarr"], mode="r")
    assert [i["path"] for i in root["D/11"].attrs["ome"]["well"]["images"]] == ["1"]


@pytest.mark.slow
def test_pictures_that_say_by_their_names_where_they_belong(config, folder, shared_data):
    source = shared_data / "vendor/hcs_faim_ipa/ImageXpress/SingleChannel/2023-02-21/1334"
    shutil.rmtree(folder / "plate")
    shutil.copytree(source, folder / "plate")
    listed(folder)
    fields, made = run(config, folder)
    assert [(p["name"], p["fields"]) for p in made] == [
        ("Projection-Mix", 4),
        ("Projection-Mix projection", 4),
    ]
    assert sorted({i["well"] for i in fields}) == ["E7", "E8"]


@pytest.mark.slow
def test_a_plate_that_left_the_disk_is_not_made_again(config, folder, monkeypatch):
    from slidebox.catalogue import evicted

    fields, (plate,) = run(config, folder)
    store = config.public / "SB-CELLS" / plate["zarr"]
    mark = {"address": "s3://far/plate", "tree": plate["tree"], "bytes": 1, "objects": 2}
    evicted.mark_path(store).write_text(json.dumps(mark))
    shutil.rmtree(store)
    shutil.rmtree(config.results)
    monkeypatch.setattr(library, "convert", lambda *a, **k: pytest.fail("derived again"))
    again, (same,) = run(config, folder)
    assert [i["zarr"] for i in again] == [i["zarr"] for i in fields]
    assert same["tree"] == plate["tree"] and not store.exists()
    tifffile.imwrite(next((folder / "plate").rglob("r02c03f02p01-ch1*.tiff")), plates.pixels(7, 7))
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="bring"):
        run(config, folder)


def test_labels_with_a_table(config):
    """What a table tells of objects lies in the image."""
    inbox.make(config.inbox, only=["SB-CELLS"])
    folder = config.inbox / "SB-CELLS"
    (folder / "masks").mkdir()
    with library.open_image(folder / "images/cell.png") as file:
        labels = np.zeros(file.series[0].shape[-2:], np.uint8)
    labels[5:30, 5:30], labels[60:70, 60:90] = 3, 8
    tifffile.imwrite(folder / "masks/cells.tif", labels)
    (folder / "masks/cells.csv").write_text("label,kind,color\n3,round,#010203\n")
    text = (folder / "study.yaml").read_text(encoding="utf-8")
    text += "\nannotation_sets:\n  - name: Masks\n    overview: By hand.\n"
    text += "    types: [segmentation_mask]\n"
    text += "    methods: [manual]\n"
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    rows = ["path\tpart\tsource_image", "images/cell.png\tCell\t"]
    rows += ["images/immunohistochemistry.png\tTissue\t"]
    rows += ["masks/cells.tif\tMasks\timages/cell.png"]
    rows += ["masks/cells.csv\tMasks\tmasks/cells.tif"]
    (folder / "files.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    deposit.write_ready(folder, "SB-CELLS")
    (item,) = queue.scan(config)
    validation.validate(config, "SB-CELLS", item.key)
    archive.archive(config, "SB-CELLS", item.key)
    stages = Stages(config, "SB-CELLS", item.key)
    assert read_json(stages.archived)["status"] == "archived", [
        f for f in read_json(stages.validation)["findings"] if f["severity"] == "error"
    ]
    images.derive(config, "SB-CELLS", item.key, 1)
    (image,) = [
        i for i in read_json(stages.images(1, 1))["images"] if i["path"].endswith("cell.png")
    ]
    assert image["finding"] is None
    (label,) = image["labels"]
    group = zarr.open_group(config.public / "SB-CELLS" / image["zarr"] / "labels" / label["name"])
    told = group.attrs["ome"]["image-label"]
    assert {"label-value": 3, "kind": "round", "pixels": 625} in told["properties"]
    assert {"label-value": 3, "rgba": [1, 2, 3, 255]} in told["colors"]
