"""One image to OME-Zarr: in a hidden folder beside its place, proven, then renamed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import fsync_dir
from . import journal, ngff, nodes, ome, seal
from .allocator import keep_pages
from .checksum import tree_checksum
from .model import ImageFile, Series, UnreadableImage
from .plan import MB, Plan, Recipe, make_plan
from .registry import open_image
from .store import StoredLevel, digest_of
from .stream import Crew, Facts, Pyramid, run
from .thumbnail import write_thumbnail

DIGEST = "xxh3-128"
"""The digest of an image: XXH3-128 over the XXH3-128 digests of its planes in t, c, z order, each
of its pixels in C order, little-endian."""


class Busy(RuntimeError):
    """Another process is converting to the same place."""


@dataclass(slots=True)
class LabelSource:
    """A label image to put under an image: its name there, its file, its series in it.

    ``known`` is what is told of its objects (see ``label_table``): by value, a colour as ``rgba``
    and any other property.
    """

    name: str
    path: Path
    series: int = 0
    known: dict[int, dict[str, Any]] = field(default_factory=dict)


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
            derived = _write(
                folder,
                file,
                chosen,
                title,
                labels,
                memory,
                crew,
                threads,
                recipe,
                progress,
                prove,
                checksum,
                original,
            )
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
    memory: int,
    crew: Crew,
    threads: int,
    recipe: Recipe,
    progress,
    prove: bool,
    checksum: bool,
    original: bool,
) -> Derived:
    opened, left_out = _open_labels(labels, series)
    try:
        total = series.nbytes + sum(one.nbytes for _, _, one in opened)
        shown = _Progress(progress, total)
        key = _journal_key(file, series, recipe, prove)
        work = _Work(recipe, memory, crew, threads, shown, prove, checksum)
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
                left_out.append(_without(source, error))
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
            "digest": _digests(facts, prove),
            "reader": file.reader,
            "reader_version": file.reader_version,
            "recipe": recipe.to_json(),
            "left_out": left_out,
            "notes": list(series.notes),
        }
        (folder / journal.NAME).unlink(missing_ok=True)
        # Last of all: a folder whose root is no group is not an image.
        root = {"ome": attributes, "slidebox": described}
        if checksum:
            seal.write_root(folder, root, recipe.ngff, seal.image_parts(folder), known)
        else:
            nodes.write_group(folder, root, recipe.ngff)
    finally:
        for _, image, _ in opened:
            if image is not None:
                image.close()
    tree, files, size = tree_checksum(folder, known) if checksum else ("", 0, 0)
    return Derived(**described, tree=tree, bytes=size, objects=files, seconds=0.0)


@dataclass(frozen=True, slots=True)
class _Work:
    """How the arrays of an image are made, the same for its pixels and its labels."""

    recipe: Recipe
    memory: int
    crew: Crew
    threads: int
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


def _open_labels(
    sources: list[LabelSource], image: Series
) -> tuple[list[tuple[LabelSource, ImageFile | None, Series]], list[dict[str, str]]]:
    """Label images that fit, those of the source file first; and what is wrong with the others."""
    opened: list[tuple[LabelSource, ImageFile | None, Series]] = []
    left_out = []
    taken = {source.name for source in sources}
    for label in image.labels:
        name, number = label.name, 1
        while name in taken:
            number += 1
            name = f"{label.name}-{number}"
        taken.add(name)
        source = LabelSource(name, Path(label.series.file or image.file or ""), known=label.known)
        try:
            _fit_label(label.series, image)
            opened.append((source, None, label.series))
        except UnreadableImage as error:
            left_out.append(_without(source, error))
    for source in sources:
        file = None
        try:
            file = open_image(source.path)
            if not 0 <= source.series < len(file.series):
                raise UnreadableImage(f"there is no series {source.series}", file=str(source.path))
            one = file.series[source.series]
            _fit_label(one, image)
            opened.append((source, file, one))
        except UnreadableImage as error:
            if file is not None:
                file.close()
            left_out.append(_without(source, error))
    return opened, left_out


def _without(source: LabelSource, error: UnreadableImage) -> dict[str, str]:
    return {"name": source.name, "file": source.path.name, "reason": error.reason}


def _fit_label(one: Series, image: Series) -> None:
    """A label image has one channel of whole numbers and the image's size; raises
    UnreadableImage.
    """
    if one.dtype.kind not in "bui":
        raise UnreadableImage(
            f"a label image holds whole numbers, this one holds {one.dtype}", file=one.file
        )
    if one.size("c") > 1:
        raise UnreadableImage(
            f"a label image has one channel, this one has {one.size('c')}", file=one.file
        )
    if one.size("z") > 1 and image.size("z") == 1 and image.size("t") == one.size("z"):
        # a stack that doesn't say what it is: the image knows
        reader = one.reader
        one.reader = lambda t, c, z, y0, y1: reader(z, c, t, y0, y1)
        one.axes = one.axes.replace("z", "t")
        one.time_step = image.time_step
        one.pixel_size.pop("z", None)
    for axis in "tzyx":
        if one.size(axis) != image.size(axis) and not (axis in "tz" and one.size(axis) == 1):
            raise UnreadableImage(
                f"a label image of {axis}={one.size(axis)} doesn't fit an image of "
                f"{axis}={image.size(axis)}",
                file=one.file,
            )
    one.pixel_size = {a: image.pixel_size.get(a) or one.pixel_size.get(a) for a in one.pixel_size}
    one.time_step = image.time_step if "t" in one.axes else None
    if one.dtype.kind == "b":
        reader_b = one.reader
        one.reader = lambda t, c, z, y0, y1: reader_b(t, c, z, y0, y1).view(np.uint8)
        one.dtype = np.dtype(np.uint8)


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

    def __init__(self, callback, total: int) -> None:
        self.callback, self.total, self.before = callback, total, 0

    def part(self, size: int):
        if self.callback is None:
            return None
        start = self.before
        self.before += size
        return lambda done, _: self.callback(start + done, self.total)


# ---------------------------------------------------------------- publication


@contextmanager
def partial(out: Path, keep: bool = False):
    """The hidden folder that ``out`` is made in, ours alone.

    It is gone after an error of the image, and stays when the conversion was only interrupted and
    has a journal to go on from (``keep``: a plate, that always goes on).
    """
    folder = out.parent / f".{out.name}.partial"
    fd = -1
    while True:
        folder.mkdir(exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise Busy(f"another process is converting to {out}") from error
            raise
        # another may have renamed the folder between our opening and locking it
        try:
            if os.stat(folder).st_ino == os.fstat(fd).st_ino:
                break
        except FileNotFoundError:
            pass
        os.close(fd)
    try:
        yield folder
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit | MemoryError | OSError)
        if not (interrupted and (keep or (folder / journal.NAME).exists())):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(fd)


def _empty(folder: Path, keep: list[str]) -> None:
    for entry in os.scandir(folder):
        if entry.name in keep:
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            Path(entry.path).unlink()


def publish_folder(folder: Path, out: Path) -> None:
    """Make all names durable, then rename. An older image is moved away first and removed last."""
    for base, folders, files in os.walk(folder):
        for name in files:
            if name in nodes.METADATA or "OME" in Path(base).parts:
                fd = os.open(os.path.join(base, name), os.O_RDONLY)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
        fsync_dir(Path(base))
        folders.sort()
    old = None
    if out.exists():
        old = out.parent / f".{out.name}.old-{os.getpid()}"
        os.rename(out, old)
    os.rename(folder, out)
    fsync_dir(out.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def source_digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the contents of files, in order (for callers who have no archive to ask)."""
    total = hashlib.sha256()
    for path in paths:
        with Path(path).open("rb") as handle:
            total.update(hashlib.file_digest(handle, "sha256").digest())
    return total.hexdigest()
