"""Whether hidden truth can be reached under public/: by bytes, pixels or a digest in a table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from ..findings import Finding
from . import pixels
from .release import Writer, sha256_file

TEXT = {".json", ".tsv", ".csv", ".txt", ".md", ".html", ".xml", ".yaml", ".yml", ".jsonl", ""}
LARGEST_TEXT = 256 << 20
BLOCK = 4 << 20


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
    """(id, fileset, path in the vault) of every file of hidden truth."""
    for pair in writer.pairs:
        if writer.is_hidden(pair):
            for fileset in (pair.truth, pair.tracks):
                if fileset is not None:
                    yield pair.id, fileset, pair.study.content(fileset["path"])


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


def _walk(root: Path, writer: Writer) -> Iterator[Path]:
    """Regular files; chunks of images (numbers as names) are looked at by size alone."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not (root != writer.staging and writer.staging in path.parents):
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


def _pixels(writer: Writer, tell) -> list[Finding]:
    """Public label images, and labels beside public images, with the same objects."""
    if writer.challenge.task not in ("instance-segmentation", "semantic-segmentation", "tracking"):
        return []
    wanted: dict[str, str] = {}
    shapes: set[tuple[int, ...]] = set()
    for pair in writer.pairs:
        if writer.is_hidden(pair):
            with pixels.opened(pair.truth_path, 0, pair.truth["path"]) as truth:
                if not any(plane.any() for plane in truth.planes()):
                    continue  # an empty image is no secret
                wanted[partition_digest(truth.planes())] = pair.id
                shapes.add(_spatial(truth.axes, truth.shape))
    findings = []
    for accession in writer.archive.accessions():
        study = writer.archive.study(accession)
        if study is None:
            continue
        for fileset in study.filesets:
            if study.is_restricted(fileset) or fileset.get("role") not in ("labels", "image"):
                continue
            for number, series in enumerate(fileset.get("series") or []):
                kind = np.dtype(series.get("dtype", "u1")).kind
                if kind not in "uib" or _spatial(series["axes"], series["shape"]) not in shapes:
                    continue
                path = study.content(fileset["path"])
                with pixels.opened(path, number, fileset["path"]) as image:
                    found = wanted.get(partition_digest(image.planes()))
                if found:
                    findings.append(
                        _error(f"{accession}/{fileset['path']}",
                               f"shows the same objects as the hidden truth of {found}",
                               "choose another test set: these objects are public")
                    )  # fmt: skip
    return findings + _zarr_labels(writer, wanted, shapes)


def _zarr_labels(writer: Writer, wanted: dict[str, str], shapes: set) -> list[Finding]:
    import zarr

    findings = []
    for path in sorted(writer.public.glob("*/images/*.zarr/labels/*/zarr.json")):
        try:
            array = zarr.open(path.parent, mode="r")["0"]
        except (KeyError, ValueError, OSError):
            continue
        shape = tuple(n for n in array.shape if n > 1)
        if shape in shapes:
            planes = np.asarray(array[...]).reshape(-1, *array.shape[-2:])
            found = wanted.get(partition_digest(planes))
            if found:
                where = path.parent.relative_to(writer.public).as_posix()
                findings.append(
                    _error(f"public/{where}", f"shows the hidden truth of {found}",
                           "derive the image again without it")
                )  # fmt: skip
    return findings


def _spatial(axes: str, shape) -> tuple[int, ...]:
    return tuple(int(n) for a, n in zip(axes, shape, strict=True) if n > 1 and a != "c")
