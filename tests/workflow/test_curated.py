"""Curation over what was submitted: applied without opening a file again, kept with its history."""

from __future__ import annotations

import json
import shutil

import pytest
from archive_user import configure

from slidebox.demo import inbox

pytestmark = pytest.mark.slow


def curate(archive, *words: str):
    options = ("--reason", "as the authors wrote", "--name", "Ada Curator")
    return archive.slidebox("curate", *words, *options, "--directory", str(archive.folder))


@pytest.mark.parametrize("inbox_gone", [False, True])
def test_a_changed_field_is_a_revision_that_rebuilds_no_image(demo_copy, inbox_gone):
    archive = demo_copy
    if inbox_gone:
        shutil.rmtree(archive.folder / "inbox/SB-LAPSE")
    before = archive.stores()
    curate(archive, "SB-LAPSE", "--set", "title=A better title for the simulated time-lapse")
    archive.snakemake()
    study = archive.study("SB-LAPSE")
    assert study["title"] == "A better title for the simulated time-lapse"
    assert study["version"] == 2
    assert [v["kind"] for v in study["versions"]] == ["deposit", "revision"]
    assert archive.stores() == before
    page = (archive.folder / "public/SB-LAPSE/index.html").read_text(encoding="utf-8")
    assert "as the authors wrote" in page
    assert "Ada Curator" in page
    restored = archive.folder / "restored"
    archive.slidebox("restore", "SB-LAPSE", str(restored), "--directory", str(archive.folder))
    text = (restored / "study.yaml").read_text(encoding="utf-8")
    assert "A better title" not in text  # the submitted record stays as it came
    assert "Nothing to be done" in "".join(
        getattr(archive.snakemake(), stream) for stream in ("stdout", "stderr")
    )


def test_waiving_accepts_what_was_refused(demo_copy):
    archive = demo_copy
    codes = ("ASSOCIATION_UNKNOWN", "EMAIL_INVALID", "ORCID_INVALID", "FILE_MISSING")
    curate(archive, "SB-BROKEN", *(word for code in codes for word in ("--waive", code)))
    curate(archive, "SB-BROKEN", "--waive", "IMAGE_UNREADABLE", "--path", "cut_off.tiff")
    archive.snakemake()
    receipt = archive.receipts()["SB-BROKEN"]
    assert receipt["status"] == "accepted", receipt["errors"]
    (validation,) = archive.folder.glob(f"results/SB-BROKEN/{receipt['key']}/validation.json")
    waived = json.loads(validation.read_text(encoding="utf-8"))["waived"]
    assert {w["reason"] for w in waived if w["set_to"] == "waived"} == {"as the authors wrote"}
    status = {i["path"]: i["status"] for i in archive.study("SB-BROKEN")["images"]}
    assert status["whole.tiff"] == "derived"
    assert status["cut_off.tiff"] in ("failed", "unreadable")


def test_with_a_curator_nothing_is_published_before_the_decision(tmp_path):
    archive = configure(tmp_path / "archive")
    with (archive.folder / "config/config.yaml").open("a", encoding="utf-8") as handle:
        handle.write("acceptance: curator\n")
    inbox.make(archive.folder / "inbox", only=["SB-CELLS"])
    archive.snakemake()
    assert archive.receipts()["SB-CELLS"]["status"] == "awaiting"
    assert not (archive.folder / "public/SB-CELLS").exists()
    curate(archive, "SB-CELLS", "--hold")
    archive.snakemake()
    assert archive.receipts()["SB-CELLS"]["status"] == "held"
    curate(archive, "SB-CELLS", "--accept")
    archive.snakemake()
    assert archive.receipts()["SB-CELLS"]["status"] == "accepted"
    assert (archive.folder / "public/SB-CELLS/index.html").is_file()
    said = archive.slidebox("status", "--directory", str(archive.folder)).stdout
    assert "public" in said


def test_wrong_curation_is_refused_in_words(demo_copy):
    options = ("--directory", str(demo_copy.folder))
    for words, said in [
        (("SB-CELLS", "--set", "titel=x"), "titel"),
        (("SB-CELLS", "--waive", "NO_SUCH_CODE"), "NO_SUCH_CODE"),
        (("SB-NONE", "--accept"), "SB-NONE"),
        (("SB-CELLS", "--set", "license=CC0-1.0", "--set", "a=1", "--set", "b=2"), "a, b"),
    ]:
        done = demo_copy.slidebox("curate", *words, "--reason", "because", *options, check=False)
        assert done.returncode == 2
        assert all(word in done.stderr for word in said.split(", "))
    assert not (demo_copy.folder / "curation/SB-CELLS.yaml").exists()  # all or none


def test_accessions_are_given_out_once(demo_copy):
    options = ("--directory", str(demo_copy.folder), "--prefix", "SB")
    given = [demo_copy.slidebox("accession", "new", *options).stdout.strip() for _ in range(3)]
    assert given == ["SB1", "SB2", "SB3"]
