"""Whether hidden truth can be reached under public/: by bytes, pixels, looks or tables."""

from __future__ import annotations

import base64
import csv
import hashlib
import itertools
import math
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..findings import Finding
from ..images import UnreadableImage, open_image
from ..scoring.release import sha256_file
from . import containers, lookalike, objects, pixels, tells
from .archive import Study
from .assemble import Pair
from .writer import Writer

TEXT = {".json", ".tsv", ".csv", ".txt", ".md", ".html", ".xml", ".yaml", ".yml", ".jsonl", ""}
LARGEST_TEXT = 256 << 20
POINTS = {".csv", ".tsv", ".txt"}
IMAGES = {".tif", ".tiff", ".png", ".bmp", ".npy", ".npz", ".h5", ".jp2", ".nd2", ".czi", ".mrc"}
BLOCK = 4 << 20
LONGEST = 1 << 12  # of a name or digest in a text
STAGING = re.compile(r"challenges/[^/]+/\.\d+\.\d+\.\d+\.\d+\.tmp/")
AXES = ("yx", "zyx", "tyx", "tzyx")
FEWEST_TRACKS = 5  # lines of a table below which others' may be the same by chance
HIDDEN_PLANES, PLANES = 256, 32  # of one image that are compared by their looks


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


def _files(pair: Pair) -> Iterator[tuple[str, Path]]:
    """(name, path in the vault) of every file of a pair's truth."""
    for fileset in (pair.truth, pair.tracks):
        for file in (fileset or {}).get("files", []):
            yield file["path"], pair.study.content(file["path"])


def _says_nothing(path: Path, task: str) -> bool:
    """Whether a written truth has no object: such are all alike, and no secret."""
    if task == "points":
        return len(path.read_text("ascii").splitlines()) < 2
    if task == "tracking":
        return not (path / "TRA" / "man_track.txt").read_text("ascii").strip()
    if task == "restoration":
        return False
    with pixels.opened(path) as truth:
        return not any(plane.any() for plane in truth.planes())


def _small_table(path: Path, task: str) -> bool:
    """Whether a table of tracks is as any short time-lapse's: `1 0 9 0`."""
    return (
        task == "tracking"
        and path.stat().st_size < 1 << 10
        and len(path.read_bytes().split(b"\n")) < FEWEST_TRACKS
    )


def check(writer: Writer, tell: Callable[[str, int, int], None]) -> list[Finding]:
    """Findings for each place under public/ from which hidden truth can be had or checked."""
    if not any(writer.is_hidden(pair) for pair in writer.pairs):
        return []
    search = _Search(writer)
    findings: list[Finding] = []
    known: set[str] = set()
    for study in _studies(writer):
        known |= {f"{study.accession}/{i['zarr']}" for i in study.public.get("images", [])
                  if i.get("zarr")}  # fmt: skip
        for fileset in study.filesets:
            if not study.is_restricted(fileset):
                findings += search.fileset(study, fileset)
    files = [p for root in (writer.public, writer.staging) for p in _walk(root, writer)]
    for done, path in enumerate(files, 1):
        where = _where(path, writer)
        with suppress(FileNotFoundError):  # another release or study was being renamed
            findings += search.file(path, where, looked_at=_derived(path, known, writer))
        if done % 200 == 0 or done == len(files):
            tell("looking for hidden truth", done, len(files))
    return list(dict.fromkeys(findings))


def _error(where: str, what: str, mend: str) -> Finding:
    return Finding("HIDDEN_REACHABLE", "error", what, where, mend=mend)


AGAIN = "withdraw it, or choose another test set: what was public stays known"


class _Search:
    """What is hidden of a challenge, in all the forms that it is looked for in."""

    def __init__(self, writer: Writer) -> None:
        task = writer.challenge.task
        self.digest = values_digest if task == "restoration" else partition_digest
        self.sizes: dict[int, list[tuple[str, str]]] = {}
        self.words: dict[bytes, str] = {}
        self.names: dict[bytes, str] = {}
        self.wanted: dict[str, str] = {}
        self.runs: set[int] = set()
        self.columns = writer.challenge.data.columns
        self.shapes: set[tuple[int, ...]] = set()
        self.points: dict[str, list[tuple[str, set]]] = {axes: [] for axes in AXES}
        self.objects: list[tells.Objects] = []
        self.alike = lookalike.Lookalikes()
        open_ids = [p.id for p in writer.pairs if not writer.is_hidden(p)]
        # A waived pair looks alike, and so may its truth
        self.waived = {
            p.id for p in writer.pairs if writer.is_hidden(p)
            and any(w.covers(p.id, other) for w in writer.challenge.leakage.waivers
                    for other in open_ids)
        }  # fmt: skip
        self.sources = {pair.study.accession for pair in writer.pairs}
        for row in writer.secrets:
            if not _says_nothing(writer.hidden / row["truth"], task):
                self._word(bytes.fromhex(row["sha256"]), row["id"])
        hidden = {
            (p.study.accession, p.study.version, p.truth["path"], p.series): p
            for p in reversed(writer.pairs) if writer.is_hidden(p)
        }  # fmt: skip
        for pair in hidden.values():  # once for all tiles of an image
            told = (self._table if task == "points" else self._image)(pair, task)
            for name, path in _files(pair):
                self.names[name.encode()] = pair.id
                if told and not _small_table(path, task):
                    self._bytes(pair.id, path)

    def _bytes(self, which: str, path: Path) -> None:
        digests = {}
        for kind in ("sha256", "sha512", "sha1", "md5"):
            with path.open("rb") as handle:
                digests[kind] = hashlib.file_digest(handle, kind)
            self._word(digests[kind].digest(), which)
        if path.stat().st_size:
            self.sizes.setdefault(path.stat().st_size, []).append(
                (digests["sha256"].hexdigest(), which)
            )

    def _word(self, digest: bytes, which: str) -> None:
        """A digest as it may be written: hexadecimal, or base64 in either alphabet."""
        for word in (digest.hex().encode(), base64.b64encode(digest).rstrip(b"="),
                     base64.urlsafe_b64encode(digest).rstrip(b"=")):  # fmt: skip
            self.words[word] = which

    def _image(self, pair: Pair, task: str) -> bool:
        """Whether there is something to hide: an empty image is no secret."""
        series = pair.series if len(pair.truth.get("series") or []) > 1 else 0
        with objects.archived(pair.study, pair.truth, series) as truth:
            planes = list(truth.planes())
            shape = _size(truth.axes, truth.shape)
        if not any(plane.any() for plane in planes):
            return False
        forms = [planes]
        if task != "restoration":
            self.objects.append(tells.objects(pair.id, _names(pair), planes))
            numbered = planes
            if task == "semantic-segmentation":
                numbered = [ndimage.label(plane)[0] for plane in planes]
            self.alike.add(pair.id, _spread(numbered, HIDDEN_PLANES))
            ground = [plane > 0 for plane in planes]
            if not all(plane.all() for plane in ground):
                forms.append(ground)
        for form in forms:
            for turned in _turned(form):
                self.wanted[self.digest(turned)] = pair.id
                self.runs.add(_runs(turned[0]))
        self.shapes.add(shape)
        return True

    def _table(self, pair: Pair, task: str) -> bool:
        """Whether there is something to hide: a point."""
        count = 0
        for axes in AXES:
            with suppress(pixels.Unfit):
                listed = pixels.read_points(pair.truth_path, axes, self.columns)
                count = count or len(listed)
                if points := points_kept(listed):
                    self.points[axes].append((pair.id, points))
        self.objects.append(tells.Objects(pair.id, _names(pair), count))
        return count > 0

    def fileset(self, study: Study, fileset: dict) -> Iterator[Finding]:
        """A public fileset in the vault, from which it is served."""
        where = f"{study.accession}/{fileset['path']}"
        if fileset.get("role") not in ("labels", "image"):
            for file in fileset["files"]:
                path = study.content(file["path"])
                yield from self.file(path, f"{study.accession}/{file['path']}", file["path"])
            return
        for number, series in enumerate(fileset.get("series") or []):
            same = self.shapes and _size(series["axes"], series["shape"]) in self.shapes
            # Pictures of other studies are too many to look at; labels aren't
            close = fileset["role"] == "labels" or study.accession in self.sources
            if same or (self.alike and close):
                with pixels.archived(study, fileset, number) as image:
                    yield from self._seen(image, where)

    def file(
        self, path: Path, where: str, name: str | None = None, looked_at: bool = False
    ) -> Iterator[Finding]:
        """A file and all that is packed in it. `looked_at`: its pixels have been elsewhere."""
        for member, inner in containers.everything(path):
            shown = f"{where}!/{member}" if member else where
            ending = Path(member or name or path.name).suffix.lower()
            yield from self._same(inner, where, member)
            size = inner.stat().st_size
            if (ending in TEXT or ending in tells.TABLES) and 0 < size <= LARGEST_TEXT:
                yield from self._texts(inner, shown, ending)
            if looked_at or not self.shapes or size == 0:
                continue
            if ending in IMAGES or (inner.name in containers.ZARR and not _smaller(inner)):
                for source in _open_any(inner):
                    yield from self._seen(source, shown)

    def _same(self, path: Path, where: str, member: str) -> Iterator[Finding]:
        for digest, which in self.sizes.get(path.stat().st_size, []):
            if sha256_file(path) == digest:
                what = (
                    f"holds the hidden truth of {which} as {member}" if member
                    else f"is the hidden truth of {which}, byte for byte"
                )  # fmt: skip
                yield _error(where, what, AGAIN)

    def _texts(self, path: Path, where: str, ending: str) -> Iterator[Finding]:
        for word, which in sorted(_found(path, self.words, self.names).items()):
            what = "names the file" if word in self.names else "has a digest"
            mend = "archive the annotation set with access: restricted from the start"
            yield _error(where, f"{what} of the hidden truth of {which}", mend)
        if ending in tells.TABLES:
            for which, what in tells.told(path, self.objects):
                yield _error(where, f"{what} of the hidden truth of {which}", AGAIN)
            if ending in tells.PACKED:
                yield from self._blobs(path, where)
        if ending in POINTS and (found := sorted(_with_points(path, self.points, self.columns))):
            yield _error(where, "has the points of the hidden truth of " + ", ".join(found),
                         "choose another test set: these points are public")  # fmt: skip

    def _blobs(self, path: Path, where: str) -> Iterator[Finding]:
        """Files in the cells of a Parquet or Arrow table."""
        for cell in tells.blobs(path):
            with tempfile.NamedTemporaryFile(suffix=_ending(cell)) as file:
                file.write(cell)
                file.flush()
                yield from self.file(Path(file.name), f"{where} (in a cell)")

    def _seen(self, source: pixels.Source, where: str) -> Iterator[Finding]:
        if source.dtype.kind not in "uibf" or math.prod(source.shape) == 0:
            return
        same = _size(source.axes, source.shape) in self.shapes
        channel = source.axes.find("c")
        count = source.shape[channel] if channel >= 0 else 1
        # Labels may be one channel of an image, or the colours of one
        for c in [*range(count), *([-1] if source.rgb and count >= 3 else [])]:
            indices = [
                i for i in itertools.product(*map(range, source.shape[:-2]))
                if channel < 0 or i[channel] == max(c, 0)
            ]  # fmt: skip

            def planes(chosen: list, c: int = c) -> Iterator[np.ndarray]:
                for i in chosen:
                    yield source.read(i) if c >= 0 else _colours(source, i, channel)

            # What has another number of runs isn't the same; a micrograph has very many
            same_runs = same and any(_runs(p) in self.runs for p in planes(indices[:1]))
            if same_runs and (found := self.wanted.get(self.digest(planes(indices)))):
                yield _error(where, f"shows the same as the hidden truth of {found}", AGAIN)
                return
            if self.alike and (seen := self._alike(source, indices, channel, c, planes)):
                told = _error(where, f"{seen.what} the hidden truth of {seen.id}", AGAIN)
                yield replace(told, severity="warning") if seen.id in self.waived else told
                return

    def _alike(
        self, source: pixels.Source, indices: list, channel: int, c: int, planes: Callable
    ) -> lookalike.Alike | None:
        """Hidden labels that a channel's planes show in an edited form."""
        few = _spread(indices, PLANES)
        if c < 0:
            drawings = [
                lookalike.drawn(*(source.read((*i[:channel], k, *i[channel + 1 :]))
                                  for k in range(3))) for i in few
            ]  # fmt: skip
            found = self.alike.find(d for d in drawings if d is not None)
            return found or self.alike.find(planes(few))
        # A micrograph is told from labels by some of its planes
        if not any(map(lookalike.is_flat, planes(_spread(few, 3)))):
            return None
        return self.alike.find(planes(few))


def _spread(items: list, most: int) -> list:
    """At most so many of a list, evenly spread."""
    if len(items) <= most:
        return items
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def _names(pair: Pair) -> set[str]:
    return {pair.id, Path(pair.image["path"]).name.split(".")[0],
            Path(pair.truth["path"]).name.split(".")[0]}  # fmt: skip


def _colours(source: pixels.Source, index: tuple[int, ...], channel: int) -> np.ndarray:
    """A colour picture's plane as one number a colour."""
    parts = [source.read((*index[:channel], c, *index[channel + 1 :])) for c in range(3)]
    return sum(p.astype(np.int64) << (16 * k) for k, p in enumerate(parts))


def _ending(data: bytes) -> str:
    known = {b"\x89PNG": ".png", b"II*\0": ".tif", b"MM\0*": ".tif", b"\x93NUM": ".npy"}
    return known.get(data[:4], ".bin")


def _derived(path: Path, known: set[str], writer: Writer) -> bool:
    """Whether it is of an image that a study's page has, whose original is looked at in the
    vault."""
    if path.name not in containers.ZARR or not path.is_relative_to(writer.public):
        return False
    parts = path.relative_to(writer.public).parts
    return "labels" not in parts and "/".join(parts[:3]) in known


def _smaller(array: Path) -> bool:
    """Whether a Zarr array is a smaller level of a pyramid, whose first one is looked at."""
    level = array.parent.name
    return level.isdigit() and level != "0" and (array.parent.parent / "0" / array.name).is_file()


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


# Digests of 16, 20, 32 and 64 bytes
HEX = re.compile(rb"[0-9A-Fa-f]{32,}")
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{22,}")
LENGTHS = (22, 27, 43, 86)


def _found(path: Path, digests: dict[bytes, str], names: dict[bytes, str]) -> dict[bytes, str]:
    """Digests and names of hidden files that stand in a text, and whose they are."""
    found: dict[bytes, str] = {}
    tail = b""
    with path.open("rb") as handle:
        while block := handle.read(BLOCK):
            text = tail + block
            found |= {w: which for w, which in names.items() if w in text}
            for token in HEX.findall(text):
                if which := digests.get(token.lower()):
                    found[token.lower()] = which
            for token in BASE64.findall(text):
                # Before it may stand what it is: sha256-...
                for part in {token[-n:] for n in LENGTHS} | {token[:n] for n in LENGTHS}:
                    if which := digests.get(part):
                        found[part] = which
            tail = text[-LONGEST:]
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


def _runs(plane: np.ndarray) -> int:
    """Runs of equal values in a plane, read in C order."""
    flat = np.ascontiguousarray(plane).reshape(-1)
    return int(np.count_nonzero(flat[1:] != flat[:-1])) + 1


def _turned(planes: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """An image as it is, and rotated and flipped in the plane."""
    for mirrored in (planes, [p[:, ::-1] for p in planes]):
        for k in range(4):
            yield [np.rot90(p, k) for p in mirrored]


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


def _with_points(
    path: Path, wanted: dict[str, list[tuple[str, set]]], columns: dict[str, str] | None
) -> set[str]:
    """Ids whose points a table has, up to a tenth of them; in usual columns or the challenge's."""
    found = set()
    for axes, hidden in wanted.items():
        for names in [None, columns] if columns else [None]:
            try:
                points = points_kept(pixels.read_points(path, axes, names)) if hidden else set()
            except (pixels.Unfit, UnicodeDecodeError, OSError, csv.Error):
                continue
            found |= {which for which, mine in hidden if len(mine & points) >= 0.9 * len(mine)}
    return found


def _size(axes: str, shape) -> tuple[int, ...]:
    """Sizes that tell images apart, those of a plane in any order."""
    outer = [int(n) for a, n in zip(axes[:-2], shape[:-2], strict=True) if n > 1 and a != "c"]
    return (*outer, *sorted(int(n) for n in shape[-2:]))
