"""What a bundle for any host is made of: the truth of one split and the scorer, packed."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...atomic import owner, sweep, write_json, write_text
from ...scoring import catalog
from ...scoring.release import NotARelease, Release, find_private, rows_of
from .. import wheel
from ..wheel import EPOCH

PYTHON = "python:3.13-slim"
PROGRAMS = Path(__file__).parent / "programs"


def reference(release: Release, split: str, private: Path | None, target: Path) -> None:
    """A release without images, and the truth of one split, as the scorer reads them."""
    folder = target / "release"
    folder.mkdir(parents=True)
    for name in ("challenge.yaml", "splits.csv"):
        shutil.copyfile(release.folder / name, folder / name)
    if (release.folder / "metrics").is_dir():
        shutil.copytree(release.folder / "metrics", folder / "metrics")
    if split in release.hidden:
        if private is None:
            raise NotARelease(f"the truth of split {split!r} is hidden: give --private DIR")
        public = release.folder.resolve().parents[2]  # <public>/challenges/<slug>/<version>
        inside = target.resolve().is_relative_to(public)
        if inside and release.folder.resolve().parents[1].name == "challenges":
            raise NotARelease(f"the bundle holds hidden truth and can't be under {public}")
        secret = find_private(private, release.slug, release.version)
        (target / "private").mkdir()
        rows = [row for row in rows_of(secret / "truth.csv") if row["split"] == split]
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(target / "private" / "truth.csv", buffer.getvalue())
        pairs = [(secret / r["truth"], target / "private" / r["truth"]) for r in rows]
    else:
        named = [r["truth"] for r in release.rows if r["split"] == split]
        pairs = [(release.folder / name, folder / name) for name in named]
    for source, copy in pairs:
        copy.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy)
    write_json(target / "split.json", {"split": split})


def program(release: Release, target: Path, host: str, name: str) -> None:
    """The host's program under the name it wants, what it imports, and the scorer."""
    target.mkdir(parents=True)
    shutil.copyfile(PROGRAMS / f"{host}.py", target / name)
    shutil.copyfile(PROGRAMS / "common.py", target / "common.py")
    write_text(target / "requirements.txt", "\n".join(wheel.pins()) + "\n")
    for path in release.folder.glob("slidebox_scoring-*.whl"):
        shutil.copyfile(path, target / path.name)


def split_of(release: Release, split: str | None) -> str:
    """The split to score: the one that is asked for, or the last hidden one, or the last."""
    chosen = split or (release.hidden or release.splits)[-1]
    if chosen not in release.splits:
        raise NotARelease(f"no split {chosen!r}; there are {', '.join(release.splits)}")
    return chosen


def metrics(release: Release) -> list[catalog.Metric]:
    """Metrics of a release, the one that ranks first."""
    settings = release.settings
    names = [settings.primary, *(m for m in settings.metrics if m != settings.primary)]
    return [catalog.lookup(release.task, name, settings) for name in names]


@contextmanager
def workplace(target: Path) -> Iterator[Path]:
    """A hidden folder beside ``target``, in which it is made; FileExistsError when that exists."""
    if target.exists():
        raise FileExistsError(f"{target} is there already")
    sweep(target.parent, target.name)  # what killed runs left
    work = target.with_name(f".{target.name}.{owner()}.tmp")
    shutil.rmtree(work, ignore_errors=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _members(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        yield path.relative_to(folder).as_posix(), path


def zip_folder(folder: Path, target: Path) -> None:
    """The same bytes for the same files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for name, path in _members(folder):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr, entry.create_system = 0o100644 << 16, 3
            with path.open("rb") as source, packed.open(entry, "w", force_zip64=True) as copy:
                shutil.copyfileobj(source, copy)


def tar_folder(folder: Path, target: Path) -> None:
    """The same bytes for the same files."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, path in _members(folder):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as handle:
                archive.addfile(entry, handle)
