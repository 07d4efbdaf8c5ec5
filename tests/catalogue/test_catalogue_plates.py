"""Plates where studies are shown: reviews without names, publication, eviction, withdrawal."""

from __future__ import annotations

import gzip
import json
import re
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import test_catalogue_review as stages
import tifffile
import zarr

from slidebox import config as configuration
from slidebox import deposit, publish
from slidebox.challenge import reach
from slidebox.cli import main
from slidebox.demo import inbox
from slidebox.ingest import index, review
from slidebox.ingest.paths import read_json
from slidebox.publish import evict

sys.path.append(str(Path(__file__).resolve().parents[1] / "images"))
import plates

PEOPLE = re.compile(rb"(?i)m(u|ue|\xc3\xbc|u\xcc\x88|-)?ller|paul|dresden|\\u00fcller|someone")


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """An embargoed study with a plate; its people's names stand in many places."""
    root = tmp_path_factory.mktemp("plates")
    inbox.make(root / "inbox", only=["SB-CELLS"])
    folder = root / "inbox" / "SB-CELLS"
    index_of = plates.harmony(folder / "plate", times=1, planes=1)
    source = next(index_of.parent.glob("r02c03f01p01-ch1*.tiff"))
    labels = np.zeros(plates.SHAPE, np.uint8)
    labels[5:20, 5:20] = 4
    (folder / "masks").mkdir()
    tifffile.imwrite(folder / "masks/paul.tif", labels)
    text = (folder / "study.yaml").read_text(encoding="utf-8")
    later = (date.today() + timedelta(days=400)).isoformat()
    text = re.sub(r"release_date:.*", f"release_date: {later}", text)
    text = re.sub(r"(?s)\nauthors:\n(?:[ -].*?\n)+(?=\S)", "\n", text)
    text += "\nauthors:\n  - name: Paul Müller\n    email: mueller@tu-dresden.example\n"
    text += "    organisations: [Open Microscopy Environment (OME)]\n"
    text += "annotation_sets:\n  - name: Paul Müller's nuclei\n    overview: By Paul.\n"
    text += "    types: [segmentation_mask]\n    methods: [manual]\n"
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    rows = [line + "\t" for line in (folder / "files.tsv").read_text().splitlines()]
    rows[0] += "source_image"
    files = sorted(p for p in (folder / "plate").rglob("*") if p.is_file())
    rows += [f"{p.relative_to(folder).as_posix()}\tCell\t" for p in files]
    image = index_of.relative_to(folder).as_posix()
    rows += [f"masks/paul.tif\tPaul Müller's nuclei\t{image}"]
    assert source.is_file()
    (folder / "files.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    deposit.write_ready(folder, "SB-CELLS")
    names = [n for n, v in configuration.load({}) if isinstance(v, type(root))]
    out = {"to": str(root / "out"), "threads": 2}
    config = configuration.load({"site": {"base_url": "https://i.example/"}, "publish": out})
    config = config.model_copy(update={name: root / name for name in names})
    (root / "config").mkdir()
    (root / "config/config.yaml").write_text(f"publish: {json.dumps(out)}\n")
    stages.run(config)
    assert config.embargoed.joinpath("SB-CELLS/study.json").is_file()
    return config


def fields(folder):
    return [i for i in read_json(folder / "study.json")["images"] if i.get("plate")]


def test_a_review_shows_every_field_in_its_plate(archived):
    token = review.create(archived, "SB-CELLS")["token"]
    folder = archived.public / "review" / token
    shown = fields(folder)
    assert len(shown) == 4 and len({i["plate_zarr"] for i in shown}) == 1
    for image in shown:
        page = (folder / "image" / f"{image['id']}.html").read_text(encoding="utf-8")
        assert f'data-zarr="../{image["zarr"]}"' in page
        array = zarr.open_group(folder / image["zarr"], mode="r")["0"]
        row, column = "ABCD".index(image["well"][0]) + 1, int(image["well"][1:])
        wanted = plates.pixels(row, column, image["field"] + 1, 0, 1, 1)
        assert np.array_equal(array[0], wanted)
        assert (folder / image["thumbnail"]).is_file()
    root = zarr.open_group(folder / shown[0]["plate_zarr"], mode="r")
    assert [w["path"] for w in root.attrs["ome"]["plate"]["wells"]] == ["B/3", "D/11"]
    review.revoke(archived, "SB-CELLS")


def test_an_anonymous_plate_names_nobody_and_opens(archived):
    token = review.create(archived, "SB-CELLS", anonymous=True)["token"]
    folder = archived.public / "review" / token
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix().encode()
        assert not PEOPLE.search(name) and "OME" not in path.parts
        if path.is_file() and "c" not in path.relative_to(folder).parts:
            data = path.read_bytes()
            data = gzip.decompress(data) if path.suffix == ".gz" else data
            assert not PEOPLE.search(data), (path, PEOPLE.search(data))
    shown = fields(folder)
    labelled = [i for i in shown if i["labels"]]
    assert len(shown) == 4 and len(labelled) == 1
    group = zarr.open_group(folder / labelled[0]["zarr"], mode="r")
    (name,) = group["labels"].attrs["ome"]["labels"]  # though an organisation is called OME
    assert name == labelled[0]["labels"][0]["name"]
    assert group[f"labels/{name}/0"][10, 10] == 4
    assert group.attrs["ome"]["multiscales"][0]["axes"][0]["name"] == "c"
    review.revoke(archived, "SB-CELLS")


def test_released_published_evicted_and_withdrawn(archived):
    """One after another, as a plate's life is; a review of it ends on the way."""
    root = str(archived.results.parent)
    out = Path(archived.publish.to[0])
    token = review.create(archived, "SB-CELLS")["token"]
    release = ["curate", "SB-CELLS", "--set", "release_date=2026-01-01", "--reason", "out"]
    assert main([*release, "--directory", root]) == 0
    stages.run(archived)
    assert not (archived.public / "review" / token).exists()
    shown = fields(archived.public / "SB-CELLS")
    publish.publish(archived)
    for image in shown:
        there = zarr.open_group(out / "SB-CELLS" / image["zarr"], mode="r")["0"]
        assert np.array_equal(
            there, zarr.open_group(archived.public / "SB-CELLS" / image["zarr"])["0"]
        )
    assert not list(out.rglob(".parts"))
    plate = shown[0]["plate_zarr"]
    labels = next((archived.public / "SB-CELLS" / plate).glob("*/*/*/labels/*/0/zarr.json"))
    writer = type("W", (), {"public": archived.public, "staging": archived.public / "none"})
    known = {f"SB-CELLS/{image['zarr']}" for image in shown}
    assert labels in set(reach._walk(archived.public, writer))  # hidden truth would be found here
    assert not reach._derived(labels, known, writer)
    done = evict.evict(archived)
    assert done.findings == [] and not (archived.public / "SB-CELLS" / plate).exists()
    receipt = index.current(archived)["SB-CELLS"]
    addresses = {i.get("address") for i in receipt["images"] if i.get("plate_zarr")}
    assert addresses == {f"{out}/SB-CELLS/{plate}"}
    evict.bring_back(archived, "SB-CELLS")
    receipt = index.current(archived)["SB-CELLS"]
    assert not any("address" in i for i in receipt["images"])
    withdraw = ["withdraw", "SB-CELLS", "--reason", "r", "--contact", "c@example.org"]
    assert main([*withdraw, "--directory", root]) == 0
    publish.publish(archived)
    left = {p.name for p in (out / "SB-CELLS").rglob("*") if p.is_file()}
    assert left == {"index.html", "tombstone.json"}
