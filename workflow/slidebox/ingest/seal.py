"""Stage 5: the receipt, written last and in one step: the truth about what is done."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from typing import Any

from slidebox import atomic
from slidebox.config import Config
from slidebox.findings import Finding
from slidebox.ingest import filesets, provenance, queue
from slidebox.ingest.paths import Stages, now, read_json
from slidebox.ingest.release import embargoed_until, site_root
from slidebox.ingest.software import direct, environment
from slidebox.validate import Validation, report

log = logging.getLogger(__name__)

SETTINGS = {"images", "slice_size", "acceptance", "validation"}
"""Keys of the configuration on which it depends what is made of a submission."""

IMAGE_FACTS = ("id", "series", "path", "derivation", "status", "digest", "tree", "bytes", "objects")


def seal(config: Config, accession: str, key: str) -> None:
    """Write the receipt of a submission's state, whether accepted or rejected."""
    stages, started = Stages(config, accession, key), now()
    atomic.sweep(stages.folder)
    atomic.sweep(stages.receipt.parent)
    validation, archived = read_json(stages.validation), read_json(stages.archived)
    published = read_json(stages.published)
    slices = queue.slices_of(key)
    lists = [read_json(stages.images(number, slices)) for number in range(1, slices + 1)]
    images = [image for part in lists for image in part["images"]]
    late = [*archived.get("findings", []), *(i["finding"] for i in images if i.get("finding"))]
    late = [finding for finding in late if finding not in validation["findings"]]
    status = _status(archived["status"])
    findings = validation["findings"] + late
    if late:
        _join(stages, {**validation, "status": status, "findings": findings})
    record = filesets.head(stages.filesets)["record"] if status == "accepted" else None
    until = embargoed_until(record) if record else None
    receipt: dict[str, Any] = {
        "accession": accession,
        "key": key,
        "status": status,
        "version": archived.get("version"),
        "new_version": archived.get("new"),
        "where": published.get("where"),
        "embargoed_until": until.isoformat() if until else None,
        "title": (record or {}).get("title"),
        "files": validation["files"],
        "bytes": validation["bytes"],
        "files_sha256": _sha256(stages),
        "images": [_facts(image) for image in images],
        "findings": {
            level: sum(f["severity"] == level for f in findings)
            for level in ("error", "warning", "info")
        },
        "decision": validation.get("decision"),
        "errors": [f for f in findings if f["severity"] == "error"][:100],
        "software": direct(),
        "environment": _environment(config),
        "settings": json.loads(config.model_dump_json(include=SETTINGS)),
        "stages": {
            "validate": validation["times"],
            "archive": archived["times"],
            "images": [part["times"] for part in lists],
            "study": published["times"],
        },
        "sealed": now(),
    }
    if record:
        folder = site_root(config, record) / accession / provenance.FOLDER
        atomic.sweep(folder)
        provenance.write(
            folder,
            accession=accession,
            version=archived["version"],
            licence=record.get("license"),
            times={**receipt["stages"], "seal": {"started": started, "ended": receipt["sealed"]}},
            software=receipt["software"],
        )
    if until:
        # A name that the queue can read without opening anything.
        marker = f"{accession}~{key.partition('-')[0]}~{until.isoformat()}"
        atomic.sweep(config.results / "embargoes")
        atomic.write_text(config.results / "embargoes" / marker, "")
    atomic.write_json(stages.receipt, receipt)
    queue.settle(config, accession)
    log.info("%s: sealed as %s, version %s", accession, status, archived.get("version"))


def _environment(config: Config) -> str:
    """Digest of every installed package's version; the list stands once for all receipts."""
    listed = environment()
    digest = queue.digest(json.dumps(listed))
    path = config.results / "environments" / f"{digest}.json"
    if not path.exists():
        atomic.sweep(path.parent)
        atomic.write_json(path, listed)
    return digest


def _status(archived: str) -> str:
    """accepted, rejected, returned, held or awaiting."""
    return {"archived": "accepted", "refused": "rejected"}.get(archived, archived)


def _facts(image: dict[str, Any]) -> dict[str, Any]:
    """What a receipt keeps of an image; of a plate's field, where its plate is, too."""
    plate = {"plate_zarr": image["plate_zarr"]} if image.get("plate_zarr") else {}
    return {**{k: image.get(k) for k in IMAGE_FACTS}, **plate}


def _join(stages: Stages, validation: dict[str, Any]) -> None:
    """Put what archiving and decoding found into the same report.

    The files' times stay, or Snakemake would take finished stages for outdated.
    """
    times = {path: path.stat() for path in (stages.validation, stages.validation_html)}
    atomic.write_json(stages.validation, validation)
    report.write_html(validation_of(validation), stages.validation_html)
    for path, status in times.items():
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def validation_of(data: dict[str, Any]) -> Validation:
    """A validation as the report wants it, from validation.json."""
    kept = ("accession", "images", "files", "bytes", "waived", "software", "history", "decision")
    findings = [Finding.from_dict(finding) for finding in data["findings"]]
    return Validation(findings=findings, **{k: data[k] for k in kept if k in data})


def _sha256(stages: Stages) -> str:
    """Digest of the list of archived files (paths and their sha256)."""
    digest = hashlib.sha256()
    with stages.files.open("rb") as handle:
        for line in handle:
            digest.update(line)
    return digest.hexdigest()
