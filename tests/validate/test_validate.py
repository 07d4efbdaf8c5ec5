"""A submission as a whole: right ones pass without a word, spoilt ones say what and where."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import study
import tifffile
from rich.console import Console

from slidebox.record import NoSubmission, curation, init
from slidebox.record.curation import Curation
from slidebox.validate import describe, report, validate


def codes(validation, *severities: str) -> list[str]:
    return sorted(
        {f.code for f in validation.findings if not severities or f.severity in severities}
    )


def only(validation, code: str):
    found = [f for f in validation.findings if f.code == code]
    assert found, f"{code} not among {codes(validation)}"
    return found[0]


def test_right_submission_has_no_finding(submission: Path) -> None:
    result = validate(submission)
    assert result.findings == []
    assert result.status == "accepted"
    assert result.accession == "S-TEST1"
    assert result.files == 4
    image, mask = result.images
    assert image["path"] == "images/a.ome.tif" and image["shape"] == [32, 48]
    assert image["pixel_size"] == {"x": 0.1, "y": 0.1} and image["id"] is None
    assert mask["role"] == "labels" and mask["part"] == "Masks"
    data = result.to_json()
    assert set(data) >= {"accession", "status", "findings", "images", "files", "bytes"}
    json.dumps(data)
    json.dumps(result.filesets)


def test_rembi_image_data_is_filled_from_the_files(submission: Path) -> None:
    images, masks = validate(submission).record.image_data
    assert images.part == "Images" and images.formats == ["ome-tiff"]
    assert images.pixel_size == [{"x": 0.1, "y": 0.1}] and images.shape_max == [32, 48]
    assert masks.dtypes == ["uint16"]


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "field"),
    [
        ("title: Nuclei of cultured cells in two conditions\n", "", "FIELD_MISSING", None, "title"),
        ("title: Nuclei of cultured", "title: Nuclei #", "FIELD_TOO_SHORT", 2, "title"),
        ("license: CC-BY-4.0", "license: mine", "LICENCE_UNKNOWN", 5, "license"),
        ("license: CC-BY-4.0", "license: CC-BY 4.0", "LICENCE_MENDED", 5, "license"),
        ("2024-01-31", "31.1.2024", "DATE_INVALID", 6, "release_date"),
        ("ada@example.org", "Ada <ada@example.org>", "EMAIL_INVALID", 11, "authors[0].email"),
        ("1825-0097", "1825-0098", "ORCID_INVALID", 12, "authors[0].orcid"),
        ("10.1234/test.5678", "TBD", "DOI_INVALID", 19, "publications[0].doi"),
        ("    doi: 10.1234/test.5678\n", "", "DOI_MISSING", 15, "publications[0].doi"),
        ("pubmed_id: 12345678", "pubmed_id: pending", "PUBMED_INVALID", 20,
         "publications[0].pubmed_id"),
        ("biosample: HeLa cells", "biosample: hela-cells", "ASSOCIATION_UNKNOWN", 39,
         "study_components[0].associations[0].biosample"),
        ("[segmentation_mask]", "[segmentation mask]", "ANNOTATION_TYPE", 45,
         "annotation_sets[0].types[0]"),
        ("license:", "licence:", "FIELD_UNKNOWN", 5, "licence"),
        ("keywords: [nuclei, test]", "keywords: {a: b}", "FIELD_TYPE", 4, "keywords[0]"),
        ("keywords: [nuclei, test]", "keywords: [a]\nkeywords: [b]", "FIELD_TWICE", 5, "keywords"),
        ("keywords: [nuclei, test]", "keywords: [nuclei", "YAML_SYNTAX", None, None),
        ("keywords: [nuclei, test]", "keywords: !!python/name:os.system", "YAML_TAG", 4, None),
        ("keywords: [nuclei, test]", "keywords: &a [*a]", "YAML_ALIAS", 4, None),
    ],
)  # fmt: skip
def test_spoilt_record(bare: Path, old, new, code, line, field) -> None:
    text = study.STUDY.replace(old, new)
    assert text != study.STUDY
    (bare / "study.yaml").write_text(text)
    found = only(validate(bare), code)
    assert found.file == "study.yaml" and found.mend
    if line:
        assert found.line == line
    if field:
        assert found.field == field


def test_all_problems_are_said_at_once(bare: Path) -> None:
    submission = bare
    text = study.STUDY.replace("CC-BY-4.0", "mine").replace("2024-01-31", "soon")
    (submission / "study.yaml").write_text(text.replace("PFA fixation and DAPI", ""))
    (submission / "extra.txt").write_text("?")
    found = codes(validate(submission), "error")
    assert found == [
        "DATE_INVALID",
        "FIELD_MISSING",
        "FILE_MISSING",
        "FILE_UNLISTED",
        "LICENCE_UNKNOWN",
    ]


def test_near_name_is_proposed(bare: Path) -> None:
    text = study.STUDY.replace("biosample: HeLa cells", "biosample: hela-cells")
    (bare / "study.yaml").write_text(text)
    assert "'HeLa cells'" in only(validate(bare), "ASSOCIATION_UNKNOWN").mend


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("../a.tif\tImages\t", "PATH_INVALID"),
        ("/etc/passwd\tImages\t", "PATH_INVALID"),
        ("./images/a.ome.tif\tImages\t", "PATH_INVALID"),
        ("images//a.ome.tif\tImages\t", "PATH_INVALID"),
        ("C:\\a.tif\tImages\t", "PATH_INVALID"),
        ("images/a.ome.tif\tImages\t", "PATH_TWICE"),
        ("images/A.ome.tif\tImages\t", "FILE_MISSING"),
        ("images/b.tif\tImage\t", "FILE_PART"),
        ("labels/a.tif\tMasks\timages/b.tif", "SOURCE_UNKNOWN"),
        ("labels/a.tif\tMasks\t", "SOURCE_MISSING"),
        ("labels/a.tif\tMasks\timages/a.ome.tif\tmore", "FILE_LIST_CELLS"),
    ],
)
def test_spoilt_list(bare: Path, row: str, code: str) -> None:
    for name in ("images/a.ome.tif", "labels/a.tif"):
        (bare / name).parent.mkdir()
        (bare / name).touch()
    text = study.FILES
    if row.startswith("labels"):
        text = "".join(line for line in text.splitlines(True) if not line.startswith("labels"))
    (bare / "files.tsv").write_text(text + row + "\n")
    found = only(validate(bare), code)
    assert found.file == "files.tsv" and found.line == (3 if row.startswith("labels") else 4)


def test_size_and_checksum(submission: Path) -> None:
    size = (submission / "images/a.ome.tif").stat().st_size
    (submission / "files.tsv").write_text(
        "path\tpart\tsource_image\tsize\tsha256\n"
        f"images/a.ome.tif\tImages\t\t{size + 1}\t{'0' * 64}\n"
        "labels/a.tif\tMasks\timages/a.ome.tif\tten\tabc\n"
    )
    assert {"FILE_SIZE", "FILE_LIST_SIZE", "FILE_LIST_SHA256"} <= set(codes(validate(submission)))
    assert only(validate(submission, deep=True), "FILE_CHECKSUM").file == "images/a.ome.tif"


def test_folder_stands_for_its_files(submission: Path) -> None:
    study.image(submission / "images" / "b.ome.tif")
    (submission / "files.tsv").write_text(
        "path\tpart\tsource_image\nimages/\tImages\t\nlabels/a.tif\tMasks\timages/a.ome.tif\n"
    )
    result = validate(submission)
    assert codes(result, "error") == []
    assert [f["path"] for f in result.filesets if f["part"] == "Images"] == [
        "images/a.ome.tif",
        "images/b.ome.tif",
    ]


def test_truncated_image(submission: Path) -> None:
    path = submission / "images/a.ome.tif"
    path.write_bytes(path.read_bytes()[:-2000])
    assert only(validate(submission), "IMAGE_UNREADABLE").file == "images/a.ome.tif"


def test_label_checks(submission: Path) -> None:
    study.labels(submission / "labels/a.tif", shape=(32, 40), dtype="float32")
    found = validate(submission)
    assert only(found, "LABEL_NOT_INTEGER").file == "labels/a.tif"
    assert "x 40 for 48" in only(found, "LABEL_SHAPE").message


def test_unknown_format_is_a_warning(submission: Path) -> None:
    (submission / "images/a.xyz").write_bytes(b"what is this")
    (submission / "files.tsv").write_text(study.FILES + "images/a.xyz\tImages\t\n")
    result = validate(submission)
    assert only(result, "IMAGE_UNKNOWN_FORMAT").severity == "warning"
    assert result.status == "accepted"


def test_no_record(tmp_path: Path) -> None:
    result = validate(tmp_path)
    assert "slidebox init" in only(result, "RECORD_MISSING").mend
    assert not result.is_submission and result.status == "rejected"
    with pytest.raises(NoSubmission):
        validate(tmp_path / "nowhere")


def test_terminal_has_no_colours_when_piped(bare: Path) -> None:
    submission = bare
    (submission / "study.yaml").write_text(study.STUDY.replace("CC-BY-4.0", "mine"))
    out = io.StringIO()
    report.print_terminal(validate(submission), Console(file=out, width=100))
    assert "LICENCE_UNKNOWN" in out.getvalue() and "\x1b" not in out.getvalue()


def test_html_escapes_and_stands_alone(bare: Path, tmp_path: Path) -> None:
    submission = bare
    bad = "license: <script>alert(1)</script>"
    (submission / "study.yaml").write_text(study.STUDY.replace("license: CC-BY-4.0", bad))
    report.write_html(validate(submission), tmp_path / "v.html")
    page = (tmp_path / "v.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "src=" not in page and "href=" not in page.replace("href='#", "")


def test_init_reads_back_and_its_gaps_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "S-TEST1"
    study.image(folder / "images/a.ome.tif")
    study.labels(folder / "labels/a_mask.tif")
    assert [p.name for p in init(folder)] == ["study.yaml", "files.tsv"]
    result = validate(folder)
    assert codes(result, "error") == ["FIELD_PLACEHOLDER"]
    assert result.filesets[1]["source_image"] == "images/a.ome.tif"


def test_hidden_door_files_are_no_part(submission: Path) -> None:
    (submission / ".ready").write_text("{}")
    os.mkdir(submission / "empty")
    result = validate(submission)
    assert result.files == 4 and codes(result) == ["FOLDER_EMPTY"]


def test_archive_sets_severities_with_a_reason(bare: Path) -> None:
    config = {
        "codes": {
            "FILE_MISSING": {"severity": "warning", "reason": "files come by disk"},
            "FIELD_RECOMMENDED": {"severity": "ignore", "reason": "too much for us"},
        }
    }
    result = validate(bare, config=config)
    assert only(result, "FILE_MISSING").severity == "warning" and result.status == "accepted"
    assert result.waived[0]["reason"] == "files come by disk"
    for bad in ({"codes": {"NO_SUCH": {"severity": "info", "reason": "abc"}}}, {"code": 1}):
        with pytest.raises(ValueError):
            validate(bare, config=bad)
    with pytest.raises(ValueError, match="reason"):
        validate(bare, config={"codes": {"FILE_MISSING": {"severity": "info"}}})


def test_curation_changes_what_is_checked(bare: Path) -> None:
    text = study.STUDY.replace("CC-BY-4.0", "my own").replace("2024-01-31", "soon")
    (bare / "study.yaml").write_text(text)
    before = validate(bare)
    layer = Curation(accession="S-TEST1")
    who = {"reason": "by mail", "name": "Cora"}
    curation.set_field(layer, before.record, "license", "CC0-1.0", **who)
    curation.waive(layer, "FILE_MISSING", "**", **who)
    curation.waive(layer, "DATE_INVALID", **who)
    after = validate(bare, curation=layer)
    assert after.record.license == "CC0-1.0" and before.record.license == "my own"
    assert "LICENCE_UNKNOWN" in codes(before) and "LICENCE_UNKNOWN" not in codes(after)
    assert {w["code"] for w in after.waived} == {"DATE_INVALID", "FILE_MISSING"}
    assert after.to_json()["history"][0]["set"]["was"] == "my own"


def test_init_says_what_the_files_say(tmp_path: Path) -> None:
    study.image(tmp_path / "S-1/raw/a.ome.tif", shape=(3, 32, 48))
    init(tmp_path / "S-1", describe=describe)
    text = (tmp_path / "S-1/study.yaml").read_text()
    assert "1 files below raw; the first: ome-tiff, zyx 3 x 32 x 48 uint16, y 0.1 x 0.1 µm" in text


def test_record_of_someone_who_read_the_comments_only(tmp_path: Path) -> None:
    folder = tmp_path / "cells"
    study.image(folder / "raw/a.ome.tif")
    study.labels(folder / "masks/a.tif")
    init(folder)
    text = (folder / "study.yaml").read_text()
    for old, new in (
        ("<Homo sapiens>", "Mus musculus"),
        ("<confocal microscopy>", "confocal microscopy"),
        ("<name@example.org>", "ada@example.org"),
    ):
        text = text.replace(old, new)
    text = "\n".join(
        re.sub(r"<([^<>]*)>", r"\1, as it was done here", line) if "#" not in line else line
        for line in text.splitlines()
    )
    (folder / "study.yaml").write_text(text)
    result = validate(folder)
    assert codes(result, "error") == [] and result.status == "accepted"
    assert codes(result, "warning") == []
    assert [p.name for p in result.record.annotation_sets] == ["masks"]


def test_equal_content_is_found(submission: Path) -> None:
    (submission / "images/b.ome.tif").write_bytes((submission / "images/a.ome.tif").read_bytes())
    (submission / "files.tsv").write_text(study.FILES + "images/b.ome.tif\tImages\t\n")
    assert "FILE_DUPLICATE" not in codes(validate(submission))
    assert only(validate(submission, deep=True), "FILE_DUPLICATE").file == "images/b.ome.tif"


@pytest.mark.parametrize(
    ("name", "text", "code", "line"),
    [
        ("man_track.txt", "1 0 0 0\n2 1 0 0\n", "TRACK_TIME", 2),
        ("man_track.txt", "1 0 0 0\n2 1 1 7\n", "TRACK_PARENT", 2),
        ("man_track.txt", "1 0 0 0\n1 0 0 0\n", "TRACK_TWICE", 2),
        ("points.csv", "x,y\n3,4\n70,4\n", "POINT_OUTSIDE", 3),
        ("points.csv", "image,x_um,y_um\na.ome.tif,300,4\nb.tif,1,1\n", "TABLE_IMAGE", 3),
        ("points.tsv", "x\ty\n1\t-9\n", "POINT_OUTSIDE", 2),
        ("points.csv", "x,y\n3,4\n47.9,31\n", None, None),
        ("man_track.txt", "1 0 0 0\n2 1 1 1\n", None, None),
    ],
)
def test_tables_and_tracks(submission: Path, name: str, text: str, code, line) -> None:
    (submission / "labels" / name).write_text(text)
    row = f"labels/{name}\tMasks\timages/a.ome.tif\n"
    (submission / "files.tsv").write_text(study.FILES + row)
    found = [f for f in validate(submission).findings if f.severity != "info"]
    assert [(f.code, f.line) for f in found] == ([(code, line)] if code else [])


def test_empty_and_negative_labels(submission: Path) -> None:
    path = submission / "labels/a.tif"
    tifffile.imwrite(path, np.zeros((32, 48), np.uint16))
    assert only(validate(submission), "LABEL_EMPTY").file == "labels/a.tif"
    tifffile.imwrite(path, np.full((32, 48), -1, np.int16))
    assert only(validate(submission), "LABEL_NEGATIVE").file == "labels/a.tif"


def test_labels_saved_as_jpeg(submission: Path) -> None:
    labels = tifffile.imread(submission / "labels/a.tif")
    jpeg = imagecodecs.jpeg_encode(labels.astype(np.uint8) * 40)
    (submission / "labels/b.jpg").write_bytes(jpeg)
    row = "labels/b.jpg\tMasks\timages/a.ome.tif\n"
    (submission / "files.tsv").write_text(study.FILES + row)
    assert only(validate(submission), "LABEL_LOSSY").file == "labels/b.jpg"


@pytest.mark.parametrize("accession", ["my study", "catalogue", "-S1", "S" * 65])
def test_accessions_that_can_not_be(bare: Path, accession: str) -> None:
    (bare / "study.yaml").write_text(study.STUDY.replace("S-TEST1", f"'{accession}'"))
    assert only(validate(bare), "ACCESSION_INVALID").line == 1
