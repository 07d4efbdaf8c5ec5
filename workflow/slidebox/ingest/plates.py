"""Plates among a study's images: fields become images of one OME-Zarr plate, in a store a plate.

A plate's store is named by its plate and by what is in it, as an image's is; so a new version with
one changed field makes a new store, in which the fields that didn't change are links to the files
of the old one: one field is derived, and the addresses of older versions stay valid.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from slidebox import images
from slidebox.catalogue import evicted
from slidebox.images import hcs
from slidebox.ingest.paths import read_json
from slidebox.validate.filesets import plate_of

log = logging.getLogger(__name__)

WAIT = 3600  # seconds


def plate_key(path: str, plate: str, several: bool) -> str:
    """What the fields of a plate have in common: the path of the file that holds several of them,
    or, of pictures that say by their names where they belong, their folder and the plate's name.
    """
    one = {"path": path, "series": [{"well": {"plate": plate}}]}
    return path if several else plate_of(one) or path


def published(derived: images.Derived) -> dict[str, Any]:
    """What is published of a derived image: it depends on what went in, not on the hour."""
    facts = derived.to_json()
    del facts["seconds"]
    return facts


class Plates:
    """The plates of one slice of a study. Give it fields, then ``finish``: it names their stores.

    ``target`` is the study's folder of images.
    """

    def __init__(self, accession: str, target: Path, recipe: images.Recipe) -> None:
        self.accession, self.target, self.recipe = accession, target, recipe
        self.open: dict[tuple[str, str], _Plate] = {}
        self.stack = ExitStack()

    def __enter__(self) -> Plates:
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.__exit__(*error)

    def field(
        self,
        key: str,
        well: images.Well,
        image: dict[str, Any],
        derive: Callable[[Path], images.Derived],
    ) -> Path | None:
        """Put a field on its plate: the one that is there, or what ``derive`` makes at a place.

        ``image`` has its id, derivation and name; it is given what was derived. Raises
        UnreadableImage when the field can't be read. Gives its place in the plate that is being
        made, None when it is there already and was moved to where studies are published.
        """
        where = (key, well.plate)
        if where not in self.open:
            name = images.image_id(self.accession, [(key, well.plate)], 0)
            folder = self._work(self.target / f"{name}.ome.zarr")
            self.open[where] = _Plate(name, folder, self.target)
        return self.open[where].field(well, image, derive)

    def _work(self, store: Path) -> Path:
        """The folder that a plate is made in, ours alone; wait for a job of a killed run."""
        for _ in range(WAIT):
            try:
                return self.stack.enter_context(images.partial(store, keep=True))
            except images.Busy:
                time.sleep(1)
        raise TimeoutError(f"{store} has been written by another process for {WAIT} s")

    def finish(self) -> list[dict[str, Any]]:
        """Publish the plates; their fields' images get their addresses. One dictionary a plate."""
        made = [plate.finish(self.recipe) for plate in self.open.values() if plate.fields]
        return sorted(made, key=lambda plate: (plate["name"], plate["id"]))


class _Plate:
    def __init__(self, name: str, folder: Path, target: Path) -> None:
        self.name, self.folder, self.target = name, folder, target
        self.fields: list[tuple[hcs.PlateField, dict[str, Any]]] = []
        self.kept = hcs.kept(folder)
        self.far: dict[str, Any] | None = None

    def field(self, well: images.Well, image: dict[str, Any], derive) -> Path | None:
        taken = [i["path"] for f, i in self.fields if f.well.path == well.path]
        if taken:
            raise images.UnreadableImage(
                f"well {well.name} field {well.field} of plate {well.plate} is {taken[0]} already"
            )
        if (far := self._evicted(image)) is not None:
            log.info("%s: kept at %s", image["path"], far["address"])
            image |= self._facts(image)
            self.fields.append((hcs.PlateField(image["series"], image["name"], well), image))
            self.far = far
            return None
        place = self.folder / well.path
        made = f"{image['id']}.{image['derivation']}"
        derived = images.load(place) if self.kept.get(well.path) == made else None
        if derived is None and (old := self._published(image)) is not None:
            log.info("%s: kept %s", image["path"], made)
            if place.exists():
                shutil.rmtree(place)
            _link(old, place)
            hcs.keep(self.folder, well.path, made)
            derived = images.load(place)
        if derived is None:
            derived = derive(place)
            log.info("%s: derived %s", image["path"], made)
            hcs.keep(self.folder, well.path, made)
        image |= published(derived)
        one = hcs.PlateField(image["series"], image["name"], well, derived)
        self.fields.append((one, image))
        return place

    def _published(self, image: dict[str, Any]) -> Path | None:
        """Where this very field is on a plate that is published."""
        zarr = self._facts(image).get("zarr")
        place = self.target.parent / zarr if zarr else None
        return place if place is not None and place.is_dir() else None

    def _evicted(self, image: dict[str, Any]) -> dict[str, Any] | None:
        """The mark of the plate that this very field is on, when that left this disk."""
        zarr = self._facts(image).get("plate_zarr")
        store = self.target.parent / zarr if zarr else None
        return None if store is None or store.is_dir() else evicted.mark_of(store)

    def _facts(self, image: dict[str, Any]) -> dict[str, Any]:
        try:
            return read_json(self.target / f"{image['id']}.{image['derivation']}.json")
        except (OSError, ValueError):
            return {}

    def finish(self, recipe: images.Recipe) -> dict[str, Any]:
        inside = sorted((f.well.path, i["id"], i["derivation"]) for f, i in self.fields)
        stem = f"{self.name}.{images.derivation_id(recipe, inside)}"
        store = self.target / f"{stem}.ome.zarr"
        if self.far is not None:
            return self._elsewhere(store)
        plate = hcs.finish(self.folder, [one for one, _ in self.fields], recipe)
        if store.is_dir():
            shutil.rmtree(self.folder)
        else:
            images.publish_folder(self.folder, store)
        for one, image in self.fields:
            image["zarr"] = f"images/{store.name}/{one.well.path}"
            image["plate_zarr"], image["plate_tree"] = f"images/{store.name}", plate.tree
        return self._about(store, plate.tree, plate.bytes, plate.objects)

    def _elsewhere(self, store: Path) -> dict[str, Any]:
        """A plate that is only where studies are published: it is the same, or must come back."""
        assert self.far is not None
        if evicted.mark_of(store) is None:
            raise RuntimeError(
                f"plate {self.fields[0][0].well.plate} changed, and its fields are at "
                f"{self.far['address']}: bring them back (slidebox publish --bring-back), then run "
                "again"
            )
        shutil.rmtree(self.folder)
        return self._about(store, self.far["tree"], self.far["bytes"], self.far["objects"])

    def _about(self, store: Path, tree: str, size: int, objects: int) -> dict[str, Any]:
        return {
            "id": self.name,
            "derivation": store.name.removesuffix(".ome.zarr").rpartition(".")[2],
            "name": self.fields[0][0].well.plate,
            "zarr": f"images/{store.name}",
            "tree": tree,
            "bytes": size,
            "objects": objects,
            "fields": len(self.fields),
        }


def _link(old: Path, new: Path) -> None:
    """A folder's files under another name, without a second copy where the disk can."""
    for base, _, names in os.walk(old):
        folder = new / Path(base).relative_to(old)
        folder.mkdir(parents=True)
        for name in names:
            try:
                os.link(Path(base) / name, folder / name)
            except OSError:
                shutil.copy2(Path(base) / name, folder / name)
