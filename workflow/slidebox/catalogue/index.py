"""The archive's front page, its lists of studies for machines, its tables and the sitemap.

What one more study costs is its own card and what shows it: pages are numbered from the oldest,
the search and the tables are made of segments, and what was made from the same is left as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slidebox import atomic
from slidebox.catalogue import numbered, pages, tables
from slidebox.catalogue.entry import Entry
from slidebox.catalogue.feed import write_feed
from slidebox.catalogue.known import Known, digest
from slidebox.catalogue.search import INNER, segments_of, write_search
from slidebox.catalogue.sheet import write_csv
from slidebox.catalogue.sitemap import write_sitemap

STUDIES_PER_PAGE = 48
STUDIES_PER_LIST = 100  # of studies.json
STUDIES_PER_SHEET = 500  # of studies.csv
SHEET = [
    "accession",
    "title",
    "version",
    "date",
    "license",
    "images",
    "annotated",
    "files",
    "bytes",
]


def build_index(
    studies: Iterable[Path | str],
    challenges: Iterable[dict[str, Any]],
    site_root: Path | str,
    *,
    site_url: str | None = None,
    site_name: str = "Slidebox",
    withdrawn: Iterable[dict[str, Any]] = (),
) -> Path:
    """Write ``index.html``, ``catalogue/`` and ``sitemap.xml`` under ``site_root``.

    Parameters
    ----------
    studies : paths of every public study's ``study.json``, under ``site_root``.
    challenges : dicts ``{"title", "url" (relative to the site's root), "version", "task",
        "description"}``; all but the first two optional.
    withdrawn : dicts ``{"accession", "date", "reason"}`` of studies that were taken away.
    site_url : where the site will be; without it the sitemap is left out, as its format wants
        full addresses.

    Returns the path of the front page.
    """
    site_root = Path(site_root)
    catalogue = site_root / "catalogue"
    pages.install_assets(site_root)
    known = Known(site_root)
    entries = sorted(known.studies(studies), key=lambda e: e.accession.casefold())
    entries.sort(key=lambda e: e.date, reverse=True)
    segments = segments_of(entries)
    write_search(segments, site_root)
    written = tables.compact(segments, site_root)
    sheets = _lists(entries, catalogue, known)
    write_feed(entries, withdrawn, catalogue, known, site_url=site_url, site_name=site_name)
    context = {"section": "data", "tables": written, "sheets": sheets}
    pages.render_page(
        "tables.html", context, catalogue / "index.html", site_root=site_root, site_name=site_name
    )
    _pages(entries, list(challenges), site_root, site_name, known)
    if site_url:
        write_sitemap((e.accession for e in reversed(entries)), site_root, site_url)
    known.save()
    return site_root / "index.html"


def _lists(entries: list[Entry], catalogue: Path, known: Known) -> list[str]:
    """``studies.json`` and ``studies.csv`` and their older pages; returns the latter's names."""
    kept = 0
    for page, part in numbered.pages(entries, STUDIES_PER_LIST):
        kept = kept or page or 0
        path = catalogue / numbered.name("studies", page, ".json")
        older = page - 1 if page else max(0, len(entries) // STUDIES_PER_LIST - 1)
        state = digest(pages.look(), older, [e.digest for e in part])
        if known.same(path, state):
            continue
        listed: dict[str, Any] = {"studies": [_shown(entry) for entry in part]}
        if older:
            listed["next"] = numbered.name("studies", older, ".json")
        with atomic.replacing(path) as handle:
            json.dump(listed, handle, ensure_ascii=False, separators=(",", ":"))
            handle.write("\n")
        known.wrote(path, state)
    numbered.tidy(catalogue, "studies", kept, ".json")
    names = []
    for page, part in numbered.pages(entries, STUDIES_PER_SHEET):
        path = catalogue / numbered.name("studies", page, ".csv")
        names.append(path.name)
        state = digest(pages.look(), [e.digest for e in part])
        if not known.same(path, state):
            write_csv(path, SHEET, (entry.card() for entry in part))
            known.wrote(path, state)
    numbered.tidy(catalogue, "studies", len(names) - 1, ".csv")
    return names


def _shown(entry: Entry) -> dict[str, Any]:
    """A study's card without what is for the search alone."""
    card = {key: value for key, value in entry.card().items() if key not in INNER}
    card["pictures"] = [f"{card['accession']}/{p}" for p in card["pictures"]]
    return card


def _pages(
    entries: list[Entry],
    challenges: list[dict[str, Any]],
    site_root: Path,
    site_name: str,
    known: Known,
) -> None:
    catalogue = "catalogue/"
    kept = max(0, len(entries) // STUDIES_PER_PAGE - 1)
    for page, part in numbered.pages(entries, STUDIES_PER_PAGE):
        context: dict[str, Any]
        if page is None:
            template, out = "index.html", site_root / "index.html"
            context = {
                "description": "An archive of biological images.",
                "older": f"{catalogue}studies-{kept}.html" if kept else None,
                "oldest": f"{catalogue}studies-1.html" if kept > 1 else None,
                "challenges": challenges,
                "total_studies": len(entries),
                "total_images": sum(e.images for e in entries),
                "total_bytes": sum(e.bytes for e in entries),
            }
        else:
            template, out = "studies.html", site_root / catalogue / f"studies-{page}.html"
            context = {
                "page": page,
                "newer": f"studies-{page + 1}.html" if page < kept else "../index.html",
                "older": f"studies-{page - 1}.html" if page > 1 else None,
                "oldest": "studies-1.html" if page > 2 else None,
            }
        context |= {"section": "studies"}
        state = digest(pages.look(), site_name, context, [e.digest for e in part])
        if known.same(out, state):
            continue
        context["cards"] = [_shown(entry) for entry in part]
        pages.render_page(template, context, out, site_root=site_root, site_name=site_name)
        known.wrote(out, state)
    numbered.tidy(site_root / catalogue, "studies", kept, ".html")
