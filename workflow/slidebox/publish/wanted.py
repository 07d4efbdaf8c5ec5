"""What belongs to each unit of a publication: addresses, and the local files that they stand for.

Only what is public is looked at: `public/` and, for originals, the files that a study's public
lists name. Images are taken from study.json of each version, so a derivation that no page shows any
more is not published.
"""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from slidebox.catalogue import evicted, listing
from slidebox.config import Config
from slidebox.findings import Finding
from slidebox.ingest import review
from slidebox.publish.headers import headers_of
from slidebox.publish.ledger import Ledger, Todo
from slidebox.publish.units import prefix_of
from slidebox.vault import Damaged, NotFound, Vault, VaultFile

# In this order things are sent; each waits for all before it.
DATA, ZARR, TABLES, PAGES, FRONT = range(5)
RANKS = (DATA, ZARR, TABLES, PAGES, FRONT)
_ZARR_METADATA = {"zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata"}
LARGEST_KEY = 1024  # bytes, in S3 and in Swift


@dataclass(slots=True)
class Planned:
    """What planning a unit found besides what is to be sent."""

    trees: dict[str, str] = field(default_factory=dict)  # prefix -> digest, once all is sent
    takedown: set[str] = field(default_factory=set)  # prefixes that go by themselves
    findings: list[Finding] = field(default_factory=list)


class Planner:
    """Compares a unit's local files with the ledger and plans what is to be sent."""

    def __init__(self, config: Config, ledger: Ledger, run: int) -> None:
        self._config, self._ledger, self._run = config, ledger, run
        self._vault = Vault(config.vault) if config.vault.is_dir() else None

    def plan(self, unit: str, purged: set[str]) -> Planned:
        """Plan a unit; ``purged``: paths of a study that were deleted from the vault for good."""
        found = Planned()
        kind, _, name = unit.partition("/")
        public = self._config.public
        if kind == "study":
            self._study(unit, name, purged, found)
        elif kind == "site":
            for folder in (public, public / "challenges"):
                for path in _own_files(folder):
                    self._file(unit, path.relative_to(public).as_posix(), path, found)
            self._folder(unit, public / "catalogue", found)
        else:
            folder = public / prefix_of(unit)
            if kind == "review" and self._config.publish.originals:
                given = [r for r in review.reviews(self._config) if r["token"] == name]
                for one in given:
                    tables = [folder / "files.tsv"]
                    self._originals(unit, one["accession"], tables, set(), found)
            self._folder(unit, folder, found)
        return found

    def _study(self, unit: str, accession: str, purged: set[str], found: Planned) -> None:
        folder = self._config.public / accession
        tables = [folder / "files.tsv", *folder.glob("v[0-9]*/files.tsv")]
        lost: set[str] = set()
        if self._config.publish.originals:
            lost = self._originals(unit, accession, tables, purged, found)
        images = _images(folder)
        for image in images:
            if lost.isdisjoint(image.files):
                self._image(unit, folder, image, found)
            else:
                found.takedown |= {f"{accession}/{name}" for name in (image.name, *image.beside)}
        self._folder(unit, folder, found, skip={"images", "files"})
        if lost:
            found.findings.append(
                Finding(
                    "PUBLISH_PURGED",
                    "warning",
                    f"{accession}: {len(lost)} files were deleted from the vault for good and are "
                    "taken out of the publication; its pages still name them",
                    file=accession,
                    mend=f"slidebox rebuild {accession}",
                )
            )

    def _originals(self, unit, accession, tables, purged, found: Planned) -> set[str]:
        """Plan the files as submitted, straight from the vault; the paths that are no more."""
        base = prefix_of(unit)
        listed: dict[int, dict[str, str]] = {}
        for table in tables:
            for row in listing.read_table(table) if table.is_file() else ():
                listed.setdefault(row["version"], {})[row["path"]] = row["sha256"]
        lost = set()
        for version, rows in sorted(listed.items()):
            for path, sha256 in self._unsent(base, accession, version, rows):
                key = f"{base}files/v{version}/{path}"
                try:
                    if self._vault is None:
                        raise FileNotFoundError(f"there is no vault at {self._config.vault}")
                    file = self._vault.file(accession, path, version)
                except NotFound as error:
                    if path in purged:
                        lost.add(path)
                        found.takedown.add(key)
                    else:
                        found.findings.append(_missing(key, error, f"slidebox audit {accession}"))
                except (Damaged, OSError) as error:
                    found.findings.append(_missing(key, error, f"slidebox repair {accession}"))
                else:
                    self._plan(unit, key, file.content, file.size, DATA, sha256, found)
        return lost

    def _unsent(self, base: str, accession: str, version: int, rows: dict[str, str]):
        """Those of a version's files that the target lacks: an original's address is for good."""
        for path, sha256 in sorted(rows.items()):
            key = f"{base}files/v{version}/{path}"
            row = self._ledger.row(key)
            sent = row and row.sha256 == sha256 and row.headers == headers_of(key).digest
            if sent and self._still(accession, path, version):
                self._ledger.see(key, self._run)
            else:
                yield path, sha256

    def _still(self, accession: str, path: str, version: int) -> bool:
        """Whether the vault still has a file (it may have been deleted for good)."""
        paths = self._held.get((accession, version)) if self._held else None
        if paths is None:
            paths = set(_paths(self._vault, accession, version))
            self._held = {(accession, version): paths}
        return path in paths

    _held: dict[tuple[str, int], set[str]] | None = None

    def _image(self, unit: str, folder: Path, image: _Store, found: Planned) -> None:
        for name in sorted(image.beside):
            if (path := folder / name).is_file():
                self._file(unit, f"{folder.name}/{name}", path, found)
        store = folder / f"{image.name}.ome.zarr"
        prefix = f"{folder.name}/{image.name}.ome.zarr/"
        if self._ledger.tree(prefix) == image.digest and image.digest:
            self._ledger.see_tree(prefix, self._run)
        elif store.is_dir():
            found.trees[prefix] = image.digest
            self._folder(unit, store, found)
        elif mark := evicted.mark_of(store):
            self._kept_elsewhere(unit, prefix, image.digest, mark, found)
        else:
            error = FileNotFoundError("it is not on this disk")
            found.findings.append(_missing(prefix, error, f"slidebox rebuild {folder.name}"))

    def _kept_elsewhere(self, unit, prefix: str, tree: str, mark: dict, found: Planned) -> None:
        """An image that is only in a target: this one, when the ledger had to be made anew."""
        if evicted.listing_digest(self._ledger.tree_rows(prefix)) == mark["listing"]:
            self._ledger.put_tree(prefix, unit, tree, self._run)
            return
        error = FileNotFoundError(f"it is not on this disk but at {mark['address']}")
        mend = f"slidebox publish --bring-back {unit.partition('/')[2]}"
        found.findings.append(_missing(prefix, error, mend))

    def _folder(self, unit: str, folder: Path, found: Planned, skip=frozenset()) -> None:
        top = True
        for parent, folders, files in os.walk(folder):
            folders[:] = sorted(
                name for name in folders if not name.startswith(".") and not (top and name in skip)
            )
            top = False
            for name in sorted(files):
                if name.startswith(".") and name not in _ZARR_METADATA:
                    continue
                path = Path(parent) / name
                if path.is_symlink():
                    continue
                key = path.relative_to(self._config.public).as_posix()
                self._file(unit, key, path, found)

    def _file(self, unit: str, key: str, path: Path, found: Planned) -> None:
        status = path.stat()
        row = self._ledger.row(key)
        same = row and (row.mtime, row.size) == (status.st_mtime_ns, status.st_size)
        if same and row.headers == headers_of(key).digest:
            self._ledger.see(key, self._run)
            return
        self._plan(unit, key, path, status.st_size, rank_of(unit, key), None, found)

    def _plan(self, unit, key, path, size, rank, sha256, found: Planned) -> None:
        if len(key.encode()) > LARGEST_KEY:
            error = OSError(
                f"the address is longer than {LARGEST_KEY} bytes, which no bucket takes"
            )
            found.findings.append(_missing(key, error, "publish to a folder instead"))
            return
        self._ledger.plan(Todo(key, unit, rank, str(path), size, sha256))


def rank_of(unit: str, key: str) -> int:
    """When an address is sent: data before the tables that list them, pages last."""
    folder, name = posixpath.split(key)
    if unit == "assets":
        return DATA
    if "/images/" in key or "/train/" in key or "/test/" in key:
        return ZARR if name in _ZARR_METADATA else DATA
    if not name.endswith(".html"):
        return TABLES
    own = "" if unit == "site" else prefix_of(unit).rstrip("/")
    return FRONT if name == "index.html" and folder == own else PAGES


@dataclass(slots=True)
class _Store:
    """``<name>.ome.zarr`` with what lies beside it, and the files as submitted that it is of."""

    name: str
    trees: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    beside: set[str] = field(default_factory=set)

    @property
    def digest(self) -> str:
        """Changes when an image in it does; empty when nothing is known."""
        return "" if "" in self.trees else " ".join(sorted(self.trees))


def _own_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            yield path


def _images(folder: Path) -> list[_Store]:
    """The stores of the images that any version's pages show, each once (a plate holds many)."""
    found: dict[str, _Store] = {}
    for path in [*sorted(folder.glob("v[0-9]*/study.json")), folder / "study.json"]:
        if not path.is_file():
            continue
        with path.open(encoding="utf-8") as handle:
            images = json.load(handle)["images"]
        for image in images:
            if not image.get("zarr"):
                continue
            name, _, _ = f"{image['zarr']}/".partition(".ome.zarr/")
            store = found.setdefault(name, _Store(name))
            store.trees.add(image.get("tree") or "")
            store.files |= {*(image.get("files") or []), image.get("path")}
            store.beside |= {image.get("thumbnail") or f"{name}.png", f"{name}.json"}
    return list(found.values())


def _paths(vault: Vault | None, accession: str, version: int) -> Iterator[str]:
    if vault is None:
        return
    files: Callable[..., Iterator[VaultFile]] = vault.files
    try:
        for file in files(accession, version):
            yield file.path
    except (Damaged, NotFound):
        return  # the files after a damaged one are looked up one by one


def _missing(key: str, error: Exception, mend: str) -> Finding:
    said = str(error).split("\n")[0]
    return Finding(
        "PUBLISH_MISSING",
        "error",
        f"{key} can't be published: {said}; the pages of its study wait for it",
        file=key,
        mend=mend,
    )
