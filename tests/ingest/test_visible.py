"""Restricted parts: nothing that is handed to the catalogue tells of them."""

from __future__ import annotations

import json

from slidebox.ingest.visible import Visible

RECORD = {
    "title": "About Truth",
    "description": "Words are the authors' own, even of Truth.",
    "study_components": [{"name": "Images", "access": "public"}],
    "annotation_sets": [
        {"name": "Open", "access": "public"},
        {"name": "Truth", "access": "restricted"},
    ],
    "image_data": [{"part": "Images", "images": 4}, {"part": "Truth", "images": 2}],
    "image_analyses": [
        {
            "name": "Segmentation",
            "input_output": [{"inputs": ["a.tif"], "outputs": ["Truth", "truth/a.tif", "o.tif"]}],
        }
    ],
}
FILESETS = [
    {"part": "Images", "role": "image", "access": "public", "files": [{"path": "a.tif"}],
     "source_image": None},
    {"part": "Open", "role": "labels", "access": "public", "files": [{"path": "o.tif"}],
     "source_image": "a.tif"},
    {"part": "Truth", "role": "labels", "access": "restricted",
     "files": [{"path": "truth/a.tif"}], "source_image": "a.tif"},
]  # fmt: skip


def test_the_record_loses_the_part_and_what_names_it():
    record = Visible(RECORD, FILESETS).record()
    assert record["title"] == "About Truth"
    kept = {k: v for k, v in record.items() if k not in ("title", "description")}
    assert "Truth" not in json.dumps(kept)
    assert "truth/a.tif" not in json.dumps(kept)
    assert record["image_analyses"][0]["input_output"][0]["outputs"] == ["o.tif"]
    assert [d["part"] for d in record["image_data"]] == ["Images"]


def test_lists_of_a_study_with_restricted_parts_are_not_served():
    visible = Visible(RECORD, FILESETS)
    names = ["a.tif", "files.tsv", "o.tif", "study.yaml", "truth/a.tif"]
    rows = list(visible.files({"path": name} for name in names))
    assert [row["path"] for row in rows] == ["a.tif", "o.tif"]
    assert rows[1] == {"path": "o.tif", "part": "Open", "role": "labels", "source_image": "a.tif"}


def test_without_restricted_parts_everything_is_there():
    record = {**RECORD, "annotation_sets": RECORD["annotation_sets"][:1]}
    visible = Visible(record, FILESETS[:2])
    assert visible.record() == record
    assert [row["path"] for row in visible.files([{"path": "a.tif"}, {"path": "study.yaml"}])] == [
        "a.tif",
        "study.yaml",
    ]


def test_findings_that_tell_are_left_out():
    def finding(message, file=None, severity="warning"):
        return {"severity": severity, "message": message, "file": file, "field": None, "mend": None}

    told = [
        finding("no pixel size", "a.tif"),
        finding("no pixel size", "truth/a.tif"),
        finding("Truth has no overview", None),
        finding("'truth/a.tif' is like 'o.tif'", "o.tif"),
        finding("something of the record", "study.yaml"),
        finding("only told", "a.tif", "info"),
    ]
    assert Visible(RECORD, FILESETS).findings(told) == told[:1]


def test_decisions_that_may_tell_are_left_out():
    visible = Visible(RECORD, FILESETS)

    def entry(**what):
        return {"date": "2026-01-01", "name": "A", "reason": "why", **what}

    assert visible.decision(entry(set={"field": "license", "value": "CC0-1.0", "was": None}))
    assert visible.decision(entry(decide="accept"))
    for hidden in (
        entry(set={"field": "annotation_sets[1].overview", "value": "x", "was": "y"}),
        entry(waive={"code": "PIXEL_SIZE_MISSING", "path": "truth/*"}),
        entry(set={"field": "keywords[+]", "value": "Truth", "was": None}),
    ):
        assert not visible.decision(hidden)
