"""What curators decide, written into the layer over the submitted record."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from slidebox import record
from slidebox.config import Config
from slidebox.deposit import check_accession
from slidebox.ingest.validation import restore_record
from slidebox.record import curation
from slidebox.vault import Vault


class NoStudy(ValueError):
    """Neither the inbox nor the vault has the study."""


def submitted(config: Config, accession: str) -> record.Record:
    """The record as submitted: what stands in the inbox, or else in the vault."""
    if problem := check_accession(accession):
        raise NoStudy(f"{accession!r} is no accession: {problem}")
    folder = config.inbox / accession
    if folder.is_dir():
        found = record.read(folder).record
        if found is not None:
            return found
        raise NoStudy(f"{folder}: the record can't be read; slidebox validate says why")
    vault = Vault(config.vault)
    if not vault.exists(accession):
        raise NoStudy(f"{accession}: neither in {config.inbox} nor in the vault")
    with tempfile.TemporaryDirectory(prefix="slidebox-") as folder:
        restore_record(vault, accession, Path(folder))
        found = record.read(Path(folder)).record
    if found is None:
        raise NoStudy(f"{accession}: the vault's record can't be read")
    return found


def set_field(
    config: Config, accession: str, field: str, value: Any, *, reason: str, name: str
) -> Path:
    """Give a field of the record a new value; return the curation's file."""
    held = submitted(config, accession)
    if field.strip() == "accession":
        raise NoStudy("the accession names the study and can't be changed; submit under another")
    with curation.editing(config.curation, accession) as layer:
        curation.set_field(layer, held, field, value, reason=reason, name=name)
    return curation.path_of(config.curation, accession)


def waive(
    config: Config, accession: str, code: str, path: str | None, *, reason: str, name: str
) -> Path:
    """Accept findings of a code as they are; return the curation's file."""
    submitted(config, accession)
    with curation.editing(config.curation, accession) as layer:
        curation.waive(layer, code, path, reason=reason, name=name)
    return curation.path_of(config.curation, accession)


def decide(config: Config, accession: str, decision: Any, *, reason: str, name: str) -> Path:
    """Accept, hold or return; return the curation's file."""
    submitted(config, accession)
    with curation.editing(config.curation, accession) as layer:
        curation.decide(layer, decision, reason=reason, name=name)
    return curation.path_of(config.curation, accession)
