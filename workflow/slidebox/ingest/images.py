"""Stage 3: derive OME-Zarr from the archived originals, image by image.

What is there and whole is kept: an image is named by what went into it, so a name that exists needs
no second derivation. A failed image is a finding with its reason; the others go on.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slidebox import atomic, images
from slidebox.catalogue import evicted
from slidebox.config import Config
from slidebox.findings import Finding
from slidebox.ingest import queue
from slidebox.ingest.paths import Stages, now, read_json
from slidebox.ingest.release import leave_embargo, site_root
from slidebox.vault import Vault

log = logging.getLogger(__name__)

WAIT = 3600  # seconds


def derive(config: Config, accession: str, key: str, number: int, threads: int = 1) -> None:
    """Derive the images of slice `number` (from 1); write their list."""
    stages, started = Stages(config, accession, key), now()
    slices = queue.slices_of(key)
    archived = read_json(stages.archived)
    atomic.sweep(stages.folder)
    atomic.sweep(stages.images(1, 1).parent)
    done: list[dict[str, Any]] = []
    if archived["status"] == "archived":
        done = list(_derive(stages, archived["version"], number - 1, threads))
    times = {"started": started, "ended": now()}
    atomic.write_json(stages.images(number, slices), {"images": done, "times": times})


def _derive(stages: Stages, version: int, part: int, threads: int) -> Iterator[dict[str, Any]]:
    plan = read_json(stages.filesets)
    sets = [f for f in plan["filesets"] if f["slice"] == part and f["access"] == "public"]
    wanted = {file["path"] for fileset in sets for file in fileset["files"]}
    sha256 = {f["path"]: f["sha256"] for f in stages.iter_files() if f["path"] in wanted}
    labels: dict[str, list[dict[str, Any]]] = {}
    for fileset in sets:
        if fileset["role"] == "labels" and fileset["source_image"]:
            labels.setdefault(fileset["source_image"], []).append(fileset)
    vault = Vault(stages.config.vault)
    root = site_root(stages.config, plan["record"])
    if root == stages.config.public:
        leave_embargo(stages.config, stages.accession)
    target = root / stages.accession / "images"
    target.mkdir(parents=True, exist_ok=True)
    atomic.sweep(target)
    for fileset in sets:
        if fileset["role"] == "image":
            own = labels.get(fileset["path"], [])
            job = _Fileset(stages, vault, version, fileset, own, sha256, target, threads)
            yield from job.images()


class _Fileset:
    """One file, or several that belong together, and the label images that lie over it."""

    def __init__(self, stages, vault, version, fileset, labels, sha256, target, threads):
        self.stages, self.vault, self.version = stages, vault, version
        self.fileset, self.labels, self.sha256 = fileset, labels, sha256
        self.target, self.threads = target, threads
        self.recipe = images.Recipe()

    def images(self) -> Iterator[dict[str, Any]]:
        """One dictionary a series, or one that says why there is none."""
        paths = [file["path"] for file in self.fileset["files"]]
        paths += [file["path"] for labels in self.labels for file in labels["files"]]
        view = Path(tempfile.mkdtemp(prefix=f"view-{atomic.owner()}-", dir=self.stages.folder))
        try:
            self.vault.view(self.stages.accession, paths, view, self.version)
            source = view / self.fileset["path"]
            try:
                with images.open_image(source) as file:
                    # A slide's label may show a patient's name: only images are derived.
                    kept = [series for series in file.series if series.role == "image"]
                    names = [(series.index, series.name) for series in kept]
            except images.UnreadableImage as error:
                yield self._without(0, None, "unreadable", str(error))
                return
            for index, name in names:
                yield self._image(source, view, index, name)
        finally:
            shutil.rmtree(view, ignore_errors=True)

    def _common(self, index: int, name: str | None) -> dict[str, Any]:
        digests = [(f["path"], self.sha256[f["path"]]) for f in self.fileset["files"]]
        return {
            "id": images.image_id(self.stages.accession, digests, index),
            "series": index,
            "path": self.fileset["path"],
            "files": [path for path, _ in digests],
            "name": name or Path(self.fileset["path"]).name,
            "part": self.fileset["part"],
            "attributes": self.fileset["attributes"],
        }

    def _without(self, index, name, status, reason) -> dict[str, Any]:
        path = self.fileset["path"]
        log.error("%s series %d: %s", path, index, reason)
        mend = "The file is archived as it is; submit one that opens if this is not meant."
        message = f"{path}, series {index}: {reason}"
        finding = Finding("IMAGE_FAILED", "warning", message, path, mend=mend)
        return {**self._common(index, name), "status": status, "finding": finding.to_dict()}

    def _image(self, source: Path, view: Path, index: int, name: str | None) -> dict[str, Any]:
        common = self._common(index, name)
        labels, inputs = self._label_sources(view, index)
        derivation = images.derivation_id(self.recipe, inputs, {"name": common["name"]})
        stem = f"{common['id']}.{derivation}"
        store, thumbnail = self.target / f"{stem}.ome.zarr", self.target / f"{stem}.png"
        facts = self.target / f"{stem}.json"
        if facts.is_file() and (store.is_dir() or (mark := evicted.mark_of(store))):
            where = "" if store.is_dir() else f", which is at {mark['address']}"
            log.info("%s series %d: kept %s%s", common["path"], index, stem, where)
            derived = read_json(facts)
        else:
            try:
                derived = self._convert(source, index, common["name"], labels, store, thumbnail)
            except images.UnreadableImage as error:
                return self._without(index, name, "failed", str(error))
            atomic.write_json(facts, derived)
            log.info("%s series %d: derived %s", common["path"], index, stem)
        where = {
            "status": "derived",
            "finding": None,
            "derivation": derivation,
            "zarr": f"images/{store.name}",
            "thumbnail": f"images/{thumbnail.name}",
        }
        return {**common, **where, **derived}

    def _convert(self, source, index, name, labels, store, thumbnail) -> dict[str, Any]:
        """Derive one image; wait when a job of a killed run is still at it."""
        for _ in range(WAIT):
            try:
                derived = images.convert(
                    source,
                    store,
                    series=index,
                    name=name,
                    labels=labels,
                    memory=self.stages.config.images.memory,
                    threads=self.threads,
                    recipe=self.recipe,
                    thumbnail=thumbnail,
                    existing="reuse",
                )
            except images.Busy:
                time.sleep(1)
                continue
            facts = derived.to_json()
            del facts["seconds"]  # what is published depends on what went in, not on the hour
            return facts
        raise TimeoutError(f"{store} has been written by another process for {WAIT} s")

    def _label_sources(self, view: Path, index: int):
        """Label images over this series, and the digests that they put into the derivation."""
        sources, inputs = [], []
        used: set[str] = set()
        for labels in sorted(self.labels, key=lambda f: f["path"]):
            if int(labels["attributes"].get("source_series") or 0) != index:
                continue
            name = base = label_name(labels["part"])
            number = 1
            while name in used:
                number += 1
                name = f"{base}-{number}"
            used.add(name)
            sources.append(images.LabelSource(name=name, path=view / labels["path"]))
            inputs.append((name, self.sha256[labels["path"]]))
        return sources, inputs


def label_name(part: str) -> str:
    """Name of a label group from that of its annotation set: ``Nuclei, test`` -> nuclei-test."""
    return re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") or "labels"
