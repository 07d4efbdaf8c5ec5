"""What programs read over HTTP: tables by range, the manifest of a search, schemas, signposts."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import threading
from datetime import datetime

import made
import pytest

from slidebox.catalogue import StudyInput, build_index, build_study, find_images, make_server
from slidebox.catalogue import schema as published
from slidebox.catalogue.ranged import RangedFile
from slidebox.catalogue.sheet import cell
from slidebox.cli import main

ID = "11111111-2222-5333-8444-{:012d}"
HOSTILE = '=HYPERLINK("https://evil.example","x")'


class Stored:
    """Files that the server can seek and stat."""

    def __init__(self, folder):
        self.folder = folder

    def open(self, accession, path, version):
        place = self.folder / hashlib.sha256(f"{accession}{path}".encode()).hexdigest()
        place.write_bytes(f"{accession}:{path}".encode())
        return place.open("rb")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Two studies of people and of fish, served; counts the bytes that are read."""
    root = tmp_path_factory.mktemp("machines")
    for accession, organism, licence, labels in (
        ("SB-HUMAN", "Homo sapiens", "CC0-1.0", [{"name": "nuclei", "objects": 3}]),
        ("SB-FISH", "Danio rerio", "CC-BY-4.0", []),
    ):
        record = made.record(
            accession,
            title=HOSTILE if accession == "SB-FISH" else "Human nuclei",
            license=licence,
            authors=[{"name": "Ada Lovelace", "organisations": ["Analytical Society"]}],
            biosamples=[{"name": "b", "organism": [{"name": organism}]}],
        )
        images = [{**made.image_entry(ID.format(i), i), "labels": labels} for i in range(3)]
        files = made.file_rows(3)
        for file in files:
            data = f"{accession}:{file['path']}".encode()
            file.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())
        given = StudyInput(accession, 1, record, images, files, site_url="https://a.example/")
        build_study(given, root)
    build_index(sorted(root.glob("*/study.json")), [], root)
    originals = Stored(tmp_path_factory.mktemp("stored"))
    with make_server(root, originals, port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield root, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_human_nuclei_with_masks_in_the_public_domain(site, tmp_path, capsys):
    _, url = site
    asked = ["search", "nuclei", "--organism", "human", "--annotated", "--licence", "CC0-1.0"]
    manifest = tmp_path / "files.txt"
    sheet = tmp_path / "images.csv"
    where = ["--catalogue", url, "--manifest", str(manifest), "--csv", str(sheet)]
    assert main([*asked, *where]) == 0
    assert "slidebox fetch" in capsys.readouterr().err
    assert len(list(csv.DictReader(sheet.open()))) == 3
    assert main(["fetch", url, str(tmp_path / "got"), "--manifest", str(manifest)]) == 0
    for line in manifest.read_text().splitlines():
        digest, path = line.split("  ")
        assert hashlib.sha256((tmp_path / "got" / path).read_bytes()).hexdigest() == digest
    assert len(list((tmp_path / "got").rglob("*.tif"))) == 3
    assert main(["search", "nothinglikeit", "--catalogue", url]) == 1
    assert main(["search", "x", "--catalogue", url + "nowhere/"]) == 2


def test_a_remote_catalogue_equals_the_local_one(site):
    root, url = site
    local = list(find_images(root, "disc"))
    assert local == list(find_images(url, "disc")) and len(local) == 6


def test_a_ranged_file_reads_what_it_is_asked_for(site):
    root, url = site
    data = (root / "catalogue" / "images.parquet").read_bytes()
    file = RangedFile(url + "catalogue/images.parquet")
    file.seek(-4, io.SEEK_END)
    assert file.read() == data[-4:]
    file.seek(10)
    assert file.read(20) == data[10:30] and file.tell() == 30
    with pytest.raises(OSError):
        RangedFile(url + "catalogue/none.parquet")


def test_duckdb_and_pandas_read_the_tables_over_http(site):
    duckdb = pytest.importorskip("duckdb")
    http = pytest.importorskip("fsspec.implementations.http")
    pytest.importorskip("aiohttp")
    import pandas as pd

    class Web(http.HTTPFileSystem):
        def modified(self, path):
            return datetime(2026, 1, 1)  # DuckDB asks, fsspec's file system has no answer

    _, url = site
    table = f"{url}catalogue/images.parquet"
    with duckdb.connect() as connection:
        connection.register_filesystem(Web())
        rows = connection.sql(
            f"select accession, count(*) from '{table}' where len(labels) > 0 group by 1"
        ).fetchall()
    assert rows == [("SB-HUMAN", 3)]
    assert len(pd.read_parquet(table, columns=["id"])) == 6


def test_study_json_and_tables_are_as_their_schemas_say(site):
    jsonschema = pytest.importorskip("jsonschema")
    import pyarrow.parquet as pq

    root, _ = site
    judge = jsonschema.Draft202012Validator(published.study_schema())
    for path in root.glob("*/study.json"):
        assert [e.message for e in judge.iter_errors(json.loads(path.read_text()))] == []
    assert list(judge.iter_errors({"accession": 3}))
    tables = published.tables_schema()["$defs"]
    for name, schema in tables.items():
        rows = pq.read_table(root / "catalogue" / f"{name}.parquet").to_pylist()
        judge = jsonschema.Draft202012Validator(schema)
        assert [e.message for row in rows for e in judge.iter_errors(row)] == []


def test_signposts_are_found_by_their_own_reader(site):
    signposting = pytest.importorskip("signposting")
    pytest.importorskip("signposting.htmllinks")
    _, url = site
    found = signposting.find_signposting_html(f"{url}SB-HUMAN/index.html")
    assert str(found.citeAs.target) == "https://a.example/SB-HUMAN/"
    assert {str(i.target).rsplit("/", 1)[-1] for i in found.items} == {
        "files.tsv",
        "manifest-sha256.txt",
    }
    assert {i.type for i in found.describedBy} >= {"application/ld+json"}
    assert str(found.license.target).startswith("https://creativecommons.org/publicdomain")
    assert len(found.linksets) == 1


def test_schema_org_is_a_dataset_in_its_own_shape(site):
    """Google's and Bioschemas' required properties, as SHACL over the page's JSON-LD."""
    pyshacl = pytest.importorskip("pyshacl")
    root, _ = site
    html = (root / "SB-HUMAN" / "index.html").read_text()
    data = json.loads(re.search(r'ld\+json">(.*?)</script>', html, re.S)[1])
    data["@context"] = {"@vocab": "https://schema.org/"}
    shapes = """
    @prefix sh: <http://www.w3.org/ns/shacl#> . @prefix s: <https://schema.org/> .
    [] a sh:NodeShape ; sh:targetClass s:Dataset ;
      sh:property [ sh:path s:name ; sh:minCount 1 ], [ sh:path s:description ; sh:minLength 5 ;
        sh:minCount 1 ], [ sh:path s:license ; sh:minCount 1 ], [ sh:path s:creator ;
        sh:minCount 1 ; sh:node [ sh:property [ sh:path s:name ; sh:minCount 1 ] ] ],
        [ sh:path s:identifier ; sh:minCount 1 ], [ sh:path s:distribution ; sh:minCount 1 ;
        sh:node [ sh:property [ sh:path s:contentUrl ; sh:minCount 1 ] ] ] .
    """
    fits, _, why = pyshacl.validate(
        json.dumps(data),
        data_graph_format="json-ld",
        shacl_graph=shapes,
        shacl_graph_format="turtle",
    )
    assert fits, why


@pytest.mark.parametrize("text", [HOSTILE, "+1", "-1+1", "@SUM(A1)", "\t=1", " =1", "＝1"])
def test_no_cell_of_a_sheet_is_a_formula(text):
    assert cell(text) == f"'{text}"
    assert cell("a = b") == "a = b" and cell(["=a", "b"]).startswith("'=") and cell(-3) == -3


def test_the_sheet_of_studies_is_inert(site):
    root, _ = site
    with (root / "catalogue" / "studies.csv").open(newline="") as handle:
        rows = {row["accession"]: row for row in csv.DictReader(handle)}
    assert rows["SB-FISH"]["title"] == f"'{HOSTILE}" and rows["SB-HUMAN"]["images"] == "3"


@pytest.mark.parametrize(("most", "largest"), [(3, 10**6), (10**6, 1240)])
def test_a_sitemap_that_is_too_long_is_an_index_of_parts(tmp_path, monkeypatch, most, largest):
    import xml.etree.ElementTree as ET

    from slidebox.catalogue import sitemap

    names = [f"SB-{n}&ü" for n in range(7)]
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    monkeypatch.setattr(sitemap, "MOST", most)
    monkeypatch.setattr(sitemap, "LARGEST", largest)
    sitemap.write_sitemap(names, tmp_path, "https://i.example/a/")
    root = ET.parse(tmp_path / "sitemap.xml").getroot()
    assert root.tag == f"{space}sitemapindex"
    found = []
    for loc in root.iter(f"{space}loc"):
        part = ET.parse(tmp_path / loc.text.removeprefix("https://i.example/a/")).getroot()
        assert part.tag == f"{space}urlset" and len(part) <= most
        found += [one.text for one in part.iter(f"{space}loc")]
    assert found == ["https://i.example/a/"] + [
        f"https://i.example/a/SB-{n}%26%C3%BC/" for n in range(7)
    ]
    monkeypatch.undo()
    sitemap.write_sitemap(names, tmp_path, "https://i.example/a/")
    assert [p.name for p in tmp_path.iterdir()] == ["sitemap.xml"]
