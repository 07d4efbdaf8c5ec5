"""Stage 4: the pages, tables and lists of one study, without what is restricted."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slidebox import atomic, catalogue
from slidebox.config import Config
from slidebox.ingest import filesets, queue
from slidebox.ingest.paths import Stages, now, read_json
from slidebox.ingest.release import embargoed_until, forget_embargo, site_root
from slidebox.ingest.software import software
from slidebox.ingest.visible import Visible
from slidebox.vault import Vault

log = logging.getLogger(__name__)


def publish(config: Config, accession: str, key: str) -> None:
    """Write the study's folder under public/ (or embargoed/), and published.json."""
    stages, started = Stages(config, accession, key), now()
    archived = read_json(stages.archived)
    outcome: dict[str, Any] = {"status": "skipped"}
    if archived["status"] == "archived":
        record = filesets.head(stages.filesets)["record"]
        root = site_root(config, record)
        for folder in _page_folders(root / accession):
            atomic.sweep(folder)
        catalogue.build_study(study_input(stages, archived["version"]), root)
        if root == config.public:
            forget_embargo(config, accession)
        where = "public" if root == config.public else "embargoed"
        outcome = {"status": "published", "where": where}
    log.info("%s: %s", accession, outcome)
    times = {"started": started, "ended": now()}
    atomic.write_json(stages.published, {**outcome, "times": times})


def _page_folders(study: Path) -> Iterator[Path]:
    """The study's folder and those below it, but for the images' own."""
    for parent, folders, _ in os.walk(study):
        folders[:] = [name for name in folders if not name.endswith(".zarr")]
        yield Path(parent)


def study_input(stages: Stages, version: int) -> catalogue.StudyInput:
    """What the pages of a sealed or soon sealed state are made from, without what is restricted."""
    whole = filesets.head(stages.filesets)["record"]
    versions = list(_versions(Vault(stages.config.vault), stages.accession))
    visible = Visible(whole, filesets.each(stages.filesets))
    record = visible.record()
    validation = read_json(stages.validation)
    slices = queue.slices_of(stages.key)
    images = [
        image
        for number in range(1, slices + 1)
        for image in read_json(stages.images(number, slices))["images"]
    ]
    late = read_json(stages.archived).get("findings", [])
    findings = visible.findings([*validation["findings"], *late])
    findings += [image["finding"] for image in images if image.get("finding")]
    return catalogue.StudyInput(
        accession=stages.accession,
        version=version,
        versions=versions,
        record=record,
        images=images,
        files=visible.files(stages.iter_files()),
        findings=findings,
        curation=list(_curation(validation.get("history", []), visible)),
        release_date=record.get("release_date"),
        state="embargoed" if embargoed_until(whole) else "public",
        site_url=stages.config.site.base_url,
        site_name=stages.config.site.title,
        provenance={
            "made with": ", ".join(f"{k} {v}" for k, v in software().items()),
            "state": stages.key,
            "run_crate": "provenance/ro-crate-metadata.json",  # sealing writes it
        },
    )


def _versions(vault: Vault, accession: str) -> Iterator[dict[str, Any]]:
    """Every version with what it changed, counting only what is public."""
    before: dict[str, str] = {}
    for version in vault.versions(accession):
        record = json.loads(vault.read_meta(accession, "record.json", version.number))
        with vault.open_meta(accession, "filesets.json", version.number) as kept:
            visible = Visible(record, filesets.parse(io.TextIOWrapper(kept, "utf-8")))
        after = {
            path: digest
            for path, digest in vault.digests(accession, version.number).items()
            if visible.file(path)
        }
        del visible
        yield {
            "version": version.number,
            "created": version.created,
            "message": version.message,
            "kind": _kind(vault, accession, version.number),
            "changes": {
                "added": len(after.keys() - before.keys()),
                "changed": sum(after[p] != before[p] for p in after.keys() & before.keys()),
                "removed": len(before.keys() - after.keys()),
            },
        }
        before = after


def _curation(history: list[dict[str, Any]], visible: Visible) -> Iterator[dict[str, Any]]:
    """What curators decided, in words; nothing that names a restricted part or file."""
    for entry in history:
        if not visible.decision(entry):
            continue
        if change := entry.get("set"):
            what = f"{change['field']} changed from {change.get('was')!r} to {change['value']!r}"
        elif waiver := entry.get("waive"):
            what = f"{waiver['code']} waived" + (
                f" for {waiver['path']}" if waiver.get("path") else ""
            )
        else:
            what = {"accept": "accepted", "hold": "held", "return": "returned"}[entry["decide"]]
        yield {**{k: str(entry[k]) for k in ("date", "name", "reason")}, "what": what}


def _kind(vault: Vault, accession: str, version: int) -> str:
    return json.loads(vault.read_meta(accession, "deposit.json", version)).get("kind", "deposit")
