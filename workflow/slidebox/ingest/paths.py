"""Where the stages of one submission put what they write, and how they read each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slidebox.config import Config


def now() -> str:
    """The present time, RFC 3339 in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_json(path: Path) -> Any:
    with path.open(encoding="utf-8") as handle:
        return json.load(handle)


class BrokenReceipt(ValueError):
    """A receipt that is not what sealing wrote: cut off, empty, or changed by hand."""

    def __init__(self, path: Path, why: str):
        accession = path.name.partition("~")[0]
        super().__init__(
            f"{path} is damaged ({why}); `slidebox retry {accession}` and a run make it anew, or "
            f"`slidebox rebuild {accession}` when its folder has left the inbox"
        )


_SEALED = {"accession", "key", "status", "version", "where", "files", "bytes", "sealed"}


def read_receipt(path: Path) -> dict[str, Any]:
    """A receipt as sealing wrote it; `BrokenReceipt` when it is damaged."""
    try:
        receipt = read_json(path)
    except ValueError as error:
        raise BrokenReceipt(path, str(error)) from None
    if not isinstance(receipt, dict):
        raise BrokenReceipt(path, "it is no object")
    if missing := sorted(_SEALED - receipt.keys()):
        raise BrokenReceipt(path, f"without {', '.join(missing)}")
    return receipt


@dataclass(frozen=True, slots=True)
class Stages:
    """Paths of one submission's state under ``results/``."""

    config: Config
    accession: str
    key: str

    @property
    def inbox(self) -> Path:
        return self.config.inbox / self.accession

    @property
    def folder(self) -> Path:
        return self.config.results / self.accession / self.key

    @property
    def validation(self) -> Path:
        return self.folder / "validation.json"

    @property
    def validation_html(self) -> Path:
        return self.folder / "validation.html"

    @property
    def filesets(self) -> Path:
        """The record and the filesets: which files are one image, in which slice."""
        return self.folder / "filesets.json"

    @property
    def load(self) -> Path:
        """Counts and sizes of the filesets, by slice: what the jobs are sized by."""
        return self.folder / "load.json"

    @property
    def archived(self) -> Path:
        return self.folder / "archived.json"

    @property
    def files(self) -> Path:
        """One JSON object a line: path, size, sha256, version."""
        return self.folder / "files.jsonl"

    def images(self, number: int, slices: int) -> Path:
        return self.folder / "images" / f"{number}of{slices}.json"

    @property
    def published(self) -> Path:
        return self.folder / "published.json"

    @property
    def receipt(self) -> Path:
        return self.config.results / "receipts" / f"{self.accession}~{self.key}.json"

    def iter_files(self) -> Iterator[dict[str, Any]]:
        """The archived files of this state, one at a time."""
        with self.files.open(encoding="utf-8") as handle:
            for line in handle:
                yield json.loads(line)
