"""How to cite a study: one line of text, in DataCite's recommended order."""

from __future__ import annotations

from typing import Any

from slidebox.catalogue.text import doi_url


def year_of(record: dict[str, Any], release_date: str | None = None) -> str:
    """Four digits of the release date, or ''."""
    date = release_date or record.get("release_date") or ""
    return str(date)[:4]


def citation(
    record: dict[str, Any],
    accession: str,
    version: int,
    *,
    site_name: str = "Slidebox",
    url: str | None = None,
    release_date: str | None = None,
) -> str:
    """Creators (year). Title. Version. Publisher. Identifier."""
    names = [a.get("name") or "" for a in record.get("authors") or []]
    names = [n for n in names if n]
    if len(names) > 10:
        names = [*names[:10], "et al."]
    year = year_of(record, release_date)
    head = "; ".join(names) or "Unknown authors"
    where = doi_url(record.get("doi")) or url or f"{site_name}:{accession}"
    title = (record.get("title") or accession).rstrip(".")
    return f"{head}{f' ({year})' if year else ''}. {title}. Version {version}. {site_name}. {where}"
