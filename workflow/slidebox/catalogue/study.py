"""A study's folder on the site: pages, lists and study.json, from plain data.

Everything is written whole or not at all and depends on the input only. A build touches one
study's folder and nothing else but the shared assets.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from slidebox import atomic
from slidebox.catalogue import describe, facts, listing, tables
from slidebox.catalogue.changes import write_changes
from slidebox.catalogue.cite import citation
from slidebox.catalogue.describe.parts import link_url
from slidebox.catalogue.model import StudyInput
from slidebox.catalogue.pages import install_assets, render_page, settle
from slidebox.catalogue.search import write_card
from slidebox.catalogue.text import plural, safe_url

IMAGES_PER_PAGE = 60
FILES_PER_PAGE = 100
SHOWN_FINDINGS = 100
SHOWN_CHANGES = 50
_HERE = "ADDRESS-OF-THIS-PAGE"  # until a script puts in where the page is
STRIP = 6


def build_study(study: StudyInput, site_root: Path | str) -> Path:
    """Write ``site_root/<accession>/`` and its ``v<N>/`` for one version of one study.

    The newest version (``study.head``) gets the study's front page, lists, ``study.json`` and one
    page an image; every version gets the same under ``v<N>/`` but for the image pages, which it
    shares. Pages for review show the newest version alone. Returns the study's folder.
    """
    site_root = Path(site_root)
    folder = site_root / study.home
    install_assets(site_root)
    images = _named_apart([_prepared(image) for image in study.images])
    review = study.state == "review"
    version_folder = folder if review else folder / f"v{study.version}"
    totals = listing.write_lists(version_folder, study.files)
    if not review:
        write_changes(folder, study.version)
    summary = study_json(study, totals)
    url = study.site_url if safe_url(study.site_url) else None
    place = describe.Place(url, study.site_name, study.folder)
    written: list[dict[str, str]] = []
    targets = [] if review else [(version_folder, "../")]
    if study.head:
        for name in ("files.tsv", "manifest-sha256.txt") if targets else ():
            _copy(version_folder / name, folder / name)
        targets.append((folder, ""))
        _image_pages(study, images, folder, site_root)
        tables.write_parts(summary, folder / "files.tsv", folder / "tables", study.home)
        written = describe.write_all(summary, folder, place)
    for target, top in targets:
        atomic.write_json(target / "study.json", summary)
        _lists(study, images, totals, target, top, site_root)
        machines = _machines(summary, written, place, study.state) if top == "" else {}
        _front_page(study, images, totals, target, top, site_root, machines)
    if study.head and not review:
        write_card(summary, folder)  # last: it vouches for the study.json beside it
    return folder


def study_json(study: StudyInput, totals: listing.Totals) -> dict[str, Any]:
    """The machine's view of the page (documented in docs/reference/site.md)."""
    return {
        "accession": study.accession,
        "version": study.version,
        "title": study.record.get("title"),
        "release_date": study.release_date or study.record.get("release_date"),
        "record": study.record,
        "images": study.images,
        "files": {"count": totals.count, "bytes": totals.bytes, "table": "files.tsv"},
        "versions": study.versions or [{"version": study.version}],
        "curation": study.curation,
        "findings": study.findings,
        "provenance": study.provenance,
    }


def _machines(
    summary: dict[str, Any], written: list[dict[str, str]], place: describe.Place, state: str
) -> dict[str, Any]:
    """What the front page holds for machines; older versions point to the newest instead."""
    if state != "public":
        return {"descriptions": written}  # nothing that sends a crawler on
    names = [d["href"] for d in written]
    return {
        "descriptions": written,
        "signposts": describe.signposts(summary, names, place),
        "json_ld": describe.inline_json(describe.schema_org(summary, place)),
    }


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reading, atomic.replacing(target, "wb") as writing:
        while block := reading.read(1 << 20):
            writing.write(block)


def _prepared(image: dict[str, Any]) -> dict[str, Any]:
    """The image with what pages say about it; the input isn't changed."""
    return {
        **image,
        "label": facts.image_label(image),
        "facts": facts.image_facts(image),
        "channels": [_channel(c) for c in image.get("channels") or []],
    }


def _named_apart(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where several images are called the same, their names begin with their folders."""
    often = Counter(image["label"] for image in images)
    for image in images:
        folder = str(image.get("path") or "").rpartition("/")[0].rpartition("/")[2]
        if folder and often[image["label"]] > 1:
            image["label"] = f"{folder}/{image['label']}"
    return images


def _channel(channel: dict[str, Any]) -> dict[str, Any]:
    shown = dict(channel)
    for wanted in ("excitation", "emission"):
        value = channel.get(f"{wanted}_wavelength", channel.get(wanted))
        shown[wanted] = f"{value:g} nm" if isinstance(value, int | float) else (value or "")
    return shown


def _viewable(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [i for i in images if i.get("zarr") and i.get("id")]


def _front_page(
    study: StudyInput,
    images: list[dict[str, Any]],
    totals: listing.Totals,
    target: Path,
    top: str,
    site_root: Path,
    machines: dict[str, Any],
) -> None:
    record = study.record
    shown = _viewable(images)
    broken = [i for i in images if not (i.get("zarr") and i.get("id"))]
    base = _canonical(study)
    context = {
        **_frame(study),
        "description": record.get("description"),
        "accession": study.accession,
        "version": study.version,
        "is_head": study.head and top == "",
        "is_newest": study.head,
        "top": top,
        "withheld": study.withheld,
        "canonical": base if study.state == "public" else None,
        "canonical_base": f"{base}{f'v{study.version}/' if top else ''}" if base else _HERE,
        "record": record,
        "authors": [_author(a) for a in record.get("authors") or []],
        "links": [
            {**link, "url": link_url(link) or link.get("url")} for link in record.get("links") or []
        ],
        "organisms": facts.organisms(record),
        "methods": facts.methods(record),
        "released": study.release_date or record.get("release_date"),
        "doi": record.get("doi"),
        "paragraphs": _paragraphs(record.get("description")),
        "citation": citation(
            record,
            study.accession,
            study.version,
            site_name=study.site_name,
            url=base,
            release_date=study.release_date,
        ),
        "strip": _spread([i for i in shown if i.get("thumbnail")], STRIP),
        "images": shown[:IMAGES_PER_PAGE],
        "images_total": len(shown),
        "image_pages": -(-len(shown) // IMAGES_PER_PAGE),
        "image_page_href": _page_href("images", front=""),
        "unreadable": broken[:SHOWN_FINDINGS],
        "unreadable_total": len(broken),
        "files": list(islice(listing.read_table(target / "files.tsv"), FILES_PER_PAGE)),
        "files_count": totals.count,
        "files_bytes": totals.bytes,
        "file_pages": -(-totals.count // FILES_PER_PAGE),
        "file_page_href": _page_href("files", front=""),
        "record_blocks": facts.record_blocks(record),
        "versions": [
            _version(v, site_root / study.home)
            for v in study.versions or [{"version": study.version}]
        ],
        "changed_files": _changed_files(site_root / study.home, study.version),
        "curation": study.curation,
        "findings": _alike(study.findings[:SHOWN_FINDINGS]),
        "findings_shown": min(len(study.findings), SHOWN_FINDINGS),
        "findings_total": len(study.findings),
        "provenance_rows": _rows(study.provenance),
        "run_crate": study.provenance.get("run_crate"),
        **machines,
    }
    render_page(
        "study.html",
        context,
        target / "index.html",
        site_root=site_root,
        site_name=study.site_name,
    )


def _page_href(kind: str, front: str):
    """Function from a page's number to its address; page 1 is the study's own."""

    def href(page: int) -> str:
        if page == 1:
            return f"{front}index.html#{kind}" if front else f"#{kind}"
        return f"{'' if front else 'list/'}{kind}-{page}.html"

    return href


def _lists(
    study: StudyInput,
    images: list[dict[str, Any]],
    totals: listing.Totals,
    target: Path,
    top: str,
    site_root: Path,
) -> None:
    """Pages 2, 3, ... of the images and of the files, under ``list/``."""
    shown = _viewable(images)
    common = {**_frame(study), "accession": study.accession, "top": top}
    common["withheld"] = study.withheld
    kept = set()

    def write(kind: str, page: int, pages: int, **context: Any) -> None:
        name = f"{kind}-{page}.html"
        kept.add(name)
        render_page(
            "list.html",
            {
                **common,
                "kind": kind,
                "heading": kind.capitalize(),
                "page": page,
                "pages": pages,
                "page_href": _page_href(kind, front="../"),
                **context,
            },
            target / "list" / name,
            site_root=site_root,
            site_name=study.site_name,
            durable=False,
        )

    pages = -(-len(shown) // IMAGES_PER_PAGE)
    for page in range(2, pages + 1):
        part = shown[(page - 1) * IMAGES_PER_PAGE : page * IMAGES_PER_PAGE]
        write("images", page, pages, total=len(shown), images=part)
    pages = -(-totals.count // FILES_PER_PAGE)
    if pages > 1:
        rows = listing.read_table(target / "files.tsv")
        for page, part in enumerate(_chunks(rows, FILES_PER_PAGE), start=1):
            if page > 1:
                write("files", page, pages, total=totals.count, files=part)
    # A shorter list than last time leaves no page behind that nothing points to.
    if (target / "list").is_dir():
        for old in (target / "list").glob("*.html"):
            if old.name not in kept:
                old.unlink()
        settle(target / "list")


def _chunks(rows: Iterator[dict], size: int) -> Iterator[list[dict]]:
    while part := list(islice(rows, size)):
        yield part


def _image_pages(
    study: StudyInput, images: list[dict[str, Any]], folder: Path, site_root: Path
) -> None:
    files = _files_of_images(images, folder / "files.tsv")
    shown = _viewable(images)
    for index, image in enumerate(shown):
        own = [files.get(p, {"path": p}) for p in _image_files(image)]
        base = _canonical(study)
        context = {
            **_frame(study),
            "withheld": study.withheld,
            "description": f"{image['label']}, {image['facts']}: image of {study.accession}",
            "accession": study.accession,
            "study_title": study.record.get("title") or "",
            "image": image,
            "wide": True,
            "label_names": json.dumps([str(la.get("name")) for la in image.get("labels") or []]),
            "images_total": len(shown),
            "previous": shown[index - 1] if index else None,
            "next": shown[index + 1] if index + 1 < len(shown) else None,
            "rows": facts.image_rows(image),
            "files": own,
            "record_blocks": facts.record_blocks(
                study.record, facts.part_modules(study.record, image.get("part"))
            ),
            "zarr_url": f"{base or '…/' + study.home + '/'}{image['zarr']}",
            "snippets": facts.snippets(image),
        }
        render_page(
            "image.html",
            context,
            folder / "image" / f"{image['id']}.html",
            site_root=site_root,
            site_name=study.site_name,
            durable=False,
        )
    if shown:
        settle(folder / "image")


def _image_files(image: dict[str, Any]) -> list[str]:
    """Paths of an image's source files, primary first."""
    paths = [f if isinstance(f, str) else f.get("path") for f in image.get("files") or []]
    primary = image.get("path")
    return list(dict.fromkeys([p for p in [primary, *paths] if p]))


def _files_of_images(images: list[dict[str, Any]], table: Path) -> dict[str, dict]:
    """Rows of files.tsv that images are made of; the others aren't held."""
    wanted = {p for image in images for p in _image_files(image)}
    return {row["path"]: row for row in listing.read_table(table) if row["path"] in wanted}


def _canonical(study: StudyInput) -> str:
    if not study.site_url or not safe_url(study.site_url):
        return ""
    return f"{study.site_url.rstrip('/')}/{study.home}/"


def _frame(study: StudyInput) -> dict[str, Any]:
    """What the frame of each page must know."""
    return {"section": "studies", "state": study.state}


def _author(author: dict[str, Any]) -> dict[str, Any]:
    orcid = str(author.get("orcid") or "").rsplit("/", 1)[-1]
    good = re.fullmatch(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]", orcid)
    return {**author, "orcid_url": f"https://orcid.org/{orcid}" if good else None}


def _version(version: dict[str, Any], folder: Path) -> dict[str, Any]:
    changes = version.get("changes") or {}
    words = [
        plural(n, f"file {word}", f"files {word}")
        for word in ("added", "changed", "removed")
        if (n := changes.get(word) if isinstance(changes, dict) else None) and isinstance(n, int)
    ]
    return {
        **version,
        "change_text": ", ".join(words),
        "changes_table": (folder / f"v{version['version']}" / "changes.tsv").is_file(),
        "created": str(version.get("created") or ""),
    }


def _changed_files(folder: Path, version: int) -> list[dict[str, Any]]:
    """The first files that this version changed; the table has them all."""
    table = folder / f"v{version}" / "changes.tsv"
    return list(islice(listing.read_table(table), SHOWN_CHANGES)) if table.is_file() else []


def _alike(findings: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Findings with one code together, in the order of the first of each."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for finding in findings:
        groups.setdefault((finding.get("severity"), finding.get("code")), []).append(finding)
    return list(groups.values())


def _rows(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for key, value in provenance.items():
        if key == "run_crate" or value in (None, "", [], {}):
            continue
        if not isinstance(value, str | int | float):
            value = json.dumps(value, ensure_ascii=False, sort_keys=True)
        rows.append((facts.term_of(str(key)), str(value)[:600]))
    return rows


def _paragraphs(text: Any) -> list[str]:
    return [p.strip() for p in re.split(r"\n\s*\n", str(text or "")) if p.strip()]


def _spread(items: list, n: int) -> list:
    """At most n items, evenly from the whole list."""
    if len(items) <= n:
        return items
    return [items[i * len(items) // n] for i in range(n)]
