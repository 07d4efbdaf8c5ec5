"""Stage 3: derive OME-Zarr from the archived originals, image by image.

What is there and whole is kept: an image is named by what went into it, so a name that exists needs
no second derivation. A failed image is a finding with its reason; the others go on.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from slidebox import atomic, images
from slidebox.catalogue import evicted
from slidebox.config import Config
from slidebox.findings import Finding
from slidebox.ingest import filesets, progress, queue
from slidebox.ingest.paths import Stages, now, read_json
from slidebox.ingest.plates import WAIT, Plates, plate_key, published
from slidebox.ingest.release import leave_embargo, site_root
from slidebox.vault import Vault

log = logging.getLogger(__name__)


def derive(config: Config, accession: str, key: str, number: int, threads: int = 1) -> None:
    """Derive the images of slice `number` (from 1); write their list."""
    stages, started = Stages(config, accession, key), now()
    slices = queue.slices_of(key)
    archived = read_json(stages.archived)
    atomic.sweep(stages.folder)
    atomic.sweep(stages.images(1, 1).parent)
    done: list[dict[str, Any]] = []
    plates: list[dict[str, Any]] = []
    if archived["status"] == "archived":
        done, plates = _derive(stages, archived["version"], number - 1, threads)
    times = {"started": started, "ended": now()}
    atomic.write_json(
        stages.images(number, slices), {"images": done, "plates": plates, "times": times}
    )


def _derive(
    stages: Stages, version: int, part: int, threads: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Images and plates of a slice."""
    sets = [
        fileset
        for fileset in filesets.each(stages.filesets)
        if fileset["slice"] == part
        and fileset["access"] == "public"
        and fileset["role"] in ("image", "labels")
    ]
    wanted = {file["path"] for fileset in sets for file in fileset["files"]}
    sha256 = {f["path"]: f["sha256"] for f in stages.iter_files() if f["path"] in wanted}
    labels: dict[str, list[dict[str, Any]]] = {}
    for fileset in sets:
        if fileset["role"] == "labels" and fileset["source_image"]:
            labels.setdefault(fileset["source_image"], []).append(fileset)
    tables = label_tables(
        filesets.each(stages.filesets), [f for own in labels.values() for f in own]
    )
    wanted = set(tables.values())
    sha256 |= {f["path"]: f["sha256"] for f in stages.iter_files() if f["path"] in wanted}
    vault = Vault(stages.config.vault)
    root = site_root(stages.config, filesets.head(stages.filesets)["record"])
    if root == stages.config.public:
        leave_embargo(stages.config, stages.accession)
    target = root / stages.accession / "images"
    target.mkdir(parents=True, exist_ok=True)
    atomic.sweep(target)
    done: list[dict[str, Any]] = []
    recipe = images.Recipe(ngff=stages.config.images.ngff, chunks=stages.config.images.chunks)
    news = progress.shown(stages, f"images.{part + 1}")
    with news as tell, Plates(stages.accession, target, recipe) as plates:
        chosen = [fileset for fileset in sets if fileset["role"] == "image"]
        total, before = sum(fileset["bytes"] for fileset in chosen), 0
        for fileset in chosen:
            own = labels.get(fileset["path"], [])
            job = _Fileset(stages, vault, version, fileset, own, sha256, target, threads, plates)
            job.tables = tables
            job.tell = partial(_tell, tell, before, fileset["bytes"], total)
            tell(before, total)
            done += job.images()
            before += fileset["bytes"]
        made = plates.finish()
    for image in done:  # where a field is, is known when its plate is whole
        if image["status"] == "derived" and "plate_zarr" in image:
            kept = (*images.Derived.__slots__, "zarr", "plate_zarr", "plate_tree")
            facts = {k: v for k, v in image.items() if k in kept}
            atomic.write_json(target / f"{image['id']}.{image['derivation']}.json", facts)
    return done, made


def _tell(tell: progress.Progress, before: int, size: int, total: int, done: int, of: int) -> None:
    """What one image's progress is in stored bytes of the whole slice."""
    tell(before + size * min(done, of) // max(of, 1), total)


class _Fileset:
    """One file, or several that belong together, and the label images that lie over it."""

    tell: Callable[[int, int], None] | None = None
    """Called with an image's (done, total) bytes."""
    tables: Mapping[str, str] = MappingProxyType({})
    """Tables about label images: path of the label image -> path of the table."""

    def __init__(self, stages, vault, version, fileset, labels, sha256, target, threads, plates):
        self.stages, self.vault, self.version = stages, vault, version
        self.fileset, self.labels, self.sha256 = fileset, labels, sha256
        self.target, self.threads = target, threads
        self.plates, self.recipe = plates, plates.recipe
        self.unread: dict[str, str] = {}

    def images(self) -> Iterator[dict[str, Any]]:
        """One dictionary a series, or one that says why there is none."""
        paths = [file["path"] for file in self.fileset["files"]]
        paths += [file["path"] for labels in self.labels for file in labels["files"]]
        paths += [self.tables[f["path"]] for f in self.labels if f["path"] in self.tables]
        view = Path(tempfile.mkdtemp(prefix=f"view-{atomic.owner()}-", dir=self.stages.folder))
        try:
            self.vault.view(self.stages.accession, paths, view, self.version)
            source = _source(view, self.fileset)
            try:
                file = images.open_image(source)
            except images.UnreadableImage as error:
                yield self._without(self._common(0, None), "unreadable", str(error))
                return
            with file:
                # A slide's label may show a patient's name: only images are derived.
                made = [self._image(file, view, s) for s in file.series if s.role == "image"]
                doubts = {found.field: found for found in images.second_opinion(file)}
            for image in made:
                doubt = doubts.get(f"series {image['series']}")
                if doubt and image["finding"] is None:
                    told = dataclasses.replace(doubt, file=image["path"])
                    image["finding"] = told.to_dict()
                yield image
        finally:
            shutil.rmtree(view, ignore_errors=True)

    def _common(self, index: int, name: str | None, own: set[str] | None = None) -> dict[str, Any]:
        """What is said of an image whatever becomes of it. ``own`` are the paths of those of the
        fileset's files that it is read from, when they aren't all (a field of a plate): its id then
        doesn't change with the others'.
        """
        files = self.fileset["files"]
        digests = [
            (f["path"], self.sha256[f["path"]]) for f in files if own is None or f["path"] in own
        ]
        number = index if own is None else 0
        return {
            "id": images.image_id(self.stages.accession, digests, number),
            "series": index,
            "path": self.fileset["path"],
            "files": [path for path, _ in digests],
            "name": name or Path(self.fileset["path"]).name,
            "part": self.fileset["part"],
            "attributes": self.fileset["attributes"],
        }

    def _without(self, common: dict[str, Any], status: str, reason: str) -> dict[str, Any]:
        path, index = self.fileset["path"], common["series"]
        log.error("%s series %d: %s", path, index, reason)
        mend = "The file is archived as it is; submit one that opens if this is not meant."
        message = f"{path}, series {index}: {reason}"
        finding = Finding("IMAGE_FAILED", "warning", message, path, mend=mend)
        return {**common, "status": status, "finding": finding.to_dict()}

    def _image(self, file: images.ImageFile, view: Path, series: images.Series) -> dict[str, Any]:
        own = None
        if series.files is not None:
            own = {Path(p).relative_to(view).as_posix() for p in series.files}
        common = self._common(series.index, series.name, own)
        labels, inputs = self._label_sources(view, series.index)
        told: dict[str, Any] = {"name": common["name"]}
        if own is not None and self.fileset["path"] not in own:
            told["index"] = self.sha256.get(self.fileset["path"])
        derivation = images.derivation_id(self.recipe, inputs, told)
        thumbnail = self.target / f"{common['id']}.{derivation}.png"
        image = {
            **common,
            "status": "derived",
            "finding": None,
            "derivation": derivation,
            "thumbnail": f"images/{thumbnail.name}",
        }
        try:
            if series.well is None:
                image |= self._alone(file, series, image, labels, thumbnail)
            else:
                self._field(file, series, image, labels, thumbnail)
        except images.UnreadableImage as error:
            return self._without(common, "failed", str(error).replace(f"{view}/", ""))
        if image.get("left_out") or (labels and self.unread):
            image["finding"] = self._labels_left_out(image).to_dict()
        return image

    def _alone(self, file, series, image, labels, thumbnail) -> dict[str, Any]:
        """An image with a store of its own."""
        stem = f"{image['id']}.{image['derivation']}"
        store, facts = self.target / f"{stem}.ome.zarr", self.target / f"{stem}.json"
        if facts.is_file() and (store.is_dir() or (mark := evicted.mark_of(store))):
            where = "" if store.is_dir() else f", which is at {mark['address']}"
            log.info("%s series %d: kept %s%s", image["path"], series.index, stem, where)
            derived = read_json(facts)
        else:
            derived = self._unless_busy(file, series.index, image, labels, store, thumbnail)
            atomic.write_json(facts, derived)
            log.info("%s series %d: derived %s", image["path"], series.index, stem)
        return {**derived, "zarr": f"images/{store.name}"}

    def _field(self, file, series, image, labels, thumbnail) -> None:
        """An image on a plate; its address is known when the plate is whole."""
        well = self._well(series)
        image |= {"plate": well.plate, "well": well.name, "field": well.field}

        def derive(place: Path) -> images.Derived:
            return self._convert(file, series.index, image, labels, place, thumbnail, "replace")

        several = sum(one.well is not None for one in file.series) > 1
        key = plate_key(self.fileset["path"], well.plate, several)
        place = self.plates.field(key, well, image, derive)
        if place is not None and not thumbnail.is_file():
            image["thumbnail_size"] = images.write_thumbnail(place, thumbnail)

    def _well(self, series: images.Series) -> images.Well:
        """Where a field lies, as validation saw it: with all files around it, not its own alone."""
        told = [s for s in self.fileset.get("series") or [] if s["index"] == series.index]
        if told and told[0].get("well"):
            return dataclasses.replace(series.well, plate=told[0]["well"]["plate"])
        return series.well

    def _table(self, view: Path, path: str) -> dict[int, dict[str, Any]]:
        """What a table says of the objects; one that can't be read says nothing, and is named."""
        try:
            return images.read_table(view / path)
        except (images.UnreadableImage, OSError, UnicodeDecodeError) as error:
            self.unread[path] = str(error).replace(f"{view}/", "")
            return {}

    def _labels_left_out(self, image: dict[str, Any]) -> Finding:
        said = "; ".join(
            [f"{one['file']}: {one['reason']}" for one in image.get("left_out") or []]
            + list(self.unread.values())
        )
        where = f"{image['path']}, series {image['series']}"
        return Finding(
            "LABELS_LEFT_OUT",
            "warning",
            f"{where}: label images, or tables about them, are not shown over it: {said}",
            image["path"],
            mend="Submit label images of whole numbers from 0, of the image's size, one channel.",
        )

    def _unless_busy(self, file, index, image, labels, store, thumbnail) -> dict[str, Any]:
        """Derive an image of its own; wait when a job of a killed run is still at it."""
        for _ in range(WAIT):
            try:
                derived = self._convert(file, index, image, labels, store, thumbnail, "reuse")
            except images.Busy:
                time.sleep(1)
                continue
            return published(derived)
        raise TimeoutError(f"{store} has been written by another process for {WAIT} s")

    def _convert(self, file, index, image, labels, place, thumbnail, existing) -> images.Derived:
        return images.convert(
            file,
            place,
            series=index,
            name=image["name"],
            labels=labels,
            memory=self.stages.config.images.memory,
            threads=self.threads,
            recipe=self.recipe,
            thumbnail=thumbnail,
            existing=existing,
            progress=self.tell,
        )

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
            source = images.LabelSource(name=name, path=_source(view, labels))
            given: list[Any] = [name, *(self.sha256[file["path"]] for file in labels["files"])]
            if table := self.tables.get(labels["path"]):
                source.known = self._table(view, table)
                given.append(self.sha256[table])
            sources.append(source)
            inputs.append(given)
        return sources, inputs


def _source(view: Path, fileset: dict[str, Any]) -> Path:
    """What to open of a fileset: its first file, or the pattern that the submitter gave for all."""
    return view / (fileset.get("pattern") or fileset["path"])


def label_tables(sets: Iterable[dict[str, Any]], labels: list[dict[str, Any]]) -> dict[str, str]:
    """Tables about label images: a CSV or TSV that names one as its source image, or stands beside
    it under the same name. Only what is public.
    """
    by_path = {one["path"]: one["path"] for one in labels}
    by_stem: dict[str, list[str]] = {}
    for path in by_path:
        by_stem.setdefault(re.sub(r"(\.ome)?\.[^./]+$", "", path), []).append(path)
    found: dict[str, str] = {}
    for table in sets if labels else ():
        path = table["path"]
        if path.lower().endswith((".csv", ".tsv")) and table["access"] == "public":
            beside = by_stem.get(path.rpartition(".")[0], [])
            for label in {*beside, by_path.get(table.get("source_image"))} - {None}:
                found[label] = path
    return found


def label_name(part: str) -> str:
    """Name of a label group from that of its annotation set: ``Nuclei, test`` -> nuclei-test."""
    return re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") or "labels"
