"""Whether hidden truth can be reached under public/: by bytes, pixels or a digest in a table."""

from __future__ import annotations

import csv
import gzip
import hashlib
import itertools
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..findings import Finding
from ..images import UnreadableImage, open_image
from . import pixels
from .archive import Study
from .release import Writer, sha256_file

TEXT = {".json", ".tsv", ".csv", ".txt", ".md", ".html", ".xml", ".yaml", ".yml", ".jsonl", ""}
LARGEST_TEXT = 256 << 20
LARGEST_MEMBER = 4 << 30  # of a ZIP file; larger ones are compared by their bytes alone
TABLES = {".csv", ".tsv", ".txt"}
IMAGES = {".tif", ".tiff", ".png", ".bmp", ".npy", ".npz", ".h5", ".jp2", ".nd2", ".czi", ".mrc"}
BLOCK = 4 << 20
STAGING = re.compile(r"challenges/[^/]+/\.\d+\.\d+\.\d+\.\d+\.tmp/")
AXES = ("yx", "zyx", "tyx", "tzyx")


def partition_digest(planes: Iterable[np.ndarray]) -> str:
    """Digest of what is one object with what, whatever the numbers, the dtype and the file format.

    Planes come in C order; background (0) stays 0, other labels count on by first appearance.
    """
    total = hashlib.sha256()
    number: dict[int, int] = {0: 0}
    for plane in planes:
        flat = np.ascontiguousarray(plane).reshape(-1)
        first = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
        lengths = np.diff(first, append=flat.size)
        values = [number.setdefault(v, len(number)) for v in flat[first].tolist()]
        total.update(np.asarray(plane.shape, np.int64).tobytes())
        total.update(np.asarray(values, np.int64).tobytes())
        total.update(lengths.astype(np.int64).tobytes())
    return total.hexdigest()


def _hidden(writer: Writer) -> Iterator[tuple[str, dict, Path]]:
    """(id, file, path in the vault) of every file of hidden truth."""
    for pair in writer.pairs:
        if writer.is_hidden(pair):
            for fileset in (pair.truth, pair.tracks):
                for file in (fileset or {}).get("files", []):
                    yield pair.id, file, pair.study.content(file["path"])


def check(writer: Writer, tell: Callable[[str, int, int], None]) -> list[Finding]:
    """Findings for each place under public/ from which hidden truth can be had or checked."""
    hidden = list(_hidden(writer))
    if not hidden:
        return []
    return [
        *_bytes_and_digests(writer, hidden, tell),
        *_pixels(writer, tell),
    ]


def _error(where: str, what: str, mend: str) -> Finding:
    return Finding("HIDDEN_REACHABLE", "error", what, where, mend=mend)


def _bytes_and_digests(writer: Writer, hidden: list, tell) -> list[Finding]:
    sizes: dict[int, list[tuple[str, str]]] = {}
    words: dict[bytes, str] = {}
    for which, fileset, path in hidden:
        digest = sha256_file(path)
        sizes.setdefault(path.stat().st_size, []).append((digest, which))
        words[digest.encode()] = which
        with path.open("rb") as handle:
            words[hashlib.file_digest(handle, "sha512").hexdigest().encode()] = which
        with path.open("rb") as handle:
            words[hashlib.file_digest(handle, "md5").hexdigest().encode()] = which
        words[f"{fileset['path']}".encode()] = which
    for row in writer.secrets:
        words[row["sha256"].encode()] = row["id"]
    names = {f["path"].encode() for _, f, _ in hidden}
    findings = []
    files = [p for root in (writer.public, writer.staging) for p in _walk(root, writer)]
    for done, path in enumerate(files, 1):
        where = _where(path, writer)
        size = path.stat().st_size
        for digest, which in sizes.get(size, []):
            if sha256_file(path) == digest:
                findings.append(
                    _error(where, f"is the hidden truth of {which}, byte for byte",
                           "withdraw it, or choose another test set: what was public stays known")
                )  # fmt: skip
        for inside, digest in _packed(path, set(sizes)):
            for known, which in sizes.get(digest[0], []):
                if known == digest[1]:
                    findings.append(
                        _error(where, f"holds the hidden truth of {which} as {inside}",
                               "withdraw it, or choose another test set")
                    )  # fmt: skip
        if path.suffix.lower() in TEXT and 0 < size <= LARGEST_TEXT:
            for word in sorted(_found(path, words)):
                what = "names the file" if word in names else "has a digest"
                findings.append(
                    _error(where, f"{what} of the hidden truth of {words[word]}",
                           "archive the annotation set with access: restricted from the start")
                )  # fmt: skip
        if done % 1000 == 0 or done == len(files):
            tell("looking for hidden truth", done, len(files))
    return findings


def _packed(path: Path, sizes: set[int]) -> Iterator[tuple[str, tuple[int, str]]]:
    """(name, (size, sha256)) of what a ZIP or gzip file holds, if it has one of the sizes."""
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as packed:
                for info in packed.infolist():
                    if info.file_size in sizes:
                        with packed.open(info) as handle:
                            digest = hashlib.file_digest(handle, "sha256").hexdigest()
                        yield info.filename, (info.file_size, digest)
        elif path.suffix.lower() == ".gz":
            total, count = hashlib.sha256(), 0
            with gzip.open(path) as handle:
                while (block := handle.read(BLOCK)) and count <= max(sizes):
                    total.update(block)
                    count += len(block)
            yield path.stem, (count, total.hexdigest())
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError):
        return


def _walk(root: Path, writer: Writer) -> Iterator[Path]:
    """Regular files but for what releases are writing at this moment, this one's own aside."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and (root == writer.staging or not STAGING.match(
            path.relative_to(root).as_posix()
        )):  # fmt: skip
            yield path


def _where(path: Path, writer: Writer) -> str:
    for root, name in ((writer.staging, "release"), (writer.public, "public")):
        if path.is_relative_to(root):
            return f"{name}/{path.relative_to(root).as_posix()}"
    return str(path)


def _found(path: Path, words: dict[bytes, str]) -> set[bytes]:
    longest = max(map(len, words))
    found: set[bytes] = set()
    tail = b""
    with path.open("rb") as handle:
        while block := handle.read(BLOCK):
            text = tail + block
            found |= {w for w in words if w not in found and w in text}
            tail = text[-longest:]
    return found


def values_digest(planes: Iterable[np.ndarray]) -> str:
    """Digest of what values an image has, whatever the dtype and the file format."""
    total = hashlib.sha256()
    for plane in planes:
        total.update(np.asarray(plane.shape, np.int64).tobytes())
        total.update(np.ascontiguousarray(plane, np.float64).tobytes())
    return total.hexdigest()


def points_kept(points: Iterable[tuple[float, ...]]) -> set[tuple[float, ...]]:
    """Points without the digits beyond the third."""
    return {tuple(round(float(v), 3) + 0.0 for v in p) for p in points}


def _turned(planes: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """An image as it is, and rotated and flipped in the plane."""
    for mirrored in (planes, [p[:, ::-1] for p in planes]):
        for k in range(4):
            yield [np.rot90(p, k) for p in mirrored]


def _pixels(writer: Writer, tell) -> list[Finding]:
    """Images anywhere in public with the hidden objects or values, in any format; so of points."""
    if writer.challenge.task == "points":
        return _points(writer)
    digest = values_digest if writer.challenge.task == "restoration" else partition_digest
    wanted: dict[str, str] = {}
    sizes: set[tuple[int, ...]] = set()
    for pair in writer.pairs:
        if writer.is_hidden(pair):
            with pixels.archived(pair.study, pair.truth) as truth:
                planes = list(truth.planes())
                if not any(plane.any() for plane in planes):
                    continue  # an empty image is no secret
                wanted |= {digest(turned): pair.id for turned in _turned(planes)}
                sizes.add(_size(truth.axes, truth.shape))
    findings = []

    def look(source: pixels.Source, where: str, mend: str) -> None:
        if source.dtype.kind not in "uibf" or _size(source.axes, source.shape) not in sizes:
            return
        channel = source.axes.find("c")
        count = source.shape[channel] if channel >= 0 else 1
        for c in range(count):
            # Labels may be one channel of an image
            indices = [
                i for i in itertools.product(*map(range, source.shape[:-2]))
                if channel < 0 or i[channel] == c
            ]  # fmt: skip
            found = wanted.get(digest(source.read(i) for i in indices))
            if found:
                findings.append(
                    _error(where, f"shows the same as the hidden truth of {found}", mend)
                )
                return

    for study in _studies(writer):
        for fileset in study.filesets:
            if study.is_restricted(fileset) or fileset.get("role") not in ("labels", "image"):
                continue
            for number, series in enumerate(fileset.get("series") or []):
                if _size(series["axes"], series["shape"]) in sizes:
                    where = f"{study.accession}/{fileset['path']}"
                    with pixels.archived(study, fileset, number) as image:
                        look(image, where, "choose another test set: these objects are public")
    images = list(_images(writer))
    for done, path in enumerate(images, 1):
        where = _where(path, writer)
        for name, inner in _unpacked(path, IMAGES):
            for source in _open_any(inner):
                look(source, f"{where}{name}", "withdraw it, or derive the image without it")
        tell("looking at public images", done, len(images))
    return findings


def _studies(writer: Writer) -> Iterator[Study]:
    """Every public study at every version that has public pages."""
    for accession in writer.archive.accessions():
        newest = writer.archive.study(accession)
        versions = {newest.version} if newest is not None else set()
        versions |= {
            int(p.parent.name[1:])
            for p in (writer.public / accession).glob("v*/study.json")
            if p.parent.name[1:].isdigit()
        }
        for version in sorted(versions):
            study = writer.archive.study(accession, version)
            if study is not None:
                yield study


def _images(writer: Writer) -> Iterator[Path]:
    """Image files and Zarr arrays under public/ and in the release, but for the derived images of
    studies, whose originals are looked at in the vault."""
    for root in (writer.public, writer.staging):
        for path in _walk(root, writer):
            if path.name in ("zarr.json", ".zarray"):
                parts = path.relative_to(root).parts
                if parts[1:2] == ("images",) and "labels" not in parts and root == writer.public:
                    continue
                yield path
            elif path.suffix.lower() in IMAGES or path.suffix.lower() == ".zip":
                yield path


def _unpacked(path: Path, endings: set[str]) -> Iterator[tuple[str, Path]]:
    """A file itself; of a ZIP file each member with one of the endings, unpacked one at a time.

    Yields ("", path) or ("!/member", a temporary file).
    """
    if path.suffix.lower() != ".zip":
        yield "", path
        return
    try:
        with zipfile.ZipFile(path) as packed, tempfile.TemporaryDirectory() as folder:
            for info in packed.infolist():
                ending = Path(info.filename).suffix.lower()
                if ending not in endings or info.file_size > LARGEST_MEMBER:
                    continue
                inner = Path(folder, f"member{ending}")
                with packed.open(info) as source, inner.open("wb") as target:
                    shutil.copyfileobj(source, target)
                yield f"!/{info.filename}", inner
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError):
        return


def _open_any(path: Path) -> Iterator[pixels.Source]:
    if path.name in ("zarr.json", ".zarray"):
        import zarr

        try:
            array = zarr.open_array(path.parent, mode="r")
        except (KeyError, ValueError, OSError, TypeError):
            return  # a group
        if array.ndim >= 2 and array.dtype.kind in "uibf":
            yield _plain(array)
        return
    if path.suffix.lower() in (".npy", ".npz"):
        try:
            loaded = np.load(path, allow_pickle=False, mmap_mode="r")
            arrays = [loaded] if isinstance(loaded, np.ndarray) else [loaded[k] for k in loaded]
        except (ValueError, OSError):
            return
        yield from (_plain(a) for a in arrays if a.ndim >= 2)
        return
    try:
        with open_image(path) as file:
            count = len(file.series)
        for number in range(count):
            with pixels.opened(path, number) as source:
                yield source
    except (UnreadableImage, OSError, ValueError):
        return


def _plain(array) -> pixels.Source:
    """An array without named axes: sizes of 1 aside, in order."""
    axes = "tczyx"[-array.ndim :] if array.ndim <= 5 else "?" * (array.ndim - 2) + "yx"
    axes = axes.replace("c", "q")  # not known to be a channel
    return pixels.Source(
        axes, tuple(array.shape), np.dtype(array.dtype), {}, False,
        lambda index: np.asarray(array[index]),
    )  # fmt: skip


def _points(writer: Writer) -> list[Finding]:
    """Tables with nearly all points of a hidden one, whatever else they list and in what order."""
    wanted: dict[str, list[tuple[str, set]]] = {axes: [] for axes in AXES}
    for pair in writer.pairs:
        if writer.is_hidden(pair):
            for axes in AXES:
                with suppress(pixels.Unfit):
                    points = points_kept(pixels.read_points(pair.truth_path, axes))
                    if points:
                        wanted[axes].append((pair.id, points))
    findings = []
    places = [
        (study.content(f["path"]), f"{study.accession}/{f['path']}", Path(f["path"]).suffix.lower())
        for study in _studies(writer) for f in study.filesets
        if not study.is_restricted(f)
    ]  # fmt: skip
    places += [
        (path, _where(path, writer), path.suffix.lower())
        for root in (writer.public, writer.staging) for path in _walk(root, writer)
    ]  # fmt: skip
    for path, where, ending in places:
        if ending not in TABLES | {".zip"} or path.stat().st_size > LARGEST_TEXT:
            continue
        for name, inner in _unpacked(path, TABLES) if ending == ".zip" else [("", path)]:
            found = sorted(_with_points(inner, wanted))
            if found:
                findings.append(
                    _error(f"{where}{name}", "has the points of the hidden truth of "
                           + ", ".join(found),
                           "choose another test set: these points are public")
                )  # fmt: skip
    return findings


def _with_points(path: Path, wanted: dict[str, list[tuple[str, set]]]) -> set[str]:
    """Ids whose points a table has, up to a tenth of them."""
    found = set()
    for axes, hidden in wanted.items():
        try:
            points = points_kept(pixels.read_points(path, axes)) if hidden else set()
        except (pixels.Unfit, UnicodeDecodeError, OSError, csv.Error):
            continue
        found |= {which for which, mine in hidden if len(mine & points) >= 0.9 * len(mine)}
    return found


def _size(axes: str, shape) -> tuple[int, ...]:
    """Sizes that tell images apart, those of a plane in any order."""
    outer = [int(n) for a, n in zip(axes[:-2], shape[:-2], strict=True) if n > 1 and a != "c"]
    return (*outer, *sorted(int(n) for n in shape[-2:]))
