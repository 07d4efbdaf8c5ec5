"""A small archive as the workflow leaves it, made quickly: vault, pages, images, receipts."""

from __future__ import annotations

import json
import os
import re
import uuid
from pathlib import Path
from urllib.parse import unquote, urljoin

from slidebox import atomic, catalogue
from slidebox import config as configuration
from slidebox.config import Config
from slidebox.images.checksum import tree_checksum
from slidebox.ingest import index
from slidebox.vault import Vault

WHO = ("tester", "mailto:tester@example.org")
PATHS = ("inbox", "vault", "public", "embargoed", "private", "results", "curation", "challenges")


class Archive:
    """An archive in a folder that publishes to one target."""

    def __init__(self, folder: Path, to: str, **publish) -> None:
        self.folder = folder
        self.settings = {name: str(folder / name) for name in PATHS}
        self.settings["publish"] = {"to": to, "threads": 4, **publish}
        self.vault = Vault(folder / "vault")

    @property
    def config(self) -> Config:
        return configuration.load(self.settings)

    @property
    def public(self) -> Path:
        return self.folder / "public"

    def study(self, accession: str, files: dict[str, bytes], images: int = 1, **more) -> None:
        """Archive and build a version of a study; each image is made of the first file."""
        inbox = self.folder / "inbox" / accession
        listed = []
        for path, data in files.items():
            (inbox / path).parent.mkdir(parents=True, exist_ok=True)
            (inbox / path).write_bytes(data)
            status = (inbox / path).stat()
            listed.append((path, status.st_size, status.st_mtime_ns))
        done = self.vault.commit(accession, inbox, sorted(listed), meta={}, message="m", user=WHO)
        made = [self._image(accession, sorted(files)[0], n, done.version) for n in range(images)]
        self.build(accession, made, **more)

    def build(self, accession: str, images: list[dict], where: str = "public", title="T") -> None:
        version = self.vault.head(accession)
        rows = [
            {"path": f.path, "size": f.size, "sha256": f.sha256, "version": f.version}
            for f in self.vault.files(accession, version)
        ]
        study = catalogue.StudyInput(
            accession=accession,
            version=version,
            versions=[{"version": n} for n in range(1, version + 1)],
            record={"title": title, "license": "CC0-1.0"},
            images=images,
            files=rows,
            release_date="2026-01-01",
        )
        catalogue.build_study(study, self.folder / where)
        self.receipt(accession, where=where, images=images)

    def _image(self, accession: str, path: str, number: int, version: int) -> dict:
        identifier = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{accession}/{number}"))
        stem = f"images/{identifier}.{version:08x}"
        store = self.public / accession / f"{stem}.ome.zarr"
        data = {"zarr.json": b'{"zarr_format": 3, "node_type": "group"}', "0/zarr.json": b"{}"}
        data |= {f"0/c/0/{n}": os.urandom(300) for n in range(4)}
        for name, piece in data.items():
            (store / name).parent.mkdir(parents=True, exist_ok=True)
            (store / name).write_bytes(piece)
        tree, objects, size = tree_checksum(store)
        facts = {"tree": tree, "objects": objects, "bytes": size, "axes": "yx", "shape": [9, 9]}
        facts |= {"dtype": "uint8", "channels": [], "labels": [], "levels": []}
        atomic.write_json(store.parent / f"{Path(stem).name}.json", facts)
        (self.public / accession / f"{stem}.png").write_bytes(b"\x89PNG" + os.urandom(50))
        return {
            "id": identifier,
            "series": 0,
            "path": path,
            "files": [path],
            "name": f"image {number}",
            "status": "derived",
            "finding": None,
            "derivation": f"{version:08x}",
            "zarr": f"{stem}.ome.zarr",
            "thumbnail": f"{stem}.png",
            **facts,
        }

    def receipt(self, accession: str, **facts) -> None:
        version = self.vault.head(accession)
        key = f"{version:012x}"
        receipt = {
            "accession": accession,
            "key": key,
            "status": "accepted",
            "version": version,
            "where": "public",
            "files": 0,
            "bytes": 0,
            "images": [],
            "sealed": f"2026-01-01T00:00:{version:02d}Z",
            **facts,
        }
        atomic.write_json(self.folder / "results" / "receipts" / f"{accession}~{key}.json", receipt)

    def front(self) -> None:
        index.front(self.config)


def tree(folder: Path) -> dict[str, bytes]:
    """Every published file and its bytes, without what publication keeps for itself."""
    found = {}
    for path in sorted(folder.rglob("*")):
        key = path.relative_to(folder).as_posix()
        if path.is_file() and not key.startswith(".slidebox") and key != "published.json":
            found[key] = path.read_bytes()
    return found


def expected(archive: Archive) -> dict[str, bytes]:
    """What the target should hold: public/, and the originals that its lists name."""
    found = {}
    for path in sorted(archive.public.rglob("*")):
        key = path.relative_to(archive.public).as_posix()
        hidden = any(part.startswith(".") for part in key.split("/"))
        if path.is_file() and not hidden and not key.endswith(".evicted.json"):
            found[key] = path.read_bytes()
    for table in archive.public.glob("*/**/files.tsv"):
        from slidebox.catalogue.listing import read_table

        accession = table.relative_to(archive.public).parts[0]
        for row in read_table(table):
            key = f"{accession}/files/v{row['version']}/{row['path']}"
            with archive.vault.open(accession, row["path"], row["version"]) as handle:
                found[key] = handle.read()
    return found


_LINK = re.compile(r'(?:href|src|data-[a-z-]+)="([^"#?]+)')


def broken(have: set[str], whole: set[str], text_of) -> list[str]:
    """Links of the pages in ``have`` to what is in ``whole`` but not in ``have``.

    Of pages but the front page only links to data count: pages of a study come together.
    """
    missing = []
    for page in have:
        if not page.endswith(".html"):
            continue
        for link in _LINK.findall(text_of(page)):
            if "://" in link:
                continue
            key = unquote(urljoin(f"x://y/{page}", link).removeprefix("x://y/"))
            key = f"{key}index.html" if key.endswith("/") or not key else key
            if key.endswith(".html") and page != "index.html":
                continue
            if key in whole and key not in have:
                missing.append(f"{page} -> {key}")
    for study in [k for k in have if k.endswith("/study.json")]:
        folder = study.split("/")[0]
        for image in json.loads(text_of(study))["images"]:
            parts = [k for k in whole if k.startswith(f"{folder}/{image['zarr']}/")]
            missing += [f"{study} -> {k}" for k in parts if k not in have]
    return missing
