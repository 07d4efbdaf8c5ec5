"""What a challenge needs of the archive: public studies, their filesets and bytes, read-only."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..vault import Vault


@dataclass
class Study:
    """A published study at one version.

    Attributes
    ----------
    record : the record as archived, restricted parts included.
    filesets : all filesets, restricted ones included.
    """

    accession: str
    version: int
    record: dict[str, Any]
    filesets: list[dict[str, Any]]
    public: dict[str, Any]
    contents: dict[str, Any] = field(repr=False)

    @cached_property
    def restricted(self) -> set[str]:
        """Names of study components and annotation sets that aren't public."""
        parts = [*self.record.get("study_components", []), *self.record.get("annotation_sets", [])]
        return {p["name"] for p in parts if p.get("access") == "restricted"}

    @cached_property
    def shown(self) -> set[str]:
        """Paths of the images that the public study page has."""
        return {image["path"] for image in self.public.get("images", [])}

    def is_restricted(self, fileset: dict[str, Any]) -> bool:
        return fileset.get("access") == "restricted" or fileset.get("part") in self.restricted

    def content(self, path: str) -> Path:
        """Where the vault keeps a file's bytes."""
        return Path(self.contents[path].content)

    def sha256(self, fileset: dict[str, Any]) -> str:
        """Digests of all files of a fileset, as the vault has them."""
        return " ".join(self.contents[f["path"]].sha256 for f in fileset["files"])

    @contextmanager
    def view(self, fileset: dict[str, Any]) -> Iterator[Path]:
        """What to open of a fileset: the first of its files, or the pattern of all, among links
        with the names that they were submitted with. Readers go by names and look for the rest."""
        with tempfile.TemporaryDirectory(prefix="slidebox-view-") as folder:
            for file in fileset["files"]:
                link = Path(folder, file["path"])
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(self.content(file["path"]).resolve())
            yield Path(folder, fileset.get("pattern") or fileset["path"])

    def fields(self, fileset: dict[str, Any]) -> dict[str, str]:
        """What images can be chosen, grouped and stratified by.

        ``study``, ``part``, ``path``, ``folder``, ``image``; the part's ``biosample``,
        ``specimen`` and ``image_acquisition``, with ``organism``, ``biological_entity``,
        ``imaging_method`` and ``imaging_instrument`` of those; every free column of the file list
        (which wins over the record's).
        """
        path = fileset["path"]
        found = {
            "study": self.accession,
            "part": fileset.get("part") or "",
            "path": path,
            "folder": path.rpartition("/")[0],
            "image": path,
        }
        component = next(
            (c for c in self.record.get("study_components", [])
             if c["name"] == fileset.get("part")), {},
        )  # fmt: skip
        for key in ("biosample", "specimen", "image_acquisition"):
            names = [a[key] for a in component.get("associations", []) if a.get(key)]
            if names:
                found[key] = " + ".join(sorted(set(names)))
        for kind, at, keys in (
            ("biosamples", "biosample", ("organism", "biological_entity")),
            ("image_acquisitions", "image_acquisition", ("imaging_methods", "imaging_instrument")),
        ):
            named = found.get(at, "").split(" + ")
            for key in keys:
                values = {
                    _name(value) for entry in self.record.get(kind, []) if entry["name"] in named
                    for value in _many(entry.get(key))
                }  # fmt: skip
                if values:
                    found[key.removesuffix("s")] = " + ".join(sorted(values))
        for key, value in (fileset.get("attributes") or {}).items():
            if str(value).strip():
                found[key] = str(value).strip()
        return found


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _name(organism: Any) -> str:
    return organism.get("name", "") if isinstance(organism, dict) else str(organism)


class Archive:
    """The public folder and the vault behind it."""

    def __init__(self, public: Path, vault: Path) -> None:
        self.public, self.vault = Path(public), Vault(vault)

    def accessions(self) -> list[str]:
        """Accessions of the public studies."""
        return sorted(p.parent.name for p in self.public.glob("*/study.json"))

    def public_study(self, accession: str) -> dict[str, Any] | None:
        path = self.public / accession / "study.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    def study(self, accession: str, version: int | None = None) -> Study | None:
        """A public study at a version (default: the public one); None when there is none."""
        public = self.public_study(accession)
        if public is None:
            return None
        version = version or int(public["version"])
        pinned = self.public / accession / f"v{version}" / "study.json"
        if version != int(public["version"]) and pinned.is_file():
            public = json.loads(pinned.read_text("utf-8"))
        try:
            filesets = json.loads(self.vault.read_meta(accession, "filesets.json", version))
            record = json.loads(self.vault.read_meta(accession, "record.json", version))
        except (KeyError, LookupError, FileNotFoundError):
            return None
        if isinstance(filesets, dict):
            filesets = filesets["filesets"]
        contents = {f.path: f for f in self.vault.files(accession, version)}
        return Study(accession, version, record, filesets, public, contents)

    def query(self, terms: dict[str, str]) -> Iterator[str]:
        """Accessions of public studies whose record has all terms.

        ``any`` looks at the whole record, another key at every value under that key, without
        regard to case.
        """
        for accession in self.accessions():
            record = (self.public_study(accession) or {}).get("record", {})
            if all(
                term.lower() in " | ".join(_texts(record, None if key == "any" else key)).lower()
                for key, term in terms.items()
            ):
                yield accession


def _texts(node: Any, key: str | None, inside: bool = False) -> Iterator[str]:
    """All text under a key (or its plural) of nested data; under any key if None."""
    inside = inside or key is None
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _texts(value, key, inside or name in (key, f"{key}s"))
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, key, inside)
    elif inside and node is not None:
        yield str(node)
