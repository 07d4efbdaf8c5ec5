"""Predictions as people have them, read with distrust.

A folder or a ZIP holds one file for each image, named by the image's id: TIFF or PNG label images,
OME-Zarr, tracking results, point tables; or one COCO JSON or RLE table for all of them. Nothing is
read before its header says that it has the shape that's expected.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from ..findings import Finding
from .release import Item

SUFFIXES = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".png", ".ome.zarr", ".zarr", ".csv",
            ".tsv", "_res")  # fmt: skip
FOLDERS = (".zarr", "_res")  # folders that are one prediction
TABLES = (".json", ".rle.csv")
SHEETS = (".csv", ".tsv")
# What people have beside these; the first two can hold pickled code and are never opened
FOREIGN = (".npy", ".npz", ".pkl", ".pickle", ".pt", ".mat", ".h5", ".hdf5", ".jpg", ".jpeg",
           ".gif", ".bmp", ".nii.gz", ".nii", ".mrc", ".nd2", ".czi", ".svs", ".txt",
           ".ome.zarr.zip", ".zarr.zip", ".ozx")  # fmt: skip
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


def reason(bad: Exception) -> str:
    """A library's word on a file, in a line, without folders of this machine: boards are public."""
    text = getattr(bad, "strerror", None) or str(bad).strip() or type(bad).__name__
    return re.sub(r"(file://)?(/[^\s/'\"]+)+/", "", text.splitlines()[0])[:200]


def written(path: Path, root: Path) -> str:
    """A file's name as text for people and JSON: bytes that are no UTF-8 as their codes."""
    name = path.relative_to(root).as_posix()
    return name.encode("utf-8", "backslashreplace").decode()


@dataclass
class Submission:
    """What was handed in.

    Attributes
    ----------
    by_id : file or folder of each image's id.
    tables : files that hold predictions of many images; `decoded` is what they said.
    masks : of each image that a table describes: confidence and flat pixel indices of each object.
    findings : what is odd about the names.
    notes : what is odd but no error, as images are read.
    refused : ids whose prediction is there but can't be used.
    """

    root: Path
    name: str
    by_id: dict[str, Path] = field(default_factory=dict)
    tables: list[Path] = field(default_factory=list)
    decoded: dict[str, np.ndarray] = field(default_factory=dict)
    masks: dict[str, list[tuple[float, np.ndarray]]] = field(default_factory=dict)
    point_rows: dict[str, tuple[list[tuple[int, dict]], dict[str, str], str]] = field(
        default_factory=dict
    )
    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    def relative(self, path: Path) -> str:
        return written(path, self.root) if path != self.root else self.name

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
    elif path.suffix.lower() in (".json", *SHEETS):
        yield Submission(path, path.name, tables=[path])
    elif path.suffix.lower() == ".zip":
        raise Refused(
            error("ZIP_BROKEN", "the ZIP can't be read: it is cut off or no ZIP", path.name,
                  "pack it again")
        )  # fmt: skip
    else:
        raise Refused(
            error(
                "PREDICTIONS_UNKNOWN",
                f"{path.name} is neither a folder nor a ZIP nor a COCO JSON or CSV",
                path.name,
                "put one prediction per id into a folder or a ZIP",
            )
        )


def allowance(items: list[Item]) -> int:
    """Bytes that predictions of these items may reasonably take: 16 a pixel and 64 MiB."""
    return (64 << 20) + 16 * sum(item.pixels for item in items)


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
            error("ZIP_BROKEN", f"the ZIP can't be read: {reason(bad)}", archive.name,
                  "pack it again")
        ) from bad  # fmt: skip


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
    return None


def _is_table(path: Path) -> bool:
    """Whether a CSV names images in a column: it's for all of them, whatever its own name."""
    with path.open("rb") as handle:
        head = handle.readline(1 << 12).decode("utf-8-sig", "replace").lower()
    return bool({"image", "imageid", "image_id"} & set(re.findall(r"\w+", head)))


def collect(
    root: Path, items: list[Item], name: str, elsewhere: frozenset[str] = frozenset()
) -> Submission:
    """Find each id's prediction in a folder (at any depth) and say what is odd about the names."""
    found = Submission(root, name)
    wanted = {item.id for item in items}
    if (root / "res_track.txt").is_file():
        _one_sequence(found, items)
        return found
    plain = {item.id.lower(): item.id for item in items}
    twice: dict[str, list[Path]] = {}
    strange: dict[str, Path] = {}
    others: list[str] = []
    queue = [root]
    while queue:
        folder = queue.pop()
        for path in sorted(folder.iterdir()):
            if path.name in LITTER or path.name.startswith("._"):
                continue
            relative = written(path, root)
            if problem := unsafe(path, root):
                found.findings.append(error("PREDICTION_LINK", problem, relative,
                                            "put the file itself there"))  # fmt: skip
                if (stem := identity(path.name)) in wanted:
                    found.refused.add(stem)
                continue
            if path.is_dir() and not path.name.lower().endswith(FOLDERS):
                queue.append(path)
                continue
            if path.name.lower().endswith(TABLES):
                found.tables.append(path)
                continue
            which = identity(path.name)
            if which in wanted and path.is_dir() and (hidden := unsafe_inside(path, root)):
                found.findings += hidden
                found.refused.add(which)
            elif which in wanted:
                if which in found.by_id:
                    twice.setdefault(which, [found.by_id[which]]).append(path)
                else:
                    found.by_id[which] = path
            elif which in elsewhere:
                others.append(which)
            elif path.suffix.lower() in SHEETS and path.is_file() and _is_table(path):
                found.tables.append(path)
            elif (stem := foreign(path.name)) in wanted:
                strange[stem] = path
            else:
                near = plain.get((which or "").lower())
                found.findings.append(
                    Finding("PREDICTION_EXTRA", "warning",
                            "belongs to no image of this split", relative,
                            mend=f"capitals count: the image is {near}" if near else
                            "name predictions by the ids in splits.csv")
                )  # fmt: skip
    for stem, path in sorted(strange.items()):
        there = stem in found.by_id or bool(found.tables)
        found.findings.append(
            Finding("PREDICTION_FORMAT", "warning" if there else "error",
                    f"{path.suffix} is no format that is read", written(path, root),
                    mend=f"write {stem}.tif, or PNG or OME-Zarr")
        )  # fmt: skip
        if not there:
            found.refused.add(stem)
    if others:
        found.findings.append(
            Finding("PREDICTION_OTHER_SPLIT", "info",
                    f"{len(others)} predictions are of other splits and aren't scored now", name)
        )  # fmt: skip
    for which, paths in sorted(twice.items()):
        names = ", ".join(sorted(written(p, root) for p in paths))
        found.findings.append(
            error("PREDICTION_TWICE", f"image {which} has several predictions: {names}",
                  names, "keep one of them")
        )  # fmt: skip
    return found


def _one_sequence(found: Submission, items: list[Item]) -> None:
    """A tracking result handed in itself, not the folder it lies in."""
    which = identity(re.sub(r"\.zip$", "", found.name, flags=re.IGNORECASE))
    known = {item.id for item in items}
    if which not in known and len(items) == 1:
        which = items[0].id
    if hidden := unsafe_inside(found.root, found.root):
        found.findings += hidden
        found.refused |= known
    elif which in known:
        found.by_id[which] = found.root
    else:
        found.findings.append(
            error("TRACKING_LAYOUT", "masks and res_track.txt lie in no folder of a sequence",
                  found.name, f"put them into {items[0].id}_RES/")
        )  # fmt: skip
        found.refused |= known


def unsafe(path: Path, root: Path) -> str | None:
    """Why a path in a submission isn't touched: a link out of it, or no plain file or folder."""
    try:
        if path.is_symlink():
            real = path.resolve(strict=True)
            if not real.is_relative_to(root.resolve()):
                return "is a link out of the folder"
        mode = path.stat().st_mode
    except (OSError, RuntimeError):
        return "is a link to nothing"
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "is neither a file nor a folder"
    return None


def unsafe_inside(folder: Path, root: Path) -> list[Finding]:
    """The same of all that is in a folder that is one prediction (OME-Zarr, tracking)."""
    found = []
    for parent, folders, files in os.walk(folder):
        for name in sorted((*folders, *files)):
            path = Path(parent, name)
            if problem := unsafe(path, root):
                found.append(error("PREDICTION_LINK", problem, written(path, root),
                                   "put the file itself there"))  # fmt: skip
    return found


def foreign(name: str) -> str | None:
    """The id a file name would stand for if its format were one that is read."""
    for suffix in FOREIGN:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return None


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


def check_type(dtype: np.dtype, file: str) -> None:
    """Refuse labels that aren't integers, by their type alone."""
    if dtype.kind == "f":
        raise Refused(
            error("LABELS_FLOAT", f"labels are floating-point numbers of type {dtype}", file,
                  "write unsigned integers: array.astype('uint16')")
        )  # fmt: skip
    if dtype.kind not in "uib":
        raise Refused(error("LABELS_TYPE", f"labels are of type {dtype}", file,
                            "write unsigned integers"))  # fmt: skip


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
        return array.view(np.uint8)
    if array.size and int(array.max()) > max_objects:
        check_count(int(np.count_nonzero(np.unique(array))), file, max_objects)
    return array


def check_count(objects: int, file: str, most: int) -> None:
    """Refuse more objects in an image than the challenge allows."""
    if objects > most:
        raise Refused(
            error("LABELS_TOO_MANY", f"{objects} objects; the challenge allows {most}", file,
                  "noise labelled as objects?")
        )  # fmt: skip
