"""Stage 2: the originals become a version in the vault."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from slidebox import atomic, deposit
from slidebox.config import Config
from slidebox.findings import Finding
from slidebox.ingest import filesets, progress
from slidebox.ingest.paths import Stages, now, read_json
from slidebox.record.codes import finding
from slidebox.vault import VOLATILE_META, Commit, Refused, Vault

log = logging.getLogger(__name__)

MOST_FINDINGS = 1000

# Made from the files and the curation: a newer reader that says more of them makes no version.
DERIVED_META = {"deposit.json", "record.json", "filesets.json"}

# Seconds: a job that outlived its killed workflow may still be writing the object.
WAIT = 3600.0

USER = ("Slidebox", "mailto:archive@localhost")


def archive(config: Config, accession: str, key: str, threads: int = 1) -> None:
    """Commit an accepted deposit; write archived.json and files.jsonl.

    What has changed since the validation is refused by name: ``archived.json`` then has status
    ``refused`` and the findings, and the vault is as it was.
    """
    stages, started = Stages(config, accession, key), now()
    validation = read_json(stages.validation)
    if waits := gate(config, validation):
        outcome, files = {"status": waits}, []
    else:
        outcome, files = _commit(config, stages, threads)
    log.info("%s: %s", accession, outcome)
    twice = write_files(stages, files)
    if twice:
        outcome["findings"] = [f.to_dict() for f in twice]
    times = {"started": started, "ended": now()}
    atomic.write_json(stages.archived, {"accession": accession, **outcome, "times": times})


def write_files(stages: Stages, files: Iterable[tuple[str, int, str, int]]) -> list[Finding]:
    """Write files.jsonl from (path, size, sha256, version); say which files are equal."""
    first: dict[str, str] = {}  # sha256 -> the first file that has it
    twice: list[Finding] = []
    with atomic.replacing(stages.files) as handle:
        for path, size, sha256, version in files:
            other = first.setdefault(sha256, path)
            if size and other != path and len(twice) < MOST_FINDINGS:
                said = f"the file has the same content as {other}"
                twice.append(finding("FILE_DUPLICATE", said, path))
            row = {"path": path, "size": size, "sha256": sha256, "version": version}
            handle.write(json.dumps(row, ensure_ascii=False) + "\n")
    return twice


def gate(config: Config, validation: dict) -> str | None:
    """Why a validated deposit is not archived now: rejected, returned, held, awaiting; or None."""
    decision = validation.get("decision")
    if decision in ("return", "hold"):
        return {"return": "returned", "hold": "held"}[decision]
    if validation["status"] != "accepted":
        return "rejected"
    if config.acceptance == "curator" and decision != "accept":
        return "awaiting"
    return None


def _commit(config: Config, stages: Stages, threads: int):
    plan = filesets.head(stages.filesets)
    vault = Vault(config.vault, wait=WAIT)
    head = vault.head(stages.accession) if vault.exists(stages.accession) else None
    try:
        if plan["kind"] == "revision":
            commit = _revision(stages, plan, vault)
        else:
            ready = deposit.read_ready(stages.inbox)
            door = deposit.read_deposit(stages.inbox)
            if door.base not in (None, head):
                raise deposit.DepositError([_superseded(f"version {head} came meanwhile")])
            about = {"key": stages.key, "mode": door.mode, "list_sha256": ready.list_sha256}
            with progress.shown(stages, "archive") as tell:
                commit = vault.commit(
                    stages.accession,
                    stages.inbox,
                    ready.entries(),
                    meta=_meta(stages, plan, {**about, "kind": "deposit"}),
                    message=door.message or ("first deposit" if head is None else "new deposit"),
                    user=USER,
                    mode=door.mode,
                    given=_given(stages),
                    volatile_meta=VOLATILE_META | DERIVED_META,
                    threads=threads,
                    progress=tell,
                )
    except (deposit.DepositError, Refused) as error:
        return {"status": "refused", "findings": [f.to_dict() for f in error.findings]}, []
    files = ((f.path, f.size, f.sha256, f.version) for f in commit.files)
    return {"status": "archived", "version": commit.version, "new": commit.new}, files


def _revision(stages: Stages, plan: dict, vault: Vault) -> Commit:
    """A version with another record over the same files; the deposit's folder may be gone."""
    last = json.loads(vault.read_meta(stages.accession, "deposit.json"))
    reasons = [entry["reason"] for entry in read_json(stages.validation).get("history", [])]
    return vault.commit(
        stages.accession,
        None,
        [],
        meta=_meta(stages, plan, {**last, "key": stages.key, "kind": "revision"}),
        message=f"revision: {reasons[-1]}" if reasons else "revision",
        user=USER,
        mode="add",
        volatile_meta=VOLATILE_META | DERIVED_META,
    )


def _superseded(why: str) -> Finding:
    return Finding(
        "DEPOSIT_SUPERSEDED",
        "error",
        f"the deposit can't be archived any more: {why}",
        file=deposit.DEPOSIT,
        mend="Look at what changed since, then submit again.",
    )


def _meta(stages: Stages, plan: dict, about: dict) -> dict[str, bytes | Path]:
    """What the vault keeps beside the files: from it everything public can be rebuilt."""

    def text(data) -> bytes:
        return (json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()

    validation = read_json(stages.validation)
    validation.pop("times", None)
    meta = {
        "record.json": text(plan["record"]),
        "filesets.json": stages.filesets,
        "validation.json": text(validation),
        "deposit.json": text(about),
    }
    curation = stages.config.curation / f"{stages.accession}.yaml"
    if curation.is_file():
        meta["curation.yaml"] = curation.read_bytes()
    return meta


def _given(stages: Stages) -> dict[str, str]:
    """Checksums that the submitter gave, to be held against what is read."""
    return {
        file["path"]: file["sha256"]
        for fileset in filesets.each(stages.filesets)
        for file in fileset["files"]
        if file.get("sha256")
    }
