"""One image to OME-Zarr: in a hidden folder beside its place, proven, then renamed."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import journal, ngff, nodes, ome, seal
from .allocator import keep_pages
from .checksum import tree_checksum
from .label_source import LabelSource, open_labels
from .model import ImageFile, Series, UnreadableImage
from .opening import open_image
from .plan import MB, Plan, Recipe, make_plan
from .publication import partial, publish_folder
from .store import StoredLevel, digest_of
from .stream import Crew, Facts, Pyramid, run
from .thumbnail import write_thumbnail

DIGEST = "xxh3-128"
"""The digest of an image: XXH3-128 over the XXH3-128 digests of its planes in t, c, z order, each
of its pixels in C order, little-endian."""


@dataclass(slots=True)
class Derived:
    """What a conversion made. ``to_json`` is what receipts and study pages carry."""

    axes: str
    shape: list[int]
    dtype: str
    rgb: bool
    pixel_size: dict[str, float | None]
    time_step: float | None
    channels: list[dict[str, Any]]
    levels: list[dict[str, Any]]
    labels: list[dict[str, Any]]
    digest: dict[str, str]
    tree: str
    bytes: int
    objects: int
    seconds: float
    reader: str
    reader_version: str
    recipe: dict[str, Any]
    thumbnail_size: list[int] | None = None
    left_out: list[dict[str, str]] = field(default_factory=list)
    """Label images that don't fit or are no label images: name, file and reason of each."""
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def convert(
    source: Path | str | ImageFile,
    out: Path | str,
    *,
    series: int = 0,
    name: str | None = None,
    labels: Iterable[LabelSource] = (),
    memory: int = 512 * MB,
    threads: int = 1,
    recipe: Recipe = Recipe(),  # noqa: B008  frozen
    thumbnail: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    existing: str = "error",
    prove: bool = True,
    checksum: bool = True,
    original: bool = True,
) -> Derived:
    """Derive an OME-Zarr image from one series of a file.

    Every plane is read once; all levels come from it. ``out`` appears by a rename when all is
    written and each chunk of level 0 has been read back and compared; until then there is only
    ``.<name>.partial`` beside it. The same source and recipe give the same bytes.

    Parameters
    ----------
    source, series : the file, or one that is open already, and which of its images.
    out : the folder to make, by convention ``<name>.ome.zarr``.
    name : the image's name in its metadata; without it the file's own.
    labels : label images of the same size in y and x (and z and t, where they have them). Those of
        the source itself (OME-Zarr) come along. One that doesn't fit is left out, and said so.
    memory : bytes that may be used. A reader that only gives whole planes may need more.
    threads : for compression and proof; reading goes ahead in another when there are several.
    thumbnail : where to write a PNG picture of it.
    progress : called with (bytes done, bytes in all).
    prove, checksum : read level 0 back and compare it; compute the tree checksum (MD5 of every
        file). Only benchmarks have reasons to switch them off.
    original : keep the vendor's metadata beside the image (a plate keeps them once for all fields).
    existing : what to do when ``out`` is there: ``error``, ``reuse`` it if it is complete and of
        this recipe, or ``replace`` it.

    Raises
    ------
    UnreadableImage : the source is damaged or unknown; it names file, series and plane.
    FileExistsError : ``out`` is there.
    Busy : another process works on the same ``out``.
    """
    started = time.monotonic()
    keep_pages()
    out, labels = Path(out), list(labels)
    names = [source.name for source in labels]
    for wrong in [n for n in names if not re.fullmatch(r"[\w][\w .+-]*", n) or names.count(n) > 1]:
        raise ValueError(f"{wrong!r} is no name for a label group, or is there twice")
    if out.exists():
        if existing == "reuse":
            found = load(out)
            if found is not None and found.recipe == recipe.to_json():
                if thumbnail is not None:
                    found.thumbnail_size = write_thumbnail(out, thumbnail)
                return found
        elif existing != "replace":
            raise FileExistsError(errno.EEXIST, "there is already something", str(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    opened = nullcontext(source) if isinstance(source, ImageFile) else open_image(source)
    with partial(out) as folder, opened as file:
        if not 0 <= series < len(file.series):
            raise UnreadableImage(
                f"there is no series {series}: the file has {len(file.series)}", file=file.path
            )
        chosen = file.series[series]
        title = name or chosen.name or Path(file.path).name
        crew = Crew(threads)
        try:
            shown = _Progress(progress)
            work = _Work(recipe, memory, crew, shown, prove, checksum)
            derived = _write(folder, file, chosen, title, labels, work, original)
        finally:
            crew.close()
        derived.seconds = round(time.monotonic() - started, 3)
        publish_folder(folder, out)
    if thumbnail is not None:
        derived.thumbnail_size = write_thumbnail(out, thumbnail)
    return derived


def load(zarr: Path | str) -> Derived | None:
    """What a complete image says of its making; None for a folder that isn't one of ours, or
    whole.
    """
    try:
        _, attributes = nodes.read_group(Path(zarr))
        facts = dict(attributes["slidebox"])
        tree, files, size = tree_checksum(Path(zarr))
        facts |= {"tree": tree, "objects": files, "bytes": size, "seconds": 0.0}
        facts.setdefault("thumbnail_size", None)
        facts.setdefault("left_out", [])
        return Derived(**{k: facts[k] for k in Derived.__slots__})
    except (OSError, ValueError, KeyError, TypeError):
        return None


# ---------------------------------------------------------------- writing


def _write(
    folder: Path,
    file: ImageFile,
    series: Series,
    name: str,
    labels: list[LabelSource],
    work: _Work,
    original: bool,
) -> Derived:
    recipe = work.recipe
    opened, left_out = open_labels(labels, series)
    try:
        work.progress.total = series.nbytes + sum(one.nbytes for _, _, one in opened)
        key = _journal_key(file, series, recipe, work.prove)
        plan, facts = _pixels(folder, series, work, key=key)
        known = dict(facts.md5)
        channels = ngff.channel_facts(series, facts.low, facts.high, facts.samples)
        made = []
        for source, _, one in opened:
            try:
                label, md5 = _label(folder, source, one, work)
                made.append(label)
                known |= {f"labels/{source.name}/{path}": digest for path, digest in md5.items()}
            except UnreadableImage as error:
                left_out.append(source.refusal(error))
                shutil.rmtree(folder / "labels" / source.name, ignore_errors=True)
        attributes = ngff.image_attributes(series, plan, name, channels, recipe.ngff)
        if made:
            names = {"ome": {"version": "0.5", "labels": [m["name"] for m in made]}}
            nodes.write_group(folder / "labels", names, recipe.ngff)
        _ome(folder, file, series, name, channels, recipe.ngff, original)
        described = {
            "axes": series.axes,
            "shape": list(series.shape),
            "dtype": series.dtype.name,
            "rgb": series.rgb,
            "pixel_size": series.pixel_size,
            "time_step": series.time_step,
            "channels": _channels(series, channels),
            "levels": _levels(series, plan),
            "labels": made,
            "digest": _digests(facts, work.prove),
            "reader": file.reader,
            "reader_version": file.reader_version,
            "recipe": recipe.to_json(),
            "left_out": left_out,
            "notes": list(series.notes),
        }
        (folder / journal.NAME).unlink(missing_ok=True)
        # Last of all: a folder whose root is no group is not an image.
        root = {"ome": attributes, "slidebox": described}
        if work.checksum:
            seal.write_root(folder, root, recipe.ngff, seal.image_parts(folder), known)
        else:
            nodes.write_group(folder, root, recipe.ngff)
    finally:
        for _, image, _ in opened:
            if image is not None:
                image.close()
    tree, files, size = tree_checksum(folder, known) if work.checksum else ("", 0, 0)
    return Derived(**described, tree=tree, bytes=size, objects=files, seconds=0.0)


@dataclass(frozen=True, slots=True)
class _Work:
    """How the arrays of an image are made, the same for its pixels and its labels."""

    recipe: Recipe
    memory: int
    crew: Crew
    progress: _Progress
    prove: bool
    checksum: bool


def _pixels(
    folder: Path,
    series: Series,
    work: _Work,
    labels: bool = False,
    key: dict[str, Any] | None = None,
) -> tuple[Plan, Facts]:
    """All levels of one array, its zarr.json files among them.

    With a ``key`` a journal is kept, and one of the same key is gone on from.
    """
    plan = make_plan(series, work.recipe, work.memory)
    pyramid = Pyramid(
        series,
        plan,
        work.recipe,
        folder,
        work.crew,
        labels=labels,
        prove=work.prove,
        checksum=work.checksum,
    )
    options: dict[str, Any] = {}
    if key is not None:
        key["plan"] = repr(plan)
        state = journal.load(folder, key)
        if state is not None and not pyramid.fits(state["pyramid"]):
            state = None
        _empty(folder, keep=[journal.NAME, *(v.path for v in plan.levels)] if state else [])
        options = {"journal": lambda s: journal.save(folder, key, s), "state": state}
        options["every"] = journal.EVERY
    try:
        run(
            series,
            plan,
            pyramid,
            progress=work.progress.part(series.nbytes),
            **options,
        )
    except BaseException:
        pyramid.abandon()
        raise
    for level in plan.levels:
        nodes.write_array(folder / level.path, series, level, work.recipe)
    facts = pyramid.facts
    if work.prove and (cut := sorted(facts.planes.keys() - facts.stored.keys())):
        # begun by a process that was killed: nobody has all their rows in hand
        level_0 = StoredLevel(folder / plan.levels[0].path, series.axes)
        for plane in cut:
            facts.stored[plane] = level_0.digest(*plane)
            pyramid.check(plane)
    return plan, facts


def _journal_key(file: ImageFile, series: Series, recipe: Recipe, prove: bool) -> dict[str, Any]:
    """What a journal must be of, to be gone on from."""
    # a file that isn't there is an error of its plane, when that is read
    files = [Path(path) for path in series.files or [file.path]]
    stats = [path.stat() for path in files if path.exists()]
    return {
        "form": journal.FORM,
        "source": [file.path, [[stat.st_size, stat.st_mtime_ns] for stat in stats]],
        "reader": [file.reader, file.reader_version],
        "series": [series.index, series.axes, list(series.shape), series.dtype.name],
        "recipe": recipe.to_json(),
        "prove": prove,
    }


def _label(
    folder: Path, source: LabelSource, one: Series, work: _Work
) -> tuple[dict[str, Any], dict[str, str]]:
    """One label image: what it is, and the MD5 of its files."""
    where = folder / "labels" / source.name
    plan, facts = _pixels(where, one, work, labels=True)
    if any(value < 0 for value in facts.labels):
        raise UnreadableImage("a label image holds no negative numbers, this one does")
    attributes = ngff.label_attributes(
        one, plan, source.name, facts.labels, work.recipe.ngff, source.known
    )
    nodes.write_group(where, {"ome": attributes}, work.recipe.ngff)
    made = {
        "name": source.name,
        "objects": len(facts.labels),
        "axes": one.axes,
        "shape": list(one.shape),
        "dtype": one.dtype.name,
        "digest": _digests(facts, work.prove),
    }
    return made, facts.md5


def _ome(
    folder: Path,
    file: ImageFile,
    series: Series,
    name: str,
    channels: list[dict],
    version: str,
    original: bool,
) -> None:
    """OME/: METADATA.ome.xml and, beside it, the vendor's own metadata as they stand in the
    file.
    """
    nodes.write_group(folder / "OME", {}, version)
    (folder / "OME" / "METADATA.ome.xml").write_text(
        ome.metadata_xml(series, name, channels), encoding="utf-8", newline="\n"
    )
    if original:
        write_original(folder, file)


def write_original(folder: Path, file: ImageFile) -> None:
    """The vendor's own metadata, as they stand in the file, beside ``METADATA.ome.xml``."""
    for name, text in sorted(file.metadata.items()):
        if text.strip():
            target = folder / "OME" / "original" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", errors="replace", newline="\n")


def _digests(facts: Facts, prove: bool) -> dict[str, str | None]:
    """Of all pixels as they were read, and as they were read back."""
    read, stored = digest_of(facts.planes), digest_of(facts.stored) if prove else None
    return {"algorithm": DIGEST, "read": read, "stored": stored}


def _channels(series: Series, shown: list[dict]) -> list[dict[str, Any]]:
    return [
        {
            "name": display["label"],
            "color": display["color"],
            "window": display["window"],
            "active": display["active"],
            **{k: v for k, v in channel.to_dict().items() if k not in ("name", "color", "window")},
        }
        for channel, display in zip(series.channels, shown, strict=True)
    ]


def _levels(series: Series, plan: Plan) -> list[dict[str, Any]]:
    keep = ["tczyx".index(a) for a in series.axes]
    return [
        {
            "path": level.path,
            "shape": [level.shape[k] for k in keep],
            "scale": ngff.transforms(series, level)[0]["scale"],
            "chunk": [level.chunk[k] for k in keep],
            "shard": [level.shard[k] for k in keep],
        }
        for level in plan.levels
    ]


class _Progress:
    """One count over the image and its labels."""

    def __init__(self, callback: Callable[[int, int], None] | None) -> None:
        self.callback, self.total, self.before = callback, 0, 0

    def part(self, size: int):
        if self.callback is None:
            return None
        start = self.before
        self.before += size
        return lambda done, _: self.callback(start + done, self.total)


def _empty(folder: Path, keep: list[str]) -> None:
    for entry in os.scandir(folder):
        if entry.name in keep:
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            Path(entry.path).unlink()
