"""Each description for machines before its own judge."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser

import made
import pytest
from crate_judge import judge

from slidebox.catalogue import StudyInput, build_study, write_run_crate
from slidebox.catalogue.describe.rocrate import PROFILE

ID = "11111111-2222-5333-8444-{:012d}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study with everything a record can say, images with labels, and their folders."""
    root = tmp_path_factory.mktemp("site")
    images = [
        {
            **made.image_entry(ID.format(i), i),
            "zarr": f"images/{ID.format(i)}.0123abcd.ome.zarr",
        }
        for i in range(2)
    ]
    record = made.record(
        links=[
            {"url": "https://example.org/", "description": "The code"},
            {"url": "EMPIAR-10001", "type": "EMPIAR"},
            {"url": "javascript:alert(1)", "description": "bad"},
        ],
        description="Discs </script><script>alert(1)</script> & more.",
    )
    given = StudyInput(
        "SB-MADE1", 2, record, images, made.file_rows(3), site_url="https://images.example.org/"
    )
    out = build_study(given, root)
    for image in images:
        (out / image["zarr"]).mkdir(parents=True)
        (out / image["zarr"] / "zarr.json").write_text("{}")
    return out


def read(folder, name):
    return json.loads((folder / name).read_text())


def test_ro_crate_is_closed_and_says_what_matters(folder):
    crate = read(folder, "ro-crate-metadata.json")
    entities = {e["@id"]: e for e in crate["@graph"]}
    assert len(entities) == len(crate["@graph"])
    root = entities["./"]
    assert entities["ro-crate-metadata.json"]["conformsTo"] == {"@id": PROFILE}
    assert root["license"]["@id"].endswith("/zero/1.0/")

    def references(value):
        if isinstance(value, dict):
            if set(value) == {"@id"}:
                yield value["@id"]
            else:
                for item in value.values():
                    yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    for entity in crate["@graph"]:
        for reference in references({k: v for k, v in entity.items() if k != "@id"}):
            assert reference in entities or reference == PROFILE
    assert not [i for i in entities if i.startswith("javascript")]
    assert "https://www.ebi.ac.uk/empiar/EMPIAR-10001" in entities
    images = [e for e in crate["@graph"] if e["@id"].endswith(".ome.zarr/")]
    assert len(images) == 2


def test_ro_crate_validator(folder, tmp_path):
    assert judge(folder, tmp_path / "cache", "ro-crate-1.2", "1.2") == []


@pytest.fixture
def run_crate(tmp_path):
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text("rule all:\n")
    steps = [
        {
            "name": name,
            "description": f"Does {name}",
            "started": f"2026-11-22T10:0{i}:00Z",
            "ended": f"2026-11-22T10:0{i}:30Z",
            "inputs": ["What the submitter sent"],
            "outputs": [f"What {name} made"],
            "software": {"zarr": "3.1.0", "tifffile": "2026.1.1"},
        }
        for i, name in enumerate(["validate", "archive", "images", "catalogue"])
    ]
    write_run_crate(
        tmp_path / "provenance",
        accession="SB-MADE1",
        version=2,
        snakefile=snakefile,
        steps=steps,
        snakemake_version="9.27.0",
        license_url="https://creativecommons.org/publicdomain/zero/1.0/",
    )
    return tmp_path / "provenance"


@pytest.mark.slow  # test_catalogue_review judges a real one
def test_provenance_run_crate_validator(run_crate, tmp_path):
    for profile in ("workflow-run-crate-0.5", "provenance-run-crate-0.5"):
        assert judge(run_crate, tmp_path / profile, profile, "1.1") == []


def test_provenance_run_crate_tells_each_step(run_crate):
    crate = read(run_crate, "ro-crate-metadata.json")
    actions = [e for e in crate["@graph"] if e["@type"] == "CreateAction"]
    assert [a["startTime"][11:16] for a in actions] == ["10:00", "10:00", "10:01", "10:02", "10:03"]
    assert {a["actionStatus"]["@id"] for a in actions} == {
        "http://schema.org/CompletedActionStatus"
    }
    assert (run_crate / "Snakefile").read_text() == "rule all:\n"


def test_croissant(folder):
    """mlcroissant: no error, no warning, and the records load."""
    mlc = pytest.importorskip("mlcroissant")
    dataset = mlc.Dataset(str(folder / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert (list(issues.errors), list(issues.warnings)) == ([], [])
    rows = list(dataset.records("annotations"))
    assert [r["annotations/objects"] for r in rows] == [3, 3]
    image = next(iter(dataset.records("images")))
    assert image["images/size_x"] == 480


def test_datacite(folder):
    schema = pytest.importorskip("datacite.schema45")
    data = read(folder, "datacite.json")
    data["doi"] = "10.1234/example"  # a registration adds it
    errors = [e.message for e in schema.validator.iter_errors(data)]
    assert errors == []


def test_datacite_of_a_record_that_repeats_itself(tmp_path):
    """As real records do: keywords twice, an organism among them, grants and links again."""
    schema = pytest.importorskip("datacite.schema45")
    record = made.record(doi="10.1234/example")
    record["keywords"] += ["disc", "Homo sapiens"]
    for key in ("authors", "links", "funding", "publications"):
        record[key] = [dict(entry) for entry in record[key]] * 2
    record["authors"][0]["organisations"] = [{"name": "Analytical Society"}] * 2
    out = build_study(StudyInput("SB-TWICE", 1, record, [], made.file_rows(1)), tmp_path)
    data = read(out, "datacite.json")
    assert [e.message for e in schema.validator.iter_errors(data)] == []
    assert [s["subject"] for s in data["subjects"]] == ["disc", "simulation", "Homo sapiens"]


class Head(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links, self.scripts, self.inside = [], [], None

    def handle_starttag(self, tag, attrs):
        if tag == "link":
            self.links.append(dict(attrs))
        if tag == "script":
            self.inside = dict(attrs)
            self.scripts.append([self.inside, ""])

    def handle_data(self, data):
        if self.inside is not None:
            self.scripts[-1][1] += data

    def handle_endtag(self, tag):
        if tag == "script":
            self.inside = None


def test_page_carries_schema_org_and_signposts(folder):
    head = Head()
    head.feed((folder / "index.html").read_text())
    (json_ld,) = [text for attrs, text in head.scripts if attrs.get("type")]
    data = json.loads(json_ld)
    assert data["@type"] == "Dataset" and data["version"] == "2"
    assert data["description"].startswith("Discs </script><script>")
    by_rel = {}
    for link in head.links:
        by_rel.setdefault(link["rel"], []).append(link["href"])
    assert by_rel["cite-as"] == ["https://images.example.org/SB-MADE1/"]
    assert "https://orcid.org/0000-0002-1825-0097" in by_rel["author"]
    assert set(by_rel["describedby"]) == {
        "ro-crate-metadata.json",
        "croissant.json",
        "datacite.json",
    }
    assert by_rel["license"] == ["https://creativecommons.org/publicdomain/zero/1.0/"]
    for href in [*by_rel["item"], *by_rel["describedby"], *by_rel["linkset"]]:
        assert (folder / href).is_file()
    linkset = read(folder, "linkset.json")["linkset"]
    assert linkset[0]["anchor"] == "https://images.example.org/SB-MADE1/"
    assert {i["href"] for i in linkset[0]["item"]} == {
        "https://images.example.org/SB-MADE1/files.tsv",
        "https://images.example.org/SB-MADE1/manifest-sha256.txt",
    }


def test_an_empty_record_still_has_its_descriptions(tmp_path):
    out = build_study(StudyInput("SB-EMPTY", 1, {}, [], []), tmp_path)
    crate = read(out, "ro-crate-metadata.json")
    root = next(e for e in crate["@graph"] if e["@id"] == "./")
    assert root["name"] == "SB-EMPTY" and re.fullmatch(r"\d{4}-\d\d-\d\d", root["datePublished"])
    assert not (out / "croissant.json").exists()
    assert sys.getsizeof((out / "index.html").read_bytes()) > 2000
