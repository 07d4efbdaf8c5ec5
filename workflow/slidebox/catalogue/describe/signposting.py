"""FAIR Signposting (https://signposting.org/FAIR/), level 1 in the page and level 2 as a linkset.

Links in the page's head are enough for static hosts, which can't send Link headers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slidebox import atomic
from slidebox.catalogue.describe.parts import Place, licence_of, orcid_of
from slidebox.catalogue.text import doi_url

_TYPES = {
    "ro-crate-metadata.json": ("application/ld+json", "https://w3id.org/ro/crate"),
    "croissant.json": ("application/ld+json", "http://mlcommons.org/croissant/1.1"),
    "datacite.json": ("application/vnd.datacite.datacite+json", None),
}
_ITEMS = {
    "files.tsv": "text/tab-separated-values",
    "manifest-sha256.txt": "text/plain",
}
_LANDING = ("https://schema.org/AboutPage", "https://schema.org/Dataset")


def signposts(
    study: dict[str, Any], descriptions: list[str], place: Place
) -> list[dict[str, str | None]]:
    """Links for the head of the page: ``{"rel", "href", "type", "profile"}``."""
    links: list[dict[str, str | None]] = []

    def add(rel: str, href: str, kind: str | None = None, profile: str | None = None) -> None:
        links.append({"rel": rel, "href": href, "type": kind, "profile": profile})

    for author in study["record"].get("authors") or []:
        if orcid := orcid_of(author):
            add("author", orcid)
    if doi := doi_url(study["record"].get("doi")):
        add("cite-as", doi)
    elif place.site_url:
        add("cite-as", place.of(study["accession"]))
    for name in descriptions:
        if name in _TYPES:
            add("describedby", name, *_TYPES[name])
    for landing in _LANDING:
        add("type", landing)
    for name, kind in _ITEMS.items():
        add("item", name, kind)
    if licence := licence_of(study):
        add("license", licence)
    add("linkset", "linkset.json", "application/linkset+json")
    return links


def write_linkset(path: Path, study: dict[str, Any], descriptions: list[str], place: Place) -> None:
    """Write the same links as a linkset (RFC 9264), with addresses as full as they are known."""
    base = place.of(study["accession"]) if place.site_url else ""

    def full(href: str) -> str:
        return href if "://" in href else base + href

    context: dict[str, Any] = {"anchor": base or "./"}
    for link in signposts(study, descriptions, place):
        if link["rel"] == "linkset":
            continue
        target = {"href": full(link["href"])}
        for key in ("type", "profile"):
            if link[key]:
                target[key] = link[key]
        context.setdefault(link["rel"], []).append(target)
    atomic.write_json(path, {"linkset": [context]})
