"""Predictions as people have them, read with distrust.

A folder or a ZIP holds one file for each image, named by the image's id: TIFF or PNG label images,
OME-Zarr, tracking results, point tables; or one COCO JSON or RLE table for all of them. Nothing is
read before its header says that it has the shape that's expected.
"""

from __future__ import annotations

import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import imagecodecs
import numpy as np
import tifffile

from ..findings import Finding
from .release import Item

SUFFIXES = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".png", ".ome.zarr", ".zarr", ".csv")
TABLES = (".json", ".rle.csv")
# Names that operating systems leave behind; nobody means to submit them.
LITTER = {".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX"}
MAX_MEMBERS = 1_000_000


class Refused(ValueError):
    """A prediction that can't be used; carries the findings that say why."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(f.message for f in findings))
        self.findings = list(findings)


def error(code: str, message: str, file: str | None = None, mend: str | None = None, **more):
    return Finding(code, "error", message, file=file, mend=mend, **more)


@dataclass
class Submission:
    """What was handed in.

    Attributes
    ----------
    by_id : file or folder of each image's id.
    tables : files that hold predictions of many images; `decoded` is what they said.
    scores : confidence of each label of an image, where the format has it (COCO JSON).
    findings : what is odd about the names.
    """

    root: Path
    name: str
    by_id: dict[str, Path] = field(default_factory=dict)
    tables: list[Path] = field(default_factory=list)
    decoded: dict[str, np.ndarray] = field(default_factory=dict)
    scores: dict[str, dict[int, float]] = field(default_factory=dict)
    point_rows: dict[str, tuple[list[dict], dict[str, str], str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path != self.root else path.name

    def files(self) -> list[Path]:
        """All regular files, sorted; what a digest of the submission is made of."""
        if self.root.is_file():
            return [self.root]
        return sorted(p for p in self.root.rglob("*") if p.is_file() and p.name not in LITTER)


@contextmanager
def opened(
    path: Path | str, items: list[Item], elsewhere: frozenset[str] = frozenset()
) -> Iterator[Submission]:
    """Open a folder, a ZIP or a single table of predictions.

    A ZIP is unpacked into a temporary folder, never beyond the bytes that the expected images
    could need; names that leave the folder, links and bombs are refused.

    Names in `elsewhere` (images of other splits) are counted, not complained of one by one.

    Raises
    ------
    Refused
        There is nothing there, or the archive is hostile or broken.
    """
    path = Path(path)
    if path.is_dir():
        yield collect(path, items, path.name, elsewhere)
    elif not path.exists():
        raise Refused(
            error("PREDICTIONS_MISSING", f"{path} doesn't exist", mend="give a folder or a ZIP")
        )
    elif zipfile.is_zipfile(path):
        with tempfile.TemporaryDirectory(prefix="slidebox-score-") as folder:
            unpack(path, Path(folder), allowance(items))
            yield collect(Path(folder), items, path.name, elsewhere)
    elif path.suffix in (".json", ".csv"):
        yield Submission(path, path.name, tables=[path])
    else:
        raise Refused(
            error(
                "PREDICTIONS_UNKNOWN",
                f"{path.name} is neither a folder nor a ZIP nor a COCO JSON or CSV",
                path.name,
                "put one label image per id into a folder or a ZIP",
            )
        )


def allowance(items: list[Item]) -> int:
    """Bytes that predictions of these items may reasonably take: 16 a pixel and 64 MiB."""
    return (64 << 20) + 16 * sum(int(np.prod(item.shape, dtype=np.int64)) for item in items)


def unpack(archive: Path, folder: Path, limit: int) -> None:
    """Unpack a ZIP without trusting it: no name leaves `folder`, no more than `limit` bytes."""
    findings, budget = [], limit
    try:
        with zipfile.ZipFile(archive) as packed:
            members = packed.infolist()
            if len(members) > MAX_MEMBERS:
                raise Refused(error("ZIP_TOO_MANY", f"the ZIP has {len(members)} members"))
            declared = sum(m.file_size for m in members)
            if declared > limit:
                raise Refused(
                    error(
                        "ZIP_TOO_LARGE",
                        f"the ZIP unpacks to {declared} bytes; predictions of this split need at "
                        f"most {limit}",
                        archive.name,
                        "hand in label images of the images' shape and nothing else",
                    )
                )
            for member in members:
                name = PurePosixPath(member.filename.replace("\\", "/"))
                mode = member.external_attr >> 16
                if name.is_absolute() or ".." in name.parts or ":" in name.parts[0:1]:
                    problem = "leaves the archive's folder"
                elif any(ord(c) < 32 for c in member.filename):
                    problem = "has control characters in its name"
                elif mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and stat.S_IFMT(mode):
                    problem = "is a link or a special file"
                elif member.flag_bits & 1:
                    problem = "is encrypted"
                else:
                    continue
                findings.append(
                    error("ZIP_UNSAFE", f"member {str(name)!r} {problem}", archive.name,
                          "pack plain files with relative names")
                )  # fmt: skip
            if findings:
                raise Refused(*findings)
            for member in members:
                if member.is_dir() or PurePosixPath(member.filename).name in LITTER:
                    continue
                target = folder / member.filename.replace("\\", "/")
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(member) as source, target.open("wb") as sink:
                    while block := source.read(1 << 20):
                        budget -= len(block)
                        if budget < 0:  # the header lied
                            raise Refused(
                                error("ZIP_TOO_LARGE", f"the ZIP unpacks to more than {limit} "
                                      "bytes", archive.name)
                            )  # fmt: skip
                        sink.write(block)
    except Refused:
        raise
    except Exception as bad:  # each compression has errors of its own
        raise Refused(
            error("ZIP_BROKEN", f"the ZIP can't be read: {bad}", archive.name, "pack it again")
        ) from bad


def names(path: Path) -> set[str]:
    """Ids that the names in a folder or ZIP stand for; nothing is opened or unpacked."""
    try:
        if path.is_dir():
            listed = [p.name for p in path.rglob("*")]
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                listed = [
                    part
                    for member in packed.infolist()[:MAX_MEMBERS]
                    for part in PurePosixPath(member.filename.replace("\\", "/")).parts
                ]
        else:
            return set()
    except (OSError, zipfile.BadZipFile, ValueError):
        return set()
    return {found for name in listed if (found := identity(name))}


def identity(name: str) -> str | None:
    """The id a file name stands for, or None when its ending is none of ours."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    if name.endswith("_RES"):
        return name[:-4]
    return None


def collect(
    root: Path, items: list[Item], name: str, elsewhere: frozenset[str] = frozenset()
) -> Submission:
    """Find each id's prediction in a folder (at any depth) and say what is odd about the names."""
    found = Submission(root, name)
    wanted = {item.id for item in items}
    twice: dict[str, list[Path]] = {}
    others: list[str] = []
    queue = [root]
    while queue:
        folder = queue.pop()
        for path in sorted(folder.iterdir()):
            if path.name in LITTER or path.name.startswith("._"):
                continue
            relative = path.relative_to(root).as_posix()
            if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
                found.findings.append(
                    error("PREDICTION_LINK", "is a link out of the folder", relative,
                          "put the file itself there")
                )  # fmt: skip
                continue
            if path.is_dir() and not path.name.endswith((".zarr", "_RES")):
                queue.append(path)
                continue
            if path.name.lower().endswith(TABLES):
                found.tables.append(path)
                continue
            which = identity(path.name)
            if which in wanted:
                if which in found.by_id:
                    twice.setdefault(which, [found.by_id[which]]).append(path)
                else:
                    found.by_id[which] = path
            elif which in ("predictions", "points", "rle") and path.suffix == ".csv":
                found.tables.append(path)
            elif which in elsewhere:
                others.append(which)
            else:
                found.findings.append(
                    Finding("PREDICTION_EXTRA", "warning",
                            "belongs to no image of this split", relative,
                            mend="name predictions by the ids in splits.csv")
                )  # fmt: skip
    if others:
        found.findings.append(
            Finding("PREDICTION_OTHER_SPLIT", "info",
                    f"{len(others)} predictions are of other splits and aren't scored now", name)
        )  # fmt: skip
    for which, paths in sorted(twice.items()):
        names = ", ".join(sorted(p.relative_to(root).as_posix() for p in paths))
        found.findings.append(
            error("PREDICTION_TWICE", f"image {which} has several predictions: {names}",
                  names, "keep one of them")
        )  # fmt: skip
    return found


def check_shape(shape: tuple[int, ...], item: Item, file: str) -> None:
    """Refuse another shape, and say when it's the right one transposed."""
    squeezed = tuple(n for n in shape if n != 1)
    expected = tuple(n for n in item.shape if n != 1)
    if squeezed == expected:
        return
    size, want = "x".join(map(str, shape)), "x".join(map(str, item.shape))
    if sorted(squeezed) == sorted(expected):
        raise Refused(
            error("PREDICTION_TRANSPOSED", f"shape {size} is that of the image with its axes "
                  f"exchanged ({item.axes}: {want}); nothing is transposed for you", file,
                  f"write the axes in the order {item.axes}")
        )  # fmt: skip
    raise Refused(
        error("PREDICTION_SHAPE", f"shape {size}, expected {want} ({item.axes})", file,
              "write the prediction at the image's full size")
    )  # fmt: skip


def read_array(path: Path, item: Item, file: str) -> np.ndarray:
    """Read a TIFF, PNG or (OME-)Zarr array of the item's shape; any dtype.

    Raises
    ------
    Refused
        It can't be read, is a colour image, or has another shape; decided from the header.
    """
    name = path.name.lower()
    try:
        if name.endswith((".tif", ".tiff")):
            with tifffile.TiffFile(path) as tiff:
                page = tiff.pages.first
                if page.samplesperpixel > 1 and len(page.shape) > len(item.shape):
                    raise Refused(_colour(file))
                series = tiff.series[0]
                if not series.shape or len(tiff.pages) == 0:
                    raise ValueError("it has no image")
                check_shape(series.shape, item, file)
                # One thread: items are read side by side instead
                array = series.asarray(maxworkers=1)
        elif name.endswith(".png"):
            array = _read_png(path, item, file)
        elif name.endswith(".zarr"):
            array = _read_zarr(path, item, file)
        else:
            raise Refused(
                error("PREDICTION_FORMAT", f"{path.name} is no label image", file,
                      "write TIFF, PNG or OME-Zarr")
            )  # fmt: skip
    except Refused:
        raise
    except Exception as bad:  # hostile files fail in every way there is
        reason = str(bad).splitlines()[0][:200] if str(bad) else type(bad).__name__
        raise Refused(
            error("PREDICTION_UNREADABLE", f"can't be read: {reason}", file, "write it again")
        ) from bad
    return array.reshape(item.shape)


def _colour(file: str) -> Finding:
    return error("PREDICTION_COLOUR", "is a colour image, not labels", file,
                 "write one channel whose pixel values are object numbers")  # fmt: skip


def _read_png(path: Path, item: Item, file: str) -> np.ndarray:
    with path.open("rb") as handle:
        head = handle.read(33)
    if head[:8] != b"\x89PNG\r\n\x1a\n" or len(head) < 33:
        raise ValueError("it's no PNG")
    width, height, _, colour = struct.unpack(">IIBB", head[16:26])
    if colour not in (0, 3):
        raise Refused(_colour(file))
    check_shape((height, width), item, file)
    array = imagecodecs.png_decode(path.read_bytes())
    if array.ndim != 2:
        raise Refused(_colour(file))
    return array


def _read_zarr(path: Path, item: Item, file: str) -> np.ndarray:
    import zarr

    node = zarr.open(path, mode="r")
    for _ in range(3):  # group of labels -> image -> level 0
        if isinstance(node, zarr.Array):
            break
        attributes = dict(node.attrs)
        ome = attributes.get("ome", attributes)
        if "multiscales" in ome:
            node = node[ome["multiscales"][0]["datasets"][0]["path"]]
        elif "labels" in ome:
            node = node[ome["labels"][0]]
        elif "labels" in node:
            node = node["labels"]
        elif "0" in node:
            node = node["0"]
        else:
            raise ValueError("no multiscales and no array '0' in it")
    check_shape(node.shape, item, file)
    return node[...]


def check_labels(array: np.ndarray, item: Item, file: str, max_objects: int) -> np.ndarray:
    """Labels as unsigned integers, or a refusal that names every problem.

    Floats are refused even when whole: a label of 1e8 as float32 isn't what was meant.
    """
    problems = []
    if array.dtype.kind == "f":
        detail = "with NaN" if not np.isfinite(array).all() else f"of type {array.dtype}"
        problems.append(
            error("LABELS_FLOAT", f"labels are floating-point numbers {detail}", file,
                  "write unsigned integers: array.astype('uint16')")
        )  # fmt: skip
    elif array.dtype.kind not in "uib":
        problems.append(error("LABELS_TYPE", f"labels are of type {array.dtype}", file,
                              "write unsigned integers"))  # fmt: skip
    elif array.dtype.kind == "i" and array.size and int(array.min()) < 0:
        problems.append(
            error("LABELS_NEGATIVE", f"label {int(array.min())} is negative", file,
                  "background is 0, objects are 1, 2, ...")
        )  # fmt: skip
    elif array.dtype.itemsize > 4 and array.size and int(array.max()) >= 1 << 32:
        problems.append(
            error("LABELS_LARGE", f"label {int(array.max())} is above 4294967295", file,
                  "number objects from 1")
        )  # fmt: skip
    if problems:
        raise Refused(*problems)
    if array.dtype == bool:
        array = array.view(np.uint8)
    return array


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder of predictions as it is."""
    shutil.copytree(source, target, dirs_exist_ok=True)
