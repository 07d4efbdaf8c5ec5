"""Withdrawal: the public copy goes, a tombstone stays, the vault keeps every byte."""

from __future__ import annotations

import shutil
from typing import Any

from slidebox import atomic
from slidebox.config import Config
from slidebox.ingest import index, queue, review
from slidebox.ingest.paths import Stages, now
from slidebox.vault import Vault

TOMBSTONE = "tombstone.json"


def withdraw(
    config: Config, accession: str, *, reason: str, contact: str, user: tuple[str, str]
) -> dict[str, Any]:
    """Withdraw a study; return its tombstone.

    The tombstone is written before the data go, and the receipt after: killed in between, the same
    command does the rest.
    """
    vault = Vault(config.vault)
    entry = vault.tombstone(accession)
    if entry is None:
        entry = vault.withdraw(accession, reason=reason, contact=contact, user=user)
    _seal(config, accession, entry, vault.head(accession))
    return entry


def after_purge(config: Config, accession: str) -> None:
    """Take the public copy of a study away that was deleted from the vault for good."""
    entry = Vault(config.vault).tombstone(accession)
    if entry is not None:
        contact = config.site.contact or "the staff of this archive"
        _seal(config, accession, {"contact": contact, **entry}, entry["versions"])


def _seal(config: Config, accession: str, entry: dict[str, Any], version: int) -> None:
    bury(config, accession, entry)
    key = queue.digest("withdrawn", accession, str(version))
    receipt = {
        "accession": accession,
        "key": key,
        "status": "withdrawn",
        "version": version,
        "tombstone": entry,
        "where": None,
        "files": None,
        "bytes": None,
        "images": [],
        "errors": [],
        "stages": {},
        "sealed": now(),
    }
    atomic.write_json(Stages(config, accession, key).receipt, receipt)
    review.refresh(config)
    index.catch_up(config)


def bury(config: Config, accession: str, entry: dict[str, Any]) -> None:
    """Leave only the tombstone under public/, for people and for machines."""
    from slidebox.catalogue import render_page

    folder = config.public / accession
    atomic.write_json(folder / TOMBSTONE, entry)
    render_page(
        "tombstone.html",
        {"section": "studies", "tombstone": entry},
        folder / "index.html",
        site_root=config.public,
        site_name=config.site.title,
    )
    for path in folder.iterdir():
        if path.name not in (TOMBSTONE, "index.html"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(config.embargoed / accession, ignore_errors=True)
