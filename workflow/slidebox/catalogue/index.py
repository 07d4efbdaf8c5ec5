"""The archive's front page, its list of studies for machines, and the sitemap.

Reads each study's card (a few kilobytes) and strings the studies' tables together; it never holds
their images or files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape as xml_escape

from slidebox import atomic
from slidebox.catalogue import tables
from slidebox.catalogue.cards import study_card
from slidebox.catalogue.feed import write_feed
from slidebox.catalogue.pages import install_assets, render_page
from slidebox.catalogue.search import write_search

STUDIES_PER_PAGE = 48


def build_index(
    studies: Iterable[dict[str, Any] | Path | str],
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
    studies : ``study.json`` of every public study, as dicts or paths; read one at a time.
    challenges : dicts ``{"title", "url" (relative to the site's root), "version", "task",
        "description"}``; all but the first two optional.
    withdrawn : dicts ``{"accession", "date", "reason"}`` of studies that were taken away.
    site_url : where the site will be; without it the sitemap is left out, as its format wants
        full addresses.

    Returns the path of the front page.
    """
    site_root = Path(site_root)
    install_assets(site_root)
    cards = [_card(study) for study in studies]
    cards.sort(key=lambda c: c["accession"].casefold())
    cards.sort(key=lambda c: c["date"], reverse=True)
    words: dict[str, list[int]] = {}
    for number, card in enumerate(cards):
        # Taken out at once: the words are most of a card, and each is wanted in the index only.
        for word, weight in card.pop("words").items():
            words.setdefault(word, []).extend((number, weight))
        card["pictures"] = [f"{card['accession']}/{p}" for p in card["pictures"]]
    catalogue = site_root / "catalogue"
    with atomic.replacing(catalogue / "studies.json") as handle:
        json.dump({"studies": cards}, handle, ensure_ascii=False, separators=(",", ":"))
        handle.write("\n")
    write_feed(cards, withdrawn, catalogue, site_url=site_url, site_name=site_name)
    write_search(cards, words, catalogue / "search")
    folders = [site_root / card["accession"] / "tables" for card in cards]
    context = {"section": "data", "tables": tables.compact(folders, catalogue)}
    render_page(
        "tables.html", context, catalogue / "index.html", site_root=site_root, site_name=site_name
    )
    _pages(cards, list(challenges), site_root, site_name)
    if site_url:
        _sitemap(cards, site_root, site_url)
    return site_root / "index.html"


def _card(study: dict[str, Any] | Path | str) -> dict[str, Any]:
    """The study's card: the one beside its study.json when that is of the same making."""
    if isinstance(study, dict):
        return study_card(study)
    path = Path(study)
    beside = path.with_name("card.json")
    if beside.is_file():
        card = json.loads(beside.read_text(encoding="utf-8"))
        if card.pop("study_bytes", None) == path.stat().st_size:
            return card
    return study_card(json.loads(path.read_text(encoding="utf-8")))


def _pages(
    cards: list[dict[str, Any]],
    challenges: list[dict[str, Any]],
    site_root: Path,
    site_name: str,
) -> None:
    pages = max(1, -(-len(cards) // STUDIES_PER_PAGE))
    totals = {
        "total_studies": len(cards),
        "total_images": sum(c["images"] for c in cards),
        "total_bytes": sum(c["bytes"] for c in cards),
    }
    for page in range(1, pages + 1):
        front = page == 1
        out = site_root / ("index.html" if front else f"catalogue/studies-{page}.html")

        def href(n: int, front: bool = front) -> str:
            if n == 1:
                return "index.html" if front else "../index.html"
            return f"catalogue/studies-{n}.html" if front else f"studies-{n}.html"

        part = cards[(page - 1) * STUDIES_PER_PAGE : page * STUDIES_PER_PAGE]
        context = {
            "section": "studies",
            "description": "An archive of biological images.",
            "cards": part,
            "page": page,
            "pages_total": pages,
            "page_href": href,
            "challenges": challenges,
            **totals,
        }
        render_page("index.html", context, out, site_root=site_root, site_name=site_name)
    for old in (site_root / "catalogue").glob("studies-*.html"):
        if int(old.stem.rsplit("-", 1)[1]) > pages:
            old.unlink()


def _sitemap(cards: list[dict[str, Any]], site_root: Path, site_url: str) -> None:
    base = site_url.rstrip("/")
    with atomic.replacing(site_root / "sitemap.xml") as handle:
        handle.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        handle.write('<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n')
        handle.write(f"<url><loc>{xml_escape(base)}/</loc></url>\n")
        for card in cards:
            place = xml_escape(f"{base}/{card['accession']}/")
            handle.write(f"<url><loc>{place}</loc></url>\n")
        handle.write("</urlset>\n")
