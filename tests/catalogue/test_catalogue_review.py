"""From stage to stage: embargo, review with and without names, DOI, the ingest's provenance."""

from __future__ import annotations

import json
import re
import shutil
import threading
import urllib.error
import urllib.request
from datetime import UTC, date, datetime, timedelta

import pytest
import test_catalogue_describe as describe

from slidebox import atomic, deposit
from slidebox import config as configuration
from slidebox.catalogue import make_server
from slidebox.cli import main
from slidebox.demo import inbox
from slidebox.ingest import archive, images, index, queue, review, seal, study, validation
from slidebox.ingest.anonymous import Anonymous
from slidebox.ingest.paths import read_json
from slidebox.vault import Vault

WITH_NAMES = "Imaged by Paul Müller (mueller@tu-dresden.example) in Dresden."


def run(config) -> None:
    """What snakemake does, in this process."""
    for item in queue.scan(config):
        given = (config, item.accession, item.key)
        validation.validate(*given)
        archive.archive(*given)
        images.derive(*given, 1)
        study.publish(*given)
        seal.seal(*given)
    index.catch_up(config)
    review.refresh(config)


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """An archive with SB-CELLS under embargo; its record and a file's name name people."""
    root = tmp_path_factory.mktemp("archive")
    inbox.make(root / "inbox", only=["SB-CELLS"])
    folder = root / "inbox" / "SB-CELLS"
    text = (folder / "study.yaml").read_text(encoding="utf-8")
    later = (date.today() + timedelta(days=400)).isoformat()
    text = re.sub(r"release_date:.*", f"release_date: {later}", text)
    text = re.sub(r"funding:.*", "", text)
    text += "\nfunding:\n  - {agency: Secret Fund, grant_id: SF-77}\n"
    text += f"acknowledgements: {WITH_NAMES}\n"
    text = text.replace("keywords:", "keywords:\n  - Secret Fund SF-77\n  - paul müller", 1)
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    (folder / "images/cell.png").rename(folder / "images/paul_muller_cell.png")
    files = (folder / "files.tsv").read_text(encoding="utf-8")
    (folder / "files.tsv").write_text(files.replace("cell.png", "paul_muller_cell.png"))
    deposit.write_ready(folder, "SB-CELLS")
    (root / "config").mkdir()
    (root / "config/config.yaml").write_text("site: {base_url: 'https://images.example.org/'}\n")
    names = [n for n, v in configuration.load({}) if isinstance(v, type(root))]
    config = configuration.load({"site": {"base_url": "https://images.example.org/"}})
    config = config.model_copy(update={name: root / name for name in names})
    run(config)
    return config


def texts(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_embargoed_pages_stand_alone(archived):
    assert not (archived.public / "SB-CELLS").exists()
    for page in (archived.embargoed / "SB-CELLS").rglob("*.html"):
        html = page.read_text()
        assert 'name="robots" content="noindex' in html and "Under embargo" in html
        for link in re.findall(r'(?:href|src)="(?!\w+:)([^"#?]+)', html):
            target = page.parent / link
            assert "files/v" in link or target.exists(), (page, link)


def test_review_is_whole_and_nowhere_else_told(archived):
    given = review.create(archived, "SB-CELLS")
    token = given["token"]
    assert re.fullmatch(r"[0-9a-f]{32}", token)
    folder = archived.public / "review" / token
    data = read_json(folder / "study.json")
    assert data["record"]["authors"] and len(data["images"]) == 2
    run(archived)
    told = [p for p, b in texts(archived.public).items() if token.encode() in b]
    assert all(folder in p.parents for p in told)
    told = [p for p, b in texts(archived.public).items() if b"SB-CELLS" in b]
    assert all(folder in p.parents for p in told)
    for page in folder.rglob("*.html"):
        html = page.read_text()
        assert "noindex" in html and "ld+json" not in html and 'rel="canonical"' not in html
        for link in re.findall(r'(?:href|src)="(?!\w+:)([^"#?]+)', html):
            assert "/files/v" in link or link.startswith("files/v") or (page.parent / link).exists()
    # Originals come from the vault by the review's own list, and no other way.
    with make_server(archived.public, Vault(archived.vault), port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        path = "files/v1/images/immunohistochemistry.png"
        with urllib.request.urlopen(f"{base}/review/{token}/{path}") as answer:
            assert answer.read(4) == b"\x89PNG"
        for wrong in (f"/SB-CELLS/{path}", f"/review/{'0' * 32}/{path}"):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(base + wrong)
        review.revoke(archived, "SB-CELLS", token)
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{base}/review/{token}/{path}")
        server.shutdown()
    assert not folder.exists()
    assert review.reviews(archived, "SB-CELLS")[0]["why"] == "revoked"


def test_an_anonymous_review_names_nobody(archived):
    token = review.create(archived, "SB-CELLS", anonymous=True)["token"]
    folder = archived.public / "review" / token
    for path, data in texts(folder).items():
        found = re.search(rb"(?i)m[u\xc3]\xbc?ller|dresden|secret fund|sf-77|@example", data)
        assert not found, (path, found)
        assert "OME" not in path.parts
    data = read_json(folder / "study.json")
    assert data["files"]["count"] == 0 and data["record"]["authors"] == []
    assert [i["path"] for i in data["images"]][1] == "images/[hidden]_cell.png"
    html = (folder / "index.html").read_text()
    assert "not offered in an anonymous review" in html and "How to cite" not in html
    assert list((folder / "images").glob("*.ome.zarr/0/c"))
    review.revoke(archived, "SB-CELLS")


def test_a_review_ends_on_its_day(archived, monkeypatch):
    until = datetime.now(UTC).date() + timedelta(days=3)
    token = review.create(archived, "SB-CELLS", until=until)["token"]
    sealed = queue.receipts(archived)
    before = review.state(archived, sealed)
    run(archived)
    assert (archived.public / "review" / token / "index.html").is_file()
    monkeypatch.setattr(review, "_today", lambda: until)
    assert review.state(archived, sealed) != before  # so that the next run does something
    run(archived)
    assert not (archived.public / "review" / token).exists()


def test_a_review_ends_at_withdrawal(archived, tmp_path):
    """An embargoed study that is withdrawn leaves nothing for its reviewers."""
    root = archived.results.parent
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    places = {n: tmp_path / v.relative_to(root) for n, v in archived if isinstance(v, type(root))}
    config = archived.model_copy(update=places)
    tokens = [review.create(config, "SB-CELLS", anonymous=a)["token"] for a in (False, True)]
    words = ["--reason", "asked for", "--contact", "staff@example.org"]
    assert main(["withdraw", "SB-CELLS", *words, "--directory", str(tmp_path)]) == 0
    assert not any((config.public / "review" / token).exists() for token in tokens)
    ended = {r["token"]: r for r in review.reviews(config)}
    assert all("withdrawn" in ended[token]["why"] for token in tokens)
    with pytest.raises(review.NoReview):
        review.create(config, "SB-CELLS")


def test_a_review_ends_at_release_and_the_doi_is_everywhere(archived, capsys, tmp_path):
    root = str(archived.results.parent)
    token = review.create(archived, "SB-CELLS")["token"]
    assert main(["doi", "SB-CELLS", "--export", "--directory", root]) == 0
    schema = pytest.importorskip("datacite.schema45")
    exported = json.loads(capsys.readouterr().out)
    assert [e.message for e in schema.validator.iter_errors(exported)] == []
    assert exported["url"] == "https://images.example.org/SB-CELLS/" and "doi" not in exported
    assert main(["doi", "SB-CELLS", "--record", "nonsense", "--directory", root]) == 2
    doi = ["doi", "SB-CELLS", "--record", "https://doi.org/10.1234/cells", "--directory", root]
    assert main(doi) == 0
    assert main([*doi[:3], "10.1234/other", *doi[4:]]) == 2  # a DOI is for good
    release = ["curate", "SB-CELLS", "--set", "release_date=2026-01-01", "--reason", "out"]
    assert main([*release, "--directory", root]) == 0
    run(archived)
    assert not (archived.public / "review" / token).exists()
    folder = archived.public / "SB-CELLS"
    url = "https://doi.org/10.1234/cells"
    html = (folder / "index.html").read_text()
    assert html.count(url) >= 3 and f'rel="cite-as" href="{url}"' in html
    assert read_json(folder / "datacite.json")["doi"] == "10.1234/cells"
    assert "noindex" not in html
    crate = {e["@id"]: e for e in read_json(folder / "ro-crate-metadata.json")["@graph"]}
    assert crate["./"]["identifier"] == url
    assert url in read_json(folder / "croissant.json")["citeAs"]
    assert read_json(folder / "linkset.json")["linkset"][0]["cite-as"] == [{"href": url}]


def test_the_ingest_has_a_provenance_run_crate(archived, tmp_path):
    roots = [archived.public, archived.embargoed]
    folder = next(r / "SB-CELLS" for r in roots if (r / "SB-CELLS/study.json").is_file())
    crate = folder / "provenance"
    assert describe.judge(crate, tmp_path / "cache", "provenance-run-crate-0.5", "1.1") == []
    assert read_json(folder / "study.json")["provenance"]["run_crate"] == (
        "provenance/ro-crate-metadata.json"
    )
    assert 'href="provenance/ro-crate-metadata.json"' in (folder / "index.html").read_text()
    graph = read_json(crate / "ro-crate-metadata.json")["@graph"]
    runs = {e["name"]: e for e in graph if e["@type"] == "CreateAction"}
    receipt = index.current(archived)["SB-CELLS"]
    took = receipt["stages"]["archive"]
    assert runs["Run of archive"]["startTime"] == took["started"]
    host, user = atomic.owner().rpartition("-")[0], "root"
    told = json.dumps(graph)
    assert host not in told and f'"{user}"' not in told


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("by Ada Lovelace", "by [hidden]"),
        ("ada_lovelace_01.tif", "[hidden]_01.tif"),
        ("LOVELACE/x.tif", "[hidden]/x.tif"),
        ("a.l@example.org wrote", "[hidden] wrote"),
        ("adaptive glove", "adaptive glove"),
        ("at the ANALYTICAL  society", "at the [hidden]"),
    ],
)
def test_names_are_blotted_out_where_they_stand(text, wanted):
    person = {"name": "Ada Lovelace", "organisations": [{"name": "Analytical Society (AS)"}]}
    assert Anonymous({"authors": [person]}).text(text) == wanted
