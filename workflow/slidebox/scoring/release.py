"""A release as the scorer reads it: the resolved challenge, the items of a split, their truth."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .settings import Settings, Task

MANIFEST = "SHA256SUMS"


class NotARelease(ValueError):
    """The folder lacks what a release holds; the message says what."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a split.

    Attributes
    ----------
    id : name that predictions go by.
    image, truth : paths (folders in tracking); `truth` is None where it's hidden and not given.
    shape : expected shape of the prediction, in the order of `axes`.
    pixel_size : size of a pixel in micrometers for each axis that has one.
    """

    id: str
    split: str
    group: str
    image: Path
    truth: Path | None
    axes: str
    shape: tuple[int, ...]
    pixel_size: dict[str, float] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def pixels(self) -> int:
        """Pixels of the prediction."""
        return math.prod(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Pixel size along each axis of `shape`, micrometers; 1 where it's not known."""
        return tuple(self.pixel_size.get(a, 1.0) for a in self.axes)


class Source(Protocol):
    """Where the files of a release are that is elsewhere (`remote.Source`)."""

    def bring(self, names: Iterable[str], progress: Any = None) -> None:
        """Have these files (and all below, of a folder) in the release's folder, verified."""


@dataclass(frozen=True, slots=True)
class Release:
    """A released challenge on disk; `source` is where its files come from when it's elsewhere."""

    folder: Path
    challenge: dict[str, Any]
    settings: Settings
    rows: tuple[dict[str, str], ...]
    source: Source | None = None

    def bring(self, items: list[Item], images: bool, progress: Any = None) -> None:
        """Have the truth (and images) of items here, when the release is elsewhere."""
        if self.source is not None:
            paths = [p for i in items for p in (i.truth, i.image if images else None) if p]
            inside = [p for p in paths if p.is_relative_to(self.folder)]
            self.source.bring((p.relative_to(self.folder).as_posix() for p in inside), progress)

    @property
    def task(self) -> Task:
        return self.challenge["task"]

    @property
    def slug(self) -> str:
        return self.challenge["slug"]

    @property
    def version(self) -> str:
        return str(self.challenge["version"])

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(row["split"] for row in self.rows))

    @property
    def hidden(self) -> list[str]:
        return list(self.challenge.get("hidden", []))

    def items(self, split: str, private: Path | None = None) -> list[Item]:
        """Items of a split, in the order of splits.csv; hidden truth is looked for in `private`."""
        secrets: dict[str, Path] = {}
        if private:
            secret = find_private(private, self.slug, self.version)
            secrets = {row["id"]: secret / row["truth"] for row in rows_of(secret / "truth.csv")}
        items = []
        for row in self.rows:
            if row["split"] != split:
                continue
            truth = self.folder / row["truth"] if row["truth"] else secrets.get(row["id"])
            items.append(
                Item(
                    row["id"], split, row["group"] or row["id"], self.folder / row["image"], truth,
                    row["axes"], tuple(int(n) for n in row["shape"].split("x")),
                    _sizes(row.get("pixel_size", "")), row,
                )
            )  # fmt: skip
        return items


def _sizes(text: str) -> dict[str, float]:
    return {a: float(v) for a, v in (part.split("=") for part in text.split()) if float(v) > 0}


def find_private(private: Path, slug: str, version: str) -> Path:
    """The folder of hidden truth, given itself or any of the folders above it."""
    for folder in (private, private / version, private / slug / version,
                   private / "challenges" / slug / version):  # fmt: skip
        if (folder / "truth.csv").is_file():
            return folder
    raise NotARelease(
        f"{private} has no hidden truth of {slug} {version}: expected truth.csv in it, "
        f"or in challenges/{slug}/{version}/ under it"
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a table that Slidebox wrote: splits.csv, truth.csv, scores of images."""
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_tree(paths: list[Path], root: Path) -> str:
    """One digest of many files: sha256 over their sorted 'digest  name' lines."""
    total = hashlib.sha256()
    for path in sorted(paths):
        line = f"{sha256_file(path)}  {path.relative_to(root).as_posix()}\n"
        total.update(line.encode("utf-8", "surrogateescape"))
    return total.hexdigest()
