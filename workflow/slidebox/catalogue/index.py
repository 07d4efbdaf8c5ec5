"""The archive's front page, its list of studies for machines, and the sitemap.

Reads each study's card (a few kilobytes) and strings the studies' tables together; it never holds
their images or files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slidebox import atomic
from slidebox.catalogue import tables
from slidebox.catalogue.feed import write_feed
from slidebox.catalogue.pages import install_assets, render_page
from slidebox.catalogue.search import INNER, read_card, segments_of, write_search
from slidebox.catalogue.sheet import write_csv
from slidebox.catalogue.sitemap import write_sitemap

STUDIES_PER_PAGE = 48
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
    install_assets(site_root)
    cards = [read_card(Path(study)) for study in studies]
    cards.sort(key=lambda c: c["accession"].casefold())
    cards.sort(key=lambda c: c["date"], reverse=True)
    segments = segments_of(cards)
    write_search(segments, site_root)
    written = tables.compact(segments, site_root)
    for card in cards:
        for key in INNER:
            del card[key]
        card["pictures"] = [f"{card['accession']}/{p}" for p in card["pictures"]]
    catalogue = site_root / "catalogue"
    with atomic.replacing(catalogue / "studies.json") as handle:
        handle.write(
            json.dumps({"studies": cards}, ensure_ascii=False, separators=(",", ":")) + "\n"
        )
    write_csv(catalogue / "studies.csv", SHEET, cards)
    write_feed(cards, withdrawn, catalogue, site_url=site_url, site_name=site_name)
    context = {"section": "data", "tables": written}
    render_page(
        "tables.html", context, catalogue / "index.html", site_root=site_root, site_name=site_name
    )
    _pages(cards, list(challenges), site_root, site_name)
    if site_url:
        write_sitemap((c["accession"] for c in cards), site_root, site_url)
    return site_root / "index.html"


def _pages(
    cards: list[dict[str, Any]],
    challenges: list[dict[str, Any]],
    site_root: Path,
    site_name: str,
) -> None:
    # Numbered from the oldest, so that one more study changes the front page alone.
    kept = max(0, len(cards) // STUDIES_PER_PAGE - 1)
    full = len(cards) - kept * STUDIES_PER_PAGE
    totals = {
        "total_studies": len(cards),
        "total_images": sum(c["images"] for c in cards),
        "total_bytes": sum(c["bytes"] for c in cards),
    }
    catalogue = "catalogue/"
    front = {
        "description": "An archive of biological images.",
        "cards": cards[:full],
        "older": f"{catalogue}studies-{kept}.html" if kept else None,
        "oldest": f"{catalogue}studies-1.html" if kept > 1 else None,
        "challenges": challenges,
        **totals,
    }
    _render("index.html", front, site_root / "index.html", site_root, site_name)
    for page in range(1, kept + 1):
        first = full + (kept - page) * STUDIES_PER_PAGE
        context = {
            "page": page,
            "cards": cards[first : first + STUDIES_PER_PAGE],
            "newer": f"studies-{page + 1}.html" if page < kept else "../index.html",
            "older": f"studies-{page - 1}.html" if page > 1 else None,
            "oldest": "studies-1.html" if page > 2 else None,
        }
        out = site_root / catalogue / f"studies-{page}.html"
        _render("studies.html", context, out, site_root, site_name)
    for old in (site_root / "catalogue").glob("studies-*.html"):
        if int(old.stem.rsplit("-", 1)[1]) > kept:
            old.unlink()


def _render(
    template: str, context: dict[str, Any], out: Path, site_root: Path, site_name: str
) -> None:
    context = {"section": "studies", **context}
    render_page(template, context, out, site_root=site_root, site_name=site_name)
