"""The demo's inbox goes the whole way; what comes out is judged by other people's tools."""

from __future__ import annotations

import filecmp
import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import ocfl
import ome_zarr_models.v05
import pytest
import skimage.data
import tifffile
import yaozarrs
import zarr

from slidebox import deposit
from slidebox.catalogue.server import make_server
from slidebox.vault import Vault

ACCEPTED = {"SB-CELLS": 2, "SB-LAPSE": 1, "SB-NUCLEI": 16}


def test_good_submissions_are_public_and_the_bad_one_is_rejected(demo):
    receipts = demo.receipts()
    assert {a: r["status"] for a, r in receipts.items()} == {
        **dict.fromkeys(ACCEPTED, "accepted"),
        "SB-BROKEN": "rejected",
    }
    for accession, images in ACCEPTED.items():
        assert [i["status"] for i in receipts[accession]["images"]] == ["derived"] * images
        assert (demo.folder / "public" / accession / "index.html").is_file()
    assert not (demo.folder / "public" / "SB-BROKEN").exists()


def test_the_rejection_says_everything_at_once(demo):
    receipt = demo.receipts()["SB-BROKEN"]
    said = " ".join(e["message"] + str(e["file"]) for e in receipt["errors"])
    assert "forgotten.tiff" in said  # listed, not there
    assert "cut_off.tiff" in said  # cut off
    assert "agar pad" in said.lower()  # an association that names nothing
    report = demo.folder / "results/SB-BROKEN" / receipt["key"] / "validation.html"
    assert "forgotten.tiff" in report.read_text(encoding="utf-8")


def test_the_vault_is_valid_ocfl(demo):
    root = ocfl.StorageRoot(root=str(demo.folder / "vault"))
    assert root.validate(validate_objects=True, check_digests=True)


@pytest.mark.parametrize("accession", ACCEPTED)
def test_originals_come_back_identical(demo, accession, tmp_path):
    demo.slidebox("restore", accession, str(tmp_path / "back"), "--directory", str(demo.folder))
    sent, back = demo.folder / "inbox" / accession, tmp_path / "back"
    names = [p for p, _ in deposit.walk(sent)]
    assert [p for p, _ in deposit.walk(back)] == names
    match, mismatch, errors = filecmp.cmpfiles(sent, back, names, shallow=False)
    assert (len(match), mismatch, errors) == (len(names), [], [])
    for name in names:
        assert (back / name).stat().st_mtime_ns == (sent / name).stat().st_mtime_ns


def test_every_image_is_valid_ome_zarr(demo):
    stores = demo.stores()
    assert len(stores) == sum(ACCEPTED.values())
    for store in stores:
        path = str(demo.folder / "public" / store)
        yaozarrs.validate_zarr_store(path)
        ome_zarr_models.v05.Image.from_zarr(zarr.open_group(path, mode="r"))
        assert (Path(path) / "OME" / "METADATA.ome.xml").is_file()


def _store(demo, accession, path) -> tuple[dict, zarr.Group]:
    image = next(i for i in demo.study(accession)["images"] if i["path"] == path)
    folder = demo.folder / "public" / accession / image["zarr"]
    return image, zarr.open_group(str(folder), mode="r")


def test_pixels_and_metadata_of_the_time_lapse(demo):
    _, group = _store(demo, "SB-LAPSE", "embryo.ome.tiff")
    sent = demo.folder / "inbox/SB-LAPSE"
    assert np.array_equal(group["0"][:], tifffile.imread(sent / "embryo.ome.tiff"))
    labels = zarr.open_group(group.store_path / "labels" / "nuclei", mode="r")
    truth = tifffile.imread(sent / "embryo_labels.ome.tiff")
    assert np.array_equal(np.squeeze(labels["0"][:]), truth)
    multiscale = group.attrs["ome"]["multiscales"][0]
    assert [a["name"] for a in multiscale["axes"]] == ["t", "c", "z", "y", "x"]
    assert [a.get("unit") for a in multiscale["axes"]] == [
        "second", None, "micrometer", "micrometer", "micrometer",
    ]  # fmt: skip
    scale = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale == [30, 1, 1, 0.25, 0.25]
    channels = group.attrs["ome"]["omero"]["channels"]
    assert [c["label"] for c in channels] == ["Chromatin", "Membrane"]
    assert [c["color"].upper() for c in channels] == ["FF40FF", "00FF60"]
    assert "sharding_indexed" in json.dumps(group["0"].metadata.to_dict())


def test_real_micrographs_keep_their_pixels(demo):
    _, cell = _store(demo, "SB-CELLS", "images/cell.png")
    assert np.array_equal(np.squeeze(cell["0"][:]), skimage.data.cell())
    image, ihc = _store(demo, "SB-CELLS", "images/immunohistochemistry.png")
    assert image["rgb"]
    expected = np.moveaxis(skimage.data.immunohistochemistry(), -1, 0)
    assert np.array_equal(np.squeeze(ihc["0"][:]), expected)


def test_restricted_labels_are_nowhere_in_public(demo):
    labels = (demo.folder / "inbox/SB-NUCLEI/labels").iterdir()
    hidden = [path.name for path in labels if "_C_" in path.name or "_G_" in path.name]
    assert len(hidden) == 4
    for path in (demo.folder / "public").rglob("*"):
        assert path.name not in hidden
        if path.is_file():
            data = path.read_bytes()
            assert not [name for name in [*hidden, "Nuclei, test"] if name.encode() in data], path
    vaulted = json.dumps([str(p) for p in (demo.folder / "vault").rglob("*")])
    assert all(name in vaulted for name in hidden)


def test_what_lists_the_restricted_files_is_not_served(demo):
    server = make_server(demo.folder / "public", Vault(demo.folder / "vault"), port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"

    def status(path: str) -> int:
        try:
            with urllib.request.urlopen(base + path) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    try:
        assert status("/SB-NUCLEI/files/v1/images/specimen_C_1.ome.tiff") == 200
        assert status("/SB-LAPSE/files/v1/study.yaml") == 200
        for path in ("study.yaml", "files.tsv", "labels/specimen_C_1_labels.ome.tiff"):
            assert status(f"/SB-NUCLEI/files/v1/{path}") == 404, path
    finally:
        server.shutdown()


def test_report_of_snakemake_works(demo):
    report = demo.folder / "report.zip"
    demo.snakemake("--report", str(report))
    assert report.stat().st_size > 10_000


def test_command_says_where_everything_stands(demo):
    rows = json.loads(demo.slidebox("status", "--json", "--directory", str(demo.folder)).stdout)
    assert {row["accession"]: row["state"] for row in rows} == {
        **dict.fromkeys(ACCEPTED, "public"),
        "SB-BROKEN": "returned",
    }
