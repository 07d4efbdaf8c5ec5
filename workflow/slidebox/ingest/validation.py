"""Stage 1: look at a deposit, say everything that is wrong, and say which files are one image."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from slidebox import atomic, deposit
from slidebox.config import Config
from slidebox.findings import Finding
from slidebox.ingest import filesets, progress, queue, sizes
from slidebox.ingest.paths import Stages, now
from slidebox.record import NoSubmission, curation
from slidebox.validate import Validation, assign_slices, report
from slidebox.validate import validate as check
from slidebox.validate.revision import revise
from slidebox.vault import NotFound, Vault

log = logging.getLogger(__name__)

RECORD_TYPES = {".yaml", ".json", ".tsv", ".txt", ".pagetab", ".xlsx", ".csv"}
RECORD_BYTES = 200_000_000


def validate(config: Config, accession: str, key: str, threads: int = 1) -> None:
    """Write validation.json, validation.html and filesets.json of a deposit."""
    stages, started = Stages(config, accession, key), now()
    stages.folder.mkdir(parents=True, exist_ok=True)
    atomic.sweep(stages.folder)
    result, kind = _check(config, stages, threads)
    log.info("%s: %s, %d findings", accession, result.status, len(result.findings))
    for finding in result.findings:
        log.info("%s", finding)
    report.write_html(result, stages.validation_html)
    record = result.record.model_dump(mode="json") if result.record else None
    head = {"accession": accession, "kind": kind, "slices": queue.slices_of(key), "record": record}
    filesets.write(stages.filesets, head, result.filesets)
    atomic.write_json(stages.load, sizes.count(result.filesets))
    times = {"started": started, "ended": now()}
    atomic.write_json(stages.validation, {**result.to_json(), "times": times})


def _check(config: Config, stages: Stages, threads: int) -> tuple[Validation, str]:
    """What validation says, and whether this is a deposit or a revision of what is archived."""
    vault = Vault(config.vault)
    there = vault.exists(stages.accession)
    try:
        curated = curation.read(config.curation, stages.accession)
    except curation.CurationError as error:
        sys.exit(f"{stages.accession}: the curation can't be used: {error}")
    entry = vault.tombstone(stages.accession) if there else None
    if entry is not None:
        return Validation(stages.accession, [_withdrawn(entry)]), "deposit"
    if there and not (stages.inbox / deposit.READY).exists():
        return _revise(config, stages, vault, curated), "revision"
    try:
        ready = deposit.read_ready(stages.inbox)
        door = deposit.read_deposit(stages.inbox)
    except deposit.DepositError as error:
        return Validation(stages.accession, error.findings), "deposit"
    head = vault.head(stages.accession) if there else None
    if findings := list(_refusals(stages.accession, ready, door, head)):
        return Validation(stages.accession, findings), "deposit"
    if there and _archived(vault, stages, ready, door.mode):
        return _revise(config, stages, vault, curated), "revision"
    adds = door.mode == "add" and there
    known = [file.path for file in vault.files(stages.accession)] if adds else []
    try:
        with progress.shown(stages, "validate", unit="files") as tell:
            result = check(
                stages.inbox,
                ready=ready,
                threads=threads,
                slices=queue.slices_of(stages.key),
                config=config,
                known=known,
                curation=curated,
                progress=tell,
            )
    except NoSubmission as error:
        gone = Finding("RECORD_MISSING", "error", str(error))
        return Validation(stages.accession, [gone]), "deposit"
    if adds:
        _join(result, vault, stages)
    return result, "deposit"


def _refusals(
    accession: str,
    ready: deposit.Ready,
    door: deposit.Deposit,
    head: int | None,
) -> Iterator[Finding]:
    """Why a deposit isn't even looked into."""
    if ready.accession.lower() != accession.lower():
        yield Finding(
            "ACCESSION_MISMATCH",
            "error",
            f".ready is for {ready.accession!r}, the folder is {accession!r}",
            file=deposit.READY,
            mend="Name the folder by the record's accession and submit it again.",
        )
    if door.base is not None and door.base != head:
        yield Finding(
            "DEPOSIT_BASE",
            "error",
            f"made against version {door.base}, but the archive holds version {head}",
            file=deposit.DEPOSIT,
            field="base",
            mend="Look at what changed since, then submit again with the present version.",
        )


def _withdrawn(entry: dict) -> Finding:
    return Finding(
        "DEPOSIT_WITHDRAWN",
        "error",
        f"{entry['accession']} is withdrawn since {entry['date'][:10]}: {entry['reason']}",
        file=deposit.READY,
        mend="Submit under a new accession, or ask the archive.",
    )


def _archived(vault: Vault, stages: Stages, ready: deposit.Ready, mode: str) -> bool:
    """Whether the last version came from this very deposit, so that no file is opened again.

    A state that was archived stays accepted when it is taken in once more (`slidebox retry`),
    whatever has become of its folder; with another state the folder must be as it was listed.
    """
    try:
        last = json.loads(vault.read_meta(stages.accession, "deposit.json"))
    except NotFound:
        return False
    if (last.get("list_sha256"), last.get("mode")) != (ready.list_sha256, mode):
        return False
    archived = str(last.get("key")).partition("-")[0]
    return archived == stages.key.partition("-")[0] or _as_listed(ready)


def _as_listed(ready: deposit.Ready) -> bool:
    """Whether the files stand in the inbox as ``.ready`` lists them (by size and time)."""
    try:
        listed = {path: (size, time) for path, size, time in ready.entries()}
    except deposit.DepositError:
        return False
    standing = {
        path: (0 if path.endswith("/") else status.st_size, status.st_mtime_ns)
        for path, status in deposit.walk(ready.folder)
    }
    return listed == standing


def _revise(config: Config, stages: Stages, vault: Vault, curated: curation.Curation) -> Validation:
    """Check the record anew over the archived files: no file is opened again."""
    accession = stages.accession
    earlier = json.loads(vault.read_meta(accession, "validation.json"))
    earlier_sets = json.loads(vault.read_meta(accession, "filesets.json"))["filesets"]
    with tempfile.TemporaryDirectory(prefix=f"view-{atomic.owner()}-", dir=stages.folder) as folder:
        restore_record(vault, accession, Path(folder))
        result = revise(Path(folder), earlier, earlier_sets, curated, config)
    assign_slices(result.filesets, queue.slices_of(stages.key))
    return result


def restore_record(vault: Vault, accession: str, folder: Path) -> None:
    """Restore what a record may stand in: small text files, wherever they lie."""
    names = [
        file.path
        for file in vault.files(accession)
        if file.size < RECORD_BYTES and Path(file.path).suffix.lower() in RECORD_TYPES
    ]
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with vault.open(accession, name) as source:
            target.write_bytes(source.read())


def _join(result: Validation, vault: Vault, stages: Stages) -> None:
    """Put what the study holds already beside the filesets that a deposit adds."""
    text = vault.read_meta(stages.accession, "filesets.json")
    mine = {file["path"] for fileset in result.filesets for file in fileset["files"]}
    kept = [
        fileset
        for fileset in json.loads(text)["filesets"]
        if mine.isdisjoint(file["path"] for file in fileset["files"])
    ]
    result.filesets[:] = [*kept, *result.filesets]
    for number, fileset in enumerate(result.filesets):
        fileset["index"] = number
    assign_slices(result.filesets, queue.slices_of(stages.key))
