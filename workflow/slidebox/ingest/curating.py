"""What curators decide, written into the layer over the submitted record."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slidebox import record
from slidebox.config import Config
from slidebox.deposit import check_accession
from slidebox.ingest.validation import restore_record
from slidebox.record import curation
from slidebox.record.curation import CurationError
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


def set_fields(
    config: Config, accession: str, values: list[tuple[str, Any]], *, reason: str, name: str
) -> Path:
    """Give fields of the record new values, all or none; return the curation's file."""
    held = submitted(config, accession)
    if any(field.strip() == "accession" for field, _ in values):
        raise NoStudy("the accession names the study and can't be changed; submit under another")
    with _all_or_none(config, accession) as attempt:
        for field, value in values:
            attempt(curation.set_field, held, field, value, reason=reason, name=name)
    return curation.path_of(config.curation, accession)


def waive(
    config: Config, accession: str, codes: list[str], path: str | None, *, reason: str, name: str
) -> Path:
    """Accept findings of these codes as they are, all or none; return the curation's file."""
    submitted(config, accession)
    with _all_or_none(config, accession) as attempt:
        for code in codes:
            attempt(curation.waive, code, path, reason=reason, name=name)
    return curation.path_of(config.curation, accession)


@contextmanager
def _all_or_none(config: Config, accession: str) -> Iterator[Callable[..., None]]:
    """Entries that are written together, or not at all when one can't be: all that can't are
    said.
    """
    problems: list[str] = []
    with curation.editing(config.curation, accession) as layer:

        def attempt(change: Callable[..., Any], *what: Any, **by: str) -> None:
            try:
                change(layer, *what, **by)
            except CurationError as error:
                problems.append(str(error))

        yield attempt
        if problems:
            raise CurationError("; ".join(problems))


def decide(config: Config, accession: str, decision: Any, *, reason: str, name: str) -> Path:
    """Accept, hold or return; return the curation's file."""
    submitted(config, accession)
    with curation.editing(config.curation, accession) as layer:
        curation.decide(layer, decision, reason=reason, name=name)
    return curation.path_of(config.curation, accession)
