"""Stage 1: look at a deposit, say everything that is wrong, and say which files are one image."""

from __future__ import annotations

import json
import logging

from slidebox import atomic, deposit
from slidebox.config import Config
from slidebox.findings import Finding
from slidebox.ingest import queue
from slidebox.ingest.paths import Stages, now
from slidebox.record import NoSubmission
from slidebox.validate import Validation, assign_slices, report
from slidebox.validate import validate as check
from slidebox.vault import Vault

log = logging.getLogger(__name__)


def validate(config: Config, accession: str, key: str, threads: int = 1) -> None:
    """Write validation.json, validation.html and filesets.json of a deposit."""
    stages, started = Stages(config, accession, key), now()
    result = _check(config, stages, threads)
    log.info("%s: %s, %d findings", accession, result.status, len(result.findings))
    for finding in result.findings:
        log.info("%s", finding)
    report.write_html(result, stages.validation_html)
    plan = {
        "accession": accession,
        "slices": queue.slices_of(key),
        "record": result.record.model_dump(mode="json") if result.record else None,
        "filesets": result.filesets,
    }
    atomic.write_json(stages.filesets, plan)
    times = {"started": started, "ended": now()}
    atomic.write_json(stages.validation, {**result.to_json(), "times": times})


def _check(config: Config, stages: Stages, threads: int) -> Validation:
    try:
        ready = deposit.read_ready(stages.inbox)
        door = deposit.read_deposit(stages.inbox)
    except deposit.DepositError as error:
        return Validation(stages.accession, error.findings)
    findings = []
    if ready.accession.lower() != stages.accession.lower():
        findings.append(
            Finding(
                "ACCESSION_MISMATCH",
                "error",
                f".ready is for {ready.accession!r}, the folder is {stages.accession!r}",
                file=deposit.READY,
                mend="Name the folder by the record's accession and submit it again.",
            )
        )
    if door.base is not None and door.base != (head := _head(config, stages.accession)):
        findings.append(
            Finding(
                "DEPOSIT_BASE",
                "error",
                f"made against version {door.base}, but the archive holds version {head}",
                file=deposit.DEPOSIT,
                field="base",
                mend="Look at what changed since, then submit again with the present version.",
            )
        )
    vault = Vault(config.vault)
    there = vault.exists(stages.accession)
    if there and (entry := vault.tombstone(stages.accession)):
        findings.append(
            Finding(
                "DEPOSIT_WITHDRAWN",
                "error",
                f"{stages.accession} is withdrawn since {entry['date'][:10]}: {entry['reason']}",
                file=deposit.READY,
                mend="Submit under a new accession, or ask the archive.",
            )
        )
    if findings:
        return Validation(stages.accession, findings)
    adds = door.mode == "add" and there
    known = [file.path for file in vault.files(stages.accession)] if adds else []
    try:
        result = check(
            stages.inbox,
            ready=ready,
            threads=threads,
            slices=queue.slices_of(stages.key),
            known=known,
        )
        if adds:
            _join(result, vault, stages)
        return result
    except NoSubmission as error:
        mend = "Put study.yaml into the folder; `slidebox init` writes one to fill in."
        return Validation(
            stages.accession, [Finding("RECORD_MISSING", "error", str(error), mend=mend)]
        )


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


def _head(config: Config, accession: str) -> int | None:
    vault = Vault(config.vault)
    return vault.head(accession) if vault.exists(accession) else None
