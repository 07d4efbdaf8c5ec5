"""The archive's front page, its list of studies for machines, and the sitemap.

Reads each study's ``study.json`` once and holds a line about each, never their images.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape as xml_escape

from slidebox import atomic
from slidebox.catalogue import facts
from slidebox.catalogue.cite import year_of
from slidebox.catalogue.pages import install_assets, render_page
from slidebox.catalogue.text import license_name

STUDIES_PER_PAGE = 48
PICTURES = 4


def build_index(
    studies: Iterable[dict[str, Any] | Path | str],
    challenges: Iterable[dict[str, Any]],
    site_root: Path | str,
    *,
    site_url: str | None = None,
    site_name: str = "Slidebox",
) -> Path:
    """Write ``index.html``, ``catalogue/`` and ``sitemap.xml`` under ``site_root``.

    Parameters
    ----------
    studies : ``study.json`` of every public study, as dicts or paths; read one at a time.
    challenges : dicts ``{"title", "url" (relative to the site's root), "version", "task",
        "description"}``; all but the first two optional.
    site_url : where the site will be; without it the sitemap is left out, as its format wants
        full addresses.

    Returns the path of the front page.
    """
    site_root = Path(site_root)
    install_assets(site_root)
    cards = [study_card(_loaded(study)) for study in studies]
    cards.sort(key=lambda c: c["accession"].casefold())
    cards.sort(key=lambda c: c["date"], reverse=True)
    catalogue = site_root / "catalogue"
    with atomic.replacing(catalogue / "studies.json") as handle:
        json.dump({"studies": cards}, handle, ensure_ascii=False, separators=(",", ":"))
        handle.write("\n")
    _pages(cards, list(challenges), site_root, site_name)
    render_page(
        "tables.html",
        {"section": "data"},
        catalogue / "index.html",
        site_root=site_root,
        site_name=site_name,
    )
    if site_url:
        _sitemap(cards, site_root, site_url)
    return site_root / "index.html"


def _loaded(study: dict[str, Any] | Path | str) -> dict[str, Any]:
    if isinstance(study, dict):
        return study
    return json.loads(Path(study).read_text(encoding="utf-8"))


def study_card(study: dict[str, Any]) -> dict[str, Any]:
    """What the front page and its search know of a study, from its ``study.json``."""
    record, images = study.get("record") or {}, study.get("images") or []
    shown = [i for i in images if i.get("zarr") and i.get("id")]
    pictures = [i["thumbnail"] for i in shown if i.get("thumbnail")]
    step = max(1, len(pictures) // PICTURES)
    organisms, methods = facts.organisms(record), facts.methods(record)
    year = year_of(record, study.get("release_date"))
    annotated = any(i.get("labels") for i in shown) or bool(record.get("annotation_sets"))
    kinds = sorted({facts.dimensions(i) for i in shown})
    return {
        "accession": study["accession"],
        "title": record.get("title") or study["accession"],
        "version": study.get("version"),
        "date": str(study.get("release_date") or record.get("release_date") or ""),
        "year": year,
        "images": len(shown),
        "files": (study.get("files") or {}).get("count", 0),
        "bytes": (study.get("files") or {}).get("bytes", 0),
        "pictures": [f"{study['accession']}/{p}" for p in pictures[::step][:PICTURES]],
        "facts": " · ".join([*organisms[:2], *methods[:2], *kinds[:2]]),
        "facets": {
            "organism": organisms,
            "method": methods,
            "dimensions": kinds,
            "licence": [license_name(record["license"])] if record.get("license") else [],
            "annotated": ["yes" if annotated else "no"],
            "year": [year] if year else [],
        },
        "text": _search_text(record, shown),
    }


def _search_text(record: dict[str, Any], images: list[dict[str, Any]]) -> str:
    """Words by which a study is found besides title and facets, shortened."""
    parts = [str(record.get("description") or "")[:1500], *map(str, record.get("keywords") or [])]
    parts += [str(a.get("name") or "") for a in record.get("authors") or []]
    for module in ("biosamples", "specimens", "image_acquisitions", "annotation_sets"):
        for item in record.get(module) or []:
            parts += [v for v in item.values() if isinstance(v, str)]
    channels = {str(c.get("name") or "") for i in images for c in i.get("channels") or []}
    names = [facts.image_label(i) for i in images[:40]]
    return " ".join([*parts, *sorted(channels)[:40], *names])[:4000]


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
