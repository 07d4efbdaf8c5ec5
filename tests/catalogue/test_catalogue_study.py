"""A study's folder: complete, deterministic, paged, inert; the index over several."""

from __future__ import annotations

import json
import re
from pathlib import Path

import made
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidebox.catalogue import (
    StudyInput,
    build_index,
    build_study,
    find_images,
    render_page,
    words,
)
from slidebox.catalogue import feed as feed_module
from slidebox.catalogue import index as index_module
from slidebox.catalogue import known as known_module
from slidebox.catalogue import search as search_module
from slidebox.catalogue.find import files_of
from slidebox.catalogue.text import doi_url, file_url, safe_url

ID = "11111111-2222-5333-8444-{:012d}"


def study(images: int | list = 3, files: int | list = 5, **changes) -> StudyInput:
    if isinstance(images, int):
        images = [made.image_entry(ID.format(i), i) for i in range(images)]
    if isinstance(files, int):
        files = made.file_rows(files)
    given = {"accession": "SB-MADE1", "version": 1, "record": made.record(), **changes}
    return StudyInput(images=images, files=iter(files), **given)


def content(root: Path) -> dict[str, bytes]:
    """What is public, by its address."""
    files = [p.relative_to(root) for p in root.rglob("*") if p.is_file()]
    shown = [p for p in files if not any(name.startswith(".") for name in p.parts)]
    return {str(p): (root / p).read_bytes() for p in shown}


def test_same_input_same_bytes(tmp_path):
    for name in ("a", "b"):
        folder = build_study(study(), tmp_path / name)
        build_index([folder / "study.json"], [], tmp_path / name, site_url="https://e.org/")
    assert content(tmp_path / "a") == content(tmp_path / "b")
    before = content(tmp_path / "a")
    build_study(study(), tmp_path / "a")
    assert content(tmp_path / "a") == before


def test_links_lead_somewhere(tmp_path):
    """Every relative link and source on every page is a file of the site or an original."""
    folder = build_study(study(images=130, files=230), tmp_path)
    (folder / "images").mkdir()
    (folder / "images" / "made.png").touch()
    (folder / "images" / "made.ome.zarr").touch()
    build_index([folder / "study.json"], [], tmp_path)
    listed = set()
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        for link in re.findall(r'(?:href|src|data-zarr)="([^"#]+)', text):
            if "://" in link or link.startswith("mailto:"):
                continue
            target = (page.parent / link).resolve()
            if "/files/v" in str(target):
                listed.add(target.name)
                continue
            assert target.exists(), (page, link)
    assert len(listed) == 230  # no listing ends before its last file


def test_a_second_version_leaves_the_first(tmp_path):
    build_study(study(), tmp_path)
    first = content(tmp_path / "SB-MADE1" / "v1")
    build_study(study(version=2, files=made.file_rows(9, 2)), tmp_path)
    assert content(tmp_path / "SB-MADE1" / "v1") == first
    assert json.loads((tmp_path / "SB-MADE1" / "study.json").read_text())["version"] == 2
    assert len((tmp_path / "SB-MADE1" / "manifest-sha256.txt").read_text().splitlines()) == 9


def test_a_shorter_list_leaves_no_page_behind(tmp_path):
    folder = build_study(study(images=130, files=230), tmp_path)
    assert {p.name for p in (folder / "list").iterdir()} == {
        "images-2.html",
        "images-3.html",
        "files-2.html",
        "files-3.html",
    }
    build_study(study(images=61), tmp_path)
    assert {p.name for p in (folder / "list").iterdir()} == {"images-2.html"}


def test_first_page_of_a_big_study_is_light(tmp_path):
    folder = build_study(study(images=200, files=8_000), tmp_path)
    assert (folder / "index.html").stat().st_size < 300_000


def test_unreadable_images_say_why(tmp_path):
    broken = {
        **made.image_entry(ID.format(9)),
        "zarr": None,
        "thumbnail": None,
        "status": "unreadable",
        "finding": {"code": "X", "severity": "error", "message": "the file is cut off"},
    }
    folder = build_study(study(images=[broken]), tmp_path)
    text = (folder / "index.html").read_text()
    assert "the file is cut off" in text and "plate/made_00000.tif" in text


MARKUP = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u2028'


def hostile(value, depth=0):
    """The record with markup in every text."""
    if isinstance(value, str):
        return MARKUP
    if isinstance(value, list):
        return [hostile(v) for v in value]
    if isinstance(value, dict):
        return {k: hostile(v) for k, v in value.items()}
    return value


def test_markup_anywhere_is_text(tmp_path):
    image = {
        **hostile(made.image_entry()),
        "id": ID.format(0),
        "zarr": "images/made.ome.zarr",
        "thumbnail": "images/made.png",
    }
    rows = [{**made.file_rows(1)[0], "path": MARKUP, "part": MARKUP}]
    finding = {"code": MARKUP, "severity": MARKUP, "message": MARKUP, "file": MARKUP}
    build_study(
        study(
            record=hostile(made.record()),
            images=[image],
            files=rows,
            versions=[{"version": 1, "message": MARKUP, "kind": MARKUP, "created": MARKUP}],
            findings=[finding],
            provenance={MARKUP: MARKUP},
        ),
        tmp_path,
    )
    challenge = {"title": MARKUP, "url": "challenges/x/1/index.html", "description": MARKUP}
    build_index([tmp_path / "SB-MADE1" / "study.json"], [challenge], tmp_path)
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        assert "<script>alert" not in text and "<img src=x" not in text, page
        assert "Content-Security-Policy" in text
        # What scripts there are come from the site's own folder, or are data.
        for tag in re.findall(r"<script[^>]*>", text):
            assert re.fullmatch(
                r'<script (type="application/ld\+json"|(type="module" )?src="[./]*assets/\w+\.js"'
                r"( defer)?)>",
                tag,
            )


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "//evil.example/",
        "file:///etc/passwd",
        "vbscript:x",
        "https:",
        "",
        None,
        7,
    ],
)
def test_no_link_for_odd_schemes(url):
    assert safe_url(url) is None


@pytest.mark.parametrize("url", ["http://a.org/x?y#z", "https://a.org", "mailto:a@b.org"])
def test_links_for_the_usual_schemes(url):
    assert safe_url(url) == url


def test_a_link_holds_nothing_that_no_uri_may_hold():
    assert safe_url('https://e.org/"><b>{x}') == "https://e.org/%22%3E%3Cb%3E%7Bx%7D"


def test_addresses_of_odd_names():
    assert file_url("a b/ü#?.tif", 3) == "files/v3/a%20b/%C3%BC%23%3F.tif"
    assert doi_url("doi:10.1000/a<b>") == "https://doi.org/10.1000/a%3Cb%3E"
    assert doi_url("not a doi") is None


def test_another_room_renders_in_the_same_frame(tmp_path):
    out = tmp_path / "challenges" / "x" / "1.0.0" / "index.html"
    render_page("tables.html", {"tables": []}, out, site_root=tmp_path, site_name="Ours")
    text = out.read_text()
    assert 'href="../../../assets/style.css"' in text and "Tables · Ours" in text


def test_tables_and_search_across_studies(tmp_path):
    build_study(study(images=3), tmp_path)
    fish = made.record(
        "SB-FISH",
        biosamples=[{"name": "f", "organism": [{"name": "Danio rerio"}]}],
        license="CC-BY-4.0",
    )
    plain = {**made.image_entry(ID.format(77), 0), "labels": []}
    build_study(study(accession="SB-FISH", record=fish, images=[plain]), tmp_path)
    build_index(sorted(tmp_path.glob("*/study.json")), [], tmp_path)
    images = pq.read_table(tmp_path / "catalogue" / "images.parquet").to_pylist()
    assert {i["accession"] for i in images} == {"SB-FISH", "SB-MADE1"} and len(images) == 4
    assert images[-1]["size_z"] == 5 and images[-1]["channels"] == ["DAPI", "GFP", "mCherry"]
    assert pq.read_table(tmp_path / "catalogue" / "annotations.parquet").num_rows == 3
    found = list(find_images(tmp_path, "disc", organism="homo", licence="CC0-1.0", annotated=True))
    assert [i["accession"] for i in found] == ["SB-MADE1"] * 3
    assert [i["accession"] for i in find_images(tmp_path, "danio")] == ["SB-FISH"]
    files = list(files_of(tmp_path, found))
    assert [f["path"] for f in files] == [f"plate/made_{i:05d}.tif" for i in range(3)]


def test_a_manifest_has_all_files_of_an_image(tmp_path):
    image = made.image_entry(ID.format(1))
    image["files"] = [image["path"], "plate/made_00003.tif"]
    build_study(study([image], 5), tmp_path)
    build_index([tmp_path / "SB-MADE1" / "study.json"], [], tmp_path)
    files = files_of(tmp_path, list(find_images(tmp_path, "made")))
    assert [row["path"] for row in files] == image["files"]


@given(st.lists(st.dictionaries(st.integers(0, 5), st.sets(st.integers(0, 9))), max_size=4))
def test_one_posting_for_many_words(given):
    """What a beginning of a word says is what its words say together."""
    union = words.Union([10] * 6)
    for word in given:
        data, last = bytearray(), 0
        for study, images in sorted(word.items()):
            runs = words._runs(sorted(images)) if images else words.varint(2 * 3)  # all of them
            data += words.varint(study - last) + runs
            last = study
        union.add(bytes(data))
    told = dict(postings_of(union.posting()))
    together: dict[int, set[int]] = {}
    for word in given:
        for study, images in word.items():
            together.setdefault(study, set()).update(images or range(10))
    assert told == together


def postings_of(data: bytes):
    """Each study of a posting, and its images (of ten), as the documentation says."""
    numbers, study = iter(words._numbers(data)), 0
    for distance in numbers:
        study += distance
        images, end = set(), 0
        if not (kind := next(numbers)) & 1:
            images = set(range(10))
        for _ in range(next(numbers) if kind & 1 else 0):
            first = end + next(numbers)
            end = first + next(numbers)
            images |= set(range(first, end))
        yield study, images


def test_index_of_studies_without_cards_is_the_same(tmp_path):
    """Pages that an older release wrote have no card, or one without what search needs."""
    for name in ("a", "b"):
        build_study(study(), tmp_path / name)
    (tmp_path / "b" / "SB-MADE1" / "card.json").write_text("{}")
    (tmp_path / "b" / "SB-MADE1" / "search" / "words.bin").unlink()
    for name in ("a", "b"):
        build_index([tmp_path / name / "SB-MADE1" / "study.json"], [], tmp_path / name)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_one_more_study_leaves_most_of_the_index_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "STUDIES_PER_PAGE", 2)
    monkeypatch.setattr(search_module, "SEGMENT", 2)
    monkeypatch.setattr(feed_module, "ITEMS", 2)
    for number in range(9):
        record = made.record(f"SB-{number}", release_date=f"2026-01-0{number + 1}")
        build_study(study(1, 1, accession=f"SB-{number}", record=record), tmp_path)
    build_index([tmp_path / f"SB-{n}" / "study.json" for n in range(8)], [], tmp_path)
    before = content(tmp_path / "catalogue")
    build_index([tmp_path / f"SB-{n}" / "study.json" for n in range(9)], [], tmp_path)
    after = content(tmp_path / "catalogue")
    same = {name for name in before if before[name] == after.get(name)}
    assert {"studies-1.html", "studies-2.html", "feed-1.json", "feed-2.json"} <= same
    segments = {n for n in before if n.startswith("search/") and n.endswith("words.bin")}
    assert len(segments) > 2 and len(segments - same) <= 1
    shown = [re.findall(r'data-accession="(SB-\d)"', (tmp_path / p).read_text()) for p in PAGES]
    assert [a for page in shown for a in page] == [f"SB-{n}" for n in range(8, -1, -1)]


def test_an_index_reads_only_the_studies_that_it_shows_anew(tmp_path, monkeypatch):
    for name in ("STUDIES_PER_PAGE", "STUDIES_PER_LIST", "STUDIES_PER_SHEET"):
        monkeypatch.setattr(index_module, name, 2)
    monkeypatch.setattr(feed_module, "ITEMS", 2)
    gone = {"accession": "SB-GONE", "date": "2026-01-01", "reason": "asked for"}
    for number in range(1, 22):
        record = made.record(f"SB-{number}", release_date=f"2026-01-{number:02}")
        build_study(study(1, 1, accession=f"SB-{number}", record=record), tmp_path)
    read = []
    card = known_module.Entry.card
    monkeypatch.setattr(known_module.Entry, "card", lambda e: read.append(e.accession) or card(e))

    def indexed(*numbers: int) -> set[str]:
        read.clear()
        paths = [tmp_path / f"SB-{n}" / "study.json" for n in numbers]
        build_index(paths, [], tmp_path, withdrawn=[gone])
        return set(read)

    def shown() -> list[str]:
        rows = pq.read_table(tmp_path / "catalogue" / "studies.parquet")["accession"].to_pylist()
        listed, name = [], "studies.json"
        while name:
            page = json.loads((tmp_path / "catalogue" / name).read_text())
            listed += [s["accession"] for s in page["studies"]]
            name = page.get("next")
        assert rows == listed[::-1]
        sheets = ["studies.csv", *(f"studies-{n}.csv" for n in range(len(rows), 0, -1))]
        sheets = [f for s in sheets if (f := tmp_path / "catalogue" / s).exists()]
        cells = [row.split(",")[0] for f in sheets for row in f.read_text().splitlines()[1:]]
        assert cells == listed
        return listed[::-1]

    assert len(indexed(*range(1, 21))) == 20
    assert indexed(*range(1, 21)) == set()
    # The front pages, and the newest segment: 21 studies are two of eight and five.
    assert indexed(*range(1, 22)) == {f"SB-{n}" for n in (17, 18, 19, 20, 21)}
    assert shown() == [f"SB-{n}" for n in range(1, 22)]
    # A list that a hand or a crash has left otherwise is written anew.
    (tmp_path / "catalogue" / "studies-3.html").write_text("scribbled over")
    assert indexed(*range(1, 22)) == {"SB-5", "SB-6"}
    # A study that is taken away is nowhere any more.
    indexed(*range(1, 7), *range(8, 22))
    everything = content(tmp_path / "catalogue") | {"front": (tmp_path / "index.html").read_bytes()}
    assert not [name for name, data in everything.items() if b'"SB-7' in data or b">SB-7<" in data]
    assert "SB-7" not in shown()


PAGES = [
    "index.html",
    "catalogue/studies-3.html",
    "catalogue/studies-2.html",
    "catalogue/studies-1.html",
]


def test_feed_says_what_is_new_changed_and_withdrawn(tmp_path, monkeypatch):
    monkeypatch.setattr(feed_module, "ITEMS", 1)
    versions = [
        {"version": 1, "created": "2026-10-01T00:00:00Z", "message": "first"},
        {"version": 2, "created": "2026-11-05T10:00:00Z", "message": "masks"},
    ]
    folder = build_study(study(version=2, versions=versions), tmp_path)
    gone = [{"accession": "SB-GONE", "date": "2026-11-03", "reason": "asked for"}]
    build_index([folder / "study.json"], [], tmp_path, withdrawn=gone)
    first = json.loads((tmp_path / "catalogue" / "feed.json").read_text())
    items, page = [*first["items"]], first
    while "next_url" in page:
        page = json.loads((tmp_path / "catalogue" / page["next_url"]).read_text())
        items += page["items"]
    assert [(i["_slidebox"]["event"], i["date_published"]) for i in items] == [
        ("changed", "2026-11-05T10:00:00Z"),
        ("withdrawn", "2026-11-03T00:00:00Z"),
        ("new", "2026-11-01T00:00:00Z"),  # its release date: it was archived under embargo
    ]
    # A follower since a day begins with the oldest page that reaches it.
    pages = [(p["url"], p["until"]) for p in first["_slidebox"]["pages"]]
    assert pages == [
        ("feed-2.json", "2026-11-03T00:00:00Z"),
        ("feed-1.json", "2026-11-01T00:00:00Z"),
    ]
    build_index([], [], tmp_path)
    assert not (tmp_path / "catalogue" / first["next_url"]).exists()


def test_a_version_says_which_files_it_changed(tmp_path):
    files = made.file_rows(4)
    folder = build_study(study(files=files), tmp_path)
    assert not (folder / "v1" / "changes.tsv").exists()
    files = [files[0], {**files[2], "sha256": "f" * 64, "version": 2}, files[3]]
    files.append({**made.file_rows(1)[0], "path": "z new.tif", "version": 2})
    versions = [{"version": 1}, {"version": 2, "changes": {"added": 1, "changed": 1, "removed": 1}}]
    build_study(study(files=files, version=2, versions=versions), tmp_path)
    lines = (folder / "v2" / "changes.tsv").read_text().splitlines()
    assert [line.split("\t")[:2] for line in lines[1:]] == [
        ["removed", "plate/made_00001.tif"],
        ["changed", "plate/made_00002.tif"],
        ["added", "z new.tif"],
    ]
    page = (folder / "index.html").read_text()
    assert "1 file added, 1 file changed, 1 file removed" in page
    assert page.count("changes.tsv") == 2 and "z new.tif" in page


def test_a_tombstone_is_inert(tmp_path):
    entry = {"accession": "SB-1", "date": "2026-11-03T00:00:00Z", "reason": MARKUP, "contact": "x"}
    out = tmp_path / "SB-1" / "index.html"
    render_page("tombstone.html", {"tombstone": entry}, out, site_root=tmp_path)
    assert "<script>alert" not in out.read_text() and "2026-11-03" in out.read_text()


def test_a_tombstone_leads_to_whom_to_ask(tmp_path):
    for contact, href in (("help@example.org", "mailto:help@example.org"), ("javascript://x", "")):
        entry = {"accession": "SB-1", "date": "2026-11-03", "reason": "r", "contact": contact}
        out = tmp_path / "SB-1" / "index.html"
        render_page("tombstone.html", {"tombstone": entry}, out, site_root=tmp_path)
        page = out.read_text()
        assert contact in page and (f'href="{href}"' in page) == bool(href)
        assert 'href="javascript' not in page


def test_images_are_told_apart_by_what_they_are_called(tmp_path):
    """Three of one name in three folders, and one that lies in many files."""
    images = [made.image_entry(f"{made.IMAGE_ID[:-1]}{i}", i) for i in range(4)]
    for image, folder in zip(images, "abc", strict=False):
        image |= {"path": f"plate/{folder}/image.png", "name": "image"}
    many = [f"plate/w1_t{i}.tif" for i in range(5)]
    images[3] |= {"path": many[0], "files": many, "name": "w1"}
    out = build_study(StudyInput("SB-1", 1, made.record(), images, made.file_rows(1)), tmp_path)
    page = (out / "index.html").read_text()
    names = re.findall(r'class="image-name">([^<]*)<', page)
    assert names == ["a/image.png", "b/image.png", "c/image.png", "w1"]


def test_a_long_list_of_authors_leaves_room_for_the_study(tmp_path):
    authors = [{"name": f"Author {i:03d}"} for i in range(61)]
    given = StudyInput("SB-1", 1, made.record(authors=authors), [], made.file_rows(1))
    page = (build_study(given, tmp_path) / "index.html").read_text()
    byline = page.split('class="byline">')[1].split("</p>")[0]
    assert "Author 011" in byline and "Author 012" not in byline and "49 more" in byline
    assert "Author 060" in page.split('id="people"')[1]
