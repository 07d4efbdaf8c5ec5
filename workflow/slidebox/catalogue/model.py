"""What a study's pages are made from: plain data, already without anything restricted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(slots=True)
class StudyInput:
    """One version of one study.

    Parameters
    ----------
    accession, version : the study and the OCFL version (1, 2, ...) that these pages show.
    record : ``Record.model_dump(mode="json")`` of the curated record.
    images : one dict an image as in ``images/<i>of<n>.json``; ``zarr`` and ``thumbnail`` are
        relative to the study's folder.
    files : dicts with ``path, size, sha256, version`` (the version that brought the bytes) and
        optionally ``part, role, source_image``, sorted by path. Read once, may be a generator.
    versions : dicts ``{"version", "created", "message", "kind": "deposit|revision",
        "changes": {"added", "changed", "removed"}}``, oldest first; only the first key must be.
    curation : dicts ``{"date", "name", "reason", "what"}``: what curators decided, oldest first.
    findings : findings (as dicts) that were left when the study was accepted.
    provenance : software, settings and steps, as sealing knows them.
    """

    accession: str
    version: int
    record: dict[str, Any]
    images: list[dict[str, Any]]
    files: Iterable[dict[str, Any]]
    versions: list[dict[str, Any]] = field(default_factory=list)
    curation: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    release_date: str | None = None
    head: bool = True
    """Whether this is the newest version; an older one is written under ``v<N>/`` only."""
    site_url: str | None = None
    """Where the site will be, e.g. ``https://images.example.org/``; None: links stay relative."""
    site_name: str = "Slidebox"
    state: Literal["public", "embargoed", "review"] = "public"
    """Embargoed and review pages stand alone: no link to the rest of the site, no search engine."""
    folder: str | None = None
    """Where the pages are written under the site's root; None: the accession."""
    withheld: str | None = None
    """Why the originals aren't offered, when they aren't."""

    @property
    def home(self) -> str:
        """The study's folder, relative to the site's root."""
        return self.folder or self.accession
