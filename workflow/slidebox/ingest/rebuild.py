"""From the vault alone: receipts, records, images, pages and the index, made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from slidebox import atomic
from slidebox.config import Config
from slidebox.ingest import (
    archive,
    filesets,
    images,
    index,
    queue,
    seal,
    sizes,
    study,
    withdrawal,
)
from slidebox.ingest.paths import Stages, now, read_json
from slidebox.validate import report
from slidebox.vault import Vault


def rebuild(
    config: Config,
    accessions: Iterable[str] | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Rebuild studies, all when `accessions` is None; return how many versions were made.

    What exists and is whole is kept: deleting ``public/`` and ``results/`` first makes all anew.
    Rejected submissions are not in the vault and leave nothing to rebuild.
    """
    vault = Vault(config.vault)
    chosen = list(vault.accessions() if accessions is None else accessions)
    made = 0
    for number, accession in enumerate(chosen, start=1):
        for version in vault.versions(accession):
            if "withdrawal.json" not in vault.meta(accession, version.number):
                _version(config, vault, accession, version.number, threads)
                made += 1
        entry = vault.tombstone(accession)
        if entry is not None:
            withdrawal.withdraw(
                config, accession, reason=entry["reason"], contact=entry["contact"], user=("", "")
            )
        if progress:
            progress(number, len(chosen))
    index.catch_up(config)
    return made


def _version(config: Config, vault: Vault, accession: str, version: int, threads: int) -> None:
    def meta(name: str) -> Any:
        return json.loads(vault.read_meta(accession, name, version))

    key = meta("deposit.json")["key"]
    stages, times = Stages(config, accession, key), {"started": now(), "ended": now()}
    slices = queue.slices_of(key)
    plan = {
        **meta("filesets.json"),
        "kind": "deposit",
        "slices": slices,
        "record": meta("record.json"),
    }
    rows = plan.pop("filesets")
    filesets.write(stages.filesets, plan, rows)
    atomic.write_json(stages.load, sizes.count(rows))
    atomic.write_json(stages.validation, {**meta("validation.json"), "times": times})
    report.write_html(seal.validation_of(read_json(stages.validation)), stages.validation_html)
    files = vault.files(accession, version)
    twice = archive.write_files(stages, ((f.path, f.size, f.sha256, f.version) for f in files))
    archived = {"status": "archived", "version": version, "new": True, "times": times}
    if twice:
        archived["findings"] = [f.to_dict() for f in twice]
    atomic.write_json(stages.archived, {"accession": accession, **archived})
    for number in range(1, slices + 1):
        images.derive(config, accession, key, number, threads)
    study.publish(config, accession, key)
    seal.seal(config, accession, key)
