"""Stage 4: the pages, tables and lists of one study, without what is restricted."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from slidebox import atomic, catalogue
from slidebox.config import Config
from slidebox.ingest import queue
from slidebox.ingest.paths import Stages, now, read_json
from slidebox.ingest.release import forget_embargo, site_root
from slidebox.ingest.software import software
from slidebox.vault import Vault

log = logging.getLogger(__name__)


def publish(config: Config, accession: str, key: str) -> None:
    """Write the study's folder under public/ (or embargoed/), and published.json."""
    stages, started = Stages(config, accession, key), now()
    archived = read_json(stages.archived)
    outcome: dict[str, Any] = {"status": "skipped"}
    if archived["status"] == "archived":
        record = read_json(stages.filesets)["record"]
        root = site_root(config, record)
        catalogue.build_study(_input(stages, archived["version"]), root)
        if root == config.public:
            forget_embargo(config, accession)
        where = "public" if root == config.public else "embargoed"
        outcome = {"status": "published", "where": where}
    log.info("%s: %s", accession, outcome)
    times = {"started": started, "ended": now()}
    atomic.write_json(stages.published, {**outcome, "times": times})


def _input(stages: Stages, version: int) -> catalogue.StudyInput:
    plan = read_json(stages.filesets)
    record = public_record(plan["record"])
    filesets = {f["path"]: f for fs in plan["filesets"] for f in _described(fs)}
    hidden = {path for path, row in filesets.items() if row["access"] != "public"}
    validation = read_json(stages.validation)
    slices = queue.slices_of(stages.key)
    images = [
        image
        for number in range(1, slices + 1)
        for image in read_json(stages.images(number, slices))["images"]
    ]
    findings = [
        f for f in validation["findings"] if f["file"] not in hidden and f["severity"] != "info"
    ]
    findings += [image["finding"] for image in images if image.get("finding")]
    blank = {"part": None, "role": "other", "source_image": None}
    files = (
        {**file, **{k: filesets.get(file["path"], blank)[k] for k in blank}}
        for file in stages.iter_files()
        if file["path"] not in hidden
    )
    return catalogue.StudyInput(
        accession=stages.accession,
        version=version,
        versions=list(_versions(Vault(stages.config.vault), stages.accession)),
        record=record,
        images=images,
        files=files,
        findings=findings,
        curation=list(_curation(validation.get("history", []), plan["record"], hidden)),
        release_date=record.get("release_date"),
        site_url=stages.config.site.base_url,
        site_name=stages.config.site.title,
        provenance={
            "made with": ", ".join(f"{k} {v}" for k, v in software().items()),
            "state": stages.key,
        },
    )


def _versions(vault: Vault, accession: str) -> Iterator[dict[str, Any]]:
    """Every version with what it changed, counting only what is public."""
    before: dict[str, str] = {}
    for version in vault.versions(accession):
        plan = json.loads(vault.read_meta(accession, "filesets.json", version.number))
        hidden = {
            file["path"]
            for fileset in plan["filesets"]
            if fileset["access"] != "public"
            for file in fileset["files"]
        }
        after = {
            file.path: file.sha512
            for file in vault.files(accession, version.number)
            if file.path not in hidden
        }
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


def _curation(
    history: list[dict[str, Any]], record: dict[str, Any], hidden: set[str]
) -> Iterator[dict[str, Any]]:
    """What curators decided, in words; nothing that names a restricted part or file."""
    secret = hidden | {
        part["name"]
        for kind in ("study_components", "annotation_sets")
        for part in record.get(kind, [])
        if part.get("access") == "restricted"
    }
    for entry in history:
        if any(name in json.dumps(entry, ensure_ascii=False) for name in secret):
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


def _described(fileset: dict[str, Any]):
    for file in fileset["files"]:
        about = {k: fileset[k] for k in ("part", "role", "source_image", "access")}
        yield {"path": file["path"], **about}


def public_record(record: dict[str, Any]) -> dict[str, Any]:
    """The record without its restricted components and annotation sets."""
    public = dict(record)
    for part in ("study_components", "annotation_sets"):
        public[part] = [p for p in record.get(part, []) if p.get("access") != "restricted"]
    return public
