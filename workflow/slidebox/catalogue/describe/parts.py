"""What the descriptions share: people, licences, dates, addresses."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from slidebox.catalogue.text import doi_url, license_url, safe_url

# A study without a date was made public when it was archived; validation asks for the date.
_NO_DATE = "1970-01-01"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the site is and what it is called."""

    site_url: str | None
    site_name: str
    home: str | None = None
    """The study's folder under the site's root; None: the accession."""

    def of(self, accession: str) -> str:
        """A study's address: absolute when the site's is known, else relative to the site."""
        base, home = (self.site_url or "").rstrip("/"), self.home or accession
        return f"{base}/{home}/" if base else f"{home}/"


def published(study: dict[str, Any]) -> str:
    """Release date as YYYY-MM-DD."""
    said = str(study.get("release_date") or (study.get("record") or {}).get("release_date") or "")
    try:
        return date.fromisoformat(said[:10]).isoformat()
    except ValueError:
        created = [str(v.get("created") or "") for v in study.get("versions") or []]
        return created[0][:10] if created and created[0] else _NO_DATE


def orcid_of(author: dict[str, Any]) -> str | None:
    """https://orcid.org/... of an author, None when it isn't well formed."""
    bare = str(author.get("orcid") or "").rstrip("/").rsplit("/", 1)[-1]
    good = re.fullmatch(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]", bare)
    return f"https://orcid.org/{bare}" if good else None


def organisations_of(author: dict[str, Any]) -> list[str]:
    """Names of the organisations of an author."""
    names = [o.get("name") if isinstance(o, dict) else o for o in author.get("organisations") or []]
    return [str(n) for n in names if n]


def text_or(value: Any, other: str) -> str:
    """The text, or what stands in for one that is missing."""
    text = str(value or "").strip()
    return text or other


def licence_of(study: dict[str, Any]) -> str | None:
    """Address of the study's licence."""
    return license_url((study.get("record") or {}).get("license"))


def papers_of(study: dict[str, Any]) -> list[str]:
    """https://doi.org/... of the study's publications."""
    record = study.get("record") or {}
    return [u for p in record.get("publications") or [] if (u := doi_url(p.get("doi")))]


# Prefixes of identifiers in other archives, as identifiers.org resolves them.
_ARCHIVES = {
    "empiar": "https://www.ebi.ac.uk/empiar/",
    "emdb": "https://www.ebi.ac.uk/emdb/",
    "idr": "https://idr.openmicroscopy.org/search/?query=Name:",
    "biostudies": "https://www.ebi.ac.uk/biostudies/studies/",
    "bioimages": "https://www.ebi.ac.uk/biostudies/bioimages/studies/",
    "pdb": "https://www.ebi.ac.uk/pdbe/entry/pdb/",
    "uniprot": "https://www.uniprot.org/uniprotkb/",
    "ena": "https://www.ebi.ac.uk/ena/browser/view/",
    "geo": "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=",
    "pride": "https://www.ebi.ac.uk/pride/archive/projects/",
    "zenodo": "https://zenodo.org/records/",
}


def link_url(link: dict[str, Any]) -> str | None:
    """Address of a record's link: as written, or made from its type and identifier."""
    value, kind = str(link.get("url") or "").strip(), str(link.get("type") or "").strip().lower()
    if url := safe_url(value):
        return url
    if kind == "doi" or value.lower().startswith(("10.", "doi:")):
        return doi_url(value)
    if kind in _ARCHIVES and re.fullmatch(r"[A-Za-z0-9._:-]+", value):
        return _ARCHIVES[kind] + value
    return None


def digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
